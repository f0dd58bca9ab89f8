"""The table of a decision in LaTeX: for the main values each method's mean, its p, and how often it has which rank."""

from collections.abc import Sequence

import numpy as np

from vsbench.errors import RunError
from vsbench.report.decision import Decision, ValueDecision
from vsbench.report.latex.frame import MARKS, Footnotes, table_float
from vsbench.report.latex.remarks import measured_remarks, printed_stain
from vsbench.report.notation import BETTER, decimals, escape, heading, number, prose, shorten, slug, unit
from vsbench.report.tables import Row
from vsbench.report.verdict import main_values, p_text, percent, ranked, sentences
from vsbench.stats.ranks import rank_summary

LEAST_SHARE = 0.05  # of a rank, to be printed
LINES = 36  # of one table; more values make further ones
LONGEST_TITLE = 40
HEAD = r"Method & \multicolumn{2}{c}{Mean} & $p$ & First & Expected rank & Ranks"
TEST = (
    "p: of the difference to the best mean; images exchanged slide by slide, Holm's correction over the methods. It "
    "says whether a method may be the best; of two methods named beforehand vsbench compare tells whether they differ."
)
RANKS = (
    f"First: share of resamples with the best value. Brackets: the central 95 % of ranks. Ranks: those of "
    f"{percent(LEAST_SHARE)} of resamples or more."
)
AVERAGED = "a method's number is the mean over its seeds: what another training would change is not in the ranks"
DRAWN = "trainings are drawn too, three or more of each method: so few make their spread look smaller than it is"


def shown_values(decision: Decision) -> list[str]:
    """The main values in which data could show a difference: of the others the sentences say all there is to say."""
    return [name for name in main_values(decision) if name in decision.values and decision.values[name].can_show]


def decision_latex(decision: Decision) -> str:
    """Floats of booktabs tables, as many as the methods and main values need.

    Raises RunError where nothing was decided, or nothing could be shown.
    """
    names = shown_values(decision)
    if not names:
        raise RunError(sentences(decision)[0].rstrip("."))
    heights = {name: len(ranked(decision, decision.values[name])) + 1 for name in names}
    parts: list[list[str]] = [[]]
    for name in names:
        if parts[-1] and sum(heights[other] for other in [*parts[-1], name]) > LINES:
            parts.append([])
        parts[-1].append(name)
    return "\n".join(_float(decision, part, i, len(parts)) for i, part in enumerate(parts, start=1))


def _float(decision: Decision, names: Sequence[str], part: int, parts: int) -> str:
    comparison, notes = decision.comparison, Footnotes()
    lines = [r"\begin{tabular}{@{}lr@{\,}lrrrl@{}}", r"\toprule", rf"{HEAD} \\"]
    for name in names:
        column, decided = comparison.columns[name], decision.values[name]
        about = ", ".join(filter(None, [unit(column.unit), BETTER[column.best]]))
        lines += [r"\midrule", rf"\multicolumn{{7}}{{@{{}}l}}{{{heading(column.label)} ({about})}} \\"]
        lines += [" & ".join(_cells(decision, decided, row, notes)) + r" \\" for row in ranked(decision, decided)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    which = f" (part {part} of {parts})" if parts > 1 else ""
    caption = f"Which method on {escape(comparison.title)}, {printed_stain(comparison)}{which}. Best mean in bold."
    label = f"tab:decision-{slug(comparison.name)}" + (f"-{part}" if parts > 1 else "")
    return table_float(caption, label, lines, notes, _under(decision, names))


def _cells(decision: Decision, decided: ValueDecision, row: Row, notes: Footnotes) -> list[str]:
    column, cell = decision.comparison.columns[decided.value], row.cell(decided.value)
    means = [other.cell(decided.value).mean or 0.0 for other in ranked(decision, decided)]
    places = decimals(column.value, column.unit, means)
    is_best = row.key == decided.best
    shown = (MARKS[1] if is_best else "%s") % number(cell.mean or 0.0, places)
    spread = "" if cell.sd is None else rf"{{\scriptsize$\pm$\,{number(cell.sd, places)}}}"
    title = escape(row.title)
    if len(row.title) > LONGEST_TITLE:
        title = escape(shorten(row.title, LONGEST_TITLE)) + notes.mark(f"In full: {prose(row.title)}")
    cells = [title, shown, spread, "best" if is_best else _latex(p_text(decided.p[row.key]))]
    if not decided.ranks:
        return [*cells, "--", "--", "--"]
    shares = decided.ranks[row.key]
    rank = rank_summary(np.array(shares))
    several = (f"{_ordinal(i)} {percent(share)}" for i, share in enumerate(shares, 1) if share >= LEAST_SHARE)
    limits = f"{rank.mean:.1f} [{rank.low:.0f}, {rank.high:.0f}]"
    return [*cells, _latex(percent(rank.first)), limits, _latex(", ".join(several))]


def _under(decision: Decision, names: Sequence[str]) -> list[str]:
    comparison = decision.comparison
    said = dict(zip(main_values(decision), sentences(decision), strict=True))
    cautions: dict[str, list[str]] = {}
    for name in names:
        cautions.setdefault(decision.values[name].caution, []).append(heading(comparison.columns[name].label))
    return [
        *(heading(said[name]) for name in names),
        prose(TEST),
        prose(RANKS),
        *_resampling(decision, names),
        *([f"{prose(decision.caution)}."] if decision.caution else []),
        *(f"Mind in {', '.join(labels)}: {prose(text)}." for text, labels in cautions.items() if text),
        *(f"{prose(note)}." for note in decision.notes),
        *measured_remarks([(comparison, comparison.columns[name]) for name in names]),
    ]


def _resampling(decision: Decision, names: Sequence[str]) -> list[str]:
    """How the ranks came about, once for all values that share it."""
    found: dict[str, list[str]] = {}
    for name in names:
        decided = decision.values[name]
        how = f"{decided.resamples} resamples of {decided.units} (seed {decision.seed})"
        text = f"{how}; {DRAWN if decided.seeds_drawn else AVERAGED}."
        found.setdefault(text, []).append(heading(decision.comparison.columns[name].label))
    return [f"{', '.join(labels)}: {prose(text)}" if len(found) > 1 else prose(text) for text, labels in found.items()]


def _ordinal(place: int) -> str:
    return f"{place}{'th' if place % 100 in (11, 12, 13) else {1: 'st', 2: 'nd', 3: 'rd'}.get(place % 10, 'th')}"


def _latex(text: str) -> str:
    """Numbers with their signs; the blank before % is a thin one, and a dash is a dash."""
    return "--" if text == "--" else escape(text).replace(r" \%", r"\,\%")
