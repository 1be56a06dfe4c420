#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A pvdma device that misbehaves on demand, and watches its driver closely.

A vhost-user backend for QEMU's vhost-user-test-device-pci. It maps nothing:
it plays the device's side of protocol/SPEC.md on the tracking table, checks
each statement about drivers that can be seen from this side, and can be told
to lie in its configuration space, to fail, to stay silent, to answer out of
order and to evict.

    fake_host.py --socket S [--control C] [--magic N] [--version N] ...
    fake_host.py --ask C COMMAND...

Commands come line by line over the stream socket C, and --ask sends one; each
is answered with one line of JSON:

    stats              counters, violations ("DRV-...: what"), attached
    silent on|off      hold all answers back / give them now
    fail STATUS|off    answer MAP with this status
    swap on|off        answer LEAF after the request behind it (NOENT first)
    evict on|off       evict whatever is idle after each request
    quota BYTES        change the quota and tell the guest
    excess BYTES MS    ask for bytes that are in use, within so many milliseconds
    endpoints N        change num_endpoints and tell the guest
    set NAME VALUE     change an option (--NAME) without telling anybody
    quit
"""
import argparse
import array
import json
import os
import selectors
import socket
import struct
import sys

from guest_memory import Memory, exchange_if, fetch_and, fetch_or, load, read, write

MAGIC = 0x4D445650
MAPPED, RESERVED, COUNT = 0x80000000, 0x30000000, 0x0FFFFFFF
BLOCKS, BLOCK = 1 << 63, 16  # leaves of blocks; a block's granules
T_INIT, T_LEAF, T_ATTACH, T_DETACH, T_MAP = 1, 2, 3, 4, 5
ITEM = {T_INIT: 24, T_LEAF: 16, T_ATTACH: 16, T_MAP: 16, 6: 16, 7: 16}
(R_OK, R_IOERR, R_UNSUPP, R_INVAL, R_RANGE, R_NOENT, R_STATE, R_QUOTA, R_LIMIT,
 R_BADMEM) = range(10)
R_PENDING = 0xFF
QUEUES = 8  # at most; how many there are is the VMM's business

F_INDIRECT, F_PROTOCOL, F_VERSION_1 = 1 << 28, 1 << 30, 1 << 32
P_MQ, P_REPLY_ACK, P_BACKEND_REQ, P_CONFIG, P_BACKEND_FD = (
    1 << 0, 1 << 3, 1 << 5, 1 << 9, 1 << 10)
NEED_REPLY = 0x8


class Device:
    """The device's side of the specification, and its view of the driver."""

    def __init__(self, args):
        self.args = args
        self.memory = Memory()
        self.quota = args.quota
        self.excess, self.deadline_ms = 0, 0
        self.news = [0, 0, 0]
        self.endpoints = args.endpoints
        self.violations = []
        self.counts = {}
        self.fail = None
        self.evicting = self.swapping = False
        self.mapped_peak = 0
        self.forget()

    def forget(self):
        self.ready = False
        self.leaves = {}
        self.attached = set()
        self.mapped = {}

    def violation(self, text):
        if len(self.violations) < 100:
            self.violations.append(text)

    def count(self, what, n=1):
        self.counts[what] = self.counts.get(what, 0) + n

    def config(self):
        a = self.args
        return struct.pack(
            "<IHBBHHIQIIIIQI12x", a.magic, a.version, a.granule_shift, a.strategy,
            a.queues, a.max_ranges, a.vm_tag, self.quota, *self.news, self.endpoints,
            self.excess, self.deadline_ms)

    def reset(self):
        """The driver is gone. Was it allowed to be?"""
        if self.ready and self.attached:
            self.violation(f"DRV-RESET-1: reset with {sorted(self.attached)} attached")
        self.count("resets")
        self.forget()

    def request(self, data):
        """Returns (status, index, mapped)."""
        if len(data) < 8:
            return R_INVAL, 0, 0
        kind, flags, count, endpoint = struct.unpack_from("<BBHI", data)
        self.count("requests")
        self.count(f"type_{kind}")
        if kind not in ITEM and kind != T_DETACH:
            return R_UNSUPP, 0, 0
        items = [data[8 + i * ITEM.get(kind, 0):][:ITEM.get(kind, 0)] for i in range(count)]
        if flags or len(data) != 8 + count * ITEM.get(kind, 0) or \
                (not count) != (kind == T_DETACH) or count > self.args.max_ranges:
            self.violation(f"malformed request of type {kind}: {data[:64].hex()}")
            return R_INVAL, 0, 0
        if kind == T_INIT:
            return self.init(items[0])
        if not self.ready:
            self.violation(f"DRV-INIT-1: type {kind} before INIT")
            return R_STATE, 0, 0
        if kind == T_LEAF:
            return self.leaf(items)
        if kind == T_ATTACH:
            if items[0][8] > self.args.strategy:
                self.violation(f"DRV-ATTACH-1: strategy {items[0][8]}")
            self.attached.add(endpoint)
            return R_OK, 0, 0
        if kind == T_DETACH:
            return self.detach(endpoint)
        return self.map(endpoint, items)

    def init(self, item):
        version, addr, nonce = struct.unpack("<H6xQQ", item)
        self.forget()
        if not 0 < version <= self.args.version:
            self.violation(f"DRV-INIT-1: version {version}")
            return R_UNSUPP, 0, 0
        at = self.memory.gpa(addr, 8)
        if at is None:
            return R_RANGE, 0, 0
        if not nonce or addr % 8:
            self.violation("DRV-INIT-1: nonce of 0, or not aligned")
            return R_INVAL, 0, 0
        if read(at, 8) != struct.pack("<Q", nonce):
            return R_BADMEM, 0, 0
        if self.args.init_status != R_OK:
            return self.args.init_status, 0, 0
        self.ready = True
        return R_OK, 0, 0

    def leaf(self, items):
        for i, item in enumerate(items):
            index, addr = struct.unpack("<QQ", item)
            at = self.memory.gpa(addr, 4096)
            if at is None or addr % 4096:
                return (R_RANGE if at is None else R_INVAL), i, 0
            if self.leaves.get(index, at) != at:
                return R_INVAL, i, 0
            if index not in self.leaves and any(
                    load(at + 4 * w) & MAPPED for w in range(1024)):
                self.violation(f"DRV-LEAF-1: leaf {index} comes with MAPPED words")
            self.leaves[index] = at
        return R_OK, 0, 0

    def word(self, granule):
        at = self.leaves.get(granule >> 10)
        return None if at is None else at + 4 * (granule & 1023)

    def block_word(self, granule):
        block = granule // BLOCK
        at = self.leaves.get(BLOCKS | block >> 10)
        return None if at is None else at + 4 * (block & 1023)

    def words(self, granule):
        """Those that can hold a granule."""
        both = (self.word(granule), self.block_word(granule))
        return [word for word in both if word is not None]

    def mark(self, granule):
        """The granule is mapped, and its block if all of it is."""
        word, block = self.word(granule), self.block_word(granule)
        if word is not None:
            fetch_or(word, MAPPED)
        first = granule // BLOCK * BLOCK
        if block is not None and all(g in self.mapped for g in range(first, first + BLOCK)):
            fetch_or(block, MAPPED)

    def detach(self, endpoint):
        if endpoint not in self.attached:
            return R_STATE, 0, 0
        self.attached.discard(endpoint)
        if not self.attached:
            for granule in list(self.mapped):
                for word in self.words(granule):
                    fetch_and(word, ~MAPPED)
            self.mapped.clear()
        return R_OK, 0, 0

    def map(self, endpoint, items):
        shift = self.args.granule_shift
        if endpoint not in self.attached:
            return R_STATE, 0, 0
        if self.fail is not None:
            return self.fail, 0, 0
        want = []
        for i, item in enumerate(items):
            first, count, flags = struct.unpack("<QII", item)
            if not count or flags:
                return R_INVAL, i, 0
            for granule in range(first, first + count):
                words = self.words(granule)
                if not words:
                    return R_NOENT, i, 0
                if self.memory.gpa(granule << shift, 1) is None:
                    return R_RANGE, i, 0
                values = [load(word) for word in words]
                if not any(value & COUNT for value in values):
                    if self.swapping and len(words) < 2:
                        return R_NOENT, i, 0  # held in the leaf that comes next
                    self.violation(f"DRV-MAP-1: granule {granule:#x} is not held")
                if any(value & RESERVED for value in values):
                    self.violation(f"DRV-TABLE-1: words {values}")
                if granule in want:
                    self.count("duplicates")
                want.append(granule)
        new = [g for g in dict.fromkeys(want) if g not in self.mapped]
        keep = set(want)
        while (len(self.mapped) + len(new)) << shift > self.quota:
            if not self.evict(keep):
                return R_QUOTA, 0, 0
        for granule in new:
            self.mapped[granule] = True
        for granule in want:
            self.mark(granule)
        self.count("mapped", len(new))
        self.mapped_peak = max(self.mapped_peak, len(self.mapped) << shift)
        if self.evicting:
            while self.evict(keep):
                pass
        return R_OK, 0, len(new)

    def evict(self, keep):
        """Oldest first; False if everything is held."""
        for granule in list(self.mapped):
            if granule in keep:
                continue
            if self.claim(granule):
                del self.mapped[granule]
                self.count("evictions")
                return True
        return False

    def claim(self, granule):
        """Takes MAPPED away from both words unless one is held (DEV-EVICT-1)."""
        for word in self.words(granule):
            old = load(word)
            if old & COUNT or (old & MAPPED and not exchange_if(word, old, old & ~MAPPED)):
                self.mark(granule)
                return False
        return True


