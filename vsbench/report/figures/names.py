"""Names of methods, and of what is compared, where there is little room."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import takewhile

from vsbench.report.notation import shorten, stain_name
from vsbench.report.tables import Comparison

START = 6  # characters kept of what names have in common


def short_names(titles: Sequence[str], length: int) -> list[str]:
    """Each title in ``length`` characters or less; those that would look the same are cut before they differ."""
    lines = [" ".join(title.split()) for title in titles]
    alike: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        alike[shorten(line, length)].append(line)
    return [_distinct(line, alike[shorten(line, length)], length) for line in lines]


def heading_of(comparison: Comparison, length: int = 30) -> str:
    """What stands over a figure: data set and stain, each in ``length`` characters, and the preset that all have."""
    parts = [shorten(comparison.title, length), shorten(stain_name(comparison.stain), length), comparison.preset]
    return ", ".join(filter(None, parts))


def _distinct(line: str, alike: Sequence[str], length: int) -> str:
    shared = len(list(takewhile(lambda letters: len(set(letters)) == 1, zip(*alike, strict=False))))
    if len(alike) == 1 or shared <= START or shared == len(line):
        return shorten(line, length)
    return f"{line[:START].rstrip()}…{shorten(line[shared:], length - START - 1)}"
