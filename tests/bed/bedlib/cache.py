# SPDX-License-Identifier: GPL-2.0-or-later
"""The artifact cache.

An artifact is a directory CACHE/NAME-KEY, where KEY is a hash of everything
that it is made of. It is built in a scratch directory beside it and renamed
into place, so that a directory with that name is complete, and it is never
written afterwards. Nothing in the cache is needed: what is missing is built.

Locks: CACHE/locks/NAME-KEY is held exclusively (flock) by the one process that
builds the artifact and shared by everyone who uses it, for as long as the
process lives; prune() removes an artifact only under its exclusive lock.
Within one process, the builds of independent artifacts run in threads, and a
per-artifact threading.Lock plays the same part.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Callable

from bedlib.config import CACHE, progress

KEEP_SECONDS = 14 * 24 * 3600

_held: dict[str, int] = {}
_thread_locks: dict[str, threading.Lock] = {}
_guard = threading.Lock()


def key_of(*parts: "str | bytes | Path") -> str:
    """A short hash over texts and the contents of files, in order."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            data = part.read_bytes()
        elif isinstance(part, str):
            data = part.encode()
        else:
            data = part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:12]


def remove_tree(path: Path) -> None:
    """rm -rf, also for directories that packages ship without write bits."""
    if not path.exists():
        return
    for base, dirs, _ in os.walk(path):
        for name in dirs:
            entry = os.path.join(base, name)
            if not os.path.islink(entry):
                os.chmod(entry, os.stat(entry).st_mode | 0o700)
    shutil.rmtree(path)


def _lock(full: str, kind: int) -> int:
    (CACHE / "locks").mkdir(parents=True, exist_ok=True)
    fd = os.open(CACHE / "locks" / full, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"{full}: another process builds it, waiting")
            fcntl.flock(fd, kind)
    except BaseException:
        os.close(fd)
        raise
    return fd


def artifact(name: str, key: str, build: Callable[[Path], None]) -> Path:
    """The directory of an artifact, built by build(scratch directory) if missing.

    The shared lock taken here stays until the process ends, so the artifact
    cannot be pruned under its user. An exception of build() is passed on, and
    leaves nothing behind.
    """
    full = f"{name}-{key}"
    path = CACHE / full
    with _guard:
        thread_lock = _thread_locks.setdefault(full, threading.Lock())
    with thread_lock:
        if full in _held:
            return path
        fd = _lock(full, fcntl.LOCK_SH)
        try:
            if not path.exists():
                os.close(fd)
                fd = _lock(full, fcntl.LOCK_EX)
                if not path.exists():
                    _build(name, path, build)
                fcntl.flock(fd, fcntl.LOCK_SH)
            os.utime(CACHE / "locks" / full)
        except BaseException:
            os.close(fd)
            raise
        _held[full] = fd
    return path


def _build(name: str, path: Path, build: Callable[[Path], None]) -> None:
    start = time.monotonic()
    scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=CACHE))
    try:
        scratch.chmod(0o755)
        build(scratch)
        scratch.rename(path)
    finally:
        remove_tree(scratch)
    progress(f"{name}: ready ({time.monotonic() - start:.1f}s)")


class Mutex:
    """An exclusive lock of a name, between threads and processes."""

    def __init__(self, name: str):
        self._name = name
        self._fd = -1
        with _guard:
            self._lock = _thread_locks.setdefault(name, threading.Lock())

    def __enter__(self) -> "Mutex":
        self._lock.acquire()
        try:
            self._fd = _lock(self._name, fcntl.LOCK_EX)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
        self._lock.release()


def prune() -> None:
    """Remove artifacts that nobody used for two weeks, and dead scratch."""
    now = time.time()
    for path in CACHE.iterdir() if CACHE.exists() else ():
        if path.name == "locks" or path.name.startswith("apt-"):
            continue
        if path.name.startswith("."):
            if now - path.stat().st_mtime > 24 * 3600:
                remove_tree(path)
            continue
        lock = CACHE / "locks" / path.name
        if path.name in _held:
            continue
        if lock.exists() and now - lock.stat().st_mtime < KEEP_SECONDS:
            continue
        _remove_unused(path)


def _remove_unused(path: Path) -> bool:
    """Remove an artifact unless a living process uses it."""
    lock = CACHE / "locks" / path.name
    lock.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_tree(path)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(fd)


def clean() -> None:
    """Remove every artifact that no living process uses."""
    for path in sorted(CACHE.iterdir()) if CACHE.exists() else ():
        if path.name == "locks":
            continue
        if path.name.startswith("."):
            progress(f"left alone: {path} (a build in progress, or its remains)")
        elif _remove_unused(path):
            progress(f"removed {path.name}")
        else:
            progress(f"left alone: {path.name} (in use)")
