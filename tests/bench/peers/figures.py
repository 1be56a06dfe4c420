# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of one run of tests/bench/peers: what one.sh left, read and judged.

A figure that was not measured is an error, never a zero. What is counted per
operation is without what the command costs and without what guest and kernel do
when idle: the kinds of work "price" and "idle" do nothing, for no time and for some
seconds, and a counter's price and rate follow from these two. Times and rates
of work are those that the work measured itself.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Figures = dict[str, Any]

# Linux counts CPU time for user space in these, on x86
TICK_US = 10000
STREAM_OP = 65536
PRICE, IDLE = "price", "idle"


@dataclass
class Kind:
    """A kind of work: its name in tables, what pvdma-work calls it, what an operation is."""
    title: str
    prefix: str
    op: str


KINDS = {
    "random1": Kind("random 4 KiB, depth 1", "random", "I/O"),
    "random32": Kind("random 4 KiB, depth 32", "random", "I/O"),
    "seq": Kind("sequential, 64 KiB", "disk", "I/O"),
    "tree": Kind("files that come and go", "tree", "file"),
    "db": Kind("PostgreSQL, pgbench", "db", "transaction"),
    "rr": Kind("TCP request and response", "net_rr", "exchange"),
    "get": Kind("TCP received", "net_get", "64 KiB"),
    "put": Kind("TCP sent", "net_put", "64 KiB"),
}

# What map_benchmark maps and unmaps, over and over, by the name of the work: "map" and pages
MAPS = {"map1": "4 KiB", "map16": "64 KiB"}
LATENCY = re.compile(r"^average (map|unmap) latency\(us\):([\d.]+) standard deviation:([\d.]+)$", re.MULTILINE)
# A line of map_latency's histogram
LATENCIES = re.compile(r"^(\d+) (\d+)$", re.MULTILINE)
NS = 1000
# The guest's clock, and what its CPU was idle, and idle for I/O (Linux up to 7.1, with NO_HZ_IDLE)
NOW = re.compile(r"^now at (\d+) nsecs$", re.MULTILINE)
SLEPT = re.compile(r"^ *\.(?:idle|iowait)_sleeptime *: (\d+) nsecs$", re.MULTILINE)


def pairs(text: str, between: str = "=") -> dict[str, str]:
    """The names and values of lines that have one of each; of a name the last."""
    split = (line.split(between, 1) for line in text.splitlines())
    return {words[0]: words[1] for words in split if len(words) == 2}


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def guest_cpu(work: str) -> tuple[float, float]:
    """Microseconds between two readings in a guest of one CPU: not idle, and all.

    A CPU that is not idle does something, its exits with it, or waits for the host. The kernel
    knows when it was idle (/proc/timer_list), while what it charges to user, system and interrupts
    is what a timer's tick finds there; where exits keep ticks waiting, many are missing. What the
    host stole is not subtracted: some of that lies within idle times, from a wake-up to its effect.
    """
    now, idle = ([int(n) for n in found.findall(work)] for found in (NOW, SLEPT))
    # an idle time is that of the last one that ended: right for a CPU that reads it
    if len(now) != 2 or len(idle) != 4:
        raise ValueError(f"instead of two readings of a guest's one CPU: {len(now)} of its clock, "
                         f"{len(idle)} of idle times")
    every = (now[1] - now[0]) / NS
    return every - (sum(idle[2:]) - sum(idle[:2])) / NS, every


@dataclass
class Window:
    """Counters around one command, and how long that took by whose clock."""
    counts: dict[str, float]
    times: dict[str, float]


class Baseline:
    """What a command costs and what is counted meanwhile, when nothing is done."""

    def __init__(self, price: Window, idle: Window):
        self._price, self._idle = price, idle

    def net(self, window: Window, counter: str) -> float:
        """What of a counter is the work's own; noise can make that a little less than none."""
        t0, t1 = self._price.times[counter], self._idle.times[counter]
        c0, c1 = self._price.counts[counter], self._idle.counts[counter]
        if t1 <= t0:
            raise ValueError(f"{counter}: idling took no longer than nothing")
        rate = (c1 - c0) / (t1 - t0)
        return window.counts[counter] - c0 - rate * (window.times[counter] - t0)


