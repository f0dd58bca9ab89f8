"""Results as data to send: a JSON file for each row, and all that is wrong with one."""

import math
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from vsbench import registry
from vsbench.benchmark import BENCHMARK, VERSIONS
from vsbench.engine.run import Run
from vsbench.errors import PluginError, RunError, UsageError, UserError
from vsbench.evaluation.evaluated import table_of
from vsbench.evaluation.intervals import intervals
from vsbench.evaluation.summary import BOOTSTRAP_SEED
from vsbench.files import atomic, file_digest, write_json
from vsbench.names import brief, checked_name
from vsbench.numbers import digits
from vsbench.records.artefact import all_faults, content_of
from vsbench.records.images import Stamp
from vsbench.records.run import RunRecord
from vsbench.records.submission import State, Submission, SubmittedRun
from vsbench.records.summary import Reading
from vsbench.report.printed import declared
from vsbench.report.published import RANGES
from vsbench.report.tables import EvaluatedRun, Row, compare, load_results
from vsbench.stats.slides import group
from vsbench.stats.table import table_statistics

CLOSE = 1e-6  # relative, of a value that was computed again: tables hold all digits
CHANGED = re.compile(r"(@random:\d+)?(\+(size|resize)-[\w-]+)?")  # what may follow a protocol


def make(
    results: Iterable[Path],
    out: Path,
    state: State = "submitted",
    by: str | None = None,
    doi: str | None = None,
    tables: bool = False,
    references: bool = False,
    protocol: str | None = None,
) -> Iterator[Path]:
    """Write ``<dataset>-<stain>-<row>.json`` for each method of the evaluated runs, and yield it.

    ``tables``: beside it the per-image table of each seed, of which ``check`` computes the values again.
    ``references``: rows of references too. ``protocol``: as ``report`` takes it. Raises UserError where there is no
    evaluated run, or one is of an older benchmark version, and UsageError for a handle or DOI that can't be.
    """
    found = False
    for folder in results:
        for comparison in compare(load_results(folder, protocol=protocol)):
            for row in comparison.rows:
                if row.is_method or references:
                    found = True
                    yield from _write(_submission(row, state, by, doi), row, out, tables)
    if not found:
        raise UserError(f"{', '.join(map(str, results))}: no evaluated method; run vsbench evaluate --all first")


def check(file: Path, tables: Sequence[Path] = ()) -> tuple[Submission | None, list[str]]:
    """(The submission, if its form is right; all that is wrong with it, a line each).

    ``tables``: per-image tables, known by their digests; those beside the file are taken too. From them all set values
    are computed again that follow from a table.
    """
    try:
        content = content_of(file, Submission.mend, Submission.largest)
        submission = Submission.model_validate(content)
    except RunError as error:
        return None, [str(error)]
    except ValidationError as error:
        return None, [f"{file}: {fault}" for fault in all_faults(error)]
    faults = [*_unknown(submission), *_out_of_range(submission)]
    attached = dict.fromkeys([*tables, *tables_beside(file)])
    by_digest = {run.table: run for run in submission.runs}
    for path in attached:
        try:
            run = by_digest.get(file_digest(path))
            faults += [f"{path.name}: the per-image table of none of the runs (by its SHA-256)"] if run is None else (
                _recomputed(submission, run, table_of(path), path.name)
            )  # fmt: skip
        except OSError as error:
            faults.append(f"{path}: cannot be read ({error.strerror})")
        except UserError as error:
            faults.append(str(error))
    return submission, [f"{file}: {fault}" for fault in faults]


def read_submissions(places: Iterable[Path]) -> list[Submission]:
    """Those of files and folders, in the order of their names. Raises UserError naming the first fault of any."""
    found = []
    for file in files_of(places):
        submission, faults = check(file)
        if submission is None or faults:
            raise UserError(f"{faults[0]}; vsbench submit check {file} says all")
        found.append(submission)
    return found


def tables_beside(file: Path) -> list[Path]:
    """The per-image tables that ``make`` has left with a submission."""
    return sorted(file.parent.glob(f"{escape(file.stem)}.*.csv"))


