# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtqueues: order, pauses, malformed rings, memory that is not shared."""

import os
import struct
import time
import unittest

from lib.agent import Agent
from lib import vhost_user as vu
from lib.vhost_user import Guest, MIB


class Queues(unittest.TestCase):
    def setUp(self):
        self.agent = self.enterContext(Agent(args=("--queues", "2")))
        self.guest = self.enterContext(Guest(self.agent))

    def detach(self):
        """A request that is answered (with STATE) without any preparation."""
        return self.guest.head(vu.T_DETACH, 0, 1)

    def assertServed(self, queue=0):
        answer = self.guest.send(self.detach(), queue)
        self.assertEqual((answer.status, answer.length), (vu.STATE, 8))

    def fill(self, queue, count):
        return [self.guest.submit(self.detach(), queue) for _ in range(count)]

    # --- requests and answers ---

    def test_each_queue_answers_for_itself(self):
        """DEV-QUEUE-1: each request is answered through the queue it came by."""
        self.guest.start()
        first, second = self.guest.queues
        tails = [self.fill(i, 20) for i in range(2)]
        for queue in (second, first):
            queue.publish()
            queue.kick()
        for queue in (first, second):
            heads = sorted(queue.pop_used()[0] for _ in range(20))
            self.assertEqual(heads, list(range(0, 40, 2)))
        time.sleep(0.05)
        self.assertFalse(first.pending() or second.pending())
        for tail in tails[0] + tails[1]:
            self.assertEqual(self.guest.memory.read(tail, 1)[0], vu.STATE)

    def test_ring_wraps(self):
        """Both indices run over 16 bits."""
        self.guest.start()
        queue = self.guest.queues[0]
        queue.stop()
        queue.avail_idx = queue.used_idx = 0xFFF0
        queue.memory.put_u16(queue.used + 2, 0xFFF0)
        queue.publish()
        queue.start(base=0xFFF0)
        for _ in range(300):
            self.assertServed()

    def test_full_ring(self):
        self.guest.start()
        queue = self.guest.queues[0]
        for _ in range(5):
            # A descriptor each: no tail, so nothing to say (DEV-REQ-4).
            for _ in range(queue.size):
                self.guest.submit(self.detach(), tail=0)
            queue.publish()
            queue.kick()
            for _ in range(queue.size):
                self.assertEqual(queue.pop_used()[1], 0)

    def test_short_tail(self):
        """DEV-REQ-4: no room for the answer: used length 0, and no byte written."""
        self.guest.start()
        for size in range(8):
            gpa, tail_gpa = self.guest.place(self.detach())
            queue = self.guest.queues[0]
            queue.add([(gpa, 8)], [(tail_gpa, size)] if size else [])
            queue.publish()
            queue.kick()
            self.assertEqual(queue.pop_used()[1], 0)
            self.assertEqual(self.guest.memory.read(tail_gpa, 8), b"\xff" + bytes(7))
        self.assertServed()

    def test_long_tail(self):
        """Only the tail is written, however much room there is."""
        self.guest.start()
        gpa, tail_gpa = self.guest.place(self.detach(), tail=64)
        self.guest.memory.write(tail_gpa, b"\xee" * 64)
        queue = self.guest.queues[0]
        queue.add([(gpa, 8)], [(tail_gpa, 64)])
        queue.publish()
        queue.kick()
        self.assertEqual(queue.pop_used()[1], 8)
        self.assertEqual(self.guest.memory.read(tail_gpa + 8, 56), b"\xee" * 56)

    def test_any_framing(self):
        """A request may be cut anywhere, into descriptors of any size."""
        self.guest.start()
        queue = self.guest.queues[0]
        data = self.guest.head(vu.T_INIT, 1) + self.guest.init_item()
        for piece in (1, 2, 3, 5, 7, 8, 31, 32):
            gpa, tail_gpa = self.guest.place(data)
            readable = [(gpa + i, min(piece, 32 - i)) for i in range(0, 32, piece)]
            readable.insert(1, (gpa, 0))
            writable = [(tail_gpa + i, min(piece, 8 - i)) for i in range(0, 8, piece)]
            queue.add(readable, writable)
            queue.publish()
            queue.kick()
            self.assertEqual(queue.pop_used()[1], 8)
            self.assertEqual(self.guest.memory.read(tail_gpa, 1)[0], vu.OK, piece)

    # --- notifications ---

    def test_call(self):
        self.guest.start()
        queue = self.guest.queues[0]
        self.assertServed()
        self.assertTrue(queue.called())
        queue.set_avail_flags(vu.AVAIL_NO_INTERRUPT)
        self.assertServed()
        self.assertFalse(queue.called(0.1))
        queue.set_avail_flags(0)
        self.assertServed()
        self.assertTrue(queue.called())

    def test_kicks_are_wanted_when_idle(self):
        """The hint not to kick is gone once the ring is empty."""
        self.guest.start()
        queue = self.guest.queues[0]
        for _ in range(50):
            self.assertServed()
            deadline = time.monotonic() + 5
            while queue.used_flags() & vu.USED_NO_NOTIFY:
                self.assertLess(time.monotonic(), deadline)

    def test_published_before_the_start(self):
        """What was made available while the queue was stopped needs no kick."""
        self.guest.connect()
        queue = self.guest.queues[0]
        queue.clear()
        self.fill(0, 10)
        queue.publish()
        queue.start()
        for _ in range(10):
            self.assertEqual(queue.pop_used()[1], 8)

    def test_disabled_queue_waits(self):
        self.guest.start()
        queue = self.guest.queues[0]
        queue.front_end.state(vu.SET_VRING_ENABLE, 0, 0)
        self.fill(0, 3)
        queue.publish()
        queue.kick()
        time.sleep(0.1)
        self.assertFalse(queue.pending())
        queue.front_end.state(vu.SET_VRING_ENABLE, 0, 1)
        for _ in range(3):
            self.assertEqual(queue.pop_used()[1], 8)

    # --- stop and go on ---

    def test_pause_and_resume(self):
        self.guest.start()
        queue = self.guest.queues[0]
        for turn in range(1, 6):
            for _ in range(7):
                self.assertServed()
            base = queue.stop()
            self.assertEqual(base, 7 * turn + (turn - 1))
            # The guest may have added something just before it was paused.
            self.fill(0, 1)
            queue.publish()
            queue.kick()
            time.sleep(0.02)
            self.assertFalse(queue.pending())
            queue.start(base)
            self.assertEqual(queue.pop_used()[1], 8)

    def test_running_queue_is_not_set_up_again(self):
        self.guest.start()
        fe = self.guest.front_end
        for request, num in ((vu.SET_VRING_NUM, 128), (vu.SET_VRING_BASE, 0)):
            with self.assertRaises(vu.Refused):
                fe.state(request, 0, num)
        self.assertServed()

    def test_bad_set_up(self):
        self.guest.connect()
        fe, queue, memory = self.guest.front_end, self.guest.queues[0], self.guest.memory
        for num in (0, 3, 255, 2048, 65536, 0xFFFFFFFF):
            with self.assertRaises(vu.Refused):
                fe.state(vu.SET_VRING_NUM, 0, num)
        with self.assertRaises(vu.Refused):
            fe.vring_fd(vu.SET_VRING_KICK, 0, queue.kick_fd)    # not set up
        for index in (2, 255, 256, 0xFFFFFFFF):
            with self.assertRaises(vu.Refused):
                fe.state(vu.SET_VRING_NUM, index, 256)
        with self.assertRaises(vu.Refused):
            fe.state(vu.SET_VRING_BASE, 0, 65536)
        with self.assertRaises(vu.Refused):
            fe.state(vu.SET_VRING_ENABLE, 0, 2)
        fe.state(vu.SET_VRING_NUM, 0, 256)
        user, end = memory.user, memory.user + memory.size
        for desc, avail, used in ((0, user, user), (user + 8, user, user),
                                  (user, user + 1, user), (user, user, user + 2),
                                  (end - 4096 + 16, user, user), (user, end - 512, user),
                                  (user, user, end - 2048), ((1 << 64) - 16, user, user)):
            with self.assertRaises(vu.Refused, msg=(desc, avail, used)):
                fe.set_vring_addr(0, desc, avail, used)
        with self.assertRaises(vu.Refused):
            fe.set_vring_addr(0, user, user + 4096, user + 8192, flags=1)
        with open("/etc/passwd") as f:      # what cannot be polled is no kick
            fe.set_vring_addr(0, user, user + 4096, user + 8192)
            with self.assertRaises(vu.Refused):
                fe.vring_fd(vu.SET_VRING_KICK, 0, f.fileno())

    def test_kick_from_a_pipe_that_closes(self):
        """Not an eventfd, and its other end goes: no busy loop, no crash."""
        self.guest.connect()
        queue = self.guest.queues[0]
        queue.clear()
        queue.set_up()
        read_end, write_end = os.pipe()
        self.guest.front_end.vring_fd(vu.SET_VRING_KICK, 0, read_end)
        os.close(read_end)
        self.guest.front_end.state(vu.SET_VRING_ENABLE, 0, 1)
        self.fill(0, 1)
        queue.publish()
        os.write(write_end, bytes(8))
        queue.pop_used()
        os.close(write_end)
        time.sleep(0.2)
        before = self.agent.cpu_seconds()
        time.sleep(0.5)
        self.assertLess(self.agent.cpu_seconds() - before, 0.1)

    def test_reset_device(self):
        protocol = self.guest.front_end.ask_u64(vu.GET_PROTOCOL_FEATURES)
        self.assertTrue(protocol & vu.PF_RESET_DEVICE)
        self.guest.start()
        self.assertServed()
        self.guest.front_end.do(vu.RESET_DEVICE)
        queue = self.guest.queues[0]
        queue.kick()
        time.sleep(0.05)
        self.assertFalse(queue.pending())
        queue.clear()
        queue.start()
        self.assertServed()

    # --- memory ---

    def test_ring_memory_taken_away(self):
        self.guest.start()
        self.assertServed()
        memory, fe = self.guest.memory, self.guest.front_end
        fe.rem_mem_reg(memory.gpa, memory.size, memory.user)
        self.fill(0, 1)
        self.guest.queues[0].publish()
        self.guest.queues[0].kick()
        time.sleep(0.05)
        self.assertFalse(self.guest.queues[0].pending())
        fe.add_mem_reg(*memory.region())
        self.assertEqual(self.guest.queues[0].pop_used()[1], 8)
        self.assertServed()

    def test_request_across_regions(self):
        """Two regions side by side are one stretch of guest memory."""
        memory, fe = self.guest.memory, self.guest.front_end
        fe.negotiate()
        half = memory.size // 2
        far = memory.user + (1 << 40)
        fe.add_mem_reg(half, half, far, half, memory.fd)
        fe.add_mem_reg(0, half, memory.user, 0, memory.fd)
        queue = self.guest.queues[0]
        queue.start()
        memory.write(half - 5, self.detach())
        memory.write(half + 0x100, bytes(8))
        queue.add([(half - 5, 8)], [(half + 0x100, 8)])
        memory.write(2 * MIB, self.detach())
        queue.add([(2 * MIB, 8)], [(half - 3, 8)])
        queue.publish()
        queue.kick()
        for tail in (half + 0x100, half - 3):
            self.assertEqual(queue.pop_used()[1], 8)
            self.assertEqual(memory.read(tail, 1)[0], vu.STATE)

    def test_not_shared(self):
        """share=off: the guest's ring is not ours, and the log says what to do."""
        self.guest.close()
        deadline = time.monotonic() + 10
        while True:     # until the agent has seen the end of the first session
            guest = Guest(self.agent, shared=False, vfio=False)
            try:
                guest.start()
                break
            except (vu.Disconnected, OSError):
                guest.close()
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.01)
        self.addCleanup(guest.close)
        guest.submit(self.detach())
        guest.queues[0].publish()
        deadline = time.monotonic() + 20
        while "share=on" not in self.agent.stderr():
            self.assertLess(time.monotonic(), deadline)
            guest.queues[0].kick()
            time.sleep(0.05)
        self.assertFalse(guest.queues[0].pending())
        time.sleep(0.2)
        self.assertEqual(self.agent.stderr().count("share=on"), 1)

    def test_not_shared_and_the_driver_gives_up(self):
        """A driver that resets the device after a short wait tells, too."""
        self.guest.start()
        self.assertNotIn("share=on", self.agent.stderr())
        self.guest.stop()
        self.assertIn("share=on", self.agent.stderr())

    def test_quiet_queues_are_not_suspected(self):
        """One chain on one queue is enough, whatever is kicked."""
        self.guest.start()
        self.assertServed(1)
        for queue in self.guest.queues:
            queue.kick()
            queue.kick()
        time.sleep(4)
        self.guest.stop()
        self.assertNotIn("share=on", self.agent.stderr())


