# SPDX-License-Identifier: GPL-2.0-or-later
"""Strategies, by requests through the running agent to its null IOMMU.

Each test names the statements of protocol/SPEC.md that it verifies.
"""

import time
import unittest

from lib import vhost_user as vu
from lib.vhost_case import Case, GRANULE
from lib.vhost_user import MAPPED, TIMEOUT


class Stricter(Case):
    """An endpoint in a VM that maps on demand."""

    def test_strict_endpoint(self):
        """DEV-STRICT-1, DEV-STRICT-2: a stricter endpoint, and each granule ends by itself."""
        self.guest.ready()
        g = self.guest
        self.assertStatus(g.map((100, 4)), vu.OK)
        self.assertEqual(g.attach(9, strategy=vu.S_SHARED), vu.OK)
        self.assertEqual(self.stats()["mapped_bytes"], 0)
        for granule in range(100, 104):
            g.hold(granule)
        self.assertStatus(g.map((100, 4)), vu.OK)
        self.assertEqual(self.stats()["extents"], 4)
        for granule in (100, 102, 103):
            g.drop(granule)
        self.assertStatus(g.unmap((100, 4), endpoint=9), vu.OK)
        self.assertEqual([bool(g.word(i) & MAPPED) for i in range(100, 104)],
                         [False, True, False, False])
        self.assertEqual(self.stats()["mapped_bytes"], GRANULE)


class Strategies(Case):
    """A VM of another strategy than the default."""

    ARGS = ("--strategy", "deferred")

    def test_attach(self):
        """DEV-ATTACH-1: as strict as the VM, or stricter."""
        self.guest.start()
        g = self.guest
        self.assertEqual(g.init(), vu.OK)
        for strategy in range(256):
            self.assertEqual(g.attach(1, strategy=strategy),
                             vu.OK if strategy <= vu.S_DEFERRED else vu.INVAL)

    def test_announced(self):
        """DEV-STRICT-1, for the VM's own strategy, which everybody is told."""
        self.guest.start()
        g = self.guest
        self.assertEqual(self.guest.front_end.get_config(0, 64)[7], vu.S_DEFERRED)
        self.assertEqual(self.query("config")["strategy"], "deferred")
        self.assertEqual(g.init(), vu.OK)
        self.assertStatus(g.leaf(0), vu.OK)
        self.assertEqual(g.attach(1, strategy=vu.S_DEFERRED), vu.OK)
        self.assertStatus(g.map((100, 8)), vu.OK)
        self.assertEqual(self.stats()["extents"], 8)


class Persistent(Case):
    """A VM in which mappings stay."""

    ARGS = ("--strategy", "persistent")
    QUOTA = "1M"

    def test_full(self):
        """DEV-PERSIST-1: QUOTA rather than an eviction."""
        self.guest.start()
        g = self.guest
        self.assertEqual(g.init(), vu.OK)
        self.assertStatus(g.leaf(0), vu.OK)
        self.assertEqual(g.attach(1, strategy=vu.S_PERSISTENT), vu.OK)
        self.assertStatus(g.map((100, 16)), vu.OK)
        self.assertStatus(g.map((200, 1)), vu.QUOTA)
        self.assertEqual(g.attach(1, strategy=vu.S_ON_DEMAND), vu.OK)
        self.assertStatus(g.map((200, 1)), vu.OK)
        self.assertEqual(self.stats()["evictions"], 1)


class DirectMap(Case):
    """A VM of which everything is mapped."""

    ARGS = ("--strategy", "direct-map")
    QUOTA = "64M"

    def test_leaf(self):
        """DEV-LEAF-4: what is mapped stands in a leaf once it is registered."""
        self.guest.start()
        g = self.guest
        end = time.monotonic() + TIMEOUT
        while self.stats()["mapped_bytes"] < 64 << 20:
            self.assertLess(time.monotonic(), end, "not all of the guest is mapped")
        self.assertEqual(g.init(), vu.OK)
        self.assertEqual([g.word(i) for i in range(vu.LEAF_WORDS)], [0] * vu.LEAF_WORDS)
        self.assertStatus(g.leaf(0), vu.OK)
        self.assertEqual([g.word(i) for i in range(vu.LEAF_WORDS)], [MAPPED] * vu.LEAF_WORDS)
        self.assertEqual(g.attach(1, strategy=vu.S_DIRECT_MAP), vu.OK)
        self.assertStatus(g.unmap((100, 4)), vu.OK)
        self.assertStatus(g.leaf(0), vu.OK)
        self.assertEqual([i for i in range(vu.LEAF_WORDS) if g.word(i) != MAPPED],
                         [100, 101, 102, 103])
        self.assertEqual(self.stats()["mapped_bytes"], 64 << 20)


if __name__ == "__main__":
    unittest.main()
