# SPDX-License-Identifier: GPL-2.0-or-later
"""The arithmetic of tests/bench/agent: what callgrind counted, rates, tables.

A figure that was not measured is an error (ValueError, KeyError), never a zero.
"""

import re
from collections import Counter
from collections.abc import Iterable
from statistics import median
from typing import Any

ENGINE = "vm_request"
OPS = {
    "miss": "MAP, nothing of it mapped",
    "present": "MAP, all of it mapped",
    "unmap": "UNMAP",
    "evict": "MAP, the quota full",
    "work": "mapping ahead, after a miss",
}
GIB = 1 << 30
SHIFTS = {12: "4 KiB", 16: "64 KiB"}


# --- what callgrind writes ------------------------------------------------------

class Profile:
    """A file of callgrind's: instructions by source file, and within functions."""

    def __init__(self, text: str):
        self.files: Counter[str] = Counter()  # of their own, inlined ones where they come from
        self.inclusive: Counter[str] = Counter()  # of calls, by what is called
        self.total = self._read(text.splitlines())

    def _read(self, lines: list[str]) -> int:
        names: dict[tuple[str, str], str] = {}
        where = ob = ""
        called, callee = False, ""
        total = None
        for line in lines:
            spec = re.match(r"(c?(?:fn|fi|fe|fl|ob))=(?:\((\d+)\))?(?: ?(.*))?$", line)
            if spec:
                kind = spec[1].removeprefix("c")
                kind = "fl" if kind in ("fi", "fe") else kind
                name = spec[3] or ""
                if spec[2]:
                    name = names.setdefault((kind, spec[2]), name)
                if spec[1] == "cfn":
                    callee = name
                elif spec[1] in ("fl", "fi", "fe"):
                    where = name
                elif spec[1] == "ob":
                    ob = name
            elif line.startswith("calls="):
                called = True
            elif re.match(r"[+\-*\d]", line):
                cost = int(line.split()[1])
                if called:
                    self.inclusive[callee] += cost
                else:
                    self.files[source(where, ob)] += cost
                called = False
            elif line.startswith(("totals:", "summary:")):
                total = int(line.split()[1])
        if not total:
            raise ValueError("callgrind counted nothing")
        if total != sum(self.files.values()):
            raise ValueError(f"callgrind counted {total} instructions, of which {sum(self.files.values())} are in lines")
        return total

    def engine(self) -> int:
        """What serving requests took, without the queue and the event loop."""
        if not self.inclusive[ENGINE]:
            raise ValueError(f"{ENGINE}() was not called")
        return self.inclusive[ENGINE]

    def split(self, least: float) -> list[tuple[str, float]]:
        """Shares by source file, the largest first; those below `least` together."""
        shares = [(name, cost / self.total) for name, cost in self.files.most_common()]
        large = [(name, share) for name, share in shares if share >= least]
        return large + [("others", 1 - sum(share for _, share in large))]


def source(path: str, ob: str) -> str:
    """A name for where a line comes from: ours by its place in the tree, else the library."""
    found = re.search(r"(?:^|/)((?:host|tests)/\S+)$", path)
    if found:
        return found[1]
    library = re.search(r"(lib[a-z]+)[-.\d]*\.so", ob)
    return library[1] if library else "others'"


# --- what the program prints ------------------------------------------------------

def lines_of(text: str, key: str) -> dict[str, dict[str, int]]:
    """Lines of NAME=VALUE words, by the word that `key` names."""
    found = {}
    for line in text.splitlines():
        words = dict(word.split("=", 1) for word in line.split())
        if key in words:
            name = words.pop(key)
            found[name] = {k: int(v) for k, v in words.items()}
    return found


def counted(profile: Profile, ops: dict[str, dict[str, int]], op: str) -> dict[str, float]:
    """Instructions of an operation: for each request, and of the engine for each granule."""
    n = ops[op]
    return {
        "request": profile.total / n["requests"],
        "engine_request": profile.engine() / n["requests"],
        "engine_granule": profile.engine() / n["granules"],
    }


def rate(ops: dict[str, dict[str, int]], op: str) -> tuple[float, float]:
    """Requests and granules a second, of the median turn."""
    n = ops[op]
    turns = 1e9 / n["median_ns"]
    return turns * n["requests"] / n["turns"], turns * n["granules"] / n["turns"]


def spread(values: Iterable[float]) -> dict[str, float]:
    found = sorted(values)
    return {"median": median(found), "least": found[0], "most": found[-1], "n": len(found)}


