# SPDX-License-Identifier: GPL-2.0-or-later
"""A file system that is full at will.

    with SmallDisk(path) as disk:
        disk.fill()
        disk.drain()

Mounts a small tmpfs on a folder, in a mount namespace that this process enters for
the rest of its life (and all that it starts). Takes root, or user namespaces.
"""

import ctypes
import errno
import os
import subprocess
import unittest
from pathlib import Path

CLONE_NEWNS = 0x20000
CLONE_NEWUSER = 0x10000000
SIZE = 256 * 1024

_libc = ctypes.CDLL(None, use_errno=True)
_entered = False  # pylint: disable=invalid-name


def _enter():
    global _entered  # pylint: disable=global-statement
    if _entered:
        return
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(CLONE_NEWNS | (CLONE_NEWUSER if uid else 0)) < 0:
        raise unittest.SkipTest("no mount namespace of our own: "
                                + os.strerror(ctypes.get_errno()))
    if uid:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    _entered = True


class SmallDisk:
    """The file system; enter it before there are threads."""

    def __init__(self, path):
        self.path = Path(path)
        self.ballast = self.path / "ballast"

    def __enter__(self):
        _enter()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=755,size={SIZE}", "none", str(self.path)],
                       check=True)
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)

    def fill(self):
        """Not one more byte finds room."""
        with self.ballast.open("ab", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(4096))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    return

    def drain(self):
        """There is room again."""
        self.ballast.unlink()
