# SPDX-License-Identifier: GPL-2.0-or-later
"""Open files, as kcmp(2) tells them apart."""

import ctypes
import os

SYS_KCMP = 312      # x86-64
KCMP_FILE = 0
_libc = ctypes.CDLL(None, use_errno=True)


def same_file(one, other):
    """Are both descriptors of the same open file? systemd's store has it only once then."""
    pid = os.getpid()
    result = _libc.syscall(SYS_KCMP, pid, pid, KCMP_FILE, ctypes.c_ulong(one),
                           ctypes.c_ulong(other))
    if result < 0:
        raise OSError(ctypes.get_errno(), "kcmp")
    return result == 0
