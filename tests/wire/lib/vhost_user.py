# SPDX-License-Identifier: GPL-2.0-or-later
"""A vhost-user front-end with guest memory in a memfd, and a pvdma driver.

    with Agent() as agent, Guest(agent) as guest:
        guest.start()
        assert guest.init() == OK

Three layers, each usable alone to do what a well-behaved peer never would:
FrontEnd speaks the vhost-user protocol, Queue builds split virtqueues by hand
in guest memory, Guest is a driver of the pvdma device as in protocol/SPEC.md.
Written against the protocols' texts alone.
"""

import array
import ctypes
import mmap
import os
import select
import socket
import struct
import time

# Requests of the front-end
GET_FEATURES, SET_FEATURES, SET_OWNER, RESET_OWNER, SET_MEM_TABLE = 1, 2, 3, 4, 5
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE = 8, 9, 10, 11
SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR = 12, 13, 14
GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM = 15, 16, 17
SET_VRING_ENABLE, SET_BACKEND_REQ_FD, GET_CONFIG, SET_CONFIG = 18, 21, 24, 25
RESET_DEVICE, GET_MAX_MEM_SLOTS, ADD_MEM_REG, REM_MEM_REG = 34, 36, 37, 38
# Requests of the backend
BACKEND_CONFIG_CHANGE = 2

VERSION, REPLY, NEED_REPLY = 1, 4, 8
NO_FD = 0x100

F_VERSION_1, F_PROTOCOL_FEATURES = 1 << 32, 1 << 30
F_INDIRECT, F_EVENT_IDX = 1 << 28, 1 << 29
PF_MQ, PF_REPLY_ACK, PF_BACKEND_REQ, PF_CONFIG = 1 << 0, 1 << 3, 1 << 5, 1 << 9
PF_RESET_DEVICE, PF_MEM_SLOTS = 1 << 13, 1 << 15

# pvdma: features, types, statuses, words
F_UNMAP, F_RELEASE, F_PREFETCH = 1 << 0, 1 << 1, 1 << 2
T_INIT, T_LEAF, T_ATTACH, T_DETACH, T_MAP, T_UNMAP, T_RELEASE, T_PREFETCH = range(1, 9)
(S_SINGLE_USE, S_SHARED, S_DEFERRED, S_ON_DEMAND, S_PERSISTENT,
 S_DIRECT_MAP) = range(6)  # from strict to lax
(OK, IOERR, UNSUPP, INVAL, RANGE, NOENT, STATE, QUOTA, LIMIT, BADMEM) = range(10)
PENDING = 0xFF
MAPPED, REFERENCED, COUNT = 0x80000000, 0x40000000, 0x0FFFFFFF
LEAF_WORDS = 1024
LEAF_BLOCKS = 1 << 63
BLOCK = 16  # granules
MAGIC = 0x4D445650

# Descriptor flags, ring flags
D_NEXT, D_WRITE, D_INDIRECT = 1, 2, 4
AVAIL_NO_INTERRUPT, USED_NO_NOTIFY = 1, 1

MIB = 1 << 20
TIMEOUT = 20


class Disconnected(Exception):
    """The agent ended the connection."""


class Refused(Exception):
    """The agent answered that it did not obey."""


