# SPDX-License-Identifier: GPL-2.0-or-later
"""pvdma-sim's command line: a recording in, and what it says at the end."""

import subprocess
import tempfile
import unittest
from pathlib import Path

from lib.agent import ROOT

SIM = ROOT / "build/bin/pvdma-sim"
TRACE = ROOT / "tests/traces/nvme-random-4k-7.3.pvt"
LINE = ("x-1 [000] 1.{n:06}: dma_map_page: 0000:01:00.0 dir={dir} dma_addr={dma:x} size=4096 "
        "phys_addr={phys:x} attrs=\n")


@unittest.skipUnless(SIM.exists(), f"there is no simulator at {SIM}")
class Command(unittest.TestCase):
    def sim(self, *args, status=0, stdout=subprocess.PIPE):
        done = subprocess.run([str(SIM), *map(str, args)], stdout=stdout, stderr=subprocess.PIPE,
                              text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, status, done)
        return done

    def need(self):
        lines = self.sim("--need", TRACE).stdout.splitlines()
        return {line[:38].strip(" :"): float(line[38:].split()[0]) for line in lines[1:]}

    def test_need(self):
        """The quotas rise, and no more is asked for than what is touched and a driver's reserve."""
        need = self.need()
        touched, held, serves, enough, once = need.values()
        self.assertLess(held, serves)
        self.assertLessEqual(serves, enough)
        self.assertLess(serves, once)
        self.assertLess(once, touched + 2, need)

    def test_output_fails(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            self.assertIn("cannot write", self.sim("--dump", TRACE, stdout=full, status=1).stderr)

    def test_no_such_policy(self):
        self.assertIn("no policy of this name", self.sim("--bench", "--policy=best", TRACE, status=2).stderr)

    def test_translated(self):
        with tempfile.TemporaryDirectory() as folder:
            text = Path(folder, "dma.txt")
            text.write_text("".join(LINE.format(n=n, dir="TO_DEVICE", dma=0xfff00000 + n * 4096,
                                                phys=0x100000 + n * 4096) for n in range(20)),
                            encoding="utf-8")
            out = Path(folder, "out.pvt")
            self.assertIn("an IOMMU translates",
                          self.sim("--import", text, "--output", out).stderr)
            self.assertIn("20 map calls", self.sim("--info", out).stdout)


if __name__ == "__main__":
    unittest.main()
