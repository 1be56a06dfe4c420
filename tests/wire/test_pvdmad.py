# SPDX-License-Identifier: GPL-2.0-or-later
"""pvdmad on a bus of its own: starts and ends VMs, and refuses what is wrong."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import unittest
import xml.etree.ElementTree as ET
from pathlib import Path

from lib.bus import (BUILD, ROOT, TIMEOUT, GLib, Host, Sockets, dbus, encode,  # (may re-exec)
                     wait_for)
from lib.vhost_user import Guest


class Case(unittest.TestCase):
    def assert_error(self, name, words, fn, *args, **kwargs):
        """The call fails with org.pvdma1.Error.NAME, in words that match."""
        with self.assertRaises(dbus.DBusException) as caught:
            fn(*args, **kwargs)
        self.assertEqual(caught.exception.get_dbus_name().rsplit(".", 1)[1], name,
                         caught.exception)
        self.assertRegex(caught.exception.get_dbus_message(), words)


class Life(Case):
    def test_start_and_stop(self):
        with Host() as host:
            uuid = "5a1d3c2e-0000-4000-8000-00000000000A"
            path = host.start_vm("vm.1", quota="16M", strategy="persistent", domain=uuid)
            self.assertEqual(host.vm_get("vm.1", "Domain"), uuid)
            self.assertEqual(path, "/org/pvdma1/vm/" + encode("vm.1"))
            self.assertEqual(host.vm_get("vm.1", "State"), "running")
            self.assertEqual(host.vm_get("vm.1", "Quota"), 16 << 20)
            self.assertEqual(host.vm_get("vm.1", "Strategy"), "persistent")
            self.assertEqual(host.manager().ListVMs(), [("vm.1", path)])
            self.assertEqual(host.manager().GetVM("vm.1"), path)
            (device,) = host.vm_get("vm.1", "Devices")
            self.assertEqual(device[0], "null")
            for place in (device[2], host.vm_get("vm.1", "Socket")):
                self.assertTrue(Path(place).is_socket(), place)
                self.assertEqual(Path(place).stat().st_mode & 0o777, 0o600)
            config = json.loads(host.vm("vm.1").Query("config"))
            self.assertEqual(config["name"], "vm.1")
            self.assertEqual(config["quota"], 16 << 20)
            host.manager().StopVM("vm.1")
            self.assertEqual(host.manager().ListVMs(), [])
            self.assertEqual(list((host.runtime / "vm").iterdir()), [])
            self.assertEqual(list((host.runtime / "state").iterdir()), [])
            self.assert_error("NoSuchVM", "vm.1", host.manager().StopVM, "vm.1")

    def busctl(self, host, member, *args):
        return subprocess.Popen(["busctl", f"--address={host.address}", "--timeout=120", "call",
                                 "org.pvdma1", "/org/pvdma1", "org.pvdma1.Manager", member, *args],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def test_stop_while_it_starts(self):
        """Who is out of patience gets what they want in the end: nothing is left."""
        for agent in ('exec "$@"', "exit 1"):
            with Host() as host:
                go = host.dir / "go"
                host.systemd.command = [
                    "sh", "-c", f"until [ -e {go} ]; do sleep 0.02; done; {agent}", "sh",
                    *host.systemd.command]
                start = self.busctl(host, "StartVM", "sa{sv}", "vm1", "3", "quota", "s", "1M",
                                    "iommu", "s", "null", "devices", "as", "1", "null")
                wait_for(host.manager().ListVMs, "the VM")
                self.assertEqual(host.vm_get("vm1", "State"), "starting")
                stop = self.busctl(host, "StopVM", "s", "vm1")
                wait_for(lambda: "will be ended when" in host.log_text(), "the stop")
                self.assert_error("Failed", "is starting", host.manager().StopVM, "vm1")
                go.touch()
                start.communicate(timeout=TIMEOUT)
                self.assertEqual(start.returncode == 0, agent != "exit 1")
                self.assertEqual(stop.communicate(timeout=TIMEOUT)[0], "")
                self.assertEqual(stop.returncode, 0)
                self.assertEqual(host.manager().ListVMs(), [])
                self.assertEqual(list((host.runtime / "state").iterdir()), [])

    def test_service_restart(self):
        with Host() as host:
            uuid = "5a1d3c2e-0000-4000-8000-00000000000a"
            host.start_vm("vm1", quota="16M", weight=dbus.UInt32(7), domain=uuid)
            host.start_vm("vm2", quota="8M", min="4M", max="32M")
            pids = [host.pid("vm1"), host.pid("vm2")]
            host.stop(kill=True)
            host.start()
            self.assertEqual([host.pid("vm1"), host.pid("vm2")], pids)
            self.assertEqual([n for n, _ in sorted(host.manager().ListVMs())], ["vm1", "vm2"])
            self.assertEqual(host.vm_get("vm1", "Weight"), 7)
            self.assertEqual(host.vm_get("vm1", "Domain"), uuid)
            self.assertEqual(host.vm_get("vm2", "Domain"), "none")
            self.assertEqual(host.vm_get("vm2", "Max"), 32 << 20)
            self.assertEqual(json.loads(host.vm("vm2").Query("ping"))["pid"], pids[1])
            host.vm("vm2").SetQuota(dbus.UInt64(24 << 20))
            host.stop()
            # as an earlier version wrote it
            state = host.runtime / "state/vm2.conf"
            state.write_text(state.read_text().replace("domain=none\n", ""))
            host.start()
            self.assertEqual(host.vm_get("vm2", "Domain"), "")
            self.assertEqual(host.vm_get("vm2", "Quota"), 24 << 20)
            host.manager().StopVM("vm2")
            host.manager().StopVM("vm1")

    def test_strategy(self):
        with Host() as host:
            host.start_vm("vm1", quota="16M")
            host.vm("vm1").SetStrategy("persistent")
            self.assertEqual(host.vm_get("vm1", "Strategy"), "persistent")
            self.assertEqual(json.loads(host.vm("vm1").Query("config"))["strategy"], "persistent")
            self.assert_error("Agent", "expected single-use", host.vm("vm1").SetStrategy, "best")
            self.assert_error("InvalidSetting", "no strategy", host.vm("vm1").SetStrategy, "a b")
            self.assertEqual(host.vm_get("vm1", "Strategy"), "persistent")

    def remove(self, host):
        """False as long as the agent has not seen that the client is gone."""
        try:
            host.vm("vm1").RemoveDevice("null")
        except dbus.DBusException as e:
            self.assertIn("QEMU uses", e.get_dbus_message())
            return False
        return True

    def test_devices(self):
        """Devices come and go while the VM runs."""
        with Host() as host:
            host.start_vm("vm1", quota="16M")
            path = host.vm("vm1").AddDevice("null")
            self.assertTrue(Path(path).is_socket())
            self.assertEqual([d[1] for d in host.vm_get("vm1", "Devices")], [1, 2])
            config = json.loads(host.vm("vm1").Query("config"))
            self.assertEqual([d["endpoint"] for d in config["devices"]], [1, 2])
            client = socket.socket(socket.AF_UNIX)
            first = host.vm_get("vm1", "Devices")[0][2]
            client.connect(first)
            client.send(b"x")
            wait_for(lambda: json.loads(host.vm("vm1").Query("stats"))
                     ["devices"][0]["vfio_user"]["connections"] == 1, "the connection")
            self.assert_error("Agent", "QEMU uses the device", host.vm("vm1").RemoveDevice, "null")
            client.close()
            wait_for(lambda: self.remove(host), "the removal")
            self.assertEqual([d[1] for d in host.vm_get("vm1", "Devices")], [2])
            self.assertFalse(Path(first).exists())
            self.assert_error("Agent", "last device", host.vm("vm1").RemoveDevice, "null")
            self.assert_error("Device", "has no device", host.vm("vm1").RemoveDevice,
                              "0000:01:00.0")
            self.assert_error("Device", "no such PCI device", host.vm("vm1").AddDevice,
                              "ffff:ff:1f.7")
            self.assert_error("InvalidSetting", "no PCI address", host.vm("vm1").AddDevice, "x")
            host.stop()
            host.start()
            self.assertEqual([d[1] for d in host.vm_get("vm1", "Devices")], [2])
            host.manager().StopVM("vm1")
            self.assertEqual(list((host.runtime / "vm").iterdir()), [])

    def test_agent_dies(self):
        with Host() as host:
            host.start_vm("vm1", quota="16M")
            os.kill(host.pid("vm1"), signal.SIGKILL)
            wait_for(lambda: host.vm_get("vm1", "State") == "failed", "the failure")
            wait_for(lambda: "journalctl" in host.vm_get("vm1", "Failure"), "the reason")
            self.assert_error("Error.Agent".rsplit(".", 1)[1], "no agent that runs",
                              host.vm("vm1").SetQuota, dbus.UInt64(1 << 20))
            host.manager().StopVM("vm1")
            self.assertEqual(host.manager().ListVMs(), [])
            host.start_vm("vm1", quota="16M")

    def test_agent_dies_without_service(self):
        with Host() as host:
            host.start_vm("vm1", quota="16M")
            host.stop()
            os.kill(host.pid("vm1"), signal.SIGKILL)
            wait_for(lambda: host.systemd.units["pvdma-agent@vm1.service"].active == "failed",
                     "the failure")
            host.start()
            self.assertEqual(host.vm_get("vm1", "State"), "failed")
            host.manager().StopVM("vm1")
            self.assertEqual(list((host.runtime / "state").iterdir()), [])

    def kill_agent(self, host):
        unit = host.systemd.units["pvdma-agent@vm1.service"]
        pid = host.pid("vm1")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: unit.process is not None and unit.process.pid != pid and
                 unit.active == "active", "the next agent")

    def test_agent_goes_on(self):
        """One that is killed needs no handover, but its limit; and the VM runs on."""
        with Host() as host:
            host.systemd.keeps = True
            host.start_vm("vm1", quota="16M", granule="64K", ahead="off", min="4M", max="32M")
            guest = Guest(Sockets(host, "vm1"))
            self.addCleanup(guest.close)
            guest.ready()
            for i in range(3):
                self.assertEqual(guest.map((100 + i, 1)).status, 0)
                self.kill_agent(host)
                self.assertEqual(guest.map((200 + i, 1)).status, 0)
                self.assertEqual(host.vm_get("vm1", "State"), "running")
                # (The limit itself is of no use without a real IOMMU.)
                self.assertIn(f"goes on as process {host.pid('vm1')}", host.log_text())
            host.vm("vm1").SetQuota(dbus.UInt64(8 << 20))
            self.kill_agent(host)
            stats = json.loads(host.vm("vm1").Query("stats"))["vm"]
            self.assertEqual((stats["quota"], stats["mapped_bytes"]), (8 << 20, 6 << 16))
            # Nobody is there to ask for the limit; it comes with whoever comes.
            host.stop()
            self.kill_agent(host)
            self.assertEqual(guest.map((300, 1)).status, 0)
            host.start()
            self.assertEqual(host.vm_get("vm1", "State"), "running")
            self.assertEqual(json.loads(host.vm("vm1").Query("stats"))["vm"]["quota"], 8 << 20)
            guest.close()
            host.manager().StopVM("vm1")
            self.assertEqual(list((host.runtime / "vm").iterdir()), [])
            self.assertEqual(host.systemd.units["pvdma-agent@vm1.service"].store, [])

    def test_agent_on_its_way_back(self):
        """A service that starts meanwhile takes it for what it is: a VM that runs."""
        with Host() as host:
            host.systemd.keeps = True
            host.start_vm("vm1", quota="16M")
            unit = host.systemd.units["pvdma-agent@vm1.service"]
            host.stop()
            host.systemd.waits = True
            os.kill(host.pid("vm1"), signal.SIGKILL)
            wait_for(lambda: unit.active == "activating", "its end")
            host.start()
            self.assertEqual(host.vm_get("vm1", "State"), "running")
            host.systemd.waits = False
            wait_for(lambda: unit.active == "active", "the next agent")
            self.assertEqual(json.loads(host.vm("vm1").Query("ping"))["pid"], host.pid("vm1"))
            self.assertEqual(host.vm_get("vm1", "State"), "running")
            host.manager().StopVM("vm1")

    def test_two_services(self):
        with Host() as host:
            second = subprocess.run(
                [str(BUILD / "pvdmad"), "--bus", host.address, "--config", str(host.config),
                 "--runtime-dir", str(host.runtime)], capture_output=True, text=True, timeout=60)
            self.assertEqual(second.returncode, 1)
            self.assertRegex(second.stderr, "exists|runs already")
            host.start_vm("vm1", quota="1M")


class Refusals(Case):
    def test_settings(self):
        with Host() as host:
            start = host.start_vm
            for name in ("", ".x", "a/b", "x" * 65, "a b"):
                self.assert_error("InvalidSetting", "no name for a VM", start, name, quota="1M")
            self.assert_error("InvalidSetting", "quota is not set", start, "vm1")
            self.assert_error("InvalidSetting", "expected a size", start, "vm1", quota="much")
            self.assert_error("InvalidSetting", "no setting of this name", start, "vm1",
                              quota="1M", colour="red")
            self.assert_error("InvalidSetting", "expected a PCI address", start, "vm1",
                              devices=["nonsense"], quota="1M")
            self.assert_error("InvalidSetting", "expected a PCI address", start, "vm1",
                              devices=["0000:01:00.0,driver=x"], quota="1M")
            self.assert_error("InvalidSetting", "given twice", start, "vm1",
                              devices=["0000:01:00.0"] * 2, quota="1M")
            self.assert_error("InvalidSetting", "no device", start, "vm1", devices=[], quota="1M")
            self.assert_error("InvalidSetting", "is not between", start, "vm1", quota="1M",
                              min="2M", max="4M")
            self.assert_error("InvalidSetting", "printable", start, "vm1", quota="1M",
                              granule="4K\ncontrol=/tmp/x")
            self.assert_error("InvalidSetting", "string or a number", start, "vm1",
                              quota=dbus.Boolean(True))
            self.assert_error("Device", "no such PCI device", start, "vm1",
                              devices=["ffff:ff:1f.7"], quota="1M")
            self.assertEqual(list((host.runtime / "state").iterdir()), [])

    def test_agent_refuses(self):
        """What the agent says reaches the caller, and nothing is left."""
        with Host() as host:
            self.assert_error("Agent", "granule=5K.*power of two", host.start_vm, "vm1",
                              quota="1M", granule="5K")
            self.assertEqual(host.manager().ListVMs(), [])
            self.assertEqual(list((host.runtime / "state").iterdir()), [])
            self.assertEqual(list((host.runtime / "vm").iterdir()), [])
            host.start_vm("vm1", quota="1M")
            self.assert_error("Exists", "there already", host.start_vm, "vm1", quota="1M")

    def test_strangers(self):
        """A process that is no agent gets nothing."""
        with Host() as host:
            host.start_vm("vm1", quota="1M")
            done = subprocess.run([str(BUILD / "pvdma-agent"),
                                   f"--handover={host.runtime}/handover"],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 2)
            self.assertIn("nothing for this process", done.stderr)
            wait_for(lambda: "is no agent of a VM" in host.log_text(), "the log")

    CONNECT = """
