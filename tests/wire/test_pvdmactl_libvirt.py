# SPDX-License-Identifier: GPL-2.0-or-later
"""pvdmactl and libvirt: the hook, with a service that is none; attach and detach."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from lib.agent import BINARY as AGENT, ROOT

CTL = AGENT.parent / "pvdmactl"
HOOK = ROOT / "host/libvirt/qemu-hook"
SCHEMA = ROOT / "host/libvirt/pvdma-domain.rng"
EXAMPLE = ROOT / "host/libvirt/example.xml"
FAKE = ROOT / "tests/wire/lib/fake_pvdmad.py"
NS = "https://pvdma.org/xmlns/libvirt/domain/1.0"
# That of the distribution, which has its bindings.
PYTHON = "/usr/bin/python3"


SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"


UUID = "5a1d3c2e-0000-4000-8000-00000000000a"


def domain(vm="", name="vm1", more=SHARED, uuid=UUID):
    metadata = f"<metadata><p:vm xmlns:p='{NS}' {vm}</metadata>" if vm else ""
    return (f"<domain type='kvm'><name>{name}</name><uuid>{uuid}</uuid>{metadata}{more}</domain>")


VM = ("quota='256M' min='64M' max='0x40000000' weight='200' strategy='shared' queues='4' "
      "spare-ports='2'><p:device address='0000:01:00.0'/><p:device address='02:00.1'/></p:vm>")


class Case(unittest.TestCase):
    def setUp(self):
        if not CTL.exists():
            self.skipTest(f"there is no pvdmactl at {CTL}")
        self.dir = Path(tempfile.mkdtemp(prefix="pvdma-wire-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.env = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=f"unix:path={self.dir}/none",
                        PATH=f"{CTL.parent}:{os.environ['PATH']}")
        self.log = self.dir / "calls"

    def start(self, *command, stderr=None):
        """Starts a process whose first line says that it is ready."""
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True,
                                   env=self.env)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait, 30)
        self.addCleanup(process.kill)
        line = process.stdout.readline()
        self.assertTrue(line, f"{command} did not start")
        return line.strip()

    def start_bus(self, mode=None):
        path = self.dir / "bus"
        self.env["DBUS_SYSTEM_BUS_ADDRESS"] = self.start(
            "dbus-daemon", "--session", "--nofork", "--print-address", f"--address=unix:path={path}",
            stderr=subprocess.DEVNULL)
        if mode:
            self.start(PYTHON, str(FAKE), str(self.log), mode)

    def calls(self):
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def run_ctl(self, *args, text="", status=0):
        done = subprocess.run([str(CTL), *args], input=text, capture_output=True, text=True,
                              timeout=120, env=self.env)
        for word in ("Sanitizer", "runtime error"):
            self.assertNotIn(word, done.stderr)
        self.assertEqual(done.returncode, status, done)
        return done

    def hook(self, operation, text, status=0, options=()):
        done = self.run_ctl("hook", *options, "vm1", operation, "begin", "-", text=text,
                            status=status)
        self.assertEqual(done.stdout, "")
        return done.stderr


class Hook(Case):
    def test_prepare_and_release(self):
        self.start_bus("ok")
        more = ("<seclabel type='static' model='dac' relabel='yes'><label>+64055:+108</label>"
                "</seclabel>")
        self.hook("prepare", domain(VM, more=SHARED + more))
        self.assertEqual(self.calls(), [["StartVM", "vm1", {
            "quota": "256M", "min": ["UInt64", 64 << 20], "max": ["UInt64", 1 << 30],
            "weight": ["UInt32", 200], "strategy": "shared", "queues": "4",
            "devices": ["0000:01:00.0", "0000:02:00.1"], "owner": "64055:108",
            "domain": UUID}]])
        for operation in ("start", "started", "stopped", "migrate", "restore", "attach"):
            self.assertEqual(self.hook(operation, domain(VM)), "")
        self.assertEqual(self.hook("reconnect", domain(VM)), "")
        self.hook("release", domain(VM))
        # a domain that could not start is released all the same
        self.assertEqual(self.hook("release", domain(VM)), "")
        self.assertEqual([call[0] for call in self.calls()], ["StartVM", "StopVM"])
        self.assertIn("no VM vm1", self.hook("reconnect", domain(VM)))

    def test_vm_of_another_domain(self):
        """A domain whose start was refused for its VM's name does not end who has that name."""
        self.start_bus("ok")
        other = UUID[:-1] + "b"
        self.hook("prepare", domain("quota='1M' name='web'/>"))
        twin = domain("quota='1M' name='web'/>", name="vm2", uuid=other)
        self.assertIn("not its own", self.hook("release", twin))
        self.assertIn("no VM web for it", self.hook("reconnect", twin))
        self.assertEqual(self.hook("reconnect", domain("quota='1M' name='web'/>")), "")
        self.assertEqual([call[0] for call in self.calls()], ["StartVM"])
        self.hook("release", domain("quota='1M' name='web'/>"))
        self.assertEqual([call[0] for call in self.calls()], ["StartVM", "StopVM"])

    def test_name(self):
        self.start_bus("ok")
        self.hook("prepare", domain("quota='1M' name='other'/>", name="a b"))
        self.assertEqual(self.calls(), [["StartVM", "other", {"quota": "1M", "devices": [],
                                                              "domain": UUID}]])
        self.assertIn("set name=", self.hook("prepare", domain("quota='1M'/>", name="a b"), 1))

    def test_memory(self):
        """Without shared memory nothing is started: the guest's devices would see other memory."""
        for backing in ("", "<memoryBacking><source type='memfd'/></memoryBacking>",
                        "<memoryBacking><access mode='shared'/></memoryBacking>"):
            self.assertIn("its memory is not shared",
                          self.hook("prepare", domain(VM, more=backing), 1))
            self.hook("reconnect", domain(VM, more=backing))

    def test_others_are_left_alone(self):
        for text in (domain(), "", "not XML at all", domain(more=f"<title>{NS}</title>")):
            for operation in ("prepare", "release", "reconnect"):
                self.assertEqual(self.hook(operation, text), "")

    def test_bad_settings(self):
        for vm, words in (("quota='much'/>", 'quota="much"'), ("min='1M'/>", "expected a quota"),
                          ("quota='1M' min='2M'/>", "min <= quota"), ("sise='1'/>", '"sise"'),
                          ("quota='1M'><p:device/></p:vm>", "PCI address")):
            self.assertIn(words, self.hook("prepare", domain(vm), 1))
            self.hook("reconnect", domain(vm))

    def test_service_says_no(self):
        self.start_bus("error")
        self.assertIn("cannot start VM vm1: device 0000:01:00.0 belongs to VM other",
                      self.hook("prepare", domain(VM), 1))
        self.assertIn("belongs to VM", self.hook("release", domain(VM), 1))

    def test_service_is_not_there(self):
        self.assertIn("system bus", self.hook("prepare", domain(VM), 1))
        self.hook("reconnect", domain(VM))
        self.start_bus()
        self.assertIn("systemctl start pvdmad", self.hook("prepare", domain(VM), 1))
        self.hook("reconnect", domain(VM))

    def test_service_does_not_answer(self):
        self.start_bus("late")
        before = time.monotonic()
        self.assertIn("no answer in time",
                      self.hook("prepare", domain(VM), 1, ["--timeout", "1"]))
        self.assertLess(time.monotonic() - before, 30)

    def test_bus_does_not_answer(self):
        # the connection is made, and nothing is ever said: the alarm ends it
        path = self.dir / "mute"
        with socket.socket(socket.AF_UNIX) as mute:
            mute.bind(str(path))
            mute.listen()
            self.env["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={path}"
            before = time.monotonic()
            self.assertTrue(self.hook("prepare", domain(VM), 1, ["--timeout", "1"]))
        self.assertLess(time.monotonic() - before, 30)

    def test_failed_vm(self):
        self.start_bus("failed")
        self.hook("prepare", domain(VM))
        self.assertIn("is failed", self.hook("reconnect", domain(VM)))

    def test_command_line(self):
        self.run_ctl("hook", status=2)
        self.run_ctl("hook", "--timeout", "0", "vm1", "prepare", status=2)
        self.run_ctl("hook", "vm1", "operation-to-come", "begin", "-")


class Script(Case):
    """The hook as it is installed."""

    def test_without_pvdmactl(self):
        text = HOOK.read_text().replace("pvdmactl", "pvdmactl-is-not-there")
        script = self.dir / "hook"
        script.write_text(text)
        for operation, xml, status in (("prepare", domain(VM), 1), ("prepare", domain(), 0),
                                       ("release", domain(VM), 0)):
            done = subprocess.run(["sh", str(script), "vm1", operation, "begin", "-"], input=xml,
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, status, done)
            self.assertEqual("there is no pvdmactl" in done.stderr, status == 1)

    def test_with_pvdmactl(self):
        text = HOOK.read_text().replace("PATH=", f"PATH={CTL.parent}:")
        script = self.dir / "hook"
        script.write_text(text)
        self.start_bus("ok")
        subprocess.run(["sh", str(script), "vm1", "prepare", "begin", "-"], input=domain(VM),
                       check=True, text=True, timeout=60, env=self.env)
        self.assertEqual(self.calls()[0][:2], ["StartVM", "vm1"])
        # what is none of pvdma's stays so, whatever it is called
        for operation in ("prepare", "reconnect", "release"):
            subprocess.run(["sh", str(script), "--help", operation, "begin", "-"],
                           input=domain(name="--help"), check=True, text=True, timeout=60,
                           env=self.env)


class Attach(Case):
    """What libvirt's test driver can tell; each connection to it is a new world."""

    def setUp(self):
        super().setUp()
        self.node = self.dir / "node.xml"
        self.write(EXAMPLE.read_text())

    def write(self, text):
        text = text.replace("<domain type='kvm'>", "<domain type='test'>")
        self.node.write_text(f"<node>{text}</node>")

    def ctl(self, *args, text="", status=0):
        return self.run_ctl(*args, "--connect", f"test://{self.node}", text=text, status=status)

    def test_attach(self):
        done = self.ctl("attach", "vm1", "03:00.0", "--dry-run")
        self.assertIn("+      <pvdma:device address='0000:03:00.0'/>", done.stdout)
        done = self.ctl("attach", "vm1", "03:00.0", "--yes")
        self.assertIn("Domain vm1 has 0000:03:00.0", done.stdout)
        done = self.ctl("attach", "vm1", "03:00.0", text="y\n")
        self.assertIn("[y/N]", done.stdout)
        for answer in ("", "n\n", "yesterday\n"):
            done = self.ctl("attach", "vm1", "03:00.0", text=answer, status=1)
            self.assertIn("Nothing was changed", done.stdout)

    def test_detach(self):
        done = self.ctl("detach", "vm1", "0000:02:00.0", "--yes")
        self.assertIn('-      <pvdma:device address="0000:02:00.0"/>', done.stdout)
        self.assertIn("no longer has 0000:02:00.0", done.stdout)
        done = self.ctl("detach", "vm1", "0000:03:00.0", "--yes", status=1)
        self.assertIn("no device 0000:03:00.0", done.stderr)

    def test_live(self):
        done = self.ctl("attach", "vm1", "03:00.0", "--yes", "--live", status=1)
        self.assertIn("defined as it was before", done.stderr)
        # there is no such device here, so nobody knows that it has no MSI-X
        done = self.ctl("detach", "vm1", "02:00.0", "--yes", "--live", status=1)
        self.assertIn("MSI-X", done.stderr)
        self.assertEqual(done.stdout, "")

    def test_refusals(self):
        for args, words in ((("vm2", "03:00.0"), "no domain vm2"),
                            (("vm1", "01:00.0"), "already"),
                            (("vm1", "03:00.0", "--max", "1M"), "min <= quota")):
            self.assertIn(words, self.ctl("attach", *args, "--yes", status=1).stderr)
        for args, words in ((("vm1",), "expected a domain and a device"),
                            (("vm1", "disk"), "PCI address"),
                            (("vm1", "03:00.0", "--quota", "big"), 'quota="big"'),
                            (("vm1", "03:00.0", "--quote", "1"), "--help")):
            self.assertIn(words, self.ctl("attach", *args, status=2).stderr)
        self.assertIn("--quota SIZE", self.ctl("attach", "--help").stdout)
        self.assertNotIn("--quota SIZE", self.ctl("detach", "--help").stdout)


class Schema(Case):
    def test_example(self):
        if not shutil.which("xmllint"):
            self.skipTest("there is no xmllint")
        for text, good in ((EXAMPLE.read_text(), True), (domain(VM), True),
                           (domain("quota='x'/>"), False), (domain("size='1'/>"), False)):
            done = subprocess.run(["xmllint", "--noout", "--relaxng", str(SCHEMA), "-"], input=text,
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode == 0, good, (text, done.stderr))


if __name__ == "__main__":
    unittest.main()