class FrontEnd:
    """One connection to a vhost-user backend."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(TIMEOUT)

    def close(self):
        self.sock.close()

    def send_raw(self, data, fds=()):
        ancillary = []
        if fds:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        try:
            sent = self.sock.sendmsg([data], ancillary)
            if sent < len(data):
                self.sock.sendall(data[sent:])
        except (BrokenPipeError, ConnectionResetError) as e:
            raise Disconnected from e

    def send(self, request, body=b"", fds=(), flags=VERSION, size=None):
        size = len(body) if size is None else size
        self.send_raw(struct.pack("=III", request, flags, size) + body, fds)

    def _receive_exactly(self, count):
        data = b""
        while len(data) < count:
            try:
                part = self.sock.recv(count - len(data))
            except ConnectionResetError as e:
                raise Disconnected from e
            if not part:
                raise Disconnected
            data += part
        return data

    def receive(self, request=None):
        """(request, flags, body) of the next reply."""
        got, flags, size = struct.unpack("=III", self._receive_exactly(12))
        body = self._receive_exactly(size)
        assert flags & 3 == VERSION and flags & REPLY, f"flags of a reply: {flags:#x}"
        assert request is None or got == request, f"reply to {got} instead of {request}"
        return got, flags, body

    def ask(self, request, body=b""):
        """Sends a request that has an answer of its own; returns its body."""
        self.send(request, body)
        return self.receive(request)[2]

    def ask_u64(self, request):
        return struct.unpack("=Q", self.ask(request))[0]

    def do(self, request, body=b"", fds=(), size=None):
        """Sends a request and waits until it was obeyed, or raises Refused."""
        self.send(request, body, fds, VERSION | NEED_REPLY, size)
        status, = struct.unpack("=Q", self.receive(request)[2])
        if status != 0:
            raise Refused(request)

    def disconnected(self):
        """True if the agent ends the connection, rather than to answer."""
        try:
            self.receive()
        except Disconnected:
            return True
        return False

    def alive(self):
        """True if the connection still works."""
        return self.ask_u64(GET_FEATURES) & F_VERSION_1 != 0

    # --- what every front-end does ---

    def negotiate(self, features=(F_VERSION_1 | F_PROTOCOL_FEATURES | F_UNMAP | F_RELEASE |
                                  F_PREFETCH),
                  protocol=PF_MQ | PF_REPLY_ACK | PF_BACKEND_REQ | PF_CONFIG | PF_MEM_SLOTS):
        self.send(SET_PROTOCOL_FEATURES, struct.pack("=Q", protocol))
        self.do(SET_OWNER)
        self.do(SET_FEATURES, struct.pack("=Q", features))

    def get_config(self, offset=0, size=64):
        head = struct.pack("=III", offset, size, 0)
        body = self.ask(GET_CONFIG, head + bytes(size))
        assert body[:12] == head
        return body[12:]

    def set_mem_table(self, regions):
        """regions: (gpa, size, user, offset, fd)"""
        body = struct.pack("=II", len(regions), 0)
        for gpa, size, user, offset, _ in regions:
            body += struct.pack("=QQQQ", gpa, size, user, offset)
        self.do(SET_MEM_TABLE, body, [r[4] for r in regions])

    def add_mem_reg(self, gpa, size, user, offset, fd):
        self.do(ADD_MEM_REG, struct.pack("=QQQQQ", 0, gpa, size, user, offset), [fd])

    def rem_mem_reg(self, gpa, size, user, offset=0, fds=()):
        self.do(REM_MEM_REG, struct.pack("=QQQQQ", 0, gpa, size, user, offset), fds)

    def state(self, request, index, num):
        self.do(request, struct.pack("=II", index, num))

    def set_vring_addr(self, index, desc, avail, used, flags=0):
        self.do(SET_VRING_ADDR, struct.pack("=IIQQQQ", index, flags, desc, used, avail, 0))

    def vring_fd(self, request, index, fd=None):
        self.do(request, struct.pack("=Q", index | (NO_FD if fd is None else 0)),
                [] if fd is None else [fd])

    def get_vring_base(self, index):
        body = self.ask(GET_VRING_BASE, struct.pack("=II", index, 0))
        got, num = struct.unpack("=II", body)
        assert got == index
        return num


class Memory:
    """Guest memory: a memfd at guest-physical address gpa."""

    # Where "QEMU" would have it; only differences matter.
    USER = 0x7F0000000000

    def __init__(self, size=64 * MIB, gpa=0, offset=0, shared=True):
        self.size, self.gpa, self.offset = size, gpa, offset
        self.user = self.USER + gpa
        self.fd = os.memfd_create("guest", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, offset + size)
        # What "the guest" sees; not shared stands for QEMU's share=off.
        self.map = mmap.mmap(self.fd, size, mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE,
                             offset=offset)

    def close(self):
        self.map.close()
        os.close(self.fd)

    def region(self):
        return (self.gpa, self.size, self.user, self.offset, self.fd)

    def read(self, gpa, size):
        return self.map[gpa - self.gpa:gpa - self.gpa + size]

    def write(self, gpa, data):
        self.map[gpa - self.gpa:gpa - self.gpa + len(data)] = data

    def u16(self, gpa):
        return struct.unpack_from("<H", self.map, gpa - self.gpa)[0]

    def u32(self, gpa):
        return struct.unpack_from("<I", self.map, gpa - self.gpa)[0]

    def put_u16(self, gpa, value):
        # one store: the agent may look at any time
        ctypes.c_uint16.from_buffer(self.map, gpa - self.gpa).value = value & 0xFFFF

    def put_u32(self, gpa, value):
        ctypes.c_uint32.from_buffer(self.map, gpa - self.gpa).value = value


class Queue:
    """The driver's side of one split virtqueue, laid out from gpa on."""

    def __init__(self, front_end, memory, index, gpa, size=256):
        self.front_end, self.memory, self.index, self.size = front_end, memory, index, size
        self.desc = gpa
        self.avail = gpa + 16 * size
        self.used = (self.avail + 6 + 2 * size + 4095) & ~4095
        self.end = (self.used + 6 + 8 * size + 4095) & ~4095
        self.avail_idx = 0
        self.used_idx = 0
        self.next_desc = 0
        self.kick_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.call_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.err_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def close(self):
        for fd in (self.kick_fd, self.call_fd, self.err_fd):
            os.close(fd)
        self.kick_fd = self.call_fd = self.err_fd = -1

    def clear(self):
        """What a driver does before it starts a queue afresh."""
        self.memory.write(self.desc, bytes(self.end - self.desc))
        self.avail_idx = self.used_idx = self.next_desc = 0

    def _user(self, gpa):
        return gpa - self.memory.gpa + self.memory.user

    def set_up(self, base=0):
        fe = self.front_end
        fe.state(SET_VRING_NUM, self.index, self.size)
        fe.state(SET_VRING_BASE, self.index, base)
        fe.set_vring_addr(self.index, self._user(self.desc), self._user(self.avail),
                          self._user(self.used))

    def start(self, base=0, call=True):
        self.set_up(base)
        self.front_end.vring_fd(SET_VRING_CALL, self.index, self.call_fd if call else None)
        self.front_end.vring_fd(SET_VRING_ERR, self.index, self.err_fd)
        self.front_end.vring_fd(SET_VRING_KICK, self.index, self.kick_fd)
        self.front_end.state(SET_VRING_ENABLE, self.index, 1)

    def stop(self):
        """What QEMU does for a pause and for a reset; the position."""
        base = self.front_end.get_vring_base(self.index)
        self.front_end.state(SET_VRING_ENABLE, self.index, 0)
        return base

    # --- rings by hand ---

    def put_desc(self, i, addr, length, flags=0, following=0):
        self.memory.write(self.desc + 16 * i,
                          struct.pack("<QIHH", addr, length, flags, following))

    def put_avail(self, head):
        """Makes the chain at head available, without publishing it."""
        self.memory.put_u16(self.avail + 4 + 2 * (self.avail_idx % self.size), head)
        self.avail_idx = (self.avail_idx + 1) & 0xFFFF

    def publish(self, idx=None):
        self.memory.put_u16(self.avail + 2, self.avail_idx if idx is None else idx)

    def set_avail_flags(self, flags):
        self.memory.put_u16(self.avail, flags)

    def used_flags(self):
        return self.memory.u16(self.used)

    def kick(self):
        os.eventfd_write(self.kick_fd, 1)

    def add(self, readable, writable):
        """Adds a chain of (gpa, length) pairs; returns its head."""
        parts = [(a, n, 0) for a, n in readable] + [(a, n, D_WRITE) for a, n in writable]
        head = self.next_desc
        for k, (addr, length, flags) in enumerate(parts):
            last = k == len(parts) - 1
            i = (head + k) % self.size
            self.put_desc(i, addr, length, flags | (0 if last else D_NEXT), (i + 1) % self.size)
        self.next_desc = (head + len(parts)) % self.size
        self.put_avail(head)
        return head

    def pending(self):
        return self.memory.u16(self.used + 2) != self.used_idx

    def pop_used(self, timeout=TIMEOUT):
        """(head, length) of the next used buffer; polls, as the driver does."""
        deadline = time.monotonic() + timeout
        while not self.pending():
            if time.monotonic() > deadline:
                raise TimeoutError(f"queue {self.index}: no answer in {timeout} s")
            time.sleep(0.0005)
        slot = self.used + 4 + 8 * (self.used_idx % self.size)
        self.used_idx = (self.used_idx + 1) & 0xFFFF
        return self.memory.u32(slot), self.memory.u32(slot + 4)

    def called(self, timeout=TIMEOUT):
        """True if the agent signalled the call descriptor; clears it."""
        return _signalled(self.call_fd, timeout)

    def broken(self, timeout=TIMEOUT):
        """True if the agent signalled the error descriptor; clears it."""
        return _signalled(self.err_fd, timeout)