import socket, sys
sys.stdin.readline()
socket.socket(fileno=int(sys.argv[1])).connect(sys.argv[2])
sys.stdin.read(int(sys.argv[3]))
"""

    def handed_over(self, host, unit, dies=False):
        """(text, number of descriptors) for a process of that unit, or one that was of it.

        The connection is shared with that process, which alone connects."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as conn:
            with subprocess.Popen(
                    [sys.executable, "-c", self.CONNECT, str(conn.fileno()),
                     str(host.runtime / "handover"), "0" if dies else "1"],
                    stdin=subprocess.PIPE, pass_fds=[conn.fileno()]) as process:
                host.systemd.others[process.pid] = (unit, process.wait if dies else lambda: None)
                process.stdin.write(b"\n")
                process.stdin.flush()
                wait_for(lambda: conn.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4) !=
                         bytes(4), "the connection")
                conn.settimeout(TIMEOUT)
                text, fds, _, _ = socket.recv_fds(conn, 65536, 16)
                for fd in fds:
                    os.close(fd)
            return text, len(fds)

    def test_units(self):
        """The unit decides, and it is that of the very process that connected."""
        agent = "pvdma-agent@vm1.service"
        with Host() as host:
            host.start_vm("vm1", quota="1M")
            self.assertEqual(self.handed_over(host, "pvdma-agent@vm2.service"), (b"", 0))
            self.assertEqual(self.handed_over(host, agent, dies=True), (b"", 0))
            self.assertEqual(self.handed_over(host, agent), (b"# as before\n", 0))

    def test_queries(self):
        with Host() as host:
            host.start_vm("vm1", quota="1M")
            for command in ("quota 1G", "nonsense", "stats\nquota 1G", ""):
                self.assert_error("InvalidSetting", "change nothing", host.vm("vm1").Query,
                                  command)
            self.assertIn("vm", json.loads(host.vm("vm1").Query("stats")))

    def test_budget(self):
        with Host(config="budget=32M\n") as host:
            host.start_vm("vm1", quota="24M", min="8M", max="64M")
            host.start_vm("vm2", quota="16M", min="4M", max="64M")
            self.assertEqual(host.vm_get("vm2", "Quota"), 8 << 20)
            self.assert_error("Budget", "the host's budget of", host.start_vm, "vm3", quota="24M")
            self.assert_error("Budget", "lower their min", host.manager().SetBudget,
                              dbus.UInt64(8 << 20))
            host.manager().SetBudget(dbus.UInt64(1 << 30))
            host.start_vm("vm3", quota="24M")
            self.assertEqual(host.get("/org/pvdma1", "org.pvdma1.Manager", "Assigned"), 56 << 20)

    def test_budget_over_restarts(self):
        """Of the budget that was set and the one that is configured, the later one holds."""
        def budget(host):
            return int(host.get("/org/pvdma1", "org.pvdma1.Manager", "Budget"))

        with Host(config="budget=32M\n") as host:
            host.manager().SetBudget(dbus.UInt64(48 << 20))
            for kill in (False, True):
                host.stop(kill=kill)
                host.start()
                self.assertEqual(budget(host), 48 << 20)
            host.stop()
            host.config.write_text("budget=64M\n")
            host.start()
            self.assertEqual(budget(host), 64 << 20)
            host.stop()
            (host.runtime / "budget").write_text("budget=much\nconfigured=64M\n")
            host.start()
            self.assertEqual(budget(host), 64 << 20)
            self.assertIn("says nothing", host.log_text())

    def test_quota(self):
        with Host() as host:
            host.start_vm("vm1", quota="8M")
            host.vm("vm1").SetQuota(dbus.UInt64(4 << 20))
            self.assertEqual(host.vm_get("vm1", "Max"), 4 << 20)
            host.vm("vm1").SetLimits(dbus.UInt64(4 << 20), dbus.UInt64(8 << 20), dbus.UInt32(5))
            self.assert_error("InvalidSetting", "not between", host.vm("vm1").SetQuota,
                              dbus.UInt64(16 << 20))
            self.assert_error("InvalidSetting", "min <= max", host.vm("vm1").SetLimits,
                              dbus.UInt64(2), dbus.UInt64(1), dbus.UInt32(1))
            host.vm("vm1").SetLimits(dbus.UInt64(1 << 20), dbus.UInt64(2 << 20), dbus.UInt32(5))
            wait_for(lambda: host.vm_get("vm1", "Quota") == 2 << 20, "the quota to follow")
            stats = json.loads(host.vm("vm1").Query("stats"))
            self.assertEqual(stats["vm"]["quota"], 2 << 20)

    def test_configuration(self):
        for text, words in (("budget=lots\n", "expected bytes"), ("nonsense=1\n", "no option"),
                            ("balance-interval=5ms\n", "expected how often")):
            path = Path(os.environ.get("TMPDIR", "/tmp")) / f"pvdmad-{os.getpid()}.conf"
            path.write_text(text)
            try:
                done = subprocess.run([str(BUILD / "pvdmad"), "--config", str(path), "--check"],
                                      capture_output=True, text=True, timeout=60)
            finally:
                path.unlink()
            self.assertEqual(done.returncode, 2, text)
            self.assertRegex(done.stderr, words)
            self.assertRegex(done.stderr, r"\.conf:1")


