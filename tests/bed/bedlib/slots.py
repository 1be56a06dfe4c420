# SPDX-License-Identifier: GPL-2.0-or-later
"""How many beds run at once on this machine.

A bed keeps about one CPU busy with software emulation. More of them than the
machine has CPUs do not end sooner: guests lose timer interrupts, and tests
fail by time-out. So a run takes a slot, one for each CPU, and waits until
there is one. PVDMA_BED_SLOTS sets another number.

A slot is a file lock, so it is given back however its holder ends.
"""

import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Iterator

from bedlib.config import CACHE, BedError, progress

POLL_SECONDS = 0.5


def count() -> int:
    """The number of slots."""
    text = os.environ.get("PVDMA_BED_SLOTS", "")
    if not text:
        return len(os.sched_getaffinity(0))
    if not text.isdecimal() or int(text) < 1:
        raise BedError(f"PVDMA_BED_SLOTS wants a number from 1, not '{text}'")
    return int(text)


def _try(path: Path) -> "IO[str] | None":
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


@contextmanager
def slot() -> Iterator[None]:
    """Hold one of the slots, once there is one."""
    locks = CACHE / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    told = False
    while True:
        for number in range(count()):
            file = _try(locks / f"slot-{number}")
            if file:
                with file:
                    yield
                return
        if not told:
            progress("other beds run on this machine: waiting for a slot")
            told = True
        time.sleep(POLL_SECONDS)
