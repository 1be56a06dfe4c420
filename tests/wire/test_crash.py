# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent is killed at every step, and its next process goes on.

One story (lib/story.py) is told again and again: by an agent that nobody kills, and by
one that is killed at one place of one pass, or twice.
"""

import os
import unittest

from lib import store
from lib.story import tell

# Passes of a label at which the agent is killed, as far as the story has so many.
PASSES = [int(n) for n in os.environ.get("PVDMA_CRASH_PASSES", "1,2,5").split(",")]
# Where a process is killed between accepting a connection and noting it, the peer
# is hung up on: the kernel knows no connection that is accepted and nobody's.
CONNECTING = ("keep", "kept")


# Killed here, a request is known to have been answered.
AFTER_ANSWER = ("published", "position")


class EveryStep(unittest.TestCase):
    """Kills at all labels. Each has a test of its own: see load_tests()."""

    reference = None
    maxDiff = None

    def __init__(self, label=None):
        super().__init__("run_label")
        self.label = label

    def __str__(self):
        return f"kill at {self.label}"

    def id(self):
        return f"test_crash.EveryStep.{self.label}"

    def run_label(self):
        if EveryStep.reference is None:
            EveryStep.reference = tell()[0]
        passed = 0
        for n in PASSES:
            told, kills, lost = tell([f"{self.label}:{n}"])
            if kills == 0:
                break
            passed += 1
            self.assertEqual(kills, 1)
            if lost:
                self.assertIn(self.label, CONNECTING)
            self.compare(told, f"{self.label}:{n}")
        self.assertGreater(passed, 0, f"the story does not pass {self.label}")

    def compare(self, told, where):
        for was, now in zip(EveryStep.reference, told):
            if self.label == "write-begun" and was[0] in ("interrupts", "bar1", "multi"):
                # It counts as done, and was not (region.c): one write is missing.
                self.assertEqual(was[0], now[0])
                continue
            if was[0] == "requests" and self.label not in AFTER_ANSWER:
                # One may have been served twice, where nobody could know.
                self.assertIn(now[1] - was[1], (0, 1))
                continue
            self.assertEqual(was, now, where)
        self.assertEqual(len(EveryStep.reference), len(told), where)


class TwoKills(unittest.TestCase):
    """Killed once more while it goes on."""

    def test_in_the_middle_of_going_on(self):
        reference = tell()[0]
        for first, second in (("unmap-called:2", "resume-unmapped"),
                              ("map-called:3", "resume-unmapped"),
                              ("victim-marked", "resume-ledger"), ("served:7", "resume-vm"),
                              ("vfu-executed:9", "resume-ledger"),
                              ("vhost-executed:12", "resume-vm"), ("region", "keep"),
                              ("vfu-answer:4", "vfu-answer"), ("popped:6", "popped"),
                              ("irqs-set", "irqs"), ("map-committed:4", "map-called")):
            with self.subTest(first=first, second=second):
                told, kills, _ = tell([first, second])
                self.assertEqual(kills, 2)
                self.assertEqual([t for t in reference if t[0] != "requests"],
                                 [t for t in told if t[0] != "requests"])


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    suite.addTests(loader.loadTestsFromTestCase(TwoKills))
    if os.path.exists(store.CRASH_BINARY):
        for label in store.labels():
            if not label.startswith("resume"):
                suite.addTest(EveryStep(label))
    return suite