class Load:
    """A guest whose device goes round and round over some memory."""

    STEP = 65536

    def __init__(self, host, name, working_set):
        self.guest = Guest(Sockets(host, name))
        self.guest.GRANULE = self.STEP
        self.guest.start()
        self.guest.init()
        self.guest.leaf(0)
        self.guest.attach()
        self.steps = working_set // self.STEP
        self.on = threading.Event()
        self.end = False
        self.failed = 0
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        place = 0
        while not self.end:
            if not self.on.wait(0.05):
                continue
            answer = self.guest.map((64 + place % self.steps, 1))
            self.failed += answer.status != 0
            place += 1

    def close(self):
        self.end = True
        self.thread.join()
        self.guest.close()


class Balance(Case):
    def test_need_moves_the_budget(self):
        """Two VMs want more than there is: who works gets it, before and after."""
        with Host(config="budget=24M\nbalance-interval=200ms\n") as host:
            bounds = {"min": "2M", "max": "22M", "granule": "64K", "ahead": "off"}
            for name in ("vm1", "vm2"):
                host.start_vm(name, quota="12M", **bounds)
            loads = [Load(host, name, 16 << 20) for name in ("vm1", "vm2")]
            quota = lambda name: int(host.vm_get(name, "Quota"))  # noqa: E731
            try:
                for busy, idle in ((0, 1), (1, 0)):
                    loads[idle].on.clear()
                    loads[busy].on.set()
                    names = [f"vm{busy + 1}", f"vm{idle + 1}"]
                    wait_for(lambda n=names: quota(n[0]) >= 16 << 20, f"{names[0]} to grow")
                    self.assertLessEqual(quota(names[0]) + quota(names[1]), 24 << 20)
                    self.assertGreaterEqual(quota(names[1]), 2 << 20)
            finally:
                for load in loads:
                    load.close()
            self.assertEqual([load.failed for load in loads], [0, 0])


