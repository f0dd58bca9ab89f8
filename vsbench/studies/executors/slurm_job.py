"""What a job of SLURM runs for a row: ``vsbench train … --resume``, which goes on after its machine was taken away.

SLURM tells all processes of a job that its time is nearly up (with the signal that submitit asks for), and that
another job wants its place (with SIGTERM, on some clusters with the other too). Here either ends the training with a
checkpoint, and the job queues again by itself: submitit would do so for the former only, so many times, and in the
midst of a step. Light: nothing of torch is imported.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from vsbench.engine.run import Run
from vsbench.environment import THREADS
from vsbench.errors import RunError
from vsbench.names import said
from vsbench.records.job import JobRecord
from vsbench.studies.job_log import INTERRUPTED, QUEUES_AGAIN, last_line

# SLURM's own, and submitit's, whichever that is. The training hears of them from here, once: a second signal would end
# it without a checkpoint.
TOLD = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name))
ASK_AGAIN_S = 5.0  # where the controller does not answer
TRIES = 11  # to ask it again


@dataclass(frozen=True)
class RowJob:
    """A row's training. ``words``: its command line after ``vsbench``; ``line``: as a user would type it."""

    words: tuple[str, ...]
    line: str
    folder: Path
    hours: float  # that the job may take, by its request

    def __call__(self) -> None:
        """Called by submitit in each process of the job. Ends the process where the training does not end well."""
        run, began = Run(self.folder), time.monotonic()
        if not _is_wanted(run):
            return
        first, before = _rank() == 0, _newest(run)
        training = _Training([sys.executable, "-m", "vsbench", *self.words], run.job_log, self.line if first else None)
        if first:
            _link_log(run)
        code = training.wait()
        if not first or code == 0 or _is_finished(run):
            sys.exit(code if not first else 0)
        if training.told is None or _has_failed(run):
            sys.exit(code if code > 0 else 128 - code)
        if not _is_wanted(run):
            sys.exit(1)
        late = training.told != signal.SIGTERM and time.monotonic() - began > self.hours * 3600 / 2
        if late and _newest(run) == before:
            _say(run, f"error: no checkpoint could be written within {self.hours:g} hours; ask for more hours")
            sys.exit(1)
        _queue_again(run, training.told)
        sys.exit(1)

    def checkpoint(self) -> Any:
        """For submitit, where the signal comes before the training has begun: queue again, with the same row."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class _Training:
    """The process that trains, and what this one was told meanwhile."""

    def __init__(self, command: list[str], log: Path, line: str | None) -> None:
        self.told: int | None = None
        environment = os.environ | {"PYTHONSAFEPATH": "1"}  # nothing of the folder it is called in is imported
        if share := os.environ.get("SLURM_CPUS_PER_TASK"):  # where the cluster does not confine a job to its share
            environment.setdefault(THREADS, share)
        signal.pthread_sigmask(signal.SIG_BLOCK, TOLD)  # as the training has them ever after
        with log.open("ab") as output:
            if line is not None:
                output.write(f"$ {line}\n".encode())
                output.flush()
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
            )
        for number in TOLD:
            signal.signal(number, self._tell)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD)

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait()

    def _tell(self, number: int, frame: FrameType | None) -> None:
        if self.told is None:
            self.told = number
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGINT)  # not send_signal, which waits for who waits here


def _rank() -> int:
    return int(os.environ.get("SLURM_PROCID", 0))


def job_id() -> str:
    """Of the job this process belongs to, as SLURM's commands take it."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return os.environ["SLURM_JOB_ID"] if array is None else f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"


def _is_wanted(run: Run) -> bool:
    """Whether the row is still to be trained by this job: it was not cancelled, nor given to another meanwhile."""
    try:
        record = JobRecord.read(run.job_file)
    except RunError:
        return True
    return record.id == job_id() and not record.cancelled


def _is_finished(run: Run) -> bool:
    """Whether the training is, though its process was told to end in its last moments."""
    try:
        return run.trained.finished
    except RunError:
        return False


def _has_failed(run: Run) -> bool:
    """Whether a process of the job has: SLURM then tells the others to end, as where it takes the machine."""
    last = last_line(run.job_log)
    return last.startswith("error: ") and last != INTERRUPTED


def _newest(run: Run) -> str:
    """The name of the newest checkpoint's weights."""
    return max((file.name for file in run.checkpoints.glob("step-*.safetensors")), default="")


def _link_log(run: Run) -> None:
    """Link ``slurm-<id>.log`` in the run folder to what SLURM and submitit say of the job."""
    from submitit import JobEnvironment

    log, link = JobEnvironment().paths.stdout, run.folder / f"slurm-{job_id()}.log"
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(log, link.parent))


def _say(run: Run, line: str) -> None:
    with run.job_log.open("a", encoding="utf-8") as log:
        log.write(f"{line}\n")


def _queue_again(run: Run, told: int) -> None:
    """Put this job into the queue again, unless SLURM has done so or cancelled it, and say what becomes of it."""
    number, what = job_id(), "SLURM takes its machine back" if told == signal.SIGTERM else "its time is up"
    if told == signal.SIGTERM and not _may_run(number):
        return
    _say(run, f"{QUEUES_AGAIN}{what}")  # first: queued again, this process is ended
    for wait_s in (*[ASK_AGAIN_S] * TRIES, None):
        asked = subprocess.run(["scontrol", "requeue", number], capture_output=True, text=True, check=False)
        if asked.returncode == 0 or not _may_run(number):
            return
        if wait_s is None or "contact" not in asked.stderr:
            break
        time.sleep(wait_s)
    _say(run, f"stopped: {what}, and it may not queue again ({said(asked.stderr)}); retry begins another job")


def _may_run(number: str) -> bool:
    """Whether a job runs, so far as SLURM says."""
    asked = subprocess.run(["scontrol", "show", "job", number], capture_output=True, text=True, check=False)
    words = (word.partition("=") for word in asked.stdout.split())
    return next((value for key, _, value in words if key == "JobState"), "RUNNING") == "RUNNING"
