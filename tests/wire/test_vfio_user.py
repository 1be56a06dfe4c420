# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent as a vfio-user server: what a well-behaved VMM sees of it."""

import errno
import json
import mmap
import os
import select
import struct
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib import vfio_user as vu  # noqa: E402
from lib.agent import Agent  # noqa: E402

MIB = 1 << 20
BAR1_TRIGGER = 0


def memfd(size, name="guest"):
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    return fd


def fired(fd, timeout=5.0):
    """The counter of an eventfd, once it is not zero; 0 after the timeout."""
    if not select.select([fd], [], [], timeout)[0]:
        return 0
    return os.eventfd_read(fd)


def eventfds(count):
    return [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(count)]


def trigger(client, index, vector):
    client.write(vu.BAR1, BAR1_TRIGGER, struct.pack("<I", index << 16 | vector))


class AgentTest(unittest.TestCase):
    devices = ("endpoint=5",)

    def setUp(self):
        self.agent = self.enterContext(Agent(devices=self.devices))

    def client(self, **kwargs):
        return self.enterContext(self.agent.vfio_user(**kwargs))


class Handshake(AgentTest):
    def test_version_of_qemu(self):
        client = self.client(negotiate=False)
        major, minor, text = client.version()
        self.assertEqual((major, minor), (0, 0))
        # The client refuses more than it proposed.
        self.assertEqual(text, {"capabilities": {
            "max_msg_fds": 16, "max_data_xfer_size": MIB, "max_dma_maps": 65535,
            "pgsizes": 4096, "write_multiple": True}})

    def test_minor_is_lowered(self):
        client = self.client(negotiate=False)
        self.assertEqual(client.version(minor=7)[:2], (0, 0))

    def test_no_data(self):
        client = self.client(negotiate=False)
        text = client.version(data=b"")[2]
        self.assertNotIn("write_multiple", text["capabilities"])
        with self.assertRaises(vu.RemoteError):
            client.write_multi([(vu.BAR1, 8, b"x")])

    def test_unknown_capabilities_are_ignored(self):
        client = self.client(negotiate=False)
        client.version(data=json.dumps(
            {"x": [{"capabilities": 1}], "capabilities": {
                "twin_socket": {"supported": True}, "colour": None, "max_msg_fds": 2,
                "y": [1.5e3, -2, "\u00e4\\\""]}, "z": {"capabilities": {"max_msg_fds": ""}},
             }).encode() + b"\0")
        client.get_info()

    def test_client_without_fds_gets_no_mmap(self):
        client = self.client(negotiate=False)
        client.version(data=b'{"capabilities": {"max_msg_fds": 0}}\0')
        info = client.region_info(vu.BAR0)
        self.assertEqual(info.fd, -1)
        self.assertFalse(info.flags & vu.REGION_MMAP)

    def test_next_client_after_disconnect(self):
        for _ in range(5):
            client = self.agent.vfio_user()
            fd = memfd(MIB)
            client.dma_map(0, MIB, fd)
            os.close(fd)
            client.close()

    def test_second_client_is_turned_away(self):
        client = self.client()
        other = self.client(negotiate=False)
        self.assertTrue(other.disconnected())
        client.get_info()


