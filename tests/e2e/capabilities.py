# SPDX-License-Identifier: GPL-2.0-or-later
"""capabilities.py GUEST-HEX HOST-CONFIG: compares two views of a PCI device.

Fails unless the guest's list of capabilities has the pvdma capability once,
and besides it at least all that the host's has (DEV-CAP-1).
"""

import sys
from pathlib import Path

VENDOR = 0x09
MAGIC = b"PVDM"


def capabilities(config):
    """(id, offset) of each capability; raises ValueError for a broken list."""
    if not config[6] & 0x10:
        return
    at, seen = config[0x34] & ~3, set()
    while at:
        if at in seen or at < 0x40:
            raise ValueError(f"the list leads to {at:#x}")
        seen.add(at)
        yield config[at], at
        at = config[at + 1] & ~3


def main(guest_path, host_path):
    guest = bytes.fromhex(Path(guest_path).read_text(encoding="ascii").strip())
    host = Path(host_path).read_bytes()
    theirs = list(capabilities(guest))
    ours = list(capabilities(host))
    print("guest:", theirs, "host:", ours)
    pvdma = [at for kind, at in theirs if kind == VENDOR and guest[at + 4:at + 8] == MAGIC]
    if len(pvdma) != 1:
        raise SystemExit(f"{len(pvdma)} pvdma capabilities")
    left = [kind for kind, at in theirs if at not in pvdma]
    for kind, at in ours:
        if kind not in left:
            raise SystemExit(f"the guest lacks capability {kind:#x}, which the host has at {at:#x}")
        left.remove(kind)


if __name__ == "__main__":
    main(*sys.argv[1:3])
