"""A sweep on a real cluster: rows that are killed, run out of time, fail, and lie on two nodes, and a controller that
is started anew meanwhile. All end as they must, and what survives is what an undisturbed local run is, bit for bit.
"""

import csv
import json
import os
import re
import signal
import subprocess
import sys
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

PATIENCE_S = 600
STEPS = 80
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


def sweep(*words: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "vsbench", "sweep", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(*words: object) -> tuple[int, str]:
    """The exit code of a command of ``vsbench sweep``, and what it says on standard error."""
    process = sweep(*words)
    said = process.communicate(timeout=PATIENCE_S)[1]
    return process.returncode, said


def told(*words: object) -> str:
    """What a command of SLURM says; nothing where its controller does not answer."""
    return subprocess.run([*map(str, words)], capture_output=True, text=True, check=False).stdout


def states(study: Path) -> dict[str, dict[str, Any]]:
    """How far the rows are, by name, as ``vsbench sweep status --json`` has it."""
    said, _ = sweep("status", study, "--json").communicate(timeout=PATIENCE_S)
    return {row["row"]: row for row in json.loads(said)}


def wait_for(condition: Callable[[], Any], why: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, why
        time.sleep(0.05)
    return found


def job_of(study: Path, row: str) -> str:
    return str(json.loads(run_of(study, row).job_file.read_text())["id"])


def frozen(study: Path, row: str, sweeping: "subprocess.Popen[str]") -> int:
    """The process that trains a row, held at one of its first steps until SIGCONT."""
    run = run_of(study, row)

    def trains() -> int:
        assert sweeping.poll() is None, sweeping.communicate()
        if not run.job_log.exists() or ": step " not in run.job_log.read_text().rpartition("$ vsbench train")[2]:
            return 0
        process = int(re.findall(r"process (\d+) on", (run.folder / ".lock").read_text())[0])
        return process if Path(f"/proc/{process}").exists() else 0  # else it is that of the last job

    process = int(wait_for(trains, f"{row} does not train"))
    os.kill(process, signal.SIGSTOP)
    assert run.log_file.read_text().count("\n") <= STEPS, f"{row} was too fast"
    return process


def queue_at_once(job: str) -> None:
    """A job that queues again has to wait for two minutes, unless an administrator says otherwise."""
    wait_for(lambda: "PENDING" in told("squeue", "--noheader", "--format=%T", f"--jobs={job}"), "not queued again")
    wait_for(lambda: "BeginTime" in told("squeue", "--noheader", "--format=%r", f"--jobs={job}"), "not queued again")
    told("scontrol", "update", f"jobid={job}", "StartTime=now")


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
def begun(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of a process of this machine that trains what each of the rows is, whatever that is called."""
    return study_file(tmp_path_factory.mktemp("local"), pairs, {"kind": "local", "device": "cpu"}, {"label": "alone"})


@pytest.fixture(scope="module")
def undisturbed(begun: Path) -> Run:
    """Its run."""
    code, said = ended(begun)
    assert code == 0, said
    return run_of(begun, "alone")


def test_rows_that_are_killed_run_out_of_time_or_fail_leave_the_others_going(
    pairs: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """One lies on two nodes, and the controller is started anew while all of them run."""
    two = {"options": {"downs": 3, "batch_size": 1}, "training": {"nodes": 2}}
    labels = ("killed", "late", "plain", "other")
    slurm = SLURM | {"hours": 2 / 60, "setup": ["export MASTER_ADDR=127.0.0.1"]}  # where this cluster's nodes are
    study = study_file(
        tmp_path, pairs, slurm, *({"label": label} for label in labels), {"label": "two"} | two,
        {"label": "fails"},
    )  # fmt: skip
    in_use = ExitStack()  # so this row fails
    in_use.enter_context(locked(run_of(study, "fails").folder, print))
    process = sweep(study)
    try:
        frozen(study, "killed", process)
        told("scancel", "--signal=KILL", job_of(study, "killed"))
        frozen(study, "late", process)  # until SLURM wakes it with its signal
        told("scontrol", "shutdown", "slurmctld")
        wait_for(lambda: "UP" in told("scontrol", "ping"), "the controller does not come back")
        undisturbed = request.getfixturevalue("undisturbed")  # trained now, while time runs out
        queue_at_once(job_of(study, "late"))
        _, said = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        in_use.close()
    assert process.returncode == 1, said

    found = states(study)
    assert {name: row["state"] for name, row in found.items()} == {
        "killed": "stopped", "late": "done", "plain": "done", "other": "done", "two": "done", "fails": "failed",
    }, said  # fmt: skip
    assert found["killed"]["why"] == "cancelled by SLURM or with scancel"
    assert f"in use by process {os.getpid()} on" in found["fails"]["why"]
    assert run_of(study, "late").job_log.read_text().count("$ vsbench train") == 2
    code, said = ended("retry", study)
    assert code == 0, said
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
    slurm = SLURM | {"hours": 1, "partition": "cheap", "options": {"no-requeue": True}}
    study = study_file(tmp_path, pairs, slurm, {"label": "plain"})
    process = sweep(study)
    frozen(study, "plain", process)
    told("sbatch", "--partition=urgent", "--exclusive", "--nodes=2", "--output=/dev/null", "--wrap=true")
    said = process.communicate(timeout=PATIENCE_S)[1]
    found = states(study)["plain"]
    assert (process.returncode, found["state"]) == (1, "stopped"), said
    assert "cancels such jobs" in found["why"] or "may not queue again" in found["why"]
    assert found["step"] > 0

    process = sweep("retry", study)
    row = frozen(study, "plain", process)
    assert ended("cancel", study) == (0, "")
    os.kill(row, signal.SIGCONT)
    said = process.communicate(timeout=PATIENCE_S)[1]
    assert (process.returncode, states(study)["plain"]["state"]) == (1, "cancelled"), said

    code, said = ended("retry", study)
    assert code == 0, said
    assert_same_weights(run_of(study, "plain"), undisturbed)


def test_a_row_that_waits_never_begins_once_it_is_cancelled(pairs: Path, tmp_path: Path) -> None:
    study = study_file(tmp_path, pairs, SLURM | {"hours": 1, "options": {"begin": "now+1hour"}}, {"label": "plain"})
    process = sweep(study)
    wait_for(run_of(study, "plain").job_file.exists, "not submitted")
    assert states(study)["plain"]["why"] == "SLURM: BeginTime"
    assert ended("cancel", study) == (0, "")
    said = process.communicate(timeout=PATIENCE_S)[1]
    assert (process.returncode, states(study)["plain"]["state"]) == (1, "cancelled"), said
    assert told("squeue", "--noheader", f"--jobs={job_of(study, 'plain')}") == ""


def test_what_slurm_refuses_is_said_in_a_line(pairs: Path, tmp_path: Path) -> None:
    study = study_file(tmp_path, pairs, SLURM | {"hours": 1, "partition": "nowhere"}, {"label": "plain"})
    code, said = ended(study)
    assert (code, said.count("\n")) == (2, 1)
    assert "invalid partition specified: nowhere" in said