def per_gib(stages: dict[str, dict[str, int]], guest: int) -> dict[str, float]:
    """Bytes that the agent takes for each GiB of guest memory, and of quota."""
    def size(stage: str) -> int:
        return stages[stage]["anonymous"] + stages[stage]["arena"]

    mapped = stages["mapped"]["mapped"] / GIB
    if stages["leaves"]["leaves"] == 0 or stages["mapped"]["extents"] == 0 or mapped == 0:
        raise ValueError("nothing is mapped")
    return {
        "guest": (size("leaves") - size("started")) / guest,
        "quota": (size("mapped") - size("leaves")) / mapped,
        "quota_evicted": (size("evicted") - size("leaves")) / mapped,
        "extents": stages["mapped"]["extents"] / mapped,
    }


# --- tables ---------------------------------------------------------------------

def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |\n"


def head(*cells: str) -> str:
    return row(*cells) + "|" + " --- |" + " ---: |" * (len(cells) - 1) + "\n"


def thousands(n: float) -> str:
    return f"{n:,.0f}"


def of_thousand(n: float) -> str:
    return f"{n / 1000:,.0f}" if n >= 1e5 else f"{n / 1000:.1f}"


def of_spread(s: dict[str, float]) -> str:
    return f"{of_thousand(s['median'])} ({of_thousand(s['least'])} to {of_thousand(s['most'])})"


def amount(n: float) -> str:
    return f"{n / 1024:,.1f} KiB" if n < 1 << 20 else f"{n / (1 << 20):,.1f} MiB"


def title(case: dict[str, Any]) -> str:
    text = f"{SHIFTS[case['shift']]}; {case['ranges']} of {case['granules']}"
    if case["queues"] > 1:
        text += f", {case['queues']} queues"
    if case.get("null"):
        text += ", null IOMMU"
    return text


def counts_table(counts: list[dict[str, Any]]) -> str:
    """The engine's instructions a granule, and in brackets all of a request's."""
    ops = ("miss", "present", "unmap", "evict")
    text = head("granule; ranges of granules", *(OPS[op] for op in ops))
    for case in counts:
        cells = [case["ops"][op] for op in ops]
        text += row(title(case), *(f"{thousands(c['engine_granule'])} ({thousands(c['request'])})" for c in cells))
    return text


def resident_table(counts: list[dict[str, Any]]) -> str:
    text = head("extents mapped", *(OPS[op] for op in ("miss", "evict")))
    for case in counts:
        text += row(thousands(case["resident"]),
                    *(thousands(case["ops"][op]["engine_granule"]) for op in ("miss", "evict")))
    return text


def split_table(splits: dict[str, list[tuple[str, float]]]) -> str:
    """Shares of instructions by file, a column an operation."""
    sums: Counter[str] = Counter()
    for split in splits.values():
        for name, share in split:
            sums[name] += share
    names = [name for name, _ in sums.most_common() if name != "others"] + ["others"]
    text = head("instructions in", *splits)
    for name in names:
        shares = (dict(split).get(name) for split in splits.values())
        text += row(name if name == "others" else f"`{name}`",
                    *("" if share is None else f"{100 * share:.1f}%" for share in shares))
    return text


def rates_table(rates: list[dict[str, Any]]) -> str:
    ops = ("miss", "present", "unmap", "evict")
    text = head("granule; ranges of granules", *(OPS[op] for op in ops))
    for case in rates:
        cells = []
        for op in ops:
            cell = of_spread(case["ops"][op]["requests"])
            if case["ranges"] * case["granules"] > 1:
                cell += f"; {of_thousand(case['ops'][op]['granules']['median'])}"
            cells.append(cell)
        text += row(title(case), *cells)
    return text


def memory_table(memory: list[dict[str, Any]]) -> str:
    text = head("granule, extents of", "a GiB of guest", "a GiB of quota", "... all of it evicted once")
    for case in memory:
        size = GIB / case["extents"]
        text += row(f"{SHIFTS[case['shift']]}, {amount(size) if size >= 1024 else size}",
                    amount(case["guest"]), amount(case["quota"]), amount(case["quota_evicted"]))
    return text


def markdown(report: dict[str, Any]) -> str:
    """What docs/performance.md has of it."""
    ahead, machine = report["ahead"], report["machine"]
    return f"""Instructions of the engine for each granule (in brackets: of all that the agent executes for a request, with the event loop
and the queue):

{counts_table(report['counts'])}
The same with other numbers of extents mapped, {title(report['resident'][0])}:

{resident_table(report['resident'])}
With mapping ahead a missed granule takes the engine {thousands(ahead['engine_granule'])} instructions, and
{thousands(ahead['work_granule'])} in the background.

Where they are:

{split_table(report['split'])}
Thousands of requests a second: median of {report['repetitions']} repetitions (least to most); and thousands of granules a second.
On {machine['cpus']} CPUs ({machine['cpu']}), load {machine['load']:.1f} before, built by {machine['compiler']}:

{rates_table(report['rates'])}
Memory of the agent:

{memory_table(report['memory'])}
An agent that has started takes {amount(report['process']['anonymous'])} of its own.
"""