class StartOfQemu(AgentTest):
    def test_sequence(self):
        """The order in which QEMU 11.1 starts a VM."""
        client = self.client()
        ram = memfd(64 * MIB)
        client.dma_map(0, 0xc0000, ram)
        client.dma_map(0xc0000, 0x20000, ram, 0xc0000, flags=1)
        client.dma_map(0xe0000, 0x20000)  # ROM of the board, without a file
        client.dma_map(0x100000, 63 * MIB, ram, 0x100000)
        client.dma_map(0xfebf0000, 0x4000)  # a BAR of another device

        argsz, flags, regions, irqs = client.get_info()
        self.assertEqual((argsz, flags), (16, 3))
        self.assertEqual((regions, irqs), (9, 5))
        infos = {i: client.region_info(i) for i in (0, 1, 2, 3, 4, 5, 7)}
        self.assertEqual([infos[i].size for i in (0, 1, 2, 3, 4, 5)], [4096, 64, 4096, 0, 0, 0])
        self.assertGreaterEqual(infos[0].fd, 0)
        self.assertEqual([i for i, info in infos.items() if info.fd >= 0], [0])
        os.close(infos[0].fd)
        counts = [client.irq_info(i)[3] for i in range(irqs)]
        self.assertEqual(counts, [1, 0, 32, 1, 1])
        config = client.read(vu.CONFIG, 0, infos[7].size)
        self.assertEqual(len(config), 256)

        intx, unmask = eventfds(2)
        client.set_irqs(vu.INTX, vu.DATA_EVENTFD | vu.ACTION_TRIGGER, 0, 1, fds=[intx])
        client.set_irqs(vu.INTX, vu.DATA_NONE | vu.ACTION_MASK, 0, 1)
        client.set_irqs(vu.INTX, vu.DATA_EVENTFD | vu.ACTION_UNMASK, 0, 1, fds=[unmask])
        client.set_irqs(vu.INTX, vu.DATA_NONE | vu.ACTION_UNMASK, 0, 1)
        for index in (vu.ERR, vu.REQ):
            [event] = eventfds(1)
            client.set_irqs(index, vu.DATA_EVENTFD | vu.ACTION_TRIGGER, 0, 1, fds=[event])
            trigger(client, index, 0)
            self.assertEqual(fired(event), 1)
        client.reset()

        for address, size in ((0xc0000, 0x20000), (0xe0000, 0x20000), (0x100000, 63 * MIB)):
            client.dma_unmap(address, size)
        client.dma_map(0xc0000, 64 * MIB - 0xc0000, ram, 0xc0000)
        client.dma_unmap(0xfebf0000, 0x4000)

        fds = eventfds(16)
        client.set_irqs(vu.INTX, vu.DATA_NONE | vu.ACTION_TRIGGER, 0, 0)
        client.set_irqs(vu.MSIX, vu.DATA_EVENTFD | vu.ACTION_TRIGGER, 0, 16, fds=fds)
        client.set_irqs(vu.MSIX, vu.DATA_EVENTFD | vu.ACTION_TRIGGER, 16, 16)
        trigger(client, vu.MSIX, 15)
        self.assertEqual(fired(fds[15]), 1)
        os.close(ram)


