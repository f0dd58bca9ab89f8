"""What trains rows: the one interface that a machine's processes and a cluster's jobs are behind.

Nothing about a job is kept in memory alone: another terminal, or the next sweep after a kill, knows as much.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from vsbench.records.job import JobRecord
from vsbench.studies.plan import PlannedRow

# waiting: for a place; running; ending: over, so far as can be told, but it may queue again, and what it wrote last may
# not be seen here yet; gone: it has ended, however; elsewhere: this machine can't tell
JobState = Literal["waiting", "running", "ending", "gone", "elsewhere"]


@dataclass(frozen=True)
class Seen:
    """What an executor knows of a job now. ``why``: one sentence where it ended by no fault of the training, or what it
    waits for; ``stuck``: that does not come by itself.
    """

    state: JobState
    node: str | None = None
    why: str = ""
    stuck: bool = False


class Executor(Protocol):
    """Trains rows as ``vsbench train … --resume`` does: ``command.train_words`` has the words of its command line.

    A job's output goes to ``run.job_log`` (or what that links to), after a line ``$ vsbench train …``: the reason why a
    row failed is read from there.
    """

    name: str  # as job records have it

    def recover(self, rows: Sequence[PlannedRow]) -> None:
        """End what a program that was killed while it began jobs has left behind; rows of these are open again.

        Nobody begins jobs meanwhile.
        """

    def submit(self, rows: Sequence[PlannedRow], under_way: Sequence[JobRecord]) -> list[PlannedRow]:
        """Begin jobs of as many of these rows as there is room for, in their order; which these are.

        ``under_way``: the jobs that wait or run already. The job record of a row (``run.job_file``) is written before
        its job can do anything. Raises UserError where nothing can be begun at all.
        """

    def look(self, jobs: Sequence[JobRecord]) -> list[Seen]:
        """What became of jobs of this executor, in their order, whoever began them."""

    def cancel(self, jobs: Sequence[JobRecord]) -> None:
        """Have running jobs end with a checkpoint, and waiting ones never begin. Returns at once."""

    def leave(self) -> None:
        """This program ends before its rows have: end, with a checkpoint, the jobs that need it. Waits for them."""
