# SPDX-License-Identifier: GPL-2.0-or-later
"""The start of a disk that a guest boots from by itself, as a PC's firmware does it.

boot.raw of the artifact guest-V: GRUB's boot sector with a partition table, its
core image behind that, and the first partition, an ext4 file system with Debian's
own kernel image. The second partition, for data, begins where the file ends. L1
adds GRUB's configuration and the initramfs of each start (lib/boot.sh).
"""

import struct
import subprocess
from pathlib import Path

from bedlib import apt, cache, ext4, roots
from bedlib.config import BED, BedError, read_list

SECTOR = 512
CORE_SECTOR = 1  # where GRUB's boot sector looks for the core image
SYSTEM_SECTOR = 2048
SYSTEM_BYTES = 64 << 20
# What it takes to find a configuration on the first partition, and to obey it.
MODULES = ("biosdisk", "part_msdos", "ext2", "normal", "linux", "serial", "terminal", "echo")


def _grub() -> Path:
    """The tree with the boot loader."""
    def build(into: Path) -> None:
        roots.unpack_closure("grub", read_list(BED / "packages.boot"), into)

    key = cache.key_of(BED / "packages.boot", BED / "preferences", Path(apt.__file__), Path(roots.__file__))
    return cache.artifact("grub", key, build) / "root"


def _core_image(tree: Path, scratch: Path) -> bytes:
    path = scratch / "core.img"
    subprocess.run(roots.loader(tree, "usr/bin/grub-mkimage")
                   + ["-O", "i386-pc", "-d", str(tree / "usr/lib/grub/i386-pc"),
                      "-p", "(hd0,msdos1)/boot/grub", "-o", str(path), *MODULES],
                   check=True, capture_output=True)
    core = path.read_bytes()
    path.unlink()
    if len(core) > (SYSTEM_SECTOR - CORE_SECTOR) * SECTOR:
        raise BedError("GRUB's core image does not fit in front of the first partition")
    return core


def _boot_sector(boot: bytes, disk_bytes: int) -> bytes:
    """GRUB's code, and two partitions: the first is active."""
    data_sector = SYSTEM_SECTOR + SYSTEM_BYTES // SECTOR
    table = b""
    for flag, first, end in ((0x80, SYSTEM_SECTOR, data_sector),
                             (0, data_sector, disk_bytes // SECTOR)):
        table += struct.pack("<B3sB3sII", flag, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff",
                             first, end - first)
    return boot[:446] + table + bytes(64 - len(table)) + b"\x55\xaa"


def _system(vmlinuz: bytes, scratch: Path) -> Path:
    """The first partition."""
    tree = scratch / "system"
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "vmlinuz").write_bytes(vmlinuz)
    image = scratch / "system.ext4"
    ext4.make(tree, image, SYSTEM_BYTES)
    return image


def write(into: Path, vmlinuz: bytes, disk_bytes: int) -> None:
    """Make boot.raw, for a disk of so many bytes, in a directory."""
    tree = _grub()
    scratch = into / "scratch"
    scratch.mkdir()
    boot = (tree / "usr/lib/grub/i386-pc/boot.img").read_bytes()
    image = _system(vmlinuz, scratch)
    with (into / "boot.raw").open("wb") as file:
        file.write(_boot_sector(boot, disk_bytes))
        file.write(_core_image(tree, scratch))
        file.seek(SYSTEM_SECTOR * SECTOR)
        file.write(image.read_bytes())
    cache.remove_tree(scratch)
