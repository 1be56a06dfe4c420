# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests of the guest's driver, through the running agent to its null IOMMU.

Each test names the statements of protocol/SPEC.md that it verifies.
"""

import random
import struct
import time
import unittest

from lib import vhost_user as vu
from lib.vhost_case import Case, GRANULE
from lib.vhost_user import MIB, COUNT, MAPPED, REFERENCED

# Granules that a request may name
MOST = (1 << 30) // GRANULE


class Shape(Case):
    """What every request has in common."""

    def test_length(self):
        """DEV-REQ-2: the length is what type and count say, or INVAL."""
        self.guest.ready()
        g = self.guest
        sizes = {vu.T_INIT: 24, vu.T_LEAF: 16, vu.T_ATTACH: 16, vu.T_MAP: 16, vu.T_UNMAP: 16,
                 vu.T_RELEASE: 16, vu.T_PREFETCH: 16}
        for kind, size in sizes.items():
            for count, length in ((1, size - 1), (1, size + 1), (1, 0), (1, 2 * size),
                                  (2, size), (256, 255 * size), (0, 0), (0, size),
                                  (257, 257 * size), (0xFFFF, size)):
                answer = self.raw(g.head(kind, count, 1 if kind > vu.T_LEAF else 0) +
                                  bytes(length))
                self.assertEqual(answer.status, vu.INVAL, (kind, count, length))
        for length in range(8):
            self.assertStatus(self.raw(g.head(vu.T_MAP, 1, 1)[:length]), vu.INVAL)
        self.assertStatus(self.raw(g.head(vu.T_DETACH, 0, 1) + bytes(16)), vu.INVAL)
        self.assertStatus(self.raw(g.head(vu.T_DETACH, 1, 1) + bytes(16)), vu.INVAL)

    def test_longer_than_any_request(self):
        """DEV-REQ-2, also where the agent does not even copy all of it."""
        self.guest.ready()
        for size in (8 + 16 * 256 + 1, 8 + 16 * 257, 65536, 500000):
            self.assertStatus(self.raw(self.guest.head(vu.T_MAP, 256, 1) + bytes(size - 8)),
                              vu.INVAL)
        self.assertStatus(self.guest.map((100, 1)), vu.OK)

    def test_reserved(self):
        """DEV-REQ-2: reserved fields are zero, or INVAL."""
        self.guest.start()
        g = self.guest
        for i in range(6):
            reserved = bytes(6 - i - 1) + b"\1" + bytes(i)
            self.assertEqual(g.init(reserved=reserved), vu.INVAL)
        self.assertEqual(g.init(), vu.OK)
        self.assertStatus(g.leaf(0), vu.OK)
        for i in range(7):
            self.assertEqual(g.attach(reserved=bytes(7 - i - 1) + b"\1" + bytes(i)), vu.INVAL)
        self.assertEqual(g.attach(), vu.OK)
        item = struct.pack("<QII", 100, 1, 0)
        for flags in (1, 0x80, 0xFF):
            for kind in (vu.T_MAP, vu.T_PREFETCH):
                self.assertStatus(g.request(kind, [item], 1, flags), vu.INVAL)
        for kind in (vu.T_MAP, vu.T_UNMAP, vu.T_RELEASE, vu.T_PREFETCH):
            for flags in (1, 1 << 31):
                bad = struct.pack("<QII", 100, 1, flags)
                answer = g.request(kind, [item, bad], 1)
                self.assertStatus(answer, vu.INVAL, 1)
        for kind, items in ((vu.T_INIT, [g.init_item()]),
                            (vu.T_LEAF, [struct.pack("<QQ", 1, g.leaf_page(1))])):
            self.assertStatus(g.request(kind, items, endpoint=1), vu.INVAL)
        self.assertEqual(g.word(100), 0)

    def test_empty_range(self):
        """DEV-REQ-2, DEV-REQ-5: a range of no granules."""
        self.guest.ready()
        self.assertStatus(self.guest.map((100, 1), (101, 0)), vu.INVAL, 1)

    def test_unknown_type(self):
        """DEV-REQ-3: UNSUPP, whatever follows."""
        self.guest.ready()
        for kind in (0, 9, 10, 0x7F, 0x80, 0xFF):
            for body in (b"", bytes(16), bytes(24)):
                self.assertStatus(self.raw(self.guest.head(kind, 1, 1) + body), vu.UNSUPP)

    def test_read_once(self):
        """DEV-REQ-1: a request that changes while it is served is served as one of its forms."""
        self.guest.ready()
        g, memory = self.guest, self.guest.memory
        for granule in (200, 201):
            g.hold(granule)
        forms = [b"".join(g.ranges([(first, 1)])) for first in (200, 900000)]
        data = g.head(vu.T_MAP, 1, 1)
        outcomes = set()
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            gpa, tail = g.place(data + forms[0])
            g.queues[0].add([(gpa, 24)], [(tail, 8)])
            g.queues[0].publish()
            g.queues[0].kick()
            while not g.queues[0].pending():
                for form in forms:
                    memory.write(gpa + 8, form)
            g.queues[0].pop_used()
            outcomes.add(memory.read(tail, 1)[0])
        self.assertLessEqual(outcomes, {vu.OK, vu.RANGE, vu.NOENT})
        self.assertEqual(self.stats()["mapped_bytes"] % GRANULE, 0)
        self.assertLessEqual(self.stats()["mapped_bytes"], GRANULE)

    def test_index_of_the_first_failure(self):
        """DEV-REQ-5: the number of the first item that failed."""
        self.guest.ready()
        beyond = self.guest.memory.size // GRANULE
        for position in (0, 1, 17, 255):
            pairs = [(100 + i, 1) for i in range(256)]
            pairs[position] = (beyond, 1)
            for later in (position + 1, 255):
                if later < 256:
                    pairs[later] = (beyond + 1, 1) if later != position else pairs[later]
            self.assertStatus(self.guest.map(*pairs), vu.RANGE, position)
        bad = [struct.pack("<QQ", 0, self.guest.leaf_page(0)),
               struct.pack("<QQ", 0, self.guest.leaf_page(2) + 8)]
        self.assertStatus(self.guest.request(vu.T_LEAF, bad), vu.INVAL, 1)

    def test_order_within_a_queue(self):
        """DEV-QUEUE-1: many requests before one notification."""
        self.guest.ready()
        g = self.guest
        tails = []
        for i in range(64):
            g.hold(100 + i)
            data = g.head(vu.T_MAP, 1, 1) + b"".join(g.ranges([(100 + i, 1)]))
            tails.append(g.submit(data, queue=i % 2))
        for queue in g.queues:
            queue.publish()
            queue.kick()
        for i in range(64):
            g.queues[i % 2].pop_used()
        for i, tail in enumerate(tails):
            self.assertEqual(g.memory.read(tail, 8), struct.pack("<BBHI", vu.OK, 0, 0, 1))
            self.assertEqual(g.word(100 + i), MAPPED | 1)


class Init(Case):
    def test_anything_before(self):
        """DEV-INIT-1: STATE until an INIT was answered OK."""
        self.guest.start()
        g = self.guest

        def all_refused():
            self.assertStatus(g.leaf(0), vu.STATE)
            self.assertEqual(g.attach(), vu.STATE)
            self.assertEqual(g.detach(), vu.STATE)
            self.assertStatus(g.map((100, 1)), vu.STATE)
            self.assertStatus(g.unmap((100, 1)), vu.STATE)
            self.assertStatus(g.release((100, 1)), vu.STATE)

        all_refused()
        self.assertEqual(g.init(nonce=0), vu.INVAL)
        all_refused()
        self.assertEqual(g.init(), vu.OK)
        self.assertStatus(g.leaf(0), vu.OK)

    def test_version(self):
        """DEV-INIT-2: an unknown version is UNSUPP."""
        self.guest.start()
        for version in (0, 2, 0xFFFF):
            self.assertEqual(self.guest.init(version=version), vu.UNSUPP)
        self.assertEqual(self.guest.init(version=1), vu.OK)

    def test_nonce(self):
        """DEV-INIT-3: BADMEM, RANGE and INVAL, each for its cause."""
        self.guest.start()
        g = self.guest
        g.memory.write(0x800, struct.pack("<Q", 42))
        self.assertEqual(g.init(nonce=43, write=False), vu.BADMEM)
        self.assertEqual(g.init(nonce=42, write=False), vu.OK)
        for addr in (g.memory.size, 1 << 40, (1 << 64) - 8):
            self.assertEqual(g.init(addr=addr, write=False), vu.RANGE)
        for addr in (0x801, 0x804, g.memory.size + 4):
            self.assertEqual(g.init(addr=addr, write=False), vu.INVAL)
        g.memory.write(0x800, bytes(8))
        self.assertEqual(g.init(nonce=0), vu.INVAL)

    def test_nonce_proves_the_dma_memory(self):
        """DEV-INIT-3: compared in what would be mapped for DMA, not where the ring lies."""
        guest = self.guest
        guest.vfio.dma_unmap(0, guest.memory.size)
        other = vu.Memory(guest.memory.size)
        self.addCleanup(other.close)
        guest.vfio.dma_map(0, other.size, other.fd)
        guest.start()
        self.assertEqual(guest.init(), vu.BADMEM)

    def test_init_forgets_everything(self):
        """DEV-INIT-4: leaves, attachments and mappings go; no leaf is written to."""
        self.guest.ready()
        g = self.guest
        for granule in (100, 101):
            g.hold(granule)
        self.assertStatus(g.map((100, 2)), vu.OK)
        self.assertEqual(self.stats()["mapped_bytes"], 2 * GRANULE)
        page = g.memory.read(g.leaf_page(0), 4096)
        self.assertEqual(g.init(), vu.OK)
        self.assertEqual(g.memory.read(g.leaf_page(0), 4096), page)
        stats = self.stats()
        self.assertEqual((stats["mapped_bytes"], stats["leaves"]), (0, 0))
        self.assertEqual(g.detach(), vu.STATE)
        # Also at another address than before.
        self.assertStatus(g.request(vu.T_LEAF, [struct.pack("<QQ", 0, g.leaf_page(5))]), vu.OK)
        self.assertEqual(g.attach(), vu.OK)

    def test_failed_init_forgets_nothing(self):
        """DEV-INIT-4 speaks of an accepted INIT."""
        self.guest.ready()
        g = self.guest
        g.hold(100)
        self.assertStatus(g.map((100, 1)), vu.OK)
        self.assertEqual(g.init(version=7), vu.UNSUPP)
        self.assertStatus(g.map((100, 1)), vu.OK)
        self.assertEqual(self.stats()["mapped_bytes"], GRANULE)


class Table(Case):
    def test_leaf(self):
        """DEV-LEAF-1, DEV-LEAF-2."""
        self.guest.start()
        g = self.guest
        self.assertEqual(g.init(), vu.OK)

        def leaf(index, addr):
            return g.request(vu.T_LEAF, [struct.pack("<QQ", index, addr)])

        self.assertStatus(leaf(0, g.LEAVES + 8), vu.INVAL)
        self.assertStatus(leaf(0, g.LEAVES + 2048), vu.INVAL)
        self.assertStatus(leaf(0, g.memory.size), vu.RANGE)
        self.assertStatus(leaf(0, 1 << 52), vu.RANGE)
        # 64 MiB of memory end with granule 1023 of 64 KiB.
        self.assertStatus(leaf(1, g.LEAVES), vu.RANGE)
        self.assertStatus(leaf((1 << 64) - 1, g.LEAVES), vu.RANGE)
        self.assertStatus(leaf(1 << 54, g.LEAVES), vu.RANGE)
        self.assertStatus(leaf(0, g.LEAVES), vu.OK)
        self.assertStatus(leaf(0, g.LEAVES), vu.OK)
        self.assertStatus(leaf(0, g.LEAVES + 4096), vu.INVAL)
        self.assertEqual(self.stats()["leaves"], 1)

    def test_blocks(self):
        """DEV-TABLE-2, DEV-EVICT-1: a block is marked, and held, as a whole."""
        g = self.guest
        g.ready()
        page = g.leaf_page(1)

        def word(block):
            return g.memory.u32(page + 4 * block)

        self.assertStatus(g.request(vu.T_LEAF, [struct.pack("<QQ", vu.LEAF_BLOCKS, page)]), vu.OK)
        # 64 MiB of memory end with block 63; those of leaf 1 have none.
        self.assertStatus(g.request(vu.T_LEAF, [struct.pack("<QQ", vu.LEAF_BLOCKS | 1, page)]),
                          vu.RANGE)
        g.memory.put_u32(page + 4 * 7, 1)
        self.assertStatus(g.map((7 * vu.BLOCK - 4, vu.BLOCK + 8)), vu.OK)
        self.assertEqual(word(7), vu.MAPPED | 1)
        self.assertEqual((word(6), word(8)), (0, 0))
        # what one word holds goes with none of its granules
        self.assertStatus(g.unmap((7 * vu.BLOCK, 4)), vu.OK)
        self.assertEqual(self.stats()["mapped_bytes"], (vu.BLOCK + 8) * GRANULE)
        g.memory.put_u32(page + 4 * 7, vu.MAPPED)
        self.assertStatus(g.unmap((7 * vu.BLOCK, 4)), vu.OK)
        # (the last four lie in the next 2 MiB, and in a mapping of their own)
        self.assertEqual((word(7), self.stats()["mapped_bytes"]), (0, 4 * GRANULE))

    def test_leaf_in_read_only_memory(self):
        """DEV-LEAF-1: not in writable guest memory."""
        g = self.guest
        g.vfio.dma_unmap(0, g.memory.size)
        g.vfio.dma_map(0, 32 * MIB, g.memory.fd)
        g.vfio.dma_map(32 * MIB, 32 * MIB, g.memory.fd, 32 * MIB, 1)
        g.start()
        self.assertEqual(g.init(), vu.OK)
        self.assertStatus(g.request(vu.T_LEAF, [struct.pack("<QQ", 0, 40 * MIB)]), vu.RANGE)

    def test_leaf_memory_taken_away(self):
        """DEV-LEAF-3: the leaf is not used after its memory went."""
        g = self.guest
        g.vfio.dma_unmap(0, g.memory.size)
        g.vfio.dma_map(0, 32 * MIB, g.memory.fd)
        g.vfio.dma_map(32 * MIB, 32 * MIB, g.memory.fd, 32 * MIB)
        g.start()
        self.assertEqual(g.init(), vu.OK)
        self.assertStatus(g.request(vu.T_LEAF, [struct.pack("<QQ", 0, 40 * MIB)]), vu.OK)
        self.assertEqual(g.attach(), vu.OK)
        self.assertStatus(g.map((100, 4)), vu.OK)
        self.assertEqual(g.memory.u32(40 * MIB + 400), MAPPED)
        g.vfio.dma_unmap(32 * MIB, 32 * MIB)
        page = g.memory.read(40 * MIB, 4096)
        self.assertStatus(g.map((120, 1)), vu.NOENT)
        self.query("quota", "0")
        self.assertEqual(g.detach(), vu.OK)
        self.assertEqual(g.memory.read(40 * MIB, 4096), page)

    def test_attach(self):
        """DEV-ATTACH-1, DEV-ATTACH-2."""
        self.guest.start()
        g = self.guest
        self.assertEqual(g.init(), vu.OK)
        for endpoint in (0, 2, 8, 10, 0xFFFFFFFF):
            self.assertEqual(g.attach(endpoint), vu.NOENT)
        for strategy in (vu.S_PERSISTENT, vu.S_DIRECT_MAP, 6, 255):
            self.assertEqual(g.attach(1, strategy=strategy), vu.INVAL)
        self.assertEqual(g.detach(1), vu.STATE)
        self.assertEqual(g.attach(1), vu.OK)
        self.assertEqual(g.attach(1), vu.OK)
        self.assertEqual(g.attach(9), vu.OK)
        self.assertEqual(g.detach(1), vu.OK)
        self.assertEqual(g.detach(1), vu.STATE)
        self.assertEqual(g.detach(9), vu.OK)

    def test_last_detach(self):
        """DEV-DETACH-1: all mappings end with the last endpoint, and their bits."""
        self.guest.ready()
        g = self.guest
        self.assertEqual(g.attach(9), vu.OK)
        for granule in range(100, 110):
            g.hold(granule)
        self.assertStatus(g.map((100, 10)), vu.OK)
        self.assertEqual(g.detach(1), vu.OK)
        self.assertEqual(self.stats()["mapped_bytes"], 10 * GRANULE)
        self.assertEqual(g.detach(9), vu.OK)
        self.assertEqual(self.stats()["mapped_bytes"], 0)
        self.assertEqual([g.word(i) for i in range(100, 110)], [1] * 10)


class Map(Case):
    QUOTA = "1M"    # 16 granules

    def test_map(self):
        """DEV-MAP-1, DEV-MAP-3: mapped, charged once, MAPPED set by the answer."""
        self.guest.ready()
        g = self.guest
        for granule in (100, 101, 102, 200):
            g.hold(granule)
        answer = g.map((100, 3), (200, 1))
        self.assertStatus(answer, vu.OK)
        self.assertEqual(answer.mapped, 4)
        self.assertEqual([g.word(i) & ~REFERENCED for i in (99, 100, 101, 102, 103, 200)],
                         [0, MAPPED | 1, MAPPED | 1, MAPPED | 1, 0, MAPPED | 1])
        self.assertEqual(self.stats()["mapped_bytes"], 4 * GRANULE)
        answer = g.map((100, 3), (100, 1), (200, 1))
        self.assertStatus(answer, vu.OK)
        self.assertEqual(answer.mapped, 0)
        self.assertEqual(self.stats()["mapped_bytes"], 4 * GRANULE)
        answer = g.map((101, 3), endpoint=1)
        self.assertEqual((answer.status, answer.mapped), (vu.OK, 1))

    def test_overlap_within_a_request(self):
        """DEV-MAP-3: a granule named twice is charged once."""
        self.guest.ready()
        answer = self.guest.map((100, 4), (102, 4), (100, 1))
        self.assertEqual((answer.status, answer.mapped), (vu.OK, 6))
        self.assertEqual(self.stats()["mapped_bytes"], 6 * GRANULE)

    def test_errors(self):
        """DEV-MAP-5: RANGE, NOENT, STATE, each for its cause."""
        g = self.guest
        g.start()
        self.assertEqual(g.init(), vu.OK)
        self.assertStatus(g.map((100, 1)), vu.STATE)            # not attached
        self.assertStatus(g.map((100, 1), endpoint=5), vu.NOENT)
        self.assertEqual(g.attach(), vu.OK)
        self.assertStatus(g.map((100, 1), endpoint=9), vu.STATE)
        self.assertStatus(g.map((100, 1)), vu.NOENT)            # no leaf
        self.assertStatus(g.leaf(0), vu.OK)
        for first, count in ((1024, 1), (1023, 2), (1 << 40, 1), ((1 << 64) - 1, 1),
                             ((1 << 64) - 1, 2), (1 << 48, 1), (0, MOST)):
            self.assertStatus(g.map((first, count)), vu.RANGE)
        # DEV-REQ-6: more than a GiB in all
        for send in (g.map, g.unmap, g.release, g.prefetch):
            self.assertStatus(send((0, 0xFFFFFFFF)), vu.INVAL)
            self.assertStatus(send((0, MOST // 2), (0, MOST // 4), (7, MOST // 4), (9, 1)), vu.INVAL, 3)
        self.assertStatus(g.map((1023, 1)), vu.OK)

    def test_whole_or_not_at_all(self):
        """DEV-MAP-2: a failed MAP leaves nothing mapped that was not before."""
        self.guest.ready()
        g = self.guest
        g.hold(100)
        self.assertStatus(g.map((100, 1)), vu.OK)
        for bad in ((1024, 1), (300, 16)):
            for granule in range(300, 316):
                g.put_word(granule, 1)
            self.assertIn(g.map((101, 3), bad).status, (vu.RANGE, vu.QUOTA))
            self.assertEqual(self.stats()["mapped_bytes"], GRANULE)
            self.assertEqual([g.word(i) for i in (100, 101, 102, 103, 300)],
                             [MAPPED | 1, 0, 0, 0, 1])

    def test_quota(self):
        """DEV-MAP-4: never above the quota; QUOTA when all is held."""
        self.guest.ready()
        g = self.guest
        # Neighbours may share an IOMMU mapping, and go together only.
        apart = range(100, 132, 2)
        for granule in apart:
            g.hold(granule)
        self.assertStatus(g.map(*((i, 1) for i in apart)), vu.OK)
        self.assertEqual(self.stats()["mapped_bytes"], MIB)
        g.hold(200)
        self.assertStatus(g.map((200, 1)), vu.QUOTA)
        self.assertEqual(g.word(200), 1)
        g.drop(108)
        self.assertStatus(g.map((200, 1)), vu.OK)
        stats = self.stats()
        self.assertEqual((stats["mapped_bytes"], stats["mapped_peak"]), (MIB, MIB))
        self.assertEqual(g.word(108) & MAPPED, 0)
        self.assertGreaterEqual(stats["evictions"], 1)

    def test_more_than_the_quota(self):
        """DEV-MAP-4, DEV-MAP-7: no MAP that needs more than all of it."""
        self.guest.ready()
        self.assertStatus(self.guest.map((100, 17)), vu.QUOTA)
        self.assertStatus(self.guest.map((100, 16)), vu.OK)
        # Fifteen are there and held by nobody; the request needs two more.
        self.assertStatus(self.guest.map((101, 17)), vu.QUOTA)

    def test_eviction_spares_the_same_request(self):
        """DEV-MAP-7: what a MAP names is not evicted for the rest of it."""
        self.guest.ready()
        g = self.guest
        self.assertStatus(g.map(*((i, 1) for i in range(100, 132, 2))), vu.OK)
        wanted = [*range(100, 116, 2), *range(300, 308)]
        self.assertStatus(g.map(*((i, 1) for i in wanted)), vu.OK)
        self.assertEqual([g.word(i) & MAPPED for i in wanted], [MAPPED] * 16)
        self.assertLessEqual(self.stats()["mapped_peak"], MIB)

    def test_eviction_respects_holds(self):
        """DEV-EVICT-1, DEV-EVICT-3: only granules that nobody holds go."""
        self.guest.ready()
        g = self.guest
        rng = random.Random(7)
        held = {}
        for step in range(400):
            if held and (len(held) >= 12 or rng.random() < 0.4):
                granule = rng.choice(sorted(held))
                del held[granule]
                g.drop(granule)
            else:
                granule = rng.randrange(64, 1000)
                if granule in held:
                    continue
                g.hold(granule)
                held[granule] = step
                if not g.word(granule) & MAPPED:
                    self.assertStatus(g.map((granule, 1)), vu.OK)
            for granule in held:
                self.assertTrue(g.word(granule) & MAPPED, granule)
                self.assertEqual(g.word(granule) & COUNT, 1)
        stats = self.stats()
        self.assertLessEqual(stats["mapped_peak"], MIB)
        mapped = [i for i in range(1024) if g.word(i) & MAPPED]
        self.assertEqual(len(mapped) * GRANULE, stats["mapped_bytes"])

    def test_table_is_not_trusted(self):
        """DEV-TABLE-1: nonsense in the table does not change what is charged."""
        self.guest.ready()
        g = self.guest
        self.assertStatus(g.map((100, 4)), vu.OK)
        for granule in range(1024):
            g.put_word(granule, MAPPED)         # "all is mapped"
        self.assertEqual(self.stats()["mapped_bytes"], 4 * GRANULE)
        answer = g.map((500, 4))
        self.assertEqual((answer.status, answer.mapped), (vu.OK, 4))
        for granule in range(1024):
            g.put_word(granule, 0)              # "nothing is"
        answer = g.map((100, 4))
        self.assertEqual(answer.status, vu.OK)
        self.assertLessEqual(self.stats()["mapped_bytes"], 8 * GRANULE)
        self.assertLessEqual(self.stats()["mapped_peak"], MIB)

    def test_unmap(self):
        """DEV-UNMAP-1: those that nobody holds; the others stay."""
        self.guest.ready()
        g = self.guest
        g.hold(101)
        self.assertStatus(g.map((100, 1)), vu.OK)
        self.assertStatus(g.map((101, 1)), vu.OK)
        self.assertStatus(g.map((300, 1)), vu.OK)
        self.assertStatus(g.unmap((100, 2), (300, 1)), vu.OK)
        self.assertEqual(g.word(300) & MAPPED, 0)
        self.assertEqual(g.word(101), MAPPED | 1)
        self.assertEqual(g.word(100) & MAPPED, 0)
        self.assertEqual(self.stats()["mapped_bytes"], GRANULE)

    def test_unmap_shares_a_mapping(self):
        """DEV-UNMAP-1: what was mapped in one piece with a granule that is held, stays."""
        self.guest.ready()
        g = self.guest
        g.hold(101)
        self.assertStatus(g.map((100, 4)), vu.OK)
        self.assertStatus(g.unmap((100, 4)), vu.OK)
        self.assertEqual(self.stats()["mapped_bytes"], 4 * GRANULE)
        self.assertEqual([bool(g.word(i) & MAPPED) for i in range(100, 104)], [True] * 4)
        g.drop(101)
        self.assertStatus(g.unmap((100, 1)), vu.OK)
        self.assertEqual(self.stats()["mapped_bytes"], 0)

    def test_unmap_shape(self):
        """DEV-REQ-2: as MAP's; DEV-REQ-5: the item that failed; nothing has changed."""
        self.guest.ready()
        g = self.guest
        self.assertStatus(g.map((100, 1)), vu.OK)
        self.assertStatus(g.request(vu.T_UNMAP, [struct.pack("<QII", 100, 1, 1)], 1), vu.INVAL)
        self.assertStatus(g.request(vu.T_UNMAP, [struct.pack("<QII", 100, 0, 0)], 1), vu.INVAL)
        self.assertStatus(g.unmap((100, 1), (1 << 60, 1)), vu.RANGE, index=1)
        self.assertStatus(g.unmap((100, 1), endpoint=9), vu.STATE)
        self.assertStatus(g.unmap((100, 1), endpoint=77), vu.NOENT)
        self.assertEqual(self.stats()["mapped_bytes"], GRANULE)
        # what is not mapped, or is no memory, is unmapped already
        self.assertStatus(g.unmap((500, 3), (1 << 40, 5)), vu.OK)
        self.assertEqual(self.stats()["mapped_bytes"], GRANULE)

    def test_release_is_advice(self):
        """DEV-RELEASE-1: preferred as victims, and never unmapped while held."""
        self.guest.ready()
        g = self.guest
        for granule in range(100, 116):
            self.assertStatus(g.map((granule, 1)), vu.OK)
        g.hold(110)
        self.assertStatus(g.release((109, 2)), vu.OK)
        self.assertStatus(g.map((300, 1)), vu.OK)
        self.assertEqual(g.word(110), MAPPED | 1)
        self.assertEqual(g.word(109) & MAPPED, 0)
        self.assertEqual(sum(bool(g.word(i) & MAPPED) for i in range(100, 116)), 15)

    def settled(self, counter, least):
        """The counters, once one of them is not below a number; its background work is done."""
        for _ in range(200):
            stats = self.stats()
            if stats[counter] >= least:
                return stats
            time.sleep(0.01)
        self.fail(f"{counter} stays {stats[counter]}, below {least}")

    def test_prefetch_is_advice(self):
        """DEV-PREFETCH-1, DEV-PREFETCH-2: mapped soon, and nothing that is held goes for it."""
        self.guest.ready()
        g = self.guest
        self.assertStatus(g.prefetch((100, 2), (300, 1)), vu.OK)
        stats = self.settled("hinted_granules", 3)
        self.assertEqual(stats["hints"], 2)
        self.assertEqual(stats["mapped_bytes"], 3 * GRANULE)
        self.assertEqual([g.word(i) for i in (99, 100, 101, 102, 300)], [0, MAPPED, MAPPED, 0, MAPPED])
        for granule in range(100, 116):
            self.assertStatus(g.map((granule, 1)), vu.OK)
            g.hold(granule)
        quota = self.stats()["quota"] // GRANULE
        self.assertEqual(quota, 16)
        before = self.stats()["hints_dropped"]
        for _ in range(4):
            self.assertStatus(g.prefetch((200, 1)), vu.OK)
        self.settled("hints_dropped", before + 4)
        self.assertEqual(g.word(200), 0)
        self.assertEqual([g.word(i) for i in range(100, 116)], [MAPPED | 1] * 16)
        self.assertEqual(self.stats()["mapped_bytes"], 16 * GRANULE)

    def test_prefetch_of_nonsense(self):
        """DEV-PREFETCH-2, DEV-PREFETCH-3: what the granules are is no reason to fail, or to map."""
        self.guest.ready()
        g = self.guest
        self.assertStatus(g.prefetch((100, 1), endpoint=9), vu.STATE)
        self.assertStatus(g.prefetch((100, 1), endpoint=77), vu.NOENT)
        self.assertStatus(g.prefetch((1 << 40, 1), (100, 1), (0, MOST // 2), (1 << 41, 500)), vu.OK)
        stats = self.settled("hints_dropped", 2)
        self.assertLessEqual(stats["mapped_bytes"], GRANULE)
        self.assertStatus(g.map((100, 1)), vu.OK)
        for _ in range(300):
            g.prefetch(*((i * 37 % 1000, 1) for i in range(200)))
        self.assertLessEqual(self.stats()["mapped_bytes"], 16 * GRANULE)
        self.assertStatus(g.map((100, 1)), vu.OK)

    def test_features(self):
        """DEV-FEAT-1: UNMAP, RELEASE and PREFETCH only where they were negotiated."""
        g = self.guest
        all_kinds = (vu.F_UNMAP, vu.F_RELEASE, vu.F_PREFETCH)
        for features in (0, *all_kinds):
            g.start(vu.F_VERSION_1 | vu.F_PROTOCOL_FEATURES | features)
            self.assertEqual(g.init(), vu.OK)
            self.assertStatus(g.leaf(0), vu.OK)
            self.assertEqual(g.attach(), vu.OK)
            for kind, send in zip(all_kinds, (g.unmap, g.release, g.prefetch)):
                self.assertStatus(send((100, 1)), vu.OK if features == kind else vu.UNSUPP)
            g.stop()


if __name__ == "__main__":
    unittest.main()
