# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of tests/bench/quota_report.py: a run must never look better than it was."""

import contextlib
import io
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
SCRIPT = TOP / "tests/bench/quota_report.py"

MIB = 1 << 20
GUEST = """maps {n}00
sg_maps 0
mapped_bytes {n}000000
hits {n}90
misses {n}0
bounces {n}
bounced_bytes {n}0000
failures 0
map_requests {n}0
failed_requests 0
waits {n}
wait_ns {n}000000
timeouts 0
bounce_pool_bytes 65536
"""
AGENT = {name: 0 for name in (
    "evictions", "evicted_bytes", "map_waited_evictions", "hints", "hints_dropped",
    "ahead_granules", "ahead_used", "failed_quota", "failed_limit")}
QUOTAS = {"direct": 512, "all": 512, "in-use": 512, "quota-100": 100, "quota-50": 50,
          "quota-25": 25, "quota-10": 10, "direct-again": 512}
PEAKS = {"all": 100, "in-use": 3}
ROUND = """disk_bytes=4194304
disk_seconds={seconds}
disk_verified=true
random_bytes=4194304
random_seconds={seconds}
random_verified=true
files_bytes=4194304
files_seconds={seconds}
files_verified=true
net_get_bytes=4194304
net_get_seconds={seconds}
net_get_verified=true
net_put_bytes=4194304
net_put_seconds={seconds}
net_put_verified=true
"""


