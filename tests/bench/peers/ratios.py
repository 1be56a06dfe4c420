# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs of tests/bench/peers against each other: medians, ranges, ratios.

A ratio is one of runs of the same repetition, which were neighbours in time; over
several kinds of work it is the geometric mean of theirs. Of the repetitions it is the
median that counts, and all are said.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod
from statistics import median

from figures import KINDS, MAPS, Figures

DIRECT, WORKING_SET, VIRTUAL_IOMMU = "vfio", "pvdma-100", "virtio-iommu-strict"
# What map_benchmark maps in the figures below, and of how many mappings one may miss.
MAP, MISSED = "map1", 1 / 1000


class Missing(Exception):
    """Why there is no such figure."""


@dataclass
class Summary:
    """Of one value for each repetition."""
    median: float
    least: float
    most: float
    n: int


def summary(values: Iterable[float]) -> Summary:
    values = list(values)
    if not values:
        raise Missing("not measured")
    return Summary(median(values), min(values), max(values), len(values))


class Runs:
    """The runs that count, by peer and repetition."""

    def __init__(self, runs: list[Figures]):
        self._by = {(run["name"], run["size"], run["repetition"]): run for run in runs}

    def of(self, name: str, size: str = "") -> dict[int, Figures]:
        """A peer's runs by repetition."""
        return {rep: run for (a, b, rep), run in self._by.items() if (a, b) == (name, size)}

    def names(self, size: str = "") -> list[str]:
        return list(dict.fromkeys(name for name, b, _ in self._by if b == size))

    def sizes(self) -> list[str]:
        return list(dict.fromkeys(size for _, size, _ in self._by if size))

    def both(self, one: tuple[str, str], other: tuple[str, str]) -> list[tuple[Figures, Figures]]:
        """Pairs of runs of the same repetition."""
        first, second = self.of(*one), self.of(*other)
        found = [(first[rep], second[rep]) for rep in sorted(first) if rep in second]
        if not found:
            raise Missing(f"no repetition has both {'@'.join(filter(None, one))} "
                          f"and {'@'.join(filter(None, other))}")
        return found

    def figure(self, name: str, kind: str, figure: str, part: str = "kinds") -> Summary:
        """A figure of a kind of work, or of what map_benchmark did (part "maps")."""
        return summary(run[part][kind][figure] for run in self.of(name).values()
                       if figure in run[part].get(kind, {}))

    def fact(self, name: str, fact: str, size: str = "") -> Summary:
        """A figure of whole runs."""
        return summary(run[fact] for run in self.of(name, size).values())

    def _longer(self, name: str, base: str, size: str) -> dict[int, float]:
        """Seconds that a start takes more than the base's, by repetition."""
        return {run["repetition"]: run["start_seconds"] - other["start_seconds"]
                for run, other in self.both((name, size), (base, size))}

    def pinning(self, size: str) -> Summary:
        """Seconds of direct assignment's start: of memory that is there already."""
        return summary(self._longer(f"{DIRECT}-touched", "none-touched", size).values())

    def zeroing(self, size: str) -> Summary:
        """What else its start takes than a guest's without devices: memory that is made meanwhile."""
        pinning = self._longer(f"{DIRECT}-touched", "none-touched", size)
        whole = self._longer(DIRECT, "none", size)
        return summary(whole[rep] - pinning[rep] for rep in whole if rep in pinning)

    def latencies(self, name: str) -> list[tuple[int, float]]:
        """How long a peer's mappings took, in all its runs: nanoseconds, and which share of them took
        no longer; ascending."""
        counts: dict[int, int] = {}
        for run in self.of(name).values():
            for ns, count in run["latencies"]:
                counts[ns] = counts.get(ns, 0) + count
        total, below, found = sum(counts.values()), 0, []
        for ns in sorted(counts):
            below += counts[ns]
            found.append((ns, below / total))
        return found

    def ratio(self, name: str, kinds: Iterable[str], figure: str, base: str = DIRECT) -> Summary:
        """A peer's figure over that of the base."""
        return summary(mean_ratio(run, other, kinds, figure)
                       for run, other in self.both((name, ""), (base, "")))


