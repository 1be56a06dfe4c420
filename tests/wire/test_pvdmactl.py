# SPDX-License-Identifier: GPL-2.0-or-later
"""pvdmactl against a real pvdmad on a bus of its own, with real agents."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

from lib.bus import BUILD, ROOT, Host, Sockets, wait_for  # (may re-exec)
from lib import vhost_user as vu

CTL = BUILD / "pvdmactl"
OK, FAILED, USAGE, NO_SUCH_VM, NOT_ALLOWED, NO_SERVICE = range(6)
STRANGER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


class Case(unittest.TestCase):
    CONFIG = "budget=64M\n"

    def setUp(self):
        if not CTL.exists():
            self.skipTest(f"there is no pvdmactl at {CTL}")
        self.host = self.enterContext(Host(config=self.CONFIG))

    def run_ctl(self, *args, user=(), stdin=None):
        return subprocess.run([*user, str(CTL), f"--bus={self.host.address}", *args],
                              capture_output=True, text=True, timeout=60, input=stdin,
                              check=False)

    def ctl(self, *args, status=OK, words=None, **kwargs):
        """Runs it, holds it to a status, and its messages to words. Its output."""
        done = self.run_ctl(*args, **kwargs)
        self.assertEqual(done.returncode, status, (args, done.stdout, done.stderr))
        if words is not None:
            self.assertRegex(done.stderr, words)
        elif status == OK:
            self.assertEqual(done.stderr, "", args)
        return done.stdout

    def json(self, *args, **kwargs):
        return json.loads(self.ctl("--json", *args, **kwargs))

    def start(self, name="vm1", *settings):
        self.ctl("start", name, "quota=16M", "iommu=null", "device=null", *settings)


class Life(Case):
    def test_start_and_stop(self):
        out = self.ctl("start", "vm.1", "quota=16M", "iommu=null", "device=null", "min=1M",
                       "max=32M", "weight=7", "strategy=persistent")
        self.assertIn("vm.1 runs", out)
        vm = self.json("show", "vm.1")
        self.assertEqual((vm["name"], vm["state"], vm["quota"], vm["min"], vm["max"],
                          vm["weight"], vm["strategy"], vm["failure"]),
                         ("vm.1", "running", 16 << 20, 1 << 20, 32 << 20, 7, "persistent", ""))
        self.assertEqual([d["address"] for d in vm["devices"]], ["null"])
        self.assertTrue(Path(vm["devices"][0]["socket"]).is_socket())
        self.assertEqual(vm["stats"]["vm"]["quota"], 16 << 20)
        self.assertEqual(vm["config"]["name"], "vm.1")
        self.ctl("start", "vm.1", "quota=1M", "device=null", status=FAILED, words="there already")
        stopped = self.json("stop", "vm.1")
        self.assertEqual(stopped, {"name": "vm.1", "state": "stopped"})
        self.ctl("stop", "vm.1", status=NO_SUCH_VM, words="no VM of the name vm.1")
        self.assertEqual(self.json("list"), {"vms": []})

    def test_settings(self):
        """The service judges; its words come through, and nothing is left."""
        for settings, words in ((["quota=much", "device=null"], "expected a size"),
                                (["device=null"], "quota is not set"),
                                (["quota=1M", "colour=red", "device=null"], "no setting"),
                                (["quota=1M", "device=ffff:ff:1f.7"], "no such PCI device"),
                                (["quota=1G", "device=null"], "budget")):
            self.ctl("start", "vm1", *settings, status=FAILED, words=words)
        self.ctl("start", "vm1", "quota", status=USAGE, words="KEY=VALUE")
        self.ctl("start", "a/b", "quota=1M", status=FAILED, words="no name for a VM")
        vm = self.json("start", "vm1", "quota=1M", "iommu=null", "devices=null")
        self.assertEqual(vm["state"], "running")

    def test_failed(self):
        """A VM whose agent has died is shown as what it is."""
        self.start()
        os.kill(self.host.pid("vm1"), signal.SIGKILL)
        wait_for(lambda: "journalctl" in self.host.vm_get("vm1", "Failure"), "the reason")
        self.assertIn("vm1 failed: ", self.ctl("status"))
        self.assertEqual(self.json("status")["vms"][0]["state"], "failed")
        vm = self.json("show", "vm1")
        self.assertNotIn("stats", vm)
        self.assertIn("journalctl", vm["failure"])
        self.ctl("trace", "vm1", status=FAILED, words="no agent that runs")
        self.assertIn('pvdma_vm_state{vm="vm1",state="failed"} 1', self.ctl("metrics"))
        self.ctl("stop", "vm1")


class Show(Case):
    def test_lists(self):
        self.start("b")
        self.start("a", "max=32M")
        host = self.json("status")
        self.assertEqual((host["budget"], host["assigned"], host["mapped"]),
                         (64 << 20, 32 << 20, 0))
        self.assertEqual([vm["name"] for vm in host["vms"]], ["a", "b"])
        self.assertEqual([vm["name"] for vm in self.json("list")["vms"]], ["a", "b"])
        lines = self.ctl("list").splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["NAME", "a", "b"])
        self.assertEqual(lines[1].split()[1:4], ["running", "16M", "0"])
        self.assertRegex(self.ctl("status"), r"(?s)budget +64M.*assigned +32M \(50%.*2, of which 2")
        self.assertRegex(self.ctl("show", "a"), r"(?m)^max +32M$")
        self.ctl("show", "c", status=NO_SUCH_VM, words="no VM of the name c: pvdmactl list")

    def test_devices(self):
        found = self.json("devices")["devices"]
        names = {path.name for path in Path("/sys/bus/pci/devices").glob("*")}
        for device in found:
            self.assertIn(device["address"], names)
            self.assertEqual(set(device),
                             {"address", "text", "driver", "group", "vm", "problems"})
            for problem in device["problems"]:
                self.assertTrue(problem["problem"])
        text = self.ctl("devices")
        for device in found:
            self.assertIn(device["address"], text)
            for problem in device["problems"]:
                self.assertIn(problem["fix"], text)
        if found:
            one = self.json("devices", found[0]["address"])["devices"]
            self.assertEqual([d["address"] for d in one], [found[0]["address"]])
        self.ctl("devices", "ffff:ff:1f.7", status=FAILED, words="no device ffff")
        self.ctl("devices", "nonsense", status=USAGE, words="no PCI address")

    def test_top(self):
        self.start()
        out = self.ctl("top", "--once", "--interval", "100ms")
        self.assertNotIn("\033", out)
        self.assertRegex(out, r"(?m)^NAME .*REQ/S")
        self.assertRegex(out, r"(?m)^vm1 +running +16M")
        top = self.json("top", "--once", "--interval", "100ms")
        self.assertGreater(top["interval"], 0.09)
        self.assertEqual(top["vms"][0]["rates"]["maps"], 0)
        self.ctl("top", "--interval", "1ms", status=USAGE, words="100ms")

    def test_top_goes_on(self):
        """Without a terminal it prints again and again, and ends by a signal."""
        self.start()
        with subprocess.Popen([str(CTL), f"--bus={self.host.address}", "top", "--interval",
                               "100ms"], stdout=subprocess.PIPE, text=True) as top:
            heads = 0
            while heads < 3:
                line = top.stdout.readline()
                self.assertTrue(line)
                heads += line.startswith("NAME")
            top.send_signal(signal.SIGINT)
            self.assertNotIn("\033", top.stdout.read())
            self.assertEqual(top.wait(), OK)

    def test_trace(self):
        self.start()
        self.assertIn("Recording", self.ctl("trace", "vm1"))
        answer = self.json("trace", "vm1", "--count", "3")
        self.assertEqual((answer["recording"], answer["requests"]), (True, []))
        self.ctl("trace", "vm1", "--count", "65", status=USAGE, words="1 to 64")
        self.ctl("trace", "vm2", status=NO_SUCH_VM)

    def test_doctor(self):
        """It finds the service on the bus that it is given."""
        done = self.run_ctl("--json", "doctor")
        self.assertIn(done.returncode, (OK, FAILED))
        checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
        self.assertEqual(checks["pvdmad"]["state"], "ok")


class Guest(Case):
    """With a driver that asks for mappings."""

    def boot(self):
        self.start("vm1", "granule=64K", "ahead=off")
        guest = self.enterContext(vu.Guest(Sockets(self.host, "vm1")))
        guest.ready()
        return guest

    def test_trace(self):
        guest = self.boot()
        self.ctl("trace", "vm1")
        for first in (100, 200):
            self.assertEqual(guest.map((first, 2)).status, vu.OK)
        lines = self.ctl("trace", "vm1").splitlines()
        self.assertEqual(lines[0].split()[:5], ["NUMBER", "TYPE", "ENDPOINT", "ITEMS", "STATUS"])
        self.assertEqual([line.split()[:5] for line in lines[1:]],
                         [["1", "map", "1", "1", "ok"], ["2", "map", "1", "1", "ok"]])
        self.assertEqual(lines[1].split()[-1], "128K")
        self.assertEqual(len(self.json("trace", "vm1", "--count", "1")["requests"]), 1)
        with subprocess.Popen([str(CTL), f"--bus={self.host.address}", "trace", "vm1", "--json",
                               "--follow"], stdout=subprocess.PIPE, text=True) as follow:
            numbers = [json.loads(follow.stdout.readline())["number"] for _ in range(2)]
            guest.map((300, 1))
            numbers.append(json.loads(follow.stdout.readline())["number"])
            self.assertEqual(numbers, [1, 2, 3])
            follow.send_signal(signal.SIGTERM)
            self.assertEqual(follow.wait(60), OK)

    def test_counters(self):
        guest = self.boot()
        self.assertEqual(guest.map((100, 4)).status, vu.OK)
        self.assertRegex(self.ctl("top", "--once", "--interval", "100ms"),
                         r"(?m)^vm1 +running +16M +256K +2% ")
        self.assertEqual(guest.map((0, 257)).status, vu.QUOTA)
        text = self.ctl("metrics")
        for sample in ('vm_mapped_bytes{vm="vm1"} 262144', 'vm_failed_quota_total{vm="vm1"} 1',
                       'vm_map_requests_total{vm="vm1"} 2', 'vm_entries{vm="vm1"} 1'):
            self.assertIn(f"pvdma_{sample}\n", text)
        self.assertIn("1 failed (1 for want of quota", self.ctl("show", "vm1"))


class Change(Case):
    def test_quota_and_limits(self):
        self.start()
        self.assertEqual(self.json("quota", "vm1")["quota"], 16 << 20)
        self.assertIn("quota 4M", self.ctl("quota", "vm1", "4M"))
        self.assertEqual(self.host.vm_get("vm1", "Quota"), 4 << 20)
        vm = self.json("limits", "vm1", "--max", "8M", "--weight", "5")
        self.assertEqual((vm["min"], vm["max"], vm["weight"]), (4 << 20, 8 << 20, 5))
        self.assertEqual(self.json("limits", "vm1")["max"], 8 << 20)
        self.ctl("quota", "vm1", "16M", status=FAILED, words="not between")
        self.ctl("quota", "vm1", "lots", status=USAGE, words="expected a size")
        self.ctl("limits", "vm1", "--min", "9M", status=FAILED, words="min <= max")
        self.ctl("limits", "vm1", "--weight", "0", status=USAGE, words="1 to 10000")
        self.ctl("quota", "vm2", "4M", status=NO_SUCH_VM)

    def test_strategy(self):
        self.start()
        self.assertEqual(self.json("strategy", "vm1", "shared")["strategy"], "shared")
        self.assertIn("strategy shared", self.ctl("strategy", "vm1"))
        self.ctl("strategy", "vm1", "best", status=FAILED, words="expected single-use")

    def test_budget(self):
        self.start()
        self.assertIn("64M", self.ctl("budget"))
        self.assertEqual(self.json("budget", "1G")["budget"], 1 << 30)
        self.ctl("budget", "1M", status=FAILED, words="lower their min")
        self.assertIn("no limit", self.ctl("budget", "none"))


class Errors(Case):
    def test_usage(self):
        for args in ((), ("nonsense",), ("stop",), ("list", "x"), ("quota", "a", "1", "2"),
                     ("list", "--nonsense"), ("--nonsense",), ("help", "nonsense"),
                     ("metrics", "--format", "x"), ("--json", "attach", "a", "b")):
            self.ctl(*args, status=USAGE, words=".")

    def test_json(self):
        """With --json, errors are JSON, too."""
        self.assertEqual(self.json("show", "vm1", status=NO_SUCH_VM, words="no VM"),
                         {"error": "there is no VM of the name vm1: pvdmactl list shows all",
                          "status": NO_SUCH_VM})

    def test_no_service(self):
        self.host.stop()
        self.ctl("status", status=NO_SERVICE, words="systemctl start")
        self.ctl("stop", "vm1", status=NO_SERVICE, words="systemctl start")
        self.assertEqual(self.json("list", status=NO_SERVICE, words=".")["status"], NO_SERVICE)
        self.assertEqual(self.ctl("metrics", status=NO_SERVICE, words="."), "")
        done = subprocess.run([str(CTL), "--bus=unix:path=/nonexistent", "status"],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, NO_SERVICE, done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "other users can be played by root only")
    def test_strangers(self):
        """Who is not root is polkit's to judge, and is told so."""
        self.start()
        self.ctl("list", user=STRANGER)
        for args in (("stop", "vm1"), ("quota", "vm1", "1M"), ("strategy", "vm1", "shared"),
                     ("limits", "vm1", "--weight", "3"), ("budget", "1G"),
                     ("start", "vm2", "quota=1M", "device=null")):
            self.ctl(*args, status=NOT_ALLOWED, words="password of an administrator",
                     user=STRANGER)
        self.assertEqual(self.host.vm_get("vm1", "Quota"), 16 << 20)
        self.host.polkit.allowed.add("org.pvdma1.manage-vms")
        self.ctl("quota", "vm1", "1M", user=STRANGER)
        self.host.polkit.allowed.clear()
        self.ctl("list", status=NOT_ALLOWED, words="not allowed", user=STRANGER)


