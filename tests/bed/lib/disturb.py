# SPDX-License-Identifier: GPL-2.0-or-later
"""disturb.py kicks|restores SECONDS: does to the other CPUs what the emulator bears badly.

On a machine of its own, both are nothing special:
  kicks     an atomic access that is not aligned, for which the emulator stops the world:
            see l1/inject;
  restores  of the FPU's state, with each of which the emulator writes to the first CPU's
            flags: see FIRST_CPU in bedlib/l0.py.
"""

import ctypes
import mmap
import sys
import time

# lock addq $1, (%rdi); ret
KICK = bytes((0xF0, 0x48, 0x83, 0x07, 0x01, 0xC3))
# fxsave (%rdi); mov $100000, %ecx; 1: fxrstor (%rdi); loop 1b; ret
RESTORE = bytes((0x0F, 0xAE, 0x07, 0xB9, 0xA0, 0x86, 0x01, 0x00, 0x0F, 0xAE, 0x0F, 0xE2, 0xFB, 0xC3))
KINDS = {"kicks": (KICK, 64 + 3, 0.0002), "restores": (RESTORE, 64, 0)}


def main() -> int:
    """Makes the access, a word across two, five thousand times a second or less; or restores."""
    code, offset, pause = KINDS[sys.argv[1]]
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
    end = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < end:
        call(address + offset)
        time.sleep(pause)
    return 0


if __name__ == "__main__":
    sys.exit(main())
