"""A sweep on a real cluster: rows that are killed, run out of time, fail, and lie on two nodes, and a controller that
is started anew meanwhile. All end as they must, and what survives is what an undisturbed local run is, bit for bit.

The jobs are processes of ``vsbench train``, each of which takes seconds to start. So the first sweep alone is the
command, and the others what it calls.
"""

import csv
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from vsbench.engine.checkpoint import checkpoints
from vsbench.engine.lock import locked
from vsbench.engine.run import Run
from vsbench.errors import UsageError
from vsbench.records.job import JobRecord
from vsbench.studies.command import train_words
from vsbench.studies.executors import slurm
from vsbench.studies.file import StudyFile, read_study
from vsbench.studies.plan import PlannedRow, plan
from vsbench.studies.state import RowState, look_at
from vsbench.studies.sweep import cancel, executors_of, train_rows

PATIENCE_S = 600
STEPS = 40
OPTIONS = {"steps": STEPS, "crop_size": 32, "load_size": 32, "width": 4, "batch_size": 2, "discriminator_layers": 1}
SLURM = {"kind": "slurm", "grace_s": 30, "device": "cpu", "cpus": 1}


def study_file(folder: Path, pairs: Path, executor: dict[str, Any], *rows: dict[str, Any]) -> Path:
    """A study of small rows of Pix2Pix, all with a checkpoint after each tenth step."""
    file = folder / "study.yaml"
    methods = [{"method": "pix2pix", "preset": "cpu", "options": {"downs": 3}} | row for row in rows]
    datasets = [{"dataset": "folder", "stains": ["er"], "data_root": str(pairs)}]
    training = {"workers": 0, "log_every": 1, "checkpoint_every": 10, "sheet_every": 100}
    study = {
        "methods": methods, "datasets": datasets, "options": OPTIONS, "training": training, "executor": executor,
        "evaluation": False, "report": False,
    }  # fmt: skip
    file.write_text(yaml.safe_dump(study))
    return file


def run_of(study: Path, row: str) -> Run:
    return Run(study.parent / "results/runs/folder-er" / row / "seed-0")


class Sweep(threading.Thread):
    """What ``vsbench sweep`` and ``retry`` do to train rows; ``result`` waits until they have."""

    def __init__(self, study: Path, again: bool = False) -> None:
        super().__init__(daemon=True)  # a test that fails does not wait for it
        self.study, self.again = study, again
        self.start()

    def run(self) -> None:
        found, rows = read(self.study)
        executors = executors_of(found)
        self.states = train_rows(rows, executors, executors["slurm"], lambda states: None, self.again)

    def result(self) -> dict[str, RowState]:
        """How far the rows are, by name."""
        until(lambda: not self.is_alive())
        return {one.row.name: one for one in self.states}


def told(*words: object) -> str:
    """What a command of SLURM says; nothing where its controller does not answer."""
    return subprocess.run([*map(str, words)], capture_output=True, text=True, check=False).stdout


def read(study: Path) -> tuple[StudyFile, list[PlannedRow]]:
    found = read_study(study)
    return found, plan(found)


def states(study: Path) -> dict[str, RowState]:
    """How far the rows are, by name, as ``vsbench sweep status`` shows it: from the files and SLURM alone."""
    found, rows = read(study)
    return {one.row.name: one for one in look_at(rows, executors_of(found))}


def call_off(study: Path) -> None:
    """What ``vsbench sweep cancel`` does."""
    found, rows = read(study)
    assert cancel(rows, executors_of(found)) == rows


