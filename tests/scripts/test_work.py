# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of pvdma-work (tests/work): what it calls verified was, and what was not right is said."""

import os
import socket
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
WORK = Path(os.environ.get("PVDMA_BUILD", TOP / "build")) / "bin/pvdma-work"
LOOPBACK = "127.0.0.1"


def run(*words, **options):
    return subprocess.run([WORK, *map(str, words)], capture_output=True, text=True, check=False, **options)


def figures(text):
    return dict(line.split("=", 1) for line in text.splitlines())


class Tree(unittest.TestCase):
    """Files that come and go."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)

    def test_tree(self):
        result = run("tree", self.dir, 20, "5000", 3)
        self.assertEqual(result.returncode, 0, result)
        found = figures(result.stdout)
        self.assertEqual((found["tree_files"], found["tree_bytes"]), ("60", str(2 * 60 * 5000)))
        self.assertEqual(found["tree_verified"], "true")
        self.assertEqual(list(self.dir.iterdir()), [])

    def test_wrong_data(self):
        """A byte that changes between writing and reading is seen."""
        writing = subprocess.Popen([WORK, "tree", self.dir, "500", "4K", "1000"],
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(writing.kill)
        first = self.dir / "tree/new0"
        while writing.poll() is None:
            try:
                with first.open("r+b") as file:
                    file.seek(100)
                    file.write(b"x")
            except FileNotFoundError:
                pass
        text = writing.communicate()[0]
        self.assertEqual(writing.returncode, 1)
        self.assertRegex(text, "error=file 0 is wrong at 96 in round")
        self.assertEqual(figures(text)["tree_verified"], "false")

    def test_in_the_way(self):
        (self.dir / "tree").mkdir()
        result = run("tree", self.dir, 2, "4K", 1)
        self.assertEqual(result.returncode, 1)
        self.assertIn("tree: File exists", result.stderr)


class Serving(unittest.TestCase):
    """Each connection is served by "serve -", through a relay that may meddle with the answers."""

    def serve(self, meddle=lambda data: data):
        listener = socket.create_server((LOOPBACK, 0))
        self.addCleanup(listener.close)
        threading.Thread(target=self._one, args=(listener, meddle), daemon=True).start()
        return listener.getsockname()[1]

    @staticmethod
    def _one(listener, meddle):
        conn, _ = listener.accept()
        with conn, subprocess.Popen([WORK, "serve", "-"], stdin=conn, stdout=subprocess.PIPE) as server:
            while data := os.read(server.stdout.fileno(), 65536):
                try:
                    conn.sendall(meddle(data))
                except OSError:
                    break
            # who waits for more learns that there is none
            conn.shutdown(socket.SHUT_RDWR)

    def test_rr(self):
        result = run("rr", LOOPBACK, self.serve(), 20, 1001)
        self.assertEqual(result.returncode, 0, result)
        found = figures(result.stdout)
        self.assertEqual(found["net_rr_exchanges"], "20")
        self.assertEqual(found["net_rr_bytes"], str(20 * 1001 * 2))
        self.assertEqual(found["net_rr_verified"], "true")

    def test_rr_wrong_answer(self):
        seen = []

        def meddle(data):
            seen.append(data)
            return bytes([data[0] ^ 1]) + data[1:] if len(seen) == 3 else data

        result = run("rr", LOOPBACK, self.serve(meddle), 20, 64)
        self.assertEqual(result.returncode, 1, result)
        found = figures(result.stdout)
        self.assertEqual(found["error"], "rr: exchange 2 went wrong")
        self.assertEqual((found["net_rr_exchanges"], found["net_rr_verified"]), ("2", "false"))

    def test_rr_old_answer(self):
        """An answer of before is none to the question of now."""
        seen = []

        def meddle(data):
            seen.append(data)
            return seen[max(len(seen) - 2, 0)]

        result = run("rr", LOOPBACK, self.serve(meddle), 20, 64)
        self.assertEqual((result.returncode, figures(result.stdout)["net_rr_exchanges"]), (1, "1"))

    def test_rr_wrong_question(self):
        """The server answers nothing but what the client should say."""
        result = subprocess.run([WORK, "serve", "-"], input=b"rr 2 64\n" + bytes(128),
                                capture_output=True, check=False)
        self.assertEqual(result.stdout, b"")

    def test_rr_too_large(self):
        result = run("rr", LOOPBACK, 1, 1, "65K")
        self.assertEqual(result.returncode, 2)
        self.assertIn("at most 65536 bytes", result.stderr)

    def test_streams(self):
        for verb in ("get", "put"):
            with self.subTest(verb):
                result = run(verb, LOOPBACK, self.serve(), 100001)
                self.assertEqual(result.returncode, 0, result)
                self.assertEqual(figures(result.stdout)[f"net_{verb}_verified"], "true")

    def test_put_refused(self):
        result = run("put", LOOPBACK, self.serve(lambda data: b"bad 7\n"), 100001)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(figures(result.stdout)["error"], "put: the server said: bad 7")


class Disk(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory(dir=WORK.parent)
        self.addCleanup(self._folder.cleanup)
        self.folder = Path(self._folder.name)
        self.assertEqual(run("fill", self.folder, 2, "64K").returncode, 0)

    def random(self, depth):
        result = run("random", self.folder, 2, "64K", depth)
        if "Invalid argument" in result.stdout:
            self.skipTest("no direct I/O on the file system of the build")
        return result

    def test_each_depth(self):
        for depth in (1, 32):
            result = self.random(depth)
            self.assertEqual(result.returncode, 0, result)
            found = figures(result.stdout)
            self.assertEqual((found["random_reads"], found["random_writes"]), ("64", "32"))
            self.assertEqual(found["random_verified"], "true")

    def test_wrong_block(self):
        self.assertEqual(self.random(8).returncode, 0)
        with (self.folder / "data001").open("r+b") as file:
            file.seek(5 * 4096 + 1000)
            file.write(b"?")
        result = self.random(1)
        self.assertEqual((result.returncode, figures(result.stdout)["random_verified"]), (1, "false"))
        self.assertIn("file 1 block 5 is wrong", result.stdout)


if __name__ == "__main__":
    unittest.main()
