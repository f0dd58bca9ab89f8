"""Evaluated runs as data: read, checked, grouped by data set and stain, seeds gathered. No markup here."""

import json
import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from vsbench.benchmark import version_said
from vsbench.errors import RunError, UsageError
from vsbench.files import digest
from vsbench.markers import stain_name
from vsbench.metric import Best, penalty
from vsbench.names import brief, checked_name
from vsbench.records.run import SLIDES, ImportedRecord, TrainedRecord, read_record
from vsbench.records.summary import Summary
from vsbench.stats.paired import can_show
from vsbench.stats.slides import Unit

SUMMARY = "evaluation/*/summary.json"  # below a run folder
COMMON = "size-"  # how the protocols begin that bring all images to one size
PRESET = re.compile(r"(.+?)( \(|, )(\S+ preset)\)")  # a title, as a training with a preset has it


class EvaluatedRun(Summary):
    """A run's ``summary.json``, checked, the run folder it lies in, and what the run was made from."""

    folder: Path
    made: str = ""  # equal for the seeds of one row, and for nothing else: ``records.run``
    method: str | None = None  # by its registered name, where one of ours was trained or imported
    settings: str = ""  # a digest of the method's, where it was
    unattainable: str | None = None  # why no real data can have the pairs that it was trained on, where that is so

    @property
    def is_method(self) -> bool:
        """False for references: what needs no training, or is trained on what no real data has."""
        return self.kind != "reference" and self.unattainable is None

    @property
    def summary(self) -> Path:
        """The file it was read from."""
        return self.folder / "evaluation" / self.protocol / "summary.json"

    @property
    def data(self) -> tuple[str, int]:
        """What was measured on: runs compare only where this is equal."""
        return self.data_digest, self.n


@dataclass(frozen=True)
class Cell:
    """A value of a row: mean over the seeds that have it, sample standard deviation over two and more.

    ``mean`` is None where no seed has the value. ``missing`` holds (seed, why) of the seeds that do not count.
    """

    mean: float | None
    sd: float | None
    protocol: str | None
    missing: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Row:
    """The runs of one method (its seeds) or reference on the same images.

    ``title`` is unique in its comparison, and lacks the preset where all methods have the same.
    """

    key: str
    title: str
    kind: str
    runs: tuple[EvaluatedRun, ...]

    @property
    def is_method(self) -> bool:
        """False for reference rows, which are never ranked."""
        return self.runs[0].is_method

    @property
    def seeds(self) -> int:
        """How many trainings it has; 0 of what was not trained here."""
        return sum(run.seed is not None for run in self.runs)

    def cell(self, value: str) -> Cell:
        """The value over the seeds; where seeds differ in protocol, those of the most common one count."""
        readings = [(_seed(run), run.values.get(value)) for run in self.runs]
        protocol = most_common(r.protocol for _, r in readings if r is not None and r.value is not None)
        numbers, missing = [], []
        for seed, reading in readings:
            if reading is None:
                missing.append((seed, "not measured"))
            elif reading.value is None:
                missing.append((seed, str(reading.reason)))
            elif reading.protocol != protocol:
                missing.append((seed, f"measured by another protocol, {reading.protocol}"))
            else:
                numbers.append(reading.value)
        if not numbers:
            return Cell(None, None, None, tuple(missing))
        finite = all(map(math.isfinite, numbers))
        mean = statistics.fmean(numbers) if finite else sum(numbers)
        sd = statistics.stdev(numbers) if finite and len(numbers) > 1 else None
        return Cell(mean, sd, protocol, tuple(missing))


@dataclass(frozen=True)
class Column:
    """A value as a column: ``protocol`` is the most common among its cells, None where no row has the value."""

    value: str
    label: str
    unit: str
    best: Best
    protocol: str | None

    @property
    def is_score(self) -> bool:
        """False for a count of images: that is a caveat to a score, and nothing to rank."""
        return self.unit != "images"