class Queue:
    """A split virtqueue."""

    def __init__(self, device):
        self.device = device
        self.num = 0
        self.rings = None
        self.last = 0
        self.used = 0
        self.kick = None
        self.enabled = False
        self.held = []

    def pop(self):
        desc, avail, _ = self.rings
        idx, = struct.unpack("<H", read(avail + 2, 2))
        if idx == self.last:
            return None
        head, = struct.unpack("<H", read(avail + 4 + 2 * (self.last % self.num), 2))
        self.last = (self.last + 1) & 0xFFFF
        out, tail, i = b"", None, head
        for _ in range(self.num):
            addr, size, flags, nxt = struct.unpack("<QIHH", read(desc + 16 * i, 16))
            at = self.device.memory.gpa(addr, size)
            if flags & 4:
                self.device.violation("an indirect descriptor, though it is not negotiated")
            if at is None:
                self.device.violation(f"a descriptor outside memory: {addr:#x}")
            elif flags & 2:
                tail = (at, size)
            else:
                out += read(at, size)
            if not flags & 1:
                break
            i = nxt
        return head, out, tail

    def push(self, head, size):
        _, _, used = self.rings
        write(used + 4 + 8 * (self.used % self.num), struct.pack("<II", head, size))
        self.used = (self.used + 1) & 0xFFFF
        write(used + 2, struct.pack("<H", self.used))

    def answer(self, head, out, tail):
        status, index, mapped = self.device.request(out)
        if tail is None or tail[1] < 8:
            self.push(head, 0)
            return
        if read(tail[0], 1)[0] != R_PENDING:
            self.device.violation("DRV-REQ-1: status is not PENDING beforehand")
        write(tail[0], struct.pack("<BBHI", status, 0, index, mapped))
        self.push(head, 8)

    def run(self, silent, swap):
        if self.rings is None or not self.num:
            return
        while True:
            chain = self.pop()
            if chain is None:
                break
            self.held.append(chain)
        if silent:
            return
        if swap and len(self.held) > 1:
            self.held[0], self.held[1] = self.held[1], self.held[0]
        while self.held:
            self.answer(*self.held.pop(0))


