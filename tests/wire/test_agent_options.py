# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line, the configuration file, sockets and descriptors handed in."""

import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from lib.agent import Agent, BINARY
from lib.vhost_user import FrontEnd

MIB = 1 << 20


class Case(unittest.TestCase):
    def setUp(self):
        if not BINARY.exists():
            self.skipTest(f"there is no agent at {BINARY}")
        self.dir = Path(tempfile.mkdtemp(prefix="pvdma-wire-"))
        self.addCleanup(shutil.rmtree, self.dir)

    def run_agent(self, *args, pass_fds=(), env=None):
        done = subprocess.run([str(BINARY), *args], capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, pass_fds=pass_fds, env=env)
        for text in ("Sanitizer", "runtime error"):
            self.assertNotIn(text, done.stderr)
        return done

    def good(self, *extra):
        return ["--quota", "16M", "--iommu", "null", "--device", f"null,socket={self.dir}/d",
                "--vhost-socket", f"{self.dir}/v", *extra]

    def assertBad(self, args, *words, **kwargs):
        """Status 2, and one message has all the words."""
        done = self.run_agent(*args, **kwargs)
        self.assertEqual(done.returncode, 2, done)
        self.assertTrue(any(all(w in line for w in words) for line in done.stderr.splitlines()),
                        (words, done.stderr))
        self.assertEqual(sorted(os.listdir(self.dir)), self.files())
        return done

    def files(self):
        return sorted(f for f in os.listdir(self.dir) if f.endswith(".conf"))

    def write(self, text, name="a.conf"):
        path = self.dir / name
        path.write_text(text)
        return str(path)


