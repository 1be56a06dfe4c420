# SPDX-License-Identifier: GPL-2.0-or-later
"""Paths, names and small helpers that every part of the driver shares.

Owns no state but the clock of the progress lines. Nothing here touches the
disk except to read the lists beside this package.
"""

import os
import shutil
import sys
import time
from pathlib import Path

BED = Path(__file__).resolve().parent.parent
TOP = BED.parent.parent
CACHE = Path(
    os.environ.get("PVDMA_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pvdma"
).absolute()

# Kernel version, as the command line names it -> the suite that carries it.
KERNELS = {
    "6.1": "bookworm",
    "6.12": "trixie",
    "7.3": "trixie-backports",
}
L1_KERNELS = ("6.12", "7.3")
DEFAULT_KERNEL = "6.12"

_start = time.monotonic()


class BedError(Exception):
    """A failure with a message for a person; the driver prints it and ends."""


def progress(text: str) -> None:
    """One line on stderr, stamped with the seconds since the driver began."""
    print(f"bed: {time.monotonic() - _start:5.1f}s {text}", file=sys.stderr, flush=True)


def read_list(path: Path) -> list[str]:
    """The lines of a list file without comments and blanks."""
    lines = (line.split("#", 1)[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def read_modules(path: Path) -> tuple[list[str], list[str]]:
    """A module list: (modules that the init loads in this order, all modules)."""
    boot: list[str] = []
    names: list[str] = []
    for line in read_list(path):
        words = line.split()
        if words[0] == "@boot":
            boot += words[1:]
            words = words[1:]
        names += words
    return boot, names


def require_packages() -> None:
    """Raise BedError naming each Debian package that the machine lacks."""
    missing = []
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for line in read_list(BED / "packages"):
        package, proof = line.split()
        found = Path(proof).exists() if proof.startswith("/") else shutil.which(proof, path=path)
        if not found:
            missing.append(package)
    if missing:
        raise BedError(
            "missing on this machine: " + " ".join(missing)
            + "\n     install with (as root): apt-get install --no-install-recommends "
            + " ".join(missing)
        )


def tool(name: str) -> str:
    """Absolute path of a program that may live in an sbin directory."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise BedError(f"{name} is not installed (see {BED / 'packages'})")
    return found
