"""What stands under a table: why cells are empty, which references beat every method, seeds, protocols, data, warnings.

Each function returns lines of LaTeX. ``everywhere`` are the stains of the table: what holds for all of them names none.
"""

from collections.abc import Iterable, Mapping, Sequence

from vsbench.benchmark import version_said
from vsbench.report.decision import Decision
from vsbench.report.latex.columns import TableColumn, has_best, is_open
from vsbench.report.latex.frame import ALIKE
from vsbench.report.light import sentences
from vsbench.report.notation import code, escape, heading, prose, stain_name, without_mend
from vsbench.report.printed import place
from vsbench.report.tables import Column, Comparison, Row
from vsbench.stats.slides import counted

TEST = "paired: images exchanged slide by slide, Holm's correction over the methods"
BRACKETS = (
    r"Brackets: 95\,\% limits of the mean over seeds, from resampled slides; what has none could not be resampled."
)
PROTOCOL = "By the paper's own protocol on its own test images: not comparable with measured numbers as they are."

Columns = Sequence[tuple[Comparison, Column]]


def remarks(rows: Sequence[Row], columns: Columns, interval: bool = False) -> list[str]:
    """All remarks on a table of these rows and columns; ``interval``: it shows no standard deviations."""
    comparisons = list({id(comparison): comparison for comparison, _ in columns}.values())
    return [
        *_not_evaluated(rows, comparisons),
        *_absences(rows, columns),
        *_unbeaten(columns),
        *_light(columns),
        *_seeds(comparisons, interval),
        _protocols(columns),
        *map(_provenance, comparisons),
        *_warnings(comparisons),
    ]


def printed_stain(comparison: Comparison) -> str:
    """The stain of a comparison in LaTeX."""
    return escape(stain_name(comparison.stain))


def _not_evaluated(rows: Sequence[Row], comparisons: Iterable[Comparison]) -> list[str]:
    lines = []
    for comparison in comparisons:
        there = {row.key for row in comparison.rows}
        missing = [prose(row.title) for row in rows if row.key not in there]
        if missing:
            lines.append(f"Not evaluated on {printed_stain(comparison)}: {', '.join(missing)}.")
    return lines


def _absences(rows: Sequence[Row], columns: Columns) -> list[str]:
    """One line: the reasons, with the values and rows they hold for."""
    everywhere = _stains(columns)
    found: dict[str, dict[str, dict[str, list[str]]]] = {}  # reason → label → row → stains
    for comparison, column in columns:
        for row in comparison.rows:
            cell = row.cell(column.value)
            for reason in dict.fromkeys(reason for _, reason in cell.missing if cell.mean is None):
                places = found.setdefault(reason, {}).setdefault(heading(column.label), {})
                places.setdefault(prose(row.title), []).append(printed_stain(comparison))
    parts = []
    for reason, labels in found.items():
        groups: dict[str, list[str]] = {}  # values that are empty in the same rows are named together
        for label, places in labels.items():
            all_rows = len(places) == len(rows) > 1 and all(set(stains) == everywhere for stains in places.values())
            where = "all rows" if all_rows else _enumerate(places, everywhere)
            groups.setdefault(where, []).append(label)
        names = "; ".join(f"{', '.join(labels_)} ({where})" for where, labels_ in groups.items())
        parts.append(f"{names}: {without_mend(reason)}")
    return [f"--: {'; '.join(parts)}."] if parts else []


def nowhere(columns: Iterable[tuple[Comparison, Column]]) -> list[str]:
    """One line for the values that no row of any of these columns has, by reason; they need no column of dashes."""
    reasons: dict[str, dict[str, None]] = {}  # reasons → labels
    found: dict[str, dict[str, None]] = {}  # label → reasons
    for comparison, column in columns:
        told = found.setdefault(heading(column.label), {})
        told.update((without_mend(why), None) for row in comparison.rows for _, why in row.cell(column.value).missing)
    for label, told in found.items():
        reasons.setdefault("; ".join(told) or "not measured", {})[label] = None
    parts = [f"{', '.join(labels)} ({reason})" for reason, labels in reasons.items()]
    return [f"No row has: {'; '.join(parts)}."] if parts else []


