# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of scripts/spec-check on small trees of their own."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "spec-check"

GOOD_SPEC = """# A device

Some text that mentions ABC-1 and MUST in passing.

- **DEV-MAP-1** The device MUST map
  all of it, and MUST NOT map more.
- **DEV-MAP-2** The device SHOULD be quick.
- **DRV-MAP-1** The driver
  MUST NOT wait for ever.
"""


class SpecCheck(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.root = Path(self._folder.name)
        self.write("protocol/SPEC.md", GOOD_SPEC)
        self.write("tests/unit/test_map.c", "/* DEV-MAP-1: whole or not at all */\n")
        self.write("tests/e2e/map.sh", "echo 'DRV-MAP-1'\n")

    def write(self, path, text):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def run_script(self, *args):
        return subprocess.run([sys.executable, SCRIPT, "--root", self.root, *args],
                              capture_output=True, text=True, check=False)

    def assert_error(self, text):
        result = self.run_script()
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertIn(text, result.stderr)

    def test_good_tree(self):
        result = self.run_script()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stderr, "")
        self.assertIn("3 statements; 2 of 2 with a MUST are cited", result.stdout)

    def test_table(self):
        result = self.run_script("--table")
        lines = result.stdout.splitlines()
        self.assertRegex(lines[0], r"^DEV-MAP-1 +MUST/MUST NOT +tests/unit/test_map\.c$")
        self.assertRegex(lines[1], r"^DEV-MAP-2 +SHOULD +\(none needed\)$")
        self.assertRegex(lines[2], r"^DRV-MAP-1 +MUST NOT +tests/e2e/map\.sh$")

    def test_must_on_a_later_line_needs_a_test(self):
        (self.root / "tests/e2e/map.sh").unlink()
        self.assert_error("DRV-MAP-1 has a MUST, and no test cites it")

    def test_citation_in_code_is_no_test(self):
        (self.root / "tests/unit/test_map.c").unlink()
        self.write("host/agent/map.c", "/* DEV-MAP-1 */\n")
        self.assert_error("DEV-MAP-1 has a MUST, and no test cites it")

    def test_citation_in_a_helper_is_no_test(self):
        (self.root / "tests/unit/test_map.c").unlink()
        self.write("tests/harness/run", "# DEV-MAP-1\n")
        self.assert_error("DEV-MAP-1 has a MUST, and no test cites it")

    def test_longer_number_is_another_one(self):
        self.write("tests/unit/test_map.c", "/* DEV-MAP-11 */\n")
        self.assert_error("tests/unit/test_map.c:1: cites DEV-MAP-11")
        self.assert_error("DEV-MAP-1 has a MUST, and no test cites it")

    def test_unknown_number_in_test_and_code(self):
        self.write("tests/wire/test_x.py", "\n# DEV-GONE-7\n")
        self.write("guest/pvdma/x.c", "/* DRV-GONE-8 */\n")
        self.assert_error("tests/wire/test_x.py:2: cites DEV-GONE-7")
        self.assert_error("guest/pvdma/x.c:1: cites DRV-GONE-8")

    def test_other_numbers_are_not_ours(self):
        self.write("tests/wire/test_x.py", "# UTF-8 ISO-8859-1 SHA-256 XDEV-MAP-9 CVE-2020-1\n")
        self.assertEqual(self.run_script().returncode, 0)

    def test_duplicate(self):
        self.write("protocol/SPEC.md", GOOD_SPEC + "- **DEV-MAP-1** The device MAY.\n")
        self.assert_error("DEV-MAP-1 is given twice (line 5)")

    def test_statement_without_key_word(self):
        self.write("protocol/SPEC.md", GOOD_SPEC + "- **DEV-MAP-3** The device maps.\n")
        self.assert_error("DEV-MAP-3 has none of MUST, SHOULD and MAY")

    def test_number_that_begins_no_statement(self):
        self.write("protocol/SPEC.md", GOOD_SPEC + "\n* **DEV-MAP-3** The device MUST.\n")
        self.assert_error("DEV-MAP-3 does not begin a statement")

    def test_missing_and_empty_specification(self):
        self.write("protocol/SPEC.md", "# Nothing\n")
        self.assert_error("has no statement")
        (self.root / "protocol/SPEC.md").unlink()
        self.assert_error("not found")

    def test_binary_files_are_passed_over(self):
        corpus = self.root / "tests/fuzz/corpus/x"
        corpus.mkdir(parents=True)
        (corpus / "seed").write_bytes(b"\xff\xfeDEV-GONE-1")
        (self.root / "tests/unit/program").write_bytes(b"\xff\x80\x00 DEV-GONE-1")
        self.assertEqual(self.run_script().returncode, 0)


if __name__ == "__main__":
    unittest.main()
