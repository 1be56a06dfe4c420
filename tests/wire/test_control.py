# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket and its client, pvdma-agent --query."""

import json
import os
import socket
import stat
import subprocess
import time
import unittest

from lib.agent import Agent, BINARY
from lib import vhost_user as vu
from lib.vhost_user import Guest, MIB

VM_COUNTERS = {
    "requests", "map_requests", "map_granules", "map_present", "failed_requests", "failed_quota",
    "failed_limit", "evictions", "map_waited_evictions", "evicted_bytes", "evict_busy", "unmaps", "iommu_maps",
    "iommu_unmaps", "mapped_bytes", "mapped_peak", "extents", "entries",
    "entries_max", "leaves", "quota", "resets",
    "hints", "copies", "hinted_granules", "hints_dropped", "ahead_granules", "ahead_used", "revocations", "revoked_bytes", "over_quota_bytes"}


class Control(unittest.TestCase):
    def setUp(self):
        self.agent = self.enterContext(Agent(name="con.trol-1", quota="8M",
                                             devices=("", "endpoint=7")))
        self.wait_for(self.agent.control_socket)
        self.sock = self.connect()

    @staticmethod
    def wait_for(path):
        deadline = time.monotonic() + 10
        while not os.path.exists(path):
            if time.monotonic() > deadline:
                raise TimeoutError(path)
            time.sleep(0.005)

    def connect(self):
        sock = self.agent.connect(self.agent.control_socket)
        self.addCleanup(sock.close)
        return sock

    def line(self, sock=None):
        sock = sock or self.sock
        data = b""
        while not data.endswith(b"\n"):
            part = sock.recv(1)
            if not part:
                raise ConnectionError("the agent ended the connection")
            data += part
        return json.loads(data)

    def ask(self, command, sock=None):
        (sock or self.sock).sendall(command.encode() + b"\n")
        return self.line(sock)

    def query(self, *words):
        done = subprocess.run([str(BINARY), "--query", self.agent.control_socket, *words],
                              capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    # --- commands ---

    def test_ping(self):
        answer = self.ask("ping")
        self.assertEqual(answer["name"], "con.trol-1")
        self.assertEqual(answer["pid"], self.agent.process.pid)

    def test_help_lists_all(self):
        self.assertEqual(set(self.ask("help")["commands"]),
                         {"ping", "stats", "quota", "curve", "strategy", "trace", "device-add",
                          "device-remove", "config", "help"})

    def test_stats(self):
        stats = self.ask("stats")
        self.assertEqual(set(stats["vm"]), VM_COUNTERS)
        self.assertEqual(stats["vm"]["quota"], 8 * MIB)
        self.assertEqual([d["endpoint"] for d in stats["devices"]], [1, 7])
        self.assertEqual(stats["vhost"]["connections"], 0)
        self.assertEqual(stats["process"]["locked"], 0)
        with Guest(self.agent) as guest:
            guest.start()
            guest.send(guest.head(vu.T_DETACH, 0, 1))
            stats = self.ask("stats")
            self.assertEqual(stats["vhost"]["connections"], 1)
            self.assertEqual(stats["vhost"]["requests"], 1)
            self.assertGreaterEqual(stats["vhost"]["kicks"], 1)
            self.assertEqual(stats["devices"][0]["vfio_user"]["connections"], 1)
            self.assertEqual(stats["devices"][0]["vfio_user"]["dma_maps"], 1)

    def test_config(self):
        config = self.ask("config")
        self.assertEqual((config["granule"], config["ahead"]), (4096, "on"))
        self.assertEqual(config["strategy"], "on-demand")
        self.assertEqual((config["enforce"], config["enforce_deadline_ms"]), ("wait", 500))
        self.assertEqual(config["devices"][1]["endpoint"], 7)
        self.assertEqual(config["devices"][0]["socket"], self.agent.vfio_sockets[0])

    def test_quota(self):
        self.assertEqual(self.ask("quota"),
                         {"quota": 8 * MIB, "mapped_bytes": 0, "over_quota_bytes": 0})
        self.assertEqual(self.ask("quota 4M")["quota"], 4 * MIB)
        self.assertEqual(self.ask("quota")["quota"], 4 * MIB)
        self.assertEqual(self.ask("quota 0")["quota"], 0)
        for bad in ("4X", "-1", "4M 5M", "99999999999999999999", "4M 5", "4M 5ms 6ms", "5ms",
                    "4M -1s", "4M 61min", "4M 99999999999999999999s", "4" * 40):
            self.assertIn("256M", self.ask(f"quota {bad}")["error"])
        self.assertEqual(self.ask("quota")["quota"], 0)
        self.assertEqual(self.ask("quota 4M \t 20ms")["quota"], 4 * MIB)
        self.assertEqual(self.ask("quota 5M 0")["quota"], 5 * MIB)

    def test_errors(self):
        for bad in ("", "unknown", "STATS", "stats now", "ping 1", "config x", "\x01\x02"):
            self.assertIn("error", self.ask(bad), bad)
        self.assertEqual(self.ask("  stats".strip())["vm"]["quota"], 8 * MIB)
        self.assertIn("vm", self.ask("stats \t\r"))

    # --- the client ---

    def test_query(self):
        status, out, err = self.query("quota", "2M")
        self.assertEqual((status, json.loads(out)["quota"], err), (0, 2 * MIB, ""))
        status, out, _ = self.query("nonsense")
        self.assertEqual(status, 1)
        self.assertIn("error", json.loads(out))

    def test_query_without_an_agent(self):
        done = subprocess.run([str(BINARY), "--query", "/nonexistent/socket", "ping"],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent/socket", done.stderr)

    # --- transport ---

    def test_mode(self):
        mode = os.stat(self.agent.control_socket).st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o600)

    def test_commands_in_a_row(self):
        self.sock.sendall(b"ping\n" * 500)
        for _ in range(500):
            self.assertIn("pid", self.line())

    def test_commands_in_pieces(self):
        for byte in b"ping\nping\n":
            self.sock.sendall(bytes([byte]))
            time.sleep(0.002)
        self.assertIn("pid", self.line())
        self.assertIn("pid", self.line())

    def test_last_line_without_newline(self):
        self.sock.sendall(b"ping")
        self.sock.shutdown(socket.SHUT_WR)
        self.assertIn("pid", self.line())
        self.assertEqual(self.sock.recv(1), b"")

    def test_long_line(self):
        self.sock.sendall(b"x" * 100000 + b"\n")
        self.assertEqual(self.line(), {"error": "line too long"})
        self.assertIn("pid", self.ask("ping"))

    def test_binary(self):
        self.sock.sendall(bytes(range(256)) * 4 + b"\n")
        for _ in range(5):
            self.assertIn("error", self.line())
        self.assertIn("pid", self.ask("ping"))

    def test_many_clients(self):
        self.ask("ping")
        before = self.agent.fd_count()
        clients = [self.connect() for _ in range(20)]
        answers = [self.line(sock) if i >= 7 else self.ask("ping", sock)
                   for i, sock in enumerate(clients)]
        self.assertEqual([("error" in a) for a in answers], [False] * 7 + [True] * 13)
        for sock in clients:
            sock.close()
        deadline = time.monotonic() + 10
        while self.agent.fd_count() > before:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        self.assertIn("pid", self.ask("ping", self.connect()))

    def test_client_that_does_not_read(self):
        """Costs one answer, no time, and disturbs nobody."""
        self.sock.setblocking(False)
        blocked = 0
        deadline = time.monotonic() + 20
        while blocked < 20 and time.monotonic() < deadline:
            try:
                self.sock.send(b"stats\n" * 100)
                blocked = 0
            except BlockingIOError:
                blocked += 1
                time.sleep(0.01)
        self.assertEqual(blocked, 20, "the agent swallows without end")
        other = self.connect()
        self.assertIn("pid", self.ask("ping", other))
        cpu = self.agent.cpu_seconds()
        time.sleep(0.5)
        self.assertLess(self.agent.cpu_seconds() - cpu, 0.1)

    def test_flood(self):
        """Both sockets at once, without an end: the agent answers others."""
        flooder = self.connect()
        front_end = vu.FrontEnd(self.agent.connect(self.agent.vhost_socket))
        self.addCleanup(front_end.close)
        flooder.setblocking(False)
        front_end.sock.setblocking(False)
        deadline = time.monotonic() + 2
        worst = 0
        turns = 0
        while time.monotonic() < deadline:
            for sock, data in ((flooder, b"bogus\n" * 1000),
                               (front_end.sock, b"\1\0\0\0\1\0\0\0\0\0\0\0" * 500)):
                try:
                    sock.send(data)
                except BlockingIOError:
                    pass
                try:
                    sock.recv(1 << 20)
                except BlockingIOError:
                    pass
            turns += 1
            if turns % 100 == 0:
                start = time.monotonic()
                self.assertIn("pid", self.ask("ping"))
                worst = max(worst, time.monotonic() - start)
        self.assertLess(worst, 2)


if __name__ == "__main__":
    unittest.main()
