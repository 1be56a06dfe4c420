# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of tests/bench/peers/report.py: its arithmetic, and that nothing looks better than it was."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
SCRIPT = TOP / "tests/bench/peers/report.py"

MIB = 1 << 20
# pvdma-work's name, operations, and what it says of them
WORKS = {
    "random1": ("random", 2000, "random_reads=1500\nrandom_writes=500\n"),
    "random32": ("random", 2000, "random_reads=1500\nrandom_writes=500\n"),
    "seq": ("disk", 2000, "disk_reads=1500\ndisk_writes=500\n"),
    "tree": ("tree", 2000, "tree_files=2000\n"),
    "db": ("db", 2000, "db_transactions=2000\n"),
    "rr": ("net_rr", 2000, "net_rr_exchanges=2000\n"),
    "get": ("net_get", 64, ""),
    "put": ("net_put", 64, ""),
}
BYTES = 4 * MIB
NOTHING = 3 * MIB  # pinned before anything ran
# An idle guest: so much a second, and so much for a command that does nothing
RATES = {"exits": 50, "forced_exits": 3, "mmio_exits": 4, "io_exits": 0, "halt_exits": 0, "qemu_ticks": 6,
         "iotlb_flushes": 8}
PRICES = {"exits": 100, "forced_exits": 7, "mmio_exits": 10, "io_exits": 0, "halt_exits": 0, "qemu_ticks": 20,
          "iotlb_flushes": 11}
BUSY_RATE, BUSY_PRICE = 2, 3  # ticks a second of the guest's CPU
TICK_NS = 10_000_000


def cpu_time(busy, total):
    """A reading of the guest's CPU time, in ticks; a third of what it sleeps is for I/O."""
    asleep = total - busy
    return (f"now at {total * TICK_NS} nsecs\n  .idle_sleeptime : {(asleep - asleep // 3) * TICK_NS} nsecs\n"
            f"  .iowait_sleeptime: {asleep // 3 * TICK_NS} nsecs\n")


