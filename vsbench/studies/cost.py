"""What a study takes, and what would stop it: found out before anything runs. Nothing is written."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment

from vsbench import registry
from vsbench.data.headers import Headers
from vsbench.data.pairs import Pair, few
from vsbench.dataset import Dataset
from vsbench.engine.estimate import disk_bytes, estimate_resolved
from vsbench.engine.fit import require_data, require_fit
from vsbench.engine.loggers import require_loggers
from vsbench.engine.progress import seconds_per_step
from vsbench.engine.request import list_pairs, resolve
from vsbench.engine.run import find_runs
from vsbench.engine.trainer import draw
from vsbench.errors import RunError, UsageError, UserError
from vsbench.evaluation.group import SPLIT
from vsbench.evaluation.instrument import Instrument
from vsbench.files import free_bytes
from vsbench.method import Method
from vsbench.records.run import LENGTH, TrainedRecord
from vsbench.report.strata import checked_quality
from vsbench.studies.file import StudyFile, Training
from vsbench.studies.plan import PlannedRow
from vsbench.studies.state import RowState


@dataclass(frozen=True)
class Cost:
    """What a row takes in all, done or not. ``step_s``: as such rows took here before; None where none has run."""

    row: PlannedRow
    steps: int
    memory_bytes: int  # of each device, at a step's peak
    disk_bytes: int  # of its checkpoints and sheets at the end
    step_s: float | None

    def seconds(self, done: int = 0) -> float | None:
        """For the steps that are left."""
        return None if self.step_s is None else max(0, self.steps - done) * self.step_s


@dataclass(frozen=True)
class Survey:
    """What each row takes, in their order, None where that can't be told; and what would stop rows, with these rows."""

    costs: list[Cost | None]
    faults: list[tuple[UserError, list[PlannedRow]]]

    def lines(self) -> list[str]:
        """What would stop rows, a line for each cause."""
        return [f"{few(list(map(str, rows)))}: {fault}" if rows else str(fault) for fault, rows in self.faults]

    def sound(self, told: bool = False) -> list[Cost]:
        """The costs. Raises UserError naming what would stop rows, unless it was ``told``; UsageError for settings."""
        if lines := self.lines():
            kind = UsageError if isinstance(self.faults[0][0], UsageError) else UserError
            what = "as told above" if told else few(lines)
            raise kind(lines[0] if len(lines) == 1 and not told else f"{len(lines)} faults: {what}")
        return [cost for cost in self.costs if cost is not None]


def survey(study: StudyFile, rows: Sequence[PlannedRow]) -> Survey:
    """Look at each row's settings, data, weights, tools and run folder. A cost is told without the weights too.

    Raises UserError for what would stop the study's evaluation or its report.
    """
    if study.evaluation:
        Instrument.build("cpu", study.evaluation.also, study.evaluation.on_missing)
    if study.report and study.report.strata is not None:
        checked_quality(study.report.strata)
    surveyor, found = _Surveyor(study, rows), dict[str, Cost | None]()
    faults = dict[str, tuple[UserError, list[PlannedRow]]]()
    for row in rows:
        try:
            row.how_far()
        except RunError as error:
            faults[str(error)] = error, []
        if (key := _but_for_seed(row)) in found:
            continue
        found[key], fault = surveyor.look(row)
        if fault is not None:
            faults.setdefault(str(fault), (fault, []))[1].append(row)
    costs = [(row, found[_but_for_seed(row)]) for row in rows]
    return Survey([cost and replace(cost, row=row) for row, cost in costs], list(faults.values()))


def require_room(study: StudyFile, found: Sequence[Cost], states: Sequence[RowState]) -> None:
    """Raise UserError where what is to be done needs more than is free where the results go."""
    needed = sum(cost.disk_bytes for cost, one in zip(found, states, strict=True) if one.state != "done")
    if needed > (free := free_bytes(study.results)):
        sizes = f"{needed / 2**30:.1f} GiB of checkpoints to come, {free / 2**30:.1f} GiB free"
        raise UserError(f"{study.results}: {sizes}; make room, keep fewer (training: keep), or name other results")