def _unbeaten(columns: Columns) -> list[str]:
    """A reference that beats every method tells something about the metric."""
    ahead: dict[str, dict[str, list[str]]] = {}  # row → label → stains
    for comparison, column in columns:
        for row in comparison.unbeaten(column.value):
            labels = ahead.setdefault(prose(row.title), {})
            labels.setdefault(heading(column.label), []).append(printed_stain(comparison))
    everywhere = _stains(columns)
    parts = [f"{row} in {_enumerate(labels, everywhere)}" for row, labels in ahead.items()]
    return [f"Better than every method: {'; '.join(parts)}."] if parts else []


def measured_remarks(columns: Columns) -> list[str]:
    """What must be known of measured numbers that stand beside printed ones."""
    comparisons = list({id(comparison): comparison for comparison, _ in columns}.values())
    return [_protocols(columns), *map(_provenance, comparisons), *_warnings(comparisons)]


def decided(columns: Columns, decisions: Mapping[str, Decision], interval: bool) -> list[str]:
    """What the sign of methods like the best means, and where nothing can be shown; nothing without decisions."""
    signed: list[str] = []  # units of the columns where the sign may stand
    found: dict[str, dict[str, list[str]]] = {}  # sentence → label → stains
    everywhere = _stains(columns)
    lines: list[str] = []
    powerless: dict[str, None] = {}  # where no data could show a difference
    for comparison, column in columns:
        decision = decisions.get(comparison.name)
        has_methods = any(row.is_method and row.cell(column.value).mean is not None for row in comparison.rows)
        if decision is None or not column.is_score or not has_methods:
            continue
        where = f" ({printed_stain(comparison)})" if len(everywhere) > 1 else ""
        value = decision.values.get(column.value)
        if interval and decision.caution:
            lines.append(f"Limits{where}: {prose(decision.caution)}.")
        if value is None:
            sentence = f"Not tested: %s: {without_mend(decision.left_out.get(column.value, 'no decision'))}"
        elif not value.p:
            continue
        elif not value.can_show:
            powerless[f"{value.units} and {len(value.p) + 1} methods{where}"] = None
            continue
        elif not has_best(comparison, column, value):
            sentence = "Not tested: %s: the best method could not be resampled"
        elif is_open(value):
            sentence = "No method was shown to be worse than the best: %s"
            sentence += f" ({prose(value.caution)})" if value.caution else ""
        else:
            signed.append(value.units)
            sentence = f"Mind in %s: {prose(value.caution)}" if value.caution else ""
        if sentence:
            places = found.setdefault(sentence, {}).setdefault(heading(column.label), [])
            places.append(printed_stain(comparison))
    units = " or ".join(dict.fromkeys(signed))
    sign = rf"\textsuperscript{{{ALIKE}}}\,Not distinguishable from the best method at 5\,\% ({TEST}; {units})."
    shown = {id(comparison): decisions[comparison.name] for comparison, _ in columns if comparison.name in decisions}
    rows = dict.fromkeys(note for decision in shown.values() for note in decision.notes)
    return [
        *([sign] if signed else []),
        *([BRACKETS] if interval else []),
        *([f"No method is marked where no data could show a difference: {', '.join(powerless)}."] if powerless else []),
        *dict.fromkeys(lines),
        *(f"{text.rstrip('.').replace('%s', _enumerate(places, everywhere), 1)}." for text, places in found.items()),
        *(f"Tested {prose(note).rstrip('.')}." for note in rows),
    ]


def literature(columns: Sequence[TableColumn]) -> list[str]:
    """For each paper its source, where in it the numbers stand, and that these do not compare as they are."""
    found: dict[str, dict[str, dict[str, list[str]]]] = {}  # paper → place → label → stains
    for column in columns:
        for block in column.blocks:
            numbers = (n for method in block.methods for m, n in method.numbers.items() if m == column.column.value)
            text = f"[{prose(block.paper.name)}]: {prose(block.paper.source).rstrip('.')}"
            for spot in dict.fromkeys(place(number.row) for number in numbers):
                labels = found.setdefault(text, {}).setdefault(prose(spot), {})
                labels.setdefault(heading(column.column.label), []).append(printed_stain(column.comparison))
    everywhere = {printed_stain(column.comparison) for column in columns if column.blocks}
    lines = []
    for text, spots in found.items():
        where = "; ".join(f"{spot}: {_enumerate(labels, everywhere)}" for spot, labels in spots.items())
        lines.append(f"{text}. {where}. {PROTOCOL}")
    return lines


