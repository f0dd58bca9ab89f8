"""Tables in LaTeX: the paper's table per data set, and all values per data set and stain.

The tables need booktabs and graphicx, nothing else, and shrink to the page where they are larger. Names are escaped.
``decisions``, by the name of their comparison, tell which methods can't be told from the best. What ``papers`` printed
stands below what was measured, and is never ranked with it. ``interval``: limits instead of standard deviations.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from vsbench.errors import RunError
from vsbench.report.decision import Decision
from vsbench.report.latex.columns import ITALIC, TableColumn, table_column
from vsbench.report.latex.frame import Footnotes, centred, headings, table_float
from vsbench.report.latex.remarks import decided, literature, printed_stain, remarks
from vsbench.report.notation import escape, prose, slug
from vsbench.report.printed import blocks, method_names, short_source
from vsbench.report.published import Paper
from vsbench.report.tables import Column, Comparison, Row

PAPER_VALUES = ("phv_avg", "r_avg", "fid")  # table II of the USIGAN paper
PAPER_WIDTH = 150  # characters: two stains of three values with their spreads, one table where there are no spreads
PANEL_WIDTH = 112  # characters that a table of all values may be wide before it is continued in a further one
LONGEST_TITLE = 40
RANKING = "Best method in bold, second best underlined; numbers equal in print share a mark."
REFERENCES = "Rows below the rule are references: they need no training and are not ranked."
PRINTED = r"\textit{Italics}: as printed in the literature; neither measured here nor ranked."

Make = Callable[[Comparison, Column, Footnotes], TableColumn]
NONE: Mapping[str, Decision] = {}


def paper_table(
    comparisons: Sequence[Comparison],
    decisions: Mapping[str, Decision] = NONE,
    papers: Sequence[Paper] = (),
    interval: bool = False,
) -> str:
    """The paper's table II for one data set: methods × stains × (PHV_avg, R_avg, FID); several where it is too wide.

    Raises RunError where no run has one of these values.
    """
    dataset = comparisons[0].dataset
    absent = [value for value in PAPER_VALUES if not any(value in c.columns for c in comparisons)]
    if len(absent) == len(PAPER_VALUES):
        raise RunError(f"{dataset}: no run has one of {', '.join(PAPER_VALUES)}; evaluate with these metrics")
    more = [f"Not measured in any run: {', '.join(map(prose, absent))}."] if absent else []
    make = _maker(decisions, papers, interval)
    groups = [[make(c, c.columns[v], Footnotes()) for v in PAPER_VALUES if v in c.columns] for c in comparisons]
    panels = _panels([group for group in groups if group], PAPER_WIDTH)
    tables = []
    for i, panel in enumerate(panels, start=1):
        notes = Footnotes()
        columns = [make(c.comparison, c.column, notes) for c in panel]
        caption = f"Comparison of methods on {escape(dataset)}{_part(i, panels)}."
        label = f"tab:methods-{slug(dataset)}" + (f"-{i}" if len(panels) > 1 else "")
        under = [*more, *_under(columns, decisions, interval)]
        tables.append(_table(caption, label, columns, notes, under, stain_headings=True))
    return "\n".join(tables)


def full_tables(
    comparison: Comparison,
    decisions: Mapping[str, Decision] = NONE,
    papers: Sequence[Paper] = (),
    interval: bool = False,
) -> str:
    """All values of one data set and stain: as many tables as its columns need to stay readable."""
    make = _maker(decisions, papers, interval)
    panels = _panels([[make(comparison, column, Footnotes())] for column in comparison.columns.values()], PANEL_WIDTH)
    tables = []
    for i, panel in enumerate(panels, start=1):
        notes = Footnotes()
        columns = [make(comparison, c.column, notes) for c in panel]
        caption = f"All values on {escape(comparison.dataset)}, {printed_stain(comparison)}{_part(i, panels)}."
        under = _under(columns, decisions, interval)
        tables.append(_table(caption, f"tab:all-{slug(comparison.name)}-{i}", columns, notes, under))
    return "\n".join(tables)


def _maker(decisions: Mapping[str, Decision], papers: Sequence[Paper], interval: bool) -> Make:
    def make(comparison: Comparison, column: Column, notes: Footnotes) -> TableColumn:
        decision = decisions.get(comparison.name)
        value = decision.values.get(column.value) if decision else None
        printed = blocks(papers, comparison.dataset, comparison.stain, [column.value])
        return table_column(comparison, column, notes, value, printed, interval)

    return make


def _panels(groups: list[list[TableColumn]], widest: int) -> list[list[TableColumn]]:
    """The columns in order, in as few panels as are narrow enough, all about equally wide; groups stay whole."""
    titles = max(len(row.title) for group in groups for row in group[0].comparison.rows)
    width = max(widest - min(titles, LONGEST_TITLE), 1)
    panels = _fill(groups, width)
    while width > 1 and len(narrower := _fill(groups, width - 1)) == len(panels):
        panels, width = narrower, width - 1
    return panels


def _fill(groups: list[list[TableColumn]], width: int) -> list[list[TableColumn]]:
    panels: list[list[TableColumn]] = [[]]
    for group in groups:
        if panels[-1] and sum(column.width for column in [*panels[-1], *group]) > width:
            panels.append([])
        panels[-1] += group
    return panels


def _part(i: int, panels: Sequence[object]) -> str:
    return f" (part {i} of {len(panels)})" if len(panels) > 1 else ""


def _under(columns: Sequence[TableColumn], decisions: Mapping[str, Decision], interval: bool) -> list[str]:
    shown = [(column.comparison, column.column) for column in columns]
    rows = _rows([column.comparison for column in columns])
    return [*decided(shown, decisions, interval), *remarks(rows, shown, interval), *literature(columns)]


def _table(
    caption: str,
    label: str,
    columns: Sequence[TableColumn],
    notes: Footnotes,
    under: Sequence[str],
    stain_headings: bool = False,
) -> str:
    rows = _rows([column.comparison for column in columns])
    titles = {row.key: _title(row.title, notes) for row in rows}
    printed = list(dict.fromkeys(key for column in columns for key in column.literature))
    if sum(row.is_method for row in rows) > 1:
        caption += f" {RANKING}"
    if not all(row.is_method for row in rows):
        caption += f" {REFERENCES}"
    if printed:
        caption += f" {PRINTED}"
    lines = [f"\\begin{{tabular}}{{@{{}}l{'r' * len(columns)}@{{}}}}", r"\toprule"]
    if stain_headings:
        runs = groupby(columns, key=lambda column: printed_stain(column.comparison))
        lines += headings([(stain, len(list(group))) for stain, group in runs])
    lines.append(" & ".join(["Method", *(centred(c.head) for c in columns)]) + r" \\")
    if any(c.unit for c in columns):
        lines.append(" & ".join(["", *(centred(f"({c.unit})" if c.unit else "") for c in columns)]) + r" \\")
    lines.append(r"\midrule")
    for i, row in enumerate(rows):
        if i and rows[i - 1].is_method and not row.is_method:
            lines.append(r"\midrule")
        lines.append(" & ".join([titles[row.key], *(c.cells.get(row.key, c.dash) for c in columns)]) + r" \\")
    for paper in dict.fromkeys(block.paper for column in columns for block in column.blocks):
        source = ITALIC % f"As printed in {escape(short_source(paper))}"
        lines += [r"\midrule", f"\\multicolumn{{{len(columns) + 1}}}{{@{{}}l@{{}}}}{{{source}}} \\\\"]
        for name in (name for name in method_names(paper) if (paper.name, name) in printed):
            cells = (column.literature.get((paper.name, name), column.dash) for column in columns)
            lines.append(" & ".join([ITALIC % _title(name, notes), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return table_float(caption, label, lines, [*notes.lines(), *under])


def _rows(comparisons: Sequence[Comparison]) -> list[Row]:
    """One row per key over all comparisons, methods first; in the order of titles, as within one comparison."""
    rows = {row.key: row for comparison in reversed(comparisons) for row in comparison.rows}
    return sorted(rows.values(), key=lambda row: (not row.is_method, row.title.casefold(), row.key))


def _title(title: str, notes: Footnotes) -> str:
    if len(title) <= LONGEST_TITLE:
        return escape(title)
    return escape(title[:LONGEST_TITLE].rstrip()) + r"\dots" + notes.mark(f"In full: {prose(title)}")