class Help(unittest.TestCase):
    def setUp(self):
        if not CTL.exists():
            self.skipTest(f"there is no pvdmactl at {CTL}")

    def ctl(self, *args):
        return subprocess.run([str(CTL), *args], capture_output=True, text=True, timeout=60,
                              check=True).stdout

    def table(self):
        return json.loads(self.ctl("help", "--json"))["verbs"]

    def test_help(self):
        text = self.ctl("--help")
        self.assertEqual(text, self.ctl("help"))
        for verb in self.table():
            self.assertRegex(text, rf"(?m)^  {verb['name']} ")
        self.assertIn("--weight N", self.ctl("help", "limits"))
        self.assertIn("--weight N", self.ctl("limits", "--help"))
        self.assertIn("--quota SIZE", self.ctl("help", "attach"))
        for verb in self.table():
            self.assertIn(f"pvdmactl {verb['name']}", self.ctl("help", verb["name"]))
        self.assertRegex(self.ctl("--version"), r"^pvdmactl \d")

    def complete(self, *words):
        script = (f"PATH={BUILD}:$PATH; . {ROOT}/packaging/bash-completion/pvdmactl; "
                  "_pvdmactl_devices() { echo 0000:01:00.0 0000:02:00.1; }; "
                  "COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _pvdmactl; "
                  "printf '%s\\n' \"${COMPREPLY[@]}\"")
        out = subprocess.run(["bash", "-c", script, "bash", "pvdmactl", *words],
                             capture_output=True, text=True, timeout=60, check=True)
        return set(out.stdout.split())

    def test_completion(self):
        """What bash completes is what the table has."""
        self.assertEqual(self.complete(""), {verb["name"] for verb in self.table()})
        for verb in self.table():
            if verb["name"] in ("attach", "detach", "doctor", "hook"):
                continue
            self.assertEqual(self.complete(verb["name"], "--"),
                             {f"--{option}" for option in verb["options"]} |
                             {"--json", "--help"})
        for name in ("attach", "doctor"):
            options = set(re.findall(r"(?m)^  (--[\w-]+)", self.ctl("help", name)))
            self.assertEqual(self.complete(name, "--") - {"--help"}, options)
        self.assertEqual(self.complete("strategy", "vm1", "per"), {"persistent"})
        self.assertIn("quota=", self.complete("start", "vm1", "q"))

    def test_completion_of_addresses(self):
        """Bash breaks words at colons, and puts what it is given behind the last one."""
        self.assertEqual(self.complete("attach", "vm1", ""), {"0000:01:00.0", "0000:02:00.1"})
        self.assertEqual(self.complete("attach", "vm1", "0000", ":", "0"), {"01:00.0", "02:00.1"})
        self.assertEqual(self.complete("detach", "vm1", "0000", ":", "02", ":", ""), {"00.1"})
        self.assertEqual(self.complete("doctor", "--device", "0000", ":"), {"01:00.0", "02:00.1"})
        self.assertEqual(self.complete("attach", "vm1", "0000", ":", "01", ":", "00.0", ""), set())

    def test_manual(self):
        """pvdmactl(1) describes each verb and each option."""
        manual = (ROOT / "man/pvdmactl.1").read_text().replace("\\-", "-")
        for verb in self.table():
            self.assertRegex(manual, rf"(?m)^\.(B|BR|BI) {verb['name']}\b", verb)
            for option in verb["options"]:
                self.assertIn(f"--{option}", manual)


