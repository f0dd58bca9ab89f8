"""How far the rows of a study are: from the files in their run folders, and what their jobs' executors say."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from vsbench.engine.progress import HowFar, Pace, pace
from vsbench.engine.run import Run
from vsbench.errors import RunError
from vsbench.records.job import JobRecord
from vsbench.studies.executor import Executor, Seen
from vsbench.studies.job_log import INTERRUPTED, QUEUES_AGAIN, last_line
from vsbench.studies.plan import PlannedRow

# stopped: it goes on with the next sweep; failed and cancelled: when it is asked for again (retry)
State = Literal["to do", "waiting", "running", "elsewhere", "stopped", "failed", "cancelled", "done"]
OPEN: tuple[State, ...] = ("to do", "stopped")  # what a sweep begins
AGAIN: tuple[State, ...] = ("failed", "cancelled", "elsewhere")  # and what it does not, unless it is asked for again
UNDER_WAY: tuple[State, ...] = ("waiting", "running")
TICK_S = 2.0  # of the clocks by which file systems say when a file was written

T = TypeVar("T")


@dataclass(frozen=True)
class RowState:
    """How far a row is. ``why``: the reason where it is neither done nor running, in one line; ``stuck``: it waits for
    what does not come by itself.
    """

    row: PlannedRow
    state: State
    step: int = 0
    steps: int | None = None
    pace: Pace | None = None
    job: JobRecord | None = None
    node: str | None = None
    why: str = ""
    stuck: bool = False


class Reader:
    """Reads files, and again only those that have changed since."""

    def __init__(self) -> None:
        self.known: dict[tuple[Path, ...], tuple[object, Any]] = {}

    def read(self, read: Callable[[], T], *files: Path) -> T:
        """What ``read`` gives, which looks at these files and folders alone."""
        stats = [_stat(file) for file in files]
        mark = [stat and (stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats]
        if files in self.known and self.known[files][0] == mark:
            found: T = self.known[files][1]
            return found
        found = read()
        # what is written twice within a tick of the file system's clock looks the same
        if max((stat.st_mtime for stat in stats if stat), default=0.0) < time.time() - TICK_S:
            self.known[files] = mark, found
        return found


def look_at(
    rows: Sequence[PlannedRow], executors: Mapping[str, Executor], reader: Reader | None = None
) -> list[RowState]:
    """How far rows are, in their order; ``executors`` by name. Nothing is changed, and no image is looked at.

    ``reader``: the one of the look before, where there was one. How far a row is, is read after its executor was asked:
    so what a job that has ended left is seen.
    """
    reader = reader or Reader()
    jobs = [reader.read(partial(job_of, row.run), row.run.job_file) for row in rows]
    asked: dict[str, dict[int, JobRecord]] = {}
    for place, job in enumerate(jobs):
        if isinstance(job, JobRecord) and job.id:
            asked.setdefault(job.executor, {})[place] = job
    seen: dict[int, Seen] = {}
    for name, own in asked.items():
        found = executors[name].look(list(own.values())) if name in executors else [Seen("elsewhere")] * len(own)
        seen |= dict(zip(own, found, strict=True))
    nothing = Seen("gone")
    return [_state(row, jobs[place], seen.get(place, nothing), reader) for place, row in enumerate(rows)]


def job_of(run: Run) -> JobRecord | RunError | None:
    """The last job of a run; None where it never had one, the error where its record is not in order."""
    if not run.job_file.exists():
        return None
    try:
        return JobRecord.read(run.job_file)
    except RunError as error:
        return error


def _stat(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except OSError:
        return None


def _far(row: PlannedRow) -> tuple[HowFar, Pace | None] | RunError:
    try:
        far = row.how_far()
        return far, pace(row.run) if far.begun else None
    except RunError as error:
        return error


def _state(row: PlannedRow, job: JobRecord | RunError | None, seen: Seen, reader: Reader) -> RowState:
    run = row.run
    read = reader.read(partial(_far, row), run.record_file, run.log_file, run.checkpoints)
    if isinstance(job, RunError) or isinstance(read, RunError):
        return RowState(row, "failed", why=str(job if isinstance(job, RunError) else read))
    far, going = read
    node = seen.node or (None if job is None else job.node)

    def found(state: State, why: str = "") -> RowState:
        step = max(far.step, going.step) if going is not None and state == "running" else far.step
        return RowState(row, state, step, far.steps, going, job, node, why, state == "waiting" and seen.stuck)

    if far.finished and seen.state not in UNDER_WAY:  # a process that still ends has its place and its GPU
        return found("done")
    if job is None:
        return found("stopped" if far.step else "to do")
    if seen.state == "elsewhere":
        elsewhere = f"begun on {job.node}, which this machine can't ask; look there, or begin it here with retry"
        return found("elsewhere", seen.why or elsewhere)
    if seen.state == "waiting" or seen.state == "running":
        return found(seen.state, seen.why)
    if job.cancelled:
        return found("cancelled", seen.why)
    last = reader.read(partial(last_line, run.job_log), run.job_log)
    if last.startswith("error: ") and last != INTERRUPTED:
        return found("failed", seen.why or last.removeprefix("error: "))
    why = last.partition("stopped: ")[2]
    if seen.state == "ending" and not why:  # it has not said that it is over
        return found("running")
    if last.startswith(QUEUES_AGAIN):
        why = "it was to queue again, and has ended before it trained; slurm-*.log in its folder says more"
    asked = last.startswith("stopped at step") or last == INTERRUPTED
    return found("stopped", seen.why or why or ("" if asked else "its job was killed"))
