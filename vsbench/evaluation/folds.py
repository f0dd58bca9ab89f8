"""Folds pooled: each test image as its own fold made it, all of them measured together.

No slide is in two folds, so that every image is made by what has not seen its slide, and stands in the table once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vsbench import ranks
from vsbench.data.pairs import Pair
from vsbench.engine.run import Run, find_runs, require_one_row
from vsbench.errors import RunError, UserError
from vsbench.evaluation.group import FOLDS, Group, fold_results
from vsbench.evaluation.onepass import Maker
from vsbench.evaluation.outside import reader
from vsbench.evaluation.rows import Row, reference_rows, taken_over, translated_row, write_record
from vsbench.files import digest
from vsbench.metric import Image
from vsbench.records.run import FoldRun, PooledRecord, ReferenceRecord, TrainedRecord

if TYPE_CHECKING:
    import torch


Trained = tuple[Run, TrainedRecord]


@dataclass(frozen=True)
class Pooled(Run):
    """A run of pooled folds. ``trainings``: the results folder that these lie under."""

    trainings: Path


def pool(runs: Sequence[Trained], results: Path, out: Path | None = None) -> Pooled:
    """The run under ``results`` that stands for the finished trainings of one seed on all folds of a data set.

    ``runs``: in the order of their folds, each below its fold's own results (``fold_results``). The folder holds what
    it is made of; images are translated and measured when it is evaluated. ``out``: where it lies, where ``results``
    are only read. RunError where either holds another run in its place.
    """
    folds = [
        FoldRun(fold=fold, folder=run.folder.relative_to(results).as_posix(), made=record.made)
        for fold, (run, record) in enumerate(runs)
    ]
    folder, first = runs[0][0].folder, runs[0][1]
    record = PooledRecord(
        schema=2, row=first.row, title=first.title, dataset=first.dataset, stain=first.stain, data_root=first.data_root,
        dataset_options=(first.dataset_options or {}) | {"fold": "all"}, data_name=first.data_name,
        method=first.method, preset=first.preset, variant=first.variant, config=first.config,
        parameters=first.parameters, seed=first.seed, folds=folds,
    )  # fmt: skip
    for place in [Run(home / folder.relative_to(folder.parents[3])) for home in (results, out or results)]:
        if place.record_file.exists() and ((there := place.record).kind, there.made) != (record.kind, record.made):
            raise RunError(f"{place.folder}: holds another run ({there.kind}); move it away")
        require_one_row(place, record)
    write_record(place, record)
    return Pooled(place.folder, results)


def pool_all(results: Path, out: Path | None = None) -> tuple[list[Pooled], list[str]]:
    """What ``pool`` makes of all folds below ``results``; a line for each row whose folds are not all finished, and
    for each run whose record is not in order."""
    found: dict[tuple[str, ...], dict[int, Trained]] = {}
    pooled, failures = [], []
    for folder in sorted((results / FOLDS).glob("fold-*-of-*")):
        for run in find_runs(folder):
            try:
                trained = run.record
            except RunError as error:
                failures.append(str(error))
                continue
            options = trained.dataset_options or {}
            if not isinstance(trained, TrainedRecord) or not trained.finished:
                continue
            if fold_results(results, {"fold": 0} | options) == folder:
                key = (folder.name.partition("-of-")[2], *run.folder.parts[-3:], trained.method, str(trained.config))
                found.setdefault(key, {})[options.get("fold", 0)] = run, trained
    for runs in found.values():
        if text := _lacking(runs, results):
            failures.append(text)
            continue
        try:
            pooled.append(pool([runs[fold] for fold in sorted(runs)], results, out))
        except UserError as error:
            failures.append(str(error))
    ranks.collect(None)  # the records are there before any rank reads them
    return pooled, failures


def _lacking(runs: dict[int, Trained], results: Path) -> str | None:
    """Which folds of a row are finished, and what to do about the others; None where it has all of them."""
    first, trained = runs[min(runs)]
    options = trained.dataset_options or {}
    number = options.get("folds", 5)
    if not (missing := [fold for fold in range(number) if fold not in runs]):
        return None
    there = ", ".join(map(str, sorted(runs)))
    return (
        f"{first.folder}: of {number} folds, finished here: {there}; train the others too, "
        f"--data fold={missing[0]} --results {fold_results(results, options | {'fold': missing[0]})}, "
        f"or measure one alone, vsbench evaluate --all --results {first.folder.parents[3]}"
    )


def pooled_row(
    run: Run, group: Group, device: "torch.device", done: Callable[[Path], None], elsewhere: bool = False
) -> Row:
    """The row of a pooled run: the images of each fold, translated where they are missing by the fold's training.

    ``elsewhere`` as for ``translated_row``. Raises RunError where a training is missing, or another by now.
    """
    record, results = run.record, run.trainings if isinstance(run, Pooled) else run.folder.parents[3]
    assert isinstance(record, PooledRecord)
    if [part.fold for part in record.folds] != list(range(len(group.folds))):
        raise RunError(f"{run.folder}: of {len(record.folds)} folds, where the data set has {len(group.folds)}")
    rows = []
    for part, fold in zip(record.folds, group.folds, strict=True):
        own, place = Run(results / part.folder), Path(part.folder)
        if place.is_absolute() or ".." in place.parts or own.trained.made != part.made:
            raise RunError(f"{own.folder}: not the training that {run.record_file} names; sweep again")
        rows.append(translated_row(own, fold, device, done, elsewhere))
    if elsewhere:
        run = taken_over(run, record, group)
    files = {name: file for row in rows for name, file in (row.files or {}).items()}
    warnings = tuple(dict.fromkeys(text for row in rows for text in row.warnings))
    return Row(run, record, reader(files), files, protocol=group.protocol, warnings=warnings)


def references(group: Group) -> list[Row]:
    """The rows that need no training; of pooled folds those of each, fitted to its own training split."""
    if not group.folds:
        return reference_rows(group)
    by_fold = [{row.record.row: row for row in reference_rows(fold)} for fold in group.folds]
    names = [name for name in by_fold[0] if all(name in rows for rows in by_fold)]
    said = (text for fold in group.folds for text in fold.warnings if text.startswith("no row"))
    group.warnings += [text for text in dict.fromkeys(said) if text not in group.warnings]
    return [_reference(group, [rows[name] for rows in by_fold]) for name in names]


def _reference(group: Group, rows: Sequence[Row]) -> Row:
    first = rows[0].record
    made_of = digest([row.made_of for row in rows])
    run = Run(group.folder / first.row / "reference")
    record = ReferenceRecord(
        schema=2, row=first.row, title=first.title, made_of=made_of, dataset=group.dataset,
        dataset_options=group.options, stain=group.stain, data_name=group.name,
    )  # fmt: skip
    write_record(run, record)
    makers = {pair.id: row.make for fold, row in zip(group.folds, rows, strict=True) for pair in fold.pairs}
    warnings = tuple(dict.fromkeys(text for row in rows for text in row.warnings))
    return Row(run, record, _each_by_its_own(makers), made_of=made_of, protocol=group.protocol, warnings=warnings)


def _each_by_its_own(makers: dict[str, Maker]) -> Maker:
    def make(pair: Pair, he: Image, real: Image) -> Image:
        return makers[pair.id](pair, he, real)

    return make
