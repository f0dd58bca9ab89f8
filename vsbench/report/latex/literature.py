"""The tables of papers in their own layout, from the ledger of published numbers, with what is measured below a row.

A table is rows of methods (or settings) by groups of columns, one for each data set and stain. Where all rows are
combinations of settings they have check marks; where all set one number they have that. Marks are ours, from the
printed digits: the paper may have marked others.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest

from vsbench.metric import penalty
from vsbench.report.latex.columns import ARROWS, ITALIC, deviation, measured_cell, printed_cell, remark, widest_of
from vsbench.report.latex.frame import MARKS, Footnotes, centred, headings, room, table_float
from vsbench.report.latex.remarks import PROTOCOL, measured_remarks
from vsbench.report.measured import Beside, Found, beside
from vsbench.report.notation import decimals, escape, heading, number, prose, shorten, slug, stain_name, unit
from vsbench.report.printed import PrintedNumber, declared, doubts, impossible, is_table, short_source
from vsbench.report.published import Paper, Row
from vsbench.report.tables import Column, Comparison

LONGEST_NAME = 40
PANEL_COLUMNS = 12  # of numbers; a wider table goes on in a further panel below
SPREAD_COLUMNS = 6  # of numbers with a standard deviation
CHECK = r"$\surd$"  # needs no package
COUNTS = {"wsi": "WSIs", "pairs_train": "Pairs (train)", "pairs_test": "Pairs (test)", "paired_rate": "Paired rate"}
ITALICS = r"\textit{Italics}: as printed"
BELOW = "; upright, below a row: what is measured here, mean over seeds"
RANKING = "Of the printed numbers the best is in bold, the second best underlined."

Place = tuple[str, str]  # data set and stain; both empty where the paper names neither
Labels = dict[str, list[str]]  # the first cells of a row, in LaTeX, by its printed name


@dataclass(frozen=True)
class _Printed:
    """A table of a paper: its numbers by row, place and metric, and our rows that stand below its own."""

    numbers: Mapping[tuple[str, Place, str], PrintedNumber]
    found: Mapping[tuple[str, Place], Found]
    impossible: frozenset[int]  # lines of numbers that the metric cannot have: these are never best

    @property
    def rows(self) -> list[str]:
        """The rows in the paper's order, as printed."""
        return list(dict.fromkeys(row for row, _, _ in self.numbers))

    @property
    def panels(self) -> list[list[tuple[Place, str]]]:
        """The columns (place, metric) in the paper's order; those of one place stay together."""
        columns = dict.fromkeys((place, metric) for _, place, metric in self.numbers)
        has_spreads = any(len(our.runs) > 1 for found in self.found.values() for _, our in found)
        most = SPREAD_COLUMNS if has_spreads else PANEL_COLUMNS
        panels: list[list[tuple[Place, str]]] = [[]]
        for place in dict.fromkeys(place for place, _ in columns):
            group = [column for column in columns if column[0] == place]
            if panels[-1] and len(panels[-1]) + len(group) > most:
                panels.append([])
            panels[-1] += group
        return panels

    def column(self, place: Place, metric: str) -> dict[str, PrintedNumber]:
        """The numbers of a column by row."""
        return {row: n for (row, where, what), n in self.numbers.items() if (where, what) == (place, metric)}

    @property
    def ours(self) -> list[tuple[Comparison, Column]]:
        """The columns of our results that stand in the table."""
        found = {
            (comparison.name, metric): (comparison, comparison.columns[metric])
            for (row, place, metric) in self.numbers
            for comparison, _ in self.found.get((row, place), [])
            if metric in comparison.columns
        }
        return list(found.values())

    def ranks(self, place: Place, metric: str) -> dict[str, int]:
        """1 and 2 by row, from the printed digits; empty where all are equal, or where nothing says what is better."""
        rows = {row: n.row for row, n in self.column(place, metric).items() if n.row.line not in self.impossible}
        numbers = {row.number for row in rows.values()}
        if metric not in declared() or len(numbers) < 2:
            return {}
        podium = sorted(numbers, key=lambda number: penalty(float(number), declared()[metric].best))[:2]
        return {name: podium.index(row.number) + 1 for name, row in rows.items() if row.number in podium}