class Backend:
    """The vhost-user socket, the kicks and the control socket."""

    def __init__(self, args):
        self.args = args
        self.device = Device(args)
        self.queues = [Queue(self.device) for _ in range(QUEUES)]
        self.silent = self.swap = False
        self.back = None
        self.conn = None
        self.running = True
        self.selector = selectors.DefaultSelector()
        self.features = 0
        self.listen(args.socket, self.accept_vmm)
        if args.control:
            self.listen(args.control, self.accept_control)

    def listen(self, path, callback):
        if os.path.exists(path):
            os.unlink(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(path)
        sock.listen(1)
        self.selector.register(sock, selectors.EVENT_READ, lambda: callback(sock))

    def accept_vmm(self, sock):
        self.conn, _ = sock.accept()
        self.selector.register(self.conn, selectors.EVENT_READ, self.message)

    def accept_control(self, sock):
        conn, _ = sock.accept()
        self.selector.register(conn, selectors.EVENT_READ, lambda: self.control(conn))

    def control(self, conn):
        data = conn.recv(4096)
        if not data:
            self.selector.unregister(conn)
            conn.close()
            return
        for line in data.decode().splitlines():
            conn.sendall((json.dumps(self.command(line.split())) + "\n").encode())

    def command(self, words):
        verb, value, extra = (words + ["", "", ""])[:3]
        device = self.device
        if verb == "silent":
            self.silent = value == "on"
            self.run_queues()
        elif verb == "fail":
            device.fail = None if value == "off" else int(value, 0)
        elif verb == "swap":
            self.swap = device.swapping = value == "on"
        elif verb == "evict":
            device.evicting = value == "on"
        elif verb == "quota":
            device.quota = int(value, 0)
            self.tell(0)
        elif verb == "excess":
            device.excess, device.deadline_ms = int(value, 0), int(extra, 0)
            self.tell(0)
        elif verb == "endpoints":
            device.endpoints = int(value, 0)
            self.tell(2)
        elif verb == "set" and hasattr(self.args, value.replace("-", "_")):
            setattr(self.args, value.replace("-", "_"), int(extra, 0))
        elif verb == "quit":
            self.running = False
        elif verb != "stats":
            return {"error": f"unknown command {verb}"}
        return {"ready": device.ready, "attached": sorted(device.attached),
                "leaves": len(device.leaves), "quota": device.quota,
                "mapped_bytes": len(device.mapped) << self.args.granule_shift,
                "mapped_peak": device.mapped_peak, "features": self.features,
                "violations": device.violations, **device.counts}

    def tell(self, which):
        self.device.news[which] += 1
        if self.back:
            self.back.sendall(struct.pack("<III", 2, 1, 0))

    def message(self):
        try:
            head, fds = self.receive(12)
        except (ConnectionError, OSError):
            head = b""
        if len(head) < 12:
            self.selector.unregister(self.conn)
            self.conn.close()
            self.stop_all()
            return
        kind, flags, size = struct.unpack("<III", head)
        body = b""
        while len(body) < size:
            body += self.conn.recv(size - len(body))
        reply = self.handle(kind, body, fds)
        if reply is None and flags & NEED_REPLY:
            reply = struct.pack("<Q", 0)
        if reply is not None:
            self.conn.sendall(struct.pack("<III", kind, 1 | 4, len(reply)) + reply)

    def receive(self, size):
        data, control, _, _ = self.conn.recvmsg(size, socket.CMSG_SPACE(16 * 4))
        fds = array.array("i")
        for level, kind, payload in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload[:len(payload) - len(payload) % 4])
        return data, list(fds)

    def handle(self, kind, body, fds):
        u64 = struct.unpack("<Q", body[:8])[0] if len(body) >= 8 else 0
        state = struct.unpack("<II", body[:8]) if len(body) >= 8 else (0, 0)
        replies = {
            1: lambda: struct.pack("<Q", F_VERSION_1 | F_PROTOCOL | F_INDIRECT),
            15: lambda: struct.pack(
                "<Q", P_MQ | P_REPLY_ACK | P_BACKEND_REQ | P_CONFIG | P_BACKEND_FD),
            17: lambda: struct.pack("<Q", len(self.queues)),
            11: lambda: self.queue_stop(state[0]),
            24: lambda: self.get_config(body),
            40: lambda: struct.pack("<Q", 0),
        }
        if kind in replies:
            return replies[kind]()
        if kind == 2:
            self.features = u64
        elif kind == 5:
            n, = struct.unpack_from("<I", body)
            self.device.memory.set(
                [struct.unpack_from("<QQQQ", body, 8 + 32 * i) for i in range(n)], fds)
        elif kind == 8:
            self.queues[state[0]].num = state[1]
        elif kind == 9:
            self.queue_rings(body)
        elif kind == 10:
            self.queues[state[0]].last = self.queues[state[0]].used = state[1]
        elif kind == 12:
            self.queue_kick(u64, fds)
        elif kind == 13 or kind == 14:
            for fd in fds:
                os.close(fd)
        elif kind == 21:
            self.back = socket.socket(fileno=fds[0])
        elif kind == 34:
            self.device.reset()
        return None

    def get_config(self, body):
        offset, size, flags = struct.unpack_from("<III", body)
        data = self.device.config()[offset:offset + size]
        return struct.pack("<III", offset, len(data), flags) + data

    def queue_rings(self, body):
        index, _, desc, used, avail, _ = struct.unpack_from("<IIQQQQ", body)
        queue, uva = self.queues[index], self.device.memory.uva
        queue.rings = (uva(desc, 16 * queue.num), uva(avail, 6 + 2 * queue.num),
                       uva(used, 6 + 8 * queue.num))

    def queue_kick(self, u64, fds):
        queue = self.queues[u64 & 0xFF]
        if queue.kick is not None:
            self.selector.unregister(queue.kick)
            os.close(queue.kick)
            queue.kick = None
        if fds:
            queue.kick = fds[0]
            self.selector.register(queue.kick, selectors.EVENT_READ,
                                   lambda: self.kicked(queue))

    def kicked(self, queue):
        os.read(queue.kick, 8)
        self.device.count("kicks")
        queue.run(self.silent, self.swap)

    def run_queues(self):
        for queue in self.queues:
            queue.run(self.silent, self.swap)

    def queue_stop(self, index):
        queue = self.queues[index]
        self.queue_kick(index, [])
        queue.rings = None
        queue.held = []
        if all(q.rings is None for q in self.queues):
            self.device.reset()
        return struct.pack("<II", index, queue.last)

    def stop_all(self):
        for index in range(len(self.queues)):
            self.queue_stop(index)

    def loop(self):
        while self.running:
            for key, _ in self.selector.select():
                key.data()


def number(text):
    return int(text, 0)


def ask(path, command):
    """Sends one command to a running one and prints the answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(path)
        sock.sendall(f"{command}\n".encode())
        answer = sock.makefile(encoding="utf-8").readline()
    print(answer, end="")
    return 1 if "error" in json.loads(answer) else 0


def main():
    parser = argparse.ArgumentParser(description="a pvdma device for tests")
    parser.add_argument("--socket")
    parser.add_argument("--control")
    parser.add_argument("--ask", nargs="+", metavar=("C", "COMMAND"))
    for name, value in (("magic", MAGIC), ("version", 1), ("granule-shift", 12),
                        ("strategy", 3), ("queues", 2), ("max-ranges", 128),
                        ("vm-tag", 0x1234), ("quota", 1 << 30), ("endpoints", 1),
                        ("init-status", R_OK)):
        parser.add_argument(f"--{name}", type=number, default=value)
    args = parser.parse_args()
    if args.ask:
        return ask(args.ask[0], " ".join(args.ask[1:]))
    if not args.socket:
        parser.error("--socket or --ask is needed")
    Backend(args).loop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
