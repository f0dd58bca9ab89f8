"""Tables in LaTeX: the paper's table per data set, and all values per data set and stain.

The tables need booktabs and graphicx, nothing else, and shrink to the line where they are wider. Names are escaped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from vsbench.errors import RunError
from vsbench.report.notation import decimals, escape, heading, number, plain, prose, slug, unit
from vsbench.report.remarks import printed_stain, remarks
from vsbench.report.tables import Column, Comparison, Row

PAPER_VALUES = ("phv_avg", "r_avg", "fid")  # table II of the USIGAN paper
PANEL_WIDTH = 112  # characters that a table of all values may be wide before it is continued in a further one
LONGEST_TITLE = 40
ARROWS = {"low": r"$\downarrow$", "high": r"$\uparrow$"}
MARKS = {1: r"\textbf{%s}", 2: r"\underline{%s}"}
RANKING = "Best method in bold, second best underlined; numbers equal in print share a mark."
REFERENCES = "Rows below the rule are references: they need no training and are not ranked."


@dataclass
class Footnotes:
    """Letters for notes under a table; equal notes share one."""

    texts: list[str] = field(default_factory=list)

    def mark(self, text: str) -> str:
        """The raised letter for a note (already LaTeX); it takes no room, so that columns stay aligned."""
        if text not in self.texts:
            self.texts.append(text)
        return rf"\rlap{{\textsuperscript{{{_letter(self.texts.index(text))}}}}}"

    def lines(self) -> list[str]:
        """The notes with their letters."""
        return [rf"\textsuperscript{{{_letter(i)}}}\,{text}." for i, text in enumerate(self.texts)]


@dataclass(frozen=True)
class Printed:
    """A column of a table in LaTeX: two lines of heading, and the cells by row key."""

    comparison: Comparison
    column: Column
    head: str
    unit: str
    cells: dict[str, str]

    @property
    def width(self) -> int:
        """Estimated width in characters, with the gap between columns."""
        return 2 + max(len(plain(self.column.label)) + 2, len(self.column.unit), *map(_visible, self.cells.values()))


def paper_table(comparisons: Sequence[Comparison]) -> str:
    """The paper's table II for one data set: methods × stains × (PHV_avg, R_avg, FID)."""
    dataset = comparisons[0].dataset
    notes = Footnotes()
    columns = [
        _print(comparison, comparison.columns[value], notes)
        for comparison in comparisons
        for value in PAPER_VALUES
        if value in comparison.columns
    ]
    absent = [value for value in PAPER_VALUES if not any(value in c.columns for c in comparisons)]
    if not columns:
        raise RunError(f"{dataset}: no run has one of {', '.join(PAPER_VALUES)}; evaluate with these metrics")
    more = [f"Not measured in any run: {', '.join(map(prose, absent))}."] if absent else []
    caption = f"Comparison of methods on {escape(dataset)}."
    return _table(caption, f"tab:methods-{slug(dataset)}", columns, notes, stain_headings=True, more=more)


def full_tables(comparison: Comparison) -> str:
    """All values of one data set and stain: as many tables as its columns need to stay readable."""
    panels = _panels([_print(comparison, column, Footnotes()) for column in comparison.columns.values()])
    tables = []
    for i, panel in enumerate(panels, start=1):
        notes = Footnotes()
        part = f" (part {i} of {len(panels)})" if len(panels) > 1 else ""
        caption = f"All values on {escape(comparison.dataset)}, {printed_stain(comparison)}{part}."
        printed = [_print(comparison, column.column, notes) for column in panel]
        tables.append(_table(caption, f"tab:all-{slug(comparison.name)}-{i}", printed, notes))
    return "\n".join(tables)


def _panels(columns: list[Printed]) -> list[list[Printed]]:
    """The columns in order, in as few panels as are narrow enough, all about equally wide."""
    titles = min(max(len(row.title) for row in columns[0].comparison.rows), LONGEST_TITLE)
    width = max(PANEL_WIDTH - titles, 1)
    panels = _fill(columns, width)
    while width > 1 and len(narrower := _fill(columns, width - 1)) == len(panels):
        panels, width = narrower, width - 1
    return panels


def _fill(columns: list[Printed], width: int) -> list[list[Printed]]:
    panels: list[list[Printed]] = [[]]
    for column in columns:
        if panels[-1] and sum(other.width for other in panels[-1]) + column.width > width:
            panels.append([])
        panels[-1].append(column)
    return panels