@unittest.skipUnless(os.geteuid() == 0, "other users can be played by root only")
class Strangers(Case):
    """What a user may who is not root."""

    CALL = """
import sys
import dbus, dbus.bus
bus = dbus.bus.BusConnection(sys.argv[1])
obj = bus.get_object("org.pvdma1", sys.argv[2], introspect=False)
fn = getattr(dbus.Interface(obj, sys.argv[3]), sys.argv[4])
try:
    print(fn(*eval(sys.argv[5])))
except dbus.DBusException as e:
    print(e.get_dbus_name(), e.get_dbus_message())
"""

    def begin(self, host, path, interface, member, args="()"):
        return subprocess.Popen(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3",
             "-c", self.CALL, host.address, path, "org.pvdma1." + interface, member, args],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def call(self, *args):
        return self.begin(*args).communicate(timeout=60)[0]

    def test_polkit_is_silent(self):
        """A user's calls that wait for polkit are four, and others are told so."""
        with Host() as host:
            host.polkit.silent = True
            calls = [self.begin(host, "/org/pvdma1", "Manager", "StopVM", "('vm1',)") for _ in range(7)]
            wait_for(lambda: sum(call.poll() is not None for call in calls) >= 3, "calls beyond the fourth")
            for call in calls:
                if call.poll() is not None:
                    self.assertIn("LimitsExceeded", call.communicate()[0])
            self.assertEqual(len(host.polkit.put_off), 4)
            host.polkit.silent = False
            GLib.idle_add(host.polkit.answer)
            answers = [call.communicate(timeout=60)[0] for call in calls if call.returncode is None]
            self.assertEqual(["AccessDenied" in answer for answer in answers], [True] * 4)
            # and then there is room again
            self.assertIn("AccessDenied", self.call(host, "/org/pvdma1", "Manager", "StopVM", "('vm1',)"))

    def test_polkit(self):
        with Host() as host:
            host.start_vm("vm1", quota="1M")
            self.assertIn("vm1", self.call(host, "/org/pvdma1", "Manager", "ListVMs"))
            for path, interface, member, args in (
                    ("/org/pvdma1", "Manager", "StopVM", "('vm1',)"),
                    ("/org/pvdma1", "Manager", "SetBudget", "(dbus.UInt64(1),)"),
                    ("/org/pvdma1/vm/vm1", "VM", "SetQuota", "(dbus.UInt64(1),)"),
                    ("/org/pvdma1/vm/vm1", "VM", "SetLimits",
                     "(dbus.UInt64(1), dbus.UInt64(1), dbus.UInt32(1))")):
                answer = self.call(host, path, interface, member, args)
                self.assertIn("AccessDenied", answer, member)
                self.assertIn("password of an administrator", answer)
            self.assertEqual(host.vm_get("vm1", "Quota"), 1 << 20)
            self.assertEqual({kind for kind, _ in host.polkit.asked}, {"system-bus-name"})
            host.polkit.allowed.add("org.pvdma1.manage-vms")
            self.assertIn("None", self.call(host, "/org/pvdma1/vm/vm1", "VM", "SetQuota",
                                            "(dbus.UInt64(2 << 20),)"))
            self.assertEqual(host.vm_get("vm1", "Quota"), 2 << 20)
            host.polkit.allowed.clear()
            self.assertIn("AccessDenied", self.call(host, "/org/pvdma1", "Manager", "ListVMs"))