@dataclass(frozen=True)
class Comparison:
    """The rows of one data set and stain: methods by title, then references by title.

    ``data`` (digest, number of pairs) is what most runs were measured on; rows on other data are shown, never ranked.
    ``methods``: the keys of all methods that are compared, on this data set and on others beside it, in order.
    ``preset``: ``small preset``, where all of several methods were trained with it; or "".
    """

    dataset: str
    stain: str
    rows: tuple[Row, ...]
    columns: dict[str, Column]
    data: tuple[str, int]
    methods: tuple[str, ...]
    preset: str = ""

    @property
    def of_slides(self) -> bool:
        """Whether it is of whole slides: no image of it is read whole."""
        return self.dataset == SLIDES

    @property
    def name(self) -> str:
        """``<dataset>-<stain>``, as the folder of its runs."""
        return f"{self.dataset}-{self.stain}"

    @property
    def title(self) -> str:
        """What the data set is called: as most runs on its images say, else by the data set's own name."""
        runs = (run for row in self.rows if self.same_data(row) for run in row.runs)
        return most_common(run.data_name for run in runs if run.data_name) or self.dataset

    @property
    def where(self) -> str:
        """``phantom, Ki67, small preset``: what is compared, as captions say it."""
        return ", ".join(filter(None, (self.title, stain_name(self.stain), self.preset)))

    @property
    def typical(self) -> EvaluatedRun:
        """A run on the data of this comparison, for what all of them share."""
        return next(row.runs[0] for row in self.rows if self.same_data(row))

    @property
    def benchmark(self) -> str | None:
        """The benchmark version of most runs; None: before there were any."""
        return most_common(run.benchmark or "" for row in self.rows for run in row.runs) or None

    @property
    def units(self) -> tuple[int, Unit]:
        """How many independent units its images are of, as ``stats.slides.group`` counts them where all are known."""
        run = self.typical
        slides = run.n_slides or 0
        return (slides, "slide") if slides > 1 else (run.n, "image")

    @property
    def warnings(self) -> dict[str, list[Row]]:
        """The warnings of all runs, each with the rows it holds for."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            for text in dict.fromkeys(text for run in row.runs for text in run.warnings):
                found.setdefault(text, []).append(row)
        return found

    def same_data(self, row: Row) -> bool:
        """Whether a row was measured on the images most rows were measured on."""
        return row.runs[0].data == self.data

    def difference(self, row: Row, value: str) -> str | None:
        """Why a row's value must not be compared with its column; None where it may."""
        if not self.same_data(row):
            digest, n = row.runs[0].data
            return f"measured on other images (N = {n}, data {digest[:12]})"
        version = row.runs[0].benchmark
        if version != self.benchmark:
            return f"of another benchmark version, {version_said(version)}"
        protocol, usual = row.cell(value).protocol, self.columns[value].protocol
        if protocol is not None and protocol != usual:
            return f"measured by another protocol, {protocol}"
        return None

    def ranks(self, value: str, places: int) -> dict[str, int]:
        """1 (best) and 2 (second) by row key, among methods that may be compared; numbers equal in print share a rank.

        Empty where fewer than two such methods have the value, where all are equal, for counts, and where so few units
        can't show any difference: a mark would say more than is known.
        """
        means = {
            row.key: row.cell(value).mean for row in self.rows if row.is_method and not self.difference(row, value)
        }
        best = self.columns[value].best
        printed = {key: penalty(float(f"{m:.{places}f}"), best) for key, m in means.items() if m is not None}
        if len(set(printed.values())) < 2 or not self.columns[value].is_score:
            return {}
        if not can_show(self.units[0], len(printed) - 1):
            return {}
        podium = sorted(set(printed.values()))[:2]
        return {key: podium.index(number) + 1 for key, number in printed.items() if number in podium}

    def unbeaten(self, value: str) -> list[Row]:
        """Reference rows strictly better than every method in this value; none where no method has it."""
        if not self.columns[value].is_score:
            return []
        best = self.columns[value].best
        comparable = [row for row in self.rows if not self.difference(row, value) and row.cell(value).mean is not None]
        penalties = {row.key: penalty(row.cell(value).mean or 0.0, best) for row in comparable}
        methods = [penalties[row.key] for row in comparable if row.is_method]
        return [row for row in comparable if methods and not row.is_method and penalties[row.key] < min(methods)]


def load_results(
    results: Path, left_out: Callable[[str], None] | None = None, protocol: str | None = None
) -> list[EvaluatedRun]:
    """All evaluated runs under ``results/runs``, in the order of their folders; empty where there are none.

    Of a run that was evaluated in several protocols the evaluation in ``protocol`` counts; where that is not given the
    one at the images' own size, since what was measured at a common size compares with its like alone.

    Raises RunError naming a ``summary.json`` that is damaged or partial, or that speaks of another run than its folder,
    or a table or features beside it that are not what it was derived from. With ``left_out`` that is told, and the
    other runs go on; so are evaluations in other protocols.
    """
    runs, others = [], Counter[str]()
    for _, found in groupby(sorted((results / "runs").glob(f"*/*/*/{SUMMARY}")), key=lambda path: path.parents[2]):
        by_protocol = {path.parent.name: path for path in found}
        own = [name for name in by_protocol if not name.startswith(COMMON)]
        chosen = protocol or ("native" if "native" in own else min(own, default=None))
        others.update(by_protocol.keys() - {chosen})
        if chosen not in by_protocol:
            continue
        try:
            runs.append(_read(by_protocol[chosen]))
        except RunError as error:
            if left_out is None:
                raise
            left_out(f"left out: {error}")
    if left_out is not None:
        for name, count in sorted(others.items()):
            what, them = ("evaluation", "it") if count == 1 else ("evaluations", "them")
            left_out(f"left out: {count} {what} in the protocol {name}; --protocol {name} shows {them}")
    return runs


