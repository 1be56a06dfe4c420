# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian 13 trees and how programs in them are run.

root: QEMU for L0 and the userland of L1. Programs of it run on this machine
      through its own dynamic loader (root_command), without chroot.
dev:  compilers. Commands run in it through a private mount namespace
      (enter), a user namespace too when the caller is not root.
Two more are made elsewhere: of L1 as an operator's host in operator.py, of a
guest with a Debian system of its own in debian.py.

All are unpacked packages (apt.py) plus the finish below, which stands for the
maintainer scripts: users, alternatives, a machine id.
"""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable

from bedlib import apt, cache
from bedlib.config import BED, TOP, BedError, progress, read_list, tool

LIBS = "usr/lib/x86_64-linux-gnu"
L1_JOB = """\
[Unit]
Description=The test bed's job
After=basic.target dbus.socket
Requires=dbus.socket
[Service]
Type=exec
ExecStart=/bed/top/tests/bed/l1/run.sh
StandardInput=null
StandardOutput=journal+console
Delegate=yes
KillMode=process
TasksMax=infinity
LimitMEMLOCK=infinity
"""


def unpack_closure(name: str, packages: list[str], into: Path,
                   unpacked: "Callable[[list[Path]], None]" = lambda debs: None) -> None:
    """Resolve, download and unpack packages into into/root.

    unpacked() gets the package files, before they are removed; MANIFEST records
    what they were.
    """
    source = apt.Apt("trixie")
    source.update()
    closure = source.closure(packages)
    progress(f"{name}: downloading {len(closure)} packages")
    debs = into / "debs"
    source.download(closure, debs)
    progress(f"{name}: unpacking")
    root = into / "root"
    root.mkdir(mode=0o755)
    files = sorted(debs.glob("*.deb"))
    # base-files lays the links of merged /usr, so it comes first.
    files.sort(key=lambda path: not path.name.startswith("base-files_"))
    apt.unpack(files[0], root)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda deb: apt.unpack(deb, root), files[1:]))
    unpacked(files)
    shutil.rmtree(debs)
    (into / "MANIFEST").write_text("\n".join(closure) + "\n")


def finish(root: Path) -> None:
    """What maintainer scripts would have done, as far as the bed needs it."""
    master = root / "usr/share/base-passwd"
    etc = root / "etc"
    for name in ("passwd", "group"):
        shutil.copyfile(master / f"{name}.master", etc / name)
    (etc / "shadow").write_text("root::1:0:99999:7:::\n")
    (etc / "shadow").chmod(0o600)
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n")
    (etc / "hosts").write_text("127.0.0.1 localhost l1\n::1 localhost\n")
    (etc / "hostname").write_text("l1\n")
    awk = root / "usr/bin/awk"
    if not awk.is_symlink():
        awk.symlink_to("mawk")
    for name, target in (("run", "/run"), ("lock", "/run/lock")):
        link = root / "var" / name
        if not link.is_symlink():
            cache.remove_tree(link)
            link.symlink_to(target)


def root() -> Path:
    """The tree with QEMU and L1's userland (the directory that is its /)."""
    def build(into: Path) -> None:
        unpack_closure("root", read_list(BED / "packages.root"), into)
        tree = into / "root"
        finish(tree)
        system_users(tree)
        finish_systemd(tree)

    key = cache.key_of(BED / "packages.root", BED / "preferences", Path(apt.__file__), Path(__file__))
    return cache.artifact("root", key, build) / "root"


def system_users(tree: Path) -> None:
    """Users (of dbus, of systemd) as their packages, and etc/sysusers.d, declare them."""
    subprocess.run(loader(tree, "usr/bin/systemd-sysusers") + [f"--root={tree}"],
                   check=True, capture_output=True)


def finish_systemd(tree: Path, job: str = L1_JOB) -> None:
    """A small systemd system: no first-boot work, the bed's job, a unit, as its target."""
    etc = tree / "etc"
    units = etc / "systemd/system"
    units.mkdir(parents=True, exist_ok=True)
    (etc / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (units / "default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")
    for unit in ("systemd-hwdb-update.service", "ldconfig.service", "systemd-firstboot.service",
                 "systemd-journal-catalog-update.service", "systemd-machine-id-commit.service",
                 "systemd-update-done.service", "systemd-timesyncd.service", "getty@.service",
                 "systemd-boot-random-seed.service", "systemd-sysusers.service",
                 "systemd-pcrmachine.service", "serial-getty@.service"):
        link = units / unit
        if not link.exists():
            link.symlink_to("/dev/null")
    wants = units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (units / "bed.service").write_text(job)
    (wants / "bed.service").symlink_to("../bed.service")
    tmpfiles = etc / "tmpfiles.d"
    tmpfiles.mkdir(exist_ok=True)
    # ownership that an unprivileged unpacking cannot give
    (tmpfiles / "bed.conf").write_text(
        "z /usr/lib/dbus-1.0/dbus-daemon-launch-helper 4754 root messagebus\n")


def dev() -> Path:
    """The tree with compilers (the directory that is its /)."""
    def build(into: Path) -> None:
        unpack_closure("dev", read_list(BED / "packages.dev"), into)
        tree = into / "root"
        finish(tree)
        for name in ("cc", "c99"):
            link = tree / "usr/bin" / name
            if not link.exists():
                link.symlink_to("gcc")
        (tree / "usr/src").mkdir(exist_ok=True)
        (into / "mnt").mkdir()  # where enter.sh mounts the root of its namespace

    key = cache.key_of(BED / "packages.dev", BED / "preferences", Path(apt.__file__), Path(__file__))
    return cache.artifact("dev", key, build) / "root"


def loader(tree: Path, program: str, argv0: str = "") -> list[str]:
    """The argv that starts a program of a tree with that tree's libraries."""
    libs = tree / LIBS
    paths = [libs, libs / "systemd", tree / "usr/lib"]
    name = ["--argv0", argv0] if argv0 else []
    return [str(libs / "ld-linux-x86-64.so.2"), "--library-path", ":".join(map(str, paths)),
            *name, str(tree / program)]


def namespaced(command: list[str]) -> list[str]:
    """The argv that runs a command in namespaces of its own, of mounts and processes; as
    root there, whoever we are (then of one user: files of others cannot be made)."""
    flags = ["-m", "-p", "-f", "--kill-child", "--propagation", "private"]
    if os.geteuid() != 0:
        flags.insert(0, "-r")
    return [tool("unshare"), *flags, "--", *command]


def enter(command: list[str], headers: "Path | None" = None,
          binds: "tuple[Path, ...]" = (), env: "dict[str, str] | None" = None) -> int:
    """Run a command in the dev tree, in the caller's directory; its status.

    The checkout, the caller's directory and `binds` keep their paths and stay
    writable; headers is bound to /usr/src. Output goes where ours goes.
    """
    cwd = Path.cwd()
    paths = []
    for path in (TOP, cwd, *binds):
        if path not in paths and path != Path("/"):
            paths.append(path)
    argv = namespaced(["bash", str(BED / "enter.sh"), str(dev()), str(headers or ""), str(cwd),
                       str(len(paths)), *map(str, paths), *command])
    try:
        return subprocess.run(argv, check=False, env=os.environ | (env or {})).returncode
    except FileNotFoundError as error:
        raise BedError(f"cannot enter the compile root: {error}") from None