class CommandLine(Case):
    def test_help_and_version(self):
        done = self.run_agent("--help")
        self.assertEqual(done.returncode, 0)
        for option in ("--quota", "--device", "--config", "--query", "--check"):
            self.assertIn(option, done.stdout)
        done = self.run_agent("--version")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"^pvdma-agent \S+\n$")

    def test_check(self):
        done = self.run_agent("--check", *self.good())
        self.assertEqual((done.returncode, done.stdout), (0, "the configuration is valid\n"))
        self.assertEqual(os.listdir(self.dir), [])

    def test_both_forms(self):
        done = self.run_agent("--check", "--quota=16M", "--iommu=null",
                              f"--device=null,socket={self.dir}/d", f"--vhost-socket={self.dir}/v")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_bad_words(self):
        for word in ("quota", "-q", "--", "-", "", "--=1"):
            self.assertBad([word], "command line")
        self.assertBad(["--quota"], "--quota", "expected a value")
        self.assertBad(["--check=1"], "takes no value")
        self.assertBad(["--nonsense", "1"], "nonsense=1", "--help")
        self.assertBad(["--query", "x"], "expected a command")
        self.assertBad(["--config", "a", "--config", "b"], "twice")

    def test_bad_values(self):
        for option, values, expected in (
                ("quota", ("", "x", "-1", "1Q", "1KB", " 1", "99999999T"), "256M"),
                ("granule", ("", "0", "1", "48K", "2K", "4M", "64 K"), "power of two from 4K (default)"),
                ("strategy", ("", "lazy", "on_demand", "On-Demand", "strict"), "single-use, shared, deferred"),
                ("fallback", ("", "allow"), "deny"),
                ("enforce", ("", "kill", "Wait"), "wait (default) or revoke"),
                ("enforce-deadline", ("", "500", "1h", "ms", "-1s", "1.5s", "61min", "3601s"),
                 "such as 2s"),
                ("ahead", ("", "yes", "On", "1"), "on (default) or off"),
                ("policy", ("", "lru", "Clock"), "reuse (default), clock or slru"),
                ("iommu", ("", "type2", "null,", "null,x=1", "null,entries=0", "null,bytes=x",
                           "type1,entries=5", "null,entries"), "type1"),
                ("queues", ("", "0", "65", "-1", "1.5"), "1 to 64"),
                ("max-ranges", ("0", "4097", "x"), "1 to 4096"),
                ("log-level", ("", "loud", "9"), "debug"),
                ("socket-mode", ("", "8", "0o600", "1000", "rw", "-1"), "octal"),
                ("socket-owner", ("", "no-such-user-x", "root:no-such-group-x", ":"), "USER"),
                ("name", ("", "a b", "a/b", "x" * 65, "ä"), "up to 64"),
                ("vhost-socket", ("", "/" + "x" * 107), "107"),
                ("control", ("", "/" + "x" * 107), "107"),
                ("vhost-fd", ("", "-1", "0", "2", "999", "x", "4294967299"), "descriptor"),
                ("container-fd", ("0", "999", "x"), "container"),
                ("control-fd", ("0", "999", "x"), "descriptor")):
            for value in values:
                with self.subTest(option=option, value=value):
                    self.assertBad([f"--{option}={value}"], f"{option}={value}", "expected",
                                   expected)

    def test_bad_devices(self):
        for spec, word in (("", "PCI address"), ("nul,socket=x", "PCI address"),
                           ("01:00,socket=x", "PCI address"), ("01:00.8,socket=x", "PCI address"),
                           ("null", "socket=PATH"), ("null,socket=", "socket"),
                           ("null,socket=x,fd=3", "descriptor 3"), ("null,fd=77", "descriptor 77"),
                           ("null,socket=x,foo=1", "foo"), ("null,socket=x,foo", "foo"),
                           ("null,socket=x,", "part"), ("null,socket=x,endpoint=0", "endpoint"),
                           ("null,socket=x,endpoint=4294967296", "endpoint"),
                           ("null,socket=x,endpoint=-1", "endpoint"),
                           ("null,socket=x,device-fd=1", "standard"),
                           ("null,socket=" + "x" * 108, "longer")):
            with self.subTest(spec):
                self.assertBad([f"--device={spec}"], f"device={spec}", word)

    def test_missing(self):
        self.assertBad([], "quota is not set")
        self.assertBad([], "device is not set")
        self.assertBad([], "vhost-socket is not set", "fallback=direct")
        self.assertBad(["--device", "null,socket=x"], "needs a real device")
        self.assertBad(["--iommu", "null", "--device", "01:00.0,socket=x"], "needs iommu=type1")

    def test_used_twice(self):
        d = self.dir
        self.assertBad(self.good("--device", f"null,socket={d}/d"), "used twice")
        self.assertBad(self.good("--device", f"null,socket={d}/v"), "used twice")
        self.assertBad(self.good("--control", f"{d}/v"), "used twice")
        self.assertBad(self.good("--device", f"null,socket={d}/e,endpoint=1"), "endpoint 1")
        self.assertBad(["--quota=1M", "--device=01:00.0,socket=a", "--device=0000:01:00.0,socket=b",
                        "--vhost-socket=v"], "0000:01:00.0", "twice")
        with socket.socket(socket.AF_UNIX) as s:
            fd = s.fileno()
            self.assertBad(self.good("--control-fd", str(fd), "--device", f"null,fd={fd}"),
                           f"descriptor {fd}", "twice", pass_fds=[fd])
            self.assertBad(self.good("--vhost-fd", str(fd)), "exclude", pass_fds=[fd])

    def test_too_many_devices(self):
        args = self.good()
        for i in range(64):
            args += ["--device", f"null,socket={self.dir}/d{i}"]
        self.assertBad(args, "at most 64 devices")

    def test_all_errors_at_once(self):
        done = self.run_agent("--quota=x", "--granule=3", "--foo=1")
        self.assertEqual(len(done.stderr.splitlines()), 3, done.stderr)

    def test_every_option_is_documented(self):
        """--help and the manual pages name the same options."""
        root = Path(__file__).resolve().parents[2]
        words = self.run_agent("--help").stdout.split()
        options = sorted({w[2:] for w in words if w.startswith("--") and len(w) > 2})
        program = (root / "man/pvdma-agent.8").read_text().replace("\\-", "-")
        file = (root / "man/pvdma-agent.conf.5").read_text().replace("\\-", "-")
        for option in options:
            self.assertIn(f"--{option}", program)
            if option not in ("config", "handover", "check", "query", "version", "help"):
                self.assertIn(option, file)


