"""How far the rows of a study are: from the files in their run folders, and what their jobs' executors say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vsbench.engine.progress import Pace, pace
from vsbench.engine.run import Run
from vsbench.errors import RunError
from vsbench.records.job import JobRecord
from vsbench.studies.executor import Executor, Seen
from vsbench.studies.job_log import INTERRUPTED, last_line
from vsbench.studies.plan import PlannedRow

# stopped: it goes on with the next sweep; failed and cancelled: when it is asked for again (retry)
State = Literal["to do", "waiting", "running", "elsewhere", "stopped", "failed", "cancelled", "done"]
OPEN: tuple[State, ...] = ("to do", "stopped")  # what a sweep begins
AGAIN: tuple[State, ...] = ("failed", "cancelled", "elsewhere")  # and what it does not, unless it is asked for again
UNDER_WAY: tuple[State, ...] = ("waiting", "running")


@dataclass(frozen=True)
class RowState:
    """How far a row is. ``why``: the reason where it is neither done nor under way, in one line."""

    row: PlannedRow
    state: State
    step: int = 0
    steps: int | None = None
    pace: Pace | None = None
    job: JobRecord | None = None
    node: str | None = None
    why: str = ""


def look_at(rows: Sequence[PlannedRow], executors: Mapping[str, Executor]) -> list[RowState]:
    """How far rows are, in their order; ``executors`` by name. Nothing is changed, and no image is looked at."""
    jobs = [job_of(row.run) for row in rows]
    asked: dict[str, dict[int, JobRecord]] = {}
    for place, job in enumerate(jobs):
        if isinstance(job, JobRecord) and job.id:
            asked.setdefault(job.executor, {})[place] = job
    seen: dict[int, Seen] = {}
    for name, own in asked.items():
        found = executors[name].look(list(own.values())) if name in executors else [Seen("elsewhere")] * len(own)
        seen |= dict(zip(own, found, strict=True))
    nothing = Seen("gone")
    return [_state(row, jobs[place], seen.get(place, nothing)) for place, row in enumerate(rows)]


def job_of(run: Run) -> JobRecord | RunError | None:
    """The last job of a run; None where it never had one, the error where its record is not in order."""
    if not run.job_file.exists():
        return None
    try:
        return JobRecord.read(run.job_file)
    except RunError as error:
        return error


def _state(row: PlannedRow, job: JobRecord | RunError | None, seen: Seen) -> RowState:
    try:
        if isinstance(job, RunError):
            raise job
        far = row.how_far()
        going = pace(row.run) if far.begun else None
    except RunError as error:
        return RowState(row, "failed", why=str(error))
    node = seen.node or (None if job is None else job.node)

    def found(state: State, why: str = "") -> RowState:
        step = max(far.step, going.step) if going is not None and state == "running" else far.step
        return RowState(row, state, step, far.steps, going, job, node, why)

    if far.finished and seen.state not in UNDER_WAY:  # a process that still ends has its place and its GPU
        return found("done")
    if job is None:
        return found("stopped" if far.step else "to do")
    if seen.state != "gone":
        elsewhere = f"begun on {job.node}, which this machine can't ask; look there, or begin it here with retry"
        return found(seen.state, seen.why or (elsewhere if seen.state == "elsewhere" else ""))
    if job.cancelled:
        return found("cancelled", seen.why)
    last = last_line(row.run.job_log)
    if last.startswith("error: ") and last != INTERRUPTED:
        return found("failed", seen.why or last.removeprefix("error: "))
    asked = last.startswith("stopped at step") or last == INTERRUPTED
    return found("stopped", seen.why or last.partition("stopped: ")[2] or ("" if asked else "its job was killed"))
