"""A sweep: have an executor train the rows of a study until none is left that it may."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from vsbench.engine.interrupt import Interrupt, Interrupted
from vsbench.engine.lock import alone_with_jobs
from vsbench.errors import UserError
from vsbench.records.job import JobRecord
from vsbench.studies.executor import Executor
from vsbench.studies.executors.local import LocalExecutor
from vsbench.studies.executors.slurm import SlurmExecutor
from vsbench.studies.file import Slurm, StudyFile
from vsbench.studies.plan import PlannedRow
from vsbench.studies.state import AGAIN, OPEN, UNDER_WAY, Reader, RowState, job_of, look_at

LOOK_S = 0.5  # seconds between two looks at the rows

Tell = Callable[[Sequence[RowState]], None]


def executor_of(study: StudyFile) -> Executor:
    """What trains the rows of a study."""
    if isinstance(study.executor, Slurm):
        return SlurmExecutor(study.executor, study.results / "slurm")
    return LocalExecutor(study.executor)


def executors_of(study: StudyFile) -> Mapping[str, Executor]:
    """All that may have jobs of its rows, by name."""
    executor = executor_of(study)
    return {executor.name: executor}


def train_rows(
    rows: Sequence[PlannedRow], executors: Mapping[str, Executor], executor: Executor, tell: Tell, again: bool = False
) -> list[RowState]:
    """Train what is open of the rows, and wait until nothing is under way; what became of them.

    A row that is done is left alone, one that was stopped goes on, and one that fails leaves the others going. Each
    is begun once; with ``again`` also what failed or was cancelled before. ``tell`` is told how far all are, now and
    then. Raises Interrupted after Ctrl-C, SIGTERM or SIGHUP, when the jobs that need this program have ended, with a
    checkpoint.
    """
    wanted = (*OPEN, *AGAIN) if again else OPEN
    begun: set[Path] = set()
    over: dict[Path, RowState] = {}  # what is done stays done
    reader = Reader()
    with Interrupt() as interrupt, _left_in_order(executor):
        with _alone_with_jobs(rows):
            executor.recover(rows)
        while True:
            looked = look_at([row for row in rows if row.run.folder not in over], executors, reader)
            over |= {one.row.run.folder: one for one in looked if one.state == "done"}
            by_folder = over | {one.row.run.folder: one for one in looked}
            states = [by_folder[row.run.folder] for row in rows]
            under_way = [one.job for one in looked if one.state in UNDER_WAY and one.job is not None]
            todo = [one for one in looked if one.state in wanted and one.row.run.folder not in begun]
            if interrupt.number:
                raise Interrupted(f"stopped with {len(over)} of {len(rows)} rows done", interrupt.number)
            started = _begun(executor, todo, under_way) if todo else []
            begun |= {row.run.folder for row in started}
            tell(states)
            as_seen = all(job_of(one.row.run) == one.job for one in todo)  # else called off since they were looked at
            if not started and not under_way and as_seen:
                return states
            time.sleep(LOOK_S)


def cancel(rows: Sequence[PlannedRow], executors: Mapping[str, Executor]) -> list[PlannedRow]:
    """Leave undone what is not done, until it is asked for again: which rows. Running jobs end with a checkpoint."""
    with _alone_with_jobs(rows):
        undone = [one for one in look_at(rows, executors) if one.state in (*UNDER_WAY, *OPEN)]
        for one in undone:
            job = one.job or JobRecord(executor=next(iter(executors)), id="")
            if job.cancelled:
                continue  # it is told once: a training that is asked a second time ends at once
            job.model_copy(update={"cancelled": True}).write(one.row.run.job_file)
            if one.state in UNDER_WAY:
                executors[job.executor].cancel([job])
    return [one.row for one in undone]


def _begun(executor: Executor, todo: Sequence[RowState], under_way: Sequence[JobRecord]) -> list[PlannedRow]:
    """Those of the rows of which a job was begun; none of what somebody called off since it was looked at."""
    with _alone_with_jobs([one.row for one in todo]):
        unchanged = [one.row for one in todo if job_of(one.row.run) == one.job]
        return executor.submit(unchanged, under_way) if unchanged else []


@contextmanager
def _left_in_order(executor: Executor) -> Iterator[None]:
    """What ends a sweep before its rows, a signal or a trouble, ends the jobs that need this program first."""
    try:
        yield
    except (Interrupted, UserError, OSError):
        executor.leave()
        raise


@contextmanager
def _alone_with_jobs(rows: Sequence[PlannedRow]) -> Iterator[None]:
    with ExitStack() as stack:
        for results in sorted({row.request.results for row in rows}):
            stack.enter_context(alone_with_jobs(results))
        yield