class File(Case):
    def check(self, text, *args):
        return self.run_agent("--check", "--config", self.write(text), *args)

    def test_good(self):
        done = self.check(f"# comment\n\n  \t\nquota = 16M\niommu=null\n"
                          f"\tdevice = null,socket={self.dir}/d \r\n"
                          f"device=null,socket={self.dir}/e\n  # more\n"
                          f"vhost-socket={self.dir}/v")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_command_line_wins(self):
        conf = self.write(f"quota=16M\niommu=null\ndevice=null,socket={self.dir}/d\n"
                          f"vhost-socket={self.dir}/v\nname=file\n")
        agent = Agent(quota="4M", name="line", args=("--config", conf))
        with agent:
            out = subprocess.run([str(BINARY), "--query", agent.control_socket, "config"],
                                 capture_output=True, text=True, check=True, timeout=60).stdout
            self.assertIn('"name": "line"', out)
            self.assertIn(f'"quota": {4 * MIB}', out)
            self.assertEqual(out.count('"endpoint"'), 2)     # devices add up

    def test_errors_name_file_line_key_and_value(self):
        done = self.check("quota=16M\n\n# x\ngranul=64K\nqueues = many\nnonsense\n=5\n")
        self.assertEqual(done.returncode, 2)
        path = str(self.dir / "a.conf")
        for words in ((f"{path}:4:", "granul=64K", "no option"),
                      (f"{path}:5:", "queues=many", "1 to 64"),
                      (f"{path}:6:", "nonsense", "expected key=value"),
                      (f"{path}:7:", "=5", "no option")):
            self.assertTrue(any(all(w in line for w in words)
                                for line in done.stderr.splitlines()), (words, done.stderr))

    def test_given_twice(self):
        done = self.check("quota=16M\nname=a\nquota=17M\n")
        self.assertEqual(done.returncode, 2)
        self.assertIn("a.conf:3: quota=17M: expected once, but it is in line 1", done.stderr)

    def test_not_options_of_a_file(self):
        for key in ("config", "check", "query", "help", "version"):
            done = self.check(f"{key}=x\n")
            self.assertEqual(done.returncode, 2)
            self.assertIn("no option", done.stderr)

    def test_no_file(self):
        self.assertBad(["--config", "/nonexistent/x.conf"], "/nonexistent/x.conf", "No such file")
        self.assertBad(["--config", str(self.dir)], "Is a directory")

    def test_not_text(self):
        path = self.dir / "a.conf"
        path.write_bytes(b"quota=16M\nname=\0x\n" + b"x" * 5000 + b"\nqueues=2\n")
        done = self.run_agent("--check", "--config", str(path))
        self.assertEqual(done.returncode, 2)
        self.assertIn("a.conf:2: expected a line of text", done.stderr)
        self.assertIn("a.conf:3: expected a line of text", done.stderr)

    def test_endless_file(self):
        path = self.dir / "a.conf"
        path.write_bytes(b"\n" * 20000)
        done = self.run_agent("--check", "--config", str(path))
        self.assertEqual(done.returncode, 2)
        self.assertIn("lines", done.stderr)


