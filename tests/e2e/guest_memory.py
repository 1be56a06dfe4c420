# SPDX-License-Identifier: GPL-2.0-or-later
"""The memory of a guest as its host sees it, and atomic operations on its words."""

import ctypes
import mmap
import os

ATOMIC = ctypes.CDLL("libatomic.so.1")
for _name in ("__atomic_fetch_or_4", "__atomic_fetch_and_4", "__atomic_load_4"):
    getattr(ATOMIC, _name).restype = ctypes.c_uint32


class Memory:
    """The guest's memory as QEMU announced it."""

    def __init__(self):
        self.regions = []

    def set(self, regions, fds):
        self.regions = []
        for (gpa, size, uva, offset), fd in zip(regions, fds):
            area = mmap.mmap(fd, size + offset)
            base = ctypes.addressof(ctypes.c_char.from_buffer(area))
            self.regions.append((gpa, size, uva, base + offset, area))
            os.close(fd)

    def _find(self, addr, size, start):
        for region in self.regions:
            if region[start] <= addr and addr + size <= region[start] + region[1]:
                return region[3] + addr - region[start]
        return None

    def gpa(self, addr, size):
        return self._find(addr, size, 0)

    def uva(self, addr, size):
        return self._find(addr, size, 2)


def read(address, size):
    return ctypes.string_at(address, size)


def write(address, data):
    ctypes.memmove(address, data, len(data))


def fetch_or(address, bits):
    return getattr(ATOMIC, "__atomic_fetch_or_4")(
        ctypes.c_void_p(address), ctypes.c_uint32(bits), 5)


def fetch_and(address, bits):
    return getattr(ATOMIC, "__atomic_fetch_and_4")(
        ctypes.c_void_p(address), ctypes.c_uint32(bits & 0xFFFFFFFF), 5)


def load(address):
    return getattr(ATOMIC, "__atomic_load_4")(ctypes.c_void_p(address), 5)


def exchange_if(address, old, new):
    """The one atomic step of an eviction."""
    expected = ctypes.c_uint32(old)
    call = getattr(ATOMIC, "__atomic_compare_exchange_4")
    call.restype = ctypes.c_bool
    return call(ctypes.c_void_p(address), ctypes.byref(expected),
                ctypes.c_uint32(new), 5, 5)