def renamed(runs: Sequence[EvaluatedRun], names: Sequence[str]) -> list[EvaluatedRun]:
    """The runs with what their data sets are called: ``NAME`` where all are of one data set, or ``GROUP=NAME``.

    A group is a folder of runs, ``<dataset>-<stain>``. Raises UsageError for one that is not there, for a NAME alone
    where there are several data sets, and for what is no name.
    """
    found, there = list(runs), {run.folder.parents[1].name: run.dataset for run in runs}
    for text in names:
        group, name = text.rpartition("=")[::2]
        checked_name(name, "--data-name")
        if not group and len(set(there.values())) > 1:
            raise UsageError(
                f"--data-name {name}: there are several data sets; say GROUP={name}, of {', '.join(there)}"
            )
        if group and group not in there:
            raise UsageError(f"--data-name {brief(text)}: no such group of runs; there are {', '.join(there)}")
        found = [
            run.model_copy(update={"data_name": name}) if group in ("", run.folder.parents[1].name) else run
            for run in found
        ]
    return found


def among(runs: Sequence[EvaluatedRun], folders: Collection[Path]) -> list[EvaluatedRun]:
    """Those runs that lie in these folders, and the references of their data sets and stains."""
    groups = {run.folder.parents[1] for run in runs if run.folder in folders}
    return [
        run for run in runs if run.folder in folders or (run.kind == "reference" and run.folder.parents[1] in groups)
    ]


def unevaluated(results: Path) -> list[Path]:
    """Run folders (with a ``run.json``) that hold no summary."""
    folders = sorted(path.parent for path in (results / "runs").glob("*/*/*/run.json"))
    return [folder for folder in folders if not any(folder.glob(SUMMARY))]


def compare(runs: Iterable[EvaluatedRun]) -> list[Comparison]:
    """Runs grouped by data set and stain, in alphabetical order."""
    groups: dict[tuple[str, str], list[EvaluatedRun]] = {}
    for run in runs:
        groups.setdefault((run.dataset, run.stain), []).append(run)
    presets = {key: _common_preset(groups[key]) for key in sorted(groups)}
    rows = {key: _rows(groups[key], preset) for key, preset in presets.items()}
    methods = tuple(sorted({row.key for own in rows.values() for row in own if row.is_method}))
    return [_comparison(*key, groups[key], rows[key], methods, presets[key]) for key in rows]


def runs_of(comparisons: Iterable[Comparison]) -> list[EvaluatedRun]:
    """The runs of all their rows."""
    return [run for comparison in comparisons for row in comparison.rows for run in row.runs]


def problems(comparison: Comparison) -> list[str]:
    """What in a comparison does not compare, one sentence a row: on other images, values by other protocols."""
    found = []
    for row in comparison.rows:
        reasons = dict.fromkeys(filter(None, (comparison.difference(row, value) for value in comparison.columns)))
        if reasons:  # several are of one kind: a rule of resizing ends the protocol of every value
            more = f" and {len(reasons) - 1} more so" if len(reasons) > 1 else ""
            found.append(f"{comparison.name}: {row.title}: {next(iter(reasons))}{more}; shown, but not ranked")
    return found


def tidy(runs: Iterable[EvaluatedRun]) -> pd.DataFrame:
    """One line per run and value; ``value`` is empty where absent, and ``reason`` says why."""
    lines = [
        {
            "dataset": run.dataset,
            "stain": run.stain,
            "split": run.split,
            "kind": run.kind,
            "row": run.row,
            "title": run.title,
            "seed": run.seed,
            "metric": name,
            "unit": reading.unit,
            "best": reading.best,
            "protocol": reading.protocol,
            "value": reading.value,
            "reason": reading.reason,
            "n": run.n,
            "n_slides": run.n_slides,
            "data_digest": run.data_digest,
            "benchmark": version_said(run.benchmark),
        }
        for run in runs
        for name, reading in run.values.items()
    ]
    return pd.DataFrame(lines).astype({"seed": "Int64", "n_slides": "Int64"})


