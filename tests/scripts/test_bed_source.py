# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of tests/bed/bedlib/source.py: which files of a kernel's source are taken."""

import io
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/bed"))

from bedlib import source  # noqa: E402
from bedlib.config import BedError  # noqa: E402

SOURCE = ("Makefile", "kernel/dma/Makefile", "kernel/dma/map.c", "tools/a/map.c", "tools/b/old.c")


def archive(names=SOURCE):
    """A kernel's source whose files hold their own names."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as tar:
        for name in names:
            member = tarfile.TarInfo(f"linux-source-1.2/{name}")
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    return io.BytesIO(data.getvalue())


class Take(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.into = Path(folder.name)

    def there(self):
        found = {str(path.relative_to(self.into)): path.read_text() for path in self.into.rglob("*")
                 if path.is_file()}
        self.assertTrue(all(text == name for name, text in found.items()), found)
        return sorted(found)

    def test_named_files(self):
        """Those that are wanted, at their places, and no others of the same name."""
        source.take(archive(), ["kernel/dma/map.c", "Makefile"], self.into)
        self.assertEqual(self.there(), ["Makefile", "kernel/dma/map.c"])

    def test_other_places(self):
        """A file may be elsewhere in another version; its line wants one of them, the next another."""
        source.take(archive(), ["tools/b/old.c kernel/dma/map.c", "tools/b/new.c tools/a/map.c"], self.into)
        self.assertEqual(self.there(), ["kernel/dma/map.c", "tools/a/map.c"])

    def test_none(self):
        """What is in none of its places is named; the other files do not stand for it."""
        with self.assertRaisesRegex(BedError, "none of these files: tools/x.c tools/y.c$"):
            source.take(archive(), ["Makefile", "tools/x.c tools/y.c"], self.into)

    def test_no_file(self):
        """A directory of that name is none."""
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w:xz") as tar:
            member = tarfile.TarInfo("linux-source-1.2/kernel")
            member.type = tarfile.DIRTYPE
            tar.addfile(member)
        with self.assertRaisesRegex(BedError, "kernel"):
            source.take(io.BytesIO(data.getvalue()), ["kernel"], self.into)


if __name__ == "__main__":
    unittest.main()
