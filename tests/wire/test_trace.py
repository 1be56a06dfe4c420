# SPDX-License-Identifier: GPL-2.0-or-later
"""The command "trace" of the control socket: the ways of single requests.

And the probes that the agent has for bpftrace and others.
"""

import re
import subprocess
import unittest
from pathlib import Path

from lib import vhost_user as vu
from lib.agent import BINARY
from lib.vhost_case import Case

STAGES = ["popped", "decoded", "room", "mapped", "words", "answered"]
SDT = (Path("/usr/include/sys/sdt.h"), Path("/usr/include/x86_64-linux-gnu/sys/sdt.h"))


class Trace(Case):
    QUOTA = "1M"

    def test_stages(self):
        self.guest.ready()
        self.assertEqual(self.guest.map((100, 1)).status, vu.OK)
        first = self.query("trace")
        self.assertEqual((first["recording"], first["recorded"], first["requests"]),
                         (True, 0, []))
        self.assertEqual(self.guest.map((200, 3)).status, vu.OK)
        self.assertEqual(self.guest.map((200, 3)).status, vu.OK)
        self.assertEqual(self.guest.map((0, 257)).status, vu.QUOTA)
        self.assertEqual(self.raw(b"\1").status, vu.INVAL)
        answer = self.query("trace")
        self.assertEqual(answer["recorded"], 4)
        mapped, present, refused, malformed = answer["requests"]
        self.assertEqual(list(mapped["stages"]), STAGES)
        times = list(mapped["stages"].values())
        self.assertEqual(times, sorted(times))
        self.assertEqual(times[0], 0)
        self.assertEqual((mapped["type"], mapped["status"], mapped["bytes"], mapped["pieces"]),
                         ("map", "ok", 3 * self.guest.GRANULE, 1))
        self.assertEqual((present["bytes"], present["pieces"]), (0, 0))
        self.assertEqual((refused["type"], refused["status"]), ("map", "quota"))
        self.assertNotIn("words", refused["stages"])
        self.assertEqual((malformed["type"], malformed["status"]), ("malformed", "inval"))
        self.assertEqual([q["number"] for q in self.query("trace", "2")["requests"]], [3, 4])

    def test_many(self):
        """Memory is bounded, whatever the guest does."""
        self.guest.ready()
        self.query("trace", "1")
        for i in range(80):
            self.assertEqual(self.guest.map((100 + i, 1)).status, vu.OK)
        answer = self.query("trace", "64")
        self.assertEqual(answer["recorded"], 80)
        self.assertEqual([q["number"] for q in answer["requests"]], list(range(17, 81)))

    def test_arguments(self):
        for word in ("0", "65", "x", "1 2"):
            done = subprocess.run([str(BINARY), "--query", self.agent.control_socket, "trace",
                                   word], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 1, word)
            self.assertIn("1 to 64", done.stdout)


class Probes(unittest.TestCase):
    PROBES = {"request_begin": 3, "request_end": 4, "map": 3, "unmap": 3, "evict": 3, "quota": 2}

    def test_notes(self):
        """Each probe is there, with its arguments, and described."""
        if not any(path.exists() for path in SDT):
            self.skipTest("sys/sdt.h is not installed (systemtap-sdt-dev): no probes were built")
        if not BINARY.exists():
            self.skipTest(f"there is no agent at {BINARY}")
        text = subprocess.run(["readelf", "-nW", str(BINARY)], capture_output=True, text=True,
                              timeout=60, check=True).stdout
        found = dict(re.findall(r"Provider: pvdma\n\s+Name: (\w+)\n.*\n\s+Arguments: (.*)", text))
        self.assertEqual({name: len(args.split()) for name, args in found.items()}, self.PROBES)
        docs = (Path(__file__).resolve().parents[2] / "docs/operations.md").read_text()
        for name in self.PROBES:
            self.assertIn(f"`{name}`", docs)


if __name__ == "__main__":
    unittest.main()
