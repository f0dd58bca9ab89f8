"""The table of an ablation study: what its runs give, beside what the literature printed. Text and CSV, no LaTeX."""

import csv
import io
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsbench.benchmark import version_said
from vsbench.cells import neutral_row
from vsbench.evaluation.ablate import Study, StudyRow, state
from vsbench.files import write_text
from vsbench.report.notation import BETTER, decimals
from vsbench.report.printed import declared
from vsbench.report.provenance.places import Places
from vsbench.report.studies import record_of
from vsbench.report.tables import Column, Comparison, EvaluatedRun, Row, compare, load_results, problems

MAIN = ("iod_mae", "iod_rel", "r_p", "r_c", "r_avg", "fid", "phv_avg", "truth_mae", "cell_auc")
HEAD = (
    "row", "seed", "metric", "value", "unit", "protocol", "n", "data_digest", "benchmark", "published", "reason", "run",
)  # fmt: skip


@dataclass(frozen=True)
class SuiteTable:
    """The rows of a study with the runs they have; ``missing`` says for (row, seed) why there is none."""

    study: Study
    rows: tuple[StudyRow, ...]
    seeds: tuple[int, ...]
    comparison: Comparison | None  # None where no row has been evaluated
    missing: dict[tuple[str, int], str]

    @property
    def printed(self) -> list[str]:
        """The values that the literature has for this data set and stain."""
        return list(dict.fromkeys(value for row in self.rows for value in self.published(row)))

    @property
    def values(self) -> list[str]:
        """The values to show: the main ones that a run has, and all that are printed."""
        printed = self.printed
        measured = self.comparison.columns if self.comparison else {}
        return list(dict.fromkeys([*(v for v in MAIN if v in measured or v in printed), *printed]))

    def published(self, row: StudyRow) -> dict[str, float]:
        """What is printed for a row, on this data set and stain."""
        return row.declared.numbers.get(f"{self.study.dataset}-{self.study.stain}", {})

    def measured(self, row: StudyRow) -> Row | None:
        """The runs of a row, of those on the images most rows were measured on where there are any."""
        found = [r for r in self.comparison.rows if r.runs[0].row == row.folder] if self.comparison else []
        same = [r for r in found if self.comparison and self.comparison.same_data(r)]
        return next(iter([*same, *found]), None)

    def column(self, value: str) -> Column | None:
        """The value as a column: as it was measured, else as its metric declares it; None where none is installed."""
        if self.comparison and value in self.comparison.columns:
            return self.comparison.columns[value]
        if (known := declared().get(value)) is None:
            return None
        return Column(value, known.label, known.unit, known.best, None)

    @property
    def varied(self) -> dict[str, list[Any]]:
        """The settings in which rows differ from each other, in the suite's order, each with its value in every row."""
        configs = [row.config.model_dump(exclude={"variant"}) for row in self.rows]
        keys = dict.fromkeys([*(key for key in self.study.declared.varies if key in configs[0]), *configs[0]])
        values = {key: [config[key] for config in configs] for key in keys}
        return {key: of_rows for key, of_rows in values.items() if any(value != of_rows[0] for value in of_rows)}

    @property
    def axis(self) -> tuple[str, list[float]] | None:
        """The one setting that varies, and its values by row, where they are positive numbers; None otherwise."""
        if len(self.varied) != 1:
            return None
        (setting, numbers), *_ = self.varied.items()
        positive = all(isinstance(n, int | float) and not isinstance(n, bool) and n > 0 for n in numbers)
        return (setting, numbers) if positive and len(set(numbers)) == len(numbers) else None

    @property
    def switches(self) -> dict[str, list[bool]] | None:
        """The settings that are on or off (0), by row, where the rows are all their combinations; None otherwise."""
        on = {setting: [bool(value) for value in values] for setting, values in self.varied.items()}
        two_each = all(len(set(map(repr, values))) == len(set(on[s])) == 2 for s, values in self.varied.items())
        combinations = len(set(zip(*on.values(), strict=True)))
        is_all = len(on) > 1 and combinations == len(self.rows) == 2 ** len(on)
        return on if two_each and is_all else None


