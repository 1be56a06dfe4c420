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
import unittest
from pathlib import Path

CLONE_NEWNS = 0x20000
CLONE_NEWUSER = 0x10000000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 2
SIZE = 256 * 1024

_libc = ctypes.CDLL(None, use_errno=True)
_entered = False  # pylint: disable=invalid-name


def _call(what, function, *args):
    """Of libc itself: a program would lose the rights that a user namespace gives."""
    if function(*args) < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def _enter():
    global _entered  # pylint: disable=global-statement
    if _entered:
        return
    uid, gid = os.geteuid(), os.getegid()
    try:
        _call("unshare", _libc.unshare, CLONE_NEWNS | (CLONE_NEWUSER if uid else 0))
    except OSError as error:
        raise unittest.SkipTest(f"no mount namespace of our own: {error}") from None
    if uid:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    _call("mount", _libc.mount, b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    _entered = True


class SmallDisk:
    """The file system; enter it before there are threads."""

    def __init__(self, path):
        self.path = Path(path)
        self.ballast = self.path / "ballast"

    def __enter__(self):
        _enter()
        _call("mount", _libc.mount, b"none", bytes(self.path), b"tmpfs", 0,
              f"mode=755,size={SIZE}".encode())
        return self

    def __exit__(self, *_):
        _call("umount", _libc.umount2, bytes(self.path), MNT_DETACH)

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
