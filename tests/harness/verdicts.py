# SPDX-License-Identifier: GPL-2.0-or-later
"""What a test printed and how it ended, turned into verdicts.

Three kinds of tests are understood, told apart by what they print:

  TAP      "1..N", "ok N - name", "not ok N - name", "ok N # SKIP reason"
           (cmocka with CMOCKA_MESSAGE_OUTPUT=TAP; pytap for unittest);
           cmocka's own "not ok N # SKIP name" is a skip
  verdicts "PASS name", "FAIL name: reason", "SKIP name: reason"
           (shell tests, and the bed)
  neither  one test: exit status 0 passes, 77 skips with the last line as
           the reason, anything else fails

A way to end that the verdicts do not account for is a failure of its own: a
signal, a status that says failure where no test did, a time-out, fewer tests
than the TAP plan announced, or no verdict where verdicts are required.
"""

import re
import signal
from dataclasses import dataclass, field

PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"
SKIP_STATUS = 77

_TAP_PLAN = re.compile(r"^1\.\.(\d+)(?:\s*#\s*skip\b\s*(.*))?\s*$", re.IGNORECASE)
_TAP_LINE = re.compile(r"^(not )?ok\b(?:\s+(\d+))?\s*(?:- )?(.*)$")
_TAP_SKIP = re.compile(r"^(.*?)\s*#\s*skip\b:?\s*(.*)$", re.IGNORECASE)
_VERDICT = re.compile(r"^(PASS|FAIL|SKIP) (\S[^:]*)(?:: ?(.*))?$")


@dataclass
class Verdict:
    outcome: str
    name: str
    reason: str = ""


@dataclass
class Parser:
    """Takes the lines of one test program as they come."""

    name: str
    require_verdicts: bool = False
    verdicts: list = field(default_factory=list)
    planned: int = 0
    tap_seen: int = 0
    plans: int = 0
    last_line: str = ""
    _lines: int = 0
    _said: list = field(default_factory=list)
    _unexplained: list = field(default_factory=list)

    def line(self, text):
        """Reads one line; returns the verdict that it held, or None."""
        text = text.rstrip()
        verdict = self._tap(text) or self._verdict(text)
        if verdict:
            self.verdicts.append(verdict)
        elif text.strip() and not text.startswith("#"):
            self._said.append((self._lines, text.strip()))
        if text.strip():
            self.last_line = text.strip()
        self._lines += 1
        return verdict

    def _tap(self, text):
        plan = _TAP_PLAN.match(text)
        if plan:
            self.plans += 1
            self.planned += int(plan.group(1))
            if int(plan.group(1)) == 0 and plan.group(2) is not None:
                return Verdict(SKIP, self.name, plan.group(2) or "no reason given")
            return None
        match = _TAP_LINE.match(text)
        if not match or match.group(2) is None:
            return None
        self.tap_seen += 1
        rest = match.group(3).strip()
        skip = _TAP_SKIP.match(rest)
        if skip:
            return self._skip(*skip.groups())
        return Verdict(FAIL if match.group(1) else PASS, rest or match.group(2))

    def _skip(self, name, reason):
        if name:
            return Verdict(SKIP, name, reason)
        # cmocka writes "not ok N # SKIP name"; the reason is what the test said.
        verdict = Verdict(SKIP, reason, "no reason given")
        self._unexplained.append((self._lines, verdict))
        return verdict

    def _explain_skips(self):
        """Gives skips without a reason the line that was printed next to them.

        Next to, not before: it may have come through the other stream.
        """
        for at, verdict in self._unexplained:
            if self._said:
                verdict.reason = min(self._said, key=lambda said: abs(said[0] - at))[1]

    @staticmethod
    def _verdict(text):
        match = _VERDICT.match(text)
        if not match:
            return None
        outcome, name, reason = match.groups()
        if outcome != PASS and not reason:
            reason = "no reason given"
        return Verdict(outcome, name.strip(), reason or "")

    def end(self, status, timed_out=None):
        """Judges the end: returns the verdicts that it adds.

        status is that of subprocess (negative: a signal), timed_out the
        seconds after which the program was killed, or None.
        """
        self._explain_skips()
        added = self._judge(status, timed_out)
        self.verdicts.extend(added)
        return added

    def _judge(self, status, timed_out):
        failed = any(v.outcome == FAIL for v in self.verdicts)
        if timed_out is not None:
            return [self._fail(f"timed out after {timed_out:g} s{self._progress()}")]
        if status < 0:
            return [self._fail(f"killed by {_signal_name(-status)}{self._progress()}")]
        if not self.verdicts:
            return [self._sole_verdict(status)]
        if self.tap_seen and not self.plans:
            return [self._fail(f"ended with status {status} before it printed its plan")]
        if self.plans and self.tap_seen < self.planned:
            return [self._fail(f"ended with status {status} after {self.tap_seen} "
                               f"of {self.planned} planned tests")]
        if status not in (0, SKIP_STATUS) and not failed:
            return [self._fail(f"ended with status {status} although no test failed")]
        if status == SKIP_STATUS and any(v.outcome == PASS for v in self.verdicts):
            return [self._fail("ended as skipped although tests passed")]
        return []

    def _sole_verdict(self, status):
        if status == SKIP_STATUS:
            return Verdict(SKIP, self.name, self.last_line or "no reason given")
        if status != 0:
            return self._fail(f"ended with status {status}")
        if self.require_verdicts or self.plans:
            return self._fail("ended without a single verdict")
        return Verdict(PASS, self.name)

    def _progress(self):
        return f" after {len(self.verdicts)} verdicts" if self.verdicts else ""

    def _fail(self, reason):
        return Verdict(FAIL, self.name, reason)


def _signal_name(number):
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def count(verdicts):
    """(passed, failed, skipped) of a list of verdicts."""
    outcomes = [v.outcome for v in verdicts]
    return outcomes.count(PASS), outcomes.count(FAIL), outcomes.count(SKIP)


def summary(passed, failed, skipped):
    return f"{passed} passed, {failed} failed, {skipped} skipped"
