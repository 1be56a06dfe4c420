# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of tests/bench/agent_report.py: what is counted is counted once, and nothing is made up."""

import os
import subprocess
import sys
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/bench"))
import agent_report as report  # noqa: E402

# serve() calls vm_request() twice; that has a line of an inlined header, and calls memset().
PROFILE = """# callgrind format
version: 1
events: Ir

ob=(1) /work/build/bench/agent
fl=(1) /work/host/agent/vhost/queue.c
fn=(1) serve
10 5
cfi=(2) /work/host/agent/request.c
cfn=(2) vm_request
calls=2 30
+2 48

fl=(2)
fn=(2)
30 20
fi=(3) ./host/agent/treap.h
7 8
fe=(2)
* 10
cob=(2) /usr/lib/x86_64-linux-gnu/libc.so.6
cfi=(4) ???
cfn=(3) memset
calls=2 0
+1 10

ob=(2)
fl=(4)
fn=(3)
0 10

totals: 53
"""
OPS = """op=miss turns=4 requests=8 ranges=16 granules=32 median_ns=1000 total_ns=9000
op=unmap turns=4 requests=4 ranges=4 granules=4 median_ns=500 total_ns=2000
"""


class Profiles(unittest.TestCase):
    def test_files(self):
        """Own instructions, by where a line comes from; calls are no instructions."""
        profile = report.Profile(PROFILE)
        self.assertEqual(profile.total, 53)
        self.assertEqual(dict(profile.files), {"host/agent/vhost/queue.c": 5, "host/agent/request.c": 30,
                                               "host/agent/treap.h": 8, "libc": 10})
        self.assertEqual(profile.engine(), 48)

    def test_split(self):
        split = report.Profile(PROFILE).split(0.16)
        self.assertEqual([name for name, _ in split], ["host/agent/request.c", "libc", "others"])
        self.assertAlmostEqual(dict(split)["others"], 13 / 53)
        self.assertAlmostEqual(sum(share for _, share in split), 1)

    def test_lines_missing(self):
        """What callgrind counted, but no line has, must not vanish from shares."""
        with self.assertRaisesRegex(ValueError, "counted 54 instructions, of which 53"):
            report.Profile(PROFILE.replace("totals: 53", "totals: 54"))

    def test_nothing(self):
        with self.assertRaisesRegex(ValueError, "counted nothing"):
            report.Profile("events: Ir\n\ntotals: 0\n")
        with self.assertRaisesRegex(ValueError, "counted nothing"):
            report.Profile(PROFILE.replace("totals: 53", ""))

    def test_no_engine(self):
        with self.assertRaisesRegex(ValueError, "was not called"):
            report.Profile(PROFILE.replace("vm_request", "other")).engine()


class Arithmetic(unittest.TestCase):
    def setUp(self):
        self.ops = report.lines_of(OPS, "op")

    def test_counted(self):
        got = report.counted(report.Profile(PROFILE), self.ops, "miss")
        self.assertEqual(got, {"request": 53 / 8, "engine_request": 6, "engine_granule": 1.5})
        with self.assertRaises(KeyError):
            report.counted(report.Profile(PROFILE), self.ops, "evict")

    def test_rate(self):
        """Two requests a turn, of a microsecond."""
        self.assertEqual(report.rate(self.ops, "miss"), (2e6, 8e6))
        self.assertEqual(report.rate(self.ops, "unmap"), (2e6, 2e6))

    def test_spread(self):
        self.assertEqual(report.spread([3, 1, 10]), {"median": 3, "least": 1, "most": 10, "n": 3})

    def test_memory(self):
        stage = "stage={} anonymous={} arena={} leaves={} extents={} mapped={}\n"
        half = report.GIB // 2
        text = (stage.format("started", 1000, 5000, 0, 0, 0) + stage.format("leaves", 1300, 5300, 7, 0, 0)
                + stage.format("mapped", 1400, 6200, 7, 50, half) + stage.format("evicted", 1400, 7000, 7, 50, half))
        got = report.per_gib(report.lines_of(text, "stage"), 3)
        self.assertEqual(got, {"guest": 200, "quota": 2000, "quota_evicted": 3600, "extents": 100})
        with self.assertRaisesRegex(ValueError, "nothing is mapped"):
            report.per_gib(report.lines_of(text.replace("extents=50", "extents=0"), "stage"), 3)

    def test_tables(self):
        """Each operation in its own column; a file without a share is empty, not zero."""
        settings = {"shift": 16, "ranges": 8, "granules": 1, "queues": 2}
        ops = {op: {"engine_granule": 1000 * i, "request": 20000 * i}
               for i, op in enumerate(("miss", "present", "unmap", "evict"), 1)}
        self.assertIn("| 64 KiB; 8 of 1, 2 queues | 1,000 (20,000) | 2,000 (40,000) | 3,000 (60,000) | 4,000 (80,000) |\n",
                      report.counts_table([settings | {"ops": ops}]))
        rates = {op: {"requests": report.spread([9e4 * i, 2e5 * i, 4e5 * i]), "granules": report.spread([8e5 * i])}
                 for i, op in enumerate(("miss", "present", "unmap", "evict"), 1)}
        self.assertIn("| 64 KiB; 8 of 1, 2 queues | 200 (90.0 to 400); 800 | 400 (180 to 800); 1,600 |",
                      report.rates_table([settings | {"ops": rates}]))
        self.assertIn("| `a.c` | 60.0% |  |\n| `b.c` |  | 50.0% |\n| others | 40.0% | 50.0% |\n",
                      report.split_table({"x": [("a.c", 0.6), ("others", 0.4)], "y": [("b.c", 0.5), ("others", 0.5)]}))


class Program(unittest.TestCase):
    def test_setting(self):
        """The program refuses what it does not know."""
        program = Path(os.environ.get("PVDMA_BUILD", TOP / "build")) / "bench/agent"
        for word, why in (("shft=12", "shft=12"), ("queues=5", "out of range"), ("shift=x", "shift=x"),
                          ("resident=9999999", "too small")):
            result = subprocess.run([program, "work", word], capture_output=True, text=True, check=False)
            self.assertEqual(result.returncode, 1, result)
            self.assertIn(why, result.stderr)


if __name__ == "__main__":
    unittest.main()
