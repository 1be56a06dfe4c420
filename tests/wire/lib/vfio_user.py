# SPDX-License-Identifier: GPL-2.0-or-later
"""A vfio-user client: what a VMM sends, and what it never would.

Written against the protocol's text alone, so that it disagrees with the agent
where one of the two is wrong.
"""

import array
import json
import os
import socket
import struct
from dataclasses import dataclass, field

VERSION = 1
DMA_MAP = 2
DMA_UNMAP = 3
DEVICE_GET_INFO = 4
DEVICE_GET_REGION_INFO = 5
DEVICE_GET_REGION_IO_FDS = 6
DEVICE_GET_IRQ_INFO = 7
DEVICE_SET_IRQS = 8
REGION_READ = 9
REGION_WRITE = 10
DMA_READ = 11
DMA_WRITE = 12
DEVICE_RESET = 13
REGION_WRITE_MULTI = 15
DEVICE_FEATURE = 16

TYPE_COMMAND = 0
TYPE_REPLY = 1
NO_REPLY = 0x10
ERROR = 0x20

HEADER = struct.Struct("=HHIII")
REGION_INFO = struct.Struct("=IIIIQQ")

# struct vfio_region_info.flags
REGION_READABLE, REGION_WRITABLE, REGION_MMAP, REGION_CAPS = 1, 2, 4, 8
# struct vfio_irq_set.flags
DATA_NONE, DATA_BOOL, DATA_EVENTFD = 1, 2, 4
ACTION_MASK, ACTION_UNMASK, ACTION_TRIGGER = 8, 16, 32
# indices of regions and interrupts of PCI devices
BAR0, BAR1, BAR2, ROM, CONFIG = 0, 1, 2, 6, 7
INTX, MSI, MSIX, ERR, REQ = range(5)

# What QEMU 11.1 sends.
QEMU_CAPABILITIES = {
    "capabilities": {
        "pgsizes": 4096,
        "max_msg_fds": 16,
        "max_dma_maps": 65535,
        "max_data_xfer_size": 1048576,
        "migration": {"pgsize": 4096, "max_bitmap_size": 268435456},
        "write_multiple": True,
    }
}


class RemoteError(Exception):
    """The agent answered with an error."""

    def __init__(self, errno, command):
        super().__init__(f"command {command}: {os.strerror(errno)}")
        self.errno = errno


class Disconnected(Exception):
    """The agent ended the connection."""


@dataclass
class Reply:
    id: int
    command: int
    size: int
    flags: int
    error: int
    body: bytes = b""
    fds: list = field(default_factory=list)


@dataclass
class RegionInfo:
    argsz: int
    flags: int
    index: int
    cap_offset: int
    size: int
    offset: int
    raw: bytes
    fd: int


