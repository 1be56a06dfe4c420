# SPDX-License-Identifier: GPL-2.0-or-later
"""kicks.py SECONDS: makes this CPU's thread kick that of each other CPU, all the time.

The emulator stops the world for an atomic access that is not aligned, which on a machine
of its own is nothing special. What l1/inject keeps clear of shows at once then.
"""

import ctypes
import mmap
import sys
import time

# lock addq $1, (%rdi); ret
CODE = bytes((0xF0, 0x48, 0x83, 0x07, 0x01, 0xC3))


def main() -> int:
    """Adds one, a word across two, five thousand times a second or less."""
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(CODE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    add = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
    end = time.monotonic() + float(sys.argv[1])
    while time.monotonic() < end:
        add(address + 64 + 3)
        time.sleep(0.0002)
    return 0


if __name__ == "__main__":
    sys.exit(main())
