"""Rows as jobs of a SLURM cluster, submitted through submitit: an array for those that ask for the same.

A job goes on by itself after its time was up or another one took its machine (``slurm_job``), and needs no program of
ours meanwhile: this one may be ended at any time.
"""

import hashlib
import math
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

from vsbench.errors import RunError, UsageError
from vsbench.names import said
from vsbench.records.job import JobRecord, now
from vsbench.studies.command import train_line, train_words
from vsbench.studies.executor import Seen
from vsbench.studies.executors.slurm_job import RowJob
from vsbench.studies.file import Slurm, Training
from vsbench.studies.plan import PlannedRow
from vsbench.studies.state import job_of

ASK_S = 5.0  # seconds between two questions to the controller, which all users of a cluster share
REFUSED_S = 60.0  # after SLURM has refused a job
# For so long after its end a job is not taken for gone: SLURM, an administrator or the job itself may queue it again,
# and NFS may show a folder as it was a minute ago (acdirmax), without what the job wrote last.
GRACE_S = 60.0
NAME = "vsbench"  # of jobs
NUMBER = re.compile(r"\d+(_\d+)?", re.ASCII)
ARRAY = 1000  # jobs in an array, as SLURM allows where its administrator has not said otherwise
TIMEOUTS = 1_000_000  # how often submitit lets a job queue again: a training may need more than any number of slots
# of the submitter's own job, where it is one; where the cluster is to be found stays
INHERITED = ("SLURM_", "SLURMD_", "SRUN_", "SBATCH_")
# of the user's own, which sbatch would take before what it is told: they stay where the study says nothing
USUAL = {"account": "SBATCH_ACCOUNT", "partition": "SBATCH_PARTITION", "qos": "SBATCH_QOS"}
PROCESS_GROUP = ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")

WAITING = ("PENDING", "EXPEDITING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")
RUNNING = (
    "RUNNING", "COMPLETING", "CONFIGURING", "POWER_UP_NODE", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED",
    "SUSPENDED", "UPDATE_DB",
)  # fmt: skip
WHY = {
    "BOOT_FAIL": "its node did not start",
    "CANCELLED": "cancelled by SLURM or with scancel",
    "DEADLINE": "SLURM ended it at its deadline",
    "NODE_FAIL": "its node failed, and SLURM did not queue it again",
    "OUT_OF_MEMORY": "out of memory; ask for more",
    "PREEMPTED": "another job took its machine, and this cluster cancels such jobs; retry begins another",
    "REVOKED": "SLURM gave it to another cluster",
    "TIMEOUT": "its time was up before it had ended; ask for a longer grace_s",
}

LESS = "cancel, ask for less, retry"
STUCK = {  # what SLURM says of jobs that will wait for ever, and what lets them go
    "BadConstraints": f"no node has what it asks for: {LESS}",
    "PartitionNodeLimit": f"its partition has not so many nodes: {LESS}",
    "PartitionTimeLimit": f"its partition does not give so many hours: {LESS}",
    "DependencyNeverSatisfied": "what it was to wait for has failed: cancel, mend the options, retry",
    "JobHeldUser": "scontrol release lets it go",
    "JobHeldAdmin": "an administrator holds it",
    "launch failed requeued held": "its node could not begin it: scontrol release lets it try again",
    "JobHoldMaxRequeue": "it was queued again too often: scontrol release lets it try again",
}


class RefusedError(UsageError):
    """SLURM does not take jobs as they are asked for."""


