# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of tests/harness/coverage: what has not run must not look as if it had."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
SCRIPT = TOP / "tests/harness/coverage"
PARSE, SETTINGS = "host/lib/parse.c", "host/lib/settings.c"


def lcov(name, *counts):
    """A file of which line N has run counts[N - 1] times."""
    return "".join([f"SF:{TOP / name}\nFN:1,f\n", *(f"DA:{n},{count}\n" for n, count in
                                                     enumerate(counts, 1)), "end_of_record\n"])


class Coverage(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.write("build/asan/bin/agent", "#!/bin/true\n").chmod(0o755)
        self.write("build/profiles/1.profraw", "")
        self.parsers = self.write("parsers.txt", f"# what reads\n\n{PARSE}  # numbers\n")
        self.tool("profdata", "true")

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def tool(self, name, command):
        self.write(name, f"#!/bin/sh\n{command}\n").chmod(0o755)

    def run_on(self, text):
        self.write("lcov", text)
        self.tool("cov", f"cat {self.folder}/lcov")
        return self.run_script()

    def run_script(self):
        tools = {"PROFDATA": str(self.folder / "profdata"), "COV": str(self.folder / "cov")}
        return subprocess.run([SCRIPT, "--least", "90", "--parsers", self.parsers,
                               self.folder / "build"], capture_output=True, text=True,
                              check=False, env=os.environ | tools)

    def assert_fails(self, result, status, words):
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        self.assertIn(words, result.stdout + result.stderr)

    def test_enough(self):
        result = self.run_on(lcov(PARSE, *[1] * 9, 0) + lcov(SETTINGS, 0, 0))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f"90.0 %  {PARSE}  (not: 10)", result.stdout)
        self.assertIn("75.0 %  host/ (9 of 12 lines, 2 files)", result.stdout)
        self.assertIn("1 parsers of 1 have 90 % or more", result.stdout)
        self.assertIn(SETTINGS, (self.folder / "build/report.txt").read_text())

    def test_too_little(self):
        result = self.run_on(lcov(PARSE, *[1] * 8, 0, 0))
        self.assert_fails(result, 1, f"FAIL {PARSE}: 80.0 %")
        self.assertIn("(not: 9-10)", result.stdout)

    def test_not_built(self):
        self.assert_fails(self.run_on(lcov(SETTINGS, 1)), 1, f"FAIL {PARSE}: 0.0 %")

    def test_twice(self):
        """What runs in one program only has run."""
        result = self.run_on(lcov(PARSE, 0, 1) + lcov(PARSE, 1, 0))
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_nothing_has_run(self):
        (self.folder / "build/profiles/1.profraw").unlink()
        self.assert_fails(self.run_script(), 2, "nothing has run")

    def test_nothing_built(self):
        (self.folder / "build/asan/bin/agent").unlink()
        self.assert_fails(self.run_on(""), 2, "has no programs")

    def test_tool_fails(self):
        self.tool("cov", "echo no such thing >&2; exit 3")
        self.assert_fails(self.run_script(), 2, "no such thing")

    def test_tool_missing(self):
        self.assert_fails(self.run_script(), 2, "scripts/setup coverage")

    def test_unknown_parser(self):
        self.parsers.write_text("host/none.c\n", encoding="utf-8")
        self.assert_fails(self.run_on(lcov(PARSE, 1)), 2, "there is no host/none.c")


if __name__ == "__main__":
    unittest.main()
