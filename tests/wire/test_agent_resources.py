# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent costs while it has nothing to do: no processor, little memory.

Sanitizers multiply memory, so this looks at the release build.
"""

import os
import time
import unittest
from pathlib import Path

from lib.agent import Agent, ROOT
from lib import vhost_user as vu
from lib.vhost_user import Guest, MIB

RELEASE = Path(os.environ.get("PVDMA_BUILD", ROOT / "build")) / "bin/pvdma-agent"
MEMORY_LIMIT = 8 * MIB
GIB = 1 << 30


class Resources(unittest.TestCase):
    def start(self, **kwargs):
        if not RELEASE.exists():
            self.skipTest(f"there is no release build at {RELEASE}")
        agent = Agent(**kwargs)
        agent.command[0] = str(RELEASE)
        return agent

    def private(self, agent):
        """Bytes that only this process uses, without guest memory.

        Clean pages are the files' that it runs: private or not as other agents come and go.
        """
        total, guest = 0, False
        for line in Path(f"/proc/{agent.process.pid}/smaps").read_text().splitlines():
            fields = line.split()
            if not fields[0].endswith(":"):
                guest = "memfd:guest" in line
            elif fields[0] == "Private_Dirty:" and not guest:
                total += int(fields[1]) * 1024
        return total

    def wakeups(self, agent):
        for line in Path(f"/proc/{agent.process.pid}/status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                return int(line.split()[1])
        return self.fail("the kernel does not count context switches")

    def assertIdle(self, agent, seconds=2):
        time.sleep(0.5)
        cpu, wakeups = agent.cpu_seconds(), self.wakeups(agent)
        time.sleep(seconds)
        self.assertEqual(agent.cpu_seconds() - cpu, 0)
        self.assertEqual(self.wakeups(agent) - wakeups, 0, "something ticks")

    def test_alone(self):
        agent = self.enterContext(self.start())
        self.assertIdle(agent)
        self.assertLess(self.private(agent), MEMORY_LIMIT)
        print(f"# alone: {self.private(agent) / MIB:.2f} MiB private")

    def test_with_a_busy_past(self):
        """A VM at its quota that has nothing to do at the moment."""
        agent = self.enterContext(self.start(quota="32M"))
        guest = self.enterContext(Guest(agent, size=GIB))
        guest.start()
        self.assertEqual(guest.init(), vu.OK)
        self.assertEqual(guest.leaf(*range(16)).status, vu.OK)
        self.assertEqual(guest.attach(), vu.OK)
        for first in range(0, 16384, 64):
            self.assertEqual(guest.map(*((first + i, 1) for i in range(0, 64, 2))).status, vu.OK)
        self.assertIdle(agent)
        self.assertLess(self.private(agent), MEMORY_LIMIT)
        print(f"# at its quota: {self.private(agent) / MIB:.2f} MiB private")

    def test_memory_does_not_grow_with_the_guest(self):
        used = []
        for size in (GIB, 256 * GIB):
            # One after the other: two processes would share pages.
            with self.start(quota="32M") as agent, Guest(agent, size=size) as guest:
                guest.ready()
                self.assertEqual(guest.map((100, 1)).status, vu.OK)
                used.append(self.private(agent))
        self.assertLess(used[1] - used[0], 256 * 1024)
        print(f"# 1 GiB: {used[0] / MIB:.2f}, 256 GiB: {used[1] / MIB:.2f} MiB private")


if __name__ == "__main__":
    unittest.main()
