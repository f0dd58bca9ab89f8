"""What stands under a table: why cells are empty, which references beat every method, seeds, protocols, data, warnings.

Each function returns lines of LaTeX. ``everywhere`` are the stains of the table: what holds for all of them names none.
"""

from collections.abc import Iterable, Mapping, Sequence

from vsbench.report.notation import code, escape, heading, prose, stain_name
from vsbench.report.tables import Column, Comparison, Row

Columns = Sequence[tuple[Comparison, Column]]


def remarks(rows: Sequence[Row], columns: Columns) -> list[str]:
    """All remarks on a table of these rows and columns."""
    comparisons = list({id(comparison): comparison for comparison, _ in columns}.values())
    return [
        *_not_evaluated(rows, comparisons),
        *_absences(rows, columns),
        *_unbeaten(columns),
        *_seeds(comparisons),
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
            lines.append(f"--: not evaluated on {printed_stain(comparison)}: {', '.join(missing)}.")
    return lines


def _absences(rows: Sequence[Row], columns: Columns) -> list[str]:
    """One line per reason, with the values and rows it holds for."""
    everywhere = _stains(columns)
    found: dict[str, dict[str, dict[str, list[str]]]] = {}  # reason → label → row → stains
    for comparison, column in columns:
        for row in comparison.rows:
            cell = row.cell(column.value)
            for reason in dict.fromkeys(reason for _, reason in cell.missing if cell.mean is None):
                places = found.setdefault(reason, {}).setdefault(heading(column.label), {})
                places.setdefault(prose(row.title), []).append(printed_stain(comparison))
    lines = []
    for reason, labels in found.items():
        groups: dict[str, list[str]] = {}  # values that are empty in the same rows are named together
        for label, places in labels.items():
            all_rows = len(places) == len(rows) > 1 and all(set(stains) == everywhere for stains in places.values())
            where = "all rows" if all_rows else _enumerate(places, everywhere)
            groups.setdefault(where, []).append(label)
        names = "; ".join(f"{', '.join(labels_)} ({where})" for where, labels_ in groups.items())
        lines.append(f"--: {names}: {prose(reason).rstrip('.')}.")
    return lines


def _unbeaten(columns: Columns) -> list[str]:
    """A reference that beats every method tells something about the metric."""
    ahead: dict[str, dict[str, list[str]]] = {}  # row → label → stains
    for comparison, column in columns:
        for row in comparison.unbeaten(column.value):
            labels = ahead.setdefault(prose(row.title), {})
            labels.setdefault(heading(column.label), []).append(printed_stain(comparison))
    everywhere = _stains(columns)
    return [f"Better than every method: {row} in {_enumerate(labels, everywhere)}." for row, labels in ahead.items()]


def _seeds(comparisons: Sequence[Comparison]) -> list[str]:
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
    spread = r"; mean $\pm$ standard deviation over seeds" if any(len(seeds) > 1 for seeds in found) else ""
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
    slides = "slides unknown" if run.n_slides is None else f"{run.n_slides} slide{'s' * (run.n_slides != 1)}"
    sizes = ", ".join(run.sizes).replace("x", "×")
    versions = ", ".join(sorted({run.vsbench for row in comparison.rows for run in row.runs}))
    text = f"{stain_name(comparison.stain)}: N = {run.n} {run.split} pairs of {sizes} pixels, {slides};"
    return f"{prose(text)} data {code(run.data_digest[:12])}; {prose(f'vsbench {versions}')}."


def _warnings(comparisons: Sequence[Comparison]) -> list[str]:
    found: dict[str, dict[str, list[str]]] = {}  # warning → rows (none: all) → stains
    everywhere = {printed_stain(comparison) for comparison in comparisons}
    for comparison in comparisons:
        for text, rows in comparison.warnings.items():
            names = ", ".join(prose(row.title) for row in rows) if len(rows) < len(comparison.rows) else ""
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
