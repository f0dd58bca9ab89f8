"""One process at a time trains in a run folder, and a killed one leaves no lock behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vsbench.engine.lock import locked
from vsbench.engine.run import Run
from vsbench.errors import RunError
from vsbench.files import write_text

pytest.importorskip("fcntl", reason="nothing is locked on Windows")

HOLD = """
import os, sys, time
from pathlib import Path
from vsbench.engine.lock import locked
with locked(Path(sys.argv[1]), print):
    if os.fork() == 0:  # as the processes that prepare batches are made
        time.sleep(60)
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process, in a group with a child of its own, that holds the folder ``run``."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        os.killpg(process.pid, signal.SIGKILL)


def test_the_second_process_is_told_of_the_first(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    with (
        pytest.raises(RunError, match=rf"run: in use by process {holder.pid} on {socket.gethostname()}; ") as error,
        locked(tmp_path / "run", print),
    ):
        pass
    assert "\n" not in str(error.value)


def test_a_killed_process_holds_nothing_though_its_child_lives(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    holder.kill()
    holder.wait()
    with locked(tmp_path / "run", print):
        assert f"process {os.getpid()} on" in (tmp_path / "run" / ".lock").read_text()


def test_the_same_process_is_kept_out_too_and_lets_go(tmp_path: Path) -> None:
    with locked(tmp_path, print), pytest.raises(RunError, match="this very process"), locked(tmp_path, print):
        pass
    with locked(tmp_path, print):
        pass


def test_a_file_system_without_locks_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("vsbench.engine.lock.fcntl.lockf", unknown)
    said: list[str] = []
    with locked(tmp_path, said.append):
        assert "cannot be locked (Operation not supported)" in said[0]


def test_a_training_holds_its_folder_and_changes_nothing_in_one_that_is_held(
    train: Callable[..., Run], stopped: Callable[..., Run], tmp_path: Path
) -> None:
    run = stopped(tmp_path, "pix2pix", stop_at=3)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    with locked(run.folder, print):
        before[run.folder / ".lock"] = (run.folder / ".lock").read_bytes()
        with pytest.raises(RunError, match="in use by"):
            train(tmp_path, "pix2pix", resume=True)
    assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before
    train(tmp_path, "pix2pix", resume=True)
    assert run.record.finished is True


@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "folder"])
def test_a_lock_that_is_no_file_is_refused_and_what_it_points_to_stays(kind: str, tmp_path: Path) -> None:
    run, lock, theirs = tmp_path / "run", tmp_path / "run" / ".lock", tmp_path / "theirs"
    run.mkdir()
    theirs.write_text("mine")
    if kind == "fifo":
        os.mkfifo(lock)
    elif kind == "folder":
        lock.mkdir()
    else:
        lock.symlink_to(theirs if kind == "link" else tmp_path / "nowhere")
    with pytest.raises(RunError, match="no file of vsbench"), locked(run, print):
        pass
    assert theirs.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("made_anew", [False, True])
def test_nothing_is_written_into_a_folder_that_was_deleted_under_the_lock(made_anew: bool, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with locked(run, print):
        write_text(run / "checkpoints" / "a", "")
        shutil.rmtree(run)
        if made_anew:
            run.mkdir()
            (run / ".lock").touch()
        with pytest.raises(RunError, match="deleted or replaced"):
            write_text(run / "checkpoints" / "b", "")
        assert run.exists() == made_anew
        assert not (run / "checkpoints").exists()
