#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares what tests/bench/peers/run measured: report.py FOLDER OUT

FOLDER holds a folder for each run (one.sh says what is in it), and the files "planned" and "machine".
Writes to OUT report.json, with all runs, report.md and plots (SVG), and prints the tables. A run
in which anything was wrong is in the report, and counts for nothing.

Exit status 0 means that all runs are there, and that in each all data was verified, no
mapping failed, no DMA was blocked, and no more was pinned than the quota at any sample.
Runs whose quota is below what is in use at once may fail; they do not count then.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import plots
from figures import KINDS, MAPS, NS, Figures, complaints, failures, read_run
from ratios import DIRECT, RATIOS, Missing, Runs, Summary, ratios, summary

TITLES = {
    "vfio": "vfio-pci",
    "vfio-anonymous": "vfio-pci, anonymous memory",
    "virtio-iommu-strict": "vfio-pci, virtio-iommu, strict",
    "virtio-iommu-lazy": "vfio-pci, virtio-iommu, lazy",
    "intel-iommu": "vfio-pci, intel-iommu, strict",
    "virtio": "virtio-blk, virtio-net",
    "emulated": "emulated NVMe, e1000e",
    "pvdma-100": "pvdma, the working set",
    "pvdma-50": "pvdma, half of it",
    "pvdma-25": "pvdma, a quarter",
    "pvdma-10": "pvdma, a tenth",
    "pvdma-shared": "pvdma, strategy shared",
    "pvdma-single-use": "pvdma, strategy single-use",
    "none": "no device",
    "none-touched": "no device, memory touched first",
    "vfio-touched": "vfio-pci, memory touched first",
}
# Which share of the mappings takes no longer
SHARES = {0.5: "half", 0.9: "90%", 0.99: "99%", 0.999: "99.9%", 1: "all"}
# Its strict mappings are in use, or there are none.
STRICT = "pvdma-shared"
MIB = 1 << 20


def collect(folder: Path) -> tuple[list[Figures], list[str]]:
    """The runs that are there, and what is wrong with the others."""
    runs, wrong = [], []
    for name in (folder / "planned").read_text(encoding="utf-8").split():
        try:
            runs.append(read_run(folder / name))
        except (KeyError, ValueError, OSError) as error:
            wrong.append(f"{name}: not measured: {type(error).__name__} {error}")
    return runs, wrong


def label(run: Figures) -> str:
    return f"{run['repetition']}.{run['name']}" + (f"@{run['size']}" if run["size"] else "")


def judge(runs: list[Figures]) -> tuple[Runs, list[str], list[str]]:
    """The runs that count, what is wrong with others, and what need not count."""
    needed = max((run["mapped_peak"] + run["bounce_pool"] for run in runs
                  if run["name"] == STRICT and not complaints(run) + failures(run)), default=0)
    good, wrong, below = [], [], []
    for run in runs:
        found, failed = ([f"{label(run)}: {text}" for text in texts] for texts in (complaints(run), failures(run)))
        if not found + failed and run["repetition"]:
            good.append(run)
        wrong += found
        if run["quota"] is not None and run["quota"] < needed:
            below += failed
        else:
            wrong += failed
    return Runs(good), wrong, below


def cell(value: Summary | None, unit: float = 1, digits: int = 2) -> str:
    """Median and range, or a dash."""
    if value is None:
        return "-"
    middle, least, most = (f"{x / unit:.{digits}f}" for x in (value.median, value.least, value.most))
    return f"{middle} ({least}-{most})" if value.n > 1 else middle


def try_summary(function, *args, **options) -> Summary | None:
    try:
        return function(*args, **options)
    except (Missing, KeyError):
        return None


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def by_kind(runs: Runs, figure: str, unit: float, digits: int) -> str:
    """A figure of each peer in each kind of work."""
    return table(["", *(kind.title for kind in KINDS.values())],
                 [[TITLES[name], *(cell(try_summary(runs.figure, name, kind, figure), unit, digits) for kind in KINDS)]
                  for name in TITLES if name in runs.names()])