def _signalled(fd, timeout):
    if not select.select([fd], [], [], timeout)[0]:
        return False
    os.eventfd_read(fd)
    return True


class Answer:
    """The tail of a request."""

    def __init__(self, data, length):
        self.status, self.reserved, self.index, self.mapped = struct.unpack("<BBHI", data)
        self.length = length

    def __repr__(self):
        return (f"Answer(status={self.status}, index={self.index}, mapped={self.mapped}, "
                f"length={self.length})")


# What an agent is told whose granules a Guest counts by, and who maps nothing but
# what is asked for. Its defaults are others.
COARSE = ("--granule", "64K", "--ahead", "off")


class Guest:
    """A VM: memory, announced over both sockets, and a driver of pvdma.

    Guest memory from gpa 0: queues in the first MiB, requests in the second,
    leaves from the third on (leaf_page()).
    """

    REQUESTS = MIB
    LEAVES = 2 * MIB
    GRANULE = 65536     # of an agent with COARSE

    def __init__(self, agent, size=64 * MIB, queues=2, vfio=True, shared=True, queue_size=256):
        self.agent = agent
        self.memory = Memory(size, shared=shared)
        self.front_end = FrontEnd(agent.connect(agent.vhost_socket))
        self.vfio = None
        if vfio:
            self.vfio = agent.vfio_user()
            self.vfio.dma_map(0, size, self.memory.fd)
        self.queues, gpa = [], 0x1000
        for i in range(queues):
            queue = Queue(self.front_end, self.memory, i, gpa, queue_size)
            self.queues.append(queue)
            gpa = queue.end
        assert gpa <= self.REQUESTS
        self.channel = None
        self._request = self.REQUESTS
        self._nonce = 0x1122334455667788

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        """Hangs up; may be called again."""
        if self.memory is None:
            return
        self.front_end.close()
        if self.vfio:
            self.vfio.close()
        if self.channel:
            self.channel.close()
        for queue in self.queues:
            queue.close()
        self.memory.close()
        self.memory = None

    def connect(self, features=None):
        """Negotiates and hands the memory over."""
        if features is None:
            self.front_end.negotiate()
        else:
            self.front_end.negotiate(features)
        self.front_end.set_mem_table([self.memory.region()])

    def open_channel(self):
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.channel.settimeout(TIMEOUT)
        with theirs:
            self.front_end.do(SET_BACKEND_REQ_FD, b"", [theirs.fileno()])

    def start(self, features=None):
        self.connect(features)
        for queue in self.queues:
            queue.clear()
            queue.start()
        return self

    def stop(self):
        return [queue.stop() for queue in self.queues]

    # --- requests ---

    @staticmethod
    def head(kind, count, endpoint=0, flags=0):
        return struct.pack("<BBHI", kind, flags, count, endpoint)

    def place(self, data, tail=8):
        """Puts a request into guest memory: (its gpa, its tail's gpa)."""
        if self._request + len(data) + tail + 64 > self.LEAVES:
            self._request = self.REQUESTS
        gpa = self._request
        self._request += (len(data) + tail + 63) & ~63
        self.memory.write(gpa, data)
        tail_gpa = gpa + len(data)
        self.memory.write(tail_gpa, bytes([PENDING]) + bytes(max(tail, 8) - 1))
        return gpa, tail_gpa

    def submit(self, data, queue=0, tail=8):
        """Makes a request available, and no more; the gpa of its tail."""
        gpa, tail_gpa = self.place(data, tail)
        self.queues[queue].add([(gpa, len(data))], [(tail_gpa, tail)] if tail else [])
        return tail_gpa

    def send(self, data, queue=0, tail=8):
        """One request and its answer."""
        tail_gpa = self.submit(data, queue, tail)
        self.queues[queue].publish()
        self.queues[queue].kick()
        _, length = self.queues[queue].pop_used()
        return Answer(self.memory.read(tail_gpa, 8), length)

    def request(self, kind, items=(), endpoint=0, flags=0, count=None, queue=0):
        data = self.head(kind, len(items) if count is None else count, endpoint, flags)
        return self.send(data + b"".join(items), queue)

    def init_item(self, version=1, addr=0x800, nonce=None, reserved=bytes(6), write=True):
        if nonce is None:
            self._nonce = nonce = (self._nonce * 6364136223846793005 + 1) & (1 << 64) - 1 or 1
        if write:
            self.memory.write(addr, struct.pack("<Q", nonce))
        return struct.pack("<H6sQQ", version, reserved, addr, nonce)

    def init(self, **kwargs):
        return self.request(T_INIT, [self.init_item(**kwargs)]).status

    def leaf_page(self, index):
        return self.LEAVES + 4096 * index

    def leaf(self, *indices):
        items = [struct.pack("<QQ", i, self.leaf_page(i)) for i in indices]
        return self.request(T_LEAF, items)

    def attach(self, endpoint=1, mask=(1 << 64) - 1, strategy=S_ON_DEMAND, reserved=bytes(7)):
        return self.request(T_ATTACH, [struct.pack("<QB7s", mask, strategy, reserved)],
                            endpoint).status

    def detach(self, endpoint=1):
        return self.request(T_DETACH, [], endpoint).status

    @staticmethod
    def ranges(pairs):
        return [struct.pack("<QII", first, count, 0) for first, count in pairs]

    def map(self, *pairs, endpoint=1, queue=0):
        """pairs: (first granule, how many)"""
        return self.request(T_MAP, self.ranges(pairs), endpoint, queue=queue)

    def unmap(self, *pairs, endpoint=1):
        return self.request(T_UNMAP, self.ranges(pairs), endpoint)

    def release(self, *pairs, endpoint=1):
        return self.request(T_RELEASE, self.ranges(pairs), endpoint)

    def prefetch(self, *pairs, endpoint=1):
        return self.request(T_PREFETCH, self.ranges(pairs), endpoint)

    def ready(self):
        """Up to the point where MAP works."""
        self.start()
        status = self.init()
        assert status == OK, status
        answer = self.leaf(0)
        assert answer.status == OK, answer
        status = self.attach()
        assert status == OK, status
        return self

    # --- the tracking table ---

    def word_gpa(self, granule):
        return self.leaf_page(granule // LEAF_WORDS) + 4 * (granule % LEAF_WORDS)

    def word(self, granule):
        return self.memory.u32(self.word_gpa(granule))

    def put_word(self, granule, value):
        """Only while the agent does not touch the word: this is not atomic."""
        self.memory.put_u32(self.word_gpa(granule), value)

    def hold(self, granule, count=1):
        self.put_word(granule, self.word(granule) + count)

    def drop(self, granule, count=1):
        self.put_word(granule, self.word(granule) - count)
