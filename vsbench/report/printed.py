"""What the literature printed for a data set and stain: methods, and their numbers with place and doubts. No markup.

Texts hold symbols as ``notation.heading`` allows them (``$R_p$``).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from vsbench import registry
from vsbench.metric import Value
from vsbench.report import tables
from vsbench.report.notation import shorten, stain_name
from vsbench.report.published import RULES, Finding, Paper, Row, audit

LONGEST_SOURCE = 40


@dataclass(frozen=True)
class PrintedNumber:
    """A printed number. ``doubts``: what speaks against it, one sentence each without a full stop."""

    row: Row
    doubts: tuple[str, ...]

    @property
    def digits(self) -> str:
        """The digits as printed, without the sign of per cent."""
        return self.row.value.rstrip("%")

    @property
    def decimals(self) -> int:
        """How many of them stand after the point."""
        return len(self.digits.partition(".")[2])


@dataclass(frozen=True)
class PrintedMethod:
    """A method under its printed name, with its numbers by the house's words for metrics."""

    name: str
    numbers: dict[str, PrintedNumber]


@dataclass(frozen=True)
class Block:
    """What one paper printed for a data set and stain."""

    paper: Paper
    methods: tuple[PrintedMethod, ...]


def blocks(papers: Iterable[Paper], dataset: str, stain: str, metrics: Iterable[str]) -> list[Block]:
    """What papers printed of these metrics for a data set and stain; those that printed none are left out."""
    wanted = set(metrics)
    found = []
    for paper in papers:
        numbers: dict[str, dict[str, PrintedNumber]] = {name: {} for name in method_names(paper)}
        doubtful = doubts(paper)
        for row in paper.rows:  # of several places the first counts; text comes after the tables
            if (row.dataset, row.stain) == (dataset, stain) and row.who in numbers and row.metric in wanted:
                numbers[row.who].setdefault(row.metric, PrintedNumber(row, doubtful.get(row.line, ())))
        methods = tuple(PrintedMethod(name, cells) for name, cells in numbers.items() if cells)
        if methods:
            found.append(Block(paper, methods))
    return found


def method_names(paper: Paper) -> list[str]:
    """The methods that a paper compares, under the names that stand for all: those of its table with the most.

    Rows of ablations are no methods; their tables are shorter than those that compare methods.
    """
    names: dict[str, dict[str, None]] = defaultdict(dict)
    for row in paper.rows:
        if row.method and row.dataset and is_table(row):
            names[row.table][row.who] = None
    return max(map(list, names.values()), key=len, default=[])


def is_table(row: Row) -> bool:
    """Whether a number stands in a table, not in running text."""
    return not row.table.startswith("text")


def place(row: Row) -> str:
    """``Table II``, ``text IV-D2``."""
    return f"Table {row.table}" if is_table(row) else row.table


def same_method(printed: str, row: tables.Row) -> bool:
    """Whether one of our rows is the printed method, by its name or title: ``USI-GAN (ours)`` is ``usigan``.

    So is the method in a preset or variant of its own, which its title says; a row of an ablation is not.
    """
    return _plain(printed) in {_plain(row.key.partition("@")[0]), _plain(row.title)}


def short_source(paper: Paper) -> str:
    """Who wrote a paper, and under what name it lies here: ``Peng et al. [usigan]``."""
    who = re.match(r".*?\bet al\.", paper.source)
    return f"{shorten(who[0] if who else paper.source, LONGEST_SOURCE)} [{paper.name}]"


@cache
def doubts(paper: Paper) -> dict[int, tuple[str, ...]]:
    """Line → what speaks against its number: the rules it breaks, flags of its own, and its note."""
    found: dict[int, list[str]] = defaultdict(list)
    broken: dict[int, set[str]] = defaultdict(set)
    for finding in audit(paper):
        text = _sentence(finding)
        for row in finding.rows:
            found[row.line].append(text)
            broken[row.line].add(finding.rule)
    for row in paper.rows:
        own = [rule for rule in row.flag.split() if rule not in broken[row.line]]
        found[row.line] += [f"{place(row)}: {RULES[rule]}" for rule in own]
        found[row.line] += [f"{place(row)}: {row.note.strip().rstrip('.')}"] if row.note.strip() else []
    return {line: tuple(dict.fromkeys(texts)) for line, texts in found.items() if texts}


@cache
def impossible(paper: Paper) -> frozenset[int]:
    """The lines of numbers that their metric cannot have."""
    return frozenset(finding.rows[0].line for finding in audit(paper) if finding.rule == "range")


def label(metric: str) -> str:
    """A metric's label; its own word where no metric of that name is known."""
    known = declared().get(metric)
    return known.label if known else metric


@cache
def declared() -> dict[str, Value]:
    """All values that metrics declare, by name."""
    return {v.name: v for metric in registry.load_all("vsbench.metrics")[0].values() for v in metric.values}


def _sentence(finding: Finding) -> str:
    first, *others = finding.rows
    if finding.rule == "range":
        return f"{place(first)}: outside the metric's range, {finding.says.rpartition(' is ')[2]}"
    if finding.rule == "average":
        parts = " and ".join(_with_place(part, first) for part in others)
        return f"{place(first)}: {label(first.metric)} {first.value} is not the mean of {parts}"
    if finding.rule == "differs":
        return "Printed differently: " + ", ".join(f"{row.value} ({place(row)})" for row in finding.rows)
    return f"The same digits, perhaps by chance: {'; '.join(map(_full, _differing(finding.rows)))}"


def _with_place(part: Row, whole: Row) -> str:
    where = "" if part.table == whole.table else f" ({place(part)})"
    return f"{label(part.metric)} {part.value}{where}"


def _differing(rows: Sequence[Row]) -> list[Row]:
    """One row for each place where the number stands by itself: repeats of one number are no copies."""
    firsts = {(row.who, row.dataset, row.stain, row.metric): row for row in reversed(rows)}
    return sorted(firsts.values(), key=lambda row: row.line)


def _full(row: Row) -> str:
    where = f"{row.dataset} {stain_name(row.stain)}".strip()
    return f"{row.method}, {where}, {label(row.metric)} {row.value} ({place(row)})"


def _plain(name: str) -> str:
    without = re.sub(r"\([^)]*\)|\[[^\]]*\]", "", name.casefold())
    return "".join(character for character in without if character.isalnum()) or name.casefold()