class Client:
    """One connection; owns the socket and the fds of replies not yet taken."""

    def __init__(self, sock):
        self.sock = sock
        self._id = 0x100

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # --- raw ---

    def send_raw(self, data, fds=()):
        ancillary = []
        if fds:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        try:
            sent = self.sock.sendmsg([data], ancillary)
            if sent < len(data):
                self.sock.sendall(data[sent:])
        except (BrokenPipeError, ConnectionResetError):
            raise Disconnected from None

    def send(self, command, body=b"", fds=(), flags=0, size=None):
        """Sends one message and returns its id; size overrides the header's."""
        self._id = (self._id + 1) & 0xffff
        header = HEADER.pack(self._id, command, HEADER.size + len(body) if size is None else size,
                             flags, 0)
        self.send_raw(header + body, fds)
        return self._id

    def _receive(self, count, fds):
        data = b""
        while len(data) < count:
            try:
                part, ancillary, _, _ = self.sock.recvmsg(
                    count - len(data), socket.CMSG_SPACE(16 * 4), socket.MSG_CMSG_CLOEXEC)
            except ConnectionResetError:
                raise Disconnected from None
            for level, kind, payload in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    got = array.array("i")
                    got.frombytes(payload[:len(payload) - len(payload) % got.itemsize])
                    fds += got
            if not part:
                raise Disconnected
            data += part
        return data

    def receive(self):
        fds = []
        reply = Reply(*HEADER.unpack(self._receive(HEADER.size, fds)))
        reply.body = self._receive(reply.size - HEADER.size, fds)
        reply.fds = fds
        return reply

    def call(self, command, body=b"", fds=(), flags=0, size=None):
        """Sends one message, returns its reply; RemoteError if it is one."""
        sent = self.send(command, body, fds, flags, size)
        reply = self.receive()
        if (reply.id, reply.command) != (sent, command):
            raise AssertionError(f"reply to {(reply.id, reply.command)}, not {(sent, command)}")
        if reply.flags & 0xf != TYPE_REPLY:
            raise AssertionError(f"flags of a reply are {reply.flags:#x}")
        if reply.flags & ERROR:
            if reply.body or reply.fds:
                raise AssertionError("an error reply carries something")
            raise RemoteError(reply.error, command)
        if reply.error:
            raise AssertionError(f"error {reply.error} in a good reply")
        return reply

    def disconnected(self):
        """Whether the agent ends the connection (waits for it)."""
        try:
            self.receive()
        except Disconnected:
            return True
        return False

    # --- messages ---

    def version(self, major=0, minor=0, data=None):
        """Returns (major, minor, the JSON of the reply)."""
        if data is None:
            data = json.dumps(QEMU_CAPABILITIES).encode() + b"\0"
        body = self.call(VERSION, struct.pack("=HH", major, minor) + data).body
        if body[-1:] != b"\0":
            raise AssertionError("no NUL behind the JSON")
        return *struct.unpack("=HH", body[:4]), json.loads(body[4:-1])

    def dma_map(self, address, size, fd=None, offset=0, flags=3, argsz=32):
        body = struct.pack("=IIQQQ", argsz, flags, offset, address, size)
        self.call(DMA_MAP, body, [] if fd is None else [fd])

    def dma_unmap(self, address, size, flags=0, argsz=24):
        body = struct.pack("=IIQQ", argsz, flags, address, size)
        if self.call(DMA_UNMAP, body).body != body:
            raise AssertionError("DMA_UNMAP does not return its request")

    def get_info(self, argsz=16):
        """Returns (argsz, flags, regions, irqs)."""
        return struct.unpack("=IIII", self.call(
            DEVICE_GET_INFO, struct.pack("=IIII", argsz, 0, 0, 0)).body)

    def region_info(self, index, argsz=32):
        reply = self.call(DEVICE_GET_REGION_INFO, REGION_INFO.pack(argsz, 0, index, 0, 0, 0))
        if len(reply.body) > max(argsz, 32):
            raise AssertionError("the reply is larger than the request allows")
        fields = REGION_INFO.unpack(reply.body[:REGION_INFO.size])
        if len(reply.fds) > 1:
            raise AssertionError("a region comes with more than one fd")
        return RegionInfo(*fields, reply.body, reply.fds[0] if reply.fds else -1)

    def irq_info(self, index, argsz=16):
        """Returns (argsz, flags, index, count)."""
        return struct.unpack("=IIII", self.call(
            DEVICE_GET_IRQ_INFO, struct.pack("=IIII", argsz, 0, index, 0)).body)

    def set_irqs(self, index, flags, start, count, data=b"", fds=(), argsz=None):
        argsz = 20 + len(data) if argsz is None else argsz
        self.call(DEVICE_SET_IRQS,
                  struct.pack("=IIIII", argsz, flags, index, start, count) + data, fds)

    def read(self, region, offset, count):
        body = self.call(REGION_READ, struct.pack("=QII", offset, region, count)).body
        got_offset, got_region, got = struct.unpack("=QII", body[:16])
        if (got_offset, got_region) != (offset, region) or len(body) != 16 + got:
            raise AssertionError("the reply does not match the read")
        return body[16:]

    def write(self, region, offset, data, count=None, flags=0):
        count = len(data) if count is None else count
        body = struct.pack("=QII", offset, region, count) + data
        if flags & NO_REPLY:
            self.send(REGION_WRITE, body, flags=flags)
        elif self.call(REGION_WRITE, body).body != body[:16]:
            raise AssertionError("the reply does not match the write")

    def write_multi(self, writes, count=None, tail=b""):
        """writes: (region, offset, data) each. Returns how many were done."""
        body = struct.pack("=Q", len(writes) if count is None else count)
        for region, offset, data in writes:
            body += struct.pack("=QII8s", offset, region, len(data), data)
        return struct.unpack("=Q", self.call(REGION_WRITE_MULTI, body + tail).body)[0]

    def reset(self):
        if self.call(DEVICE_RESET).body:
            raise AssertionError("the reply of a reset carries something")
