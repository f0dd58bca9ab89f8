"""The rows of a study: each is a request and the run folder that ``vsbench train`` makes of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vsbench import registry
from vsbench.bounds import require_whole
from vsbench.config import build_config
from vsbench.dataset import with_carried
from vsbench.engine.progress import HowFar, how_far
from vsbench.engine.request import Request
from vsbench.engine.run import Run, group_folder
from vsbench.engine.step import Execution
from vsbench.engine.trainer import Rhythm
from vsbench.errors import UsageError
from vsbench.evaluation.ablate import Study, own_row, study_rows
from vsbench.evaluation.group import fold_results
from vsbench.method import MethodConfig
from vsbench.studies.file import DatasetEntry, MethodEntry, StudyFile, Training

MOST = 10_000  # rows


@dataclass(frozen=True)
class PlannedRow:
    """One training. ``fold``: the one that is its test set; its results lie in a folder of their own."""

    request: Request
    config: MethodConfig
    training: Training
    fold: int | None = None

    @property
    def name(self) -> str:
        """The name of its table row, and of the folder of its runs."""
        return self.request.row

    @property
    def run(self) -> Run:
        """Where its run lies."""
        r = self.request
        return Run(group_folder(r.results, r.dataset, r.stain) / self.name / f"seed-{r.seed}")

    @property
    def rhythm(self) -> Rhythm:
        """When it logs, draws and keeps."""
        t = self.training
        return Rhythm(t.log_every, t.sheet_every, t.checkpoint_every, t.keep, t.keep_every, tuple(t.log_to))

    @property
    def precision(self) -> str:
        """As Fabric calls it, and so the run's record."""
        return "32-true" if self.training.precision == "32" else self.training.precision

    def how_far(self) -> HowFar:
        """How far it is. Raises RunError where its folder holds another run."""
        own = {"precision": self.precision, "world": self.training.world}
        return how_far(self.run, self.request, self.config, own)

    def __str__(self) -> str:
        """As messages call it."""
        fold = "" if self.fold is None else f", fold {self.fold}"
        return f"{self.name} on {self.request.dataset}-{self.request.stain}{fold}, seed {self.request.seed}"


def plan(study: StudyFile) -> list[PlannedRow]:
    """The rows of a study, all of a seed before the next. Of data sets only the options that they carry are read.

    Raises UsageError for names and settings that cannot be, and for two rows that would share a run folder; DataError
    where a data set's own options can't be read.
    """
    seeds = _each_once("seeds", study.seeds)
    per_seed = list(_of_one_seed(study, seeds[0]))
    require_whole("rows of the study:", len(per_seed) * len(seeds), 1, MOST)
    rows: dict[Path, PlannedRow] = {}
    for row in (replace(row, request=replace(row.request, seed=seed)) for seed in seeds for row in per_seed):
        if rows.setdefault(row.run.folder, row) != row:  # suites share rows
            raise UsageError(f"{row}: comes twice, with other settings; give one a label")
    return list(rows.values())


def _of_one_seed(study: StudyFile, seed: int) -> Iterator[PlannedRow]:
    for data in study.datasets:
        for stain in _each_once("stains", data.stains):
            for fold in [None] if data.folds is None else range(data.folds):
                for entry in study.methods:
                    training = _training(study, entry)
                    options = _data_options(data, fold)
                    for base, config in _requests(study, entry, data, stain):
                        request = replace(
                            base, seed=seed, dataset_options=options,
                            data_root=data.data_root, data_name=data.data_name, start_from=entry.start_from,
                            results=study.results if fold is None else fold_results(study.results, options),
                            execution=Execution(training.compile, training.channels_last, training.accumulate,
                                                training.checkpoint_activations, training.deterministic),
                            select=training.select, validate_every=training.validate_every,
                            validation_share=training.validation_share, cache_tiles=training.cache_tiles,
                        )  # fmt: skip
                        yield PlannedRow(request, config, training, fold)


def _requests(
    study: StudyFile, entry: MethodEntry, data: DatasetEntry, stain: str
) -> Iterator[tuple[Request, MethodConfig]]:
    """What an entry trains on a stain: one request, or those of a suite's rows, each configuration once."""
    preset = entry.preset or study.preset
    variant = {} if entry.variant is None else {"variant": entry.variant}
    if entry.suite is not None:
        for row in study_rows(_suite(study, entry, data, stain)):
            if row.same_as is None:
                yield row.request, row.config
        return
    method = registry.load("vsbench.methods", entry.method)
    common = study.options | variant
    try:
        own = own_row(method, entry.method, preset, common, entry.options, "own")
    except UsageError as error:
        raise UsageError(f"{entry.method}: {error}") from None
    label = entry.label or own.label
    yield Request(entry.method, data.dataset, stain, preset, common | entry.options, label=label), own.config


def suites(study: StudyFile) -> list[Study]:
    """The ablation studies that are in it."""
    entries = [entry for entry in study.methods if entry.suite is not None]
    return [_suite(study, entry, data, stain) for data in study.datasets for stain in data.stains for entry in entries]


def _suite(study: StudyFile, entry: MethodEntry, data: DatasetEntry, stain: str) -> Study:
    if data.folds is not None:
        raise UsageError(
            f"{entry.method}, suite {entry.suite}: a suite's table is of one split; leave out folds, or it"
        )
    variant = {} if entry.variant is None else {"variant": entry.variant}
    return Study(
        entry.method, entry.suite or "", data.dataset, stain, entry.preset or study.preset, study.options | variant,
        _data_options(data, None), data.data_root, study.results,
    )  # fmt: skip


def _data_options(data: DatasetEntry, fold: int | None) -> dict[str, Any]:
    options = with_carried(registry.load("vsbench.datasets", data.dataset), data.options, data.data_root)
    return options if fold is None else options | {"split_by": "folds", "folds": data.folds, "fold": fold}


def _training(study: StudyFile, entry: MethodEntry) -> Training:
    try:
        own: Training = build_config(Training, study.training.model_dump() | entry.training)
    except UsageError as error:
        raise UsageError(f"{entry.method}: training: {error}") from None
    return own


def _each_once(what: str, values: Sequence[Any]) -> Sequence[Any]:
    if doubled := [value for place, value in enumerate(values) if value in values[:place]]:
        raise UsageError(f"{what}: {doubled[0]} comes twice; leave one out")
    return values