def rates(runs: Runs) -> str:
    """The speed of each peer, of direct assignment's, whose own is in operations a second."""
    rows = [["vfio-pci, operations a second",
             *(cell(try_summary(runs.figure, DIRECT, kind, "rate"), 1, 0) for kind in KINDS)]]
    rows += [[TITLES[name], *(cell(try_summary(runs.ratio, name, [kind], "rate")) for kind in KINDS)]
             for name in TITLES if name in runs.names() and name != DIRECT]
    return table(["", *(kind.title for kind in KINDS.values())], rows)


def pins(runs: Runs) -> str:
    """What is pinned, until the guest is ready and while it works, and how long a start takes."""
    rows = []
    for name in (name for name in TITLES if name in runs.names()):
        most = summary(max(figures["pinned"] for figures in run["kinds"].values())
                       for run in runs.of(name).values())
        rows.append([TITLES[name], cell(runs.fact(name, "quota"), MIB, 1) if name in plots.QUOTAS else "-",
                     cell(runs.fact(name, "pinned_start"), MIB, 1),
                     cell(try_summary(runs.figure, name, "rr", "pinned"), MIB, 1), cell(most, MIB, 1),
                     cell(runs.fact(name, "start_seconds"), 1, 1)])
    return table(["MiB; seconds", "quota", "pinned until ready", "during TCP request and response",
                  "during all work", "start"], rows)


def maps(runs: Runs, kind: str) -> str:
    """What map_benchmark says of each way to map, and what of pvdma's was no hit."""
    columns = {"map_ns": "map, ns", "map_deviation_ns": "deviation", "unmap_ns": "unmap, ns",
               "unmap_deviation_ns": "deviation"}
    rows = [[TITLES[name], *(cell(try_summary(runs.figure, name, kind, figure, "maps"), 1, 0) for figure in columns),
             cell(try_summary(runs.figure, name, kind, "missed", "maps"), 0.01, 2)]
            for name in TITLES if any(kind in run["maps"] for run in runs.of(name).values())]
    return table([f"mappings of {MAPS[kind]}", *columns.values(), "pages that missed, %"], rows)


def latencies(runs: Runs) -> str:
    """How long mappings take at most, by their share; of all repetitions."""
    rows = [[TITLES[name], *(f"{next(ns for ns, below in found if below >= share) / NS:.1f}" for share in SHARES)]
            for name in TITLES if (found := runs.latencies(name))]
    return table(["mappings of 4 KiB of a set of 4 MiB, at random, µs", *SHARES.values()], rows)


def starts(runs: Runs) -> str:
    """From QEMU's start to the guest's init, for guests of several sizes."""
    rows = [[TITLES[name], *(cell(try_summary(runs.fact, name, "start_seconds", size), 1, 1)
                             for size in runs.sizes()),
             *(cell(try_summary(runs.fact, name, "pinned_start", size), MIB, 1) for size in runs.sizes())]
            for name in TITLES if any(name in runs.names(size) for size in runs.sizes())]
    for title, part in ((f"{TITLES[DIRECT]}: pinning", runs.pinning), (f"{TITLES[DIRECT]}: zeroing", runs.zeroing)):
        found = [try_summary(part, size) for size in runs.sizes()]
        if any(found):
            rows.append([title, *(cell(value, 1, 1) for value in found), *("-" for _ in found)])
    return table(["", *(f"{size}, s" for size in runs.sizes()),
                  *(f"{size}, MiB pinned" for size in runs.sizes())], rows)


def summary_table(found: dict[str, Summary], reasons: dict[str, str]) -> str:
    rows = [[f"`{key}`", text, cell(found.get(key), 1, 3) if key in found else f"not measured: {reasons[key]}"]
            for key, (text, _) in RATIOS.items()]
    return table(["", "", "median (range)"], rows)


