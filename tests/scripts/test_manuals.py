# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual pages of the service name all that it has, and are well-formed."""

import re
import shutil
import subprocess
import unittest
import xml.etree.ElementTree as ET
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
MAN = TOP / "man"


def page(name):
    return (MAN / name).read_text().replace("\\-", "-")


class Manuals(unittest.TestCase):
    def test_interface(self):
        """org.pvdma1(5) has each member and its arguments, each error, each action."""
        text = page("org.pvdma1.5")
        root = ET.fromstring(re.sub(r"<!DOCTYPE.*?>", "", (
            TOP / "packaging/dbus/org.pvdma1.xml").read_text(), flags=re.S))
        for member in root.iter():
            if member.tag in ("method", "signal"):
                args = [[f"{a.get('type')} {a.get('name')}" for a in member.iter("arg")
                         if (a.get("direction") == "out") == out] for out in (False, True)]
                sides = [", ".join(side) for side in args]
                expected = f'{member.get("name")} "({sides[0]})'
                if sides[1]:
                    expected += " -> " + sides[1]
                self.assertIn(expected, text)
            elif member.tag == "property":
                self.assertRegex(text, rf'\b{member.get("name")} " \({re.escape(member.get("type"))}\)')
        header = (TOP / "host/pvdmad/manager.h").read_text()
        for error in re.findall(r'^#define ERROR_\w+\s+"(\S+)"', header, re.M):
            self.assertIn(f".B {error}\n", text)
        actions = (TOP / "host/pvdmad/authorize.h").read_text()
        for action in re.findall(r'"(org\.pvdma1\.[\w-]+)"', actions):
            self.assertIn(f".B {action}\n", text)

    def test_configuration(self):
        """pvdmad.conf(5) has each key, and no other."""
        source = (TOP / "host/pvdmad/service_config.c").read_text()
        keys = re.findall(r'^\t\{ "([\w-]+)", "\w+", set_', source, re.M)
        self.assertTrue(keys)
        self.assertEqual(set(re.findall(r"^\.BI ([\w-]+)= ", page("pvdmad.conf.5"), re.M)),
                         set(keys))

    def test_groff(self):
        """No page makes groff complain."""
        if not shutil.which("groff"):
            self.skipTest("groff is not here")
        for path in sorted(MAN.glob("*.[1-9]")):
            done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", str(path)],
                                  capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.stderr, "", path.name)


if __name__ == "__main__":
    unittest.main()
