"""What is asked of SLURM for a row, and what its answers mean. The real thing: tests/cluster."""

import os
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from vsbench.config import build_config
from vsbench.engine.run import Run
from vsbench.errors import RunError, UsageError
from vsbench.records.job import JobRecord, now
from vsbench.studies import sweep
from vsbench.studies.executors import slurm, slurm_job
from vsbench.studies.executors.slurm import SlurmExecutor, parameters
from vsbench.studies.file import Slurm, StudyFile, Training
from vsbench.studies.state import look_at
from vsbench.studies.sweep import train_rows

Row = Callable[..., Any]


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
        {"hours": 4, "options": {"cpus-per-task": 8}},  # which submitit would set to another number after it
        {"hours": 4, "options": {"output": "mine.log"}},
        {"hours": 4, "jobs": 0},
    ],
)
def test_what_a_cluster_can_not_be_asked_is_an_error(settings: dict[str, Any]) -> None:
    content = {"methods": ["cut"], "datasets": [{"dataset": "mist", "stains": ["er"]}]}
    with pytest.raises(UsageError, match="executor"):
        build_config(StudyFile, content | {"executor": {"kind": "slurm"} | settings})


def script(folder: Path, name: str, source: str) -> None:
    """A program in place of one of SLURM's."""
    (folder / name).write_text(f"#!/bin/sh\n{source}\n")
    (folder / name).chmod(0o755)


def executor(folder: Path, monkeypatch: pytest.MonkeyPatch, squeue: str, sacct: str = "exit 1") -> SlurmExecutor:
    """One that finds these scripts as SLURM's commands."""
    script(folder, "squeue", squeue)
    script(folder, "sacct", sacct)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return SlurmExecutor(Slurm(kind="slurm", hours=1.0), folder)


def ago(seconds: float) -> str:
    """As squeue says when a job ended."""
    return (datetime.now() - timedelta(seconds=seconds)).isoformat(timespec="seconds")


def jobs(*numbers: str) -> list[JobRecord]:
    return [JobRecord(executor="slurm", id=number) for number in numbers]


def test_what_the_queue_says_and_of_what_it_forgot_the_accounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = f"{ago(100)}|None"
    queue = (
        "printf '5_0|RUNNING|n1|2030-01-01T00:00:00|None\\n5_1|PENDING||N/A|Priority\\n"
        f"5_2|COMPLETED|n2|{ended}\\n5_3|PREEMPTED|n2|{ended}\\n'"
    )
    accounts = f"printf '6|CANCELLED by 0|n3|{ago(100)}\\n7|OUT_OF_MEMORY|n3|{ago(100)}\\n9|REQUEUED||Unknown\\n'"
    found = executor(tmp_path, monkeypatch, queue, accounts).look(jobs("5_0", "5_1", "5_2", "5_3", "6", "7", "8", "9"))
    assert [one.state for one in found] == ["running", "waiting", "gone", "gone", "gone", "gone", "gone", "waiting"]
    assert [one.node for one in found] == ["n1", None, "n2", "n2", "n3", "n3", None, None]
    assert found[1].why == "SLURM: Priority"
    assert "cancels such jobs; retry" in found[3].why
    assert found[4].why == "cancelled by SLURM or with scancel"
    assert found[5].why == "out of memory; ask for more"