def files_of(places: Iterable[Path]) -> list[Path]:
    """The files of submissions that are named, or lie in the folders that are."""
    return [file for place in places for file in (sorted(place.glob("*.json")) if place.is_dir() else [place])]


def _submission(row: Row, state: State, by: str | None, doi: str | None) -> Submission:
    first = row.runs[0]
    if first.benchmark != BENCHMARK:
        raise UserError(f"{first.folder}: measured before {BENCHMARK}; evaluate it again (vsbench evaluate --all)")
    record = _record(first)
    content = {
        "schema": 1, "benchmark": BENCHMARK, "state": state, "by": by, "doi": doi, "kind": first.kind, "row": first.row,
        "title": _plain(first.title), "method": getattr(record, "method", None),
        "variant": getattr(record, "variant", None) or None, "preset": getattr(record, "preset", None),
        "settings": _settings(getattr(record, "config", None)),
        "dataset": first.dataset, "stain": first.stain, "options": _settings(getattr(record, "dataset_options", None)),
        "split": first.split, "protocol": first.protocol, "sizes": first.sizes, "n_slides": first.n_slides,
        "data": first.data_digest, "split_digest": first.split_digest,
        "versions": {"vsbench": first.vsbench, **_words(getattr(record, "versions", None))},
        "hardware": _plain(getattr(record, "device", None)),
        "runs": [_run(run) for run in row.runs],
    }  # fmt: skip
    try:
        return Submission.model_validate(content)
    except ValidationError as error:
        faults = all_faults(error)
        if faults[0].startswith(("by:", "doi:")):
            raise UsageError(f"--{faults[0]}") from None
        raise RunError(f"{first.folder}: no row to submit: {faults[0]}; {Submission.mend}") from None


def _run(run: EvaluatedRun) -> dict[str, Any]:
    try:
        weights = Stamp.read(Run(run.folder).stamp(run.split)).weights
    except RunError:
        weights = None
    return {
        "seed": run.seed, "n": run.n, "table": run.digests.get("per_image.csv"), "images": run.images_digest,
        "weights": weights,
        "values": {name: _value(reading) for name, reading in run.values.items()
                   if reading.value is not None and math.isfinite(reading.value)},
    }  # fmt: skip


def _value(reading: Reading) -> dict[str, Any]:
    limits = reading.interval or {}
    known = all(isinstance(limits.get(end), int | float) for end in ("low", "high"))
    interval = {key: limits.get(key) for key in ("low", "high", "unit", "units")} if known else None
    return {"protocol": reading.protocol, "value": reading.value, "interval": interval}


def _write(submission: Submission, row: Row, out: Path, tables: bool) -> Iterator[Path]:
    name = checked_name(f"{submission.dataset}-{submission.stain}-{re.sub(r'[^A-Za-z0-9_.+-]+', '-', row.key)}", "row")
    file = out / f"{name}.json"
    write_json(file, submission.model_dump(mode="json", by_alias=True))
    yield file
    if tables:
        for run in row.runs:
            with atomic(out / f"{name}.{run.folder.name}.csv") as temporary:
                shutil.copyfile(run.summary.with_name("per_image.csv"), temporary)


def _record(run: EvaluatedRun) -> RunRecord | None:
    try:
        return Run(run.folder).record
    except RunError:
        return None


def _plain(text: str | None) -> str | None:
    """A title without what no title may hold."""
    return text and re.sub(r"[^A-Za-z0-9 .,()+_-]+", " ", text).strip()[:100]


def _words(found: Mapping[str, str] | None) -> dict[str, str]:
    return {name: re.sub(r"[^A-Za-z0-9_.+!-]+", "-", text) for name, text in (found or {}).items()}


def _settings(found: Mapping[str, Any] | None) -> dict[str, Any]:
    """Settings that are numbers or words; paths and other texts are left out."""
    word = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.+!-]{0,99})?")

    def fits(value: Any) -> bool:
        return bool(word.fullmatch(value)) if isinstance(value, str) else not isinstance(value, dict | list)

    return {
        name: value
        for name, value in (found or {}).items()
        if fits(value) or (isinstance(value, list) and all(map(fits, value)))
    }


