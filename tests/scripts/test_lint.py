# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of the lints that are our own: each fails on the fault that it is for."""

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
SPDX = "SPDX-License-Identifier: GPL-2.0-or-later"


class Lint(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.root = Path(self._folder.name)
        shutil.copytree(TOP / "scripts/lint", self.root / "scripts/lint",
                        ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run(["git", "init", "-q", "."], cwd=self.root, check=True)
        self.write("LICENSES/GPL-2.0-or-later.txt", "text\n")
        self.write("host/good.c", f"// {SPDX}\n\nint good(void)\n{{\n\treturn 0;\n}}\n")

    def write(self, path, text):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def lint(self, name):
        result = subprocess.run([f"scripts/lint/{name}"], cwd=self.root, check=False,
                                capture_output=True, text=True)
        return result.returncode, result.stdout + result.stderr

    def assert_fails(self, name, *texts):
        status, output = self.lint(name)
        self.assertEqual(status, 1, output)
        for text in texts:
            self.assertIn(text, output)

    def test_good_tree(self):
        for name in ("licences", "sizes", "links", "text"):
            self.assertEqual(self.lint(name), (0, ""), name)

    def test_licences(self):
        self.write("host/none.c", "int x;\n")
        self.write("host/late.c", f"\n\n// {SPDX}\n")
        self.write("guest/pvdma/x.c", f"// {SPDX}\n")
        self.write("scripts/x", f"#!/bin/bash\n# {SPDX}\n")
        self.write("LICENSES/MIT.txt", "text\n")
        self.assert_fails("licences", "host/none.c: no SPDX", "host/late.c: no SPDX",
                          "guest/pvdma/x.c: is GPL-2.0-or-later, should be GPL-2.0-only",
                          "LICENSES/MIT.txt: nothing has this licence")
        self.assertNotIn("scripts/x", self.lint("licences")[1])

    def test_licence_text_is_missing(self):
        (self.root / "LICENSES/GPL-2.0-or-later.txt").unlink()
        self.assert_fails("licences", "LICENSES/GPL-2.0-or-later.txt: missing")

    def test_sizes(self):
        body = "\tx++;\n" * 61
        self.write("host/long.c", f"static const int table[] = {{\n{body}}};\n\n"
                                  f"int f(int a,\n      int b)\n{{\n{body}}}\n")
        self.write("host/file.c", "\n" * 601)
        self.write("scripts/s.sh", "f() {\n" + ":\n" * 61 + "}\n")
        self.write("scripts/p.py", "def g():\n" + "    x = 1\n" * 61)
        status, output = self.lint("sizes")
        self.assertEqual(status, 1)
        self.assertEqual(output.splitlines(), [
            "host/file.c: 601 lines (at most 600)",
            "host/long.c:67: f: 61 lines (at most 60)",
            "scripts/p.py:1: g: 61 lines (at most 60)",
            "scripts/s.sh:1: f: 61 lines (at most 60)"])

    def test_links(self):
        self.write("README.md", "[a](docs/a.md) [b](https://x.example/) [c](#here)\n"
                                "`host/good.c` `host/gone.c` `host/test_X.c` `docs/NAME.md`\n")
        self.assert_fails("links", "README.md:1: docs/a.md", "README.md:2: host/gone.c")
        self.assertEqual(len(self.lint("links")[1].splitlines()), 2)

    def test_text(self):
        self.write("a.md", "blanks \n")
        self.write("b.md", "return\r\n")
        self.write("c.md", "no end")
        self.write("d.c", "/* FIX" "ME: later */\n")
        self.write("e.c", "  \tint i;\n")
        self.write("f.patch", " \tint i;\n")
        self.assert_fails("text", "a.md:1:", "b.md:1:", "c.md: the last line", "d.c:1:", "e.c:1:")
        self.assertNotIn("f.patch", str(self.lint("text")))

    def test_ignored_files_are_not_ours(self):
        self.write(".gitignore", f"# {SPDX}\n/build/\n")
        self.write("build/x.c", "blanks \n")
        for name in ("licences", "text"):
            self.assertEqual(self.lint(name)[0], 0, name)


if __name__ == "__main__":
    unittest.main()
