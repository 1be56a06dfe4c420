# SPDX-License-Identifier: GPL-2.0-or-later
"""The VM's life as the driver sees it: limits, news, pauses, resets, ends.

Each test names the statements of protocol/SPEC.md that it verifies.
"""

import struct
import time
import unittest

from lib.agent import Agent
from lib import vhost_user as vu
from lib.vhost_case import Case, GRANULE
from lib.vhost_user import COARSE, Guest, MIB, MAPPED


class Limits(Case):
    ARGS = ()
    QUOTA = "16M"

    def setUp(self):
        self.agent = self.enterContext(Agent(quota=self.QUOTA, iommu="null,entries=8",
                                             args=("--queues", "2", *COARSE)))
        self.guest = self.enterContext(Guest(self.agent))

    def test_entries(self):
        """DEV-MAP-6: LIMIT when the system's entries are held; the log says which."""
        self.guest.ready()
        g = self.guest
        granules = [100 + 2 * i for i in range(8)]
        for granule in granules:
            g.hold(granule)
            self.assertStatus(g.map((granule, 1)), vu.OK)
        g.hold(500)
        self.assertStatus(g.map((500, 1)), vu.LIMIT)
        self.assertEqual(g.word(500), 1)
        self.assertEqual(self.stats()["failed_limit"], 1)
        self.assertIn("dma_entry_limit", self.agent.stderr())
        g.drop(granules[3])
        self.assertStatus(g.map((500, 1)), vu.OK)
        self.assertEqual(g.word(granules[3]) & MAPPED, 0)


class Defaults(Case):
    """An agent that was told no more than it has to be, and few entries."""

    def setUp(self):
        self.agent = self.enterContext(Agent(iommu="null,entries=64"))
        self.guest = self.enterContext(Guest(self.agent))

    def test_ahead(self):
        """Granules of 4 KiB; what a miss has around it is mapped without being asked for."""
        g = self.guest
        g.ready()
        self.assertEqual(g.map((512, 64)).mapped, 64)
        while self.stats()["ahead_granules"] == 0:
            time.sleep(0.001)
        self.assertEqual(self.stats()["mapped_bytes"],
                         (64 + self.stats()["ahead_granules"]) * 4096)

    def test_entries(self):
        """DEV-MAP-6: more granules than the system has entries, and room for all of them."""
        g = self.guest
        g.ready()
        for granule in range(0, 1024, 4):
            self.assertStatus(g.map((granule, 1)), vu.OK)
        stats = self.stats()
        self.assertEqual((stats["failed_requests"], stats["quota"]), (0, 16 * MIB))
        self.assertLessEqual(stats["extents"], 64)
        # large mappings have taken the place of small ones
        self.assertGreater(stats["mapped_bytes"], 2 * 64 * 4096)


class Memlock(Case):
    def setUp(self):
        self.agent = self.enterContext(Agent(quota="16M", iommu="null,bytes=512K",
                                             args=("--queues", "2", *COARSE)))
        self.guest = self.enterContext(Guest(self.agent))

    def test_bytes(self):
        """DEV-MAP-6: LIMIT when memory can not be locked; the log says what to raise."""
        self.guest.ready()
        g = self.guest
        for i in range(8):
            g.hold(100 + i)
        self.assertStatus(g.map((100, 8)), vu.OK)
        g.hold(500)
        self.assertStatus(g.map((500, 1)), vu.LIMIT)
        self.assertIn("MEMLOCK", self.agent.stderr())