def wait_for(condition: Callable[[], Any], why: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, why
        time.sleep(0.05)
    return found


def job_of(study: Path, row: str) -> str:
    return JobRecord.read(run_of(study, row).job_file).id


def frozen(study: Path, row: str) -> int:
    """The process that trains a row, held at one of its first steps until SIGCONT."""
    run = run_of(study, row)

    def trains() -> int:
        if not run.job_log.exists() or ": step " not in run.job_log.read_text().rpartition("$ vsbench train")[2]:
            return 0
        process = int(re.findall(r"process (\d+) on", (run.folder / ".lock").read_text())[0])
        return process if Path(f"/proc/{process}").exists() else 0  # else it is that of the last job

    process = int(wait_for(trains, f"{row} does not train"))
    os.kill(process, signal.SIGSTOP)
    assert run.log_file.read_text().count("\n") <= STEPS, f"{row} was too fast"
    return process


def queue_at_once(done: set[str]) -> None:
    """A job that queues again has to wait for two minutes, unless an administrator says otherwise.

    Some seconds it must: a node does not begin what it was told in the same second to end.
    """
    wanted = "--Format=JobArrayID:20,RestartCnt:10,Reason:20"
    for line in told("squeue", "--noheader", "--array", "--states=PENDING", wanted).splitlines():
        job, restarts, reason = line.split(maxsplit=2)
        if restarts != "0" and reason.strip() == "BeginTime" and line not in done:
            done.add(line)
            told("scontrol", "update", f"jobid={job}", "StartTime=now+3seconds")


def until(over: Callable[[], bool]) -> None:
    """Wait; jobs that queue again do so at once."""
    done: set[str] = set()

    def look() -> bool:
        queue_at_once(done)
        time.sleep(0.5)
        return over()

    wait_for(look, "it does not end")


def losses(run: Run, steps: int) -> list[float]:
    """Of the first steps, one after the other."""
    with run.log_file.open(newline="") as file:
        rows = list(csv.DictReader(file))[:steps]
    return [float(row[name]) for row in rows for name in ("d_real", "d_fake", "g_adversarial", "g_l1")]


def weights(run: Run) -> dict[str, torch.Tensor]:
    end = checkpoints(run.checkpoints)[-1]
    assert end.step == STEPS
    return load_file(end.weights)


def assert_same_weights(run: Run, expected: Run) -> None:
    found, wanted = weights(run), weights(expected)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


@pytest.fixture(scope="module")
def undisturbed(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run of a process of this machine that trains what each of the rows is, whatever that is called."""
    study = study_file(tmp_path_factory.mktemp("local"), pairs, {"kind": "local", "device": "cpu"}, {"label": "alone"})
    (row,) = read(study)[1]
    subprocess.run([sys.executable, "-m", "vsbench", *train_words(row, "cpu")], capture_output=True, check=True)
    return row.run


def test_rows_that_are_killed_run_out_of_time_or_fail_leave_the_others_going(
    pairs: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """One lies on two nodes, and the controller is started anew while all of them run."""
    two = {"options": {"downs": 3, "batch_size": 1}, "training": {"nodes": 2}}
    labels = ("killed", "late", "plain", "other")
    asked = SLURM | {"hours": 2 / 60, "setup": ["export MASTER_ADDR=127.0.0.1"]}  # where this cluster's nodes are
    study = study_file(
        tmp_path, pairs, asked, *({"label": label} for label in labels), {"label": "two"} | two,
        {"label": "fails"},
    )  # fmt: skip
    in_use = ExitStack()  # so this row fails
    in_use.enter_context(locked(run_of(study, "fails").folder, print))
    command = [sys.executable, "-m", "vsbench", "sweep", study]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        frozen(study, "killed")
        told("scancel", "--signal=KILL", job_of(study, "killed"))
        frozen(study, "late")  # until SLURM wakes it with its signal
        told("scontrol", "shutdown", "slurmctld")
        wait_for(lambda: "UP" in told("scontrol", "ping"), "the controller does not come back")
        undisturbed = request.getfixturevalue("undisturbed")  # trained now, while time runs out
        until(lambda: process.poll() is not None)
    finally:
        process.kill()
        said = process.communicate()[1]
        in_use.close()
    assert process.returncode == 1, said

    found = states(study)
    assert {name: one.state for name, one in found.items()} == {
        "killed": "stopped", "late": "done", "plain": "done", "other": "done", "two": "done", "fails": "failed",
    }, said  # fmt: skip
    assert found["killed"].why == "cancelled by SLURM or with scancel"
    assert f"in use by process {os.getpid()} on" in found["fails"].why
    late = run_of(study, "late").job_log.read_text()
    assert late.count("$ vsbench train") >= 2, "a slow machine makes it late again"
    assert "queues again: its time is up" in late
    assert {one.state for one in Sweep(study, again=True).result().values()} == {"done"}
    for label in (*labels, "fails"):
        assert_same_weights(run_of(study, label), undisturbed)
    assert losses(run_of(study, "two"), 2) == pytest.approx(losses(undisturbed, 2), rel=1e-4)
    for label in found:
        run = run_of(study, label)
        assert "HINT" not in run.job_log.read_text()
        assert all("submitit" in log.read_text() for log in run.folder.glob("slurm-*.log"))
        assert list(run.folder.glob("slurm-*.log"))


def test_where_a_cluster_cancels_jobs_and_lets_none_queue_again(pairs: Path, undisturbed: Run, tmp_path: Path) -> None:
    """Status says so, and retry begins another job; that one is cancelled by us, and so begun a third time."""
    asked = SLURM | {"hours": 1, "partition": "cheap", "options": {"no-requeue": True}}
    study = study_file(tmp_path, pairs, asked, {"label": "plain"})
    sweeping = Sweep(study)
    frozen(study, "plain")
    told("sbatch", "--partition=urgent", "--exclusive", "--nodes=2", "--output=/dev/null", "--wrap=true")
    found = sweeping.result()["plain"]
    assert found.state == "stopped"
    assert "cancels such jobs" in found.why or "may not queue again" in found.why
    assert found.step > 0

    sweeping = Sweep(study, again=True)
    row = frozen(study, "plain")
    call_off(study)
    os.kill(row, signal.SIGCONT)
    assert sweeping.result()["plain"].state == "cancelled"

    assert Sweep(study, again=True).result()["plain"].state == "done"
    assert_same_weights(run_of(study, "plain"), undisturbed)


def test_a_sweep_that_was_killed_while_it_began_jobs_leaves_none_on_hold_for_good(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither before its jobs were recorded nor before they were let go; and a row that waits can be called off."""
    asked = SLURM | {"hours": 1, "options": {"begin": "now+1hour"}}
    study = study_file(tmp_path, pairs, asked, {"label": "plain"})
    found, rows = read(study)

    def killed(*words: object) -> None:
        raise KeyboardInterrupt

    def queue() -> str:
        return told("squeue", "--noheader", "--states=PENDING", "--format=%A|%r|%j")

    for recorded in (False, True):
        with monkeypatch.context() as patched:
            patched.setattr(slurm, "_run", killed)
            if not recorded:
                patched.setattr(JobRecord, "write", killed)
            with pytest.raises(KeyboardInterrupt):
                executors_of(found)["slurm"].submit(rows, [])
    assert queue().count("|JobHeldUser|vsbench-begins-") == 2

    sweeping = Sweep(study)
    wait_for(lambda: "|BeginTime|vsbench\n" in queue(), "not begun")
    assert queue() == f"{job_of(study, 'plain')}|BeginTime|vsbench\n"
    assert states(study)["plain"].why == "SLURM: BeginTime"
    call_off(study)
    assert sweeping.result()["plain"].state == "cancelled"
    assert queue() == ""


def test_what_slurm_refuses_is_said_in_a_line(pairs: Path, tmp_path: Path) -> None:
    study = study_file(tmp_path, pairs, SLURM | {"hours": 1, "partition": "nowhere"}, {"label": "plain"})
    found, rows = read(study)
    with pytest.raises(UsageError, match="invalid partition specified: nowhere") as refused:
        executors_of(found)["slurm"].submit(rows, [])
    assert "\n" not in str(refused.value)


def test_what_no_node_has_is_waited_for_in_vain_and_that_is_said(pairs: Path, tmp_path: Path) -> None:
    """SLURM takes such jobs where they are submitted on hold."""
    study = study_file(tmp_path, pairs, SLURM | {"hours": 1, "memory": "900G"}, {"label": "plain"})
    found, rows = read(study)
    assert executors_of(found)["slurm"].submit(rows, []) == rows
    wait_for(lambda: states(study)["plain"].stuck, "not said")
    assert "BadConstraints (no node has what it asks for" in states(study)["plain"].why
    call_off(study)
    wait_for(lambda: states(study)["plain"].state == "cancelled", "not called off")
