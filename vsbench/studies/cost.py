"""What a study takes, and what would stop it: found out before anything runs. Nothing is written."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment

from vsbench import registry
from vsbench.data.headers import headers_read_once
from vsbench.data.pairs import few
from vsbench.dataset import pairs_of
from vsbench.engine.estimate import disk_bytes, estimate
from vsbench.engine.fit import on_meta, require_data
from vsbench.engine.loggers import require_loggers
from vsbench.engine.progress import seconds_per_step
from vsbench.engine.request import resolve
from vsbench.engine.run import find_runs
from vsbench.engine.trainer import plan as plan_steps
from vsbench.errors import RunError, UsageError, UserError
from vsbench.evaluation.group import SPLIT
from vsbench.evaluation.instrument import Instrument
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


def costs(study: StudyFile, rows: Sequence[PlannedRow]) -> list[Cost]:
    """What each row takes, in their order.

    Raises UserError naming what would stop a row, its evaluation or the report: settings that do not fit, data, weights
    and tools that are not here, folders that hold other runs.
    """
    if study.evaluation:
        Instrument.build("cpu", study.evaluation.also, study.evaluation.on_missing)
    if study.report and study.report.strata is not None:
        checked_quality(study.report.strata)
    with headers_read_once():
        return _costs(_Survey(study, rows), rows)


def _costs(survey: "_Survey", rows: Sequence[PlannedRow]) -> list[Cost]:
    faults, found = dict[str, UserError](), dict[str, Cost]()
    for row in rows:
        try:
            row.how_far()
        except RunError as error:
            faults.setdefault(str(error), error)
        if (key := _but_for_seed(row)) in found:
            continue
        try:
            found[key] = survey.cost(row)
        except UserError as error:
            kind = UsageError if isinstance(error, UsageError) else UserError
            faults.setdefault(str(error), kind(f"{row}: {error}"))
    if faults:
        first, *others = faults.values()
        raise first if not others else type(first)(f"{len(faults)} faults: {few(list(map(str, faults.values())))}")
    return [replace(found[_but_for_seed(row)], row=row) for row in rows]


def free_bytes(study: StudyFile) -> int:
    """What is free where the results go."""
    there = next(folder for folder in (study.results, *study.results.absolute().parents) if folder.is_dir())
    return shutil.disk_usage(there).free


def require_room(study: StudyFile, found: Sequence[Cost], states: Sequence[RowState]) -> None:
    """Raise UserError where what is to be done needs more than is free where the results go."""
    needed = sum(cost.disk_bytes for cost, one in zip(found, states, strict=True) if one.state != "done")
    if needed > (free := free_bytes(study)):
        sizes = f"{needed / 2**30:.1f} GiB of checkpoints to come, {free / 2**30:.1f} GiB free"
        raise UserError(f"{study.results}: {sizes}; make room, keep fewer (training: keep), or name other results")


class _Survey:
    """Looks at each configuration once, and at each data set once for each configuration."""

    def __init__(self, study: StudyFile, rows: Sequence[PlannedRow]) -> None:
        self.study = study
        self.plans: dict[str, dict[str, Any]] = {}  # estimates by configuration, whatever the data
        self.speeds = _speeds([study.results, *(row.request.results for row in rows)])

    def cost(self, row: PlannedRow) -> Cost:
        """What a row takes. Raises UserError."""
        require_loggers(row.training.log_to)
        if self.study.evaluation:
            source = registry.load("vsbench.datasets", row.request.dataset).from_options(row.request.dataset_options)
            pairs_of(source, row.request.data_root, row.request.stain, SPLIT)
        alike = json.dumps([row.request.method, row.config.model_dump_json(), row.training.model_dump_json()])
        if alike not in self.plans:
            self.plans[alike] = estimate(row.request, _fabric(row.training), row.rhythm)
            steps = self.plans[alike]["steps"]
        else:
            steps = _steps(row)
        plan = self.plans[alike]
        how = row.precision, row.training.world, asdict(row.request.execution)
        step_s = self.speeds.get(_work(row.request.method, row.config.model_dump(mode="json"), *how))
        checkpoint = plan["disk_bytes"]["checkpoint"]
        disk = disk_bytes(row.request, row.rhythm, steps, checkpoint, row.config.load_size)
        return Cost(row, steps, plan["memory_bytes"]["total"], disk["total"], step_s)


def _steps(row: PlannedRow) -> int:
    """How many steps a row is, once what it learns from is looked at."""
    found = resolve(row.request)
    method, _ = on_meta(found.method_class, found.config)
    require_data(found, method)
    _, schedule = plan_steps(
        method, found.pairs.train, row.request.seed, 0, row.training.world, row.request.execution.accumulate
    )
    return schedule.steps


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
