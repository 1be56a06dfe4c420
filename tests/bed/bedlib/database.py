# SPDX-License-Identifier: GPL-2.0-or-later
"""PostgreSQL with all that it needs to run in a chroot: database.ext4, read-only in use.

Guests of the bed have busybox alone. Who wants a database there mounts this, binds /dev, /proc
and a folder for data to its /pg, and runs setpriv, as the user postgres, in it. What only
maintainer scripts, just-in-time compiling and people need is not there.
"""

import shutil
from pathlib import Path

from bedlib import apt, cache, ext4, roots
from bedlib.config import BED, read_list

IMAGE_BYTES = 256 << 20
USER = "postgres:x:70:70::/:/bin/sh\n"
MOUNT_POINTS = ("pg", "proc", "dev", "tmp")
LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/perl*", "usr/share/i18n", "usr/share/info",
            "usr/share/postgresql/*/man", "usr/lib/postgresql/*/lib/bitcode", "usr/lib/postgresql/*/lib/llvmjit*",
            f"{roots.LIBS}/libLLVM*", f"{roots.LIBS}/perl*", f"{roots.LIBS}/libz3*", f"{roots.LIBS}/gconv",
            f"{roots.LIBS}/libperl*", "usr/lib/llvm*", "usr/bin/perl*", "var/cache", "var/lib/apt", "boot", "home",
            "usr/share/locale-langpack", "usr/lib/locale")


def image() -> Path:
    """The file database.ext4."""
    def build(into: Path) -> None:
        roots.unpack_closure("database", read_list(BED / "packages.database"), into)
        tree = into / "root"
        roots.finish(tree)
        for pattern in LEFT_OUT:
            for path in tree.glob(pattern):
                if path.is_dir() and not path.is_symlink():
                    cache.remove_tree(path)
                else:
                    path.unlink()
        for name in MOUNT_POINTS:
            (tree / name).mkdir(exist_ok=True)
        for name, line in (("passwd", USER), ("group", "postgres:x:70:\n")):
            with (tree / "etc" / name).open("a") as file:
                file.write(line)
        ext4.make(tree, into / "database.ext4", IMAGE_BYTES)
        cache.remove_tree(tree)

    key = cache.key_of(BED / "packages.database", BED / "preferences", Path(apt.__file__), Path(roots.__file__),
                       Path(ext4.__file__), Path(__file__))
    return cache.artifact("database", key, build) / "database.ext4"


def put(file: Path) -> None:
    """A copy of the image at a place that L1 sees."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(image(), file)
