# SPDX-License-Identifier: GPL-2.0-or-later
"""ext4 file systems made of trees, without root rights."""

import os
import subprocess
from pathlib import Path

from bedlib.config import BedError, tool


def make(tree: Path, image: Path, size: int, *options: str) -> None:
    """A file of that many bytes with what is in a tree, all of it root's."""
    with image.open("wb") as file:
        file.truncate(size)
    argv = [tool("mkfs.ext4"), "-q", "-F", "-O", "^has_journal", "-m0", *options,
            "-d", str(tree), str(image)]
    if os.geteuid() != 0:
        # in a user namespace of one id, our files are root's
        argv = [tool("unshare"), "-r", *argv]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BedError(f"mkfs.ext4 failed: {done.stderr}")
