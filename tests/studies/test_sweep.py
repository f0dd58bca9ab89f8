"""Rows are trained by processes that nobody remembers but the files: begun once, killed, called off, gone on with."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vsbench.engine.interrupt import Interrupted
from vsbench.errors import UsageError
from vsbench.files import this_machine
from vsbench.records.job import JobRecord
from vsbench.studies import state, sweep
from vsbench.studies.executors import local
from vsbench.studies.executors.local import LocalExecutor
from vsbench.studies.file import Local, StudyFile
from vsbench.studies.plan import PlannedRow
from vsbench.studies.state import RowState, look_at
from vsbench.studies.sweep import cancel, train_rows

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no sessions and no sh")

Read = Callable[..., tuple[StudyFile, list[PlannedRow]]]
Program = Callable[[str], None]
FOUR = [{"method": "regression", "label": label} for label in "abcd"]
WAITS = "(folder / 'on').touch(); time.sleep(60)"
PATIENCE_S = 60


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "LOOK_S", 0.02)


@pytest.fixture
def run_rows() -> Iterator[Callable[..., list[RowState]]]:
    """``train_rows`` with one executor, whose processes end with the test."""
    used: list[Any] = []

    def run(rows: list[PlannedRow], executor: Any, tell: Any = lambda states: None, **more: Any) -> list[RowState]:
        used.append(executor)
        return train_rows(rows, {executor.name: executor}, executor, tell, **more)

    yield run
    for executor in used:
        executor.leave()


def states(rows: list[PlannedRow], executor: Any = None) -> list[str]:
    executor = executor or LocalExecutor(Local(device="cpu"))
    return [one.state for one in look_at(rows, {executor.name: executor})]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_rows_are_trained_once_and_a_failure_leaves_the_others_going(
    study: Read, here: Any, train_here: Any, run_rows: Any
) -> None:
    _, rows = study(methods=FOUR[:3])
    train_here(rows[2])
    before = next(rows[2].run.checkpoints.glob("*.safetensors")).stat().st_mtime_ns
    executor = here(bad=["a"])
    ended = run_rows(rows, executor)
    assert executor.begun == ["a", "b"]
    assert [one.state for one in ended] == ["failed", "done", "done"]
    assert ended[0].why == "the disk is full of crumbs; sweep them up"
    assert next(rows[2].run.checkpoints.glob("*.safetensors")).stat().st_mtime_ns == before
    assert [one.state for one in run_rows(rows, executor)] == ["failed", "done", "done"]
    assert executor.begun == ["a", "b"], "what failed waits to be asked for again"
    executor.bad = []
    assert [one.state for one in run_rows(rows, executor, again=True)] == ["done"] * 3
    assert executor.begun == ["a", "b", "a"]


def test_a_folder_of_another_run_is_not_taken_for_the_row(study: Read, train_here: Any) -> None:
    """Whatever differs: settings, precision, how it is carried out, which checkpoint stands for it."""
    _, rows = study()
    train_here(rows[0])
    assert states(rows) == ["done"]
    for training in ({"precision": "bf16-mixed"}, {"devices": 2}, {"accumulate": 2}, {"select": "best"}):
        _, others = study(training={"workers": 0, "checkpoint_every": 1, **training})
        (one,) = look_at(others, {})
        assert one.state == "failed"
        assert "holds another run" in one.why
    _, others = study(options={"steps": 2, "crop_size": 32, "load_size": 0, "width": 4, "batch_size": 2})
    assert "batch_size = 1 there, 2 here" in look_at(others, {})[0].why


def test_a_process_begins_only_when_its_job_is_recorded(study: Read, program: Program, monkeypatch: Any) -> None:
    """Else one whose sweep was killed in between would train unseen, and again beside itself."""
    _, rows = study()
    program("(folder / 'on').touch()")

    def killed(self: JobRecord, file: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(JobRecord, "write", killed)
    executor = LocalExecutor(Local(device="cpu"))
    with pytest.raises(KeyboardInterrupt):
        executor.submit(rows, [])
    assert not (rows[0].run.folder / "on").exists()
    assert states(rows) == ["to do"]
    begun = subprocess.run([*local.WHEN_RECORDED, "touch", str(rows[0].run.folder / "on")], stdin=subprocess.DEVNULL)
    assert begun.returncode != 0, "of a killed sweep the line never comes"
    assert not (rows[0].run.folder / "on").exists()


def test_so_many_at_a_time(study: Read, program: Program, run_rows: Any) -> None:
    _, rows = study(methods=FOUR)
    program("time.sleep(0.3); print('error: no')")
    most = 0

    def tell(seen: list[RowState]) -> None:
        nonlocal most
        most = max(most, sum(one.state == "running" for one in seen))

    ended = run_rows(rows, LocalExecutor(Local(jobs=3, device="cpu")), tell)
    assert most == 3
    assert [one.state for one in ended] == ["failed"] * 4


def test_what_a_killed_sweep_left_running_is_found_again(study: Read, program: Program, run_rows: Any) -> None:
    """Nothing is kept in memory: another executor, as of another process, sees the job, counts it and waits for it."""
    _, rows = study(methods=FOUR[:2])
    program(WAITS)
    first = LocalExecutor(Local(jobs=1, device="cpu"))
    assert first.submit(rows, []) == rows[:1]
    until((rows[0].run.folder / "on").exists)
    assert states(rows) == ["running", "to do"]
    second = LocalExecutor(Local(jobs=1, device="cpu"))
    job = JobRecord.read(rows[0].run.job_file)
    assert second.submit(rows[1:], [job]) == [], "there is room for one"
    os.kill(int(job.id), signal.SIGKILL)
    until(lambda: states(rows) == ["stopped", "to do"])
    first.leave()
    program("")
    assert [one.state for one in run_rows(rows, second)] == ["stopped", "stopped"]
    assert look_at(rows, {"local": second})[0].why == "its job was killed"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to tell processes of one number apart")
def test_another_process_of_the_same_number_is_not_the_job(study: Read) -> None:
    _, rows = study()
    rows[0].run.folder.mkdir(parents=True)
    mine = JobRecord(
        executor="local", id=str(os.getpid()), node="n", machine=this_machine(), began=local._began(os.getpid())
    )
    mine.write(rows[0].run.job_file)
    assert states(rows) == ["running"]
    mine.model_copy(update={"began": (mine.began or 0) - 1}).write(rows[0].run.job_file)
    assert states(rows) == ["stopped"]
    mine.model_copy(update={"machine": "0" * 8}).write(rows[0].run.job_file)
    (one,) = look_at(rows, {"local": LocalExecutor(Local(device="cpu"))})
    assert (one.state, "begun on n" in one.why) == ("elsewhere", True)
    LocalExecutor(Local(device="cpu")).cancel([mine.model_copy(update={"began": 1})])  # and is not ended


def test_each_job_has_gpus_of_its_own(study: Read, program: Program, monkeypatch: Any) -> None:
    """One that an earlier sweep left on a GPU keeps it."""
    _, rows = study(methods=FOUR)
    program("(folder / 'gpu').write_text(os.environ['CUDA_VISIBLE_DEVICES'] + ' ' + after('--device'))")
    monkeypatch.setattr(local, "gpus", lambda: ["3", "5", "MIG-1"])
    executor = LocalExecutor(Local(device="cuda"))
    assert executor.jobs == 3
    assert executor.submit(rows[:2], [JobRecord(executor="local", id="1", gpus=["3"])]) == rows[:2]
    for process in executor.own.values():
        process.wait(PATIENCE_S)
    assert [(row.run.folder / "gpu").read_text() for row in rows[:2]] == ["5 cuda", "MIG-1 cuda"]
    _, pair = study(methods=[{"method": "regression", "training": {"devices": 2}}])
    assert executor.submit(pair, [JobRecord(executor="local", id="1", gpus=["3", "5"])]) == []
    _, many = study(methods=[{"method": "regression", "training": {"devices": 4}}])
    with pytest.raises(UsageError, match="devices: 4, where 3 GPUs are here"):
        executor.submit(many, [])


def test_threads_are_shared_out_unless_they_are_set(study: Read, program: Program, monkeypatch: Any) -> None:
    program("(folder / 'threads').write_text(os.environ['OMP_NUM_THREADS'])")
    monkeypatch.setattr(local, "processors", lambda: 6)
    for number, (given, threads) in enumerate(((None, "3"), ("1", "1"))):
        _, rows = study(seeds=[number])
        if given is None:
            monkeypatch.delenv("OMP_NUM_THREADS")
        else:
            monkeypatch.setenv("OMP_NUM_THREADS", given)
        executor = LocalExecutor(Local(jobs=2, device="cpu"))
        executor.submit(rows, [])
        for process in executor.own.values():
            process.wait(PATIENCE_S)
        assert (rows[0].run.folder / "threads").read_text() == threads


def test_called_off_from_elsewhere_and_asked_for_again(study: Read, program: Program, run_rows: Any) -> None:
    """What runs ends by SIGTERM, what waits never begins, and another sweep leaves both until it is asked."""
    _, rows = study(methods=FOUR[:3])
    program("signal.signal(signal.SIGTERM, lambda *_: ((folder / 'asked').touch(), sys.exit(143)))\n" + WAITS)
    executor = LocalExecutor(Local(jobs=1, device="cpu"))

    def call_off() -> None:
        until((rows[0].run.folder / "on").exists)
        own = LocalExecutor(Local(device="cpu"))
        assert cancel(rows, {own.name: own}) == rows

    other = threading.Thread(target=call_off)
    other.start()
    ended = run_rows(rows, executor)
    other.join()
    assert [one.state for one in ended] == ["cancelled"] * 3
    assert (rows[0].run.folder / "asked").exists()
    assert not (rows[1].run.folder / "on").exists()
    program("print('error: tried')")
    assert [one.state for one in run_rows(rows, executor)] == ["cancelled"] * 3
    assert [one.state for one in run_rows(rows, executor, again=True)] == ["failed"] * 3


def test_rows_that_are_called_off_after_they_were_looked_at_are_told_so(
    study: Read, here: Any, run_rows: Any, monkeypatch: Any
) -> None:
    _, rows = study(methods=FOUR[:2])
    executor, looks, look = here(), list[int](), sweep.look_at

    def looked(*words: Any) -> list[RowState]:
        found = look(*words)
        looks.append(len(looks))
        if looks == [0]:
            cancel(rows, {"here": executor})
        return found

    monkeypatch.setattr(sweep, "look_at", looked)
    assert [one.state for one in run_rows(rows, executor)] == ["cancelled"] * 2
    assert executor.begun == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_jobs_with_their_checkpoints(
    study: Read, program: Program, run_rows: Any, number: int
) -> None:
    _, rows = study(methods=FOUR[:3])
    program(
        "def stop(*_):\n"  # as a training does: a second signal ends it before its checkpoint
        "    signal.signal(signal.SIGTERM, signal.SIG_DFL); time.sleep(0.3)\n"
        "    print('stopped at step 1 of 2, checkpoint written\\nwandb: synced'); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, stop)\n" + WAITS
    )
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it for what runs in background

    def tell(seen: list[RowState]) -> None:
        if sum((row.run.folder / "on").exists() for row in rows) == 2:
            signal.raise_signal(number)

    try:
        with pytest.raises(Interrupted, match="0 of 3 rows done") as stop:
            run_rows(rows, LocalExecutor(Local(jobs=2, device="cpu")), tell)
    finally:
        signal.signal(signal.SIGINT, before)
    assert stop.value.exit_code == 128 + number
    assert states(rows) == ["stopped", "stopped", "to do"]
    own = LocalExecutor(Local(device="cpu"))
    assert [one.why for one in look_at(rows, {"local": own})] == ["", "", ""], "none was killed"


def test_a_damaged_job_record_is_the_rows_failure(study: Read) -> None:
    _, rows = study()
    rows[0].run.folder.mkdir(parents=True)
    rows[0].run.job_file.write_text("{")
    (one,) = look_at(rows, {})
    assert one.state == "failed"
    assert "job.json: damaged" in one.why


def test_rows_whose_files_are_as_they_were_are_not_read_again(study: Read, train_here: Any, monkeypatch: Any) -> None:
    """A sweep looks twice a second, at hundreds of rows; what changed is seen, however it did."""
    _, rows = study(methods=FOUR[:3])
    for row in rows[:2]:
        train_here(row)
    rows[0].run.job_log.write_text("error: it is no day for it\n")
    ended = JobRecord(executor="local", id="1", machine=this_machine(), began=1)
    ended.write(rows[0].run.job_file)
    read: list[str] = []
    how_far = PlannedRow.how_far
    monkeypatch.setattr(PlannedRow, "how_far", lambda row: (read.append(row.name), how_far(row))[1])
    monkeypatch.setattr(state, "TICK_S", -1.0)
    executors, reader = {"local": LocalExecutor(Local(device="cpu"))}, state.Reader()
    looked = [look_at(rows, executors, reader) for _ in range(3)]
    assert looked[1:] == looked[:-1]
    assert read == ["a", "b", "c"]
    for file in rows[1].run.checkpoints.glob("*.safetensors"):
        file.unlink()
    rows[0].run.record_file.unlink()  # done no more
    seen = look_at(rows, executors, reader)
    assert read == ["a", "b", "c", "a", "b"]
    assert [one.state for one in seen] == ["failed", "to do", "to do"]
    ended.model_copy(update={"cancelled": True}).write(rows[0].run.job_file)
    assert look_at(rows, executors, reader)[0].state == "cancelled"
    monkeypatch.setattr(state, "TICK_S", 60.0)
    for _ in range(2):
        look_at(rows, executors, fresh := state.Reader())
    assert not [files for files in fresh.known if rows[1].run.folder / "log.csv" in files], "it may change in this tick"