class Life(Case):
    QUOTA = "1M"

    def test_quota_news(self):
        """DEV-CONF-1: the counter moves after the field, then the notification comes."""
        self.guest.ready()
        g = self.guest
        g.open_channel()
        before = g.front_end.get_config()
        news, = struct.unpack_from("<I", before, 24)
        self.query("quota", "512K")
        request, flags, size = struct.unpack("=III", g.channel.recv(12))
        self.assertEqual((request, flags & 3, size), (vu.BACKEND_CONFIG_CHANGE, vu.VERSION, 0))
        self.assertFalse(flags & (vu.NEED_REPLY | vu.REPLY))
        after = g.front_end.get_config()
        self.assertEqual(struct.unpack_from("<QI", after, 16), (MIB // 2, news + 1))
        # The rest of the configuration did not change.
        self.assertEqual(before[:16] + before[28:], after[:16] + after[28:])

    def held_above(self, command):
        """12 granules of 64K held by a driver; the quota is lowered to 8 of them."""
        g = self.guest
        g.ready()
        g.open_channel()
        for i in range(12):
            g.hold(100 + i)
            self.assertStatus(g.map((100 + i, 1)), vu.OK)
        answer = self.query("quota", *command.split())
        self.assertEqual(answer["over_quota_bytes"], 4 * GRANULE)
        self.assertEqual(len(g.channel.recv(12)), 12)
        return struct.unpack_from("<QI", g.front_end.get_config(), 40)

    def settled(self, left=8, seconds=20):
        deadline = time.monotonic() + seconds
        while self.stats()["mapped_bytes"] != left * GRANULE:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        return struct.unpack_from("<QI", self.guest.front_end.get_config(), 40)

    def test_asked_to_give_up(self):
        """DEV-QUOTA-1 and DEV-QUOTA-2: `excess` and `deadline_ms`, until it is given up."""
        g = self.guest
        self.assertEqual(self.held_above("512K 30min"), (4 * GRANULE, 1800000))
        g.hold(500)
        self.assertStatus(g.map((500, 1)), vu.QUOTA)  # DEV-QUOTA-3
        for i in range(4):
            g.drop(100 + i)
        self.assertEqual(self.settled(), (0, 0))
        self.assertEqual(len(g.channel.recv(12)), 12)
        self.assertEqual(self.stats()["revocations"], 0)
        self.assertEqual([g.word(100 + i) & MAPPED for i in range(4)], [0] * 4)

    def test_waited_for(self):
        """enforce=wait, the default: reported, and nothing is taken."""
        self.assertEqual(self.held_above("512K 1ms"), (4 * GRANULE, 1))
        deadline = time.monotonic() + 20
        while "(enforce=wait)" not in self.agent.stderr():
            self.assertLess(time.monotonic(), deadline)
        stats = self.stats()
        self.assertEqual((stats["over_quota_bytes"], stats["mapped_bytes"], stats["revocations"]),
                         (4 * GRANULE, 12 * GRANULE, 0))
        self.assertTrue(all(self.guest.word(100 + i) & MAPPED for i in range(12)))

    def test_news_wait_for_a_driver(self):
        """A front-end without a driver is not told: QEMU 11 would follow a null pointer."""
        g = self.guest
        g.connect()
        g.open_channel()
        self.query("quota", "512K")
        g.channel.settimeout(0.5)
        with self.assertRaises(TimeoutError):
            g.channel.recv(12)
        g.channel.settimeout(10)
        for queue in g.queues:
            queue.clear()
            queue.start()
        self.assertEqual(len(g.channel.recv(12)), 12)

    def test_endpoint_news(self):
        """DEV-CONF-1, for endpoints that come and go."""
        self.guest.start()
        g = self.guest
        g.open_channel()
        news, present = struct.unpack_from("<II", g.front_end.get_config(), 32)
        self.assertEqual(present, 2)
        self.others[0].close()
        self.assertEqual(len(g.channel.recv(12)), 12)
        deadline = time.monotonic() + 10
        while struct.unpack_from("<I", g.front_end.get_config(), 36)[0] != 1:
            self.assertLess(time.monotonic(), deadline)
        self.assertNotEqual(struct.unpack_from("<I", g.front_end.get_config(), 32)[0], news)

    def test_news_merge_while_nobody_reads(self):
        """A front-end that does not read the channel costs nothing."""
        self.guest.ready()
        g = self.guest
        g.open_channel()
        sock = self.agent.connect(self.agent.control_socket)
        self.addCleanup(sock.close)
        for i in range(3000):
            sock.sendall(f"quota {i % 7 + 1}M\n".encode())
            while not sock.recv(4096).endswith(b"\n"):
                pass
        self.assertTrue(g.front_end.alive())
        g.channel.settimeout(0.5)
        total = 0
        try:
            while True:
                total += len(g.channel.recv(65536))
        except TimeoutError:
            pass
        self.assertEqual(total % 12, 0)
        self.assertGreater(total, 0)
        g.channel.settimeout(vu.TIMEOUT)
        self.query("quota", "9M")
        self.assertEqual(len(g.channel.recv(12)), 12)

    def test_shrinking_spares_what_is_held(self):
        self.guest.ready()
        g = self.guest
        for granule in range(100, 104):
            g.hold(granule)
        self.assertStatus(g.map((100, 4)), vu.OK)
        self.assertStatus(g.map((300, 12)), vu.OK)
        self.assertEqual(self.query("quota", "64K")["mapped_bytes"], 4 * GRANULE)
        self.assertEqual([g.word(i) for i in range(100, 104)], [MAPPED | 1] * 4)
        self.assertEqual([g.word(i) & MAPPED for i in range(300, 312)], [0] * 12)
        g.hold(500)
        self.assertStatus(g.map((500, 1)), vu.QUOTA)

    def test_nothing_is_written_while_stopped(self):
        """DEV-RESET-1: while no queue runs, no word of the table changes."""
        self.guest.ready()
        g = self.guest
        self.assertStatus(g.map((100, 16)), vu.OK)
        g.stop()
        page = g.memory.read(g.leaf_page(0), 4096)
        self.query("quota", "128K")
        self.query("quota", "0")
        time.sleep(0.1)
        self.assertEqual(g.memory.read(g.leaf_page(0), 4096), page)

    def test_pause(self):
        """DEV-RESET-2: queues run again without INIT: as if nothing had happened."""
        self.guest.ready()
        g = self.guest
        g.hold(100)
        self.assertStatus(g.map((100, 1)), vu.OK)
        for _ in range(3):
            bases = g.stop()
            for queue, base in zip(g.queues, bases):
                queue.start(base)
            self.assertEqual(g.word(100), MAPPED | 1)
            self.assertStatus(g.map((100, 1)), vu.OK)
            self.assertEqual(self.stats()["mapped_bytes"], GRANULE)
        self.assertEqual(g.detach(), vu.OK)

    def test_quota_lowered_during_a_pause(self):
        """DEV-RESET-2 and DEV-MAP-4: what the pause delayed happens after it.

        That is, once the driver shows that it is there: until then the queues
        may as well be those of a VM that is starting anew (DEV-RESET-1).
        """
        self.guest.ready()
        g = self.guest
        self.assertStatus(g.map(*((i, 1) for i in range(100, 132, 2))), vu.OK)
        bases = g.stop()
        self.query("quota", "256K")
        for queue, base in zip(g.queues, bases):
            queue.start(base)
        self.assertStatus(g.release((100, 1)), vu.OK)
        deadline = time.monotonic() + 10
        while self.stats()["mapped_bytes"] > 4 * GRANULE:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        mapped = sum(bool(g.word(i) & MAPPED) for i in range(100, 132))
        self.assertEqual(mapped * GRANULE, self.stats()["mapped_bytes"])

    def test_vm_reset(self):
        """Queues stop, the device is reset: nothing stays mapped, nothing is written."""
        self.guest.ready()
        g = self.guest
        g.hold(100)
        self.assertStatus(g.map((100, 1)), vu.OK)
        g.stop()
        page = g.memory.read(g.leaf_page(0), 4096)
        g.vfio.reset()
        self.assertEqual(self.stats()["mapped_bytes"], 0)
        self.assertEqual(g.memory.read(g.leaf_page(0), 4096), page)
        for queue in g.queues:
            queue.clear()
            queue.start()
        self.assertStatus(g.map((100, 1)), vu.STATE)
        self.assertEqual(g.init(), vu.OK)

    def test_front_end_dies(self):
        """The driver's way goes; the next front-end starts afresh."""
        self.guest.ready()
        self.assertStatus(self.guest.map((100, 4)), vu.OK)
        self.guest.close()
        for _ in range(500):
            guest = Guest(self.agent)
            try:
                guest.start()
                break
            except (vu.Disconnected, OSError):
                guest.close()
                time.sleep(0.01)
        self.addCleanup(guest.close)
        self.assertEqual(self.stats()["mapped_bytes"], 0)
        self.assertEqual(guest.init(), vu.OK)
        self.assertStatus(guest.leaf(0), vu.OK)
        self.assertEqual(guest.attach(), vu.OK)
        self.assertStatus(guest.map((100, 4)), vu.OK)


class Revoke(Life):
    # not by itself: on a busy machine any deadline may pass before a test looks
    ARGS = ("--enforce", "revoke", "--enforce-deadline=30min")

    def test_waited_for(self):
        """DEV-QUOTA-4: held memory is taken, after the deadline and not before."""
        began = time.monotonic()
        self.assertIn(self.held_above("512K 40ms"), ((4 * GRANULE, 40), (0, 0)))
        self.assertEqual(self.settled(), (0, 0))
        self.assertGreaterEqual(time.monotonic() - began, 0.04)
        stats = self.stats()
        self.assertEqual((stats["revocations"], stats["revoked_bytes"]), (4, 4 * GRANULE))
        taken = [100 + i for i in range(12) if not self.guest.word(100 + i) & MAPPED]
        self.assertEqual(len(taken), 4)
        self.assertTrue(all(self.guest.word(granule) & 0xF == 1 for granule in taken))
        self.assertIn("are taken from it to keep the quota of 512 KiB", self.agent.stderr())
        self.assertIn("(endpoint 1)", self.agent.stderr())

    def test_revoked_and_asked_for_again(self):
        """DEV-QUOTA-5: a MAP of what was taken while it was held is one like any other."""
        g = self.guest
        self.held_above("512K 40ms")
        self.settled()
        taken = [100 + i for i in range(12) if not g.word(100 + i) & MAPPED]
        self.assertStatus(g.map((taken[0], 1)), vu.QUOTA)
        self.query("quota", "1M")
        self.assertStatus(g.map(*[(granule, 1) for granule in taken]), vu.OK)
        self.assertTrue(all(g.word(100 + i) & MAPPED for i in range(12)))
        self.assertEqual(self.stats()["mapped_bytes"], 12 * GRANULE)


if __name__ == "__main__":
    unittest.main()