def most_common(items: Iterable[Any]) -> Any:
    """The most frequent item, the smallest of several; None of none."""
    counts: Mapping[Any, int] = Counter(items)
    return min(counts, key=lambda item: (-counts[item], item), default=None)


def _read(path: Path) -> EvaluatedRun:
    folder = path.parents[2]
    summary = Summary.read(path)
    if (folder.parents[1].name, folder.parent.name) != (f"{summary.dataset}-{summary.stain}", summary.row):
        there = f"{summary.dataset}-{summary.stain}/{summary.row}"
        raise RunError(f"{path}: speaks of {there}, not of its folder; move it back")
    if path.parent.name != summary.protocol:
        raise RunError(f"{path}: speaks of protocol {summary.protocol}, not of its folder; {Summary.mend}")
    summary.require_whole(path.parent)
    values = {name: getattr(summary, name) for name in Summary.model_fields}
    return EvaluatedRun.model_construct(**values, folder=folder, **_recorded(summary, folder))


def _recorded(summary: Summary, folder: Path) -> dict[str, Any]:
    """What the record says a run was made from; by its names alone where no record is beside it.

    A row of its own where the record is damaged, or of another row: nobody knows then whose seed it is. Provenance
    says what is wrong.
    """
    file = folder / "run.json"
    if not file.exists():
        return {"made": digest([summary.kind, summary.row, summary.title])}
    try:
        record = read_record(file)
        if record.is_of(summary.kind, summary.dataset, summary.stain, summary.row):
            found: dict[str, Any] = {"made": record.made}
            if isinstance(record, TrainedRecord | ImportedRecord):
                found |= {"method": record.method, "settings": digest([json.dumps(record.config, sort_keys=True)])}
            if isinstance(record, TrainedRecord):
                found["unattainable"] = record.unattainable
            return found
    except RunError:
        pass
    return {"made": digest([str(folder)])}


def _rows(runs: Sequence[EvaluatedRun], preset: str) -> tuple[Row, ...]:
    """The rows of one data set and stain; ``preset``: what their titles are rid of."""
    data = most_common(run.data for run in runs)
    groups: dict[tuple[Any, ...], list[EvaluatedRun]] = {}
    for run in runs:
        groups.setdefault((not run.is_method, run.title.casefold(), run.row, run.made, run.data), []).append(run)
    titles = Counter(_title(group[0], preset) for group in groups.values())
    rows: list[Row] = []
    for key in sorted(groups):
        first, seeds = groups[key][0], sorted(groups[key], key=lambda run: (run.seed is None, run.seed or 0))
        name = first.row if first.data == data else f"{first.row}@{first.data_digest[:12]}/{first.n}"
        if any(row.key == name for row in rows):  # a folder from elsewhere: one name, made in two ways
            name += f"~{first.kind}-{first.made[:8]}"
        title = _title(first, preset)
        rows.append(Row(name, title if titles[title] == 1 else f"{title} ({name})", first.kind, tuple(seeds)))
    return tuple(rows)


def _common_preset(runs: Iterable[EvaluatedRun]) -> str:
    """The preset that the titles of all methods end in, where there are several; else ""."""
    titles = {run.title for run in runs if run.is_method}
    found = {match[3] if (match := PRESET.fullmatch(title)) else "" for title in titles}
    return found.pop() if len(titles) > 1 and len(found) == 1 else ""


def _title(run: EvaluatedRun, preset: str) -> str:
    """What its row is called; without the preset that all have, which is said once."""
    match = PRESET.fullmatch(run.title) if run.is_method and preset else None
    if match is None:
        return run.title
    return f"{match[1]})" if match[2] == ", " else match[1]  # a variant stands before it


def _comparison(
    dataset: str, stain: str, runs: Sequence[EvaluatedRun], rows: tuple[Row, ...], methods: tuple[str, ...], preset: str
) -> Comparison:
    columns = {}
    for value in dict.fromkeys(name for run in runs for name in run.values):
        reading = next(run.values[value] for run in runs if value in run.values)
        protocol = most_common(protocol for row in rows if (protocol := row.cell(value).protocol) is not None)
        columns[value] = Column(value, reading.label, reading.unit, reading.best, protocol)
    return Comparison(dataset, stain, rows, columns, most_common(run.data for run in runs), methods, preset)


def _seed(run: EvaluatedRun) -> str:
    return run.folder.name if run.seed is None else f"seed {run.seed}"