class Regions(AgentTest):
    def test_bar_is_direct(self):
        """What is written through the mapping is there without a message."""
        client = self.client()
        info = client.region_info(vu.BAR0)
        self.assertTrue(info.flags & vu.REGION_MMAP)
        with mmap.mmap(info.fd, info.size, offset=info.offset) as bar:
            bar[0x80:0x88] = b"doorbell"
            self.assertEqual(client.read(vu.BAR0, 0x80, 8), b"doorbell")
            client.write(vu.BAR0, 0xff8, b"register")
            self.assertEqual(bar[0xff8:], b"register")
        os.close(info.fd)

    def test_short_region_info(self):
        """argsz says how much there is; no reply is longer than asked for."""
        client = self.client()
        for index in range(9):
            with self.subTest(index=index):
                info = client.region_info(index)
                self.assertGreaterEqual(info.argsz, 32)
                full = client.region_info(index, argsz=info.argsz)
                self.assertEqual(len(full.raw), full.argsz)
                if info.flags & vu.REGION_CAPS:
                    self.assertGreaterEqual(info.cap_offset, 32)
                for fd in (info.fd, full.fd):
                    if fd >= 0:
                        os.close(fd)
        big = client.region_info(vu.CONFIG, argsz=0xffffffff)
        self.assertEqual(len(big.raw), big.argsz)

    def test_rom_in_one_read(self):
        client = self.client()
        size = client.region_info(vu.ROM).size
        self.assertEqual(size, 256 * 1024)
        rom = client.read(vu.ROM, 0, size)
        self.assertEqual(rom, b"".join(struct.pack("<I", i) for i in range(0, size, 4)))
        self.assertEqual(client.read(vu.ROM, size - 3, 3), rom[-3:])

    def test_access_outside(self):
        client = self.client()
        for region, offset, count in ((vu.BAR0, 4096, 1), (vu.BAR0, 4095, 2),
                                      (vu.BAR0, 2**64 - 1, 1), (vu.BAR0, 2**64 - 4, 8),
                                      (vu.CONFIG, 256, 1), (3, 0, 1), (8, 0, 1), (9, 0, 1),
                                      (2**32 - 1, 0, 1), (vu.ROM, 256 * 1024 - 3, 4)):
            with self.subTest(region=region, offset=offset, count=count):
                with self.assertRaises(vu.RemoteError) as e:
                    client.read(region, offset, count)
                self.assertEqual(e.exception.errno, errno.EINVAL)
                with self.assertRaises(vu.RemoteError):
                    client.write(region, offset, b"\0" * count)
        with self.assertRaises(vu.RemoteError) as e:
            client.write(vu.ROM, 0, b"\0")
        self.assertEqual(e.exception.errno, errno.EACCES)

    def test_transfer_limits(self):
        client = self.client()
        for count in (0, MIB + 1, 2**32 - 1):
            with self.subTest(count=count), self.assertRaises(vu.RemoteError):
                client.read(vu.ROM, 0, count)
        client.close()
        client = self.client(negotiate=False)
        client.version(data=b'{"capabilities": {"max_data_xfer_size": 512}}\0')
        client.read(vu.ROM, 0, 512)
        with self.assertRaises(vu.RemoteError):
            client.read(vu.ROM, 0, 513)

    def test_write_without_reply(self):
        client = self.client()
        client.write(vu.BAR1, 8, b"abcd", flags=vu.NO_REPLY)
        self.assertEqual(client.read(vu.BAR1, 8, 4), b"abcd")
        # An error is not answered either.
        client.write(vu.BAR1, 64, b"abcd", flags=vu.NO_REPLY)
        client.get_info()

    def test_write_multi(self):
        client = self.client()
        self.assertEqual(client.write_multi([
            (vu.BAR1, 8, b"12345678"), (vu.BAR0, 0, b"a"), (vu.BAR0, 1, b"bcd")]), 3)
        self.assertEqual(client.read(vu.BAR1, 8, 8), b"12345678")
        self.assertEqual(client.read(vu.BAR0, 0, 4), b"abcd")
        # Up to the first that fails; an error if that is the first of all.
        self.assertEqual(client.write_multi([
            (vu.BAR0, 0, b"e"), (vu.BAR0, 4096, b"x"), (vu.BAR0, 1, b"f")]), 1)
        self.assertEqual(client.read(vu.BAR0, 0, 2), b"eb")
        with self.assertRaises(vu.RemoteError):
            client.write_multi([(vu.BAR0, 4096, b"x"), (vu.BAR0, 0, b"g")])
        self.assertEqual(client.read(vu.BAR0, 0, 1), b"e")

    def test_region_io_fds(self):
        """There are none: what can be direct is mapped."""
        client = self.client()
        reply = client.call(vu.DEVICE_GET_REGION_IO_FDS, struct.pack("=IIII", 4096, 0, 1, 0))
        self.assertEqual(struct.unpack("=IIII", reply.body), (16, 0, 1, 0))
        self.assertEqual(reply.fds, [])
        with self.assertRaises(vu.RemoteError):
            client.call(vu.DEVICE_GET_REGION_IO_FDS, struct.pack("=IIII", 4096, 0, 9, 0))

    def test_reset(self):
        client = self.client()
        client.write(vu.BAR1, 8, b"x")
        client.write(vu.CONFIG, 4, b"\x07\x00")
        client.reset()
        self.assertEqual(client.read(vu.BAR1, 8, 1), b"\0")
        self.assertEqual(client.read(vu.CONFIG, 4, 2), b"\0\0")


class Denied(unittest.TestCase):
    """DMA that the guest allows and no driver of pvdma's looks after: a dead device,
    of which the log tells the operator."""
    TOLD = "lets null do DMA, but no pvdma driver"

    def told(self, writes, *args):
        """How often the log says so."""
        with Agent(devices=("endpoint=5",), args=args) as agent:
            with agent.vfio_user() as client:
                writes(client)
            return agent.stderr().count(self.TOLD)

    def test_told_once_until_reset(self):
        def bus_master(client):
            client.write(vu.CONFIG, 4, b"\x06\x00")

        def twice(client):
            bus_master(client)
            bus_master(client)

        def reset_between(client):
            twice(client)
            client.reset()
            bus_master(client)

        self.assertEqual(self.told(twice), 1)
        self.assertEqual(self.told(reset_between), 2)

    def test_any_width(self):
        for offset, data in ((4, b"\x04"), (2, b"\0\0\x04\0"), (0, bytes(4) + b"\xff")):
            self.assertEqual(self.told(lambda client, at=offset, of=data:
                                       client.write(vu.CONFIG, at, of)), 1)
        self.assertEqual(self.told(lambda client: client.write_multi(
            [(vu.CONFIG, 4, b"\x06\x00")])), 1)

    def test_nothing_to_tell(self):
        for write in ((vu.CONFIG, 4, b"\x03\x00"), (vu.CONFIG, 5, b"\xff"),
                      (vu.CONFIG, 0x3c, b"\xff"), (vu.BAR1, 4, b"\x06\x00")):
            self.assertEqual(self.told(lambda client, args=write: client.write(*args)), 0)
        for args in (("--fallback", "direct"), ("--strategy", "direct-map")):
            self.assertEqual(self.told(lambda client: client.write(vu.CONFIG, 4, b"\x06\x00"),
                                       *args), 0)


