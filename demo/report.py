#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns what the demo measured into a table and into report.json.

usage: report.py RESULTS.jsonl REPORT.json

RESULTS.jsonl has one {"key": "RUN.FIGURE", "value": "..."} a line, as the bed
writes them. A figure that was not measured is an error, never a zero. Exit
status 0 means that every figure is there and every claim at the end holds.
"""

import json
import sys

RUNS = ("vfio-direct", "pvdma-ws", "pvdma-half", "pvdma-none")
TITLES = {
    "vfio-direct": "(a) plain vfio-pci",
    "pvdma-ws": "(b) quota = working set",
    "pvdma-half": "(c) half of that",
    "pvdma-none": "(d) nothing granted",
}
FIGURES = {
    "guest_bytes": int,
    "quota_bytes": int,
    "pinned_peak_bytes": int,
    "map_requests": int,
    "map_requests_second_half": int,
    "evictions": int,
    "disk_mib_s": float,
    "disk_bytes": int,
    "disk_verified": bool,
    "net_verified": bool,
    "mmio_exits_per_io": float,
    "dmar_faults": int,
    "pin_samples": int,
    "guest_alive": bool,
    "start_seconds": float,
}
MIB = 1 << 20


def convert(kind, text):
    if kind is bool:
        return {"true": True, "false": False}[text]
    return kind(text)


def collect(path):
    """The runs as dicts, and what is wrong with the measurement."""
    raw, wrong = {}, []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            raw[entry["key"]] = entry["value"]
    runs = []
    for name in RUNS:
        run = {"name": name}
        for figure, kind in FIGURES.items():
            text = raw.get(f"{name}.{figure}")
            try:
                run[figure] = convert(kind, str(text))
            except (ValueError, KeyError):
                wrong.append(f"{name}: {figure} was not measured (got {text})")
                run[figure] = None
        runs.append(run)
    return runs, wrong


def mib(value):
    return f"{value / MIB:.1f} MiB"


def yes(value):
    return "yes" if value else "no"


def table(runs):
    """Rows of figures, a column for each run."""
    base = runs[0]["disk_mib_s"]

    def speed(run):
        if not run["disk_mib_s"]:
            return "-"
        return f"{run['disk_mib_s']:.1f} MiB/s ({run['disk_mib_s'] / base:.2f})"

    def exits(run):
        return f"{run['mmio_exits_per_io']:.3f}" if run["disk_bytes"] else "-"

    rows = [
        ("guest memory", lambda r: mib(r["guest_bytes"])),
        ("quota", lambda r: "all" if r["name"] == "vfio-direct"
         else mib(r["quota_bytes"])),
        ("pinned at peak", lambda r: mib(r["pinned_peak_bytes"])),
        ("  share of the guest", lambda r:
         f"{100 * r['pinned_peak_bytes'] / r['guest_bytes']:.1f} %"),
        ("map requests", lambda r: str(r["map_requests"])),
        ("  in the second half", lambda r: str(r["map_requests_second_half"])),
        ("evictions", lambda r: str(r["evictions"])),
        ("disk, direct I/O (vs a)", speed),
        ("  data verified", lambda r: yes(r["disk_verified"])),
        ("network data verified", lambda r: yes(r["net_verified"])),
        ("MMIO exits per I/O", exits),
        ("DMA faults of VT-d", lambda r: str(r["dmar_faults"])),
        ("guest started in", lambda r: f"{r['start_seconds']:.1f} s"),
    ]
    cells = [[""] + [TITLES[run["name"]] for run in runs]]
    cells += [[title] + [fn(run) for run in runs] for title, fn in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = []
    for n, row in enumerate(cells):
        lines.append("  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths))).rstrip())
        if n == 0:
            lines.append("-" * (sum(widths) + 2 * (len(widths) - 1)))
    return "\n".join(lines)


def claims(runs):
    """What the demo is there to show: (does it hold?, in words)."""
    direct, ws, half, none = runs
    return [
        (direct["pinned_peak_bytes"] >= direct["guest_bytes"],
         "(a) pins all of the guest"),
        (direct["disk_verified"] and direct["net_verified"],
         "(a) data is right"),
        (ws["pinned_peak_bytes"] < 0.05 * ws["guest_bytes"],
         "(b) pins less than 5 % of the guest"),
        (ws["disk_verified"] and ws["net_verified"], "(b) data is right"),
        (ws["map_requests_second_half"] == 0,
         "(b) makes no request in the second half of the work"),
        (0 < half["pinned_peak_bytes"] <= half["quota_bytes"],
         "(c) never pins more than its quota, in "
         f"{half['pin_samples']} samples"),
        (half["disk_verified"] and half["net_verified"], "(c) data is right"),
        (half["evictions"] > 0, "(c) had to evict"),
        (none["disk_bytes"] == 0 and not none["net_verified"],
         "(d) reads nothing"),
        (none["guest_alive"], "(d) leaves the guest alive"),
        (none["dmar_faults"] > 0, "(d) is stopped by VT-d"),
        (none["pinned_peak_bytes"] == 0, "(d) pins nothing"),
    ]


def main(argv):
    if len(argv) != 3:
        sys.exit(__doc__)
    runs, wrong = collect(argv[1])
    with open(argv[2], "w", encoding="utf-8") as out:
        json.dump({"runs": runs}, out, indent=2)
        out.write("\n")
    if wrong:
        sys.exit("\n".join(["demo: the measurement is not complete:"] + wrong))
    print(f"\n{table(runs)}\n")
    bad = 0
    for holds, text in claims(runs):
        print(f"  {'yes' if holds else 'NO '}  {text}")
        bad += not holds
    print(f"\nfigures: {argv[2]}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
