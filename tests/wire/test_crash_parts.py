# SPDX-License-Identifier: GPL-2.0-or-later
"""Kills at random moments, messages of which a part has gone over, files that come many
times, drivers that end."""

import errno
import fcntl
import json
import os
import random
import select
import signal
import socket
import struct
import termios
import threading
import time
import unittest

from lib import vfio_user
from lib import vhost_user as vu
from lib.agent import ROOT
from lib.story import BAR1, CONFIG, GRANULE, MSIX, ODD, PATIENCE, SET_TRIGGER, agent
from lib.vhost_user import MIB, Guest


class Load(unittest.TestCase):
    """Killed at random moments, under load: no answer is missing, doubled or wrong."""

    KILLS = int(os.environ.get("PVDMA_CRASH_KILLS", "25"))

    def setUp(self):
        self.agent = self.enterContext(self.make())
        self.guest = self.enterContext(Guest(self.agent))
        self.guest.ready()
        self.done = threading.Event()
        self.rounds = 0
        self.problems = []

    @staticmethod
    def make():
        return agent()

    def guarded(self, work):
        try:
            while not self.done.is_set():
                work()
                self.rounds += 1
        except Exception as e:  # pylint: disable=broad-except
            self.problems.append(e)

    def driver(self):
        """Maps, holds, looks whether that is mapped, and lets go."""
        rng = self.rng
        ranges = [(rng.randrange(64, 900), rng.randrange(1, 4)) for _ in range(2)]
        for first, count in ranges:
            for i in range(count):
                self.guest.hold(first + i)
        answer = self.guest.map(*ranges)
        if answer.status != vu.OK:
            raise AssertionError(f"{ranges}: {answer}")
        mapped = self.agent.mapped()
        for first, count in ranges:
            for granule in range(first, first + count):
                if not any(at <= granule * GRANULE < at + size for at, size in mapped):
                    raise AssertionError(f"{granule} is not mapped: {mapped}")
                if not self.guest.word(granule) & vu.MAPPED:
                    raise AssertionError(f"{granule} is mapped, and not shown so")
        if sum(size for _, size in mapped) > MIB:
            raise AssertionError(f"above the quota: {mapped}")
        for first, count in ranges:
            for i in range(count):
                self.guest.drop(first + i)
        if rng.random() < 0.3:
            answer = self.guest.unmap(*ranges)
            if answer.status != vu.OK:
                raise AssertionError(f"unmap: {answer}")

    def client(self):
        """Reads, writes, announces memory and takes it back."""
        value = self.rng.randbytes(4)
        self.guest.vfio.write(CONFIG, 60, value[:1])
        if self.guest.vfio.read(CONFIG, 60, 1) != value[:1]:
            raise AssertionError("a write to the configuration is lost")
        self.guest.vfio.dma_map(512 * MIB, MIB, self.guest.memory.fd)
        self.guest.vfio.dma_unmap(512 * MIB, MIB)
        if len(self.guest.front_end.get_config()) != 64:
            raise AssertionError("a short configuration")

    def test_random_kills(self):
        seed = int.from_bytes(os.urandom(4), "little")
        self.rng = random.Random(seed)
        print(f"# seed {seed}")
        threads = [threading.Thread(target=self.guarded, args=(work,))
                   for work in (self.driver, self.client)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(self.KILLS):
                time.sleep(self.rng.random() * 0.15)
                rounds = self.rounds
                self.agent.hit()
                deadline = time.monotonic() + PATIENCE
                while self.rounds < rounds + 4 and not self.problems:
                    self.assertLess(time.monotonic(), deadline, self.agent.stderr())
                    time.sleep(0.002)
        finally:
            self.done.set()
            for thread in threads:
                thread.join(PATIENCE)
        self.assertEqual(self.problems, [])
        self.agent.settle()
        self.assertGreaterEqual(self.agent.kills, self.KILLS)
        vm = self.agent.ask("stats")["vm"]
        self.assertEqual(vm["mapped_bytes"], sum(size for _, size in self.agent.mapped()))
        print(f"# {self.agent.kills} kills, {self.rounds} rounds")


class LoadInSandbox(Load):
    """The same with what is installed: a call that its filter does not know ends it."""

    KILLS = 10

    @staticmethod
    def make():
        made = agent(args=("--sandbox", "kill"))
        made.command[0] = os.environ.get("PVDMA_BUILD", str(ROOT / "build")) + "/bin/pvdma-agent"
        return made


class Parts(unittest.TestCase):
    """Messages and answers of which only a part has gone over."""

    def setUp(self):
        self.agent = self.enterContext(agent())
        self.guest = self.enterContext(Guest(self.agent))

    def kill(self):
        self.agent.hit()
        self.agent.process.wait(PATIENCE)
        time.sleep(0.01)    # the supervisor takes over
        self.agent.settle()

    def test_message_in_pieces(self):
        """Each piece comes to another process; the descriptor with the first one."""
        v = self.guest.vfio
        body = struct.pack("=IIQQQ", 32, 3, 0, 512 * MIB, MIB)
        data = vfio_user.HEADER.pack(77, vfio_user.DMA_MAP, 16 + len(body), 0, 0) + body
        for at, end in ((0, 3), (3, 16), (16, 30), (30, len(data))):
            v.send_raw(data[at:end], [self.guest.memory.fd] if at == 0 else [])
            self.wait_until_read(v.sock)
            if end < len(data):
                self.kill()
        reply = v.receive()
        self.assertEqual((reply.id, reply.command, reply.error),
                         (77, vfio_user.DMA_MAP, 0))
        with self.assertRaises(vfio_user.RemoteError) as refused:
            v.dma_map(512 * MIB, MIB, self.guest.memory.fd)
        self.assertEqual(refused.exception.errno, errno.EEXIST)

    def wait_until_read(self, sock):
        """Until the other end has taken what was sent."""
        deadline = time.monotonic() + PATIENCE
        while struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0] > 0:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.002)

    def test_descriptor_in_the_middle(self):
        fe, v = self.guest.front_end, self.guest.vfio
        event = os.eventfd(0, os.EFD_CLOEXEC)
        body = struct.pack("=IIIII", 20, SET_TRIGGER, MSIX, 0, 1)
        data = vfio_user.HEADER.pack(5, vfio_user.DEVICE_SET_IRQS, 16 + len(body), 0, 0) + body
        v.send_raw(data[:20])
        self.wait_until_read(v.sock)
        self.kill()
        v.send_raw(data[20:24], [event])
        self.wait_until_read(v.sock)
        self.kill()
        v.send_raw(data[24:])
        self.assertEqual(v.receive().error, 0)
        self.kill()
        v.write(BAR1, 0, struct.pack("<I", MSIX << 16))
        self.assertEqual(os.eventfd_read(event), 1)
        os.close(event)
        fe.negotiate()

    def fire(self, vector):
        self.guest.vfio.write(BAR1, 0, struct.pack("<I", MSIX << 16 | vector))

    def test_one_file_many_times(self):
        """The store has a file once, however many refer to it; it stays until the last."""
        v, agent_ = self.guest.vfio, self.agent
        same, other = (os.eventfd(0, os.EFD_CLOEXEC) for _ in range(2))
        agent_.store.sync()
        before = len(agent_.store.names())
        v.set_irqs(MSIX, SET_TRIGGER, 0, 3, fds=[same] * 3)
        v.set_irqs(MSIX, SET_TRIGGER, 1, 1, fds=[same])
        for at in (512 * MIB, 513 * MIB):
            v.dma_map(at, MIB, self.guest.memory.fd)
        agent_.store.sync()
        self.assertEqual(len(agent_.store.names()), before + 1)     # the memory was there
        self.kill()
        v.set_irqs(MSIX, SET_TRIGGER, 0, 1, fds=[other])
        v.dma_unmap(512 * MIB, MIB)
        self.kill()
        v.set_irqs(MSIX, SET_TRIGGER, 1, 1, fds=[other])
        self.kill()
        for vector in range(3):
            self.fire(vector)
        self.assertEqual((os.eventfd_read(same), os.eventfd_read(other)), (1, 2))
        v.set_irqs(MSIX, SET_TRIGGER, 2, 1, fds=[other])
        v.set_irqs(MSIX, SET_TRIGGER, 0, 1, fds=[same])
        self.kill()
        agent_.store.sync()
        self.assertEqual(len(agent_.store.names()), before + 2)
        v.set_irqs(MSIX, SET_TRIGGER, 0, 3, fds=[other] * 3)
        v.dma_unmap(513 * MIB, MIB)
        agent_.store.sync()
        self.assertEqual(len(agent_.store.names()), before + 1)
        os.close(same)
        os.close(other)

    def test_own_descriptors(self):
        """What the agent handed out comes back, as memory and to be called at."""
        v, fe, agent_ = self.guest.vfio, self.guest.front_end, self.agent
        fe.negotiate()
        bar = v.region_info(0)
        agent_.store.sync()
        before = agent_.store.names()
        v.dma_map(512 * MIB, 4096, bar.fd)
        fe.vring_fd(vu.SET_VRING_CALL, 0, bar.fd)
        self.kill()
        v.dma_unmap(512 * MIB, 4096)
        fe.vring_fd(vu.SET_VRING_CALL, 0)
        agent_.store.sync()
        self.assertEqual(agent_.store.names(), before)
        self.kill()
        v.write(0, 0, b"abcd")
        self.assertEqual(os.pread(bar.fd, 4, 0), b"abcd")
        os.close(bar.fd)

    def test_refused_descriptor(self):
        """Refused when it had been taken already: it is, once more, by the next process."""
        fe, agent_ = self.guest.front_end, self.agent
        fe.negotiate()
        agent_.store.sync()
        before = agent_.store.names()
        agent_.crashes.append("vhost-executed")
        self.kill()
        with self.assertRaises(vu.Refused):
            fe.vring_fd(vu.SET_VRING_KICK, 0, self.guest.queues[0].kick_fd)
        agent_.settle()
        self.assertEqual(agent_.kills, 2)
        self.assertTrue(fe.alive())
        agent_.store.sync()
        self.assertEqual(agent_.store.names(), before)

    def replace_pieces(self, parts):
        """Killed when these pieces of a granule had become one of 8 KiB, not noted yet."""
        g, agent_ = self.guest, self.agent
        second = agent_.vfio_user(1)
        self.addCleanup(second.close)
        for client in (g.vfio, second):
            for at in (*parts, 12288):
                client.dma_map(ODD + at, 4096, g.memory.fd, at)
        g.ready()
        first = ODD // GRANULE
        self.assertEqual(g.leaf(first // 1024).status, vu.OK)
        self.assertEqual(g.map((first, 1)).status, vu.OK)
        g.hold(first)
        self.assertEqual(agent_.mapped(), [(ODD + at, 4096) for at in (*parts, 12288)])
        for at in parts:
            g.vfio.dma_unmap(ODD + at, 4096)
        for crash in ("map-called", "region", "region-noted"):
            agent_.crashes.append(crash)
            self.kill()
            g.vfio.dma_map(ODD, 8192, g.memory.fd)
            agent_.settle()
            self.assertEqual(agent_.mapped(), [(ODD, 8192), (ODD + 12288, 4096)])
            vm = agent_.ask("stats")["vm"]
            self.assertEqual((vm["mapped_bytes"], vm["entries"]), (12288, 2))
            # Back to how it was.
            g.vfio.dma_unmap(ODD, 8192)
            for at in parts:
                second.dma_unmap(ODD + at, 4096)
                second.dma_map(ODD + at, 4096, g.memory.fd, at)

    def test_region_in_place_of_others(self):
        self.replace_pieces((0, 4096))

    def test_region_in_place_of_less(self):
        self.replace_pieces((0,))

    def test_messages_in_a_row(self):
        """Descriptors stay with their message, though a look shows those of the next."""
        v = self.guest.vfio
        irqs = struct.pack("=IIIII", 20, SET_TRIGGER, MSIX, 0, 2)
        read = struct.pack("=QII", 0, CONFIG, 4)
        events = [os.eventfd(0, os.EFD_CLOEXEC) for _ in range(2)]
        for i in range(4):
            sent = []
            # All of them wait before the first is looked at.
            self.agent.settle()
            os.kill(self.agent.process.pid, signal.SIGSTOP)
            for _ in range(3):
                sent += [v.send(vfio_user.REGION_READ, read),
                         v.send(vfio_user.DMA_MAP, struct.pack("=IIQQQ", 32, 3, 0, 512 * MIB, MIB),
                                [self.guest.memory.fd]),
                         v.send(vfio_user.DMA_UNMAP, struct.pack("=IIQQ", 24, 0, 512 * MIB, MIB)),
                         v.send(vfio_user.DEVICE_SET_IRQS, irqs, events)]
            if i % 2:
                self.kill()
            else:
                os.kill(self.agent.process.pid, signal.SIGCONT)
            for number in sent:
                reply = v.receive()
                self.assertEqual((reply.id, reply.error), (number, 0))
        for fd in events:
            os.close(fd)

    def test_answers_nobody_reads(self):
        """The rest of an answer is sent by the next process, from where it stopped."""
        v = self.guest.vfio
        ids = [v.send(vfio_user.REGION_READ, struct.pack("=QII", 0, 6, 262144))
               for _ in range(6)]
        rom = b"".join(struct.pack("<I", i) for i in range(0, 262144, 4))
        for sent in ids:
            deadline = time.monotonic() + PATIENCE
            while not select.select([v.sock], [], [], 0.01)[0]:
                self.assertLess(time.monotonic(), deadline)
            self.kill()
            reply = v.receive()
            self.assertEqual((reply.id, reply.error), (sent, 0))
            self.assertEqual(reply.body[16:], rom)
        self.assertFalse(select.select([v.sock], [], [], 0.2)[0])

    def test_settings_survive(self):
        """Quota, strategy and devices as they were set while it ran."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path = str(self.agent.dir / "more.sock")
        listener.bind(path)
        listener.listen()
        with self.agent.connect(self.agent.control_socket) as control:
            socket.send_fds(control, [b"device-add null,endpoint=5\n"], [listener.fileno()])
            self.assertEqual(json.loads(control.recv(4096)), {"endpoint": 5})
        listener.close()
        self.agent.ask("quota", "3M")
        self.agent.ask("strategy", "shared")
        self.kill()
        config = self.agent.ask("config")
        self.assertEqual(config["strategy"], "shared")
        self.assertEqual(sorted(d["endpoint"] for d in config["devices"]), [1, 5, 9])
        self.assertEqual(self.agent.ask("quota")["quota"], 3 * MIB)
        client = vfio_user.Client(self.agent.connect(path))
        client.version()
        self.kill()
        self.assertEqual(client.get_info()[2], 9)
        client.close()
        deadline = time.monotonic() + PATIENCE
        while "error" in str(self.try_remove()):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.kill()
        self.assertEqual(sorted(d["endpoint"] for d in self.agent.ask("config")["devices"]),
                         [1, 9])

    def try_remove(self):
        with self.agent.connect(self.agent.control_socket) as control:
            control.sendall(b"device-remove 5\n")
            return json.loads(control.recv(4096))


class Driver(unittest.TestCase):
    """Killed while a driver's end is on its way."""

    def start(self, crash):
        self.agent = self.enterContext(agent([crash]))
        self.guest = self.enterContext(Guest(self.agent))
        self.guest.ready()
        self.guest.hold(100)
        self.assertEqual(self.guest.map((100, 2)).status, vu.OK)
        self.assertNotEqual(self.agent.mapped(), [])

    def ended(self):
        self.agent.settle()
        self.assertEqual(self.agent.kills, 1)
        self.assertEqual(self.agent.mapped(), [])
        self.assertEqual(self.agent.ask("stats")["vm"]["mapped_bytes"], 0)

    def test_reset(self):
        """The VM is reset: nothing of its memory stays mapped (the first time is INIT)."""
        self.start("forget-driver:2")
        self.guest.vfio.reset()
        for queue in self.guest.queues:
            queue.stop()
        # The firmware's memory comes: that is the VM's reset.
        self.guest.vfio.dma_map(256 * MIB, GRANULE, self.guest.memory.fd)
        self.ended()

    def test_detach(self):
        """DEV-DETACH-1: the last one ends all, before it is answered."""
        self.start("detached")
        self.assertEqual(self.guest.detach(), vu.OK)
        self.assertFalse(self.guest.word(100) & vu.MAPPED)
        self.ended()

    def test_attach_strictly(self):
        """DEV-STRICT-2: what is idle and larger than a granule ends before the answer."""
        self.start("attached-strictly")
        self.guest.drop(100)
        self.assertEqual(self.guest.attach(strategy=vu.S_SHARED), vu.OK)
        self.ended()

    def test_news(self):
        """DEV-CONF-1: the quota was changed, and not told: then it is, whoever does it."""
        self.start("quota-set")
        g = self.guest
        before, = struct.unpack_from("<I", g.front_end.get_config(), 24)
        self.agent.ask("quota", "2M")
        # The question was asked once more, and had changed nothing any more.
        quota, after = struct.unpack_from("<QI", g.front_end.get_config(), 16)
        self.assertEqual((quota, self.agent.kills), (2 * MIB, 1))
        self.assertNotEqual(after, before)


class Once(unittest.TestCase):
    """A request that was served and not answered is served again, and none of it shows."""

    def test_detach(self):
        for crash in ("served:4", "answered:4", "popped:4"):
            with self.subTest(crash), agent(crashes=[crash]) as a, Guest(a) as guest:
                guest.ready()       # three requests
                self.assertEqual(guest.detach(), vu.OK)
                self.assertEqual(guest.detach(), vu.STATE)
                self.assertEqual(a.kills, 1)
