"""The table of an evaluation by how well its pairs match, in LaTeX: for each main value a line for each method."""

from collections.abc import Sequence

from vsbench.errors import RunError
from vsbench.report.latex.frame import Footnotes, table_float
from vsbench.report.latex.remarks import printed_stain
from vsbench.report.notation import BETTER, decimals, escape, heading, number, prose, shorten, slug, unit
from vsbench.report.strata import Strata, sentences
from vsbench.report.tables import Row
from vsbench.stats.bootstrap import Interval

LONGEST_TITLE = 40
LINES = 36  # of one table; more values make further ones


def strata_latex(strata: Strata) -> str:
    """Floats of booktabs tables of the values that are shown. Raises RunError where no row has any."""
    names = strata.shown
    if not names:
        raise RunError(f"{strata.comparison.name}: no row has a value by thirds of its pairs")
    parts: list[list[str]] = [[]]
    for name in names:
        if parts[-1] and sum(len(_rows(strata, other)) + 1 for other in [*parts[-1], name]) > LINES:
            parts.append([])
        parts[-1].append(name)
    return "\n".join(_float(strata, part, i, len(parts)) for i, part in enumerate(parts, start=1))


def _float(strata: Strata, names: Sequence[str], part: int, parts: int) -> str:
    comparison, notes = strata.comparison, Footnotes()
    head = [
        rf"\multicolumn{{2}}{{c}}{{{third.name.capitalize()} ({third.low:.2f} to {third.high:.2f})}}".replace(
            "-", "$-$"
        )
        for third in strata.thirds
    ]
    lines = [r"\begin{tabular}{@{}l" + r"r@{\,}l" * len(strata.thirds) + "@{}}", r"\toprule"]
    lines.append(" & ".join(["Method", *head]) + r" \\")
    for name in names:
        column = comparison.columns[name]
        about = ", ".join(filter(None, [unit(column.unit), BETTER[column.best]]))
        wide = 1 + 2 * len(strata.thirds)
        lines += [r"\midrule", rf"\multicolumn{{{wide}}}{{@{{}}l}}{{{heading(column.label)} ({about})}} \\"]
        lines += [" & ".join(_cells(strata, name, row, notes)) + r" \\" for row in _rows(strata, name)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    which = f" (part {part} of {parts})" if parts > 1 else ""
    caption = (
        f"{escape(comparison.title)}, {printed_stain(comparison)}: values by thirds of the pairs, by the "
        f"{escape(strata.quality.label)}{which}."
    )
    label = f"tab:strata-{slug(comparison.name)}" + (f"-{part}" if parts > 1 else "")
    units = ", ".join(f"{len(third.ids)} pairs of {third.slides.counted}" for third in strata.thirds)
    cautions = dict.fromkeys(third.slides.caution for third in strata.thirds if third.slides.caution)
    under = [
        prose(f"Brackets: 95 % limits over slides. From left to right: {units}."),
        *(f"{_said(sentence)}." for sentence in sentences(strata, lambda name: comparison.columns[name].label)),
        *(f"{prose(caution)}." for caution in cautions),
        *(f"{prose(f'Without {title}: {why}')}." for title, why in strata.left_out.items()),
    ]
    return table_float(caption, label, lines, notes, under)


def _said(sentence: str) -> str:
    label, colon, text = sentence.partition(": ")
    return f"{heading(label)}: {prose(text)}" if colon else prose(sentence)


def _rows(strata: Strata, name: str) -> list[Row]:
    return [row for row in strata.rows if (row.key, name) in strata.cells]


def _cells(strata: Strata, name: str, row: Row, notes: Footnotes) -> list[str]:
    column = strata.comparison.columns[name]
    every = [one.estimate for other in _rows(strata, name) for one in strata.cells[other.key, name]]
    places = decimals(name, column.unit, every)
    title = escape(row.title)
    if len(row.title) > LONGEST_TITLE:
        title = escape(shorten(row.title, LONGEST_TITLE)) + notes.mark(f"In full: {prose(row.title)}")
    cells = [title]
    for one in strata.cells[row.key, name]:
        cells += _printed(one, places, notes)
    return cells


def _printed(one: Interval, places: int, notes: Footnotes) -> tuple[str, str]:
    if one.estimate != one.estimate:  # NaN: the value does not exist in this third
        return "n/a" + notes.mark(prose(one.caution or "it does not exist").rstrip(".")), ""
    if one.low != one.low:
        return number(one.estimate, places), ""
    return number(one.estimate, places), rf"{{\scriptsize[{number(one.low, places)}, {number(one.high, places)}]}}"
