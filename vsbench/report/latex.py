"""Tables in LaTeX: the paper's table per data set, and all values per data set and stain.

The tables need booktabs and graphicx, nothing else, and shrink to the line where they are wider. Names are escaped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from vsbench.errors import RunError
from vsbench.report.notation import code, decimals, escape, heading, number, plain, prose, slug, stain_name, unit
from vsbench.report.tables import Column, Comparison, Row

PAPER_VALUES = ("phv_avg", "r_avg", "fid")  # table II of the USIGAN paper
PANEL_WIDTH = 100  # characters that a table of all values may be wide before it is continued in a further one
LONGEST_TITLE = 40
ARROWS = {"low": r"$\downarrow$", "high": r"$\uparrow$"}
MARKS = {1: r"\textbf{%s}", 2: r"\underline{%s}"}
RANKING = (
    "Best method in bold, second best underlined; numbers equal in print share a mark. "
    "Rows below the rule are references: they need no training and are not ranked."
)


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
    lines = [rf"Not measured in any run: {', '.join(map(prose, absent))}."] if absent else []
    caption = f"Comparison of methods on {escape(dataset)}. {RANKING}"
    return _table(caption, f"tab:methods-{slug(dataset)}", columns, notes, stain_headings=True, remarks=lines)


def full_tables(comparison: Comparison) -> str:
    """All values of one data set and stain: as many tables as its columns need to stay readable."""
    notes = Footnotes()
    rows_width = min(max(len(row.title) for row in comparison.rows), LONGEST_TITLE)
    panels: list[list[Column]] = [[]]
    room = PANEL_WIDTH - rows_width
    for column in comparison.columns.values():
        width = _print(comparison, column, notes).width
        if panels[-1] and width > room:
            panels.append([])
            room = PANEL_WIDTH - rows_width
        panels[-1].append(column)
        room -= width
    tables = []
    for i, panel in enumerate(panels, start=1):
        notes = Footnotes()
        part = f" (part {i} of {len(panels)})" if len(panels) > 1 else ""
        caption = f"All values on {escape(comparison.dataset)}, {_stain(comparison)}{part}. {RANKING}"
        printed = [_print(comparison, column, notes) for column in panel]
        tables.append(_table(caption, f"tab:all-{slug(comparison.name)}-{i}", printed, notes))
    return "\n".join(tables)


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
        text = MARKS.get(ranks.get(row.key, 0), "%s") % number(cell.mean, places) + spreads.get(row.key, room)
        if difference := comparison.difference(row, column.value):
            text += notes.mark(f"{_first_capital(prose(difference))}: not comparable with this column, not ranked")
        elif cell.missing:
            gaps = "; ".join(f"{prose(seed)}: {prose(reason)}" for seed, reason in cell.missing)
            text += notes.mark(f"Mean without {gaps}")
        texts[row.key] = text
    head = f"{heading(column.label)}\\,{ARROWS[column.best]}"
    return Printed(comparison, column, head, unit(column.unit), texts)


def _table(
    caption: str,
    label: str,
    columns: list[Printed],
    notes: Footnotes,
    stain_headings: bool = False,
    remarks: Sequence[str] = (),
) -> str:
    comparisons = list({id(c.comparison): c.comparison for c in columns}.values())
    rows = _rows(comparisons)
    titles = {row.key: _title(row.title, notes) for row in rows}
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
    remarks = [*notes.lines(), *remarks, *_absences(rows, columns), *_unbeaten(columns), *_seeds(rows, comparisons)]
    remarks += [_protocols(columns), *map(_provenance, comparisons), *_warnings(comparisons)]
    return "\n".join(
        [
            "% Needs booktabs and graphicx.",
            r"\begin{table*}[htbp]",
            r"\centering\small",
            f"\\caption{{{caption}}}\\label{{{label}}}",
            r"\sbox0{%",
            *lines,
            "}%",
            r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
            r"\par\smallskip",
            r"\begin{minipage}{\linewidth}\footnotesize\raggedright",
            *(f"{remark}\\par" for remark in remarks),
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
        cells.append(f"\\multicolumn{{{count}}}{{c}}{{{escape(stain_name(comparison.stain))}}}")
        rules.append(f"\\cmidrule(lr){{{start}-{start + count - 1}}}")
        start += count
    return [" & ".join(["", *cells]) + r" \\", "".join(rules)]


def _absences(rows: list[Row], columns: list[Printed]) -> list[str]:
    """Why cells are empty: one remark per reason, with the values and rows it holds for."""
    remarks = []
    for comparison in {id(c.comparison): c.comparison for c in columns}.values():
        keys = {row.key for row in comparison.rows}
        if elsewhere := [row.title for row in rows if row.key not in keys]:
            remarks.append(f"--: not evaluated on {_stain(comparison)}: {', '.join(map(prose, elsewhere))}.")
    found: dict[str, dict[str, dict[str, list[str]]]] = {}  # reason → label → row title → stains
    for printed in columns:
        for row in printed.comparison.rows:
            cell = row.cell(printed.column.value)
            for reason in dict.fromkeys(reason for _, reason in cell.missing if cell.mean is None):
                stains = found.setdefault(reason, {}).setdefault(heading(printed.column.label), {})
                stains.setdefault(row.title, []).append(_stain(printed.comparison))
    for reason, places in found.items():
        groups: dict[str, list[str]] = {}  # values that are empty in the same rows are named together
        for label, stains in places.items():
            groups.setdefault(_where(stains, rows, columns), []).append(label)
        names = "; ".join(f"{', '.join(labels)} ({where})" for where, labels in groups.items())
        remarks.append(f"--: {names}: {prose(reason).rstrip('.')}.")
    return remarks


def _where(stains: dict[str, list[str]], rows: list[Row], columns: list[Printed]) -> str:
    """``all rows`` or the names of rows, each with its stains unless these are all stains of the table."""
    everywhere = {_stain(printed.comparison) for printed in columns}
    if len(stains) == len(rows) > 1 and all(set(some) == everywhere for some in stains.values()):
        return "all rows"
    names = []
    for title, some in stains.items():
        names.append(prose(title) if set(some) == everywhere else f"{prose(title)} on {', '.join(some)}")
    return ", ".join(names)


def _unbeaten(columns: list[Printed]) -> list[str]:
    """References better than every method: it tells something about the metric."""
    ahead: dict[str, list[str]] = {}
    several = len({c.comparison.stain for c in columns}) > 1
    for printed in columns:
        stain = f" on {_stain(printed.comparison)}" if several else ""
        for row in printed.comparison.unbeaten(printed.column.value):
            ahead.setdefault(row.title, []).append(f"{heading(printed.column.label)}{stain}")
    return [f"Better than every method: {prose(title)} in {', '.join(values)}." for title, values in ahead.items()]


def _seeds(rows: list[Row], comparisons: list[Comparison]) -> list[str]:
    seeds: dict[str, list[str]] = {}
    for row in rows:
        runs = [run for comparison in comparisons for own in comparison.rows if own.key == row.key for run in own.runs]
        numbers = sorted({run.seed for run in runs if run.seed is not None})
        if numbers:
            seeds.setdefault(", ".join(map(str, numbers)), []).append(row.title)
    if not seeds:
        return []
    if len(seeds) == 1:
        numbers_, _ = seeds.popitem()
        return [f"Seeds: {numbers_}{_spread(numbers_)}."]
    parts = [f"{numbers_} ({', '.join(map(prose, titles))})" for numbers_, titles in seeds.items()]
    return [f"Seeds: {'; '.join(parts)}{_spread(*seeds)}."]


def _spread(*seeds: str) -> str:
    return r"; mean $\pm$ standard deviation over seeds" if any("," in numbers for numbers in seeds) else ""


def _protocols(columns: list[Printed]) -> str:
    ids: dict[str, list[str]] = {}
    for printed in columns:
        if printed.column.protocol is not None:
            ids.setdefault(heading(printed.column.label), []).append(printed.column.protocol)
    parts = [f"{label} {' and '.join(map(code, dict.fromkeys(protocols)))}" for label, protocols in ids.items()]
    return f"Protocols: {', '.join(parts) or 'none'}."


def _provenance(comparison: Comparison) -> str:
    run = comparison.typical
    slides = "slides unknown" if run.n_slides is None else f"{run.n_slides} slide{'s' * (run.n_slides != 1)}"
    sizes = ", ".join(run.sizes).replace("x", "×")
    versions = ", ".join(sorted({run.vsbench for row in comparison.rows for run in row.runs}))
    text = f"{stain_name(comparison.stain)}: N = {run.n} {run.split} pairs of {sizes} pixels, {slides}; "
    return f"{prose(text)}data {code(run.data_digest[:12])}; {prose(f'vsbench {versions}')}."


def _warnings(comparisons: list[Comparison]) -> list[str]:
    found: dict[str, list[str]] = {}
    for comparison in comparisons:
        for text in comparison.warnings:
            found.setdefault(text, []).append(_stain(comparison))
    remarks = []
    for text, stains in found.items():
        where = f" ({', '.join(stains)})" if len(comparisons) > 1 else ""
        remarks.append(rf"\textbf{{Warning}}{where}: {prose(text).rstrip('.')}.")
    return remarks


def _stain(comparison: Comparison) -> str:
    return escape(stain_name(comparison.stain))


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