def mean_ratio(run: Figures, other: Figures, kinds: Iterable[str], figure: str) -> float:
    """Geometric, over kinds of work; none: all that was done."""
    quotients = []
    for kind in kinds or run["kinds"]:
        if kind not in run["kinds"]:
            raise Missing(f"there was no work of the kind {KINDS[kind].title}")
        above, below = run["kinds"][kind][figure], other["kinds"][kind][figure]
        if above <= 0 or below <= 0:
            raise Missing(f"{figure} of {KINDS[kind].title} is not above what an idle guest has")
        quotients.append(above / below)
    return prod(quotients) ** (1 / len(quotients))


def _ratio(name: str, figure: str, *kinds: str) -> Callable[[Runs], Summary]:
    return lambda runs: runs.ratio(name, kinds, figure)


def _start(runs: Runs) -> Summary:
    return summary(large["start_seconds"] / small["start_seconds"] for large, small in
                   runs.both((WORKING_SET, "4G"), (WORKING_SET, "1G")))


def _mmio(runs: Runs) -> Summary:
    """The kind of work that has most."""
    return summary(max(figures["mmio_exits"] for figures in run["kinds"].values())
                   for run in runs.of(WORKING_SET).values())


def _pinned(runs: Runs) -> Summary:
    return summary(run["kinds"]["rr"]["pinned"] / run["guest_bytes"]
                   for run in runs.of(WORKING_SET).values() if "rr" in run["kinds"])


def _latency(run: Figures) -> float:
    """map_benchmark's, of a map and its unmap; of pvdma's those that hit."""
    if MAP not in run["maps"]:
        raise Missing(f"map_benchmark did not run in {run['name']}")
    figures = run["maps"][MAP]
    if figures.get("missed", 0) > MISSED:
        raise Missing(f"{figures['missed']:.2%} of {run['name']}'s mappings were no hits")
    if figures["ns"] <= 0:
        raise Missing(f"{run['name']}'s mappings take less than map_benchmark can tell")
    return figures["ns"]


def _mapping(name: str, base: str) -> Callable[[Runs], Summary]:
    return lambda runs: summary(_latency(run) / _latency(other)
                                for run, other in runs.both((name, ""), (base, "")))


# What pvdma comes to, each in one figure: what it is called, what it says, and how
# it follows from the runs.
RATIOS: dict[str, tuple[str, Callable[[Runs], Summary]]] = {
    "nvme_rand_ws": ("random 4 KiB at depth 1 and 32, of vfio's rate",
                     _ratio(WORKING_SET, "rate", "random1", "random32")),
    "nvme_seq_ws": ("sequential I/O, of vfio's rate", _ratio(WORKING_SET, "rate", "seq")),
    "tcp_rr_ws": ("TCP request and response, of vfio's rate", _ratio(WORKING_SET, "rate", "rr")),
    "tcp_stream_ws": ("TCP both ways, of vfio's rate", _ratio(WORKING_SET, "rate", "get", "put")),
    "half_ws": ("half of the working set: all work, of vfio's rate", _ratio("pvdma-50", "rate")),
    "quarter_ws": ("a quarter: all work, of vfio's rate", _ratio("pvdma-25", "rate")),
    "start_4g_over_1g": ("start of a guest of 4 GiB, of one of 1 GiB", _start),
    "mmio_exits_per_op_ws": ("MMIO exits an operation, in the kind of work that has most", _mmio),
    "exits_per_op_ws_over_direct": ("KVM exits an operation, of vfio's", _ratio(WORKING_SET, "exits")),
    "guest_cpu_ws_over_direct": ("guest CPU time an operation, of vfio's",
                                 _ratio(WORKING_SET, "guest_cpu_us")),
    "map_hit_over_direct": (f"map_benchmark, {MAPS[MAP]}: a hit's map and unmap, of the direct mapping's time",
                            _mapping(WORKING_SET, DIRECT)),
    "virtio_iommu_strict_over_map_hit": (f"map_benchmark, {MAPS[MAP]}: virtio-iommu's, strict, of a hit's time",
                                         _mapping(VIRTUAL_IOMMU, WORKING_SET)),
    "pinned_tcp_rr_of_guest": ("pinned at most during TCP request and response, of the guest", _pinned),
}


def ratios(runs: Runs) -> tuple[dict[str, Summary], dict[str, str]]:
    """Those that there are, and why there are no others."""
    found, reasons = {}, {}
    for key, (_, compute) in RATIOS.items():
        try:
            found[key] = compute(runs)
        except Missing as missing:
            reasons[key] = str(missing)
    return found, reasons
