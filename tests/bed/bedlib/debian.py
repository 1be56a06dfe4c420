# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian system of a guest's own: systemd, apt, DKMS, and the kernel's own initramfs.

debian-V    the tree of packages.debian with kernel V and its headers. Most of it is
            unpacked (roots.py) with a dpkg database (dpkgdb.py); the kernel, DKMS
            and initramfs-tools are configured by dpkg, so that their maintainer
            scripts have run: a tree in which apt-get installs packages, and the
            triggers and hooks do what they do anywhere.
system-V    what a guest boots: the tree after "apt-get install" of packages from a
            local folder, as disk.raw, an ext4 file system; the kernel and the
            initramfs that update-initramfs made in it; and install.log.

An artifact is never written again, so whatever happens in a tree happens in a copy.
There dpkg runs as root, or as root of a user namespace of one id: what it
installs must belong to root.
"""

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from bedlib import apt, cache, dpkgdb, ext4, kernels, roots
from bedlib.config import BED, CACHE, KERNELS, BedError, progress, read_list

DISK_BYTES = 4 << 30
LABEL = "system"
# The initramfs's end, so that the kernel finds another archive behind it.
ALIGN = 512
FSTAB = f"LABEL={LABEL} / ext4 defaults 0 1\n"
# The guest's channel to L1 (guest/channel.sh, which L1 puts on the disk).
JOB = """\
[Unit]
Description=The test bed's channel
After=basic.target
[Service]
ExecStart=/bin/sh /bed/system.sh
StandardInput=null
KillMode=process
"""
# What else the packages would bring up, at a cost and for no use here.
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer",
          "e2scrub_all.timer", "e2scrub_reap.service", "systemd-networkd.service",
          "systemd-tmpfiles-clean.timer", "getty.target")
# A user namespace of one id has nobody else to download as; there is no terminal.
APT_CONFIG = 'APT::Sandbox::User "root";\nDpkg::Use-Pty "0";\n'
INSTALL = "apt-get -q install -y /packages/*.deb"


def run(tree: Path, command: list[str], log: "Path | None" = None) -> int:
    """Run a command as root in a tree that may be written: its status.

    Its output goes to the end of a log, or where ours goes.
    """
    argv = roots.namespaced(["bash", str(BED / "chroot.sh"), str(tree), *command])
    if not log:
        return subprocess.run(argv, check=False).returncode
    with log.open("ab") as file:
        return subprocess.run(argv, check=False, stdout=file, stderr=subprocess.STDOUT).returncode


def _must_run(tree: Path, command: list[str], log: Path) -> None:
    status = run(tree, command, log)
    if status:
        tail = log.read_text(errors="replace")[-3000:]
        raise BedError(f"in a Debian system: {' '.join(command)}: status {status}\n{tail}")


def _finish(root: Path) -> None:
    roots.finish(root)
    (root / "etc/sysusers.d").mkdir(exist_ok=True)
    (root / "etc/sysusers.d/bed.conf").write_text('u _apt 42:65534 "apt" /nonexistent\n')
    roots.system_users(root)
    # nobody may read it but root, who is whoever copies the tree
    (root / "etc/gshadow").chmod(0o600)
    roots.finish_systemd(root, JOB)
    units = root / "etc/systemd/system"
    for name in MASKED:
        if not (units / name).is_symlink():
            (units / name).symlink_to("/dev/null")
    (root / "etc/hostname").write_text("guest\n")
    (root / "etc/fstab").write_text(FSTAB)
    (root / "etc/apt/apt.conf.d/20bed").write_text(APT_CONFIG)
    for name in ("dev", "proc", "sys", "run", "tmp"):
        (root / name).mkdir(exist_ok=True)


def tree(version: str) -> Path:
    """The installed system with a kernel (the directory that is its /)."""
    suite = KERNELS[version]
    if apt.group_of(suite) != "trixie":
        raise BedError(f"Debian 13 has no kernel {version}: that is of {suite}")
    image = kernels.kernel(version)
    release = (image / "release").read_text()
    package_version = (image / "VERSION").read_text()
    kernel = [f"linux-image-{release}", f"linux-headers-{release}"]

    def build(into: Path) -> None:
        root = into / "root"
        configured = ("initramfs-tools", "dkms", *kernel)
        wanted = read_list(BED / "packages.debian") + [f"{name}={package_version}" for name in kernel]
        roots.unpack_closure(f"debian-{version}", wanted, into,
                             lambda debs: dpkgdb.write(debs, root, configured))
        _finish(root)
        progress(f"debian-{version}: configuring")
        _must_run(root, ["dpkg", "--configure", "-a"], into / "configure.log")

    key = cache.key_of(BED / "packages.debian", BED / "chroot.sh", BED / "preferences", release,
                       package_version, Path(apt.__file__), Path(dpkgdb.__file__),
                       Path(roots.__file__), Path(__file__))
    return cache.artifact(f"debian-{version}", key, build) / "root"


def _copy(version: str, into: Path) -> Path:
    root = into / "root"
    subprocess.run(["cp", "-a", "--reflink=auto", str(tree(version)), str(root)], check=True)
    return root


@contextmanager
def scratch(version: str) -> Iterator[Path]:
    """A copy of the tree, for as long as it takes."""
    place = Path(tempfile.mkdtemp(prefix=".debian-", dir=CACHE))
    try:
        place.chmod(0o755)
        yield _copy(version, place)
    finally:
        cache.remove_tree(place)


def put(root: Path, files: list[str]) -> None:
    """Put files SOURCE:DESTINATION into a tree."""
    for text in files:
        source, colon, name = text.partition(":")
        if not colon or not name.strip("/") or not Path(source).is_file():
            raise BedError(f"not FILE:DESTINATION, or no such file: {text}")
        place = root / name.strip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, place)


def system(version: str, packages: list[Path], files: list[str]) -> Path:
    """The artifact system-VERSION: files (as put() takes them) are there before apt-get
    installs the packages."""
    def build(into: Path) -> None:
        root = _copy(version, into)
        put(root, files + [f"{path}:packages/{path.name}" for path in packages])
        _must_run(root, ["sh", "-c", INSTALL], into / "install.log")
        release = (kernels.kernel(version) / "release").read_text()
        (into / "release").write_text(release)
        (into / "vmlinux").write_bytes(kernels.vmlinux((root / f"boot/vmlinuz-{release}").read_bytes()))
        initrd = (root / f"boot/initrd.img-{release}").read_bytes()
        (into / "initrd").write_bytes(initrd + bytes(-len(initrd) % ALIGN))
        ext4.make(root, into / "disk.raw", DISK_BYTES, "-L", LABEL)
        cache.remove_tree(root)

    for path in [*packages, *[Path(text.partition(":")[0]) for text in files]]:
        if not path.is_file():
            raise BedError(f"no such file for a guest's system: {path}")
    parts = [part for text in files for part in (text.partition(":")[2], Path(text.partition(":")[0]))]
    key = cache.key_of(tree(version).parent.name, Path(ext4.__file__), *packages, *parts)
    return cache.artifact(f"system-{version}", key, build)