class _Surveyor:
    """Looks once at each configuration, at each folder of pairs and at each image."""

    def __init__(self, study: StudyFile, rows: Sequence[PlannedRow]) -> None:
        self.study = study
        self.methods: dict[str, Method[Any]] = {}  # of shapes only, by configuration
        self.plans: dict[str, dict[str, Any]] = {}  # estimates by configuration, whatever the data
        self.pairs: dict[tuple[str, ...], list[Pair]] = {}
        self.headers = Headers()
        self.speeds = _speeds([study.results, *(row.request.results for row in rows)])

    def look(self, row: PlannedRow) -> tuple[Cost | None, UserError | None]:
        """What a row takes, and what would stop it."""
        alike = json.dumps([row.request.method, row.config.model_dump_json(), row.training.model_dump_json()])
        try:
            found = resolve(row.request, self._list)
            if alike not in self.methods:
                self.methods[alike] = require_fit(found.method_class, found.config)
            method, accumulate = self.methods[alike], row.request.execution.accumulate
            _, schedule = draw(method, found.pairs.train, row.request.seed, row.training.world, accumulate)
        except UserError as fault:
            return None, fault
        if alike not in self.plans:
            self.plans[alike] = estimate_resolved(found, _fabric(row.training), row.rhythm)
        cost = self._cost(row, schedule.steps, self.plans[alike])
        try:
            require_loggers(row.training.log_to)
            if self.study.evaluation:
                source = registry.load("vsbench.datasets", row.request.dataset).from_options(
                    row.request.dataset_options
                )
                self._list(source, found.root, row.request.stain, SPLIT)
            require_data(found, method, self.headers)
        except UserError as fault:
            return cost, fault
        return cost, None

    def _list(self, source: Dataset[Any], root: Path, stain: str, split: str | None = None) -> list[Pair]:
        """The pairs of a split, or those that a training learns from."""
        key = (type(source).__name__, source.config.model_dump_json(), str(root), stain, split or "")
        if key not in self.pairs:
            self.pairs[key] = list_pairs(source, root, stain) if split is None else source.pairs(root, stain, split)
        return self.pairs[key]

    def _cost(self, row: PlannedRow, steps: int, plan: dict[str, Any]) -> Cost:
        how = row.precision, row.training.world, asdict(row.request.execution)
        step_s = self.speeds.get(_work(row.request.method, row.config.model_dump(mode="json"), *how))
        checkpoint = plan["disk_bytes"]["checkpoint"]
        disk = disk_bytes(row.request, row.rhythm, steps, checkpoint, row.config.load_size)
        return Cost(row, steps, plan["memory_bytes"]["total"], disk["total"], step_s)


def _fabric(training: Training) -> Fabric:
    """Where no GPU need be, nor a job of SLURM: an estimate asks for the number of devices and the precision alone."""
    precision: Any = "bf16-mixed" if training.precision == "16-mixed" else training.precision  # as large
    return Fabric(
        accelerator="cpu", devices=training.devices, num_nodes=training.nodes, precision=precision,
        plugins=LightningEnvironment(),
    )  # fmt: skip


def _speeds(places: Sequence[Path]) -> dict[str, float]:
    """Seconds a step by what a step does, of all trainings under these results; of several the slowest."""
    found: dict[str, float] = {}
    for results in dict.fromkeys(places):
        for run in find_runs(results):
            try:
                record = run.record
            except RunError:  # whose it is, is said where it is looked at
                continue
            if not isinstance(record, TrainedRecord) or (seconds := seconds_per_step(run, record)) is None:
                continue
            work = _work(record.method, record.config, record.precision, record.world, record.execution)
            found[work] = max(seconds, found.get(work, 0.0))
    return found


def _work(method: str, config: dict[str, Any], *how: Any) -> str:
    """What a step does, however many there are, on whatever data."""
    return json.dumps([method, {k: v for k, v in config.items() if k not in LENGTH}, how], sort_keys=True)


def _but_for_seed(row: PlannedRow) -> str:
    return replace(row.request, seed=0).as_yaml() + row.training.model_dump_json()