class Metrics(Case):
    def check(self, text):
        """The older form, by promtool's lints."""
        if not shutil.which("promtool"):
            self.skipTest("promtool is not here (Debian: prometheus)")
        done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                              capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout + done.stderr, "")

    def test_prometheus(self):
        self.start("vm1")
        self.start("vm2")
        text = self.ctl("metrics", "--format", "prometheus")
        self.assertIn('pvdma_vm_quota_bytes{vm="vm2"} 16777216\n', text)
        self.assertIn('pvdma_device_resets_total{vm="vm1",device="null",endpoint="1"} ', text)
        self.check(text)

    def test_openmetrics(self):
        """By Prometheus' own parser, which wants times to make blocks of."""
        self.start()
        text = self.ctl("metrics")
        self.assertTrue(text.endswith("# EOF\n"))
        families = re.findall(r"(?m)^# TYPE (\S+)", text)
        self.assertEqual(len(families), len(set(families)))
        for name, unit in re.findall(r"(?m)^# UNIT (\S+) (\S+)$", text):
            self.assertTrue(name.endswith("_" + unit), name)
        for name in families:
            self.assertRegex(text, rf"(?m)^# HELP {name} \S")
        if not shutil.which("promtool"):
            self.skipTest("promtool is not here (Debian: prometheus)")
        timed = re.sub(r"(?m)^([^#\n].*)$", r"\1 1700000000", text)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "metrics"
            path.write_text(timed)
            done = subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics",
                                   str(path), folder + "/data"], text=True, capture_output=True,
                                  timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_textfile(self):
        """It is replaced at one stroke, and readable for all."""
        self.start()
        path = self.host.dir / "pvdma.prom"
        path.write_text("old")
        before = path.stat().st_ino
        self.assertEqual(self.ctl("metrics", "--textfile", str(path)), "")
        self.assertNotEqual(path.stat().st_ino, before)
        self.assertEqual(path.stat().st_mode & 0o777, 0o644)
        self.assertEqual(list(self.host.dir.glob("pvdma.prom?*")), [])
        self.check(path.read_text())
        self.ctl("metrics", "--textfile", "/nonexistent/x.prom", status=FAILED, words="cannot")

    def ask(self, request):
        """As systemd does for a socket with Accept=yes."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            with subprocess.Popen([str(CTL), f"--bus={self.host.address}", "metrics", "--http"],
                                  stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL) as ctl:
                theirs.close()
                ours.settimeout(60)
                ours.sendall(request)
                answer = b""
                while part := ours.recv(65536):
                    answer += part
                ctl.wait(60)
        head, _, body = answer.decode().partition("\r\n\r\n")
        length = int(re.search(r"Content-Length: (\d+)", head).group(1))
        self.assertEqual(length, len(body))
        return int(head.split()[1]), head, body

    def test_http(self):
        self.start()
        status, head, body = self.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: "
                                      b"application/openmetrics-text;version=1.0.0\r\n\r\n")
        self.assertEqual(status, 200)
        self.assertIn("Content-Type: application/openmetrics-text; version=1.0.0", head)
        self.assertTrue(body.endswith("# EOF\n"))
        status, head, body = self.ask(b"GET /metrics?x=y HTTP/1.1\r\n\r\n")
        self.assertEqual(status, 200)
        self.assertIn("Content-Type: text/plain; version=0.0.4", head)
        self.check(body)
        for request, expected in ((b"GET / HTTP/1.1\r\n\r\n", 404),
                                  (b"GET /metricsx HTTP/1.1\r\n\r\n", 404),
                                  (b"POST /metrics HTTP/1.1\r\n\r\n", 405),
                                  (b"GET /metrics\0 HTTP/1.1\r\n\r\n", 400),
                                  (b"x" * 9000, 431)):
            self.assertEqual(self.ask(request)[0], expected, request[:40])
        self.host.stop()
        self.assertEqual(self.ask(b"GET /metrics HTTP/1.1\r\n\r\n")[0], 503)


if __name__ == "__main__":
    unittest.main()