class QuotaReport(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.folder = Path(self._folder.name)
        for name, quota in QUOTAS.items():
            self.write_run(name, quota, PEAKS.get(name, quota))

    def write(self, name, text):
        (self.folder / name).write_text(text, encoding="utf-8")

    def replace(self, name, old, new):
        text = (self.folder / name).read_text(encoding="utf-8")
        self.assertIn(old, text)
        self.write(name, text.replace(old, new, 1))

    def write_run(self, name, quota, peak):
        self.write(f"{name}.run", f"quota={quota * MIB}\nrounds=3\ndma_faults=0\npin_samples=7\n"
                   f"pinned_peak_bytes={peak * MIB}\n")
        self.write(f"{name}.work", "".join(ROUND.format(seconds=s) for s in (1, 2, 40)))
        for n, when in ((1, "before"), (3, "after")):
            self.write(f"{name}.guest.{when}", GUEST.format(n=n))
            self.write(f"{name}.agent.{when}", json.dumps(
                {"vm": AGENT | {"mapped_peak": peak * MIB, "evictions": n}}))

    def run_script(self):
        """Status and output; figures and table, None where there is no such file."""
        result = subprocess.run([sys.executable, SCRIPT, self.folder, self.folder / "q.json",
                                 self.folder / "q.md"], capture_output=True, text=True, check=False)
        markdown = self.folder / "q.md"
        self.figures = json.loads((self.folder / "q.json").read_text(encoding="utf-8"))
        self.table = markdown.read_text(encoding="utf-8") if markdown.exists() else None
        return result

    def assert_fails(self, *words):
        result = self.run_script()
        self.assertEqual(result.returncode, 1, result)
        self.assertIsNone(self.table)
        for word in words:
            self.assertIn(word, result.stderr)

    def line(self, title):
        lines = [line for line in self.table.splitlines() if line.startswith(f"| {title} |")]
        self.assertEqual(len(lines), 1, title)
        return [cell.strip() for cell in lines[0].strip("|").split("|")][1:]

    def column(self, name):
        return [run["name"] for run in self.figures["runs"]].index(name)

    def test_good(self):
        self.write("quota-25.work", "".join(ROUND.format(seconds=s) for s in (2, 4, 8)))
        result = self.run_script()
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        quarter = self.column("quota-25")
        self.assertEqual(self.line("quota")[quarter], "25.0 MiB")
        # what counts is the work's share, not what was before it
        self.assertEqual(self.line("map calls")[quarter], "200")
        self.assertEqual(self.line("evictions")[quarter], "2")
        self.assertEqual(self.line("a wait, mean")[quarter], "1.0 ms")
        # of medians: one slow round says nothing
        self.assertEqual(self.line("TCP sent, of direct-map's speed")[quarter], "0.50")
        self.assertEqual(set(self.line("**all data verified**")), {"yes"})
        self.assertIn("Working set 100.0 MiB, in use at once at most 3.1 MiB", self.table)
        self.assertEqual(len(self.figures["runs"]), len(QUOTAS))

    def test_wrong_data(self):
        self.replace("quota-25.work", "random_verified=true", "random_verified=false\nerror=block 7 is wrong")
        self.assert_fails("25%: random 4 KiB, direct: not verified", "block 7 is wrong")

    def test_missing_round(self):
        self.write("quota-50.work", "".join(ROUND.format(seconds=s) for s in (1, 2)))
        self.assert_fails("50%: TCP sent: not verified")

    def test_failed_mapping(self):
        self.replace("quota-25.guest.after", "failures 0", "failures 2")
        self.assert_fails("25%: 2 mappings failed")

    def test_blocked_dma(self):
        self.replace("quota-100.run", "dma_faults=0", "dma_faults=1")
        self.assert_fails("100%: 1 DMA faults")

    def test_quota_passed(self):
        self.replace("quota-25.run", f"pinned_peak_bytes={25 * MIB}", f"pinned_peak_bytes={25 * MIB + 1}")
        self.assert_fails("25%: pinned_peak is 26214401, the quota 26214400")

    def test_nothing_pinned(self):
        self.replace("quota-25.run", f"pinned_peak_bytes={25 * MIB}", "pinned_peak_bytes=0")
        self.assert_fails("25%: pinned_peak is 0")

    def test_missing_run(self):
        (self.folder / "quota-25.work").unlink()
        self.assert_fails("25%: not measured")
        self.assertFalse(self.figures["complete"])

    def test_missing_counter(self):
        self.replace("all.guest.after", "bounces", "bounced")
        self.assert_fails("all granted: not measured: KeyError 'bounces'")

    def test_missing_reference(self):
        (self.folder / "direct.run").unlink()
        self.assert_fails("direct-map: not measured")

    def test_too_small(self):
        """Below what is in use at once a quota may fail mappings; then it does not count."""
        self.replace("quota-10.guest.after", "failures 0", "failures 2")
        self.assert_fails("10%: 2 mappings failed")
        self.write_run("in-use", 512, 11)
        result = self.run_script()
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertNotIn("10%", self.table.splitlines()[0])
        self.assertNotIn("quota-10", [run["name"] for run in self.figures["runs"]])


class DocFigures(unittest.TestCase):
    def setUp(self):
        sys.path.insert(0, str(TOP / "scripts"))
        self.addCleanup(sys.path.remove, str(TOP / "scripts"))
        import doc_figures
        self.replaced, self.program = doc_figures.replaced, doc_figures.program

    def test_between_markers(self):
        self.assertEqual(self.replaced("a\n<!-- b -->\nold\n<!-- e -->\nz\n", "b", "e", "new\n"),
                         "a\n<!-- b -->\nnew\n<!-- e -->\nz\n")

    def test_no_markers(self):
        self.assertIsNone(self.replaced("a\n<!-- b -->\nold\n", "b", "e", "new\n"))
        self.assertIsNone(self.replaced("old\n<!-- e -->\n", "b", "e", "new\n"))

    def run_program(self, folder, *argv):
        """Status and what the document is then."""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as err:
            status = self.program(list(argv), "usage", folder / "doc", "b", "e", folder / "figures", "make it")
        self.said = err.getvalue()
        return status, (folder / "doc").read_text(encoding="utf-8")

    def test_program(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            old, new = ("<!-- b -->\n" + text + "\n<!-- e -->\n" for text in ("old", "new"))
            (folder / "doc").write_text(old, encoding="utf-8")
            self.assertEqual(self.run_program(folder), (2, old))
            self.assertIn("figures is missing: make it", self.said)
            (folder / "figures").write_text("new\n", encoding="utf-8")
            self.assertEqual(self.run_program(folder, "--wrong"), (2, old))
            self.assertIn("usage", self.said)
            self.assertEqual(self.run_program(folder, "--check"), (1, old))
            self.assertEqual(self.run_program(folder), (0, new))
            self.assertEqual(self.run_program(folder, "--check"), (0, new))


if __name__ == "__main__":
    unittest.main()
