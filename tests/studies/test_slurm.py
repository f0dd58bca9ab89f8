"""What is asked of SLURM for a row, and what its answers mean. The real thing: tests/cluster."""

import os
from pathlib import Path
from typing import Any

import pytest

from vsbench.config import build_config
from vsbench.errors import RunError, UsageError
from vsbench.records.job import JobRecord
from vsbench.studies.executors.slurm import SlurmExecutor, parameters
from vsbench.studies.file import Slurm, StudyFile, Training


def asked(training: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    return parameters(Slurm(kind="slurm", **{"hours": 4.0, **settings}), Training(**(training or {})))


def test_a_task_for_each_device_with_the_processors_of_its_workers() -> None:
    """srun is told itself how many, which it takes from sbatch no more: else all would share one."""
    found = asked({"devices": 8, "nodes": 2, "workers": 3})
    assert (found["nodes"], found["ntasks_per_node"], found["gpus_per_node"]) == (2, 8, "8")
    assert found["cpus_per_task"] == 4
    assert "--cpus-per-task=4" in found["srun_args"]
    assert asked(gpu="a100")["gpus_per_node"] == "a100:1"
    assert "gpus_per_node" not in asked(device="cpu")


def test_jobs_are_held_until_their_records_are_written_and_may_queue_again() -> None:
    assert asked()["additional_parameters"] == {"hold": True, "requeue": True}
    assert "requeue" not in asked(options={"no-requeue": True})["additional_parameters"]
    assert asked(options={"constraint": "a100", "nice": 5})["additional_parameters"] == {
        "hold": True, "requeue": True, "constraint": "a100", "nice": 5,
    }  # fmt: skip


def test_hours_are_whole_minutes_and_what_is_not_said_is_left_to_the_cluster() -> None:
    assert (asked(hours=0.001)["time"], asked(hours=1.5)["time"]) == (1, 90)
    assert not {"partition", "account", "qos", "mem"} & asked().keys()
    found = asked(partition="gpu", account="lab", qos="high", memory="64G", jobs=4)
    assert [found[key] for key in ("partition", "account", "qos", "mem", "array_parallelism")] == [
        "gpu", "lab", "high", "64G", 4,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"hours": 0},
        {"hours": float("inf")},
        {"hours": 4, "memory": "64 GB"},
        {"hours": 4, "partition": "gpu; rm -rf ~"},
        {"hours": 4, "options": {"constraint": "$(touch x)"}},
        {"hours": 4, "options": {"--constraint": "a100"}},
        {"hours": 4, "jobs": 0},
    ],
)
def test_what_a_cluster_can_not_be_asked_is_an_error(settings: dict[str, Any]) -> None:
    content = {"methods": ["cut"], "datasets": [{"dataset": "mist", "stains": ["er"]}]}
    with pytest.raises(UsageError, match="executor"):
        build_config(StudyFile, content | {"executor": {"kind": "slurm"} | settings})


def executor(folder: Path, monkeypatch: pytest.MonkeyPatch, squeue: str, sacct: str = "exit 1") -> SlurmExecutor:
    """One that finds these scripts as SLURM's commands."""
    for name, script in (("squeue", squeue), ("sacct", sacct)):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return SlurmExecutor(Slurm(kind="slurm", hours=1.0), folder)


def jobs(*numbers: str) -> list[JobRecord]:
    return [JobRecord(executor="slurm", id=number) for number in numbers]


def test_what_the_queue_says_and_of_what_it_forgot_the_accounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = "printf '5_0|RUNNING|n1|None\\n5_1|PENDING||Priority\\n5_2|COMPLETED|n2|None\\n5_3|PREEMPTED|n2|None\\n'"
    found = executor(tmp_path, monkeypatch, queue, "printf '6|CANCELLED by 0|n3\\n7|OUT_OF_MEMORY|n3\\n'").look(
        jobs("5_0", "5_1", "5_2", "5_3", "6", "7", "8")
    )
    assert [one.state for one in found] == ["running", "waiting", "gone", "gone", "gone", "gone", "gone"]
    assert [one.node for one in found] == ["n1", None, "n2", "n2", "n3", "n3", None]
    assert found[1].why == "SLURM: Priority"
    assert "cancels such jobs; retry" in found[3].why
    assert found[4].why == "cancelled by SLURM or with scancel"
    assert found[5].why == "out of memory; ask for more"


def test_of_an_array_that_waits_only_what_is_meant_is_called_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """scancel with --state would take all of it; a job that runs is told, so that it ends with a checkpoint."""
    queue = "printf '5_0|RUNNING|n1|None\\n5_1|PENDING||Priority\\n5_2|PENDING||Priority\\n'"
    said = tmp_path / "said"
    calling = executor(tmp_path, monkeypatch, queue)
    (tmp_path / "scancel").write_text(f'#!/bin/sh\necho "$@" >>{said}\nexit 1\n')  # as where a job has just ended
    (tmp_path / "scancel").chmod(0o755)
    calling.cancel(jobs("5_0", "5_1"))
    assert said.read_text() == "--quiet 5_1\n--quiet --signal=TERM 5_0\n"
    (tmp_path / "scancel").write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n")
    with pytest.raises(RunError, match="scancel: Unable to contact"):
        calling.cancel(jobs("5_0"))


def test_a_controller_that_does_not_answer_ends_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = executor(tmp_path, monkeypatch, "echo 'Unable to contact slurm controller' >&2; exit 1")
    (found,) = silent.look(jobs("5"))
    assert (found.state, found.why) == ("waiting", "SLURM's controller does not answer")


def test_the_controller_is_not_asked_at_each_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = tmp_path / "count"
    asking = executor(tmp_path, monkeypatch, f"echo x >>{count}; echo '5|RUNNING|n1|None'")
    for _ in range(5):
        asking.look(jobs("5"))
    asking.look(jobs("5", "6"))
    assert count.read_text() == "x\nx\n"


def test_where_slurms_commands_are_missing_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = SlurmExecutor(Slurm(kind="slurm", hours=1.0), tmp_path).look(jobs("5"))
    assert found.state == "elsewhere"
