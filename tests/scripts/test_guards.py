# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of tests/guards: the patches fit the tree, and run does not pass what it must not."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
GUARDS = TOP / "tests/guards"

# A product, a test of it, and a make that builds and runs it as mk/ does.
FILES = {
    "host/limit": "3\n",
    "host/name": "pvdma\n",
    "tests/unit/test_limit.c": "[ $(cat host/limit) -le 3 ]\n",
    "Makefile": """\
build/asan/unit/test_limit: tests/unit/test_limit.c host/limit
	mkdir -p build/asan/unit
	grep -q '^[0-9]' host/limit
	{ echo '#!/bin/sh'; echo 'echo 1..2'; \\
	  echo 'grep -q 666 host/limit && exec sleep 60'; \\
	  echo 'grep -q 777 host/limit && kill -9 $$$$'; \\
  echo 'grep -q 999 host/limit && echo not ok 1 - test_other || echo ok 1 - test_other'; \\
	  echo 'grep -q 888 host/limit && echo ": runtime error: x" && exit 1'; \\
	  echo "if $$(cat $<); then echo ok 2 - test_most; else echo not ok 2 - test_most; fi"; \\
	} >$@
	chmod +x $@
check-these:
	tests/harness/run --log-dir build/test-logs --group these:live:timeout=5 $(TESTS)
""",
}
PATCH = """\
Guard: what is removed
Promise: 1
Fails: tests/unit/test_limit.c {case}

diff --git a/host/{file} b/host/{file}
--- a/host/{file}
+++ b/host/{file}
@@ -1 +1 @@
-{old}
+{new}
"""


class Run(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name).resolve()
        for name, text in FILES.items():
            self.write(name, text)
        shutil.copytree(TOP / "tests/harness", self.top / "tests/harness")
        self.write("tests/guards/run", (GUARDS / "run").read_text(encoding="utf-8")).chmod(0o755)
        self.write(".gitignore", "/build/\n__pycache__/\n")
        subprocess.run(["git", "init", "-q"], cwd=self.top, check=True)

    def write(self, name, text):
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def patch(self, name, new, old="3", case="test_most", file="limit"):
        self.write(f"tests/guards/{name}.patch",
                   PATCH.format(new=new, old=old, case=case, file=file))

    def run_guards(self, *args):
        return subprocess.run([self.top / "tests/guards/run", *args], capture_output=True,
                              text=True, check=False, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})

    def assert_verdicts(self, expected, *args, status=1):
        """expected: {guard: the beginning of its line}."""
        result = self.run_guards(*args)
        lines = [line for line in result.stdout.splitlines()
                 if re.match("PASS|FAIL|SKIP", line)]
        self.assertEqual(len(lines), len(expected), result.stdout + result.stderr)
        for line, (name, words) in zip(lines, sorted(expected.items())):
            outcome, _, reason = words.partition(" ")
            self.assertTrue(line.startswith(f"{outcome} {name}"), line)
            self.assertIn(reason, line)
        self.assertEqual(result.returncode, status)
        # The tree itself is as it was.
        self.assertEqual((self.top / "host/limit").read_text(), FILES["host/limit"])

    def test_noticed(self):
        self.patch("a", "4")
        self.patch("b", "888", case="sanitizer")
        self.patch("c", "5")
        self.assert_verdicts({"a": "PASS", "b": "PASS", "c": "PASS"}, status=0)
        self.assert_verdicts({"b": "PASS"}, "b", status=0)

    def test_not_noticed(self):
        """Each that fails leaves the others as they are."""
        self.patch("a", "2")
        self.patch("b", "4", case="test_other")
        self.patch("c", "4", case="test_gone")
        self.patch("d", "none")
        self.patch("e", "4", old="9")
        self.patch("f", "666")
        self.patch("g", "777")
        self.patch("h", "4", case="sanitizer")
        self.patch("i", "4")
        self.patch("j", "999")
        self.assert_verdicts({
            "a": "FAIL test_most does not notice", "b": "FAIL test_other does not notice",
            "c": "FAIL test_gone gave no verdict without the patch",
            "d": "FAIL does not build", "e": "FAIL the patch does not apply",
            "f": "FAIL test_most gave no verdict: timed out",
            "g": "FAIL test_most gave no verdict: killed by SIGKILL",
            "h": "FAIL sanitizer does not notice", "i": "PASS",
            "j": "FAIL no case passes"})

    def test_tree_is_bad(self):
        """What fails without the patch shows nothing with it."""
        self.patch("a", "4", old="7")
        self.write("host/limit", "7\n")
        result = self.run_guards()
        self.assertIn("FAIL a: tests/unit/test_limit.c: test_most fails without", result.stdout)
        self.write("host/limit", "none\n")
        self.patch("a", "4", old="none")
        result = self.run_guards()
        self.assertIn("FAIL tree: the tree does not build", result.stdout)
        self.assertEqual(result.returncode, 1)

    def test_tree_changes(self):
        """The copy follows the tree, also to what is older."""
        self.patch("a", "4")
        self.assert_verdicts({"a": "PASS"}, status=0)
        test = self.write("tests/unit/test_limit.c", "true\n")
        os.utime(test, (0, 0))
        self.assert_verdicts({"a": "FAIL test_most does not notice"})

    def test_left_out(self):
        self.patch("a", "4")
        patch = self.top / "tests/guards/a.patch"
        patch.write_text("Never-run: no time\n" + patch.read_text())
        self.write("tests/e2e/test_x.sh", "")
        self.patch("b", "4")
        patch = self.top / "tests/guards/b.patch"
        patch.write_text(patch.read_text().replace("tests/unit/test_limit.c", "tests/e2e/test_x.sh"))
        self.assert_verdicts({"a": "SKIP no time", "b": "SKIP boots the bed"}, status=0)

    def test_usage(self):
        self.patch("a", "4")
        self.assertIn("no such guard: x", self.run_guards("x").stderr)
        self.assertIn("test_limit.c: test_most", self.run_guards("--list").stdout)
        for wrong in ("Guard: x\n", "Gard: x\n"):
            self.write("tests/guards/a.patch", wrong)
            self.assertEqual(self.run_guards().returncode, 2)