def suite_table(
    study: Study, rows: Sequence[StudyRow], seeds: Sequence[int], failed: Collection[Path] = ()
) -> SuiteTable:
    """Gather what the results hold of a study. Run folders in ``failed`` do not count: their tables may be old."""
    loaded = load_results(study.results, lambda _: None)
    places = Places.of(loaded) if loaded else Places(study.results)
    evaluated = {run.folder: run for run in places.cleared(loaded)}
    found: dict[Path, EvaluatedRun] = {}
    missing = {}
    for row in rows:
        for seed in seeds:
            folder, there = row.run(seed).folder, state(row, seed)
            if not there.is_done:
                missing[row.name, seed] = places.sentence(there.words)
            elif folder not in evaluated or folder in failed:
                left = f"trained, but without a valid summary; run vsbench evaluate {folder}"
                missing[row.name, seed] = places.sentence(left)
            else:
                found[folder] = evaluated[folder]
    comparisons = compare(found.values())
    return SuiteTable(study, tuple(rows), tuple(seeds), comparisons[0] if comparisons else None, missing)


def printed_name(row: StudyRow) -> str:
    """What the literature calls a row: "w/o PC-SCM" of "Table IV, w/o PC-SCM"; its own name where it has none."""
    found = re.fullmatch(r"Table \w+, (.+)", row.declared.published)
    return found[1] if found else row.name


def setting_name(setting: str) -> str:
    """A setting as the field writes it, as a label of ``notation``: τ, $L_{odc}$, Batch size."""
    words = setting.split("_")
    if words[0] == "lambda" and len(words) == 2 and words[1].isalnum() and words[1].isascii():
        return rf"$L_\mathrm{{{words[1]}}}$"
    try:
        return unicodedata.lookup(f"GREEK SMALL LETTER {setting.upper()}")
    except KeyError:
        return " ".join(words).capitalize()


def settings(row: StudyRow) -> str:
    """In what a row differs from the method with the user's settings."""
    if row.same_as is not None:
        return f"same configuration as {row.same_as}"
    variant = {"variant": row.config.variant} if "variant" in row.declared.overrides else {}
    return ", ".join(f"{key}={value}" for key, value in (variant | row.differs).items()) or "the method as it is"


def lines(table: SuiteTable) -> tuple[list[str], list[list[str]]]:
    """Heading and rows as text: mean ± standard deviation over seeds; in parentheses the printed number."""
    body = []
    for row in table.rows:
        measured, published = table.measured(row), table.published(row)
        seeds, n = (len(measured.runs), str(measured.runs[0].n)) if measured else (0, "")
        count = (
            "missing" if seeds == 0 else str(seeds) if seeds == len(table.seeds) else f"{seeds} of {len(table.seeds)}"
        )
        cells = [
            " ".join([*_cell(table, measured, value), *([f"({published[value]})"] if value in published else [])])
            for value in table.values
        ]
        body.append([row.name, count, n, *cells])
    return ["row", "seeds", "N", *table.values], body


def markdown(table: SuiteTable) -> str:
    """The table with all that one must know to read it."""
    study, suite = table.study, table.study.declared
    options = ", ".join(f"{key}={value}" for key, value in study.options.items()) or "none"
    rows = [[row.name, settings(row), row.declared.published, row.folder] for row in table.rows]
    return "\n".join([
        f"# {study.method}, {study.suite}: {suite.title}",
        "",
        f"Data: {study.dataset}, {study.stain}. Preset: {study.preset}. Settings of all rows: {options}. "
        f"Seeds: {', '.join(map(str, table.seeds))}.",
        "",
        "Mean ± sample standard deviation over seeds. In parentheses: as printed in the literature, by its protocol.",
        "",
        *_grid(*lines(table)),
        "",
        *_grid(["row", "settings", "published as", "runs"], rows),
        "",
        *(f"- {note}" for note in notes(table)),
        "",
    ])  # fmt: skip