class Report(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.root = Path(self._folder.name)
        self.runs = self.root / "runs"
        self.runs.mkdir()
        self.planned = []
        self.gnuplot("""sed -n 's/^set output "\\(.*\\)"/\\1/p' "$1" | xargs -r touch""")
        self.run_of("0.pvdma-set", quota=576)
        (self.runs / "machine").write_text("2 x CPU; 7 MiB\n", encoding="utf-8")

    def gnuplot(self, text):
        path = self.root / "gnuplot"
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)

    def write(self, folder, name, text):
        (self.runs / folder / name).write_text(text, encoding="utf-8")

    def replace(self, folder, name, old, new):
        path = self.runs / folder / name
        text = path.read_text(encoding="utf-8")
        self.assertIn(old, text)
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def window(self, folder, kind, seconds, more, busy=0):
        """Counters around a command that takes a second of its own, and so many more."""
        counts = {name: PRICES[name] + round(RATES[name] * seconds) + more.get(name, 0) for name in PRICES}
        counts["exits"] += counts["forced_exits"]
        pvdma = "pvdma" in folder
        zero = "".join(f"{name}=1000\n" for name in counts) + "agent_ticks=7\n" * pvdma
        self.write(folder, f"{kind}.before", "time=50.5\n" + zero)
        self.write(folder, f"{kind}.after", f"time={51.5 + seconds}\n" + "".join(
            f"{name}={1000 + count}\n" for name, count in counts.items()) + "agent_ticks=7\n" * pvdma)
        if pvdma:
            for when, n in (("before", 1), ("after", 1 + more.get("requests", 0))):
                self.write(folder, f"{kind}.agent.{when}", json.dumps(
                    {"vm": {"requests": n, "evictions": n}, "vhost": {"kicks": n}}))
        busy += BUSY_PRICE + round(BUSY_RATE * seconds)
        return cpu_time(500, 9000) + "{}" + cpu_time(500 + busy, 9000 + 100 + round(100 * seconds))

    def pins(self, folder, kind, peak, base=NOTHING):
        self.write(folder, f"{kind}.pins", f"pin_samples=7\npinned_base_bytes={base}\n"
                   f"pinned_peak_bytes={NOTHING + peak * MIB - base}\npinned_last_bytes=0\n")

    def maps(self, folder, unit, missed=0):
        """What map_benchmark says: unmapping takes half as long, 16 pages twice as long."""
        for pages, factor in ((1, 1), (16, 2)):
            text = ["dma mapping benchmark: threads:1 seconds:5 node:-1 dir:BIDIRECTIONAL granule: 1",
                    f"average map latency(us):{unit * factor:.1f} standard deviation:{unit * 3:.1f}",
                    f"average unmap latency(us):{unit * factor / 2:.1f} standard deviation:0.4"]
            if "pvdma" in folder:
                text = ["before.maps 50", "before.misses 7", "before.bounces 9", *text,
                        "after.maps 10050", f"after.misses {7 + missed}", "after.bounces 9"]
            self.write(folder, f"map{pages}.work", "\n".join([cpu_time(500, 9000), *text, cpu_time(600, 9500)]))

    def run_of(self, folder, quota=None, seconds=10, exits=3, busy=1, pinned=20, requests=0):
        """A run whose work takes so many seconds; exits and 10 ms of CPU for every operation."""
        name, _, size = folder.partition(".")[2].partition("@")
        (self.runs / folder).mkdir()
        self.planned.append(folder)
        facts = (f"name={name}\nsize={size}\nguest_bytes={512 * MIB}\nstart_seconds={seconds}\n"
                 f"agent_seconds=0\ndma_faults=0\n")
        self.write(folder, "run", facts + (f"quota={quota * MIB}\n" if quota is not None else ""))
        self.pins(folder, "start", pinned)
        self.write(folder, "complete", "")
        if quota is not None:
            self.write(folder, "run", facts + f"quota={quota * MIB}\nworking_set={pinned * MIB}\n")
        if size:
            return
        for kind, idle in (("price", 0), ("idle", 5)):
            self.write(folder, f"{kind}.work", self.window(folder, kind, idle, {}).format(""))
        for kind, (prefix, ops, more) in WORKS.items():
            counts = {"exits": ops * exits, "mmio_exits": ops // 2, "qemu_ticks": ops, "iotlb_flushes": ops // 4, "requests": ops * requests}
            text = self.window(folder, kind, seconds, counts, ops * busy)
            self.write(folder, f"{kind}.work", text.format(
                f"{more}{prefix}_bytes={BYTES}\n{prefix}_seconds={seconds}\n{prefix}_verified=true\n"))
            self.pins(folder, kind, pinned, base=NOTHING + 5 * MIB)
        self.replace(folder, "run", "dma_faults", f"maps=map1 map16\nkinds={' '.join(WORKS)}\ndma_faults")
        self.maps(folder, seconds / 10)
        self.write(folder, "latency.work", "\n".join([cpu_time(500, 9000), "2000 10", "100 90", cpu_time(600, 9500)]))
        self.write(folder, "end.guest", "failures 0\nbounce_pool_bytes 65536\n")
        self.write(folder, "end.agent", json.dumps({"vm": {"mapped_peak": pinned * MIB}}))

    def three(self):
        """Three repetitions of a machine that gets slower, in which pvdma takes twice as long."""
        for rep, seconds in ((1, 10), (2, 20), (3, 40)):
            self.run_of(f"{rep}.vfio", seconds=seconds, pinned=512)
            self.run_of(f"{rep}.pvdma-100", quota=20, seconds=2 * seconds, exits=6, busy=3)
            self.run_of(f"{rep}.pvdma-50", quota=20, seconds=4 * seconds, requests=2)

    def report(self):
        (self.runs / "planned").write_text("".join(f"{name}\n" for name in self.planned), encoding="utf-8")
        env = dict(os.environ, PATH=f"{self.root}:{os.environ['PATH']}")
        result = subprocess.run([sys.executable, SCRIPT, self.runs, self.root], env=env,
                                capture_output=True, text=True, check=False)
        path = self.root / "report.json"
        self.figures = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        return result

    def good(self):
        result = self.report()
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def assert_fails(self, *words):
        result = self.report()
        self.assertEqual(result.returncode, 1, result)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertTrue(self.figures["wrong"])

    def kinds(self, folder):
        rep, _, name = folder.partition(".")
        found = [run["kinds"] for run in self.figures["runs"]
                 if (str(run["repetition"]), run["name"]) == (rep, name)]
        self.assertEqual(len(found), 1)
        return found[0]

    def test_counts(self):
        """Per operation, without what idling and a command alone have."""
        self.three()
        self.good()
        for kind, figures in self.kinds("3.pvdma-50").items():
            self.assertAlmostEqual(figures["exits"], 3, msg=kind)
            self.assertAlmostEqual(figures["mmio_exits"], 0.5, msg=kind)
            self.assertAlmostEqual(figures["guest_cpu_us"], 10000, msg=kind)
            self.assertAlmostEqual(figures["host_cpu_us"], 10000, msg=kind)
            self.assertAlmostEqual(figures["iotlb_flushes"], 0.25, msg=kind)
            self.assertEqual((figures["requests"], figures["kicks"]), (2, 2))
            self.assertEqual(figures["pinned"], 20 * MIB)
            self.assertAlmostEqual(figures["rate"], WORKS[kind][1] / 160)
        self.assertNotIn("requests", self.kinds("1.vfio")["rr"])

    def test_ratios(self):
        """Those of neighbours: how fast the machine was does not show."""
        self.three()
        text = self.good()
        ratios = self.figures["ratios"]
        for key in ("nvme_rand_ws", "nvme_seq_ws", "tcp_rr_ws", "tcp_stream_ws"):
            self.assertAlmostEqual(ratios[key], 0.5, msg=key)
        self.assertAlmostEqual(ratios["half_ws"], 0.25)
        self.assertAlmostEqual(ratios["exits_per_op_ws_over_direct"], 2)
        self.assertAlmostEqual(ratios["guest_cpu_ws_over_direct"], 3)
        self.assertAlmostEqual(ratios["mmio_exits_per_op_ws"], 0.5)
        self.assertAlmostEqual(ratios["pinned_tcp_rr_of_guest"], 20 / 512)
        self.assertEqual(self.figures["ranges"]["tcp_rr_ws"]["n"], 3)
        self.assertIn("On 2 x CPU; 7 MiB.\n", text)
        self.assertIn("Working set 20.0 MiB; repetitions: 3;", text)
        self.assertTrue((self.root / "bench-rates.svg").exists())

    def test_median_and_mean(self):
        """The median of the repetitions; the geometric mean of kinds."""
        self.three()
        for rep, seconds in (("2", 10), ("3", 160)):
            self.replace(f"{rep}.pvdma-100", "put.work", "net_put_seconds=" + ("40" if rep == "2" else "80"),
                         f"net_put_seconds={seconds}")
        self.good()
        found = self.figures["ranges"]["tcp_stream_ws"]
        self.assertAlmostEqual(found["median"], 0.5)
        self.assertAlmostEqual(found["least"], 0.125 ** 0.5)
        self.assertAlmostEqual(found["most"], 1)

    def test_maps(self):
        """What map_benchmark measured, in nanoseconds; ratios are those of neighbours."""
        self.three()
        for rep, unit in ((1, 40), (2, 80), (3, 160)):
            self.run_of(f"{rep}.virtio-iommu-strict")
            self.maps(f"{rep}.virtio-iommu-strict", unit)
        text = self.good()
        ratios = self.figures["ratios"]
        self.assertAlmostEqual(ratios["map_hit_over_direct"], 2)
        self.assertAlmostEqual(ratios["virtio_iommu_strict_over_map_hit"], 20)
        self.assertEqual(self.figures["ranges"]["map_hit_over_direct"]["n"], 3)
        maps = {f"{run['repetition']}.{run['name']}": run["maps"] for run in self.figures["runs"]}
        figures = maps["2.vfio"]["map16"]
        self.assertEqual([round(figures[name]) for name in (
            "map_ns", "map_deviation_ns", "unmap_ns", "unmap_deviation_ns", "ns")], [4000, 6000, 2000, 400, 6000])
        self.assertNotIn("missed", figures)
        self.assertEqual((maps["2.pvdma-50"]["map1"]["mappings"], maps["2.pvdma-50"]["map1"]["missed"]), (10000, 0))
        self.assertIn("| mappings of 4 KiB | map, ns | deviation | unmap, ns | deviation | pages that missed, % |", text)
        self.assertIn("| vfio-pci | 2000 (1000-4000) | 6000 (3000-12000) | 1000 (500-2000) | 400 (400-400) | - |", text)

    def test_maps_that_missed(self):
        """A time of misses is not one of hits: few may be among them."""
        self.three()
        self.maps("1.pvdma-100", 1, missed=10)
        self.good()
        self.assertEqual(self.figures["ranges"]["map_hit_over_direct"]["n"], 3)
        self.maps("1.pvdma-100", 1, missed=11)
        self.good()
        self.assertIsNone(self.figures["ratios"]["map_hit_over_direct"])
        self.assertIn("0.11% of pvdma-100's mappings", self.figures["reasons"]["map_hit_over_direct"])
        # a copy is no hit either
        self.maps("1.pvdma-100", 1)
        self.replace("1.pvdma-100", "map1.work", "after.bounces 9", "after.bounces 209")
        self.good()
        self.assertIn("2.00% of pvdma-100's mappings", self.figures["reasons"]["map_hit_over_direct"])

    def test_maps_not_measured(self):
        """What has no map_benchmark, or no figure of it, has no ratio, and never a better one."""
        self.three()
        self.good()
        self.assertIsNone(self.figures["ratios"]["virtio_iommu_strict_over_map_hit"])
        self.assertIn("virtio-iommu-strict", self.figures["reasons"]["virtio_iommu_strict_over_map_hit"])
        self.maps("2.vfio", 0)
        self.good()
        self.assertIn("less than map_benchmark can tell", self.figures["reasons"]["map_hit_over_direct"])
        self.replace("2.vfio", "run", "maps=map1 map16", "maps=")
        self.good()
        self.assertIn("did not run in vfio", self.figures["reasons"]["map_hit_over_direct"])

    def test_maps_fail(self):
        self.three()
        self.write("1.pvdma-100", "map1.work", "error=map1 ended with status 1\n")
        self.assert_fails("1.pvdma-100: map1 ended with status 1")
        self.assertEqual(self.figures["ranges"]["map_hit_over_direct"]["n"], 2)
        self.write("2.pvdma-100", "map16.work", "nothing\n")
        self.assert_fails("2.pvdma-100: not measured: KeyError 'map'")
        self.replace("3.pvdma-100", "map16.work", "after.maps 10050", "after.maps 50")
        self.assert_fails("3.pvdma-100: not measured: ValueError map16: map_benchmark mapped nothing")
        self.replace("1.vfio", "run", "maps=", "nothing=")
        self.assert_fails("1.vfio: not measured: KeyError 'maps'")

    def test_latencies(self):
        """Of all repetitions together, by the ends of classes; what was not measured is missed."""
        self.three()
        self.write("3.vfio", "latency.work", "100 60\n256000 40\n")
        text = self.good()
        self.assertIn("| vfio-pci | 0.1 | 272.4 | 272.4 | 272.4 | 272.4 |", text)
        self.assertIn("| pvdma, the working set | 0.1 | 0.1 | 2.1 | 2.1 | 2.1 |", text)
        plot = (self.root / "plots.gp").read_text(encoding="utf-8")
        self.assertIn("bench-latency.svg", plot)
        self.assertIn("0.108 0.8\n2.128 0.866667\n272.384 1\n", plot)
        self.write("3.vfio", "latency.work", "100 60\nerror=latency ended with status 1\n")
        self.assert_fails("3.vfio: not measured: ValueError map_latency: latency ended with status 1")
        self.write("2.vfio", "latency.work", "\n")
        self.assert_fails("2.vfio: not measured: ValueError map_latency says nothing")

    def test_start(self):
        self.three()
        for size, seconds in (("1G", 10), ("4G", 15)):
            self.run_of(f"1.pvdma-100@{size}", quota=20, seconds=seconds)
        text = self.good()
        self.assertAlmostEqual(self.figures["ratios"]["start_4g_over_1g"], 1.5)
        self.assertIn("| 1G, s | 4G, s |", text)

    def test_start_in_parts(self):
        """What zeroing and pinning take: differences of neighbours."""
        self.three()
        for rep in (1, 2):
            for name, seconds in (("none", 10), ("none-touched", 13), ("vfio-touched", 13 + rep), ("vfio", 20 + 4 * rep)):
                self.run_of(f"{rep}.{name}@1G", seconds=seconds)
        text = self.good()
        self.assertIn("| vfio-pci: pinning | 1.5 (1.0-2.0) | - |", text)
        self.assertIn("| vfio-pci: zeroing | 14.5 (13.0-16.0) | - |", text)

    def test_not_measured(self):
        """What is not there is null, with its reason."""
        self.three()
        text = self.good()
        self.assertIsNone(self.figures["ratios"]["start_4g_over_1g"])
        self.assertIn("pvdma-100@4G", self.figures["reasons"]["start_4g_over_1g"])
        self.assertIsNone(self.figures["ratios"]["quarter_ws"])
        self.assertIn("`quarter_ws` | a quarter: all work, of vfio's rate | not measured", text)

    def test_no_nic(self):
        """What a machine has no device for is not done, and no figure of it is there."""
        self.three()
        for folder in self.planned[1:]:
            self.replace(folder, "run", "kinds=random1 random32 seq tree db rr get put", "kinds=random1 random32 seq")
        self.good()
        self.assertEqual(set(self.kinds("1.vfio")), {"random1", "random32", "seq"})
        self.assertAlmostEqual(self.figures["ratios"]["half_ws"], 0.25)
        for key in ("tcp_rr_ws", "tcp_stream_ws", "pinned_tcp_rr_of_guest"):
            self.assertIsNone(self.figures["ratios"][key], key)
        self.assertIn("no work of the kind TCP request", self.figures["reasons"]["tcp_rr_ws"])

    def test_nothing_above_idling(self):
        self.three()
        self.replace("2.vfio", "rr.after", f"exits={1000 + 100 + 50 * 20 + 6000 + 7 + 3 * 20}", "exits=2000")
        self.good()
        self.assertIsNone(self.figures["ratios"]["exits_per_op_ws_over_direct"])
        self.assertIn("TCP request", self.figures["reasons"]["exits_per_op_ws_over_direct"])

    def test_wrong_data(self):
        """It is said, and the run does not count."""
        self.three()
        self.replace("1.pvdma-100", "rr.work", "verified=true", "verified=false\nerror=rr: exchange 7 went wrong")
        self.assert_fails("1.pvdma-100: TCP request and response: not verified", "exchange 7 went wrong")
        self.assertEqual(self.figures["ranges"]["tcp_rr_ws"]["n"], 2)

    def test_incomplete(self):
        self.three()
        (self.runs / "2.vfio/complete").unlink()
        self.assert_fails("2.vfio: not measured")
        self.assertIn("Wrong, and not counted: 2.vfio: not measured",
                      (self.root / "report.md").read_text(encoding="utf-8"))
        self.assertEqual(self.figures["ranges"]["tcp_rr_ws"]["n"], 2)

    def test_missing(self):
        self.three()
        self.planned.append("4.vfio")
        self.assert_fails("4.vfio: not measured")

    def test_nothing_at_all(self):
        result = subprocess.run([sys.executable, SCRIPT, self.root / "none", self.root],
                                capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("FAIL: nothing was measured: no", result.stderr)
        self.assertFalse((self.root / "report.json").exists())

    def test_missing_counter(self):
        self.three()
        self.replace("1.vfio", "rr.after", "mmio_exits", "mmio")
        self.assert_fails("1.vfio: not measured: KeyError 'mmio_exits'")

    def test_no_count_of_flushes(self):
        """A machine that does not count them has no figure of them, and all others."""
        self.three()
        for path in self.runs.glob("*/*.before"), self.runs.glob("*/*.after"):
            for file in path:
                if not file.name.endswith((".agent.before", ".agent.after")):
                    file.write_text(re.sub("iotlb_flushes=.*", "iotlb_flushes=", file.read_text(encoding="utf-8")),
                                    encoding="utf-8")
        self.good()
        self.assertNotIn("iotlb_flushes", self.kinds("1.vfio")["rr"])
        self.assertAlmostEqual(self.kinds("1.vfio")["rr"]["exits"], 3)

    def test_missing_cpu_time(self):
        self.three()
        self.replace("1.vfio", "rr.work", "now at", "then at")
        self.assert_fails("1.vfio: not measured: ValueError instead of two readings", " 1 of its clock")

    def test_more_cpus(self):
        """The idle time of a CPU that sleeps on is not known."""
        self.three()
        self.replace("1.vfio", "rr.work", "  .idle_sleeptime", "  .idle_sleeptime : 5 nsecs\n  .idle_sleeptime")
        self.assert_fails("1.vfio: not measured: ValueError instead of two readings", " 5 of idle times")

    def test_no_samples(self):
        self.three()
        self.replace("1.vfio", "rr.pins", "pin_samples=7", "pin_samples=0")
        self.assert_fails("1.vfio: not measured: ValueError no samples")

    def test_failed_mapping(self):
        self.three()
        self.replace("1.pvdma-50", "end.guest", "failures 0", "failures 2")
        self.assert_fails("1.pvdma-50: 2 mappings failed")

    def test_blocked_dma(self):
        self.three()
        self.replace("1.vfio", "run", "dma_faults=0", "dma_faults=1")
        self.assert_fails("1.vfio: 1 DMA faults")

    def test_quota_passed(self):
        self.three()
        self.pins("1.pvdma-50", "get", 21)
        self.assert_fails("1.pvdma-50: TCP received: 22020096 bytes pinned, the quota is 20971520")

    def test_below_need(self):
        """A quota below what is in use at once may fail mappings."""
        self.three()
        self.run_of("1.pvdma-10", quota=2, pinned=2)
        self.replace("1.pvdma-10", "end.guest", "failures 0", "failures 2")
        self.assert_fails("1.pvdma-10: 2 mappings failed")
        self.run_of("1.pvdma-shared", quota=576, pinned=4)
        text = self.good()
        self.assertIn("Below what is in use at once, and not counted: 1.pvdma-10: 2 mappings failed", text)
        self.assertNotIn("a tenth |", text)
        # wrong data, blocked DMA and more than the quota are never excused by it
        self.replace("1.pvdma-10", "seq.work", "verified=true", "verified=false\nerror=file 1 block 2 is wrong")
        self.assert_fails("1.pvdma-10: sequential, 64 KiB: not verified", "1.pvdma-10: file 1 block 2 is wrong")
        self.replace("1.pvdma-10", "seq.work", "is wrong", "could not be read")
        self.assertIn("block 2 could not be read", self.good())
        self.replace("1.pvdma-10", "run", "dma_faults=0", "dma_faults=3")
        self.assert_fails("1.pvdma-10: 3 DMA faults")

    def test_gnuplot_fails(self):
        self.three()
        self.gnuplot("echo no such terminal >&2; exit 1")
        self.assert_fails("plots: gnuplot: no such terminal")

    def test_nothing_to_compare_with(self):
        self.run_of("1.pvdma-100", quota=20)
        (self.root / "bench-rates.svg").write_text("of another run\n", encoding="utf-8")
        text = self.good()
        # what has nothing to be compared with is not drawn, nor is what was drawn before shown
        self.assertIn("(bench-latency.svg)", text)
        self.assertNotIn("(bench-rates.svg)", text)
        self.assertFalse((self.root / "bench-rates.svg").exists())
        self.assertIsNone(self.figures["ratios"]["tcp_rr_ws"])
        self.assertEqual(self.figures["ratios"]["pinned_tcp_rr_of_guest"], 20 / 512)

    def test_each_title(self):
        """The names of peers are the same everywhere."""
        names = subprocess.run(["bash", "-c", '. "$0"; echo $PEERS $PEERS_STARTED', TOP / "tests/bench/peers/peers.sh"],
                               capture_output=True, text=True, check=True).stdout.split()
        sys.path.insert(0, str(SCRIPT.parent))
        self.addCleanup(sys.path.remove, str(SCRIPT.parent))
        import report
        self.assertEqual(list(report.TITLES), list(dict.fromkeys(names)))


if __name__ == "__main__":
    unittest.main()
