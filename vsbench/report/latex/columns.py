"""The columns of a table in LaTeX: numbers with their marks, spreads and notes, measured ones and printed ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vsbench.metric import penalty
from vsbench.report.decision import ValueDecision
from vsbench.report.latex.frame import ALIKE, MARKS, Footnotes, raised, room
from vsbench.report.notation import decimals, heading, number, prose, unit
from vsbench.report.printed import Block, PrintedNumber
from vsbench.report.tables import Cell, Column, Comparison, Row

ARROWS = {"low": r"$\downarrow$", "high": r"$\uparrow$", "zero": r"$\to 0$"}
SPREAD_SIZE = 0.75  # of a character, against one of the number
ITALIC = r"\textit{%s}"  # what the literature printed: told from measured numbers in black and white too


@dataclass(frozen=True)
class TableColumn:
    """A column: two lines of heading, cells by row key, and cells of the literature by (paper, method).

    ``dash`` is for a row without a number. ``cell_width``: about how many characters a number takes, with its spread
    and the gap between columns. ``ranked``: whether the best is marked.
    """

    comparison: Comparison
    column: Column
    head: str
    unit: str
    cell_width: float
    ranked: bool
    dash: str
    cells: dict[str, str]
    blocks: tuple[Block, ...]
    literature: dict[tuple[str, str], str]

    @staticmethod
    def head_of(column: Column) -> str:
        """The label of a value, with the end that is best."""
        return f"{heading(column.label)}\\,{ARROWS[column.best]}" if column.is_score else heading(column.label)


def table_column(
    comparison: Comparison,
    column: Column,
    notes: Footnotes,
    decision: ValueDecision | None = None,
    blocks: Sequence[Block] = (),
    interval: bool = False,
) -> TableColumn:
    """A value of a comparison as a column. ``interval``: limits from the decision instead of standard deviations."""
    cells = {row.key: row.cell(column.value) for row in comparison.rows}
    printed = {
        (block.paper.name, method.name): method.numbers[column.value]
        for block in blocks
        for method in block.methods
        if column.value in method.numbers
    }
    places = decimals(column.value, column.unit, [cell.mean for cell in cells.values() if cell.mean is not None])
    most = max([places, *(n.decimals for n in printed.values())])
    spreads = {key: deviation(cell, places) for key, cell in cells.items()}
    if interval:
        spreads = _limits(cells, decision, places)
    widest = widest_of(spreads.values())
    ranks = comparison.ranks(column.value, places)
    texts = {}
    for row in comparison.rows:
        cell, rank = cells[row.key], ranks.get(row.key, 0)
        if cell.mean is None:
            continue
        remarks = remark(comparison, column, row, cell)
        signs = []
        if decision and row.is_method and ranks and has_best(comparison, column, decision):
            if not is_open(decision):  # where it is, a sign on every method would say less than the line below
                signs = [ALIKE] if rank != 1 and row.key in decision.alike() else []
            remarks = remarks or _untested(row, decision)
        signs += [notes.letter(text) for text in remarks]
        text = MARKS.get(rank, "%s") % number(cell.mean, places) + room(places, most)
        texts[row.key] = measured_cell(text, spreads.get(row.key, ""), signs, widest)
    literature = {key: printed_cell(n, most, notes) + widest for key, n in printed.items()}
    shown = [f"{cell.mean:.{places}f}" for cell in cells.values() if cell.mean is not None]
    longest = max(map(len, [*shown, *(n.digits for n in printed.values())]), default=0)
    return TableColumn(
        comparison, column, TableColumn.head_of(column), unit(column.unit),
        2 + longest + SPREAD_SIZE * _count(widest), bool(ranks), f"--{widest}", texts, tuple(blocks), literature,
    )  # fmt: skip


def is_open(decision: ValueDecision) -> bool:
    """Whether no method was shown to be worse than the best."""
    return bool(decision.p) and len(decision.alike()) == len(decision.p)


def has_best(comparison: Comparison, column: Column, decision: ValueDecision) -> bool:
    """Whether the best method of the column could be resampled, so that the decision is about this one."""
    penalties = {
        row.key: penalty(mean, column.best)
        for row in comparison.rows
        if row.is_method
        and (mean := row.cell(column.value).mean) is not None
        and not comparison.difference(row, column.value)
    }
    return bool(penalties) and penalties.get(decision.best) == min(penalties.values())


def printed_cell(printed: PrintedNumber, most: int, notes: Footnotes, mark: str = "%s") -> str:
    """A number of the literature, its digits as printed, with notes on what speaks against it."""
    signs = [notes.letter(heading(text)) for text in printed.doubts]
    return mark % (ITALIC % printed.digits) + raised(signs) + room(printed.decimals, most)


def measured_cell(number_: str, spread: str, signs: Sequence[str], widest: str) -> str:
    """A measured number with its spread and, towards the gap to the next column, its signs.

    All take the room of the column's widest spread, so that the numbers stand below each other.
    """
    beside = rf"\rlap{{{spread}{raised(signs)}}}" if spread else raised(signs)
    return f"{number_}{beside}{widest}"


def widest_of(spreads: Iterable[str]) -> str:
    """The blank that the widest of a column's spreads takes; nothing for none."""
    return rf"\phantom{{{widest}}}" if (widest := max(spreads, key=_count, default="")) else ""


def deviation(cell: Cell, places: int) -> str:
    """The standard deviation over seeds, with its sign; nothing where there is none."""
    return "" if cell.sd is None else rf"\,{{\scriptsize$\pm$\,{number(cell.sd, places)}}}"


def remark(comparison: Comparison, column: Column, row: Row, cell: Cell) -> list[str]:
    """What a note must say of a cell: that it does not compare, or that seeds are missing (LaTeX)."""
    if difference := comparison.difference(row, column.value):
        return [f"{_first_capital(prose(difference))}: not comparable with this column, not ranked"]
    if cell.missing:
        gaps = "; ".join(f"{prose(seed)}: {prose(reason)}" for seed, reason in cell.missing)
        return [f"Mean without {gaps}"]
    return []


def _untested(row: Row, decision: ValueDecision) -> list[str]:
    return [] if row.key in {decision.best, *decision.p} else ["Not tested against the best method"]


def _limits(cells: Mapping[str, Cell], decision: ValueDecision | None, places: int) -> dict[str, str]:
    return {
        key: rf"\,{{\scriptsize[{number(low, places)}, {number(high, places)}]}}"
        for key, (low, high) in (decision.intervals if decision else {}).items()
        if key in cells and cells[key].mean is not None
    }


def _count(text: str) -> int:
    """About how many characters of a spread are seen."""
    return sum(character.isdigit() or character in ".-[]," for character in text)


def _first_capital(text: str) -> str:
    return text[:1].upper() + text[1:]