def _light(columns: Columns) -> list[str]:
    """Where grey glass decides which of two methods is ahead."""
    return [
        f"{heading(column.label)} on {printed_stain(comparison)}: {prose(said)}."
        for comparison, column in columns
        for said in sentences(comparison, [column.value]).values()
    ]


def _seeds(comparisons: Sequence[Comparison], interval: bool) -> list[str]:
    found: dict[tuple[int, ...], dict[str, list[str]]] = {}  # seeds → row → stains
    for comparison in comparisons:
        for row in comparison.rows:
            seeds = tuple(run.seed for run in row.runs if run.seed is not None)
            if seeds:
                found.setdefault(seeds, {}).setdefault(prose(row.title), []).append(printed_stain(comparison))
    if not found:
        return []
    everywhere = {printed_stain(comparison) for comparison in comparisons}
    parts = [
        ", ".join(map(str, seeds)) + (f" ({_enumerate(rows, everywhere)})" if len(found) > 1 else "")
        for seeds, rows in sorted(found.items())
    ]
    what = "mean" if interval else r"mean $\pm$ standard deviation"
    spread = f"; {what} over seeds" if any(len(seeds) > 1 for seeds in found) else ""
    return [f"Seeds: {'; '.join(parts)}{spread}."]


def _protocols(columns: Columns) -> str:
    found: dict[str, dict[str, list[str]]] = {}  # label → protocol → stains
    for comparison, column in columns:
        if column.protocol is not None:
            protocols = found.setdefault(heading(column.label), {})
            protocols.setdefault(code(column.protocol), []).append(printed_stain(comparison))
    parts = []
    for label, protocols in found.items():
        everywhere = {stain for stains in protocols.values() for stain in stains}
        parts.append(f"{label} {_enumerate(protocols, everywhere)}")
    return f"Protocols: {'; '.join(parts) or 'none'}."


def _provenance(comparison: Comparison) -> str:
    run = comparison.typical
    slides = "slides unknown" if run.n_slides is None else counted(run.n_slides, "slide")
    sizes = ", ".join(run.sizes).replace("x", "×")
    versions = ", ".join(sorted({run.vsbench for row in comparison.rows for run in row.runs}))
    benchmark = prose(version_said(comparison.benchmark))
    text = f"{stain_name(comparison.stain)}: N = {run.n} {run.split} pairs of {sizes} pixels, {slides};"
    return f"{prose(text)} data {code(run.data_digest[:12])}; {prose(f'vsbench {versions}')}, benchmark {benchmark}."


def _warnings(comparisons: Sequence[Comparison]) -> list[str]:
    found: dict[str, dict[str, list[str]]] = {}  # warning → rows (none: all) → stains
    everywhere = {printed_stain(comparison) for comparison in comparisons}
    for comparison in comparisons:
        methods = [row for row in comparison.rows if row.is_method]
        for text, rows in comparison.warnings.items():
            named = [prose(row.title) for row in rows]
            if len(methods) > 1 and all(row in rows for row in methods):
                named = ["all methods", *(prose(row.title) for row in rows if not row.is_method)]
            names = ", ".join(named) if len(rows) < len(comparison.rows) else ""
            found.setdefault(text, {}).setdefault(names, []).append(printed_stain(comparison))
    lines = []
    for text, places in found.items():
        where = _enumerate(places, everywhere).strip().removeprefix("on ")
        lines.append(rf"\textbf{{Warning}}{f' ({where})' if where else ''}: {prose(text).rstrip('.')}.")
    return lines


def _stains(columns: Columns) -> set[str]:
    return {printed_stain(comparison) for comparison, _ in columns}


def _enumerate(places: Mapping[str, Sequence[str]], everywhere: set[str]) -> str:
    """``A, B on ER``: names, each with its stains unless these are all."""
    return ", ".join(
        name if set(stains) == everywhere else f"{name} on {' and '.join(stains)}" for name, stains in places.items()
    )
