"""From runs and image folders to per-image tables and set values, with provenance; nothing is measured twice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vsbench import __version__, ranks
from vsbench.benchmark import BENCHMARK
from vsbench.engine.run import Run, find_runs
from vsbench.errors import DataError, RunError, UsageError, UserError
from vsbench.evaluation import summary as summaries
from vsbench.evaluation.draws import draws_by_seed, evaluate_draws
from vsbench.evaluation.folds import pool_all, pooled_row, references
from vsbench.evaluation.given_nuclei import GivenNuclei
from vsbench.evaluation.group import Group, group_of
from vsbench.evaluation.instrument import Instrument
from vsbench.evaluation.known import KnownFeatures
from vsbench.evaluation.onepass import Beside, OnBad, measure
from vsbench.evaluation.rows import Row, external_row, translated_row
from vsbench.evaluation.sizes import CommonSize
from vsbench.evaluation.training import teach, training_digest
from vsbench.files import digest
from vsbench.records.draws import Draws
from vsbench.records.run import SLIDES, ExternalRecord, PooledRecord
from vsbench.records.summary import Summary

if TYPE_CHECKING:
    import torch

Tell = Callable[[str, int, int], None]  # (what is done, how many are, of how many)


@dataclass(frozen=True)
class Outcome:
    """What happened to one row."""

    run: Run
    summary: Summary
    cached: bool
    damaged: str = ""  # what was found damaged, so that it was measured again
    draws: Draws | None = None  # of a method that samples, where they were asked for


def evaluate_rows(
    group: Group, rows: Sequence[Row], instrument: Instrument, on_bad: OnBad = "stop", tell: Tell | None = None
) -> tuple[list[Outcome], list[str]]:
    """Measure rows in one pass, but for those where nothing has changed.

    Returns the outcomes in the order of the rows, and a line for each row that a bad image has ended. Raises DataError
    where a real image is bad. Of several ranks the first writes.
    """
    instrument = instrument.suited(group.pairs)
    training = training_digest(group, instrument.metrics.values())
    ids = [pair.id for pair in group.pairs]
    given = {} if group.nuclei is None else {str(row.run.folder): group.nuclei.of_row(row.run, ids) for row in rows}
    outcomes: dict[str, Outcome] = {}
    todo: dict[str, tuple[Row, str, str, str]] = {}
    for row in rows:
        images = row.made_of
        if row.files is not None:
            images = group.images_digest(row.files)
        data = [group.data_digest, group.labels_digest, *training]
        if (outlined := given.get(name := str(row.run.folder))) is not None:
            group.digests.add(outlined.values())
            data += [group.digests.of(outlined[p.id]) for p in group.pairs if p.id in outlined]
        fingerprint = digest([row.protocol, __version__, BENCHMARK, *data, images, *instrument.identity])
        there, damaged = summaries.stored(row, fingerprint)
        if there is not None and not (there.skipped and on_bad == "stop"):
            there = summaries.renamed(row, group, there)
            outcomes[name] = Outcome(row.run, there, cached=True)
        else:
            todo[name] = row, fingerprint, images, damaged
    if ranks.rank() == 0:
        group.digests.save()
    failures = []
    if todo:
        ranks.collect(None)  # all have looked before the first one writes
        for row, *_ in todo.values():
            summaries.forget(row)
        teach(group, instrument.metrics.values(), tell and partial(tell, "learnt from"))
        of = "" if group.size is None else f"-{group.size.protocol}"
        known = KnownFeatures(group.folder / f"real{of}.npz", group.digests)
        makers = {name: row.make for name, (row, *_) in todo.items()}
        total = len(makers) * len(group.pairs)
        done = None if tell is None else lambda count: tell("measured", count, total)
        beside = {name: Beside(row.seams, given.get(name, {})) for name, (row, *_) in todo.items()}
        measured = measure(group.pairs, makers, instrument.metrics, on_bad, known, done, group.size, beside)
        known.save()
        for name, (row, fingerprint, images, damaged) in todo.items():
            result = measured[name]
            if isinstance(result, DataError):
                failures.append(str(result))
                continue
            summary = summaries.write(row, group, instrument, result, fingerprint, images)
            outcomes[name] = Outcome(row.run, summary, cached=False, damaged=damaged)
    return [outcomes[str(row.run.folder)] for row in rows if str(row.run.folder) in outcomes], failures


def evaluate_images(
    folder: Path,
    name: str,
    group: Group,
    instrument: Instrument,
    on_bad: OnBad = "stop",
    suffix: str | None = None,
    resize: str | None = None,
    tell: Tell | None = None,
) -> tuple[list[Outcome], list[str]]:
    """Images made elsewhere, after the reference rows."""
    row = external_row(folder, name, group, suffix, resize)
    return evaluate_rows(group, [*references(group), row], instrument, on_bad, tell)


def evaluate_references(
    group: Group, instrument: Instrument, on_bad: OnBad = "stop", tell: Tell | None = None
) -> tuple[list[Outcome], list[str]]:
    """The reference rows alone."""
    return evaluate_rows(group, references(group), instrument, on_bad, tell)


def unevaluated(results: Path) -> list[Run]:
    """Trained and external runs under ``results``, finished or not, in the order of their paths."""
    return [run for run in find_runs(results) if _is_for_all(run)]


def _is_for_all(run: Run) -> bool:
    try:
        record = run.record
    except RunError:  # told where it is measured, and the others are
        return True
    return record.kind != "reference" and record.dataset != SLIDES  # slides are judged by their list alone


def every_run(results: Path, out: Path | None = None) -> tuple[list[Run], list[str]]:
    """The same once folds below ``results`` are pooled, and a line for each row of which folds are missing.

    ``out``: where the pooled lie, where ``results`` are only read.
    """
    pooled, failures = pool_all(results, out)
    found = {run.folder.relative_to(results): run for run in unevaluated(results)}
    found |= {run.folder.relative_to(out or results): run for run in pooled}
    return [found[place] for place in sorted(found)], failures


def evaluate_runs(
    runs: Sequence[Run],
    data_root: Path | None,
    results: Path,
    instrument: Instrument,
    device: "torch.device",
    on_bad: OnBad = "stop",
    tell: Tell | None = None,
    elsewhere: bool = False,
    draws: int = 1,
    size: CommonSize | None = None,
    nuclei: GivenNuclei | None = None,
) -> tuple[list[Outcome], list[str]]:
    """Evaluate runs, each data set's reference rows first; what fails for one run leaves the others alone.

    ``results``: where the reference rows go; with ``elsewhere`` all that is made of the runs too, which are only read.
    ``draws``: with so many translation seeds in all, where a method draws. ``size``: at which all are measured, where
    that is not the size the images are stored at. ``nuclei``: outlined elsewhere, of the images of one data set and
    stain. Returns the outcomes and one line for each failure. Raises UsageError for draws at such a size: what they
    spread around is measured at the images' own; and for draws, or runs of several data sets, with ``nuclei``.
    """
    if size is not None and draws > 1:
        raise UsageError("--draws are measured at the images' own size: leave out --size")
    if nuclei is not None and draws > 1:
        raise UsageError("--nuclei are those of one image each: leave out --draws")
    outcomes: list[Outcome] = []
    failures: list[str] = []
    groups: dict[str, list[Run]] = {}
    for run in runs:
        try:
            record = run.record
        except UserError as error:
            failures.append(str(error))
            continue
        key = str((record.dataset, record.dataset_options or {}, record.stain, record.data_root, record.data_name))
        groups.setdefault(key, []).append(run)
    if nuclei is not None and len(groups) > 1:
        raise UsageError("--nuclei are those of one data set and stain: name runs of one, not of several")
    for members in groups.values():
        try:
            group = group_of(members[0], data_root, results, size, nuclei)
            rows = references(group)
            for run in members:
                try:
                    rows.append(_row(run, group, device, tell, elsewhere))
                except UserError as error:
                    failures.append(str(error))
            found, failed = evaluate_rows(group, rows, instrument, on_bad, tell)
        except UserError as error:
            failures.append(str(error))
            continue
        failures += failed
        sources = {(run.record.row, run.folder.name): run for run in members} if draws > 1 else {}
        for outcome in found:
            source = sources.get((outcome.summary.row, outcome.run.folder.name))
            if source is not None and draws_by_seed(source.record):
                try:
                    outcome = _drawn(outcome, source, group, instrument, device, draws, on_bad, tell)
                except UserError as error:
                    failures.append(str(error))
            outcomes.append(outcome)
    return outcomes, failures


def _drawn(
    outcome: Outcome,
    source: Run,
    group: Group,
    instrument: Instrument,
    device: "torch.device",
    draws: int,
    on_bad: OnBad,
    tell: Tell | None,
) -> Outcome:
    def done(count: int, total: int) -> None:
        if tell is not None:
            tell(f"{outcome.summary.title}: drawn again", count, total)

    made = evaluate_draws(source, outcome.run, outcome.summary, group, instrument, device, draws, on_bad, done)
    return replace(outcome, draws=made)


def _row(run: Run, group: Group, device: "torch.device", tell: Tell | None, elsewhere: bool) -> Row:
    record = run.record
    if isinstance(record, ExternalRecord):
        if record.images is None:
            raise RunError(f"{run.folder}: where its images lay is not recorded; give --images and --name")
        return external_row(Path(record.images), record.row, group, record.suffix, record.resize)
    count = 0

    def done(path: Path) -> None:
        nonlocal count
        count += 1
        if tell is not None:
            tell(f"{record.row}: translated", count, len(group.pairs))

    make = pooled_row if isinstance(record, PooledRecord) else translated_row
    return make(run, group, device, done, elsewhere)
