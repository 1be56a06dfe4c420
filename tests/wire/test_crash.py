# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent is killed at every step, and its next process goes on.

One story is told again and again: by an agent that nobody kills, and by one that is
killed at one place of one pass. Its peers keep their connections and wait; what they
hear, what is mapped, and what the guest's table says must be the same in the end.
"""

import errno
import fcntl
import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
import unittest

from lib import store, vfio_user
from lib import vhost_user as vu
from lib.agent import BINARY
from lib.vhost_user import COARSE, MIB, Guest

# A story's peers wait this long for an agent that is killed and started again.
PATIENCE = 60
# Passes of a label at which the agent is killed, as far as the story has so many.
PASSES = [int(n) for n in os.environ.get("PVDMA_CRASH_PASSES", "1,2,4,9").split(",")]
GRANULE = Guest.GRANULE
CONFIG, BAR1 = 7, 1
MSIX = 2
SET_TRIGGER = 0x20 | 0x4            # ACTION_TRIGGER | DATA_EVENTFD
ODD = 256 * MIB                     # a region whose end cuts a granule
ODD_SIZE = 5 * GRANULE + 3 * 4096
# Where a process is killed between accepting a connection and noting it, the peer
# is hung up on: the kernel knows no connection that is accepted and nobody's.
CONNECTING = ("keep", "kept")


class Supervised(store.KeptAgent):
    """Starts the next process when one was killed, as the service manager does."""

    def __init__(self, *args, crashes=(), **kwargs):
        self.crashes = list(crashes)
        super().__init__(*args, crash=self.crashes.pop(0) if self.crashes else None, **kwargs)
        self.failure = None
        self._ending = False
        self._busy = threading.Lock()
        self._thread = threading.Thread(target=self._supervise, daemon=True)

    def start(self, wait=True):
        super().start(wait=False)
        if self._thread.is_alive():
            return
        self._thread.start()
        deadline = time.monotonic() + PATIENCE
        while not self.store.ready and self.failure is None:
            if time.monotonic() > deadline:
                raise TimeoutError(self.stderr())
            time.sleep(0.005)
        if self.failure:
            raise self.failure

    def _supervise(self):
        while not self._ending:
            with self._busy:
                if not self._ending and self.process.poll() is not None:
                    try:
                        self.resume(crash=self.crashes.pop(0) if self.crashes else None)
                        self.kills += 1
                    except Exception as e:  # pylint: disable=broad-except
                        self.failure = e
                        return
            time.sleep(0.002)

    def hit(self):
        """A kill at a random moment."""
        with self._busy:
            self.process.kill()

    def stop(self, check=True):
        self._ending = True
        self._thread.join(PATIENCE)
        if self.failure and check:
            raise self.failure
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(PATIENCE) == -signal.SIGKILL:
            # Over its end. Who stops a unit does not start it again, and closes all.
            self.kills += 1
            self.store.sync()
            self.store.clear()
            self.process = None
        super().stop(check)

    def settle(self):
        """Waits until the process that is there serves."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.failure:
                raise self.failure
            with self._busy:
                if self.process.poll() is None and self.store.ready >= self.starts:
                    return
            time.sleep(0.005)
        raise TimeoutError(self.stderr())

    def ask(self, *words):
        """A command, again if the agent was killed over it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            done = subprocess.run([str(BINARY), "--query", self.control_socket, *words],
                                  capture_output=True, text=True, timeout=PATIENCE, check=False)
            if done.returncode == 0 and done.stdout.strip():
                return json.loads(done.stdout)
            time.sleep(0.02)
        raise TimeoutError(f"{words}: {done.stderr}")

    def connect(self, path):
        """As Agent.connect(), but the first process may not have been able to listen."""
        s = super().connect(path)
        s.settimeout(PATIENCE)
        return s


def connected(agent, make, told):
    """What make() makes; once more if its connection was nobody's when a kill came."""
    try:
        return make()
    except (vfio_user.Disconnected, vu.Disconnected, ConnectionError):
        if not agent.kills and not agent.settle() and not agent.kills:
            raise
        told.append("reconnected")
        return make()


