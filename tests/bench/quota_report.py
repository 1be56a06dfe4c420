#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges what tests/bench/quota measured: quota_report.py FOLDER JSON MARKDOWN

FOLDER holds what quota-host.sh left of each run. Writes the figures as JSON and
as a table in Markdown, and prints the table. A figure that was not measured is an
error, never a zero. Exit status 0 means that all runs are there, and that in each
all data was verified, no mapping failed, no DMA was blocked, and no more was pinned
than the quota at any sample.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

Run = dict[str, Any]

TITLES = {
    "direct": "direct-map",
    "all": "all granted",
    "quota-100": "100%",
    "quota-50": "50%",
    "quota-25": "25%",
    "quota-10": "10%",
    "direct-again": "direct-map again",
    "in-use": "strategy shared",
}
# Runs that may fail where their quota is below what is in use at once.
OPTIONAL = "quota-10"
# What pvdma-work calls a kind of work, and what we do.
KINDS = {
    "disk": "sequential, direct",
    "random": "random 4 KiB, direct",
    "files": "files, page cache",
    "net_get": "TCP received",
    "net_put": "TCP sent",
}
# Counters of which the work's share counts: what the module and the agent call them.
GUEST = ("maps", "sg_maps", "mapped_bytes", "hits", "misses", "bounces", "bounced_bytes",
         "map_requests", "failed_requests", "waits", "wait_ns", "timeouts")
AGENT = ("evictions", "evicted_bytes", "map_waited_evictions", "hints", "hints_dropped",
         "ahead_granules", "ahead_used", "failed_quota", "failed_limit")
MIB = 1 << 20


def pairs(path: Path, between: str) -> list[tuple[str, str]]:
    """The names and values of a file that has one of each a line."""
    split = (line.split(between, 1) for line in path.read_text(encoding="utf-8").splitlines())
    return [(words[0], words[1]) for words in split if len(words) == 2]


def differences(before: dict[str, int], after: dict[str, int], names: tuple[str, ...]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in names}


def kinds_of(work: list[tuple[str, str]], rounds: int) -> dict[str, Run]:
    """Of each kind of work the speed of the median round, and whether all were verified."""
    kinds = {}
    for kind in KINDS:
        amounts = [int(value) for key, value in work if key == f"{kind}_bytes"]
        seconds = [float(value) for key, value in work if key == f"{kind}_seconds"]
        verdicts = [value for key, value in work if key == f"{kind}_verified"]
        speeds = [amount / MIB / time for amount, time in zip(amounts, seconds) if time]
        kinds[kind] = {
            "bytes": sum(amounts),
            "mib_s": round(median(speeds), 4) if speeds else 0.0,
            "verified": verdicts == ["true"] * rounds,
        }
    return kinds


def read_run(folder: Path, name: str) -> Run:
    """The figures of one run. KeyError, ValueError, OSError: one is missing."""
    figures = dict(pairs(folder / f"{name}.run", "="))
    work = pairs(folder / f"{name}.work", "=")
    guest = [{key: int(value) for key, value in pairs(folder / f"{name}.guest.{when}", " ")}
             for when in ("before", "after")]
    agent = [json.loads((folder / f"{name}.agent.{when}").read_text(encoding="utf-8"))["vm"]
             for when in ("before", "after")]
    return {
        "name": name,
        "quota": int(figures["quota"]),
        "pinned_peak": int(figures["pinned_peak_bytes"]),
        "pin_samples": int(figures["pin_samples"]),
        "dma_faults": int(figures["dma_faults"]),
        "mapped_peak": agent[1]["mapped_peak"],
        "bounce_pool": guest[1]["bounce_pool_bytes"],
        # of the drivers' start, too
        "failures": guest[1]["failures"],
        "guest": differences(guest[0], guest[1], GUEST),
        "agent": differences(agent[0], agent[1], AGENT),
        "kinds": kinds_of(work, int(figures["rounds"])),
        "errors": [value for key, value in work if key == "error"],
    }


def collect(folder: Path) -> tuple[list[Run], list[str]]:
    """The runs that are there, and what is wrong with the others."""
    runs, wrong = [], []
    for name, title in TITLES.items():
        try:
            runs.append(read_run(folder, name))
        except (KeyError, ValueError, OSError) as error:
            wrong.append(f"{title}: not measured: {type(error).__name__} {error}")
    return runs, wrong


