# SPDX-License-Identifier: GPL-2.0-or-later
"""What is booted: L1's root file system, the boot files of L1 and of guests,
and the disk.

l1-image    an ext4 file system of the root tree, read-only in use
l1-image-operator   the same of the operator's tree
l1-boot-V   vmlinux and initrd of L1 (first stage plus L1's modules, and one of ours)
guest-V     vmlinux and initrd of a guest: busybox and modules, but no init;
            L1 appends the init and the files of each start as a second archive;
            and boot.raw, for guests that boot from a disk (bootdisk.py)
disk        disk.raw, whose every sector tells its own number, and disk.sums
"""

import hashlib
import struct
import subprocess
import tempfile
from pathlib import Path

from bedlib import bootdisk, cache, cpio, ext4, kernels, module, operator, roots
from bedlib.config import BED, read_modules

DISK_BYTES = 256 << 20
SECTOR = 512
SUM_MIB = (1, 8, 16, 32, 64, 128, 256)
L1_MODULE = BED / "l1/inject"
# What --l1-root names.
L1_ROOTS = {"minimal": roots.root, "operator": operator.root}


def l1_image(name: str = "minimal") -> Path:
    """The file l1.ext4 of one of L1_ROOTS."""
    tree = L1_ROOTS[name]()

    def build(into: Path) -> None:
        ext4.make(tree, into / "l1.ext4", 1 << 30, "-i", "16384")

    artifact = "l1-image" if name == "minimal" else f"l1-image-{name}"
    return cache.artifact(artifact, cache.key_of(tree.parent.name, Path(ext4.__file__), Path(__file__)), build) / "l1.ext4"


def _add_busybox(archive: cpio.Cpio) -> None:
    busybox = roots.root() / "usr/bin/busybox"
    archive.file("bin/busybox", busybox, 0o755)
    applets = subprocess.run([str(busybox), "--list"], check=True, capture_output=True, text=True)
    for name in applets.stdout.split():
        if name != "busybox":
            archive.symlink(f"bin/{name}", "busybox")
    archive.symlink("sbin", "bin")
    for name in ("dev", "proc", "sys", "tmp", "run", "mnt", "etc"):
        archive.directory(name)
    archive.device("dev/console", 5, 1)
    archive.device("dev/null", 1, 3)


def _add_modules(archive: cpio.Cpio, kernel: Path, names: list[str]) -> None:
    """lib/modules/RELEASE with the named modules, and what modprobe reads."""
    release = (kernel / "release").read_text()
    tree = kernel / "modules/lib/modules" / release
    chosen = kernels.closure(tree, names, kernels.builtins(tree))
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        target = base / "lib/modules" / release
        for path, data in chosen.values():
            place = target / path.relative_to(tree)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            (target / name).write_bytes((tree / name).read_bytes())
        subprocess.run(roots.loader(roots.root(), "usr/bin/kmod", "depmod")
                       + ["-b", str(base), release], check=True, capture_output=True)
        for path in sorted(target.rglob("*")):
            if path.is_file():
                archive.file(str(path.relative_to(base)), path)


def _boot_key(version: str, *parts: "str | Path") -> str:
    return cache.key_of(kernels.kernel(version).name, roots.root().parent.name,
                        Path(__file__), Path(cpio.__file__), Path(kernels.__file__), *parts)


def l1_boot(version: str) -> Path:
    """The artifact l1-boot-VERSION."""
    def build(into: Path) -> None:
        kernel = kernels.kernel(version)
        boot, names = read_modules(BED / "modules.l1")
        archive = cpio.Cpio()
        _add_busybox(archive)
        _add_modules(archive, kernel, names)
        archive.file("boot-modules", ("\n".join(boot) + "\n").encode())
        with tempfile.TemporaryDirectory() as scratch:
            module.build(L1_MODULE, Path(scratch), version)
            for path in Path(scratch).glob("*.ko"):
                release = (kernel / "release").read_text()
                archive.file(f"lib/modules/{release}/{path.name}", path)
        archive.file("init", BED / "l1/stage1.sh", 0o755)
        (into / "initrd").write_bytes(archive.finish())
        (into / "vmlinux").write_bytes(kernels.vmlinux((kernel / "vmlinuz").read_bytes()))

    return cache.artifact(f"l1-boot-{version}",
                          _boot_key(version, BED / "modules.l1", BED / "l1/stage1.sh",
                                    Path(module.__file__), *sorted(L1_MODULE.iterdir())), build)


def guest(version: str) -> Path:
    """The artifact guest-VERSION."""
    def build(into: Path) -> None:
        kernel = kernels.kernel(version)
        boot, names = read_modules(BED / "modules.guest")
        archive = cpio.Cpio()
        _add_busybox(archive)
        _add_modules(archive, kernel, names)
        archive.file("boot-modules", ("\n".join(boot) + "\n").encode())
        archive.file("bed/disk.sums", disk() / "disk.sums")
        (into / "initrd").write_bytes(archive.finish())
        (into / "release").write_text((kernel / "release").read_text())
        vmlinuz = (kernel / "vmlinuz").read_bytes()
        (into / "vmlinux").write_bytes(kernels.vmlinux(vmlinuz))
        bootdisk.write(into, vmlinuz, DISK_BYTES)

    key = _boot_key(version, BED / "modules.guest", BED / "packages.boot", Path(bootdisk.__file__),
                    Path(ext4.__file__))
    return cache.artifact(f"guest-{version}", key, build)


def sector(number: int) -> bytes:
    """The content of one sector of the disk: its number, then a pattern of it."""
    word = struct.pack("<Q", number)
    pattern = struct.pack("<Q", (number * 0x9E3779B97F4A7C15 + 1) & (1 << 64) - 1)
    return word + pattern * (SECTOR // 8 - 1)


def disk() -> Path:
    """The artifact with disk.raw and disk.sums."""
    def build(into: Path) -> None:
        digest = hashlib.sha256()
        sums = []
        per_mib = (1 << 20) // SECTOR
        with (into / "disk.raw").open("wb") as file:
            for mib in range(DISK_BYTES >> 20):
                data = b"".join(sector(mib * per_mib + i) for i in range(per_mib))
                file.write(data)
                digest.update(data)
                if mib + 1 in SUM_MIB:
                    sums.append(f"{mib + 1} {digest.hexdigest()}\n")
        (into / "disk.sums").write_text("".join(sums))

    return cache.artifact("disk", cache.key_of(Path(__file__)), build)
