# SPDX-License-Identifier: GPL-2.0-or-later
"""What the end-to-end tests take for metrics, and what not (tests/e2e/scrape.py)."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
import scrape

GOOD = """\
# TYPE pvdma_build info
# HELP pvdma_build The service's version.
pvdma_build_info{version="0.1.0"} 1
# TYPE pvdma_vm_quota_bytes gauge
# UNIT pvdma_vm_quota_bytes bytes
# HELP pvdma_vm_quota_bytes What may be pinned.
pvdma_vm_quota_bytes{vm="op"} 67108864
# TYPE pvdma_device_resets counter
# HELP pvdma_device_resets Resets.
pvdma_device_resets_total{vm="a \\"b\\"",device="0000:00:01.0",endpoint="1"} 0
# EOF
"""


class Judge(unittest.TestCase):
    def test_good(self):
        scrape.judge(GOOD, True)
        scrape.judge("# TYPE a_total counter\n# HELP a_total A.\na_total 3\n", False)

    def test_bad(self):
        for old, new in (("# EOF\n", ""), ("# EOF", "# EOF\n# EOF"), ("_resets_total{", "_resets{"),
                         ("67108864", ""), ('"op"}', '"op}'), ("pvdma_vm_quota_bytes gauge",
                                                               "pvdma_build gauge")):
            with self.subTest(old=old):
                self.assertIn(old, GOOD)
                with self.assertRaises(SystemExit):
                    scrape.judge(GOOD.replace(old, new, 1), True)
        with self.assertRaises(SystemExit):
            scrape.judge("# TYPE a gauge\n# HELP a A.\n# EOF\n", True)


if __name__ == "__main__":
    unittest.main()