def complaints(run: Run) -> list[str]:
    """What must not be, and is."""
    title = TITLES[run["name"]]
    found = [f"{title}: {KINDS[kind]}: not verified"
             for kind, figures in run["kinds"].items() if not figures["verified"]]
    found += [f"{title}: {error}" for error in run["errors"]]
    if run["failures"]:
        found.append(f"{title}: {run['failures']} mappings failed")
    if run["dma_faults"]:
        found.append(f"{title}: {run['dma_faults']} DMA faults")
    for figure in ("pinned_peak", "mapped_peak"):
        if not 0 < run[figure] <= run["quota"]:
            found.append(f"{title}: {figure} is {run[figure]}, the quota {run['quota']}")
    if not run["pin_samples"]:
        found.append(f"{title}: no samples of what is pinned")
    return found


def in_use_at_once(by_name: dict[str, Run]) -> int:
    """Bytes: what strict mappings need at most, and the memory for copies."""
    return by_name["in-use"]["mapped_peak"] + by_name[OPTIONAL]["bounce_pool"]


def mib(value: float) -> str:
    return f"{value / MIB:.1f} MiB"


def ratio(part: float, whole: float) -> str:
    return f"{part / whole:.2f}" if whole else "-"


def share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def rows(base: Run) -> list[tuple[str, Callable[[Run], str]]]:
    """What the table says of a run, line by line; speeds are those of base."""
    def guest(name: str) -> Callable[[Run], str]:
        return lambda run: str(run["guest"][name])

    def agent(name: str) -> Callable[[Run], str]:
        return lambda run: str(run["agent"][name])

    def speed(kind: str) -> Callable[[Run], str]:
        return lambda run: ratio(run["kinds"][kind]["mib_s"], base["kinds"][kind]["mib_s"])

    return [
        ("quota", lambda run: mib(run["quota"])),
        ("pinned at peak", lambda run: mib(run["pinned_peak"])),
        ("map calls", lambda run: str(run["guest"]["maps"] + run["guest"]["sg_maps"])),
        ("granules that missed", lambda run: share(
            run["guest"]["misses"], run["guest"]["misses"] + run["guest"]["hits"])),
        ("MAP requests", guest("map_requests")),
        ("waits", guest("waits")),
        ("a wait, mean", lambda run: f"{run['guest']['wait_ns'] / 1e6 / run['guest']['waits']:.1f} ms"
         if run["guest"]["waits"] else "-"),
        ("requests that waited for an eviction", agent("map_waited_evictions")),
        ("requests refused for want of room", agent("failed_quota")),
        ("map calls that copied", guest("bounces")),
        ("bytes copied", lambda run: share(run["guest"]["bounced_bytes"], run["guest"]["mapped_bytes"])),
        ("evictions", agent("evictions")),
        ("hints", agent("hints")),
        ("granules mapped ahead / used", lambda run:
         f"{run['agent']['ahead_granules']} / {run['agent']['ahead_used']}"),
        ("**mappings that failed**", lambda run: str(run["failures"])),
        ("**all data verified**", lambda run:
         "yes" if all(kind["verified"] for kind in run["kinds"].values()) else "NO"),
        *((f"{what}, of direct-map's speed", speed(kind)) for kind, what in KINDS.items()),
    ]


def table(runs: list[Run]) -> str:
    """Markdown: a column for each run."""
    lines = ["| | " + " | ".join(TITLES[run["name"]] for run in runs) + " |",
             "|---|" + "---:|" * len(runs)]
    lines += [f"| {title} | " + " | ".join(cell(run) for run in runs) + " |"
              for title, cell in rows(runs[0])]
    return "\n".join(lines) + "\n"


def summary(by_name: dict[str, Run]) -> str:
    """The sentences below the table."""
    work = sum(kind["bytes"] for kind in by_name["direct"]["kinds"].values())
    samples = min(run["pin_samples"] for run in by_name.values())
    return (f"Working set {mib(by_name['all']['mapped_peak'])}, in use at once at most "
            f"{mib(in_use_at_once(by_name))}; {mib(work)} moved in each run, "
            f"pins sampled {samples} times or more.\n")


def judge(runs: list[Run], wrong: list[str]) -> tuple[list[Run], list[str]]:
    """The runs that count, and all that is wrong with them."""
    by_name = {run["name"]: run for run in runs}
    if not wrong and by_name[OPTIONAL]["quota"] < in_use_at_once(by_name):
        runs = [run for run in runs if run["name"] != OPTIONAL]
    for run in runs:
        wrong = wrong + complaints(run)
    return runs, wrong


def main(argv: list[str]) -> int:
    """The program; its exit status."""
    if len(argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    measured, missing = collect(Path(argv[0]))
    runs, wrong = judge(measured, missing)
    report = {"complete": not missing, "wrong": wrong, "runs": runs}
    Path(argv[1]).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if runs:
        print(table(runs))
    if not wrong:
        text = table(runs) + "\n" + summary({run["name"]: run for run in measured})
        Path(argv[2]).write_text(text, encoding="utf-8")
    for line in wrong:
        print(f"bench-quota: FAIL: {line}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