def test_a_job_that_waits_for_what_never_comes_is_stuck(
    study: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where more is asked for than any node has, which SLURM takes of jobs that are submitted on hold."""
    rows = study(seeds=[0, 1, 2])[1]
    for row, number in zip(rows, "567", strict=True):
        row.run.folder.mkdir(parents=True)
        JobRecord(executor="slurm", id=number).write(row.run.job_file)
    queue = "printf '5|PENDING||N/A|BadConstraints\n6|PENDING||N/A|Resources\n7|RUNNING|n1|N/A|JobHeldUser\n'"
    found = look_at(rows, {"slurm": executor(tmp_path, monkeypatch, queue)})
    assert [one.stuck for one in found] == [True, False, False]
    assert found[0].why == "SLURM: BadConstraints (no node has what it asks for: cancel, ask for less, retry)"


@pytest.mark.parametrize("word", ["COMPLETED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "CANCELLED", "?"])
@pytest.mark.parametrize(("seconds", "state"), [(3, "ending"), (-30, "ending"), (100, "gone")])
def test_a_job_that_ended_a_moment_ago_may_queue_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, seconds: float, state: str
) -> None:
    """By SLURM's clock, which may go before this one; from the queue or the accounts."""
    said = f"echo '5|{word}|n1|{ago(seconds)}|None'"
    assert executor(tmp_path, monkeypatch, said).look(jobs("5"))[0].state == state
    assert executor(tmp_path, monkeypatch, "", said).look(jobs("5"))[0].state == state


def test_the_words_of_a_newer_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = "printf '5|POWER_UP_NODE|n1|N/A|None\\n6|EXPEDITING||N/A|None\\n7|UPDATE_DB|n1|N/A|None\\n'"
    found = executor(tmp_path, monkeypatch, queue).look(jobs("5", "6", "7"))
    assert [one.state for one in found] == ["running", "waiting", "running"]


def test_a_cluster_may_have_no_command_that_asks_its_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "squeue", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert SlurmExecutor(Slurm(kind="slurm", hours=1.0), tmp_path).look(jobs("5"))[0].state == "gone"


class Choosy(SlurmExecutor):
    """SLURM that takes ``most`` jobs at once, and ``room`` in all. ``arrays``: how many it was asked for each time."""

    def __init__(self, folder: Path, most: int, room: int = 100) -> None:
        super().__init__(Slurm(kind="slurm", hours=1.0), folder)
        self.most, self.room, self.arrays = most, room, list[int]()

    def _begin(self, rows: Any) -> None:
        self.arrays.append(len(rows))
        if len(rows) > min(self.most, self.room):
            raise slurm.RefusedError("SLURM refuses the jobs: Invalid job array specification")
        self.room -= len(rows)


def test_an_array_that_is_too_large_is_asked_for_in_halves(study: Row, tmp_path: Path) -> None:
    """MaxArraySize may be any number, and so how many jobs a user may have."""
    rows = study(seeds=list(range(10)))[1]
    small = Choosy(tmp_path, most=3)
    assert small.submit(rows, []) == rows
    assert small.arrays == [10, 5, 2, 3, 5, 2, 3]
    full = Choosy(tmp_path, most=100, room=6)
    assert full.submit(rows, []) == rows[:6]
    assert full.submit(rows[6:], jobs("5")) == []
    assert full.arrays == [10, 5, 5, 2, 1, 1]  # and then not at once again
    none = Choosy(tmp_path, most=0)
    with pytest.raises(UsageError, match="SLURM refuses"):
        none.submit(rows, [])
    assert none.arrays == [10, 5, 2, 1]


def test_what_a_user_always_asks_of_sbatch_stays_where_the_study_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As some centres have it: SBATCH_ACCOUNT in the shell's start-up file. sbatch puts it before a script's own."""
    for name in ("SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_TIMELIMIT", "SLURM_JOB_ID"):
        monkeypatch.setenv(name, "own")
    with slurm._environment(Slurm(kind="slurm", hours=1.0, partition="gpu")):
        left = {name for name in os.environ if name.startswith(("SBATCH_", "SLURM_JOB"))}
    assert left == {"SBATCH_ACCOUNT"}
    assert os.environ["SBATCH_PARTITION"] == "own"


@pytest.mark.parametrize("silence", ["", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"])
def test_a_job_that_neither_queue_nor_accounts_know_has_ended_unless_there_was_a_sign_of_it_lately(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silence: str
) -> None:
    asking = executor(tmp_path, monkeypatch, silence)
    long_ago, lately = (JobRecord(executor="slurm", id="5", submitted=when) for when in ("2026-01-01T00:00:00Z", now()))
    assert [one.state for one in asking.look([long_ago])] == ["gone"]
    assert [executor(tmp_path, monkeypatch, silence).look([one])[0].state for one in (long_ago, lately)] == [
        "gone", "ending",
    ]  # fmt: skip
    monkeypatch.setattr(slurm, "ASK_S", -1.0)
    script(tmp_path, "squeue", "echo '5|RUNNING|n1|N/A|None'")
    assert asking.look([long_ago])[0].state == "running"
    script(tmp_path, "squeue", silence)
    assert asking.look([long_ago])[0].state == "ending"
    monkeypatch.setattr(slurm, "GRACE_S", 0.0)
    assert asking.look([long_ago])[0].state == "gone"


def test_what_is_no_number_of_a_job_is_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job record may come from elsewhere."""
    asking = executor(tmp_path, monkeypatch, f'echo "$@" >>{tmp_path}/said')
    assert [one.state for one in asking.look(jobs("--me", "5_1,6", "7_2"))] == ["gone"] * 3
    assert " --jobs=7 " in (tmp_path / "said").read_text()


@pytest.mark.parametrize(
    ("last", "state", "why"),
    [
        ("pix2pix: step 10 of 80", "running", ""),
        ("stopped at step 10 of 80, checkpoint written", "running", ""),
        ("queues again: its time is up", "running", ""),
        ("error: interrupted", "running", ""),
        ("error: the disk is full", "failed", "the disk is full"),
        ("error: the disk is full\nwandb: synced", "failed", "the disk is full"),
        ("stopped: its time is up, and it may not\nwandb: synced", "stopped", "its time is up, and it may not"),
        ("stopped: its time is up, and it may not queue again (no)", "stopped", "its time is up, and it may not"),
    ],
)
def test_what_a_job_said_last_counts_at_once_and_its_end_in_the_queue_after_a_while(
    study: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str, state: str, why: str
) -> None:
    (row,) = study()[1]
    row.run.folder.mkdir(parents=True)
    JobRecord(executor="slurm", id="5").write(row.run.job_file)
    row.run.job_log.write_text(f"$ vsbench train\n{last}\n")
    for seconds, expected in ((0, state), (100, "failed" if state == "failed" else "stopped")):
        asking = executor(tmp_path, monkeypatch, f"echo '5|FAILED|n1|{ago(seconds)}|NonZeroExitCode'")
        (one,) = look_at([row], {"slurm": asking})
        assert one.state == expected
        assert why in one.why
    if last.startswith("queues again"):
        assert "was to queue again, and has ended before it trained" in one.why


def test_a_sweep_stays_with_a_row_through_all_that_its_queue_says_of_it(
    study: Row, train_here: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of time, queued again, its controller started anew, forgotten, and done though SLURM does not know yet."""
    (row,) = study()[1]
    row.run.folder.mkdir(parents=True)
    row.run.job_log.write_text("$ vsbench train\nqueues again: its time is up\n")
    answers = [
        "5|RUNNING|n1|2030-01-01T00:00:00|None", "5|COMPLETING|n1|{now}|None", "5|FAILED|n1|{now}|NonZeroExitCode",
        "5|PENDING||N/A|BeginTime", "down", "5|REQUEUED||N/A|None", "5|TIMEOUT|n1|{now}|TimeLimit", "nothing",
        "5|CONFIGURING|n2|N/A|None", "5|NODE_FAIL|n2|{now}|None", "5|PENDING||N/A|None", "5|RUNNING|n1|N/A|None",
        "5|COMPLETED|n1|{now}|None",
    ]  # fmt: skip
    asking = executor(tmp_path, monkeypatch, f"cat {tmp_path}/answer")
    JobRecord(executor="slurm", id="5").write(row.run.job_file)
    seen, left = list[str](), iter(answers)
    monkeypatch.setattr(slurm, "ASK_S", -1.0)

    def next_answer(seconds: float) -> None:
        answer = next(left, None)
        assert answer is not None, "the sweep does not end"
        if answer == answers[-1]:
            train_here(row)
        script(tmp_path, "squeue", {"down": "exit 1", "nothing": ""}.get(answer, f"echo '{answer.format(now=ago(0))}'"))

    next_answer(0)
    monkeypatch.setattr(sweep.time, "sleep", next_answer)
    (one,) = train_rows([row], {"slurm": asking}, asking, lambda states: seen.append(states[0].state))
    assert one.state == "done"
    assert list(left) == []
    assert set(seen[:-1]) == {"running", "waiting"}


def test_jobs_that_were_on_hold_when_their_sweep_was_killed_are_begun_again(
    study: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded or not; none that waits for its turn, whose job is another's, or that runs."""
    rows = study(seeds=[0, 1, 2])[1]
    finding = executor(tmp_path, monkeypatch, f"echo \"$@\" >>{tmp_path}/asked; printf '7|0\\n8|0\\n9|4000\\n'")
    script(tmp_path, "scancel", f'echo "$@" >>{tmp_path}/said')
    for row, number in zip(rows, ("7_1", "9", "70"), strict=True):
        row.run.folder.mkdir(parents=True)
        JobRecord(executor="slurm", id=number).write(row.run.job_file)
    finding.recover(rows)
    assert (tmp_path / "said").read_text() == "--quiet 7 8\n"
    assert [row.run.job_file.exists() for row in rows] == [False, True, True]
    assert f"--name={finding.beginning}" in (tmp_path / "asked").read_text()
    other = SlurmExecutor(Slurm(kind="slurm", hours=1.0), tmp_path / "other")
    assert other.beginning != finding.beginning, "each results folder has its own"
    script(tmp_path, "squeue", "exit 1")
    finding.recover(rows)
    assert (tmp_path / "said").read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("told", "asked", "state", "said"),
    [
        (signal.SIGTERM, "exit 0", "RUNNING", ["queues again: SLURM takes its machine back"]),
        (signal.SIGUSR2, "exit 0", "RUNNING", ["queues again: its time is up"]),
        (signal.SIGTERM, "exit 1", "COMPLETING", []),  # cancelled, or queued again by SLURM: it is not asked
        (signal.SIGUSR2, "echo 'Job is pending execution' >&2; exit 1", "PENDING", ["queues again: its time is up"]),
        (
            signal.SIGUSR2, "echo 'Requested operation is presently disabled' >&2; exit 1", "RUNNING",
            ["queues again: its time is up",
             "stopped: its time is up, and it may not queue again (Requested operation is presently disabled); "
             "retry begins another job"],
        ),
    ],
)  # fmt: skip
def test_a_job_says_that_it_queues_again_and_whether_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: int, asked: str, state: str, said: list[str]
) -> None:
    script(tmp_path, "scontrol", f'if [ "$1" = requeue ]; then {asked}; fi; echo "JobId=5 JobState={state}"')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    run = Run(tmp_path)
    run.job_log.touch()
    slurm_job._queue_again(run, told)
    assert run.job_log.read_text().splitlines() == said


