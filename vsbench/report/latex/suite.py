"""The table of an ablation study in LaTeX, in the layouts of the paper's Tables IV–VIII.

Rows are named as in print; where they are all combinations of settings, by check marks; where one number varies, by it.
What is printed stands below what is measured. Needs booktabs and graphicx, nothing else; names are escaped.
"""

from collections.abc import Iterable, Sequence

from vsbench.evaluation.ablate import StudyRow
from vsbench.report.latex.columns import ARROWS
from vsbench.report.latex.frame import MARKS, Footnotes, centred, table_float
from vsbench.report.latex.remarks import remarks
from vsbench.report.notation import decimals, escape, heading, number, prose, slug, stain_name, unit
from vsbench.report.suites import SuiteTable, printed_name, setting_name
from vsbench.report.tables import Row

RANKING = "Best row in bold, second best underlined; numbers equal in print share a mark."
PRINTED = "In italics: as printed in the literature, by its own protocol."
CHECK = r"$\surd$"  # no package needed
MOST_PLACES = 4  # of a printed number


def suite_latex(table: SuiteTable) -> str:
    """The table as a float; ``mean ± sd`` over seeds. Rows that did not run say so, and a note says why.

    Printed values come first, in the order of print.
    """
    notes = Footnotes()
    names, body = _names(table)
    values = list(dict.fromkeys([*table.printed, *table.values]))
    places = {
        value: _places(row[value] for row in map(table.published, table.rows) if value in row) for value in values
    }
    lines = [f"\\begin{{tabular}}{{@{{}}{'l' * len(names)}{'r' * len(values)}@{{}}}}", r"\toprule"]
    lines.append(" & ".join([*names, *(centred(_head(table, value)) for value in values)]) + r" \\")
    units = [_unit(table, value) for value in values]
    if any(units):
        lines.append(" & ".join([*[""] * len(names), *map(centred, units)]) + r" \\")
    lines.append(r"\midrule")
    cells = {value: _cells(table, value, notes) for value in values}
    for i, row in enumerate(table.rows):
        if i and table.printed:
            lines.append(r"\addlinespace[2pt]")
        measured = table.measured(row)
        label = [body[i][0] + _same(table, i, notes), *body[i][1:]]
        if measured is None:
            mark = notes.mark(prose(f"Not run: {_why_missing(table, row)}"))
            gap = f"\\multicolumn{{{len(values)}}}{{c}}{{not run{mark}}}" if values else ""
            lines.append(" & ".join([*label, *([gap] if gap else [])]) + r" \\")
        else:
            lines.append(" & ".join([*label, *(cells[value][measured.key] for value in values)]) + r" \\")
        if printed := table.published(row):
            texts = [
                rf"\textit{{{number(printed[value], places[value])}}}" if value in printed else "" for value in values
            ]
            lines.append(" & ".join([r"\quad\textit{as printed}", *[""] * (len(names) - 1), *texts]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return _float(table, lines, notes)


def _names(table: SuiteTable) -> tuple[list[str], list[list[str]]]:
    """Headings of the columns that name a row, and what they hold, row by row."""
    if (switches := table.switches) is not None:
        marks = [[CHECK if on else "--" for on in row] for row in zip(*switches.values(), strict=True)]
        return [heading(setting_name(setting)) for setting in switches], marks
    if (axis := table.axis) is not None:
        return [heading(setting_name(axis[0]))], [[f"{value:g}"] for value in axis[1]]
    return ["Row"], [[escape(printed_name(row))] for row in table.rows]


def _same(table: SuiteTable, index: int, notes: Footnotes) -> str:
    """A note on a row that another one's runs stand for."""
    row = table.rows[index]
    return (
        "" if row.same_as is None else notes.mark(prose(f"Same configuration, and so the same runs, as {row.same_as}"))
    )


def _head(table: SuiteTable, value: str) -> str:
    column = table.column(value)
    if column is None:
        return prose(value)
    return f"{heading(column.label)}\\,{ARROWS[column.best]}" if column.is_score else heading(column.label)


def _unit(table: SuiteTable, value: str) -> str:
    column = table.column(value)
    return f"({unit(column.unit)})" if column is not None and unit(column.unit) else ""


def _cells(table: SuiteTable, value: str, notes: Footnotes) -> dict[str, str]:
    """What is measured of a value, by key of the comparison's rows."""
    comparison = table.comparison
    if comparison is None:
        return {}
    found = {row.key: row.cell(value) for row in comparison.rows}
    means = [cell.mean for cell in found.values() if cell.mean is not None]
    if not means:
        return dict.fromkeys(found, "--")
    places = decimals(value, comparison.columns[value].unit, means)
    ranks = comparison.ranks(value, places)
    texts = {}
    for row in comparison.rows:
        cell = found[row.key]
        if cell.mean is None:
            texts[row.key] = "--"
            continue
        text = MARKS.get(ranks.get(row.key, 0), "%s") % number(cell.mean, places)
        if cell.sd is not None:
            text += rf"\,{{\scriptsize$\pm$\,{number(cell.sd, places)}}}"
        texts[row.key] = text + _caution(table, row, value, cell.missing, notes)
    return texts


def _caution(table: SuiteTable, row: Row, value: str, missing: Sequence[tuple[str, str]], notes: Footnotes) -> str:
    assert table.comparison is not None
    if difference := table.comparison.difference(row, value):
        return notes.mark(prose(f"{difference}: not comparable with this column, not ranked"))
    if missing:
        return notes.mark(prose(f"Mean without {'; '.join(f'{seed}: {reason}' for seed, reason in missing)}"))
    return ""


def _why_missing(table: SuiteTable, row: StudyRow) -> str:
    reasons = {seed: table.missing[row.name, seed] for seed in table.seeds}
    if len(set(reasons.values())) == 1:
        return reasons[table.seeds[0]]
    return "; ".join(f"seed {seed}: {reason}" for seed, reason in reasons.items())


def _places(numbers: Iterable[float]) -> int:
    """Decimals for a column of printed numbers: as many as the longest of them has."""
    texts = [f"{number_:.{MOST_PLACES}f}".rstrip("0") for number_ in numbers]
    return max((len(text.partition(".")[2]) for text in texts), default=0)


def _float(table: SuiteTable, lines: list[str], notes: Footnotes) -> str:
    study, comparison = table.study, table.comparison
    where = f"{escape(study.dataset)}, {escape(stain_name(study.stain))}"
    caption = f"{prose(study.method)}, {prose(study.suite)} on {where}: {prose(study.declared.title)}."
    ranked = comparison is not None and sum(row.is_method for row in comparison.rows) > 1
    caption += f" {RANKING}" if ranked else ""
    caption += f" {PRINTED}" if table.printed else ""
    options = ", ".join(f"{key} = {value}" for key, value in study.options.items())
    told = [f"Preset: {prose(study.preset)}{f'; settings of all rows: {prose(options)}' if options else ''}."]
    told += [f"{prose(text[:1].upper() + text[1:])}." for text in study.declared.notes]
    if comparison is not None:
        columns = [comparison.columns[value] for value in table.values if value in comparison.columns]
        told += remarks(comparison.rows, [(comparison, column) for column in columns])
    return table_float(caption, f"tab:suite-{slug(study.name)}", lines, notes, told)
