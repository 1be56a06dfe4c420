# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of tests/harness: a run must never look better than it was."""

import os
import subprocess
import tempfile
import textwrap
import time
import unittest
from pathlib import Path

RUN = Path(__file__).resolve().parents[1] / "harness" / "run"


class Case(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.folder = Path(self._folder.name)

    def script(self, name, text):
        path = self.folder / name
        if not name.endswith(".py"):
            text = "#!/bin/bash\n" + textwrap.dedent(text)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    def run_args(self, *args):
        return subprocess.run([RUN, "--log-dir", self.folder / "logs", *args],
                              capture_output=True, text=True, check=False)

    def assert_sums(self, summary, *programs, group="g:timeout=20"):
        """Runs programs; the summary decides what the status must be."""
        result = self.run_args("--group", group, *programs)
        self.assertEqual(result.stdout.splitlines()[-1], summary, result.stdout)
        good = " 0 failed" in summary and summary != "0 passed, 0 failed, 0 skipped"
        self.assertEqual(result.returncode == 0, good, result.stdout)
        return result.stdout


class Harness(Case):
    def test_plain_programs(self):
        out = self.assert_sums("1 passed, 1 failed, 1 skipped",
                               self.script("good", "exit 0"),
                               self.script("bad", "echo oh no >&2; exit 3"),
                               self.script("absent", "echo needs KVM; exit 77"))
        self.assertIn("FAIL g/bad: ended with status 3", out)
        self.assertIn("| oh no", out)
        self.assertIn("SKIP g/absent: needs KVM", out)

    def test_verdict_lines(self):
        out = self.assert_sums("2 passed, 1 failed, 1 skipped", self.script("v", """
            echo 'PASS one'; echo 'FAIL two: no data: at all'; echo 'PASS three'
            echo 'SKIP four: no device'; echo 'PASSED is a word'; exit 1"""))
        self.assertIn("FAIL g/two: no data: at all", out)
        self.assertIn("SKIP g/four: no device", out)

    def test_status_must_fit_verdicts(self):
        out = self.assert_sums("1 passed, 1 failed, 0 skipped",
                               self.script("v", "echo PASS one; exit 2"))
        self.assertIn("ended with status 2 although no test failed", out)

    def test_skip_status_does_not_hide_passes(self):
        self.assert_sums("1 passed, 1 failed, 0 skipped",
                         self.script("v", "echo PASS one; exit 77"))

    def test_required_verdicts(self):
        program = self.script("silent", "exit 0")
        self.assert_sums("1 passed, 0 failed, 0 skipped", program)
        self.assert_sums("0 passed, 1 failed, 0 skipped", program, group="g:verdicts")

    def test_tap(self):
        out = self.assert_sums("1 passed, 1 failed, 2 skipped", self.script("t", """
            echo 1..4; echo ok 1 - a; echo not ok 2 - b; echo '# why'
            echo 'no such group'; echo 'not ok 3 # SKIP c'; echo '# more'
            echo 'ok 4 - d # SKIP no disk'; exit 1"""))
        self.assertIn("SKIP g/d: no disk", out)
        self.assertIn("SKIP g/c: no such group", out)

    def test_tap_cut_short(self):
        out = self.assert_sums("1 passed, 1 failed, 0 skipped",
                               self.script("t", "echo 1..3; echo ok 1 - a; exit 0"))
        self.assertIn("after 1 of 3 planned tests", out)
        self.assert_sums("1 passed, 1 failed, 0 skipped",
                         self.script("u", "echo ok 1 - a; exit 0"))

    def test_crash(self):
        out = self.assert_sums("1 passed, 1 failed, 0 skipped",
                               self.script("c", "echo PASS one; kill -SEGV $$"))
        self.assertIn("killed by SIGSEGV after 1 verdicts", out)

    def test_time_out_ends_children_too(self):
        mark = self.folder / "mark"
        program = self.script("slow", f"(sleep 3; touch {mark}) & sleep 100")
        start = time.monotonic()
        out = self.assert_sums("0 passed, 1 failed, 0 skipped", program,
                               group="g:timeout=0.5")
        self.assertLess(time.monotonic() - start, 10)
        self.assertIn("timed out after 0.5 s", out)
        time.sleep(3)
        self.assertFalse(mark.exists())

    def test_child_left_behind_does_not_hang(self):
        start = time.monotonic()
        self.assert_sums("1 passed, 0 failed, 0 skipped",
                         self.script("fork", "sleep 50 & exit 0"))
        self.assertLess(time.monotonic() - start, 10)

    def test_interrupt_counts_as_failure(self):
        mark = self.folder / "mark"
        slow = self.script("slow", f"trap 'touch {mark}; exit 0' TERM; echo PASS a; sleep 50 & wait")
        later = self.script("later", "exit 0")
        with subprocess.Popen([RUN, "--log-dir", self.folder / "logs", "--stage",
                               "--group", "a:live", slow, "--stage", "--group", "b", later],
                              stdout=subprocess.PIPE, text=True) as process:
            self.assertEqual(process.stdout.readline(), "PASS a/a\n")
            process.terminate()
            rest = process.stdout.read()
        self.assertEqual(process.returncode, 1)
        self.assertTrue(rest.endswith("\n1 passed, 1 failed, 0 skipped\n"), rest)
        self.assertTrue(mark.exists())

    def test_missing_program_fails(self):
        self.assert_sums("0 passed, 1 failed, 0 skipped", str(self.folder / "none"))

    def test_nothing_ran(self):
        result = self.run_args()
        self.assertEqual(result.stdout, "0 passed, 0 failed, 0 skipped\n")
        self.assertEqual(result.returncode, 1)
        self.assert_sums("0 passed, 0 failed, 0 skipped")

    def test_bad_arguments(self):
        for args in (["--group"], ["--group", "a:what=1"], ["--what"], ["x"],
                     ["--group", "a/b", "x"]):
            self.assertEqual(self.run_args(*args).returncode, 2, args)

    def test_commands_with_arguments(self):
        program = self.script("args", 'echo "PASS $1/$#"')
        out = self.assert_sums("2 passed, 0 failed, 0 skipped", f"{program} 'a b'",
                               f"{program} c d", group="g:live")
        self.assertIn("PASS g/a b/1", out)
        self.assertIn("PASS g/c/2", out)

    def test_logs(self):
        self.assert_sums("0 passed, 1 failed, 0 skipped", self.script(
            "loud", "for i in $(seq 100); do echo line $i; done; exit 1"))
        log = (self.folder / "logs/g/loud.log").read_text(encoding="utf-8")
        self.assertEqual(len(log.splitlines()), 100)

    def test_failures_are_repeated_at_the_end(self):
        result = self.run_args(
            "--stage", "--group", "a", self.script("bad", "echo 'FAIL one: oh no'; exit 1"),
            "--stage", "--group", "b", self.script("loud", "seq 100; exit 0"),
            self.script("worse", "exit 2"))
        self.assertEqual(result.stdout.splitlines()[-3:],
                         ["FAIL a/one: oh no", "FAIL b/worse: ended with status 2",
                          "1 passed, 2 failed, 0 skipped"])

    def test_stages_run_one_after_the_other(self):
        mark = self.folder / "mark"
        first = self.script("first", f"sleep 0.5; touch {mark}")
        second = self.script("second", f"test -e {mark}")
        result = self.run_args("--stage", "--group", "a", first,
                               "--stage", "--group", "b", second)
        self.assertEqual(result.stdout.splitlines()[-1], "2 passed, 0 failed, 0 skipped")

    def test_jobs_bound_all_groups(self):
        text = f"""
            n=$(ls {self.folder}/now | wc -l); [ $n -lt 2 ] || exit 1
            touch {self.folder}/now/$$; sleep 0.2; rm {self.folder}/now/$$"""
        (self.folder / "now").mkdir()
        groups = []
        for name in "abc":
            groups += ["--group", name]
            groups += [self.script(f"{name}{i}", text) for i in range(3)]
        result = self.run_args("--jobs", "2", "--stage", *groups)
        self.assertEqual(result.stdout.splitlines()[-1], "9 passed, 0 failed, 0 skipped")


class Pytap(Case):
    MODULE = """
        import os, unittest
        class T(unittest.TestCase):
            def test_good(self): pass
            def test_bad(self): self.assertEqual(1, 2)
            def test_error(self): raise OSError("gone")
            def test_sub(self):
                for i in range(3):
                    with self.subTest(i=i): self.assertNotEqual(i, 1)
            @unittest.skip("no such\\ndevice")
            def test_skip(self): pass
            def test_skip_inside(self): self.skipTest("later")
            @unittest.expectedFailure
            def test_expected(self): self.fail()
    """

    def test_all_kinds(self):
        out = self.assert_sums("2 passed, 3 failed, 2 skipped",
                               self.script("m.py", self.MODULE))
        self.assertIn("SKIP g/T.test_skip: no such device", out)
        self.assertIn("FAIL g/T.test_sub", out)
        self.assertIn("OSError: gone", out)

    def test_death_is_noticed(self):
        module = """
            import os, unittest
            class T(unittest.TestCase):
                def test_a(self): pass
                def test_b(self): os._exit(0)
        """
        self.assert_sums("1 passed, 1 failed, 0 skipped", self.script("m.py", module))

    def test_fixture_failure(self):
        module = """
            import unittest
            class T(unittest.TestCase):
                @classmethod
                def setUpClass(cls): raise RuntimeError("no agent")
                def test_a(self): pass
        """
        self.assert_sums("0 passed, 1 failed, 0 skipped", self.script("m.py", module))

    def test_skips_of_a_class_and_of_a_module(self):
        module = """
            import unittest
            class T(unittest.TestCase):
                @classmethod
                def setUpClass(cls): raise unittest.SkipTest("no agent")
                def test_a(self): pass
        """
        self.assert_sums("0 passed, 0 failed, 1 skipped", self.script("m.py", module))
        self.assert_sums("0 passed, 0 failed, 1 skipped", self.script(
            "n.py", "import unittest\nraise unittest.SkipTest('not here')\n"))

    def test_broken_and_empty_modules_fail(self):
        self.assert_sums("0 passed, 1 failed, 0 skipped", self.script("m.py", "import nothing_\n"))
        self.assert_sums("0 passed, 1 failed, 0 skipped", self.script("n.py", "x = 1\n"))


# Programs of these tests are judged by what they print, not by our settings.
os.environ.pop("CI", None)

if __name__ == "__main__":
    unittest.main()
