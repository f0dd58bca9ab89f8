"""Rows as processes of this machine, so many at a time."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from vsbench.environment import THREADS, chosen, processors
from vsbench.errors import UsageError
from vsbench.files import this_machine
from vsbench.records.job import JobRecord, now
from vsbench.studies.command import train_line, train_words
from vsbench.studies.executor import Seen
from vsbench.studies.file import Local
from vsbench.studies.plan import PlannedRow

# It waits for a line that is written when its job is recorded: if this program is killed before, it never begins.
WHEN_RECORDED = ("sh", "-c", 'read -r go && exec "$@" </dev/null', "sh")
LOOK_S = 0.1
PROGRAM = (sys.executable, "-m", "vsbench")
VISIBLE = "CUDA_VISIBLE_DEVICES"


class LocalExecutor:
    """Each job is a process in a session of its own, which a closed terminal and Ctrl-C do not reach by themselves.

    Where this program is killed, its jobs go on, and the next one finds them by their records.
    """

    name = "local"

    def __init__(self, settings: Local) -> None:
        self.device = settings.device
        self.gpus = gpus() if settings.device in ("auto", "cuda") else []
        self.jobs = settings.jobs or max(1, len(self.gpus))
        self.own: dict[str, subprocess.Popen[bytes]] = {}  # to be waited for, else they stay as zombies
        self.running: list[JobRecord] = []  # at the last look, those of an earlier program too

    def recover(self, rows: Sequence[PlannedRow]) -> None:
        """As the protocol has it: no process begins before it is recorded."""

    def submit(self, rows: Sequence[PlannedRow], under_way: Sequence[JobRecord]) -> list[PlannedRow]:
        """As the protocol has it. A GPU belongs to one job."""
        for row in rows:
            if self.gpus and row.training.devices > len(self.gpus):
                there = f"{row.training.devices}, where {len(self.gpus)} GPUs are here"
                raise UsageError(f"{row}: devices: {there}; ask for fewer")
        begun: list[PlannedRow] = []
        free = [gpu for gpu in self.gpus if not any(gpu in job.gpus for job in under_way)]
        for row in rows[: max(0, self.jobs - len(under_way))]:
            if row.training.nodes > 1:
                raise UsageError(
                    f"{row}: nodes: {row.training.nodes}, where this machine is one; executor: slurm has more"
                )
            wanted = row.training.devices if self.gpus else 0
            if wanted > len(free):
                break
            self._begin(row, free[:wanted])
            free = free[wanted:]
            begun.append(row)
        return begun

    def look(self, jobs: Sequence[JobRecord]) -> list[Seen]:
        """As the protocol has it: by the number of the process and when it began, which no later process has."""
        for process in self.own.values():
            process.poll()
        found = [_look(job) for job in jobs]
        self.running = [job for job, seen in zip(jobs, found, strict=True) if seen.state == "running"]
        return found

    def cancel(self, jobs: Sequence[JobRecord]) -> None:
        """As the protocol has it."""
        for job in jobs:
            if _look(job).state == "running":
                os.kill(int(job.id), signal.SIGTERM)

    def leave(self) -> None:
        """As the protocol has it."""
        untold = [job for job in self.running if not job.cancelled]  # a second signal would end one at once
        self.cancel(untold)
        for name, process in self.own.items():
            if name not in {job.id for job in self.running}:  # begun since the last look; nothing, where it has ended
                process.terminate()
        for process in self.own.values():
            process.wait()
        while any(_look(job).state == "running" for job in self.running):
            time.sleep(LOOK_S)

    def _begin(self, row: PlannedRow, own_gpus: list[str]) -> None:
        run = row.run
        run.folder.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"PYTHONSAFEPATH": "1"}  # nothing of the folder it is called in is imported
        if THREADS not in environment or THREADS in chosen:  # what the user has set stays
            environment[THREADS] = str(max(1, processors() // self.jobs))
        if own_gpus:
            environment[VISIBLE] = ",".join(own_gpus)
        command = [*WHEN_RECORDED, *PROGRAM, *train_words(row, self.device)]
        with run.job_log.open("ab") as log:
            log.write(f"$ {train_line(row, self.device)}\n".encode())
            log.flush()
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        try:
            JobRecord(
                executor=self.name, id=str(process.pid), node=socket.gethostname(), submitted=now(),
                machine=this_machine(), began=_began(process.pid), gpus=own_gpus,
            ).write(run.job_file)  # fmt: skip
        except BaseException:
            process.kill()
            process.communicate()
            raise
        self.own[str(process.pid)] = process
        assert process.stdin is not None
        with process.stdin as line:
            line.write(b"go\n")


def gpus() -> list[str]:
    """The GPUs that this program may use, as ``CUDA_VISIBLE_DEVICES`` calls them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get(VISIBLE)
    return [name.strip() for name in named.split(",")][:count] if named else [str(number) for number in range(count)]


def _look(job: JobRecord) -> Seen:
    if job.machine != this_machine():
        here = job.node == socket.gethostname()  # which was started anew since
        return Seen("gone" if here else "elsewhere", job.node)
    try:
        os.kill(int(job.id), 0)
    except (OSError, ValueError, OverflowError):
        return Seen("gone", job.node)
    return Seen("running" if job.began == _began(int(job.id)) else "gone", job.node)


def _began(process: int) -> int | None:
    """When a process began, in ticks since the system did; −1 of one that has ended, None where nothing tells."""
    if not Path("/proc/self/stat").exists():
        return None
    try:
        after_its_name = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except OSError:
        return -1
    state, *numbers = after_its_name.split()
    return -1 if state in "ZX" else int(numbers[18])
