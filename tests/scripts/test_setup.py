# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of scripts/setup with stand-ins for dpkg and apt."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]

# Packages are files: in have/ those installed, in known/ those that apt knows;
# what an update would make known is in later/.
DPKG_QUERY = """shift 3
for p; do [ -e "$S/have/$p" ] && echo "$p installed"; done; exit 1"""
APT_CACHE = """[ -e "$S/known/$2" ] && v=1 || v='(none)'
printf '%s:\\n  Installed: (none)\\n  Candidate: %s\\n' "$2" "$v" """
APT_GET = """echo "apt-get $*" >>"$S/log"
case " $* " in
*' update '*) cp -r "$S/later/." "$S/known/" ;;
*) for p; do [ -e "$S/known/$p" ] && touch "$S/have/$p"; done; true ;;
esac"""
SUDO = """[ "$1" = -n ] && exit ${SUDO_STATUS:-0}
echo sudo >>"$S/log"; exec "$@" """


class Setup(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.root = Path(self._folder.name)
        for name in ("scripts/packages", "tests/bed", "bin", "have", "known", "later"):
            (self.root / name).mkdir(parents=True)
        shutil.copy(TOP / "scripts/setup", self.root / "scripts/setup")
        for name, text in (("dpkg-query", DPKG_QUERY), ("apt-cache", APT_CACHE),
                           ("apt-get", APT_GET), ("sudo", SUDO)):
            path = self.root / "bin" / name
            path.write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
            path.chmod(0o755)
        self.list("scripts/packages/build.txt", "# comment\ngcc\n\nmake  # why\n")
        self.list("scripts/packages/check.txt", "old-name|new-name\n")
        self.list("tests/bed/packages", "tar tar\n")

    def list(self, path, text):
        (self.root / path).write_text(text, encoding="utf-8")

    def mark(self, folder, *names):
        for name in names:
            (self.root / folder / name).touch()

    def run_setup(self, *args, prefix=(), **env):
        env = dict(os.environ, PATH=f"{self.root}/bin:{os.environ['PATH']}", S=str(self.root),
                   **env)
        return subprocess.run([*prefix, "bash", self.root / "scripts/setup", *args],
                              env=env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)

    def log(self):
        path = self.root / "log"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [line for line in lines if line != "sudo"]

    def test_nothing_is_missing(self):
        self.mark("have", "gcc", "make", "tar", "new-name")
        result = self.run_setup("check")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        self.assertEqual(self.log(), [])

    def test_list(self):
        result = self.run_setup("--list", "check")
        self.assertEqual(result.stdout.split(), ["gcc", "make", "old-name|new-name", "tar"])

    def test_installs_what_is_missing_and_no_more(self):
        self.mark("have", "gcc", "tar")
        self.mark("known", "make", "new-name")
        result = self.run_setup("check")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(len(self.log()), 1)
        self.assertTrue(self.log()[0].endswith(
            " install -y --no-install-recommends make new-name"), self.log())
        self.assertIn("'check' needs packages that this machine lacks", result.stderr)

    def test_updates_lists_when_they_lack_a_package(self):
        self.mark("have", "gcc")
        self.mark("later", "make")
        self.assertEqual(self.run_setup("build").returncode, 0)
        self.assertEqual([line.split()[4] for line in self.log()], ["update", "install"])

    def test_package_that_nobody_knows(self):
        self.mark("have", "gcc")
        result = self.run_setup("build")
        self.assertEqual(result.returncode, 1)
        self.assertIn("lack one of: make", result.stderr)

    def test_without_root_the_command_is_told(self):
        self.mark("have", "gcc")
        self.mark("known", "make")
        prefix = []
        if os.geteuid() == 0:
            self.root.chmod(0o755)
            prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        result = self.run_setup("build", prefix=prefix, SUDO_STATUS="1")
        self.assertEqual(result.returncode, 1)
        self.assertIn("apt-get install -y --no-install-recommends make", result.stderr)
        self.assertEqual(self.log(), [])

    def test_bad_arguments(self):
        self.assertEqual(self.run_setup().returncode, 1)
        result = self.run_setup("everything")
        self.assertEqual(result.returncode, 1)
        self.assertIn("unknown task 'everything'", result.stderr)


if __name__ == "__main__":
    unittest.main()
