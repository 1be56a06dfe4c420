# SPDX-License-Identifier: GPL-2.0-or-later
"""The vhost-user socket: messages, descriptors, memory tables, and their abuse."""

import os
import random
import socket
import struct
import time
import unittest

from lib.agent import Agent
from lib import vhost_user as vu
from lib.vhost_user import FrontEnd, Memory, Refused, MIB

U64 = struct.Struct("=Q")


def payload_fd():
    return os.memfd_create("x", os.MFD_CLOEXEC)


class Messages(unittest.TestCase):
    def setUp(self):
        self.agent = self.enterContext(Agent(args=("--queues", "3")))
        self.fe = self.connect()

    def connect(self):
        fe = FrontEnd(self.agent.connect(self.agent.vhost_socket))
        self.addCleanup(fe.close)
        return fe

    def reconnect(self):
        """A fresh connection, once the agent has seen that the old one ended."""
        self.fe.close()
        for _ in range(200):
            self.fe = self.connect()
            try:
                if self.fe.alive():
                    return self.fe
            except vu.Disconnected:
                pass
            time.sleep(0.01)
        self.fail("no new connection is served")

    def memory(self, **kwargs):
        memory = Memory(**kwargs)
        self.addCleanup(memory.close)
        return memory

    def assertRefused(self, request, body=b"", fds=(), size=None):
        with self.assertRaises(Refused):
            self.fe.do(request, body, fds, size)
        self.assertTrue(self.fe.alive())

    # --- negotiation ---

    def test_features(self):
        features = self.fe.ask_u64(vu.GET_FEATURES)
        self.assertTrue(features & vu.F_VERSION_1)
        self.assertTrue(features & vu.F_PROTOCOL_FEATURES)
        self.assertTrue(features & vu.F_UNMAP)
        self.assertTrue(features & vu.F_RELEASE)
        self.assertTrue(features & vu.F_PREFETCH)
        self.assertFalse(features & (vu.F_INDIRECT | vu.F_EVENT_IDX))
        protocol = self.fe.ask_u64(vu.GET_PROTOCOL_FEATURES)
        for bit in (vu.PF_MQ, vu.PF_REPLY_ACK, vu.PF_BACKEND_REQ, vu.PF_CONFIG, vu.PF_MEM_SLOTS):
            self.assertTrue(protocol & bit)
        self.fe.negotiate()
        self.assertEqual(self.fe.ask_u64(vu.GET_QUEUE_NUM), 3)
        self.assertGreaterEqual(self.fe.ask_u64(vu.GET_MAX_MEM_SLOTS), 32)

    def test_features_not_offered(self):
        self.fe.negotiate()
        self.assertRefused(vu.SET_FEATURES, U64.pack(vu.F_VERSION_1 | vu.F_INDIRECT))
        self.assertRefused(vu.SET_FEATURES, U64.pack(1 << 26 | vu.F_VERSION_1))
        self.assertRefused(vu.SET_FEATURES, U64.pack(vu.F_PROTOCOL_FEATURES))
        self.assertIn("VIRTIO_F_VERSION_1", self.agent.stderr())
        self.assertRefused(vu.SET_PROTOCOL_FEATURES, U64.pack(1 << 40))

    def test_no_acknowledgement_unless_negotiated(self):
        self.fe.send(vu.SET_PROTOCOL_FEATURES, U64.pack(vu.PF_CONFIG))
        self.fe.send(vu.SET_OWNER, flags=vu.VERSION | vu.NEED_REPLY)
        self.fe.send(vu.SET_FEATURES, U64.pack(0), flags=vu.VERSION | vu.NEED_REPLY)
        self.assertTrue(self.fe.alive())

    # --- configuration space ---

    def test_config(self):
        self.fe.negotiate()
        config = self.fe.get_config(0, 64)
        magic, version, shift, strategy, queues, ranges = struct.unpack_from("<IHBBHH", config)
        self.assertEqual(magic, vu.MAGIC)
        self.assertEqual((version, shift, strategy, queues, ranges), (1, 12, vu.S_ON_DEMAND, 3, 256))
        quota, = struct.unpack_from("<Q", config, 16)
        self.assertEqual(quota, 16 * MIB)
        self.assertEqual(config[40:], bytes(24))
        for i in range(64):
            self.assertEqual(self.fe.get_config(i, 1), config[i:i + 1])
        self.assertEqual(self.fe.get_config(0, 256), config + bytes(192))
        self.assertEqual(self.fe.get_config(64, 0), b"")

    def test_config_out_of_bounds(self):
        self.fe.negotiate()
        for offset, size, sent in ((0, 257, 0), (256, 1, 1), (0xFFFFFFFF, 2, 2), (0, 64, 63),
                                   (0, 4, 64), (1, 0xFFFFFFFF, 0)):
            body = self.fe.ask(vu.GET_CONFIG, struct.pack("=III", offset, size, 0) + bytes(sent))
            self.assertEqual(body, b"", (offset, size, sent))
        self.assertEqual(self.fe.ask(vu.GET_CONFIG, b"\0" * 11), b"")
        self.assertTrue(self.fe.alive())

    def test_config_is_read_only(self):
        self.fe.negotiate()
        before = self.fe.get_config()
        for flags in (0, 1):
            self.assertRefused(vu.SET_CONFIG, struct.pack("=III", 0, 4, flags) + b"\xff" * 4)
        self.assertEqual(self.fe.get_config(), before)

    # --- framing ---

    def test_bad_frames_end_the_connection(self):
        good = struct.pack("=III", vu.GET_FEATURES, vu.VERSION, 0)
        for frame in (struct.pack("=III", vu.GET_FEATURES, 0, 0),
                      struct.pack("=III", vu.GET_FEATURES, 2, 0),
                      struct.pack("=III", vu.GET_FEATURES, vu.VERSION | vu.REPLY, 0),
                      struct.pack("=III", vu.SET_FEATURES, vu.VERSION, 273) + bytes(273),
                      struct.pack("=III", vu.SET_FEATURES, vu.VERSION, 0xFFFFFFFF),
                      struct.pack("=III", vu.GET_FEATURES, vu.VERSION, 8) + bytes(8),
                      struct.pack("=III", vu.GET_VRING_BASE, vu.VERSION, 8) + b"\xff" * 8):
            self.fe.send_raw(frame + good)
            self.assertTrue(self.fe.disconnected(), frame)
            self.reconnect()

    def test_bytes_one_by_one(self):
        for byte in struct.pack("=III", vu.GET_FEATURES, vu.VERSION, 0):
            self.fe.send_raw(bytes([byte]))
            time.sleep(0.002)
        self.assertTrue(U64.unpack(self.fe.receive()[2])[0] & vu.F_VERSION_1)
        body = U64.pack(vu.PF_REPLY_ACK)
        for byte in struct.pack("=III", vu.SET_PROTOCOL_FEATURES, vu.VERSION, 8) + body:
            self.fe.send_raw(bytes([byte]))
        self.fe.do(vu.SET_OWNER)

    def test_many_messages_in_one_write(self):
        message = struct.pack("=III", vu.GET_FEATURES, vu.VERSION, 0)
        self.fe.send_raw(message * 100)
        for _ in range(100):
            self.fe.receive(vu.GET_FEATURES)

    def test_cut_message(self):
        self.fe.send_raw(struct.pack("=III", vu.SET_FEATURES, vu.VERSION, 8) + b"123")
        self.reconnect()

    def test_wrong_sizes(self):
        self.fe.negotiate()
        for request in (vu.SET_FEATURES, vu.SET_OWNER, vu.SET_VRING_NUM, vu.SET_VRING_ADDR,
                        vu.SET_VRING_BASE, vu.SET_VRING_CALL, vu.SET_VRING_ENABLE,
                        vu.ADD_MEM_REG, vu.REM_MEM_REG):
            for size in (1, 4, 7, 9, 39, 41, 264, 272):
                self.assertRefused(request, bytes(size))

    def test_unknown_requests(self):
        self.fe.negotiate()
        for request in (0, 6, 7, 19, 20, 22, 23, 26, 31, 35, 39, 40, 41, 1000, 0xFFFFFFFF):
            self.assertRefused(request, bytes(8))
            self.fe.send(request, bytes(8))
        self.assertTrue(self.fe.alive())

    # --- descriptors ---

    def open_fds(self):
        self.assertTrue(self.fe.alive())
        return self.agent.fd_count()

    def test_descriptors_never_leak(self):
        self.fe.negotiate()
        self.fe.do(vu.SET_OWNER)
        before = self.open_fds()
        fds = [payload_fd() for _ in range(8)]
        self.addCleanup(lambda: [os.close(fd) for fd in fds])
        requests = [r for r in range(0, 42)
                    if r not in (vu.GET_FEATURES, vu.GET_PROTOCOL_FEATURES, vu.GET_QUEUE_NUM,
                                 vu.GET_CONFIG, vu.GET_MAX_MEM_SLOTS, vu.GET_VRING_BASE)]
        for request in requests:
            for size in (0, 8, 40, 72):
                for count in (1, 2, 8):
                    self.assertRefused(request, b"\xff" * size, fds[:count])
        self.assertEqual(self.open_fds(), before)

    def test_too_many_descriptors(self):
        self.fe.negotiate()
        before = self.open_fds()
        fds = [payload_fd() for _ in range(253)]
        self.addCleanup(lambda: [os.close(fd) for fd in fds])
        for count in (9, 10, 11, 253):
            self.fe.send(vu.SET_OWNER, fds=fds[:count])
            self.assertTrue(self.fe.disconnected())
            self.reconnect()
            self.assertEqual(self.open_fds(), before)

    def test_descriptors_of_a_cut_message(self):
        before = self.open_fds()
        with open("/dev/null") as f:
            self.fe.send_raw(struct.pack("=III", vu.ADD_MEM_REG, vu.VERSION, 40), [f.fileno()] * 8)
            self.fe.send_raw(b"abc")
        self.reconnect()
        self.assertEqual(self.open_fds(), before)

    def test_descriptors_with_the_payload(self):
        """A front-end may send them with any byte of the message."""
        self.fe.negotiate()
        memory = self.memory(size=MIB)
        self.fe.send_raw(struct.pack("=III", vu.ADD_MEM_REG, vu.VERSION | vu.NEED_REPLY, 40))
        gpa, size, user, offset, fd = memory.region()
        self.fe.send_raw(struct.pack("=QQQQQ", 0, gpa, size, user, offset), [fd])
        self.assertEqual(self.fe.receive(vu.ADD_MEM_REG)[2], bytes(8))

    def test_vring_descriptors(self):
        self.fe.negotiate()
        fd = os.eventfd(0)
        self.addCleanup(os.close, fd)
        for request in (vu.SET_VRING_KICK, vu.SET_VRING_CALL, vu.SET_VRING_ERR):
            self.assertRefused(request, U64.pack(0))                # none
            self.assertRefused(request, U64.pack(0), [fd, fd])      # two
            self.assertRefused(request, U64.pack(vu.NO_FD), [fd])   # one, and the flag
            self.assertRefused(request, U64.pack(3), [fd])          # no such queue
            self.assertRefused(request, U64.pack(1 << 9), [fd])     # unknown flag
            self.assertRefused(request, U64.pack(1 << 63), [fd])
        self.assertRefused(vu.SET_VRING_KICK, U64.pack(vu.NO_FD))   # polling
        self.fe.vring_fd(vu.SET_VRING_CALL, 0)
        self.fe.vring_fd(vu.SET_VRING_CALL, 0, fd)
        self.fe.vring_fd(vu.SET_VRING_CALL, 0)

    def test_channel_must_be_a_socket(self):
        self.fe.negotiate()
        fd = payload_fd()
        self.addCleanup(os.close, fd)
        self.assertRefused(vu.SET_BACKEND_REQ_FD)
        self.assertRefused(vu.SET_BACKEND_REQ_FD, b"", [fd])
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            self.assertRefused(vu.SET_BACKEND_REQ_FD, b"", [s.fileno()])

    # --- memory ---

    def test_memory_table(self):
        self.fe.negotiate()
        low, high = self.memory(size=MIB), self.memory(size=MIB, gpa=1 << 32, offset=MIB)
        for regions in ([], [low], [low, high], [high], [low]):
            self.fe.set_mem_table([m.region() for m in regions])
        self.fe.rem_mem_reg(low.gpa, low.size, low.user)
        with self.assertRaises(Refused):
            self.fe.rem_mem_reg(low.gpa, low.size, low.user)
        self.fe.add_mem_reg(*high.region())
        # Some front-ends send the descriptor once more.
        self.fe.rem_mem_reg(high.gpa, high.size, high.user, 0, [high.fd])

    def test_bad_regions(self):
        self.fe.negotiate()
        memory = self.memory(size=4 * MIB)
        fd = memory.fd
        page = 4096
        top = (1 << 64) - page
        for gpa, size, user, offset in ((0, 0, 0, 0),
                                        (1, page, page, 0), (0, page + 1, 0, 0),
                                        (0, page, 1, 0), (0, page, 0, 1),
                                        (0, 5 * MIB, 0, 0), (0, page, 0, 4 * MIB),
                                        (0, page, 0, top), (top, 2 * page, 0, 0),
                                        (0, 2 * page, top, 0), (0, top, 0, page),
                                        (0, (1 << 64) - 1, 0, 0)):
            with self.assertRaises(Refused, msg=(gpa, size, user, offset)):
                self.fe.add_mem_reg(gpa, size, user, offset, fd)
        # The last page of the address space is as good as any.
        self.fe.add_mem_reg(top, page, top, 0, fd)

    def test_bad_files(self):
        self.fe.negotiate()
        read_end, write_end = os.pipe()
        folder = os.open("/", os.O_RDONLY)
        event = os.eventfd(0)
        null = os.open("/dev/null", os.O_RDWR)
        read_only = os.open("/proc/self/exe", os.O_RDONLY)
        for fd in (read_end, write_end, folder, event, null, read_only):
            self.addCleanup(os.close, fd)
            with self.assertRaises(Refused):
                self.fe.add_mem_reg(0, 4096, 0, 0, fd)

    def test_overlaps(self):
        self.fe.negotiate()
        memory = self.memory(size=MIB)
        fd = memory.fd
        self.fe.add_mem_reg(0x10000, 0x10000, 0x500000, 0, fd)
        for gpa, user in ((0x10000, 0x900000), (0x1F000, 0x900000), (0x1000, 0x900000),
                          (0x40000, 0x500000), (0x40000, 0x50F000), (0x40000, 0x4F1000)):
            with self.assertRaises(Refused, msg=(gpa, user)):
                self.fe.add_mem_reg(gpa, 0x10000, user, 0, fd)
        self.fe.add_mem_reg(0x20000, 0x10000, 0x510000, 0, fd)
        self.fe.add_mem_reg(0, 0x10000, 0x4F0000, 0, fd)
        region = (0, 0x10000, 0, 0, fd)
        with self.assertRaises(Refused):
            self.fe.set_mem_table([region, region])
        # A table that is refused leaves the old one in place.
        self.fe.rem_mem_reg(0, 0x10000, 0x4F0000)

    def test_table_counts(self):
        self.fe.negotiate()
        memory = self.memory(size=MIB)
        region = struct.pack("=QQQQ", 0, 4096, 0, 0)
        # What it said stays in the buffer, behind a shorter message.
        self.fe.set_mem_table([(i * 8192, 4096, i * 8192, 0, memory.fd) for i in range(2)])
        for count, sent, fds in ((1, 0, 1), (2, 1, 2), (2, 2, 1), (1, 1, 0), (9, 8, 8),
                                 (0xFFFFFFFF, 8, 8), (0x10000000, 1, 1), (0, 0, 1)):
            self.assertRefused(vu.SET_MEM_TABLE, struct.pack("=II", count, 0) + region * sent,
                               [memory.fd] * fds)
        self.assertRefused(vu.SET_MEM_TABLE, b"1234")

    def test_too_many_regions(self):
        self.fe.negotiate()
        slots = self.fe.ask_u64(vu.GET_MAX_MEM_SLOTS)
        memory = self.memory(size=MIB)
        before = self.open_fds()
        for i in range(slots):
            self.fe.add_mem_reg(i * 8192, 4096, i * 8192, 0, memory.fd)
        with self.assertRaises(Refused):
            self.fe.add_mem_reg(slots * 8192, 4096, slots * 8192, 0, memory.fd)
        self.assertEqual(self.open_fds(), before)
        self.fe.rem_mem_reg(0, 4096, 0)
        self.fe.add_mem_reg(slots * 8192, 4096, slots * 8192, 0, memory.fd)

    # --- sessions ---

    def test_second_front_end_is_turned_away(self):
        self.assertTrue(self.fe.alive())
        second = self.connect()
        self.assertTrue(second.disconnected())
        self.assertTrue(self.fe.alive())
        self.assertIn("turned away", self.agent.stderr())

    def test_sessions_start_afresh(self):
        before = self.open_fds()
        for _ in range(20):
            self.fe.negotiate()
            memory = self.memory(size=MIB)
            self.fe.set_mem_table([memory.region()])
            self.reconnect()
            with self.assertRaises(TimeoutError):
                # No REPLY_ACK: nothing of the last session is left.
                self.fe.sock.settimeout(0.02)
                self.fe.do(vu.SET_OWNER)
            self.fe.sock.settimeout(vu.TIMEOUT)
        self.assertEqual(self.open_fds(), before)

    def test_front_end_that_does_not_read(self):
        """Its answers wait, its further messages too, and nobody else does."""
        message = struct.pack("=III", vu.GET_CONFIG, vu.VERSION, 12 + 256)
        message += struct.pack("=III", 0, 256, 0) + bytes(256)
        self.fe.sock.setblocking(False)
        sent = 0
        deadline = time.monotonic() + 20
        idle = 0
        while idle < 20 and time.monotonic() < deadline:
            try:
                sent += self.fe.sock.send(message)
                idle = 0
            except BlockingIOError:
                idle += 1
                time.sleep(0.01)
        self.assertEqual(idle, 20, "the agent swallows without end")
        client = self.agent.vfio_user()
        self.assertTrue(client.get_info())
        client.close()
        cpu = self.agent.cpu_seconds()
        time.sleep(0.5)
        self.assertLess(self.agent.cpu_seconds() - cpu, 0.1, "busy while it waits")
        self.fe.sock.setblocking(True)
        self.fe.sock.settimeout(vu.TIMEOUT)
        whole, part = divmod(sent, len(message))
        if part:
            self.fe.send_raw(message[part:])
            whole += 1
        for _ in range(whole):
            self.assertEqual(len(self.fe.receive(vu.GET_CONFIG)[2]), 268)

    def test_noise(self):
        """Random messages: refused or not, the agent serves the next session."""
        rng = random.Random(20260117)
        fds = [payload_fd(), os.eventfd(0), self.memory(size=MIB).fd]
        self.addCleanup(os.close, fds[0])
        self.addCleanup(os.close, fds[1])
        self.reconnect()
        before = self.open_fds()
        for _ in range(40):
            try:
                for _ in range(50):
                    request = rng.randrange(0, 42)
                    size = rng.choice((0, 4, 8, 8, 8, 12, 40, 40, 72, 268))
                    body = bytes(rng.choice((0, 0, 0, 1, 2, 255)) for _ in range(size))
                    self.fe.send(request, body, rng.choices(fds, k=rng.randrange(0, 3)),
                                 vu.VERSION | rng.choice((0, vu.NEED_REPLY)))
            except (vu.Disconnected, OSError):
                pass
            self.reconnect()
        self.assertEqual(self.open_fds(), before)


if __name__ == "__main__":
    unittest.main()