class Sockets(Case):
    def test_modes(self):
        old = os.umask(0)
        self.addCleanup(os.umask, old)
        with Agent() as agent:
            for path in (*agent.vfio_sockets, agent.vhost_socket, agent.control_socket):
                info = os.stat(path)
                self.assertTrue(stat.S_ISSOCK(info.st_mode))
                self.assertEqual(stat.S_IMODE(info.st_mode), 0o600, path)
        with Agent(args=("--socket-mode", "0660")) as agent:
            for path in (*agent.vfio_sockets, agent.vhost_socket):
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o660)
            self.assertEqual(stat.S_IMODE(os.stat(agent.control_socket).st_mode), 0o600)

    def test_owner(self):
        if os.geteuid() != 0:
            self.skipTest("giving files away needs root")
        with Agent(args=("--socket-owner", "nobody:12345")) as agent:
            for path in (*agent.vfio_sockets, agent.vhost_socket):
                info = os.stat(path)
                self.assertNotEqual(info.st_uid, 0)
                self.assertEqual(info.st_gid, 12345)
            self.assertEqual(os.stat(agent.control_socket).st_uid, 0)

    def test_removed_at_the_end(self):
        with Agent() as agent:
            self.assertGreaterEqual(len(os.listdir(agent.dir)), 3)
            for path in (*agent.vfio_sockets, agent.vhost_socket):
                agent.connect(path).close()
            agent.stop()
            self.assertEqual(os.listdir(agent.dir), ["stderr"])

    def test_sigint(self):
        with Agent() as agent:
            agent.process.send_signal(signal.SIGINT)
            self.assertEqual(agent.wait(), 0)
            self.assertEqual(os.listdir(agent.dir), ["stderr"])

    def test_stale_sockets_are_replaced(self):
        with Agent() as agent:
            agent.kill()
            self.assertTrue(os.path.exists(agent.vhost_socket))
            # The old name goes before the new one comes: what the agent says is what tells.
            agent.start(wait=False)
            for _ in range(1000):
                if "serving VM" in agent.stderr().rpartition("replacing the socket")[2]:
                    break
                threading.Event().wait(0.01)
            self.assertTrue(FrontEnd(agent.connect(agent.vhost_socket)).alive())
            self.assertIn("replacing the socket", agent.stderr())

    def test_live_sockets_are_not(self):
        with Agent() as agent:
            done = self.run_agent(*agent.command[1:])
            self.assertEqual(done.returncode, 1)
            self.assertIn("exists, and is not a socket that nobody serves", done.stderr)
            front_end = FrontEnd(agent.connect(agent.vhost_socket))
            self.assertTrue(front_end.alive())
            self.assertEqual(len(os.listdir(agent.dir)), 4)

    def test_other_files_are_not(self):
        for make in (lambda p: p.write_text("precious"), lambda p: p.mkdir(),
                     lambda p: p.symlink_to("/nonexistent")):
            path = self.dir / "v"
            make(path)
            before = os.lstat(path)
            done = self.run_agent(*self.good())
            self.assertEqual(done.returncode, 1)
            self.assertIn(str(path), done.stderr)
            self.assertEqual(os.lstat(path).st_ino, before.st_ino)
            self.assertEqual(os.listdir(self.dir), ["v"])
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()

    def test_socket_of_another_is_left(self):
        """Who replaced our socket file keeps theirs."""
        with Agent() as agent:
            os.unlink(agent.vhost_socket)
            with socket.socket(socket.AF_UNIX) as other:
                other.bind(agent.vhost_socket)
                agent.stop()
                self.assertTrue(os.path.exists(agent.vhost_socket))
                os.unlink(agent.vhost_socket)

    def test_no_folder(self):
        done = self.run_agent(*self.good("--control", "/nonexistent/c"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent/c", done.stderr)
        self.assertEqual(os.listdir(self.dir), [])

    def start_with_fds(self, args, fds):
        process = subprocess.Popen([str(BINARY), *args], pass_fds=fds, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

        def stop():
            process.terminate()
            _, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0, err)
            self.assertNotIn("Sanitizer", err)

        self.addCleanup(stop)
        return process

    def test_descriptors_handed_in(self):
        listeners = []
        for name in ("d", "v", "c"):
            s = socket.socket(socket.AF_UNIX)
            s.bind(str(self.dir / name))
            s.listen()
            listeners.append(s)
            self.addCleanup(s.close)
        d, v, c = (s.fileno() for s in listeners)
        self.start_with_fds(["--quota=1M", "--iommu=null", f"--device=null,fd={d}",
                             f"--vhost-fd={v}", f"--control-fd={c}"], [d, v, c])
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.dir / "v"))
            self.assertTrue(FrontEnd(s).alive())
        done = self.run_agent("--query", str(self.dir / "c"), "ping")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_connected_front_end_handed_in(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(ours.close)
        fd = theirs.fileno()
        self.start_with_fds(["--quota=1M", "--iommu=null", f"--device=null,socket={self.dir}/d",
                             f"--vhost-fd={fd}"], [fd])
        theirs.close()
        self.assertTrue(FrontEnd(ours).alive())

    def test_wrong_descriptors(self):
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        self.addCleanup(os.close, write_end)
        done = self.run_agent("--quota=1M", "--iommu=null", f"--device=null,socket={self.dir}/d",
                              f"--vhost-fd={read_end}", pass_fds=[read_end])
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"descriptor {read_end}", done.stderr)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            done = self.run_agent("--quota=1M", "--iommu=null",
                                  f"--device=null,socket={self.dir}/d",
                                  f"--vhost-fd={s.fileno()}", pass_fds=[s.fileno()])
            self.assertEqual(done.returncode, 1)
            self.assertIn("not a stream socket", done.stderr)
        self.assertEqual(os.listdir(self.dir), [])


