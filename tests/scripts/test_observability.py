# SPDX-License-Identifier: GPL-2.0-or-later
"""Alerts, the dashboard and the manual agree with the metrics that there are."""

import json
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
RULES = TOP / "packaging/prometheus/pvdma.rules.yml"
TESTS = TOP / "tests/scripts/pvdma.rules.test.yml"
DASHBOARD = TOP / "packaging/grafana/pvdma.json"
MANUAL = TOP / "docs/operations.md"


def metrics():
    """The names of all samples, out of the table."""
    text = (TOP / "host/pvdmactl/metrics_table.c").read_text()
    found = re.findall(r'\{ SCOPE_\w+, (GAUGE|COUNTER), "(\w+)"', text)
    names = {"pvdma_" + name + ("_total" if kind == "COUNTER" else "") for kind, name in found}
    return names | {"pvdma_build_info", "pvdma_vm_state"}


def used(text):
    return set(re.findall(r"\bpvdma_\w+", text))


class Observability(unittest.TestCase):
    def promtool(self, *args):
        if not shutil.which("promtool"):
            self.skipTest("promtool is not here (Debian: prometheus)")
        done = subprocess.run(["promtool", *args], capture_output=True, text=True, timeout=120,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_rules(self):
        self.promtool("check", "rules", str(RULES))

    def test_alerts(self):
        """They fire when they should, and not when they should not."""
        with tempfile.TemporaryDirectory() as folder:
            for path in (RULES, TESTS):
                shutil.copy(path, folder)
            self.promtool("test", "rules", f"{folder}/{TESTS.name}")

    def test_all_alerts_are_tested(self):
        alerts = re.findall(r"alert: (\w+)", RULES.read_text())
        self.assertEqual(set(re.findall(r"alertname: (\w+)", TESTS.read_text())), set(alerts))
        manual = MANUAL.read_text()
        for alert in alerts:
            self.assertIn(f"### {alert}\n", manual)

    def test_rules_use_what_there_is(self):
        expressions = "\n".join(re.findall(r"expr: (?:>-\n)?((?:.|\n)*?)(?=\n +(?:for|labels):)",
                                         RULES.read_text()))
        self.assertTrue(used(expressions))
        self.assertEqual(used(expressions) - metrics(), set())

    def test_dashboard(self):
        dashboard = json.loads(DASHBOARD.read_text())
        text = json.dumps([panel["targets"] for panel in dashboard["panels"]] +
                          [v["query"] for v in dashboard["templating"]["list"]])
        self.assertEqual(used(text) - metrics(), set())
        ids = [panel["id"] for panel in dashboard["panels"]]
        self.assertEqual(len(ids), len(set(ids)))

    def test_manual_has_all(self):
        manual = MANUAL.read_text()
        documented = set(re.findall(r"^\| `(pvdma_\w+)` ", manual, re.M))
        self.assertEqual(documented, metrics())


if __name__ == "__main__":
    unittest.main()