class Interface(Case):
    def members(self, text):
        """Everything that callers rely on, in a form that can be compared."""
        found = set()
        for interface in ET.fromstring(text).iter("interface"):
            if not interface.get("name").startswith("org.pvdma1."):
                continue
            for member in interface:
                if member.tag == "annotation":
                    continue
                args = tuple((a.get("name"), a.get("type"), a.get("direction") or "out")
                             for a in member.iter("arg"))
                notes = tuple(a.get("value") for a in member.iter("annotation")
                              if a.get("name").endswith("EmitsChangedSignal"))
                found.add((interface.get("name"), member.tag, member.get("name"),
                           member.get("type"), args, notes))
        return found

    def test_introspection(self):
        """What the bus says of the objects is what the checked-in file says."""
        with Host() as host:
            host.start_vm("vm1", quota="1M")
            got = set()
            for path in ("/org/pvdma1", "/org/pvdma1/vm/vm1"):
                obj = host.bus.get_object("org.pvdma1", path, introspect=False)
                got |= self.members(obj.Introspect(
                    dbus_interface="org.freedesktop.DBus.Introspectable"))
            text = (ROOT / "packaging/dbus/org.pvdma1.xml").read_text()
            self.assertEqual(got, self.members(re.sub(r"<!DOCTYPE.*?>", "", text, flags=re.S)))

    def test_signals(self):
        with Host() as host:
            monitor = subprocess.Popen(["dbus-monitor", "--address", host.address,
                                        "sender='org.pvdma1'"],
                                       stdout=subprocess.PIPE, text=True)
            line = monitor.stdout.readline()
            self.assertIn("signal", line)
            host.start_vm("vm1", quota="1M")
            host.vm("vm1").SetQuota(dbus.UInt64(2 << 20))
            host.manager().StopVM("vm1")
            wait_for(lambda: not host.manager().ListVMs(), "the end")
            monitor.terminate()
            text = monitor.stdout.read()
            for words in ("VMAdded", "VMRemoved", 'string "State"', 'string "Quota"',
                          'string "Assigned"'):
                self.assertIn(words, text)


if __name__ == "__main__":
    unittest.main()
