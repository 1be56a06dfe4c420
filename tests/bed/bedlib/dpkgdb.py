# SPDX-License-Identifier: GPL-2.0-or-later
"""A dpkg database for packages that were unpacked and never installed.

With it, dpkg and apt in the tree take all of them for installed: they
resolve dependencies against them, and refuse to overwrite their files. What
is written is what dpkg itself keeps (dpkg(1), deb-triggers(5)):

    var/lib/dpkg/status           a stanza for each package, with its conffiles
    var/lib/dpkg/info/NAME.*      its control files, and the list of its files
    var/lib/dpkg/triggers/        who is interested in which trigger

apt has no sources there: it knows what is installed, and the files that it is
given.
"""

import hashlib
import io
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# What dpkg keeps of a package's control files under info/.
KEPT = ("conffiles", "config", "md5sums", "postinst", "postrm", "preinst", "prerm", "shlibs",
        "symbols", "templates", "triggers")
APT_CONFIG = 'APT::Install-Recommends "false";\nAcquire::Languages "none";\n'


def _control_files(deb: Path) -> dict[str, bytes]:
    data = subprocess.run(["dpkg-deb", "--ctrl-tarfile", str(deb)], check=True,
                          stdout=subprocess.PIPE).stdout
    files = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file:
                files[member.name.removeprefix("./")] = file.read()
    return files


def _paths(deb: Path) -> str:
    """The lines of a package's .list."""
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(deb)], check=True,
                          stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = [member.name.removeprefix(".").rstrip("/") for member in archive]
    return "".join(f"{name or '/.'}\n" for name in names)


def _field(control: str, name: str) -> str:
    for line in control.splitlines():
        if line.startswith(f"{name}: "):
            return line.partition(": ")[2]
    return ""


def _conffiles(text: str, root: Path) -> str:
    """The status file's field for a conffiles file; "" without any."""
    lines = []
    for path in text.split():
        place = root / path.lstrip("/")
        if place.is_file():
            lines.append(f" {path} {hashlib.md5(place.read_bytes()).hexdigest()}\n")
    return "Conffiles:\n" + "".join(lines) if lines else ""


def _record(deb: Path, root: Path, unpacked: "tuple[str, ...]") -> tuple[str, str, str]:
    """Write a package's info files: (its name there, its stanza, its triggers)."""
    files = _control_files(deb)
    control = files["control"].decode()
    name = _field(control, "Package")
    if _field(control, "Multi-Arch") == "same":
        name += ":" + _field(control, "Architecture")
    info = root / "var/lib/dpkg/info"
    for kind in KEPT:
        if kind in files:
            place = info / f"{name}.{kind}"
            place.write_bytes(files[kind])
            place.chmod(0o755 if kind[:3] in ("pre", "pos", "con") and kind != "conffiles" else 0o644)
    (info / f"{name}.list").write_text(_paths(deb))
    first, _, rest = control.partition("\n")
    state = "unpacked" if _field(control, "Package") in unpacked else "installed"
    stanza = f"{first}\nStatus: install ok {state}\n{rest.rstrip()}\n"
    stanza += _conffiles(files.get("conffiles", b"").decode(), root)
    return name, stanza, files.get("triggers", b"").decode()


def _triggers(records: "list[tuple[str, str, str]]", where: Path) -> None:
    """Who is interested: File for paths, a file for each other trigger."""
    interests: dict[str, list[str]] = {"File": []}
    for name, _, triggers in records:
        for line in triggers.splitlines():
            words = line.split("#", 1)[0].split()
            if len(words) != 2 or not words[0].startswith("interest"):
                continue
            package = name + ("/noawait" if words[0].endswith("-noawait") else "")
            if words[1].startswith("/"):
                interests["File"].append(f"{words[1]} {package}")
            else:
                interests.setdefault(words[1], []).append(package)
    for trigger, lines in interests.items():
        (where / trigger).write_text("".join(f"{line}\n" for line in lines))
    for name in ("Lock", "Unincorp"):
        (where / name).write_text("")


def write(debs: list[Path], root: Path, unpacked: "tuple[str, ...]" = ()) -> None:
    """The database for packages that were unpacked into root.

    Those that are named in `unpacked` are left to "dpkg --configure", which will run their
    maintainer scripts.
    """
    base = root / "var/lib/dpkg"
    for sub in ("info", "triggers", "updates", "alternatives", "parts"):
        (base / sub).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        records = sorted(pool.map(lambda deb: _record(deb, root, unpacked), debs))
    (base / "status").write_text("\n".join(stanza for _, stanza, _ in records))
    for name in ("available", "diversions", "statoverride"):
        (base / name).write_text("")
    (base / "info/format").write_text("1\n")
    _triggers(records, base / "triggers")
    for sub in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "etc/apt/apt.conf.d",
                "var/log/apt"):
        (root / sub).mkdir(parents=True, exist_ok=True)
    (root / "etc/apt/sources.list").write_text("")
    (root / "etc/apt/apt.conf.d/10bed").write_text(APT_CONFIG)
