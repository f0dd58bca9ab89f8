"""Tables in LaTeX: the main table of a data set, and all values per data set and stain.

The main table leads with what a reader decides by: the dose with its sign, its error image by image, whether the right
images are stained, and the tissue kept; then what the literature prints, and the truth where it is known. All values
have a line each, methods are the columns. The tables need booktabs and graphicx, nothing else, and shrink to the page
where they are larger. Names are escaped. ``decisions``, by the name of their comparison, tell which methods can't be
told from the best. What ``papers`` printed stands below what was measured, and is never ranked with it. ``interval``:
limits instead of standard deviations.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

from vsbench.errors import RunError
from vsbench.report.decision import Decision
from vsbench.report.groups import grouped
from vsbench.report.latex.columns import ITALIC, TableColumn, table_column
from vsbench.report.latex.frame import Footnotes, centred, table_float
from vsbench.report.latex.remarks import decided, literature, nowhere, printed_stain, remarks
from vsbench.report.notation import escape, prose, shorten, slug, unit
from vsbench.report.printed import blocks, method_names, short_source
from vsbench.report.published import Paper
from vsbench.report.tables import Column, Comparison, Row

MAIN_VALUES = ("iod_bias", "iod_mae", "r_p", "ccc", "r_c", "r_avg", "fid", "phv_avg", "cell_auc")  # three as published
LINES = 40  # of a main table; more stains make further ones
PANEL_WIDTH = 130  # characters that a table of all values may be wide before it is continued in a further one
LABEL_WIDTH = 24  # of these for the names of the values
GAP = r"@{\hspace{14pt}}"  # between methods and references
LONGEST_TITLE = 40
ONE_LINE = 16  # letters of a title that a heading takes in one line
RANKING = "Best method in bold, second best underlined; numbers equal in print share a mark."
REFERENCES = "Rows below a rule are references: they need no training and are not ranked."
REFERENCE_COLUMNS = "Columns after the gap are references: they need no training and are not ranked."
TAUGHT = "One that is trained learned from pairs that no real data has."
PRINTED = r"\textit{Italics}: as printed in the literature; neither measured here nor ranked."

Make = Callable[[Comparison, Column, Footnotes], TableColumn]
NONE: Mapping[str, Decision] = {}


def main_table(
    comparisons: Sequence[Comparison],
    decisions: Mapping[str, Decision] = NONE,
    papers: Sequence[Paper] = (),
    interval: bool = False,
) -> str:
    """The main table of one data set: the methods of one stain after the other, by ``MAIN_VALUES``.

    A value that no run has takes no column. Raises RunError where no run has one of these values.
    """
    titles = list(dict.fromkeys(comparison.title for comparison in comparisons))
    dataset = ", ".join(titles)
    there = [v for v in MAIN_VALUES if any(_has(comparison, v) for comparison in comparisons)]
    if not there:
        raise RunError(f"{dataset}: no run has one of {', '.join(MAIN_VALUES)}; evaluate with these metrics")
    make = _maker(decisions, papers, interval)
    parts = _parts(comparisons, papers)
    tables = []
    for i, part in enumerate(parts, start=1):
        notes, marked = Footnotes(), False
        uneven = len({row.seeds for comparison in part for row in comparison.rows if row.is_method and row.seeds}) > 1
        wide = 1 + uneven + len(there)
        lines = [f"\\begin{{tabular}}{{@{{}}l{'r' * (wide - 1)}@{{}}}}", r"\toprule", *_heads(part, there, uneven)]
        shown: list[tuple[Comparison, Column]] = []
        columns: list[TableColumn] = []
        for comparison in part:
            own = {v: make(comparison, comparison.columns[v], notes) for v in there if v in comparison.columns}
            if len(comparisons) > 1:
                name = f"{escape(comparison.title)}, " if len(titles) > 1 else ""
                head = f"\\textit{{{name}{printed_stain(comparison)}}}"
                lines += [r"\midrule", f"\\multicolumn{{{wide}}}{{@{{}}l@{{}}}}{{{head}}} \\\\"]
            lines += [r"\midrule", *_block(comparison.rows, [own.get(v) for v in there], notes, uneven)]
            columns += own.values()
            shown += [(comparison, comparison.columns[v]) for v in there if v in comparison.columns]
            marked |= any(column.ranked for column in own.values())
        lines += [r"\bottomrule", r"\end{tabular}"]
        caption = f"Comparison of methods on {escape(dataset)}{_part(i, parts)}."
        caption += _explained([row for comparison in part for row in comparison.rows], columns, marked, REFERENCES)
        label = f"tab:methods-{slug(comparisons[0].dataset)}" + (f"-{i}" if len(parts) > 1 else "")
        under = _under(shown, columns, decisions, interval, MAIN_VALUES)
        tables.append(table_float(caption, label, lines, notes, under))
    return "\n".join(tables)


def full_tables(comparison: Comparison, decisions: Mapping[str, Decision] = NONE, interval: bool = False) -> str:
    """All values of one data set and stain, a line each: as many tables as its methods need to stay readable."""
    make = _maker(decisions, (), interval)
    names = [name for name in comparison.columns if _has(comparison, name)]
    drafts = [make(comparison, comparison.columns[name], Footnotes()) for name in names]
    widest = max((column.cell_width for column in drafts), default=1.0)
    parts = _even(comparison.rows, max(1, int((PANEL_WIDTH - LABEL_WIDTH) / widest)))
    shown = [(comparison, comparison.columns[name]) for name in names]
    under = _under(shown, (), decisions, interval, comparison.columns)
    tables = []
    for i, rows in enumerate(parts, start=1):
        notes = Footnotes()
        columns = [make(comparison, comparison.columns[name], notes) for name in names]
        lines = [*_entries(rows, notes), *(_line(column, rows) for column in columns), r"\bottomrule", r"\end{tabular}"]
        caption = f"All values on {escape(comparison.title)}, {printed_stain(comparison)}{_part(i, parts)}."
        caption += _explained(rows, (), any(column.ranked for column in columns), REFERENCE_COLUMNS)
        tables.append(table_float(caption, f"tab:all-{slug(comparison.name)}-{i}", lines, notes, under))
    return "\n".join(tables)


def _maker(decisions: Mapping[str, Decision], papers: Sequence[Paper], interval: bool) -> Make:
    def make(comparison: Comparison, column: Column, notes: Footnotes) -> TableColumn:
        decision = decisions.get(comparison.name)
        value = decision.values.get(column.value) if decision else None
        printed = blocks(papers, comparison.dataset, comparison.stain, [column.value])
        return table_column(comparison, column, notes, value, printed, interval)

    return make


def _has(comparison: Comparison, value: str) -> bool:
    return value in comparison.columns and comparison.columns[value].protocol is not None


def _parts(comparisons: Sequence[Comparison], papers: Sequence[Paper]) -> list[list[Comparison]]:
    """The stains in order, in as many tables as have lines enough; a stain stays whole."""
    parts: list[list[Comparison]] = [[]]
    height = 0
    for comparison in comparisons:
        printed = blocks(papers, comparison.dataset, comparison.stain, MAIN_VALUES)
        own = len(comparison.rows) + 2 + sum(len(block.methods) + 1 for block in printed)
        if parts[-1] and height + own > LINES:
            parts, height = [*parts, []], 0
        parts[-1].append(comparison)
        height += own
    return parts


def _even(rows: Sequence[Row], most: int) -> list[list[Row]]:
    """In order, in as few parts of at most so many as there must be, all about equally long."""
    count = max(1, -(-len(rows) // most))
    ends = [round(len(rows) * i / count) for i in range(count + 1)]
    return [list(rows[start:end]) for start, end in pairwise(ends)]


def _part(i: int, parts: Sequence[object]) -> str:
    return f" (part {i} of {len(parts)})" if len(parts) > 1 else ""


def _heads(comparisons: Sequence[Comparison], values: Sequence[str], seeds: bool) -> list[str]:
    """Two lines: the values, and their units where there are any; ``seeds``: how many a method has, before them."""
    columns = [next(c.columns[v] for c in comparisons if v in c.columns) for v in values]
    heads = [centred(TableColumn.head_of(column)) for column in columns]
    lines = [" & ".join(["Method", *(["Seeds"] if seeds else []), *heads]) + r" \\"]
    units = [unit(column.unit) for column in columns]
    if any(units):
        blanks = ["", ""] if seeds else [""]
        lines.append(" & ".join([*blanks, *(centred(f"({u})" if u else "") for u in units)]) + r" \\")
    return lines


def _block(rows: Sequence[Row], columns: Sequence[TableColumn | None], notes: Footnotes, seeds: bool) -> list[str]:
    """The lines of one stain: methods, references below a rule, and what papers printed below another.

    Many methods stand under headings that say what their training needs. ``seeds``: their number has a column.
    """
    lines: list[str] = []
    wide, blank = 1 + seeds + len(columns), [""] if seeds else []
    for heading, members in grouped(rows):
        if heading:
            lines += [r"\addlinespace[3pt]"] if lines else []
            lines.append(f"\\multicolumn{{{wide}}}{{@{{}}l@{{}}}}{{{ITALIC % escape(heading)}}} \\\\")
        for i, row in enumerate(members):
            first_reference = not row.is_method and (i == 0 or members[i - 1].is_method)
            if lines and first_reference:
                lines.append(r"\cmidrule{1-1}")
            cells = (column.cells.get(row.key, column.dash) if column else "--" for column in columns)
            count = str(row.seeds or "") if row.is_method else ""
            lines.append(" & ".join([_title(row.title, notes), *([count] if seeds else []), *cells]) + r" \\")
    found = [column for column in columns if column]
    printed = dict.fromkeys(key for column in found for key in column.literature)
    for paper in dict.fromkeys(block.paper for column in found for block in column.blocks):
        source = ITALIC % f"As printed in {escape(short_source(paper))}"
        lines += [r"\cmidrule{1-1}", f"\\multicolumn{{{wide}}}{{@{{}}l@{{}}}}{{{source}}} \\\\"]
        for name in (name for name in method_names(paper) if (paper.name, name) in printed):
            cells = (c.literature.get((paper.name, name), c.dash) if c else "--" for c in columns)
            lines.append(" & ".join([ITALIC % _title(name, notes), *blank, *cells]) + r" \\")
    return lines


def _entries(rows: Sequence[Row], notes: Footnotes) -> list[str]:
    """The beginning of a table whose columns are methods, and references after a gap."""
    gaps = [GAP if i and rows[i - 1].is_method and not row.is_method else "" for i, row in enumerate(rows)]
    return [
        f"\\begin{{tabular}}{{@{{}}l{''.join(f'{gap}r' for gap in gaps)}@{{}}}}",
        r"\toprule",
        " & ".join(["Value", *(_slanted(row.title, notes) for row in rows)]) + r" \\",
        r"\midrule",
    ]


def _line(column: TableColumn, rows: Sequence[Row]) -> str:
    """One value of all methods of a part."""
    label = f"{column.head}{f' ({column.unit})' if column.unit else ''}"
    return " & ".join([label, *(column.cells.get(row.key, column.dash) for row in rows)]) + r" \\"


def _explained(rows: Sequence[Row], columns: Sequence[TableColumn], ranked: bool, references: str) -> str:
    """What a caption says of marks, references and printed numbers, as far as the table has these."""
    parts = [
        RANKING if ranked else "",
        "" if all(row.is_method for row in rows) else references,
        TAUGHT if any(row.kind == "trained" and not row.is_method for row in rows) else "",
        PRINTED if any(column.literature for column in columns) else "",
    ]
    return "".join(f" {part}" for part in parts if part)


def _under(
    shown: Sequence[tuple[Comparison, Column]],
    columns: Sequence[TableColumn],
    decisions: Mapping[str, Decision],
    interval: bool,
    wanted: Iterable[str],
) -> list[str]:
    """The lines under a table; ``wanted``: the values that it would have, were they measured."""
    comparisons = list({id(comparison): comparison for comparison, _ in shown}.values())
    values = {column.value for _, column in shown}
    absent = [(c, c.columns[v]) for c in comparisons for v in wanted if v in c.columns and v not in values]
    rows = {row.key: row for comparison in comparisons for row in comparison.rows}
    return [
        *decided(shown, decisions, interval),
        *nowhere(absent),
        *remarks(list(rows.values()), shown, interval),
        *literature(columns),
    ]


def _title(title: str, notes: Footnotes) -> str:
    if len(title) <= LONGEST_TITLE:
        return escape(title)
    return escape(title[:LONGEST_TITLE].rstrip()) + r"\dots" + notes.mark(f"In full: {prose(title)}")


def _slanted(title: str, notes: Footnotes) -> str:
    """A title as the heading of a narrow column, in two lines where it is long."""
    text = shorten(title, LONGEST_TITLE)
    mark = notes.mark(f"In full: {prose(title)}") if text != title else ""
    blanks = [i for i, letter in enumerate(text) if letter == " "]
    lines = [text]
    if len(text) > ONE_LINE and blanks:
        middle = min(blanks, key=lambda i: abs(i - len(text) // 2))
        lines = [text[:middle], text[middle + 1 :]]
    stacked = r"\\".join(map(escape, lines))
    return rf"\rotatebox{{60}}{{\shortstack[l]{{{stacked}{mark}}}}}"
