# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of tests/bed/lib/await.sh: which guests the emulation is said to have lost."""

import json
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
SAMPLE = """\

CPU#{cpu}
RAX=0000000000000001 RBX=ffff88800dc36040 RCX={rcx:016x} RDX=0000000000000000
R12=0000000000000000 R13=0000000000000000 R14=0000000000000000 R15=0000000000000000
RIP={rip:016x} RFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT={halted}
ES =0000 0000000000000000 00000000 00000000
CS =0010 0000000000000000 ffffffff 00a09b00 DPL=0 CS64 [-RA]
XMM00={rcx:032x}
"""
# What guest_stuck asks; each call takes the next sample, and the next count of exits.
GUEST = """\
set -u
. "$TOP/tests/bed/lib/await.sh"
sleep() { :; }
guest_dir() { echo "$DIR"; }
next() { local n; n=$(cat "$DIR/$1.n" 2> /dev/null || echo 0); echo $((n + 1)) > "$DIR/$1.n"
	cat "$DIR/$1.$n"; }
guest_qmp() { next sample; }
kvm_exits() { next exits; }
guest_stuck g 'waiting for it'
"""


def sample(rip=0xffffffff81d1e880, rcx=0, halted=0, cpu=0):
    return SAMPLE.format(rip=rip, rcx=rcx, halted=halted, cpu=cpu)


class Stuck(unittest.TestCase):
    def stuck(self, samples, exits=(1000, 2000), serial=""):
        """What is said of a guest; a sample that is None is one that QEMU does not give."""
        with tempfile.TemporaryDirectory() as folder:
            for i, text in enumerate(samples):
                answer = "not JSON" if text is None else json.dumps(text.replace("\n", "\r\n"))
                (Path(folder) / f"sample.{i}").write_text(answer)
            for i, count in enumerate(exits):
                (Path(folder) / f"exits.{i}").write_text(f"{count}\n")
            (Path(folder) / "serial.log").write_text(serial)
            return subprocess.run(
                ["bash", "-c", GUEST], env={"TOP": str(TOP), "DIR": folder, "PATH": "/usr/bin:/bin"},
                check=True, capture_output=True, text=True, timeout=60).stdout

    def test_stays(self):
        said = self.stuck([sample()] * 6)
        self.assertIn("bed: guest g was lost while waiting for it: CPU 0 stays at "
                      "ffffffff81d1e880 through 1000 exits", said)

    def test_one_of_two_stays(self):
        said = self.stuck([sample(cpu=0, halted=1) + sample(rip=0xffffffff81000000, cpu=1)] * 6)
        self.assertIn("was lost", said)
        self.assertIn("CPU 0 halts at ffffffff81d1e880, CPU 1 stays at ffffffff81000000", said)

    def test_fpu_is_ignored(self):
        texts = [sample().replace("XMM00=0", f"XMM00={i}") for i in range(6)]
        self.assertIn("was lost", self.stuck(texts))

    def test_runs(self):
        for name, texts in {"rip": [sample(rip=0x1000 + i) for i in range(6)],
                            "a register": [sample(rcx=i) for i in range(6)],
                            "the last": [sample()] * 5 + [sample(rcx=1)]}.items():
            with self.subTest(name):
                said = self.stuck(texts)
                self.assertNotIn("was lost", said)
                self.assertIn("CPU 0 runs at", said)

    def test_halts(self):
        said = self.stuck([sample(halted=1)] * 6)
        self.assertNotIn("was lost", said)
        self.assertIn("CPU 0 halts at", said)

    def test_waits_for_a_server(self):
        # nobody answers its access: that is no fault of the emulation's
        self.assertNotIn("was lost", self.stuck([sample()] * 6, exits=(1000, 1003)))

    def test_complains(self):
        for words in ("watchdog: BUG: soft lockup - CPU#0", "Kernel panic - not syncing",
                      "INFO: task x blocked for more than 120 seconds."):
            with self.subTest(words):
                self.assertNotIn("was lost", self.stuck([sample()] * 6, serial=words + "\n"))

    def test_no_samples(self):
        said = self.stuck([None])
        self.assertNotIn("was lost", said)
        self.assertIn("bed: guest g: no end of: waiting for it", said)
        self.assertNotIn("was lost", self.stuck([sample()] * 3 + [None]))

    def test_no_counter(self):
        self.assertNotIn("was lost", self.stuck([sample()] * 6, exits=()))


if __name__ == "__main__":
    unittest.main()