def test_a_controller_that_is_started_anew_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = (
        f"[ -e {tmp_path}/up ] || {{ touch {tmp_path}/up; echo 'Unable to contact slurm controller' >&2; exit 1; }}"
    )
    script(tmp_path, "scontrol", f'if [ "$1" = requeue ]; then {silent}; fi')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    monkeypatch.setattr(slurm_job, "ASK_AGAIN_S", 0.0)
    run = Run(tmp_path)
    slurm_job._queue_again(run, signal.SIGUSR2)
    assert run.job_log.read_text() == "queues again: its time is up\n"


def test_of_an_array_that_waits_only_what_is_meant_is_called_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """scancel with --state would take all of it; a job that runs is told, so that it ends with a checkpoint."""
    queue = "printf '5_0|RUNNING|n1|N/A|None\\n5_1|PENDING||N/A|Priority\\n5_2|PENDING||N/A|Priority\\n'"
    said = tmp_path / "said"
    calling = executor(tmp_path, monkeypatch, queue)
    (tmp_path / "scancel").write_text(f'#!/bin/sh\necho "$@" >>{said}\nexit 1\n')  # as where a job has just ended
    (tmp_path / "scancel").chmod(0o755)
    calling.cancel(jobs("5_0", "5_1"))
    assert said.read_text() == "--quiet 5_1\n--quiet --signal=USR1 5_0\n"
    (tmp_path / "scancel").write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n")
    with pytest.raises(RunError, match="scancel: Unable to contact"):
        calling.cancel(jobs("5_0"))


def test_a_controller_that_does_not_answer_ends_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = executor(tmp_path, monkeypatch, "echo 'Unable to contact slurm controller' >&2; exit 1")
    (found,) = silent.look(jobs("5"))
    assert (found.state, found.why) == ("waiting", "SLURM's controller does not answer")


def test_the_controller_is_not_asked_at_each_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = tmp_path / "count"
    asking = executor(tmp_path, monkeypatch, f"echo x >>{count}; echo '5|RUNNING|n1|N/A|None'")
    for _ in range(5):
        asking.look(jobs("5"))
    asking.look(jobs("5", "6"))
    assert count.read_text() == "x\nx\n"


def test_where_slurms_commands_are_missing_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = SlurmExecutor(Slurm(kind="slurm", hours=1.0), tmp_path).look(jobs("5"))
    assert found.state == "elsewhere"