def window(folder: Path, kind: str) -> Window:
    """The counters around a kind of work: the host's, and the guest's own CPU time."""
    before, after = (pairs(read(folder / f"{kind}.{when}")) for when in ("before", "after"))
    seconds = float(after["time"]) - float(before["time"])
    counts = {name: float(after[name]) - float(before[name]) for name in before
              if name != "time" and before[name]}  # what this machine does not count is empty
    counts["exits"] -= counts["forced_exits"]
    counts["host_ticks"] = counts["qemu_ticks"] + counts.get("agent_ticks", 0)
    times = {name: seconds for name in counts}
    counts["guest_us"], times["guest_us"] = guest_cpu(read(folder / f"{kind}.work"))
    return Window(counts, times)


def agent_counts(folder: Path, kind: str) -> dict[str, int]:
    """What the agent did for a kind of work; empty where there is none."""
    if not (folder / f"{kind}.agent.before").exists():
        return {}
    before, after = (json.loads(read(folder / f"{kind}.agent.{when}")) for when in ("before", "after"))

    def delta(part: str, name: str) -> int:
        return int(after[part][name]) - int(before[part][name])

    return {"requests": delta("vm", "requests"), "evictions": delta("vm", "evictions"),
            "kicks": delta("vhost", "kicks")}


def operations(kind: str, work: dict[str, str]) -> int:
    prefix = KINDS[kind].prefix
    if kind == "rr":
        return int(work[f"{prefix}_exchanges"])
    if kind in ("get", "put"):
        return int(work[f"{prefix}_bytes"]) // STREAM_OP
    if kind in ("tree", "db"):
        return int(work[f"{prefix}_files" if kind == "tree" else f"{prefix}_transactions"])
    return int(work[f"{prefix}_reads"]) + int(work[f"{prefix}_writes"])


def pinned(pins: dict[str, str], nothing: int) -> int:
    """Bytes at most, above what was pinned before the run."""
    if int(pins["pin_samples"]) < 1:
        raise ValueError("no samples of what is pinned")
    return int(pins["pinned_base_bytes"]) + int(pins["pinned_peak_bytes"]) - nothing


def errors_of(text: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith("error=")]


def read_kind(folder: Path, kind: str, baseline: Baseline, nothing: int) -> Figures:
    """The figures of one kind of work; those that count are per operation."""
    text = read(folder / f"{kind}.work")
    work = pairs(text)
    around = window(folder, kind)
    prefix = KINDS[kind].prefix
    ops, seconds = operations(kind, work), float(work[f"{prefix}_seconds"])
    if not ops or not seconds:
        raise ValueError(f"{kind}: {ops} operations in {seconds} s")

    def per_op(counter: str, unit: float = 1) -> float:
        return baseline.net(around, counter) * unit / ops

    return {
        "ops": ops,
        "seconds": seconds,
        "rate": ops / seconds,
        "verified": work[f"{prefix}_verified"] == "true",
        "errors": errors_of(text),
        "exits": per_op("exits"),
        "mmio_exits": per_op("mmio_exits"),
        "guest_cpu_us": per_op("guest_us"),
        "host_cpu_us": per_op("host_ticks", TICK_US),
        "pinned": pinned(pairs(read(folder / f"{kind}.pins")), nothing),
        **({"iotlb_flushes": per_op("iotlb_flushes")} if "iotlb_flushes" in around.counts else {}),
        **{name: count / ops for name, count in agent_counts(folder, kind).items()},
    }


def read_map(folder: Path, kind: str, counted: bool) -> Figures:
    """What map_benchmark found, and how it went where there are counters: what missed, or
    was copied, a mapping. Only errors, if there are any."""
    text = read(folder / f"{kind}.work")
    figures: Figures = {"errors": errors_of(text)}
    if figures["errors"]:
        return figures
    found = {which: (float(latency) * NS, float(deviation) * NS)
             for which, latency, deviation in LATENCY.findall(text)}
    (figures["map_ns"], figures["map_deviation_ns"]) = found["map"]
    (figures["unmap_ns"], figures["unmap_deviation_ns"]) = found["unmap"]
    figures["ns"] = figures["map_ns"] + figures["unmap_ns"]
    if counted:
        counters = pairs(text, " ")
        delta = {name: int(counters[f"after.{name}"]) - int(counters[f"before.{name}"])
                 for name in ("maps", "misses", "bounces")}
        if delta["maps"] < 1:
            raise ValueError(f"{kind}: map_benchmark mapped nothing by way of pvdma")
        figures["mappings"] = delta["maps"]
        # a miss is a granule's, which is a page's here; a copy is a mapping's
        pages = int(kind.removeprefix("map"))
        figures["missed"] = (delta["misses"] / pages + delta["bounces"]) / delta["maps"]
    return figures


