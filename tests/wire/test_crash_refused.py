# SPDX-License-Identifier: GPL-2.0-or-later
"""What nobody can go on with after a kill: states that are not whole, stores that have no
room or lose something. That is said, and cleaned up."""

import os
import struct
import sys
import unittest

from lib import store
from lib import vhost_user as vu
from lib.files import SYS_KCMP, same_file
from lib.story import GRANULE, MSIX, PATIENCE, SET_TRIGGER
from lib.vhost_user import COARSE, Guest


class Full(unittest.TestCase):
    """The store has no room for all: said at once, and nobody goes on without the rest."""

    def test_full(self):
        with store.KeptAgent(quota="1M", args=COARSE, most=14, expect=1) as a, \
                Guest(a) as guest:
            guest.ready()
            events = [os.eventfd(0, os.EFD_CLOEXEC) for _ in range(12)]
            for i, event in enumerate(events):
                guest.vfio.set_irqs(MSIX, SET_TRIGGER, i, 1, fds=[event])
                os.close(event)
            self.assertIn("store is full (14)", a.stderr())
            a.store.sync()
            self.assertLessEqual(len(a.store.names()), 14)
            a.kill()
            a.resume(wait=False)
            self.assertEqual(a.wait(PATIENCE), 1, a.stderr())
            self.assertIn("raise FileDescriptorStoreMax=", a.stderr().splitlines()[-2] +
                          a.stderr().splitlines()[-1])
            a.store.sync()
            self.assertEqual(a.store.names(), [])

    def test_hardly_any(self):
        """Not even for what the agent itself opens: the reason is told all the same."""
        with store.KeptAgent(quota="1M", most=3, expect=1) as a:
            a.kill()
            a.resume(wait=False)
            self.assertEqual(a.wait(PATIENCE), 1, a.stderr())
            self.assertIn("raise FileDescriptorStoreMax=", a.stderr().splitlines()[-1])


class NoComparing(unittest.TestCase):
    """Where kcmp(2) is forbidden, the store would lose files silently: it is not used."""

    FORBID = """
import ctypes, os, sys
lib = ctypes.CDLL("libseccomp.so.2")
lib.seccomp_init.restype = ctypes.c_void_p
allow = ctypes.c_void_p(lib.seccomp_init(0x7fff0000))
assert lib.seccomp_rule_add(allow, 0x50001, int(sys.argv[1]), 0) == 0
assert lib.seccomp_load(allow) == 0
os.execv(sys.argv[2], sys.argv[2:])
"""

    def test_forbidden(self):
        made = store.KeptAgent(quota="1M", args=COARSE)
        made.command[:0] = [sys.executable, "-c", self.FORBID, str(SYS_KCMP)]
        with made as a, Guest(a) as guest:
            guest.ready()
            self.assertIn("kcmp", a.stderr())
            a.store.sync()
            self.assertEqual(a.store.names(), [])


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

    def find(self, layout, is_it):
        """The offsets of what is_it() says is it, of all that has this layout."""
        found, at = [], 0
        size, end = struct.calcsize(layout), os.fstat(self.state).st_size
        while at < end:
            try:
                at = os.lseek(self.state, at, os.SEEK_DATA)
            except OSError:
                break
            hole = os.lseek(self.state, at, os.SEEK_HOLE)
            data = os.pread(self.state, hole - at, at)
            found += [at + i for i in range(0, len(data) - size + 1, 8)
                      if is_it(*struct.unpack_from(layout, data, i))]
            at = hole
        return found

    def extents(self):
        """The offsets of both extents in the state."""
        # key, children and priority, mark; charge and count
        found = self.find("<Q12xIQI36x", lambda key, *rest:
                          key in (100, 200) and rest == (2, 3 * GRANULE, 3))
        self.assertEqual(len(found), 2)
        return found

    def test_too_many_descriptors(self):
        """Of a message: ids, each with its place, how many, and how many at most."""
        found = self.find("<Q248xII", lambda first, num, most:
                          (first >> 56, num, most) == (7, 0, 8))
        self.assertEqual(len(found), 1)
        os.pwrite(self.state, struct.pack("<I", 1 << 24), found[0] + 256)
        self.refused("the session of the process before is damaged")

    def test_too_many_regions(self):
        """Of the memory of a front-end: how many; the first one, and its file."""
        memory = self.guest.memory
        found = self.find("<Q5Q", lambda count, gpa, size, user, offset, file:
                          (count, gpa, size, user, offset, file >> 56) ==
                          (1, *memory.region()[:4], 7))
        self.assertEqual(len(found), 1)
        os.pwrite(self.state, struct.pack("<Q", 1 << 40), found[0])
        self.refused("the session of the process before is damaged")

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

    def map_one_more(self):
        """What is mapped, and the books do not say so."""
        data = os.pread(self.iommu, os.fstat(self.iommu).st_size, 0)
        at = next(i for i in range(0, len(data), 24)
                  if not struct.unpack_from("<QQQ", data, i)[1])
        os.pwrite(self.iommu, struct.pack("<QQQ", 1 << 32, GRANULE, 3), at)

    def test_mapping_that_nobody_knows(self):
        self.map_one_more()
        self.refused("65536 bytes were mapped of which it does not know")

    def test_forged_limit(self):
        """The same, and a limit that it is not held against: the state is who was there's."""
        self.map_one_more()
        found = self.find("<QQ", lambda entries, size: (entries, size) == (65535, 0))
        self.assertGreater(len(found), 0)
        for at in found:
            os.pwrite(self.state, bytes(8), at)
        self.refused("65536 bytes were mapped of which it does not know")

    def lose(self, prefix, like=None):
        """The store loses one of these names; like: that of this file."""
        kept = self.agent.store
        for name, fd in kept.fds:
            if name.startswith(prefix) and (like is None or same_file(fd, like)):
                os.close(fd)
                kept.fds.remove((name, fd))
                return name
        return self.fail(prefix)

    def test_memory_missing(self):
        name = self.lose("pvdma-message-", self.guest.memory.fd)
        self.refused(f"has not kept {name}")

    def test_connection_missing(self):
        self.lose("pvdma-client-")
        self.refused("has not kept pvdma-client-")

    def test_listener_missing(self):
        self.lose("pvdma-listen-")
        self.refused("has not kept pvdma-listen-")

    def test_device_missing(self):
        self.lose("pvdma-null-")
        self.refused("has not kept pvdma-null-")