def literature_tables(
    papers: Iterable[Paper], comparisons: Sequence[Comparison] = (), find: Beside = beside
) -> dict[str, str]:
    """File name → LaTeX, one for each table of each paper; ``find`` tells which of our rows a printed one is."""
    files = {}
    for paper in papers:
        tables: dict[str, list[Row]] = {}
        for row in filter(is_table, paper.rows):
            tables.setdefault(row.table, []).append(row)
        for name, rows in tables.items():
            files[f"literature-{slug(f'{paper.name}-{name}')}.tex"] = _table(paper, name, rows, comparisons, find)
    return files


def _table(paper: Paper, name: str, rows: Sequence[Row], comparisons: Sequence[Comparison], find: Beside) -> str:
    doubtful, counts = doubts(paper), not any(row.method for row in rows)
    of_all = [text for text in doubtful.get(rows[0].line, ()) if all(text in doubtful.get(r.line, ()) for r in rows)]
    numbers: dict[tuple[str, Place, str], PrintedNumber] = {}
    groups: dict[tuple[str, Place], list[Row]] = {}
    for row in rows:
        label, place = (
            ("\t".join((row.dataset, row.stain)), ("", "")) if counts else (row.method, (row.dataset, row.stain))
        )
        own = tuple(text for text in doubtful.get(row.line, ()) if text not in of_all)
        numbers[label, place, row.metric] = PrintedNumber(row, own)
        groups.setdefault((label, place), []).append(row)
    found = {key: find(paper, group, comparisons) for key, group in groups.items()}
    printed, notes = _Printed(numbers, found, impossible(paper)), Footnotes()
    alignment, heads, labels = _labels(printed.rows, counts)
    panels = printed.panels
    columns = alignment + "r" * max(map(len, panels))
    lines = [f"\\begin{{tabular}}{{@{{}}{columns}@{{}}}}", r"\toprule"]
    for i, panel in enumerate(panels):
        lines += [*([r"\midrule\addlinespace"] if i else []), *_panel(printed, panel, heads, labels, notes)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    datasets = " and ".join(dict.fromkeys(escape(place[0]) for _, place in groups if place[0]))
    ours = printed.ours
    caption = f"Table {escape(name)} of {escape(short_source(paper))}{f': {datasets}' if datasets else ''}."
    caption += f" {ITALICS}{BELOW if ours else ''}."
    if any(printed.ranks(*column) for panel in panels for column in panel):
        caption += f" {RANKING}"
    under = [f"{heading(text)}." for text in of_all]
    under.append(" ".join([f"{prose(paper.source).rstrip('.')}.", *([PROTOCOL] if ours else [])]))
    under += measured_remarks(ours) if ours else []
    return table_float(caption, f"tab:literature-{slug(f'{paper.name}-{name}')}", lines, notes, under)


def _panel(
    printed: _Printed, panel: Sequence[tuple[Place, str]], heads: list[str], labels: Labels, notes: Footnotes
) -> list[str]:
    """The lines of a panel, heading and rows; a row is one line for what is printed, and one for each of ours."""
    lines = []
    several = len({place[0] for _, place, _ in printed.numbers}) > 1
    groups = [(_place(place, several), len(list(group))) for place, group in groupby(panel, key=lambda c: c[0])]
    if any(text for text, _ in groups):
        lines += headings(groups, before=len(heads))
    lines.append(" & ".join([*heads, *(centred(_head(metric)) for _, metric in panel)]) + r" \\")
    units = [f"({u})" if (u := _unit(metric)) else "" for _, metric in panel]
    if any(units):
        lines.append(" & ".join([*[""] * len(heads), *map(centred, units)]) + r" \\")
    lines.append(r"\midrule")
    columns = [_cells(printed, *column, notes) for column in panel]

    def line(first: list[str], key: tuple[str, str]) -> str:
        return " & ".join([*first, *(cells.get(key, dash) for dash, cells in columns)]) + r" \\"

    for row in printed.rows:
        if not any((row, "") in cells for _, cells in columns):
            continue
        first = [ITALIC % label if label not in ("", CHECK, "--") else label for label in labels[row]]
        lines.append(line(first, (row, "")))
        for title in dict.fromkeys(title for _, cells in columns for name, title in cells if name == row and title):
            first = [rf"\multicolumn{{{len(heads)}}}{{@{{}}l}}{{\quad {escape(shorten(title, LONGEST_NAME))}}}"]
            lines.append(line(first, (row, title)))
    return lines


def _cells(printed: _Printed, place: Place, metric: str, notes: Footnotes) -> tuple[str, dict[tuple[str, str], str]]:
    """What stands for no number, and the cells of a column by row and title of ours, "" for what is printed."""
    numbers, ranks = printed.column(place, metric), printed.ranks(place, metric)
    ours = {
        (row, our.runs[0].title): (comparison, our, our.cell(metric), mean)
        for row in numbers
        for comparison, our in printed.found.get((row, place), [])
        if (mean := our.cell(metric).mean) is not None
    }
    places = decimals(metric, declared()[metric].unit, [mean for *_, mean in ours.values()]) if ours else 0
    most = max([places, *(n.decimals for n in numbers.values())])
    spreads = {key: deviation(cell, places) for key, (_, _, cell, _) in ours.items()}
    widest = widest_of(spreads.values())
    texts = {}
    for row, printed_number in numbers.items():
        mark = MARKS.get(ranks.get(row, 0), "%s")
        texts[row, ""] = printed_cell(printed_number, most, notes, mark) + widest
    for key, (comparison, our, cell, mean) in ours.items():
        signs = [notes.letter(text) for text in remark(comparison, comparison.columns[metric], our, cell)]
        texts[key] = measured_cell(number(mean, places) + room(places, most), spreads[key], signs, widest)
    return f"--{widest}", texts


def _labels(rows: Sequence[str], counts: bool) -> tuple[str, list[str], Labels]:
    """Alignment and heads of the first columns, and the cells by row: a place, terms, a number that is set, a name."""
    if counts:
        pairs = {row: row.split("\t") for row in rows}
        return "ll", ["Data set", "Stain"], {row: [escape(d), escape(stain_name(s))] for row, (d, s) in pairs.items()}
    parts = {row: [] if row == "none" else row.split(" + ") for row in rows}
    terms = list(dict.fromkeys(term for found in parts.values() for term in found))
    if len(rows) > len(terms) > 1 and "none" in rows:
        checks = {row: [CHECK if term in found else "--" for term in terms] for row, found in parts.items()}
        return "c" * len(terms), [_symbols(term) for term in terms], checks
    settings = {row: re.fullmatch(r"(\D+) ([\d.]+)", row) for row in rows}
    names = {match[1] if match else "" for match in settings.values()}
    if len(rows) > 1 and len(names) == 1 and "" not in names:
        return "l", [_capital(_symbols(names.pop()))], {row: [escape(row.rpartition(" ")[2])] for row in rows}
    return "l", ["Method"], {row: [_symbols(shorten(row, LONGEST_NAME))] for row in rows}


def _symbols(name: str) -> str:
    """A printed name in LaTeX, with ``L_odc`` and ``tau`` as symbols."""
    pieces = re.split(r"\b(L_[A-Za-z0-9]+|tau)\b", " ".join(name.split()))
    symbols = [r"$\tau$" if piece == "tau" else rf"$L_\mathrm{{{piece[2:]}}}$" for piece in pieces[1::2]]
    words = [f"{' ' * piece.startswith(' ')}{escape(piece)}{' ' * piece.endswith(' ')}" for piece in pieces[::2]]
    return "".join(text for pair in zip_longest(words, symbols, fillvalue="") for text in pair)


def _place(place: Place, several: bool) -> str:
    dataset, stain = place
    return escape(" ".join(filter(None, (dataset if several else "", stain_name(stain)))))


def _head(metric: str) -> str:
    if metric in declared():
        return f"{heading(declared()[metric].label)}\\,{ARROWS[declared()[metric].best]}"
    return escape(COUNTS.get(metric, metric))


def _unit(metric: str) -> str:
    if metric == "paired_rate":
        return r"\%"
    return unit(declared()[metric].unit) if metric in declared() else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