def _unknown(submission: Submission) -> Iterator[str]:
    """What vsbench, as it is installed here, does not know."""
    if submission.benchmark not in VERSIONS:
        yield f"benchmark: {submission.benchmark} is none of {', '.join(VERSIONS)}"
    if submission.method is not None and submission.method not in registry.names("vsbench.methods"):
        yield f"method: {submission.method} is not known here; is its plug-in installed?"
    try:
        dataset = registry.load("vsbench.datasets", submission.dataset)
    except (UsageError, PluginError):
        yield f"dataset: {submission.dataset} is not known here; is its plug-in installed?"
    else:
        if dataset.stains and submission.stain not in dataset.stains:
            yield f"stain: {submission.stain} is none of {', '.join(dataset.stains)}"
        count = dataset.card.counts.get((submission.stain, submission.split))
        if count is not None and not submission.options and submission.runs[0].n != count:
            yield f"runs: {submission.runs[0].n} images, where {submission.dataset} has {count} of that stain and split"
    known = declared()
    for name, value in {name: value for run in submission.runs for name, value in run.values.items()}.items():
        if name not in known:
            yield f"{name}: no value of this name is known here; is its plug-in installed?"
        elif not CHANGED.fullmatch(value.protocol.removeprefix(known[name].protocol)):
            yield f"{name}: measured by {value.protocol}, where {submission.benchmark} has {known[name].protocol}"
        elif "@random" in value.protocol:
            yield f"{name}: measured with random weights, which compares with nothing"


def _out_of_range(submission: Submission) -> Iterator[str]:
    known = declared()
    for run in submission.runs:
        which = "" if run.seed is None else f" (seed {run.seed})"
        for name, value in run.values.items():
            low, high = RANGES.get(name, (None, None))
            if (low is not None and value.value < low) or (high is not None and value.value > high):
                yield f"{name}{which}: {digits(value.value, 6)} can't be"
            if name in known and known[name].unit == "images" and value.value != int(value.value):
                yield f"{name}{which}: {digits(value.value, 6)} is no number of images"
            if value.interval is not None and value.interval.units > run.n:
                yield f"{name}{which}: an interval over {value.interval.units} units, of {run.n} images"


def _recomputed(submission: Submission, run: SubmittedRun, table: pd.DataFrame, file: str) -> Iterator[str]:
    """What a table says otherwise than the run that names it."""
    if len(table) != run.n:
        yield f"{file}: {len(table)} images, where n is {run.n}"
        return
    slides = None if table["slide"].isna().any() else table["slide"].nunique()
    if slides != submission.n_slides:
        yield f"{file}: {slides or 'unknown'} slides, where n_slides is {submission.n_slides or 'unknown'}"
    values = [value for name, value in declared().items() if name in run.values]
    drawn = group(table["slide"], warn=lambda text: None)
    try:
        found = table_statistics(table, values, drawn)
    except KeyError as error:
        yield f"{file}: no column {brief(error.args[0])}, without which others mean nothing"
        return
    estimates = {name: float(statistic(np.ones((1, drawn.count)))[0]) for name, statistic in found.items()}
    limits = intervals(values, table, {}, estimates, seed=BOOTSTRAP_SEED)
    for name, estimate in estimates.items():
        given = run.values[name]
        if not math.isclose(estimate, given.value, rel_tol=CLOSE, abs_tol=1e-9):
            yield f"{name}: {digits(given.value, 8)}, but {digits(estimate, 8)} by {file}"
        interval = limits[name]
        if given.interval is None or interval.get("low") is None:
            continue
        for end in ("low", "high"):
            stated, again = getattr(given.interval, end), interval[end]
            if not math.isclose(stated, again, rel_tol=1e-3, abs_tol=1e-6):
                yield f"{name}: its interval's {end} end is {digits(stated, 6)}, but {digits(again, 6)} by {file}"


def said_of(submission: Submission) -> str:
    """A sound submission in a line."""
    n, seeds = submission.runs[0].n, len(submission.runs)
    return (
        f"{brief(submission.title)[1:-1]}: {submission.dataset}, {submission.stain}, N = {n}, {seeds} run"
        f"{'s' * (seeds != 1)}, {len(submission.runs[0].values)} values, {submission.benchmark}"
    )