class Capability(AgentTest):
    """DEV-CAP-1: in the list, read-only, and hiding nothing."""

    def find(self, config):
        self.assertTrue(config[6] & 0x10)
        at, seen = config[0x34], []
        while at:
            self.assertGreaterEqual(at, 0x40)
            self.assertEqual(at % 4, 0)
            seen.append((config[at], at))
            at = config[at + 1]
        return seen

    def test_in_the_list(self):
        config = self.client().read(vu.CONFIG, 0, 256)
        seen = self.find(config)
        self.assertEqual([cap for cap, _ in seen], [0x09, 0x11])
        at = seen[0][1]
        length, version, magic, _, endpoint = struct.unpack_from("<BBIII", config, at + 2)
        self.assertEqual((length, version, magic, endpoint), (16, 1, 0x4d445650, 5))

    def test_any_width_reads_the_same(self):
        client = self.client()
        config = client.read(vu.CONFIG, 0, 256)
        for width in (1, 2, 4, 7, 16):
            parts = [client.read(vu.CONFIG, at, min(width, 256 - at))
                     for at in range(0, 256, width)]
            self.assertEqual(b"".join(parts), config, f"in steps of {width}")

    def test_ignores_writes(self):
        client = self.client()
        config = client.read(vu.CONFIG, 0, 256)
        at = self.find(config)[0][1]
        for offset in range(at - 4, at + 20):
            for width in (1, 2, 4, 24):
                if offset + width <= 256:
                    client.write(vu.CONFIG, offset, b"\xff" * width)
        self.assertEqual(client.read(vu.CONFIG, 0, 256), config)
        # What is around it still takes writes.
        client.write(vu.CONFIG, 0x3c, b"\x0b")
        self.assertEqual(client.read(vu.CONFIG, 0x3c, 1), b"\x0b")


class Interrupts(AgentTest):
    def test_msix(self):
        client = self.client()
        fds = eventfds(3)
        client.set_irqs(vu.MSIX, vu.DATA_EVENTFD | vu.ACTION_TRIGGER, 4, 3, fds=fds)
        for i, fd in enumerate(fds):
            trigger(client, vu.MSIX, 4 + i)
            trigger(client, vu.MSIX, 4 + i)
            self.assertEqual(fired(fd), 2)
        client.set_irqs(vu.MSIX, vu.DATA_NONE | vu.ACTION_TRIGGER, 4, 1)
        self.assertEqual(fired(fds[0]), 1)
        client.set_irqs(vu.MSIX, vu.DATA_BOOL | vu.ACTION_TRIGGER, 4, 3, b"\0\1\0")
        self.assertEqual([fired(fd, 0.1) for fd in fds], [0, 1, 0])

    def test_take_back(self):
        client = self.client()
        fds = eventfds(2)
        client.set_irqs(vu.MSIX, vu.DATA_EVENTFD | vu.ACTION_TRIGGER, 0, 2, fds=fds)
        client.set_irqs(vu.MSIX, vu.DATA_EVENTFD | vu.ACTION_TRIGGER, 1, 1)
        trigger(client, vu.MSIX, 0)
        trigger(client, vu.MSIX, 1)
        self.assertEqual([fired(fd, 0.1) for fd in fds], [1, 0])
        client.set_irqs(vu.MSIX, vu.DATA_NONE | vu.ACTION_TRIGGER, 0, 0)
        trigger(client, vu.MSIX, 0)
        self.assertEqual(fired(fds[0], 0.1), 0)

    def test_intx_masks_itself(self):
        client = self.client()
        [fd] = eventfds(1)
        client.set_irqs(vu.INTX, vu.DATA_EVENTFD | vu.ACTION_TRIGGER, 0, 1, fds=[fd])
        trigger(client, vu.INTX, 0)
        self.assertEqual(fired(fd), 1)
        trigger(client, vu.INTX, 0)
        self.assertEqual(fired(fd, 0.1), 0)
        client.set_irqs(vu.INTX, vu.DATA_NONE | vu.ACTION_UNMASK, 0, 1)
        self.assertEqual(fired(fd), 1)
        client.set_irqs(vu.INTX, vu.DATA_BOOL | vu.ACTION_UNMASK, 0, 1, b"\1")
        trigger(client, vu.INTX, 0)
        self.assertEqual(fired(fd), 1)

    def test_gone_with_the_client(self):
        client = self.client()
        [fd] = eventfds(1)
        client.set_irqs(vu.MSIX, vu.DATA_EVENTFD | vu.ACTION_TRIGGER, 0, 1, fds=[fd])
        client.close()
        client = self.client()
        trigger(client, vu.MSIX, 0)
        self.assertEqual(fired(fd, 0.1), 0)


