"""The commands as a user types them, and one sweep with real trainings."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from vsbench.cli.app import _run
from vsbench.cli.sweep import _reasons as reasons
from vsbench.cli.sweep import _Watch, lines
from vsbench.engine.progress import Pace
from vsbench.records.job import JobRecord
from vsbench.studies.executors.local import LocalExecutor
from vsbench.studies.file import Local
from vsbench.studies.job_log import INTERRUPTED
from vsbench.studies.state import RowState, look_at
from vsbench.studies.sweep import train_rows

Command = Callable[..., "subprocess.CompletedProcess[str]"]
Read = Callable[..., Any]
Write = Callable[..., Path]
LONG = {"steps": 60, "crop_size": 32, "load_size": 0, "width": 4, "batch_size": 1}
PATIENCE_S = 180


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_sweep_and_its_killed_training_end_where_one_left_alone_ends(
    study: Read, train_here: Any, tmp_path: Path
) -> None:
    """Real processes of ``vsbench train``; what the first executor knew is gone with it."""
    how = {"workers": 0, "checkpoint_every": 1, "log_every": 3}
    _, rows = study(options=LONG, training=how)
    run = rows[0].run
    first = LocalExecutor(Local(device="cpu"))
    first.submit(rows, [])
    deadline = time.monotonic() + PATIENCE_S
    while not list(run.checkpoints.glob("step-0000001*.safetensors")):
        assert time.monotonic() < deadline, run.job_log.read_text()
        time.sleep(0.01)
    os.kill(int(JobRecord.read(run.job_file).id), signal.SIGKILL)
    first.leave()
    second = LocalExecutor(Local(device="cpu"))
    (one,) = look_at(rows, {"local": second})
    assert one.state == "stopped"
    assert 10 <= one.step < 60
    seen: list[RowState] = []
    (ended,) = train_rows(rows, {"local": second}, second, seen.extend)
    assert ended.state == "done", run.job_log.read_text()
    assert any(one.state == "running" and one.pace is not None and one.pace.seconds_left for one in seen)
    (alone,) = study(options=LONG, training=how, results="alone")[1]
    train_here(alone)
    made, wanted = (load_file(next(r.checkpoints.glob("step-00000060.safetensors"))) for r in (run, alone.run))
    assert made.keys() == wanted.keys()
    assert all(torch.equal(made[name], wanted[name]) for name in made)
    assert run.record.differences(alone.run.trained) == []


def test_the_table_of_a_whole_comparison_fits_80_columns(study: Read) -> None:
    entries = [{"method": "usigan", "label": "usigan+released+tau-0.001+cpu"}, {"method": "cut"}]
    _, rows = study(methods=entries, options={"crop_size": 32}, seeds=[0, 12])
    folds = {"folds": 5}
    rows = [replace(row, request=replace(row.request, dataset_options=folds)) for row in rows]
    job = JobRecord(executor="slurm", id="1234567_12", node="gpu-node-0123")
    states = [
        RowState(row, state, 434_800, 869_600, Pace(434_800, 12.3456, 123.456, 987_654.0), job, "gpu-node-0123", "x")
        for row, state in zip(rows, ("running", "waiting", "cancelled", "done"), strict=True)
    ]  # fmt: skip
    for told in (states, [replace(one, row=replace(one.row, fold=1)) for one in states]):
        table = lines(told, 80)
        assert max(map(len, table)) <= 80
        for whole in ("running", "435k/870k", "12.3", "123", "11 d", "gpu-nod", "1234567_12", "usigan+"):
            assert whole in table[2]
        assert len(table) == 2 + len(states), "one data set"
    assert "gpu-node-0123" in lines(states, 120)[2]


def test_a_reason_is_said_once_however_many_rows_have_it(study: Read) -> None:
    """As where three hundred jobs wait for their turn."""
    _, rows = study(seeds=list(range(300)))
    states = [RowState(row, "waiting", why="SLURM: Priority") for row in rows]
    states[1] = RowState(rows[1], "failed", why="the disk is full")
    said = reasons(states)
    assert len(said) == 2
    assert said[0].startswith("regression+cpu on folder-ki67, seed 0, regression+cpu on folder-ki67, seed 2, ")
    assert said[0].endswith(" and 296 more: SLURM: Priority")
    assert said[1] == "regression+cpu on folder-ki67, seed 1: the disk is full"


def test_a_row_that_waits_for_somebody_is_told_again_one_that_waits_for_its_turn_is_not(
    study: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sweep waits as long as its rows do: what will never come by itself is to be read there."""
    _, (row,) = study()
    with _Watch(1) as watch:
        for why, stuck in (("", False), ("SLURM: Priority", False), ("SLURM: Bad (ask for less)", True)):
            for _ in range(2):
                watch([RowState(row, "waiting", why=why, stuck=stuck)])
    told = "regression+cpu on folder-ki67, seed 0: waiting"
    assert capsys.readouterr().err.splitlines() == [told, f"{told}, SLURM: Bad (ask for less)"]


