# SPDX-License-Identifier: GPL-2.0-or-later
"""What packaging/ has agrees with the code and with itself."""

import re
import shutil
import subprocess
import unittest
import xml.etree.ElementTree
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
PACKAGING = TOP / "packaging"
# Tenths of systemd's measure of exposure (0 to 10).
MOST_EXPOSED = {"pvdma-agent@.service": 15, "pvdmad.service": 30,
                "pvdma-metrics@.service": 15, "pvdma-metrics-textfile.service": 30}
# What SECURITY.md says of the agent's unit in words: each alone is too little to be seen in
# that measure.
PROMISED = {"CapabilityBoundingSet": "", "AmbientCapabilities": "", "NoNewPrivileges": "yes",
            "PrivateNetwork": "yes", "IPAddressDeny": "any",
            "RestrictAddressFamilies": "AF_UNIX", "PrivateDevices": "yes",
            "DevicePolicy": "closed", "DynamicUser": "yes", "MemoryDenyWriteExecute": "yes",
            "LimitCORE": "0", "SystemCallArchitectures": "native"}


class Catalog(unittest.TestCase):
    def test_ids(self):
        """The journal's catalog explains every message of messages.h, and no other."""
        header = (TOP / "host/pvdmad/messages.h").read_text(encoding="utf-8")
        catalog = (PACKAGING / "systemd/pvdma.catalog").read_text(encoding="utf-8")
        defined = re.findall(r'^#define MESSAGE_\w+ "([0-9a-f]{32})"$', header, re.M)
        explained = re.findall(r"^-- ([0-9a-f]{32})$", catalog, re.M)
        self.assertTrue(defined)
        self.assertEqual(sorted(defined), sorted(explained))
        self.assertEqual(len(set(defined)), len(defined))

    def test_fields(self):
        """The catalog refers to fields that messages.h names."""
        header = (TOP / "host/pvdmad/messages.h").read_text(encoding="utf-8")
        catalog = (PACKAGING / "systemd/pvdma.catalog").read_text(encoding="utf-8")
        for field in set(re.findall(r"@(PVDMA_\w+)@", catalog)):
            self.assertRegex(header, rf"\b{field}\b")


class Files(unittest.TestCase):
    def test_xml(self):
        """XML is well-formed."""
        files = [path for suffix in ("xml", "conf", "policy")
                 for path in PACKAGING.glob(f"*/*.{suffix}") if "<!DOCTYPE" in path.read_text()]
        self.assertGreaterEqual(len(files), 3)
        for path in files:
            with self.subTest(path.name):
                xml.etree.ElementTree.parse(path)

    def test_version(self):
        """The Makefile and the packages' changelog name the same version."""
        version = re.search(r"^VERSION := (\S+)$", (TOP / "Makefile").read_text(), re.M)
        entry = (PACKAGING / "debian/changelog").read_text().partition("\n")[0]
        self.assertRegex(entry, rf"^pvdma \({re.escape(version.group(1))}-\d+\) ")

    def test_softdeps(self):
        """A driver has one line: modprobe reads the first and no other. What comes before
        that of a driver which has soft dependencies of its own has a line, too."""
        text = (PACKAGING / "modprobe.d/pvdma-guest.conf").read_text()
        lines = re.findall(r"^softdep (\S+) pre: (?:(\S+) )?virtio_pci pvdma$", text, re.M)
        drivers = [driver for driver, _ in lines]
        self.assertEqual(len(drivers), len(set(drivers)))
        self.assertEqual(text.count("softdep"), len(drivers))
        self.assertEqual({own for _, own in lines if own} - set(drivers), set())


class Agent(unittest.TestCase):
    def test_promised(self):
        """The agent's unit has no capability, network or devices, and a user of its own."""
        unit = (PACKAGING / "systemd/pvdma-agent@.service").read_text(encoding="utf-8")
        service = unit.partition("[Service]\n")[2]
        for key, value in PROMISED.items():
            self.assertEqual(re.findall(rf"^{key}=(.*)$", service, re.M), [value], key)


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not here")
class Units(unittest.TestCase):
    def test_exposure(self):
        """The sandboxes are as tight as they were meant."""
        for name, most in MOST_EXPOSED.items():
            with self.subTest(name):
                done = subprocess.run(
                    ["systemd-analyze", "security", "--no-pager", "--offline=true",
                     f"--threshold={most}", str(PACKAGING / "systemd" / name)],
                    capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr)


if __name__ == "__main__":
    unittest.main()