class Service(Case):
    def test_notify(self):
        """READY=1 comes when the sockets accept, STOPPING=1 at the end."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            path = str(self.dir / "notify")
            notify.bind(path)
            notify.settimeout(60)
            process = subprocess.Popen([str(BINARY), *self.good()], stdin=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE,
                                       env={**os.environ, "NOTIFY_SOCKET": path})
            self.addCleanup(process.stderr.close)
            self.assertIn(b"READY=1", notify.recv(4096))
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(str(self.dir / "v"))
                self.assertTrue(FrontEnd(s).alive())
            process.terminate()
            self.assertIn(b"STOPPING=1", notify.recv(4096))
            self.assertEqual(process.wait(60), 0)

    def test_no_vfio(self):
        """A machine without VFIO: a word about what to do, and nothing left."""
        if os.path.exists("/dev/vfio/vfio"):
            self.skipTest("this machine has VFIO")
        done = self.run_agent("--quota=1M", f"--device=0000:ff:1f.7,socket={self.dir}/d",
                              f"--vhost-socket={self.dir}/v")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/dev/vfio/vfio", done.stderr)
        self.assertEqual(os.listdir(self.dir), [])

    def test_memlock(self):
        """RLIMIT_MEMLOCK below the quota is said at start, and raised as far as it goes."""
        fd = os.open("/dev/null", os.O_RDWR)
        self.addCleanup(os.close, fd)
        if os.geteuid() == 0 and not shutil.which("setpriv"):
            self.skipTest("setpriv is needed to drop CAP_IPC_LOCK")
        command = [str(BINARY), "--quota=1G", f"--container-fd={fd}",
                   f"--device=0000:ff:1f.7,socket={self.dir}/d", f"--vhost-socket={self.dir}/v"]
        if os.geteuid() == 0:
            command = ["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock", *command]

        def limit():
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 20, 1 << 21))

        done = subprocess.run(command, capture_output=True, text=True, timeout=60, pass_fds=[fd],
                              preexec_fn=limit)
        self.assertEqual(done.returncode, 1)
        self.assertIn("RLIMIT_MEMLOCK is 2097152 bytes, below the quota of 1073741824",
                      done.stderr)


if __name__ == "__main__":
    unittest.main()