def markdown(runs: Runs, found: dict[str, Summary], reasons: dict[str, str], notes: list[str],
             drawn: list[str]) -> str:
    """All tables, and the plots that were drawn."""
    parts = ["### In short\n", summary_table(found, reasons), "### Rates, of vfio-pci's\n", rates(runs),
             "### KVM exits an operation\n", by_kind(runs, "exits", 1, 2),
             "### MMIO exits an operation\n", by_kind(runs, "mmio_exits", 1, 2),
             "### The guest's CPU time an operation, µs\n", by_kind(runs, "guest_cpu_us", 1, 0),
             "### The CPU time of QEMU and agent an operation, µs\n", by_kind(runs, "host_cpu_us", 1, 0),
             "### Requests to pvdma an operation\n", by_kind(runs, "requests", 1, 3),
             "### Kicks an operation\n", by_kind(runs, "kicks", 1, 3),
             "### IOTLB flushes an operation\n", by_kind(runs, "iotlb_flushes", 1, 3),
             "### The kernel's map_benchmark\n", *(maps(runs, kind) for kind in MAPS),
             "### How long mappings take\n", latencies(runs),
             "### What is pinned, and how long a start takes\n", pins(runs)]
    if runs.sizes():
        parts += ["### Start against size\n", starts(runs)]
    pictures = [f"![{text}]({name})\n" for name, text in plots.PLOTS.items() if name in drawn]
    return "\n".join([*parts, *(["### Plots\n"] if pictures else []), *pictures, *notes])


def notes_of(machine: str, everything: list[Figures], wrong: list[str], below: list[str]) -> list[str]:
    """What stands below the tables."""
    repetitions = len({run["repetition"] for run in everything if run["repetition"]})
    first = [run["working_set"] for run in everything if not run["repetition"] and "working_set" in run]
    working_set = f"Working set {first[0] / MIB:.1f} MiB; " if first else ""
    notes = [f"On {machine}.\n", f"{working_set}repetitions: {repetitions}; medians, with the least and the most.\n"]
    if wrong:
        notes.append("Wrong, and not counted: " + "; ".join(wrong) + ".\n")
    if below:
        notes.append("Below what is in use at once, and not counted: " + "; ".join(below) + ".\n")
    return notes


def as_json(machine: str, everything: list[Figures], wrong: list[str], below: list[str],
            found: dict[str, Summary], reasons: dict[str, str]) -> str:
    report = {
        "machine": machine,
        "repetitions": len({run["repetition"] for run in everything if run["repetition"]}),
        "wrong": wrong,
        "below_need": below,
        "ratios": {key: found[key].median if key in found else None for key in RATIOS},
        "ranges": {key: asdict(value) for key, value in found.items()},
        "reasons": reasons,
        "runs": everything,
    }
    return json.dumps(report, indent=2) + "\n"


def main(argv: list[str]) -> int:
    """The program; its exit status."""
    if len(argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder, out = Path(argv[0]), Path(argv[1])
    if not (folder / "planned").exists():
        print(f"bench: FAIL: nothing was measured: no {folder}/planned", file=sys.stderr)
        return 1
    everything, missing = collect(folder)
    runs, wrong, below = judge(everything)
    wrong = missing + wrong
    found, reasons = ratios(runs)
    machine = (folder / "machine").read_text(encoding="utf-8").strip()
    drawn: list[str] = []
    failure = []
    try:
        drawn = plots.draw(runs, out)
    except (Missing, OSError, plots.Failed) as error:
        failure.append(f"plots: {error}")
    text = markdown(runs, found, reasons, notes_of(machine, everything, wrong, below), drawn)
    (out / "report.md").write_text(text, encoding="utf-8")
    print(text)
    wrong = wrong + failure
    (out / "report.json").write_text(as_json(machine, everything, wrong, below, found, reasons), encoding="utf-8")
    for line in wrong:
        print(f"bench: FAIL: {line}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