def _grid(heading: list[str], body: list[list[str]]) -> Iterator[str]:
    for cells in (heading, ["---"] * len(heading), *body):
        yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def notes(table: SuiteTable) -> Iterator[str]:
    """What must be known beside the numbers: protocols, missing rows, what does not compare, warnings."""
    for (name, seed), reason in table.missing.items():
        yield f"row {name}, seed {seed} is missing: {reason}"
    yield from table.study.declared.notes
    if table.comparison is None:
        return
    digest, n = table.comparison.data
    yield f"measured on {n} test images, data {digest[:12]}, {version_said(table.comparison.benchmark)}"
    for value in table.values:
        column = table.comparison.columns.get(value)
        if column is not None and column.protocol is not None:
            unit = "" if column.unit == "1" else f" in {column.unit}"
            yield f"{value}: {column.protocol}{unit}, {BETTER[column.best]}"
    cells = ((value, row.cell(value)) for row in table.comparison.rows for value in table.values)
    yield from dict.fromkeys(f"{value}: n/a, {reason}" for value, cell in cells for _, reason in cell.missing)
    yield from problems(table.comparison)
    yield from table.comparison.warnings


def tidy(table: SuiteTable) -> str:
    """CSV: one line per row, seed and value; ``value`` is empty where absent, and ``reason`` says why."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, HEAD, lineterminator="\n", restval="")
    writer.writeheader()
    for row in table.rows:
        runs = {run.seed: run for run in _runs(table, row)}
        names = list(dict.fromkeys([*(table.comparison.columns if table.comparison else ()), *table.values]))
        for seed in table.seeds:
            for name in names:
                line: dict[str, Any] = {"row": row.name, "seed": seed, "metric": name, "run": row.folder}
                line["published"] = table.published(row).get(name, "")
                if seed in runs:
                    line |= _reading(runs[seed], name)
                else:
                    line["reason"] = table.missing[row.name, seed]
                writer.writerow(neutral_row(line))
    return text.getvalue()


def write_suite(table: SuiteTable, folder: Path) -> list[Path]:
    """Write the table as ``.csv`` and ``.md``, and the study as ``.json``, into ``folder``; what was written."""
    parts = {"csv": tidy(table), "md": markdown(table)}
    paths = {suffix: folder / f"{table.study.name}.{suffix}" for suffix in parts}
    for suffix, text in parts.items():
        write_text(paths[suffix], text)
    record = folder / f"{table.study.name}.json"
    record_of(table.study, table.rows, table.seeds).write(record)
    return [*paths.values(), record]


def _runs(table: SuiteTable, row: StudyRow) -> list[EvaluatedRun]:
    """All runs of a row, on whatever images."""
    rows = table.comparison.rows if table.comparison else ()
    return [run for r in rows for run in r.runs if run.row == row.folder]


def _reading(run: EvaluatedRun, name: str) -> dict[str, Any]:
    measured_on = {"n": run.n, "data_digest": run.data_digest, "benchmark": version_said(run.benchmark)}
    reading = run.values.get(name)
    if reading is None:
        return measured_on | {"reason": "not measured"}
    value = "" if reading.value is None else reading.value
    return measured_on | {
        "value": value, "unit": reading.unit, "protocol": reading.protocol, "reason": reading.reason or "",
    }  # fmt: skip


def _cell(table: SuiteTable, row: Row | None, value: str) -> list[str]:
    """What is measured, as text; nothing where the row is missing."""
    if table.comparison is None or row is None:
        return []
    cell = row.cell(value)
    if cell.mean is None:
        return ["n/a"]
    means = [mean for r in table.comparison.rows if (mean := r.cell(value).mean) is not None]
    places = decimals(value, table.comparison.columns[value].unit, means)
    return [f"{cell.mean:.{places}f}" + ("" if cell.sd is None else f" ± {cell.sd:.{places}f}")]
