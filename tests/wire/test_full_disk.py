# SPDX-License-Identifier: GPL-2.0-or-later
"""No room for what the service writes, or for what the agent logs.

What must be written before something is done is not done then, and the error says
why; what runs, runs on.
"""

import json
import shutil
import unittest
from pathlib import Path

from lib.small_disk import SmallDisk
from lib.bus import Host, dbus, wait_for  # (may re-exec)
from lib.agent import Agent
from lib.vhost_user import Guest, OK

MIB = 1 << 20


class FullHost(Host):
    """A host whose service has its runtime directory on a small file system."""

    def __enter__(self):
        self.disk = SmallDisk(self.runtime)
        self.disk.__enter__()
        try:
            return super().__enter__()
        except BaseException:
            self.disk.__exit__()
            raise

    def __exit__(self, *args):
        try:
            super().__exit__(*args)
        finally:
            self.disk.__exit__()
            shutil.rmtree(self.dir, ignore_errors=True)


class Service(unittest.TestCase):
    def assert_full(self, fn, *args, **kwargs):
        with self.assertRaises(dbus.DBusException) as caught:
            fn(*args, **kwargs)
        self.assertRegex(caught.exception.get_dbus_message(), "No space left on device")

    def quotas(self, host):
        """The quota of vm1 for the service, for those who ask it, and for the agent."""
        stats = json.loads(host.vm("vm1").Query("stats"))
        return [int(host.vm_get("vm1", what)) // MIB for what in ("Quota", "Min", "Max")] + [
            stats["vm"]["quota"] // MIB]

    def test_start(self):
        with FullHost() as host:
            host.disk.fill()
            self.assert_full(host.start_vm, "vm1", quota="16M")
            self.assertEqual(host.manager().ListVMs(), [])
            self.assertFalse([u for u in host.systemd.units.values() if u.process])
            self.assertEqual(list((host.runtime / "vm").iterdir()), [])
            self.assertEqual(list((host.runtime / "state").iterdir()), [])
            host.disk.drain()
            host.start_vm("vm1", quota="16M")
            host.disk.fill()
            host.manager().StopVM("vm1")
            self.assertEqual(host.manager().ListVMs(), [])

    def test_changes(self):
        """A change that would be forgotten is none."""
        with FullHost() as host:
            host.start_vm("vm1", quota="16M", min="8M", max="32M")
            before = self.quotas(host)
            host.disk.fill()
            self.assert_full(host.vm("vm1").SetQuota, dbus.UInt64(24 * MIB))
            self.assert_full(host.vm("vm1").SetQuota, dbus.UInt64(9 * MIB))
            self.assert_full(host.vm("vm1").SetLimits, dbus.UInt64(20 * MIB),
                             dbus.UInt64(30 * MIB), dbus.UInt32(5))
            self.assert_full(host.manager().SetBudget, dbus.UInt64(48 * MIB))
            self.assert_full(host.vm("vm1").AddDevice, "null")
            self.assertEqual(self.quotas(host), before)
            self.assertEqual(host.vm_get("vm1", "Weight"), 100)
            self.assertEqual(len(host.vm_get("vm1", "Devices")), 1)
            self.assertEqual(host.get("/org/pvdma1", "org.pvdma1.Manager", "Budget"), 0)
            # what is on the disk is whole, and what runs
            host.stop(kill=True)
            host.start()
            self.assertEqual(self.quotas(host), before)
            host.disk.drain()
            host.vm("vm1").SetLimits(dbus.UInt64(20 * MIB), dbus.UInt64(30 * MIB), dbus.UInt32(5))
            wait_for(lambda: self.quotas(host) == [20, 20, 30, 20], "the quota to follow")
            host.stop(kill=True)
            host.start()
            self.assertEqual(self.quotas(host), [20, 20, 30, 20])
            host.manager().StopVM("vm1")


class Log(unittest.TestCase):
    def test_agent(self):
        """Nobody can read its log, and it serves all the same."""
        agent = Agent()
        agent.command.append("--log-level=debug")
        agent._stderr_path = Path("/dev/full")  # pylint: disable=protected-access
        agent.stderr = lambda: ""
        with agent:
            guest = Guest(agent)
            guest.start()
            guest.init()
            guest.leaf(0)
            guest.attach()
            for granule in range(64, 128):
                self.assertEqual(guest.map((granule, 1)).status, OK)
            guest.close()


if __name__ == "__main__":
    unittest.main()