class Polling(unittest.TestCase):
    """Requests in quick succession need no kicks; what quick is, --poll says."""

    def served_without_kick(self, poll, tries):
        agent = self.enterContext(Agent(args=("--queues", "1", "--poll", str(poll))))
        guest = self.enterContext(Guest(agent, queues=1))
        guest.start()
        queue = guest.queues[0]
        data = guest.head(vu.T_DETACH, 0, 1)
        for _ in range(tries):
            # The window starts small, and doubles with each kick that comes in time.
            for _ in range(30):
                guest.send(data)
            wanted = not queue.used_flags() & vu.USED_NO_NOTIFY
            guest.submit(data)
            queue.publish()
            try:
                queue.pop_used(0.2)
                return True, wanted
            except TimeoutError:
                queue.kick()
                queue.pop_used()
        return False, wanted

    def test_on(self):
        # on a machine that does much else, the kicks may all be late, at first
        self.assertEqual(self.served_without_kick(1000000, 50), (True, False))

    def test_off(self):
        self.assertEqual(self.served_without_kick(0, 2), (False, True))


class MalformedRings(unittest.TestCase):
    """DEV-QUEUE-2: fatal for that queue, without touching memory because of it."""

    def setUp(self):
        self.agent = self.enterContext(Agent(args=("--queues", "2")))
        self.guest = self.enterContext(Guest(self.agent, queue_size=16))
        self.guest.start()
        self.queue = self.guest.queues[0]
        self.data = self.guest.head(vu.T_DETACH, 0, 1)
        self.request, self.tail = self.guest.place(self.data)

    def assertBroken(self):
        queue, memory = self.queue, self.guest.memory
        queue.kick()
        self.assertTrue(queue.broken(), "the queue still runs")
        self.assertFalse(queue.pending())
        self.assertEqual(memory.read(self.tail, 8), b"\xff" + bytes(7))
        # Nothing moves any more, whatever the guest mends.
        before = memory.read(0, memory.size)
        memory.put_u16(queue.avail + 2, 1)
        queue.put_desc(0, self.request, 8, vu.D_NEXT, 1)
        queue.put_desc(1, self.tail, 8, vu.D_WRITE)
        edited = memory.read(0, memory.size)
        queue.kick()
        queue.kick()
        time.sleep(0.05)
        self.assertTrue(memory.read(0, memory.size) == edited)
        self.assertEqual(len(before), len(edited))
        self.assertIn("malformed", self.agent.stderr())
        # The other queue does not care.
        answer = self.guest.send(self.data, queue=1)
        self.assertEqual(answer.status, vu.STATE)
        # A fresh start makes the queue as good as new.
        queue.stop()
        queue.clear()
        queue.start()
        self.assertEqual(self.guest.send(self.data).status, vu.STATE)

    def chain(self, *descs):
        """Makes the chain of (addr, len, flags, next) at descriptor 0 available."""
        for i, desc in enumerate(descs):
            self.queue.put_desc(i, *desc)
        self.queue.put_avail(0)
        self.queue.publish()

    def test_index_beyond_the_ring(self):
        self.chain((self.request, 8, vu.D_NEXT, 1), (self.tail, 8, vu.D_WRITE, 0))
        self.queue.publish(17)
        self.assertBroken()

    def test_index_backwards(self):
        self.queue.publish(0xFFFF)
        self.assertBroken()

    def test_head_beyond_the_table(self):
        for head in (16, 0x8000, 0xFFFF):
            with self.subTest(head):
                self.queue.put_avail(head)
                self.queue.publish()
                self.assertBroken()

    def test_next_beyond_the_table(self):
        self.chain((self.request, 8, vu.D_NEXT, 16))
        self.assertBroken()

    def test_loop(self):
        self.chain((self.request, 8, vu.D_NEXT, 0))
        self.assertBroken()

    def test_loop_through_a_writable_descriptor(self):
        self.chain((self.request, 8, vu.D_NEXT, 1), (self.tail, 8, vu.D_NEXT | vu.D_WRITE, 1))
        self.assertBroken()

    def test_chain_longer_than_the_queue(self):
        for i in range(16):
            self.queue.put_desc(i, self.request, 1, vu.D_NEXT, (i + 1) % 16)
        self.queue.put_avail(3)
        self.queue.publish()
        self.assertBroken()

    def test_readable_outside_memory(self):
        end = self.guest.memory.size
        for addr, size in ((end, 8), (end - 4, 8), ((1 << 64) - 8, 8), ((1 << 64) - 8, 16),
                           (1 << 63, 1), (0, 0xFFFFFFFF), (end - 1, 0xFFFFFFFF)):
            with self.subTest(addr=addr, size=size):
                self.chain((addr, size, vu.D_NEXT, 1), (self.tail, 8, vu.D_WRITE, 0))
                self.assertBroken()

    def test_writable_outside_memory(self):
        end = self.guest.memory.size
        for addr, size in ((end, 8), (end - 4, 8), ((1 << 64) - 4, 8)):
            with self.subTest(addr=addr, size=size):
                self.chain((self.request, 8, vu.D_NEXT, 1), (addr, size, vu.D_WRITE, 0))
                self.assertBroken()

    def test_second_writable_outside_memory(self):
        """Judged as a whole, before any byte is written."""
        self.chain((self.request, 8, vu.D_NEXT, 1),
                   (self.tail, 8, vu.D_WRITE | vu.D_NEXT, 2),
                   (self.guest.memory.size, 8, vu.D_WRITE, 0))
        self.assertBroken()

    def test_readable_after_writable(self):
        self.chain((self.tail, 8, vu.D_WRITE | vu.D_NEXT, 1), (self.request, 8, 0, 0))
        self.assertBroken()

    def test_indirect(self):
        table = self.tail + 64
        self.guest.memory.write(table, struct.pack("<QIHH", self.request, 8, vu.D_NEXT, 1) +
                                struct.pack("<QIHH", self.tail, 8, vu.D_WRITE, 0))
        self.chain((table, 32, vu.D_INDIRECT, 0))
        self.assertBroken()

    def test_good_requests_before_are_answered(self):
        """What came before the malformed entry has been served."""
        good = self.guest.submit(self.data)
        self.queue.put_avail(99)
        self.queue.publish()
        self.queue.kick()
        self.assertTrue(self.queue.broken())
        self.assertEqual(self.queue.pop_used()[1], 8)
        self.assertEqual(self.guest.memory.read(good, 1)[0], vu.STATE)

    def test_logged_once_a_break(self):
        self.queue.publish(0xFFFF)
        for _ in range(50):
            self.queue.kick()
            time.sleep(0.001)
        self.assertTrue(self.queue.broken())
        time.sleep(0.05)
        self.assertEqual(self.agent.stderr().count("malformed"), 1)


if __name__ == "__main__":
    unittest.main()
