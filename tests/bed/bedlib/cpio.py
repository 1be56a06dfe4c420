# SPDX-License-Identifier: GPL-2.0-or-later
"""A writer of initramfs archives (cpio, newc): everything is owned by root.

Archives are not compressed: decompression is slow under emulation.
"""

import io
import stat
from pathlib import Path


class Cpio:
    """Collects entries and yields the archive; parents are made as needed."""

    def __init__(self) -> None:
        self._out = io.BytesIO()
        self._seen: set[str] = set()
        self._inode = 0

    def _entry(self, name: str, mode: int, data: bytes = b"", rdev: "tuple[int, int]" = (0, 0)) -> None:
        self._inode += 1
        encoded = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(encoded), 0)
        self._out.write(b"070701" + "".join(f"{field:08X}" for field in fields).encode())
        self._out.write(encoded)
        self._pad()
        self._out.write(data)
        self._pad()

    def _pad(self) -> None:
        self._out.write(b"\0" * (-self._out.tell() % 4))

    def directory(self, name: str) -> None:
        """Add a directory, and its parents, once."""
        name = name.strip("/")
        if not name or name in self._seen:
            return
        if "/" in name:
            self.directory(name.rsplit("/", 1)[0])
        self._seen.add(name)
        self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name: str, data: "bytes | Path", mode: int = 0o644) -> None:
        """Add a regular file from bytes or from a file."""
        name = name.strip("/")
        self._parent(name)
        self._entry(name, stat.S_IFREG | mode, data.read_bytes() if isinstance(data, Path) else data)

    def symlink(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        name = name.strip("/")
        self._parent(name)
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name: str, major: int, minor: int) -> None:
        """Add a character device."""
        name = name.strip("/")
        self._parent(name)
        self._entry(name, stat.S_IFCHR | 0o600, rdev=(major, minor))

    def _parent(self, name: str) -> None:
        if "/" in name:
            self.directory(name.rsplit("/", 1)[0])

    def finish(self) -> bytes:
        """Close the archive and return it, padded so that another may follow."""
        self._entry("TRAILER!!!", 0)
        self._out.write(b"\0" * (-self._out.tell() % 512))
        return self._out.getvalue()