def _print(comparison: Comparison, column: Column, notes: Footnotes) -> Printed:
    cells = {row.key: row.cell(column.value) for row in comparison.rows}
    shown = [cell.mean for cell in cells.values() if cell.mean is not None]
    places = decimals(column.value, column.unit, shown)
    ranks = comparison.ranks(column.value, places)
    spreads = {key: rf"\,{{\scriptsize$\pm$\,{number(c.sd, places)}}}" for key, c in cells.items() if c.sd is not None}
    room = rf"\phantom{{{max(spreads.values(), key=len)}}}" if spreads else ""  # means stand below each other
    texts = {}
    for row in comparison.rows:
        cell = cells[row.key]
        if cell.mean is None:
            texts[row.key] = f"--{room}"
            continue
        text = MARKS.get(ranks.get(row.key, 0), "%s") % number(cell.mean, places)
        if difference := comparison.difference(row, column.value):
            text += notes.mark(f"{_first_capital(prose(difference))}: not comparable with this column, not ranked")
        elif cell.missing:
            gaps = "; ".join(f"{prose(seed)}: {prose(reason)}" for seed, reason in cell.missing)
            text += notes.mark(f"Mean without {gaps}")
        texts[row.key] = text + spreads.get(row.key, room)
    head = f"{heading(column.label)}\\,{ARROWS[column.best]}" if column.is_score else heading(column.label)
    return Printed(comparison, column, head, unit(column.unit), texts)


def _table(
    caption: str,
    label: str,
    columns: list[Printed],
    notes: Footnotes,
    stain_headings: bool = False,
    more: Sequence[str] = (),
) -> str:
    comparisons = list({id(c.comparison): c.comparison for c in columns}.values())
    rows = _rows(comparisons)
    titles = {row.key: _title(row.title, notes) for row in rows}
    if sum(row.is_method for row in rows) > 1:
        caption += f" {RANKING}"
    if not all(row.is_method for row in rows):
        caption += f" {REFERENCES}"
    lines = [f"\\begin{{tabular}}{{@{{}}l{'r' * len(columns)}@{{}}}}", r"\toprule"]
    if stain_headings:
        lines += _stain_headings(comparisons, columns)
    lines.append(" & ".join(["Method", *(_centred(c.head) for c in columns)]) + r" \\")
    if any(c.unit for c in columns):
        lines.append(" & ".join(["", *(_centred(f"({c.unit})" if c.unit else "") for c in columns)]) + r" \\")
    lines.append(r"\midrule")
    for i, row in enumerate(rows):
        if i and rows[i - 1].is_method and not row.is_method:
            lines.append(r"\midrule")
        lines.append(" & ".join([titles[row.key], *(c.cells.get(row.key, "--") for c in columns)]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    under = [*notes.lines(), *more, *remarks(rows, [(printed.comparison, printed.column) for printed in columns])]
    return "\n".join(
        [
            "% Needs booktabs and graphicx.",
            r"\begin{table*}[htbp]",
            r"\centering\small\setlength{\tabcolsep}{4pt}",
            f"\\caption{{{caption}}}\\label{{{label}}}",
            r"\sbox0{%",
            *lines,
            "}%",
            r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
            r"\par\smallskip",
            r"\begin{minipage}{\linewidth}\footnotesize\raggedright",
            *(f"{line}\\par" for line in under),
            r"\end{minipage}",
            r"\end{table*}",
            "",
        ]
    )


def _rows(comparisons: list[Comparison]) -> list[Row]:
    """One row per key over all comparisons, methods first; in the order of titles, as within one comparison."""
    rows = {row.key: row for comparison in reversed(comparisons) for row in comparison.rows}
    return sorted(rows.values(), key=lambda row: (not row.is_method, row.title.casefold(), row.key))


def _stain_headings(comparisons: list[Comparison], columns: list[Printed]) -> list[str]:
    cells, rules, start = [], [], 2
    for comparison in comparisons:
        count = sum(c.comparison is comparison for c in columns)
        cells.append(f"\\multicolumn{{{count}}}{{c}}{{{printed_stain(comparison)}}}")
        rules.append(f"\\cmidrule(lr){{{start}-{start + count - 1}}}")
        start += count
    return [" & ".join(["", *cells]) + r" \\", "".join(rules)]


def _title(title: str, notes: Footnotes) -> str:
    if len(title) <= LONGEST_TITLE:
        return escape(title)
    return escape(title[:LONGEST_TITLE].rstrip()) + r"\dots" + notes.mark(f"In full: {prose(title)}")


def _centred(text: str) -> str:
    return f"\\multicolumn{{1}}{{c}}{{{text}}}" if text else ""


def _visible(cell: str) -> int:
    """About how many characters of a cell are seen."""
    return sum(character.isdigit() or character in ".-" for character in cell)


def _letter(index: int) -> str:
    letters = ""
    while index >= 0:
        letters, index = chr(97 + index % 26) + letters, index // 26 - 1
    return letters


def _first_capital(text: str) -> str:
    return text[:1].upper() + text[1:]
