# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures that programs write into the documentation, between two markers."""

import sys
from pathlib import Path


def replaced(text: str, source: str, end: str, figures: str) -> str | None:
    """The text with new figures between its markers, None where it lacks those."""
    head, begin, rest = text.partition(f"<!-- {source} -->\n")
    _, close, tail = rest.partition(f"<!-- {end} -->\n")
    return head + begin + figures + close + tail if begin and close else None


def update(doc: Path, source: str, end: str, figures: str, check: bool) -> int:
    """Writes the figures, or with check only says whether they differ; an exit status."""
    text = doc.read_text(encoding="utf-8")
    new = replaced(text, source, end, figures)
    if new is None:
        print(f"{doc} lacks the markers", file=sys.stderr)
        return 2
    if check:
        if new != text:
            print(f"{doc.name} is not what {Path(sys.argv[0]).name} would write")
        return int(new != text)
    doc.write_text(new, encoding="utf-8")
    return 0


def program(argv: list[str], usage: str, doc: Path, source: str, end: str, figures: Path, command: str) -> int:
    """A program that puts the file that a command made into a document; its exit status."""
    if argv not in ([], ["--check"]):
        print(usage, file=sys.stderr)
        return 2
    if not figures.exists():
        print(f"{figures} is missing: {command}", file=sys.stderr)
        return 2
    return update(doc, source, end, figures.read_text(encoding="utf-8"), bool(argv))
