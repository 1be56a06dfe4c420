# SPDX-License-Identifier: GPL-2.0-or-later
"""A story of a VM, told by an agent that may be killed meanwhile.

    told, kills, lost = tell(["unmap-called:2"])

Its peers keep their connections and wait; what they hear, what is mapped, and what the
guest's table says must be the same however often the agent was killed.
"""

import json
import os
import select
import signal
import struct
import subprocess
import threading
import time

from lib import store, vfio_user
from lib import vhost_user as vu
from lib.agent import BINARY
from lib.vhost_user import COARSE, MIB, Guest

# A story's peers wait this long for an agent that is killed and started again.
PATIENCE = 60
GRANULE = Guest.GRANULE
CONFIG, BAR1 = 7, 1
MSIX = 2
SET_TRIGGER = 0x20 | 0x4            # ACTION_TRIGGER | DATA_EVENTFD
ODD = 256 * MIB                     # a region whose end cuts a granule
ODD_SIZE = 5 * GRANULE + 3 * 4096


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
        status = self.process.wait(PATIENCE)
        self.store.sync()
        # Over its end, or the signal came before the process that went on could handle any. Who
        # stops a unit does not start it again, and closes all.
        if status == -signal.SIGKILL or (status == -signal.SIGTERM and self.store.ready < self.starts):
            self.kills += status == -signal.SIGKILL
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
        self.balanced()
        self.answer("release", g.release((210, 1)))
        # The quota is 16 granules: others go for these.
        self.answer("map with evictions", g.map((300, 12)))
        self.balanced()
        self.answer("map too much", g.map((400, 20)))
        self.balanced()
        self.answer("unmap all", g.unmap((300, 12)))
        self.balanced()
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
        self.balanced()
        self.note("config", fe.get_config()[:12])
        self.note("detach", g.detach())
        self.note("mapped for nobody", self.agent.mapped())
        self.note("detach again", g.detach())
        self.note("attach", g.attach())
        base = g.queues[1].stop()
        self.note("base", base == g.queues[1].avail_idx)
        g.queues[1].start(base)
        self.answer("map on queue 1", g.map((500, 2), queue=1))
        self.note("quota", self.agent.ask("quota", "2M")["quota"])
        self.answer("map more", g.map((600, 18)))
        self.quota()
        # Extents of several granules do not outlive the start of a strict driver.
        self.note("attach strictly", g.attach(strategy=vu.S_SHARED))
        self.note("mapped for a strict one", self.agent.mapped())
        self.note("attach", g.attach())
        self.second.reset()
        # Its memory is the first one's, too, and stays.
        self.second.close()
        self.second = None
        self.answer("map on", g.map((101, 1)))

    def quota(self):
        """It is lowered below what is held, and raised again before the deadline."""
        for granule in range(600, 618):
            self.guest.hold(granule)
        for quota in ("1M", "2M"):
            self.note("quota", self.agent.ask("quota", quota)["over_quota_bytes"])
            self.note("asked for", struct.unpack_from("<QI", self.guest.front_end.get_config(), 40))
        for granule in range(600, 618):
            self.guest.drop(granule)

    def balanced(self):
        """What is in the books is what the IOMMU maps, to the byte."""
        vm, mapped = self.agent.ask("stats")["vm"], self.agent.mapped()
        if vm["mapped_bytes"] != sum(size for _, size in mapped):
            raise AssertionError(f"{vm['mapped_bytes']} bytes in the books, mapped: {mapped}")
        return vm, mapped

    def end(self):
        """What is, in the end; when the second client's end has been seen."""
        deadline = time.monotonic() + PATIENCE
        while self.guest.front_end.get_config()[36:40] != struct.pack("<I", 1):
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        vm, mapped = self.balanced()
        self.note("requests", vm["requests"])
        self.note("endpoints", self.guest.front_end.get_config()[36:40])
        self.note("IOMMU", mapped)
        self.note("books", vm["mapped_bytes"], vm["entries"], vm["quota"], vm["leaves"])
        self.note("all words", self.words(0, 1024))


def agent(crashes=(), args=()):
    return Supervised(quota="1M", devices=("", "endpoint=9"), crashes=crashes,
                      args=("--queues", "2", *COARSE, *args))


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
