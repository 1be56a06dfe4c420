# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent as a vfio-user server: what a broken or hostile client gets.

Where the stream can still be followed, an error and nothing else; where it
cannot, the end of the connection. In either case the agent goes on, and the
next client finds it as the first did.
"""

import errno
import os
import random
import socket
import struct
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib import vfio_user as vu  # noqa: E402
from lib.agent import Agent  # noqa: E402

MIB = 1 << 20
COMMANDS_WITH_BODY = {
    vu.DMA_MAP: 32, vu.DMA_UNMAP: 24, vu.DEVICE_GET_INFO: 16, vu.DEVICE_GET_REGION_INFO: 32,
    vu.DEVICE_GET_REGION_IO_FDS: 16, vu.DEVICE_GET_IRQ_INFO: 16, vu.DEVICE_SET_IRQS: 20,
    vu.REGION_READ: 16, vu.REGION_WRITE: 17, vu.REGION_WRITE_MULTI: 32,
}


class MalformedTest(unittest.TestCase):
    def setUp(self):
        self.agent = self.enterContext(Agent(devices=("",)))
        self.addCleanup(self.agent_is_well)

    def agent_is_well(self):
        with self.agent.vfio_user() as client:
            client.get_info()

    def client(self, **kwargs):
        return self.enterContext(self.agent.vfio_user(**kwargs))

    def refused(self, error, call, *args, **kwargs):
        with self.assertRaises(vu.RemoteError) as e:
            call(*args, **kwargs)
        if error is not None:
            self.assertEqual(e.exception.errno, error)


class BadHandshake(MalformedTest):
    def test_other_major(self):
        for major in (1, 2, 0xffff):
            with self.subTest(major=major):
                client = self.client(negotiate=False)
                self.refused(errno.EPROTONOSUPPORT, client.version, major=major)
                self.assertTrue(client.disconnected())
                client.close()
        self.assertIn("speaks version 1.0", self.agent.stderr())

    def test_bad_data(self):
        deep = b"[" * 100 + b"]" * 100
        for data in (b"x", b"{}", b"\0", b"{\0}\0", b"{}\0\0", b"{}x\0", b"[]\0", b"7\0",
                     b'{"capabilities": 1}\0', b'{"capabilities": {"max_msg_fds": "1"}}\0',
                     b'{"capabilities": {"max_msg_fds": -1}}\0',
                     b'{"capabilities": {"max_msg_fds": 1.5}}\0',
                     b'{"capabilities": {"max_msg_fds": 99999999999999999999}}\0',
                     b'{"capabilities": {"max_data_xfer_size": 0}}\0',
                     b'{"capabilities": {"write_multiple": 1}}\0',
                     b'{"capabilities": {"a": 1,}}\0', b'{"a": 01}\0', b'{"a": tru}\0',
                     b'{"a": "\\x"}\0', b'{"a": "\n"}\0', b'{"a": "\\u12g4"}\0', b'{"a"}\0',
                     b'{"a": ' + deep + b'}\0', b'{"a": 1e}\0', b'{a: 1}\0', b'{"a": "\0',
                     b"\xff\xfe{}\0", b" " * 60000 + b"\0"):
            with self.subTest(data=data[:60]):
                client = self.client(negotiate=False)
                self.refused(errno.EINVAL, client.version, data=data)
                self.assertTrue(client.disconnected())
                client.close()

    def test_too_short_or_long(self):
        for body in (b"", b"\0\0\0", b"\0" * 70000):
            client = self.client(negotiate=False)
            self.refused(errno.EINVAL, client.call, vu.VERSION, body)
            client.close()

    def test_not_first(self):
        client = self.client(negotiate=False)
        for command, size in COMMANDS_WITH_BODY.items():
            self.refused(errno.EPROTO, client.call, command, b"\0" * size)
        self.refused(errno.EPROTO, client.reset)
        client.version()
        client.get_info()

    def test_twice(self):
        client = self.client()
        self.refused(errno.EPROTO, client.version)
        client.get_info()


class BadFrames(MalformedTest):
    def test_sizes(self):
        for size in (0, 1, 15, MIB + 33, 2**31, 2**32 - 1):
            with self.subTest(size=size):
                client = self.client()
                client.send(vu.DEVICE_GET_INFO, size=size)
                self.assertTrue(client.disconnected())
                client.close()

    def test_longest(self):
        client = self.client()
        self.refused(errno.EINVAL, client.call, vu.DEVICE_GET_INFO, b"\0" * (MIB + 16))
        self.refused(errno.EINVAL, client.call, vu.REGION_WRITE,
                     struct.pack("=QII", 0, vu.BAR0, MIB) + b"\0" * MIB)
        client.get_info()

    def test_types(self):
        for kind in range(1, 16):
            client = self.client()
            client.send(vu.DEVICE_GET_INFO, b"\0" * 16, flags=kind)
            self.assertTrue(client.disconnected())
            client.close()

    def test_flags(self):
        client = self.client()
        body = struct.pack("=IIII", 16, 0, 0, 0)
        for flag in (0x20, 0x40, 0x80000000):
            self.refused(errno.EINVAL, client.call, vu.DEVICE_GET_INFO, body, flags=flag)
        client.get_info()

    def test_commands(self):
        client = self.client()
        for command in (0, vu.DMA_READ, vu.DMA_WRITE, 14, vu.DEVICE_FEATURE, 17, 18, 19, 0xffff):
            self.refused(errno.EOPNOTSUPP, client.call, command, b"\0" * 64)
        client.get_info()

    def test_bodies_of_wrong_size(self):
        client = self.client()
        for command, size in COMMANDS_WITH_BODY.items():
            for wrong in {0, 1, size - 1, 5000}:
                with self.subTest(command=command, size=wrong):
                    self.refused(errno.EINVAL, client.call, command, b"\0" * wrong)
        self.refused(errno.EINVAL, client.call, vu.DEVICE_RESET, b"\0")
        client.get_info()

    def test_byte_by_byte(self):
        client = self.client()
        message = vu.HEADER.pack(7, vu.REGION_READ, 32, 0, 0) + struct.pack("=QII", 0, 7, 4)
        for byte in message * 3:
            client.send_raw(bytes([byte]))
        for _ in range(3):
            self.assertEqual(len(client.receive().body), 20)

    def test_pipelined(self):
        client = self.client()
        message = vu.HEADER.pack(7, vu.REGION_READ, 32, 0, 0) + struct.pack("=QII", 0, 7, 4)
        client.send_raw(message * 200)
        for _ in range(200):
            self.assertEqual(len(client.receive().body), 20)

    def test_disconnect_in_message(self):
        message = vu.HEADER.pack(7, vu.REGION_WRITE, 32 + MIB, 0, 0) + b"\0" * 4000
        for end in (1, 15, 16, 17, 4000):
            client = self.client()
            client.send_raw(message[:end])
            client.close()
            self.agent_is_well()

    def test_disconnect_with_replies_due(self):
        for _ in range(5):
            client = self.client()
            for _ in range(32):
                client.send(vu.REGION_READ, struct.pack("=QII", 0, vu.ROM, 256 * 1024))
            client.close()
            self.agent_is_well()

    def test_half_closed(self):
        client = self.client()
        client.send(vu.DEVICE_GET_INFO, struct.pack("=IIII", 16, 0, 0, 0))
        client.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(len(client.receive().body), 16)
        self.assertTrue(client.disconnected())


class BadArguments(MalformedTest):
    def test_argsz(self):
        client = self.client()
        for argsz in (0, 15):
            self.refused(errno.EINVAL, client.get_info, argsz=argsz)
            self.refused(errno.EINVAL, client.irq_info, 0, argsz=argsz)
            self.refused(errno.EINVAL, client.call, vu.DEVICE_GET_REGION_IO_FDS,
                         struct.pack("=IIII", argsz, 0, 0, 0))
        for argsz in (0, 31):
            self.refused(errno.EINVAL, client.region_info, 0, argsz=argsz)
            self.refused(errno.EINVAL, client.dma_map, 0, 4096, argsz=argsz)
        self.refused(errno.EINVAL, client.dma_unmap, 0, 4096, argsz=23)
        self.refused(errno.EINVAL, client.set_irqs, vu.INTX, vu.DATA_NONE | vu.ACTION_TRIGGER,
                     0, 0, argsz=19)

    def test_indices(self):
        client = self.client()
        for index in (9, 64, 2**31, 2**32 - 1):
            self.refused(errno.EINVAL, client.region_info, index)
            self.refused(errno.EINVAL, client.irq_info, index)
            self.refused(errno.EINVAL, client.set_irqs, index,
                         vu.DATA_NONE | vu.ACTION_TRIGGER, 0, 0)

    def test_irq_flags(self):
        client = self.client()
        for flags in (0, vu.DATA_NONE, vu.ACTION_TRIGGER, 3 | vu.ACTION_TRIGGER,
                      vu.DATA_NONE | vu.ACTION_MASK | vu.ACTION_TRIGGER, 0x40 | 0x21, 0x80000021):
            self.refused(errno.EINVAL, client.set_irqs, vu.MSIX, flags, 0, 1)

    def test_irq_ranges(self):
        client = self.client()
        for start, count in ((32, 1), (0, 33), (31, 2), (2**32 - 1, 1), (1, 2**32 - 1),
                             (2**32 - 1, 2**32 - 1)):
            for data in (vu.DATA_NONE, vu.DATA_EVENTFD):
                self.refused(errno.EINVAL, client.set_irqs, vu.MSIX, data | vu.ACTION_TRIGGER,
                             start, count)
        for flags in (vu.DATA_EVENTFD | vu.ACTION_TRIGGER, vu.DATA_BOOL | vu.ACTION_TRIGGER,
                      vu.DATA_NONE | vu.ACTION_MASK):
            self.refused(errno.EINVAL, client.set_irqs, vu.MSIX, flags, 0, 0)
        self.refused(errno.EINVAL, client.set_irqs, vu.MSIX, vu.DATA_NONE | vu.ACTION_TRIGGER,
                     1, 0)

    def test_irq_data(self):
        client = self.client()
        for count, data in ((2, b""), (2, b"\1"), (2, b"\1\1\1"), (0, b"\1")):
            self.refused(errno.EINVAL, client.set_irqs, vu.MSIX,
                         vu.DATA_BOOL | vu.ACTION_TRIGGER, 0, count, data)
        self.refused(errno.EINVAL, client.set_irqs, vu.MSIX,
                     vu.DATA_BOOL | vu.ACTION_TRIGGER, 0, 2, b"\1\1", argsz=21)
        self.refused(errno.EINVAL, client.set_irqs, vu.MSIX,
                     vu.DATA_NONE | vu.ACTION_TRIGGER, 0, 1, b"\1")

    def test_write_counts(self):
        client = self.client()
        for count in (0, 3, 5, 2**32 - 1):
            self.refused(errno.EINVAL, client.write, vu.BAR1, 0, b"abcd", count=count)

    def test_write_multi_counts(self):
        client = self.client()
        good = (vu.BAR1, 8, b"abcd")
        for count in (0, 2, 2**32, 2**61, 2**63, 2**64 - 1, 768614336404564650):
            self.refused(errno.EINVAL, client.write_multi, [good], count=count)
        self.refused(errno.EINVAL, client.write_multi, [good], tail=b"x")
        for size in (0, 9, 2**32 - 1):
            body = struct.pack("=QQII8s", 1, 8, vu.BAR1, size, b"x")
            self.refused(errno.EINVAL, client.call, vu.REGION_WRITE_MULTI, body)


class BadFds(MalformedTest):
    def setUp(self):
        super().setUp()
        self.fds = [os.eventfd(0) for _ in range(16)]
        self.addCleanup(lambda: [os.close(fd) for fd in self.fds])

    def leaves_no_fd(self, function):
        client = self.client()
        before = self.agent.fd_count()
        function(client)
        client.get_info()
        self.assertEqual(self.agent.fd_count(), before)

    def test_where_none_belong(self):
        def function(client):
            for command, size in COMMANDS_WITH_BODY.items():
                if command not in (vu.DMA_MAP, vu.DEVICE_SET_IRQS):
                    self.refused(errno.EINVAL, client.call, command, b"\0" * size, self.fds[:1])
            self.refused(errno.EINVAL, client.call, vu.DEVICE_RESET, b"", self.fds)
            self.refused(errno.EOPNOTSUPP, client.call, 99, b"", self.fds)
        self.leaves_no_fd(function)

    def test_too_many(self):
        def function(client):
            body = struct.pack("=IIQQQ", 32, 3, 0, 0, 4096)
            self.refused(errno.EINVAL, client.call, vu.DMA_MAP, body, self.fds[:2])
            for count in (17, 253):
                fds = (self.fds * 16)[:count]
                self.refused(errno.EINVAL, client.set_irqs, vu.MSIX,
                             vu.DATA_EVENTFD | vu.ACTION_TRIGGER, 0, count, fds=fds)
                self.refused(errno.EINVAL, client.set_irqs, vu.MSIX,
                             vu.DATA_EVENTFD | vu.ACTION_TRIGGER, 0, 16, fds=fds)
        self.leaves_no_fd(function)

    def test_too_many_in_pieces(self):
        def function(client):
            message = vu.HEADER.pack(1, vu.DEVICE_SET_IRQS, 36, 0, 0) + struct.pack(
                "=IIIII", 20, vu.DATA_EVENTFD | vu.ACTION_TRIGGER, vu.MSIX, 0, 16)
            for byte in message:
                client.send_raw(bytes([byte]), self.fds)
            self.assertEqual(client.receive().error, errno.EINVAL)
        self.leaves_no_fd(function)

    def test_not_as_many_as_vectors(self):
        def function(client):
            for count, fds in ((2, 1), (1, 2), (32, 16), (15, 16)):
                self.refused(errno.EINVAL, client.set_irqs, vu.MSIX,
                             vu.DATA_EVENTFD | vu.ACTION_TRIGGER, 0, count, fds=self.fds[:fds])
            for flags in (vu.DATA_NONE, vu.DATA_BOOL):
                self.refused(errno.EINVAL, client.set_irqs, vu.MSIX, flags | vu.ACTION_TRIGGER,
                             0, 1, b"\1"[:flags - 1], fds=self.fds[:1])
        self.leaves_no_fd(function)

    def test_no_eventfds(self):
        def function(client):
            pipe = os.pipe()
            memory = os.memfd_create("x")
            for fd in (*pipe, memory):
                self.refused(errno.EINVAL, client.set_irqs, vu.MSIX,
                             vu.DATA_EVENTFD | vu.ACTION_TRIGGER, 0, 1, fds=[fd])
                os.close(fd)
        self.leaves_no_fd(function)

    def test_left_in_message_cut_short(self):
        with self.client() as client:
            client.get_info()
            before = self.agent.fd_count()
        for _ in range(10):
            client = self.client()
            client.send_raw(vu.HEADER.pack(1, vu.DEVICE_SET_IRQS, 36, 0, 0), self.fds)
            client.close()
        with self.client() as client:
            client.get_info()
            self.assertEqual(self.agent.fd_count(), before)


class Noise(MalformedTest):
    def test_random_bytes(self):
        rng = random.Random(1)
        for _ in range(200):
            client = self.client(negotiate=rng.random() < 0.5)
            try:
                client.send_raw(rng.randbytes(rng.randrange(1, 200)))
            except vu.Disconnected:
                pass
            client.close()

    def test_random_bodies(self):
        rng = random.Random(2)
        client = self.client()
        for _ in range(3000):
            command = rng.choice([*COMMANDS_WITH_BODY, vu.DEVICE_RESET])
            size = COMMANDS_WITH_BODY.get(command, 0) + rng.choice((0, 0, 0, 1, 4, 24))
            words = [rng.choice((0, 1, 2, 3, 16, 20, 32, 0x21, 0x24, 4096, 2**31, 2**32 - 1))
                     for _ in range(size // 4 + 1)]
            body = struct.pack(f"={len(words)}I", *words)[:size]
            try:
                for fd in client.call(command, body).fds:
                    os.close(fd)
            except vu.RemoteError:
                pass
        client.get_info()

    def test_flood_of_connections(self):
        holders = [self.agent.connect(self.agent.vfio_sockets[0]) for _ in range(50)]
        for holder in holders:
            holder.close()
        self.agent_is_well()


if __name__ == "__main__":
    unittest.main()