class Patches(unittest.TestCase):
    """What `make check-guards` takes minutes to run is here held against the tree."""

    patches = sorted(GUARDS.glob("*.patch"))

    def lines(self, path, key):
        return re.findall(rf"^{key}: (.*)$", path.read_text(encoding="utf-8"), re.M)

    def test_apply(self):
        self.assertGreaterEqual(len(self.patches), 20)
        for path in self.patches:
            with self.subTest(path.name):
                done = subprocess.run(["git", "apply", "--check", path], cwd=TOP, text=True,
                                      capture_output=True, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_cases(self):
        """The tests that they name are there."""
        for path in self.patches:
            for line in self.lines(path, "(?:Fails|Passes)"):
                source, *cases = line.split()
                text = (TOP / source).read_text(encoding="utf-8")
                for case in cases:
                    if case != "sanitizer":
                        self.assertRegex(text, rf"\b{re.split('[./]', case)[-1]}\b", path.name)

    def test_security(self):
        """SECURITY.md names each guard behind the promises that it is of, and no other."""
        text = (TOP / "SECURITY.md").read_text(encoding="utf-8")
        numbers = {}
        for number, promise in re.findall(r"^(\d)\. (.*?)(?=^\d\. |^## )", text, re.M | re.S):
            named = re.search(r"\*Guards\*:(.*?)\.$", promise, re.M | re.S)
            for name in re.findall(r"`([\w-]+)`", named.group(1)) if named else ():
                numbers.setdefault(name, set()).add(int(number))
        expected = {path.stem: {int(n) for n in self.lines(path, "Promise")[0].split(", ")}
                    for path in self.patches}
        self.assertEqual(numbers, expected)


if __name__ == "__main__":
    unittest.main()