def test_status_and_plan_as_text_and_json(vsbench: Command, write: Write, study: Read, train_here: Any) -> None:
    file = write(seeds=[0, 1])
    _, rows = study(seeds=[0, 1])
    train_here(rows[0])
    shown = vsbench("sweep", "status", file)
    assert shown.returncode == 0, shown.stderr
    assert [line.split()[2] for line in shown.stdout.splitlines()[2:]] == ["done", "to"]
    told = json.loads(vsbench("sweep", "status", file, "--json").stdout)
    assert [(one["state"], one["step"], one["seed"]) for one in told] == [("done", 2, 0), ("to do", 0, 1)]
    planned = vsbench("sweep", file, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "1 done, 1 to do" in planned.stdout
    assert "dry run: no results are written" in planned.stdout
    plan = json.loads(vsbench("sweep", "--dry-run", file, "--json").stdout)
    assert plan["total"]["to_do"] == 1
    assert plan["total"]["disk_bytes"] == plan["rows"][1]["disk_bytes"] > 0
    assert plan["rows"][1]["seconds_left"] > 0
    assert not rows[1].run.folder.exists()


def test_called_off_and_left_so(vsbench: Command, write: Write, study: Read) -> None:
    file = write()
    (row,) = study()[1]
    assert "1 row cancelled; vsbench sweep retry" in vsbench("sweep", "cancel", file).stdout
    swept = vsbench("sweep", file)
    assert swept.returncode == 1
    assert f"1 of 1 rows are not done; once mended: vsbench sweep retry {file}" in swept.stderr
    assert "cancelled" in swept.stderr
    assert not row.run.record_file.exists()


def test_two_sweeps_of_one_study_do_not_run_beside_each_other(vsbench: Command, write: Write, tmp_path: Path) -> None:
    from vsbench.engine.lock import locked

    with locked(tmp_path / "results" / "studies" / "study", print):
        swept = vsbench("sweep", write())
    assert swept.returncode == 1
    assert "in use by process" in swept.stderr
    assert "vsbench sweep status" in swept.stderr
    assert "--label" not in swept.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sweep", "none.yaml"), "none.yaml: No such file"),
        (("sweep", "--jobs", "0", "x.yaml"), "--jobs"),
        (("merge", "results"), "name two folders or more"),
        (("merge", "none", "into"), "no results folder of vsbench"),
    ],
)
def test_a_wrong_word_is_said_in_a_line(vsbench: Command, words: tuple[str, ...], said: str) -> None:
    done = vsbench(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_merged_from_the_command_line(vsbench: Command, study: Read, train_here: Any, tmp_path: Path) -> None:
    _, rows = study(seeds=[0, 1])
    for row in rows:
        train_here(replace(row, request=replace(row.request, results=tmp_path / f"r{row.request.seed}")))
    merged = vsbench("merge", "r0", "r1", "both")
    assert merged.returncode == 0, merged.stderr
    assert merged.stdout == "both: 2 runs added, 0 replaced by further ones, 0 there already, 0 left\n"
    assert {path.name for path in (tmp_path / "both/runs/folder-ki67/regression+cpu").iterdir()} == {"seed-0", "seed-1"}


def test_what_is_interrupted_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Any command, whatever typer makes of Ctrl-C: the log of a job is read for this line."""

    def merge(*words: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vsbench.studies.merge.merge", merge)
    monkeypatch.setattr(sys, "argv", ["vsbench", "merge", "one", "into"])
    assert _run() == 130
    assert capsys.readouterr().err == f"{INTERRUPTED}\n"
