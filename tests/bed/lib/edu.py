# SPDX-License-Identifier: GPL-2.0-or-later
"""edu.py BDF read|write IOVA [BYTES]: one DMA of QEMU's edu device, from L1.

read: the device reads BYTES (at most 4096) at IOVA into its buffer; write: it
writes its buffer there. The device gets no driver and no mapping: unless
something mapped IOVA, the IOMMU must block it. Status 0 when the device says
that the transfer ended (it says so for a blocked one too).
"""

import mmap
import os
import struct
import sys
import time

SOURCE, TARGET, COUNT, COMMAND = 0x80, 0x88, 0x90, 0x98
START, TO_MEMORY = 1, 2
BUFFER = 0x40000
PCI_COMMAND = 4
MEMORY_AND_MASTER = 0x6


def main() -> int:
    """Enable the device, start the DMA through its registers, await its end."""
    bdf, direction, iova = sys.argv[1], sys.argv[2], int(sys.argv[3], 0)
    count = int(sys.argv[4], 0) if len(sys.argv) > 4 else 4096
    path = f"/sys/bus/pci/devices/{bdf}"
    with open(f"{path}/config", "r+b", buffering=0) as config:
        config.seek(PCI_COMMAND)
        command, = struct.unpack("<H", config.read(2))
        config.seek(PCI_COMMAND)
        config.write(struct.pack("<H", command | MEMORY_AND_MASTER))
    fd = os.open(f"{path}/resource0", os.O_RDWR | os.O_SYNC)
    with mmap.mmap(fd, 4096) as registers:
        view = memoryview(registers).cast("Q")
        source, target = (BUFFER, iova) if direction == "write" else (iova, BUFFER)
        view[SOURCE // 8] = source
        view[TARGET // 8] = target
        view[COUNT // 8] = count
        view[COMMAND // 8] = START | (TO_MEMORY if direction == "write" else 0)
        deadline = time.monotonic() + 30
        while view[COMMAND // 8] & START and time.monotonic() < deadline:
            time.sleep(0.05)
        busy = view[COMMAND // 8] & START
        view.release()
    os.close(fd)
    return 1 if busy else 0


if __name__ == "__main__":
    sys.exit(main())
