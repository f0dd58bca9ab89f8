"""How far a run is, from the files in its folder alone: no image is looked at, and nobody is asked."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vsbench.engine.checkpoint import checkpoints
from vsbench.engine.log import HEAD, last_row
from vsbench.engine.request import Request
from vsbench.engine.run import Run, require_same
from vsbench.method import MethodConfig
from vsbench.records.run import TrainedRecord


@dataclass(frozen=True)
class HowFar:
    """How far a run is. ``step``: of the newest checkpoint, where it would go on; ``steps``: in all, where known."""

    begun: bool = False
    step: int = 0
    steps: int | None = None
    finished: bool = False


@dataclass(frozen=True)
class Pace:
    """What the last row of a run's log says. ``loss``: the sum of its terms; ``seconds_left``: to the last step."""

    step: int
    loss: float | None
    images_per_s: float
    seconds_left: float | None


def how_far(run: Run, request: Request, config: MethodConfig, but: Mapping[str, Any] | None = None) -> HowFar:
    """How far the training of a request is; ``but``: further fields of its record that must be equal, with values.

    Raises RunError where the folder holds another run, or its record is not in order.
    """
    if not run.record_file.exists():
        return HowFar()
    there = run.trained
    wanted = {
        "method": request.method, "config": config.model_dump(mode="json"), "seed": request.seed,
        "dataset": request.dataset, "dataset_options": request.dataset_options, "stain": request.stain,
        "select": request.select, "execution": asdict(request.execution), "validation": _validation(request, there),
        **(but or {}),
    }  # fmt: skip
    require_same(run, there, there.model_copy(update=wanted))
    found = checkpoints(run.checkpoints)
    return HowFar(True, found[-1].step if found else 0, there.steps, there.finished and bool(found))


def pace(run: Run) -> Pace | None:
    """How fast a run is, and how well it does; None where nothing is logged yet. RunError as ``Run.trained``."""
    row = last_row(run.log_file)
    if row is None:
        return None
    there, step, speed = run.trained, int(row["step"]), row.get("images_per_s", 0.0)
    terms = [value for name, value in row.items() if name not in HEAD]
    left = None
    if there.steps is not None and speed > 0:
        left = max(0, there.steps - step) * _images_per_step(there) / speed
    return Pace(step, sum(terms) if terms else None, speed, left)


def _validation(request: Request, there: TrainedRecord) -> Any:
    """What the record would say of validation: which slides are held out follows from the rest."""
    held = there.validation
    if not request.validates:
        return None
    if held is None:
        return "asked for"
    every = request.validate_every or held.every
    return held.model_copy(update={"every": every, "share": request.validation_share})


def seconds_per_step(run: Run, record: TrainedRecord) -> float | None:
    """How long a step of a training takes or took, checkpoints included where it is finished; None: not known yet."""
    if record.finished and record.steps and record.wall_time_s:
        return record.wall_time_s / record.steps
    row = last_row(run.log_file)
    speed = 0.0 if row is None else row.get("images_per_s", 0.0)
    return _images_per_step(record) / speed if speed > 0 else None


def _images_per_step(record: TrainedRecord) -> int:
    accumulate = (record.execution or {}).get("accumulate") or 1
    return int(record.config.get("batch_size", 1)) * (record.world or 1) * int(accumulate)