class SlurmExecutor:
    """``settings``: the study file's ``executor``. ``folder``: where submitit keeps what it needs, and SLURM's logs."""

    name = "slurm"

    def __init__(self, settings: Slurm, folder: Path) -> None:
        self.settings, self.folder = settings, folder.absolute()
        whose = hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:16]
        self.beginning = f"{NAME}-begins-{whose}"  # the name of jobs on hold until they are recorded
        self.seen: dict[str, Seen] = {}
        self.alive: dict[str, float] = {}  # when a job was last seen to be under way
        self.asked = float("-inf")
        self.refused = float("-inf")

    def recover(self, rows: Sequence[PlannedRow]) -> None:
        """As the protocol has it: jobs that are still on hold, by the name that they have so long."""
        if shutil.which("squeue") is None:
            return
        found = _table(
            ["squeue", "--noheader", "--me", "--states=PENDING", f"--name={self.beginning}", "--format=%F|%Q"]
        )
        left = [number for number, rest in (found or {}).items() if rest == ["0"]]  # the priority of what is on hold
        if not left:
            return
        _run(["scancel", "--quiet", *left])
        for row in rows:
            job = job_of(row.run)
            if isinstance(job, JobRecord) and job.executor == self.name and _array(job.id) in left:
                row.run.job_file.unlink()

    def submit(self, rows: Sequence[PlannedRow], under_way: Sequence[JobRecord]) -> list[PlannedRow]:
        """As the protocol has it. There is room for all, unless SLURM says otherwise, as where an array (MaxArraySize)
        or a user may have so many jobs: then it is asked for half of them at a time, for what it refused a minute later
        again, and its refusal of a single one is raised where no job is under way.
        """
        if under_way and time.monotonic() - self.refused < REFUSED_S:
            return []
        begun: list[PlannedRow] = []
        todo = list(_arrays(rows))
        try:
            while todo:
                some = todo.pop(0)
                try:
                    self._begin(some)
                    begun += some
                except RefusedError:
                    if len(some) == 1:
                        raise
                    todo[:0] = some[: len(some) // 2], some[len(some) // 2 :]
        except (RunError, UsageError):
            if not begun and not under_way:
                raise
            self.refused = time.monotonic()
        return begun

    def look(self, jobs: Sequence[JobRecord]) -> list[Seen]:
        """As the protocol has it: by squeue, and by sacct what it has forgotten, where the cluster keeps accounts."""
        if shutil.which("squeue") is None:
            return [Seen("elsewhere", why="a job of SLURM, whose commands are not here")] * len(jobs)
        if time.monotonic() - self.asked > ASK_S or not self.seen.keys() >= {job.id for job in jobs}:
            self._ask(jobs)
        return [self.seen[job.id] for job in jobs]

    def cancel(self, jobs: Sequence[JobRecord]) -> None:
        """As the protocol has it. A running job is signalled, not cancelled: SLURM would give it half a minute. All its
        processes are, and some that a log of another tool has of its own would end by SIGTERM.
        """
        self.asked = float("-inf")
        states = {job.id: seen.state for job, seen in zip(jobs, self.look(jobs), strict=True)}
        # not by scancel's --state, which takes the whole array of a job that waits
        for state, how in (("waiting", []), ("running", ["--signal=USR1"])):
            if numbers := [number for number, found in states.items() if found == state]:
                _run(["scancel", "--quiet", *how, *numbers])
        self.asked = float("-inf")

    def leave(self) -> None:
        """As the protocol has it: no job needs this program."""

    def _begin(self, rows: Sequence[PlannedRow]) -> None:
        """Submit them, on hold until their records are written."""
        executor, device, hours = self._submitit(), self.settings.device, self.settings.hours
        executor.update_parameters(**parameters(self.settings, rows[0].training) | {"job_name": self.beginning})
        works = [
            RowJob(tuple(train_words(row, device)), train_line(row, device), row.run.folder.absolute(), hours)
            for row in rows
        ]
        try:
            # what sbatch says is said below
            with _environment(self.settings), redirect_stderr(StringIO()), executor.batch():
                jobs = [executor.submit(work) for work in works]
        except Exception as error:  # submitit's own, with all that sbatch said
            lines = [line.partition("error: ")[2] for line in str(error).splitlines() if "sbatch: error: " in line]
            raise RefusedError(f"SLURM refuses the jobs: {said('; '.join(lines) or str(error))}") from None
        numbers = [job.job_id for job in jobs]
        try:
            for row, number in zip(rows, numbers, strict=True):
                JobRecord(executor=self.name, id=number, submitted=now()).write(row.run.job_file)
            _run(["scontrol", "release", _array(numbers[0])])
        except BaseException:
            _run(["scancel", *numbers])
            raise
        name = self.settings.options.get("job-name", NAME)
        with suppress(RunError):  # ended already; and the name of a job that is not on hold means nothing
            _run(["scontrol", "update", f"jobid={_array(numbers[0])}", f"jobname={name}"])

    def _submitit(self) -> Any:
        try:
            import submitit
        except ImportError:
            raise UsageError("executor: slurm: submitit is not installed: pip install 'vsbench[slurm]'") from None
        if shutil.which("sbatch") is None:
            raise UsageError("executor: slurm: no sbatch here; start vsbench sweep where SLURM's commands are")
        return submitit.SlurmExecutor(self.folder, max_num_timeout=TIMEOUTS)

    def _ask(self, jobs: Sequence[JobRecord]) -> None:
        self.asked = time.monotonic()
        numbers = [job.id for job in jobs if NUMBER.fullmatch(job.id)]
        arrays = ",".join(dict.fromkeys(map(_array, numbers)))
        asked = ["--noheader", "--array", "--states=all", f"--jobs={arrays}", "--format=%i|%T|%N|%e|%r"]
        found = _table(["squeue", *asked]) if numbers else {}
        if found is None:
            for job in jobs:
                self.seen.setdefault(job.id, Seen("waiting", why="SLURM's controller does not answer"))
            return
        if forgotten := [number for number in numbers if number not in found]:
            wanted = ["--format=JobID,State%40,NodeList,End", f"--jobs={','.join(forgotten)}"]
            found = (_table(["sacct", "--noheader", "--allocations", "--parsable2", *wanted]) or {}) | found
        for job in jobs:
            self.seen[job.id] = self._seen(job, *found.get(job.id, []))

    def _seen(self, job: JobRecord, state: str = "", nodes: str = "", end: str = "", reason: str = "") -> Seen:
        word = state.split(" ")[0]  # sacct: CANCELLED by 1000
        node = nodes if nodes not in ("", "(null)", "None assigned") else None
        if word in WAITING or word in RUNNING:
            self.alive[job.id] = time.monotonic()
        if word in WAITING:
            stuck = f" ({STUCK[reason]})" if reason in STUCK else ""
            return Seen("waiting", why="" if reason in ("", "None") else f"SLURM: {reason}{stuck}", stuck=bool(stuck))
        if word in RUNNING:
            return Seen("running", node)
        over_s = _age(end)  # SLURM's own word, where it has one; else since there was a sign of the job
        if math.isinf(over_s):
            over_s = min(self.asked - self.alive.get(job.id, -math.inf), _age(job.submitted))
        return Seen("ending" if over_s < GRACE_S else "gone", node, WHY.get(word, ""))


def _array(number: str) -> str:
    """The number of the whole array that a job is of; a single job's own."""
    return number.partition("_")[0]


def _age(when: str | None) -> float:
    """Seconds since a time, or until then by a clock that goes before this one; infinite where there is none."""
    try:
        return abs((datetime.now(UTC) - datetime.fromisoformat(when or "").astimezone()).total_seconds())
    except (ValueError, OverflowError):  # N/A, Unknown
        return math.inf


def _arrays(rows: Sequence[PlannedRow]) -> Iterator[list[PlannedRow]]:
    """Rows that ask for the same, in groups that an array holds; the first row's group first."""
    groups: dict[Any, list[PlannedRow]] = {}
    for row in rows:
        t = row.training
        groups.setdefault((t.nodes, t.devices, t.workers), []).append(row)
    for group in groups.values():
        yield from (group[start : start + ARRAY] for start in range(0, len(group), ARRAY))


def parameters(settings: Slurm, training: Training) -> dict[str, Any]:
    """What is asked of SLURM, in submitit's words: a task for each device."""
    cpus = settings.cpus or training.workers + 1
    asked: dict[str, Any] = {
        "time": max(1, round(settings.hours * 60)),  # minutes
        "nodes": training.nodes,
        "ntasks_per_node": training.devices,
        "cpus_per_task": cpus,
        "signal_delay_s": settings.grace_s,
        "array_parallelism": settings.jobs or ARRAY,
        "stderr_to_stdout": True,
        "wckey": None,
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "mem": settings.memory,
        # srun does not take it from sbatch any more; and else the others would wait for the one that failed
        "srun_args": [f"--cpus-per-task={cpus}", "--kill-on-bad-exit=1"],
        "setup": settings.setup or None,
        "additional_parameters": {"hold": True} | settings.options,
    }
    if settings.device != "cpu":
        kind = f"{settings.gpu}:" if settings.gpu else ""
        asked["gpus_per_node"] = f"{kind}{training.devices}"
    if "no-requeue" not in settings.options:
        asked["additional_parameters"]["requeue"] = True
    return {key: value for key, value in asked.items() if value is not None or key == "wckey"}


@contextmanager
def _environment(settings: Slurm) -> Iterator[None]:
    """What sbatch and jobs inherit: not what makes this program part of a job, where it is."""
    stay = {"SLURM_CONF", *(name for key, name in USUAL.items() if getattr(settings, key) is None)}
    mine = {
        name: value for name, value in os.environ.items()
        if (name.startswith(INHERITED) and name not in stay) or name in PROCESS_GROUP
    }  # fmt: skip
    for name in mine:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(mine)


def _run(command: Sequence[str]) -> None:
    """Raises RunError with what SLURM says where it refuses; of jobs that have ended ``--quiet`` says nothing."""
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode and asked.stderr.strip():
        raise RunError(f"{command[0]}: {said(asked.stderr)}")


def _table(command: Sequence[str]) -> dict[str, list[str]] | None:
    """What a command prints of jobs, by their numbers; None where it fails, or is not there, as sacct may be."""
    standard = os.environ | {"SLURM_TIME_FORMAT": "standard"}
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False, env=standard)
    except FileNotFoundError:
        return None
    if asked.returncode and "Invalid job id" not in asked.stderr:  # so squeue says that it knows none of them
        return None
    rows = (line.split("|") for line in asked.stdout.splitlines())
    return {number: row for number, *row in rows}
