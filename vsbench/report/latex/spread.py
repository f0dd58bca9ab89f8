"""Printed numbers beside reruns in LaTeX: what each place comes to, and the methods where several compare."""

from collections.abc import Sequence

from vsbench.report import spread_text as text
from vsbench.report.latex.frame import Footnotes, centred, table_float
from vsbench.report.notation import escape, heading, prose
from vsbench.report.printed import label
from vsbench.report.spread import Column, Spreads

ROWS_PER_TABLE = 40
TESTS = {True: "the data sets' own test images", False: "other test images"}
SUMMARY_MEANING = (
    "Gap: the median over methods of how far a rerun lies from the printed number. Lie apart: the median distance of "
    "two methods in print; smaller: how many of these distances are smaller than the gap. Lead: of the best printed "
    "number over the next. Order: pairs of methods that were run again whose medians have the other order"
)
OTHER_MEANING = "Other images, crops and implementations: the gap is first of all the protocol's"


def spread_tables(spreads: Spreads) -> dict[str, str]:
    """File name → LaTeX: a summary and its methods for the data sets' own test images, and for others."""
    files = {}
    for own, end in ((True, ""), (False, "-other")):
        columns = spreads.on(own)
        if columns:
            parts = [_summary(columns, own, spreads), *_methods(columns, own)]
            files[f"literature-spread{end}.tex"] = "\n".join(parts)
    return files


def _summary(columns: Sequence[Column], own: bool, spreads: Spreads) -> str:
    heads = ["Data", "Metric", "Methods", "Gap", "Lie apart", "Lead", "Smaller", "Order"]
    rows = [text.summary(column) for column in columns]
    tests = [] if own else [column.test for column in columns]
    if tests:
        heads.insert(1, "Test images")
    lines = [_head(heads, left=2 + bool(tests))]
    for i, row in enumerate(rows):
        cells = [escape(row[0]), *([escape(tests[i])] if tests else []), heading(row[1]), *map(escape, row[2:])]
        lines.append(" & ".join(cells) + r" \\")
    under = [f"{prose(SUMMARY_MEANING)}.", *([] if own else [f"{prose(OTHER_MEANING)}."])]
    if missing := text.left_out(spreads):
        under.append(f"Not here: {prose(missing)}.")
    under += [f"{prose(source.card.source)} [{escape(source.name)}]." for source in spreads.sources]
    caption = f"Printed numbers and reruns of the same methods, on {TESTS[own]}."
    return _float(
        caption, f"tab:spread{'' if own else '-other'}", len(heads), 2 + bool(tests), lines, Footnotes(), under
    )


def _methods(columns: Sequence[Column], own: bool) -> list[str]:
    """Tables of so many rows that a page holds one."""
    parts: list[list[Column]] = [[]]
    for column in columns:
        if not column.compares:
            continue  # the summary has it
        if parts[-1] and sum(len(one.spreads) for one in parts[-1]) + len(column.spreads) > ROWS_PER_TABLE:
            parts.append([])
        parts[-1].append(column)
    tables = []
    for i, part in enumerate(filter(None, parts), start=1):
        notes, lines = Footnotes(), [_head(["Method", "Printed", "Rerun", "$n$", "Median gap", "Widest", "Passes"], 1)]
        for column in part:
            test = f" ({column.test})" if column.test else ""
            title = f"{heading(label(column.metric))}, {escape(f'{text.place(column)}{test}')}"
            title = rf"\textit{{{title}}}{_letters(text.remarks(column), notes)}"
            lines.append(rf"\addlinespace\multicolumn{{7}}{{@{{}}l}}{{{title}}} \\")
            for spread in column.spreads:
                name, *rest = text.cells(column, spread)
                first = rf"\quad {escape(name)}{_letters(text.notes(spread), notes)}"
                lines.append(" & ".join([first, *map(escape, rest)]) + r" \\")
        of = f" (part {i} of {len(parts)})" if len(parts) > 1 else ""
        caption = f"Printed numbers and reruns by method, on {TESTS[own]}{of}."
        label_ = f"tab:spread-methods{'' if own else '-other'}-{i}"
        tables.append(_float(caption, label_, 7, 1, lines, notes, [f"{prose(text.MEANING)}."]))
    return tables


def _letters(texts: Sequence[str], notes: Footnotes) -> str:
    """The raised letters of notes; empty for none."""
    letters = ",".join(notes.letter(prose(text)) for text in texts)
    return rf"\textsuperscript{{{letters}}}" if letters else ""


def _head(heads: Sequence[str], left: int) -> str:
    return " & ".join([*heads[:left], *map(centred, heads[left:])]) + r" \\"


def _float(
    caption: str, label_: str, columns: int, left: int, lines: Sequence[str], notes: Footnotes, under: Sequence[str]
) -> str:
    first, *rest = lines
    alignment = "l" * left + "r" * (columns - left)
    begin = f"\\begin{{tabular}}{{@{{}}{alignment}@{{}}}}"
    tabular = [begin, r"\toprule", first, r"\midrule", *rest, r"\bottomrule", r"\end{tabular}"]
    return table_float(caption, label_, tabular, notes, under)
