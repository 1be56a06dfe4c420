#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A pvdma device that is wrong in a chosen way, to see what the driver says.

  fake_backend.py SOCKET [NAME=VALUE...]

A vhost-user backend for one front-end and one life. NAME is a field of struct
virtio_pvdma_config (protocol/virtio_pvdma.h), which is sane but for what is
given, or

  status   what every request is answered with (0, OK); "none": not at all

It answers requests without looking at them: nothing is ever mapped. Each
request that it saw is printed as a line "request TYPE COUNT". It has no
patience for a peer that breaks the protocol, and ends with a traceback.
"""

import array
import mmap
import os
import select
import socket
import struct
import sys

GET_FEATURES, SET_MEM_TABLE = 1, 5
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE = 8, 9, 10, 11
SET_VRING_KICK, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM, GET_CONFIG = 12, 15, 17, 24
NEED_REPLY, REPLY = 0x8, 0x5
FEATURES = 1 << 32 | 1 << 30  # VERSION_1, the protocol's own
PROTOCOL = 1 << 0 | 1 << 3 | 1 << 9  # MQ, REPLY_ACK, CONFIG
NO_FD = 0x100
DESC_NEXT, DESC_WRITE = 1, 2
TAIL_SIZE = 8

CONFIG = {"magic": 0x4D445650, "version": 1, "granule_shift": 12, "strategy": 0,
          "num_queues": 2, "max_ranges": 256, "vm_tag": 0x1234, "quota": 64 << 20,
          "quota_news": 0, "strategy_news": 0, "endpoint_news": 0, "num_endpoints": 0}
CONFIG_FORMAT = "<IHBBHHIQIIII24x"


class Memory:
    """The guest's memory, by the addresses that the front-end uses for it."""

    def __init__(self, payload, fds):
        self._regions = []
        count = struct.unpack_from("<I", payload)[0]
        for i, fd in zip(range(count), fds):
            gpa, size, user, offset = struct.unpack_from("<QQQQ", payload, 8 + 32 * i)
            self._regions.append((gpa, user, size, offset, mmap.mmap(fd, offset + size)))
            os.close(fd)

    def at(self, address, by_user=False):
        """(map, offset) of a guest-physical, or a front-end's, address."""
        for gpa, user, size, offset, area in self._regions:
            base = user if by_user else gpa
            if base <= address < base + size:
                return area, offset + address - base
        raise ValueError(f"no memory at {address:#x}")


class Queue:
    """One split virtqueue."""

    def __init__(self):
        self.size = self.next = 0
        self.kick = -1
        self.desc = self.avail = self.used = None

    def _descriptors(self, memory, index):
        while True:
            area, base = self.desc
            address, length, flags, following = struct.unpack_from("<QIHH", area, base + 16 * index)
            yield memory.at(address), length, flags
            if not flags & DESC_NEXT:
                return
            index = following

    def serve(self, memory, status):
        """Answers all that is there with the status."""
        area, base = self.avail
        while self.next != struct.unpack_from("<H", area, base + 2)[0]:
            head = struct.unpack_from("<H", area, base + 4 + 2 * (self.next % self.size))[0]
            readable = b""
            for (place, offset), length, flags in self._descriptors(memory, head):
                if not flags & DESC_WRITE:
                    readable += place[offset:offset + length]
                elif status is not None:
                    place[offset:offset + TAIL_SIZE] = struct.pack("<BBHI", status, 0, 0, 0)
            kind, _, count = struct.unpack_from("<BBH", readable)
            print("request", kind, count, flush=True)
            self.next = (self.next + 1) & 0xFFFF
            if status is not None:
                self._push(head)

    def _push(self, head):
        area, base = self.used
        index = struct.unpack_from("<H", area, base + 2)[0]
        struct.pack_into("<II", area, base + 4 + 8 * (index % self.size), head, TAIL_SIZE)
        struct.pack_into("<H", area, base + 2, (index + 1) & 0xFFFF)


class Backend:
    """One front-end's connection."""

    def __init__(self, connection, config, status):
        self._peer = connection
        self._config = config
        self._status = status
        self._memory = None
        self._queues = {}

    def run(self):
        while True:
            kicks = {queue.kick: queue for queue in self._queues.values() if queue.kick >= 0}
            for fd in select.select([self._peer, *kicks], [], [])[0]:
                if fd is self._peer:
                    if not self._message():
                        return
                else:
                    os.read(fd, 8)
                    kicks[fd].serve(self._memory, self._status)

    def _message(self):
        head, ancillary, _, _ = self._peer.recvmsg(12, socket.CMSG_SPACE(8 * 4), socket.MSG_WAITALL)
        if len(head) < 12:
            return False
        fds = array.array("i")
        for _, _, data in ancillary:
            fds.frombytes(data[:len(data) // 4 * 4])
        request, flags, size = struct.unpack("<III", head)
        payload = self._peer.recv(size, socket.MSG_WAITALL) if size else b""
        answer = self._handle(request, payload, list(fds))
        if answer is None and flags & NEED_REPLY:
            answer = struct.pack("<Q", 0)
        if answer is not None:
            self._peer.sendall(struct.pack("<III", request, REPLY, len(answer)) + answer)
        return True

    def _handle(self, request, payload, fds):
        """The answer's payload, or None where there is none but an ack."""
        if request == GET_FEATURES:
            return struct.pack("<Q", FEATURES)
        if request == GET_PROTOCOL_FEATURES:
            return struct.pack("<Q", PROTOCOL)
        if request == GET_QUEUE_NUM:
            return struct.pack("<Q", 64)
        if request == GET_CONFIG:
            offset, size, flags = struct.unpack_from("<III", payload)
            return struct.pack("<III", offset, size, flags) + self._config[offset:offset + size]
        if request == SET_MEM_TABLE:
            self._memory = Memory(payload, fds)
        elif request == SET_VRING_KICK:
            index = struct.unpack_from("<Q", payload)[0]
            self._queue(index & 0xFF).kick = -1 if index & NO_FD else fds[0]
        elif SET_VRING_NUM <= request <= GET_VRING_BASE:
            return self._vring(request, payload)
        else:
            for fd in fds:
                os.close(fd)
        return None

    def _queue(self, index):
        return self._queues.setdefault(index, Queue())

    def _vring(self, request, payload):
        index, number = struct.unpack_from("<II", payload)
        queue = self._queue(index)
        if request == SET_VRING_NUM:
            queue.size = number
        elif request == SET_VRING_BASE:
            queue.next = number
        elif request == SET_VRING_ADDR:
            desc, used, avail = struct.unpack_from("<QQQ", payload, 8)
            queue.desc, queue.avail, queue.used = (
                self._memory.at(address, by_user=True) for address in (desc, avail, used))
        else:
            queue.kick = -1
            return struct.pack("<II", index, queue.next)
        return None


def main(argv):
    config, status = dict(CONFIG), 0
    for text in argv[1:]:
        name, _, value = text.partition("=")
        if name == "status":
            status = None if value == "none" else int(value, 0)
        elif name in config:
            config[name] = int(value, 0)
        else:
            raise SystemExit(f"fake_backend.py: {name} is no field")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(argv[0])
    listener.listen(1)
    connection, _ = listener.accept()
    Backend(connection, struct.pack(CONFIG_FORMAT, *config.values()), status).run()


if __name__ == "__main__":
    main(sys.argv[1:])