def read_latencies(folder: Path) -> list[tuple[int, int]]:
    """map_latency's histogram: nanoseconds at most, and how many mappings; ascending. It says where
    its classes begin, which are an eighth of a power of two wide."""
    text = read(folder / "latency.work")
    if errors_of(text):
        raise ValueError(f"map_latency: {errors_of(text)[0]}")
    found = [(int(ns) + (1 << max(int(ns).bit_length() - 4, 0)), int(count))
             for ns, count in LATENCIES.findall(text)]
    if not found:
        raise ValueError("map_latency says nothing")
    return sorted(found)


def read_run(folder: Path) -> Figures:
    """The figures of a run. KeyError, ValueError, OSError: one is missing."""
    if not (folder / "complete").exists():
        raise ValueError("the run did not come to its end")
    facts = pairs(read(folder / "run"))
    start = pairs(read(folder / "start.pins"))
    nothing = int(start["pinned_base_bytes"])
    run: Figures = {
        "name": facts["name"],
        "size": facts["size"],
        "repetition": int(folder.name.partition(".")[0]),
        "guest_bytes": int(facts["guest_bytes"]),
        "start_seconds": float(facts["start_seconds"]),
        "agent_seconds": float(facts["agent_seconds"]),
        "pinned_start": pinned(start, nothing),
        "quota": int(facts["quota"]) if "quota" in facts else None,
        "kinds": {},
        "maps": {},
        "latencies": [],
    }
    if run["size"]:
        return run
    baseline = Baseline(window(folder, PRICE), window(folder, IDLE))
    done = facts["kinds"].split()
    run["kinds"] = {kind: read_kind(folder, kind, baseline, nothing) for kind in KINDS if kind in done}
    run["maps"] = {kind: read_map(folder, kind, run["quota"] is not None) for kind in facts["maps"].split()}
    if run["maps"]:
        run["latencies"] = read_latencies(folder)
    run["dma_faults"] = int(facts["dma_faults"])
    if run["quota"] is not None:
        guest = pairs(read(folder / "end.guest"), " ")
        run["failures"] = int(guest["failures"])
        run["bounce_pool"] = int(guest["bounce_pool_bytes"])
        if "working_set" in facts:
            run["working_set"] = int(facts["working_set"])
        run["mapped_peak"] = int(json.loads(read(folder / "end.agent"))["vm"]["mapped_peak"])
    return run


# What pvdma-work says of data; all else that it says is what the kernel told it of an I/O.
WRONG = re.compile("wrong|instead|the server said")


def failures(run: Figures) -> list[str]:
    """What must not be, and is, where all that is in use at once fits into the quota."""
    found = []
    for figures in run["kinds"].values():
        found += [error for error in figures["errors"] if not WRONG.search(error)]
    if run.get("failures"):
        found.append(f"{run['failures']} mappings failed")
    return found


def complaints(run: Figures) -> list[str]:
    """What must never be, and is."""
    found = []
    for kind, figures in run["kinds"].items():
        wrong = [error for error in figures["errors"] if WRONG.search(error)]
        # one that was not done is not verified
        if not figures["verified"] and (wrong or not figures["errors"]):
            found.append(f"{KINDS[kind].title}: not verified")
        found += wrong
    for figures in run["maps"].values():
        found += figures["errors"]
    if run.get("dma_faults"):
        found.append(f"{run['dma_faults']} DMA faults")
    if run["quota"] is not None:
        peaks = {"start": run["pinned_start"], "the agent's books": run.get("mapped_peak", 0)}
        peaks |= {KINDS[kind].title: figures["pinned"] for kind, figures in run["kinds"].items()}
        found += [f"{where}: {peak} bytes pinned, the quota is {run['quota']}"
                  for where, peak in peaks.items() if peak > run["quota"]]
    return found