class Story:
    """What the peers do, and what they hear."""

    def __init__(self, agent):
        self.agent = agent
        self.told = []
        self.lost = []
        self.guest = None
        self.second = None
        self.more = os.memfd_create("more", os.MFD_CLOEXEC)
        os.ftruncate(self.more, 16 * MIB)
        self.irqs = [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(3)]

    def close(self):
        if self.guest:
            self.guest.close()
        if self.second:
            self.second.close()
        for fd in [self.more, *self.irqs]:
            os.close(fd)

    def note(self, *what):
        self.told.append(what)

    def answer(self, what, answer):
        # How much of a MAP was new is less where it is served once more.
        self.note(what, answer.status, answer.index, answer.length)

    def words(self, first, count):
        return [self.guest.word(first + i) for i in range(count)]

    def run(self):
        self.begin()
        self.requests()
        self.device()
        self.regions()
        self.life()
        self.agent.settle()
        self.end()

    def begin(self):
        self.guest = connected(self.agent, lambda: Guest(self.agent), self.lost)
        self.guest.front_end.sock.settimeout(PATIENCE)
        self.guest.start()
        self.guest.open_channel()
        g = self.guest
        self.note("init", g.init())
        self.answer("leaf", g.leaf(0))
        self.note("attach", g.attach())
        self.note("attach again", g.attach())

    def requests(self):
        g = self.guest
        self.answer("map", g.map((100, 3)))
        for i in range(3):
            g.hold(100 + i)
        self.answer("map two", g.map((200, 4), (210, 1)))
        self.answer("map on queue 1", g.map((220, 1), queue=1))
        self.answer("unmap", g.unmap((200, 2), (220, 1)))
        self.answer("release", g.release((210, 1)))
        # The quota is 16 granules: others go for these.
        self.answer("map with evictions", g.map((300, 12)))
        self.answer("map too much", g.map((400, 20)))
        self.answer("unmap all", g.unmap((300, 12)))
        self.answer("bad range", g.map((1 << 30, 1)))
        self.note("words", self.words(100, 3), self.words(300, 12))

    def device(self):
        v = self.guest.vfio
        self.note("info", v.get_info())
        bar = v.region_info(0)
        self.note("bar", bar.size, bar.flags, bar.fd >= 0)
        os.close(bar.fd)
        v.set_irqs(MSIX, SET_TRIGGER, 0, 3, fds=self.irqs)
        v.write(CONFIG, 4, struct.pack("<H", 6))
        self.note("command", v.read(CONFIG, 4, 2))
        v.write(BAR1, 0, struct.pack("<I", MSIX << 16 | 1))
        v.write(BAR1, 8, b"abcd")
        self.note("bar1", v.read(BAR1, 8, 4))
        self.note("multi", v.write_multi([(BAR1, 16, b"ef"), (BAR1, 18, b"gh"),
                                          (CONFIG, 60, b"\7")]), v.read(BAR1, 16, 4))
        self.note("rom", v.read(6, 4096, 65536) == b"".join(
            struct.pack("<I", i) for i in range(4096, 4096 + 65536, 4)))
        self.note("interrupts", [self.count(fd) for fd in self.irqs])
        try:
            v.read(CONFIG, 4094, 4)
        except vfio_user.RemoteError as e:
            self.note("bad read", e.errno)

    @staticmethod
    def count(fd):
        return os.eventfd_read(fd) if select.select([fd], [], [], 0)[0] else 0

    def regions(self):
        g = self.guest
        g.vfio.dma_map(ODD, ODD_SIZE, self.more)
        first = ODD // GRANULE
        self.answer("leaf of more", g.leaf(first // 1024))
        self.answer("map in more", g.map((first, 6)))
        g.hold(first + 5)
        # The granule that the border cuts gets more memory while it is held.
        g.vfio.dma_map(ODD + ODD_SIZE, GRANULE - ODD_SIZE % GRANULE, self.more, ODD_SIZE)
        self.note("mapped", self.agent.mapped())
        g.vfio.dma_unmap(ODD + ODD_SIZE, GRANULE - ODD_SIZE % GRANULE)
        self.note("mapped less", sum(size for _, size in self.agent.mapped()))
        g.drop(first + 5)
        self.second = connected(self.agent, lambda: self.agent.vfio_user(1), self.lost)
        self.second.dma_map(0, g.memory.size, g.memory.fd)
        g.vfio.dma_unmap(ODD, ODD_SIZE)
        try:
            g.vfio.dma_unmap(ODD, ODD_SIZE)
        except vfio_user.RemoteError as e:
            self.note("unmap again", e.errno)

    def life(self):
        g, fe = self.guest, self.guest.front_end
        extra = vu.Memory(MIB, gpa=1024 * MIB)
        fe.add_mem_reg(extra.gpa, extra.size, extra.user, 0, extra.fd)
        fe.rem_mem_reg(extra.gpa, extra.size, extra.user)
        extra.close()
        self.note("config", fe.get_config()[:12])
        self.note("detach", g.detach())
        self.note("detach again", g.detach())
        self.note("attach", g.attach())
        base = g.queues[1].stop()
        self.note("base", base == g.queues[1].avail_idx)
        g.queues[1].start(base)
        self.answer("map on queue 1", g.map((500, 2), queue=1))
        self.note("quota", self.agent.ask("quota", "2M")["quota"])
        self.answer("map more", g.map((600, 18)))
        self.second.reset()
        # Its memory is the first one's, too, and stays.
        self.second.close()
        self.second = None
        self.answer("map on", g.map((101, 1)))

    def end(self):
        """What is, in the end; when the second client's end has been seen."""
        deadline = time.monotonic() + PATIENCE
        while self.guest.front_end.get_config()[36:40] != struct.pack("<I", 1):
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        vm = self.agent.ask("stats")["vm"]
        mapped = self.agent.mapped()
        self.note("endpoints", self.guest.front_end.get_config()[36:40])
        self.note("IOMMU", mapped)
        self.note("books", vm["mapped_bytes"], vm["entries"], vm["quota"], vm["leaves"])
        if vm["mapped_bytes"] != sum(size for _, size in mapped):
            raise AssertionError(f"{vm['mapped_bytes']} bytes in the books, mapped: {mapped}")
        self.note("all words", self.words(0, 1024))


def agent(crashes=()):
    return Supervised(quota="1M", devices=("", "endpoint=9"), crashes=crashes,
                      args=("--queues", "2", *COARSE))


def tell(crashes=()):
    """One story: what was told, how often the agent was killed, connections lost."""
    with agent(crashes) as a:
        story = Story(a)
        try:
            story.run()
        except BaseException:
            print(f"# {crashes}: {story.told[-3:]}")
            raise
        finally:
            story.close()
    # It has ended, and left nothing behind.
    if a.left:
        raise AssertionError(f"still kept: {a.left}")
    return story.told, a.kills, story.lost


class EveryStep(unittest.TestCase):
    """Kills at all labels. Each has a test of its own: see load_tests()."""

    reference = None
    maxDiff = None

    def __init__(self, label=None):
        super().__init__("run_label")
        self.label = label

    def __str__(self):
        return f"kill at {self.label}"

    def id(self):
        return f"test_crash.EveryStep.{self.label}"

    def run_label(self):
        if EveryStep.reference is None:
            EveryStep.reference = tell()[0]
        passed = 0
        for n in PASSES:
            told, kills, lost = tell([f"{self.label}:{n}"])
            if kills == 0:
                break
            passed += 1
            self.assertEqual(kills, 1)
            if lost:
                self.assertIn(self.label, CONNECTING)
            self.compare(told, f"{self.label}:{n}")
        self.assertGreater(passed, 0, f"the story does not pass {self.label}")

    def compare(self, told, where):
        for was, now in zip(EveryStep.reference, told):
            if self.label == "write-begun" and was[0] in ("interrupts", "bar1", "multi"):
                # It counts as done, and was not (region.c): one write is missing.
                self.assertEqual(was[0], now[0])
                continue
            self.assertEqual(was, now, where)
        self.assertEqual(len(EveryStep.reference), len(told), where)


class TwoKills(unittest.TestCase):
    """Killed once more while it goes on."""

    def test_in_the_middle_of_going_on(self):
        reference = tell()[0]
        for first, second in (("unmap-called:2", "resume-unmapped"),
                              ("map-called:3", "resume-unmapped"),
                              ("victim-marked", "resume-ledger"), ("served:7", "resume-vm"),
                              ("vfu-executed:9", "resume-ledger"),
                              ("vhost-executed:12", "resume-vm"), ("region", "keep"),
                              ("vfu-answer:4", "vfu-answer"), ("popped:6", "popped"),
                              ("irqs-set", "irqs"), ("map-committed:4", "map-called")):
            with self.subTest(first=first, second=second):
                told, kills, _ = tell([first, second])
                self.assertEqual(kills, 2)
                self.assertEqual(reference, told)


class Load(unittest.TestCase):
    """Killed at random moments, under load: no answer is missing, doubled or wrong."""

    KILLS = int(os.environ.get("PVDMA_CRASH_KILLS", "25"))

    def setUp(self):
        self.agent = self.enterContext(agent())
        self.guest = self.enterContext(Guest(self.agent))
        self.guest.ready()
        self.done = threading.Event()
        self.rounds = 0
        self.problems = []

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


class Refused(unittest.TestCase):
    """A state that cannot be gone on with: said, cleaned up, and no more."""

    def setUp(self):
        self.agent = self.enterContext(store.KeptAgent(
            quota="1M", args=("--queues", "2", *COARSE), expect=1))
        self.guest = self.enterContext(Guest(self.agent))
        self.guest.ready()
        self.assertEqual(self.guest.map((100, 3)).status, vu.OK)
        self.assertEqual(self.guest.map((200, 3)).status, vu.OK)
        self.agent.kill()
        self.agent.store.sync()
        self.iommu = os.dup(self.agent.store.get("pvdma-iommu-")[0])
        self.addCleanup(os.close, self.iommu)
        self.state = self.agent.store.get("pvdma-state")[0]

    def refused(self, words):
        """The next process ends, has unmapped all, and said why."""
        self.agent.resume(wait=False)
        self.assertEqual(self.agent.wait(PATIENCE), 1, self.agent.stderr())
        self.assertIn(words, self.agent.stderr())
        self.assertNotIn("Sanitizer", self.agent.stderr())
        self.agent.store.sync()
        self.assertEqual(self.agent.store.names(), [])
        data = os.pread(self.iommu, os.fstat(self.iommu).st_size, 0)
        self.assertEqual([size for _, size, _ in struct.iter_unpack("<QQQ", data) if size], [])
        self.assertTrue(self.guest.vfio.disconnected())
        self.assertEqual(self.agent.store.ready, 1)

    def test_not_whole(self):
        os.pwrite(self.state, bytes(8), 0)
        self.refused("it is not whole")

    def test_other_version(self):
        os.pwrite(self.state, struct.pack("<Q", 1 << 20), 8)
        self.refused("another version")

    def test_other_size(self):
        os.ftruncate(self.state, 4096)
        self.refused("another size")

    def extents(self):
        """The offsets of both extents in the state."""
        found, at = [], 0
        size = os.fstat(self.state).st_size
        while at < size:
            try:
                at = os.lseek(self.state, at, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(self.state, at, os.SEEK_HOLE)
            data = os.pread(self.state, end - at, at)
            for i in range(0, len(data) - 63, 8):
                # key, children and priority, mark; charge and count
                key, mark, charge, count = struct.unpack_from("<Q12xIQI", data, i)
                if key in (100, 200) and (mark, charge, count) == (2, 3 * GRANULE, 3):
                    found.append(at + i)
            at = end
        self.assertEqual(len(found), 2)
        return found

    def test_extents_overlap(self):
        os.pwrite(self.state, struct.pack("<Q", 101), self.extents()[1])
        self.refused("extents overlap")

    def test_charge(self):
        os.pwrite(self.state, struct.pack("<Q", GRANULE), self.extents()[0] + 24)
        self.refused("charged other than it is long")

    def test_mark(self):
        os.pwrite(self.state, struct.pack("<I", 9), self.extents()[0] + 20)
        self.refused("a slot is nothing")

    def test_beyond(self):
        os.pwrite(self.state, struct.pack("<Q", (1 << 64) - 2), self.extents()[0])
        self.refused("beyond all addresses")

    def lose(self, prefix):
        kept = self.agent.store
        for name, fd in kept.fds:
            if name.startswith(prefix):
                os.close(fd)
                kept.fds.remove((name, fd))
                return
        self.fail(prefix)

    def test_memory_missing(self):
        self.lose("pvdma-memory-")
        self.refused("has not kept pvdma-memory-")

    def test_connection_missing(self):
        self.lose("pvdma-client-")
        self.refused("has not kept pvdma-client-")

    def test_listener_missing(self):
        self.lose("pvdma-listen-")
        self.refused("has not kept pvdma-listen-")

    def test_device_missing(self):
        self.lose("pvdma-null-")
        self.refused("has not kept pvdma-null-")


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    for case in (Parts, Refused, TwoKills, Load):
        suite.addTests(loader.loadTestsFromTestCase(case))
    if os.path.exists(store.CRASH_BINARY):
        for label in store.labels():
            if not label.startswith("resume"):
                suite.addTest(EveryStep(label))
    return suite
