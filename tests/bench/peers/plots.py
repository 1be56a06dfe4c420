# SPDX-License-Identifier: GPL-2.0-or-later
"""Plots of tests/bench/peers: rates and what is pinned, against the quota, and how long mappings
take (SVG, by gnuplot).

Their data and gnuplot's commands stay beside them, in OUT/plots.gp.
"""

import subprocess
from pathlib import Path

from figures import KINDS, NS
from ratios import DIRECT, Missing, Runs, summary

# peers by their quota, in percent of the working set
QUOTAS = {"pvdma-10": 10, "pvdma-25": 25, "pvdma-50": 50, "pvdma-100": 100}
MIB = 1 << 20
# What is drawn, and what it shows; the documentation has them beside it by these names
PLOTS = {"bench-rates.svg": "rates against the quota", "bench-pinned.svg": "pinned against the quota",
         "bench-latency.svg": "how long mappings take"}

HEAD = """set terminal svg size 900,540 background "white" font "sans,13"
set grid
set key below
set xlabel "quota, % of the working set"
set xrange [0:105]
set xtics (10, 25, 50, 100)
"""


class Failed(Exception):
    """What gnuplot says."""


def block(name: str, rows: list[tuple[float, ...]]) -> str:
    """A table of gnuplot's."""
    if not rows:
        raise Missing(f"nothing to draw of {name}")
    return f"${name} << end\n" + "".join(" ".join(f"{x:.6g}" for x in row) + "\n" for row in rows) + "end\n"


def done(runs: Runs, kind: str) -> bool:
    """Whether there was work of a kind."""
    return any(kind in run["kinds"] for name in runs.names() for run in runs.of(name).values())


def rate_rows(runs: Runs, kind: str) -> list[tuple[float, ...]]:
    """quota, median, least, most of direct assignment's rate"""
    rows = []
    for name, percent in QUOTAS.items():
        if name in runs.names() and done(runs, kind):
            value = runs.ratio(name, [kind], "rate")
            rows.append((percent, value.median, value.least, value.most))
    return rows


def most_pinned(runs: Runs, name: str) -> float:
    """MiB, in any run of a peer, during any work."""
    return summary(figures["pinned"] / MIB for run in runs.of(name).values()
                   for figures in run["kinds"].values()).most


def pin_rows(runs: Runs) -> list[tuple[float, ...]]:
    """quota in percent, quota and what was pinned at most in any run, MiB"""
    return [(percent, runs.fact(name, "quota").median / MIB, most_pinned(runs, name))
            for name, percent in QUOTAS.items() if name in runs.names()]


def latency_commands(runs: Runs, out: Path) -> str:
    """The curve of each peer that has mapped: which share of mappings took no longer."""
    found = {name: runs.latencies(name) for name in runs.names()}
    found = {name: rows for name, rows in found.items() if rows}
    if not found:
        return ""
    data = "".join(block(f"latency{i}", [(ns / NS, share) for ns, share in rows])
                   for i, rows in enumerate(found.values()))
    lines = ", \\\n".join(f'$latency{i} using 1:2 with steps title "{name}"' for i, name in enumerate(found))
    return f"""
{data}
set output "{out}/bench-latency.svg"
unset logscale y
set logscale x
set xlabel "microseconds for a mapping of 4 KiB"
set ylabel "share of the mappings that take no longer"
set xrange [*:*]
set yrange [0:1]
set xtics auto
plot {lines}
"""


def quota_commands(runs: Runs, out: Path) -> str:
    """What has the quota to the right, if there are such peers, and what they are compared with."""
    if DIRECT not in runs.names() or not any(name in QUOTAS for name in runs.names()):
        return ""
    kinds = {kind: what for kind, what in KINDS.items() if done(runs, kind)}
    data = [block(kind, rate_rows(runs, kind)) for kind in kinds] + [block("pins", pin_rows(runs))]
    lines = ", \\\n".join(f'${kind} using 1:2:3:4 with yerrorlines title "{what.title}"'
                          for kind, what in kinds.items())
    direct = most_pinned(runs, DIRECT)
    return "".join(data) + f"""
set output "{out}/bench-rates.svg"
set ylabel "rate, of vfio-pci's (median, range)"
set yrange [0:1.1<*]
plot 1 with lines dashtype 2 linecolor "black" title "vfio-pci", \\
{lines}

set output "{out}/bench-pinned.svg"
set ylabel "MiB pinned at most"
set logscale y
set yrange [1:*]
plot {direct:.6g} with lines dashtype 2 linecolor "black" title "vfio-pci", \\
$pins using 1:2 with lines title "quota", $pins using 1:3 with points pointtype 7 title "pvdma"
"""


def commands(runs: Runs, out: Path) -> str:
    """All that gnuplot is told."""
    return HEAD + quota_commands(runs, out) + latency_commands(runs, out)


def draw(runs: Runs, out: Path) -> list[str]:
    """Writes into OUT those of the PLOTS for which there are figures. Missing, OSError, Failed: why not."""
    for name in PLOTS:
        (out / name).unlink(missing_ok=True)
    script = out / "plots.gp"
    script.write_text(commands(runs, out), encoding="utf-8")
    result = subprocess.run(["gnuplot", script], capture_output=True, text=True, check=False)
    if result.returncode or result.stderr:
        raise Failed(f"gnuplot: {result.stderr.strip()}")
    return [name for name in PLOTS if (out / name).exists()]