class Memory(AgentTest):
    def setUp(self):
        super().setUp()
        self.ram = memfd(16 * MIB)
        self.addCleanup(os.close, self.ram)

    def refused(self, error, call, *args, **kwargs):
        with self.assertRaises(vu.RemoteError) as e:
            call(*args, **kwargs)
        self.assertEqual(e.exception.errno, error)

    def test_overlap(self):
        client = self.client()
        client.dma_map(MIB, MIB, self.ram)
        for address, size in ((MIB, MIB), (0, 2 * MIB), (MIB + 4096, 4096), (2 * MIB - 4096, MIB)):
            for fd in (self.ram, None):
                with self.subTest(address=address, size=size, fd=fd):
                    self.refused(errno.EEXIST, client.dma_map, address, size, fd)
        client.dma_map(0, MIB, self.ram)
        client.dma_map(2 * MIB, MIB)
        self.refused(errno.EEXIST, client.dma_map, 2 * MIB, MIB, self.ram)

    def test_unmap(self):
        client = self.client()
        self.refused(errno.ENOENT, client.dma_unmap, 0, MIB)
        client.dma_map(MIB, MIB, self.ram)
        client.dma_map(2 * MIB, MIB)
        client.dma_map(4 * MIB, MIB, self.ram, MIB)
        self.refused(errno.ENOENT, client.dma_unmap, 3 * MIB, MIB)
        self.refused(errno.EINVAL, client.dma_unmap, MIB, MIB // 2)
        self.refused(errno.EINVAL, client.dma_unmap, MIB, 2 * MIB - 1)
        self.refused(errno.EINVAL, client.dma_unmap, MIB, 0)
        self.refused(errno.EINVAL, client.dma_unmap, 2**64 - 4096, 8192)
        client.dma_unmap(2 * MIB, MIB)
        client.dma_unmap(0, 16 * MIB)
        self.refused(errno.ENOENT, client.dma_unmap, MIB, MIB)
        client.dma_map(MIB, MIB, self.ram)

    def test_unmap_all(self):
        client = self.client()
        client.dma_unmap(0, 0, flags=2)
        client.dma_map(0, MIB, self.ram)
        client.dma_map(MIB, MIB)
        self.refused(errno.EINVAL, client.dma_unmap, 0, MIB, flags=2)
        client.dma_unmap(0, 0, flags=2)
        client.dma_map(0, 2 * MIB, self.ram)
        self.refused(errno.EOPNOTSUPP, client.dma_unmap, 0, 2 * MIB, flags=1)

    def test_bad_files(self):
        client = self.client()
        self.refused(errno.EINVAL, client.dma_map, 0, 17 * MIB, self.ram)
        self.refused(errno.EINVAL, client.dma_map, 0, MIB, self.ram, 16 * MIB)
        self.refused(errno.EINVAL, client.dma_map, 0, MIB, self.ram, 2**64 - 4096)
        self.refused(errno.EINVAL, client.dma_map, 0, MIB, self.ram, 2**63)
        for what, fds in (("pipe", os.pipe()), ("eventfd", eventfds(1)),
                          ("folder", [os.open("/", os.O_RDONLY)]),
                          ("null", [os.open("/dev/null", os.O_RDWR)])):
            with self.subTest(what=what), self.assertRaises(vu.RemoteError):
                client.dma_map(0, MIB, fds[0])
            for fd in fds:
                os.close(fd)
        client.dma_map(0, 16 * MIB, self.ram)

    def test_bad_addresses(self):
        client = self.client()
        for address, size in ((0, 0), (2**64 - 4096, 8192), (8192, 2**64 - 4096)):
            for fd in (self.ram, None):
                with self.subTest(address=address, size=size, fd=fd):
                    self.refused(errno.EINVAL, client.dma_map, address, size, fd)
        for address, size, offset in ((1, 4096, 0), (0, 4095, 0), (0, 4096, 1), (0, 1, 0)):
            self.refused(errno.EINVAL, client.dma_map, address, size, self.ram, offset)
        # What is only remembered may have any borders, up to the last byte.
        client.dma_map(2**64 - 4096, 4096)
        client.dma_map(3, 5)
        client.dma_unmap(3, 5)

    def test_flags(self):
        client = self.client()
        for flags in (0, 4, 7, 0x80000000):
            self.refused(errno.EINVAL, client.dma_map, 0, MIB, self.ram, flags=flags)
        client.dma_map(0, MIB, self.ram, flags=1)

    def test_many_regions(self):
        client = self.client()
        for i in range(3000):
            client.dma_map((i * 7919 % 3000) * 8192, 4096)
        client.dma_unmap(0, 3000 * 8192)


class Resources(AgentTest):
    def test_idle_is_idle(self):
        client = self.client()
        client.get_info()
        time.sleep(0.2)
        before = self.agent.cpu_seconds()
        time.sleep(1)
        self.assertLessEqual(self.agent.cpu_seconds() - before, 0.02)

    def test_no_fd_is_left(self):
        client = self.client()
        ram, (irq,) = memfd(MIB), eventfds(1)
        before = self.agent.fd_count()
        for _ in range(50):
            client.dma_map(0, MIB, ram)
            client.set_irqs(vu.MSIX, vu.DATA_EVENTFD | vu.ACTION_TRIGGER, 0, 1, fds=[irq])
            os.close(client.region_info(vu.BAR0).fd)
            client.set_irqs(vu.MSIX, vu.DATA_NONE | vu.ACTION_TRIGGER, 0, 0)
            client.dma_unmap(0, MIB)
        self.assertEqual(self.agent.fd_count(), before)
        client.close()
        with self.client() as client:
            client.get_info()
            self.assertEqual(self.agent.fd_count(), before)


class TwoDevices(AgentTest):
    devices = ("endpoint=1", "endpoint=2")

    def test_share_memory(self):
        """One VM: both announce the same memory, and either may go first."""
        first, second = self.client(index=0), self.client(index=1)
        ram = memfd(4 * MIB)
        for client in (first, second):
            client.dma_map(0, 2 * MIB, ram)
            client.dma_map(2 * MIB, 2 * MIB, ram, 2 * MIB)
        with self.assertRaises(vu.RemoteError):
            second.dma_map(MIB, MIB, ram)
        first.dma_unmap(0, 2 * MIB)
        first.close()
        second.dma_unmap(0, 4 * MIB)
        other = memfd(4 * MIB)
        second.dma_map(0, 4 * MIB, other)
        os.close(ram)
        os.close(other)

    def test_own_endpoints(self):
        for index, endpoint in ((0, 1), (1, 2)):
            client = self.client(index=index)
            config = client.read(vu.CONFIG, 0, 256)
            self.assertEqual(struct.unpack_from("<I", config, config[0x34] + 12)[0], endpoint)

    def test_slow_client_does_not_stall_the_other(self):
        slow, other = self.client(index=0), self.client(index=1)
        # Asks for far more than its socket takes, and reads none of it.
        for _ in range(64):
            slow.send(vu.REGION_READ, struct.pack("=QII", 0, vu.ROM, 256 * 1024))
        start = time.monotonic()
        for _ in range(20):
            other.read(vu.CONFIG, 0, 4)
        self.assertLess(time.monotonic() - start, 5)
        for _ in range(64):
            self.assertEqual(slow.receive().size, 32 + 256 * 1024)
        slow.get_info()

    def test_flood_does_not_stall_the_other(self):
        flooder, other = self.client(index=0), self.client(index=1)
        body = struct.pack("=QII", 8, vu.BAR1, 4) + b"abcd"
        batch = vu.HEADER.pack(1, vu.REGION_WRITE, 36, vu.NO_REPLY, 0) + body
        stop = threading.Event()

        def flood():
            while not stop.is_set():
                flooder.send_raw(batch * 100)

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            start = time.monotonic()
            for _ in range(50):
                other.read(vu.CONFIG, 0, 4)
            self.assertLess(time.monotonic() - start, 10)
        finally:
            stop.set()
            thread.join()
        self.assertEqual(flooder.read(vu.BAR1, 8, 4), b"abcd")


if __name__ == "__main__":
    unittest.main()
