"""Troubles of the machine while a training runs in a process of its own: it goes on, or ends, and loses nothing."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vsbench.engine.checkpoint import checkpoints
from vsbench.engine.run import Run

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to see the processes")

PATIENCE_S = 120
Begin = Callable[[list[str], Path], Any]
Wait = Callable[[Path, Any, Path], None]
Command = Callable[..., list[str]]


def children_of(process: Any) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def only_run(results: Path) -> Run:
    return Run(next(results.glob("runs/*/*/seed-0")))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_heard_while_no_batch_comes(
    command: Command, begin: Begin, tmp_path: Path, number: int, wait_for_rows: Wait
) -> None:
    """Of processes that were stopped none comes: nor would one from a disk that does not answer."""
    log = tmp_path / "output.txt"
    process = begin(command("pix2pix", tmp_path, "--workers=2", "--log-every=1", steps=5000), log)
    wait_for_rows(tmp_path, process, log)
    for worker in children_of(process):
        os.kill(worker, signal.SIGSTOP)
    time.sleep(1)  # what they had made ahead is used up
    os.kill(process.pid, number)
    assert process.wait(PATIENCE_S) == 128 + number, log.read_text()
    (checkpoint,) = checkpoints(only_run(tmp_path).checkpoints)
    assert log.read_text() == (
        f"stopped at step {checkpoint.step} of 5000, checkpoint written; the same command with --resume goes on\n"
    )


def test_a_killed_worker_ends_the_training_with_a_checkpoint(
    command: Command, begin: Begin, tmp_path: Path, wait_for_rows: Wait
) -> None:
    log = tmp_path / "output.txt"
    process = begin(command("pix2pix", tmp_path, "--workers=2", "--log-every=1", steps=5000), log)
    wait_for_rows(tmp_path, process, log)
    os.kill(children_of(process)[0], signal.SIGKILL)
    assert process.wait(PATIENCE_S) == 1, log.read_text()
    (checkpoint,) = checkpoints(only_run(tmp_path).checkpoints)
    stopped, error = log.read_text().splitlines()
    assert stopped == f"stopped at step {checkpoint.step} of 5000, checkpoint written"
    assert error.startswith("error: a process that prepares batches was killed (SIGKILL); ")
    assert "--resume" in error


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_in_a_worker_is_its_own_line(
    command: Command, begin: Begin, data_root: Path, tmp_path: Path, debug: bool
) -> None:
    """A tile damaged behind its header, so that only who decodes it finds out; with --debug the whole traceback."""
    images = tmp_path / "own"
    shutil.copytree(data_root, images)
    for path in images.glob("*/train/c.png"):
        whole = path.read_bytes()
        path.write_bytes(whole[:60] + bytes(len(whole) - 72) + whole[-12:])
    train, log = command("pix2pix", tmp_path, "--workers=2", steps=50), tmp_path / "output.txt"
    train[train.index("--data-root") + 1] = str(images)
    train[3:3] = ["--debug"] * debug
    assert begin(train, log).wait(PATIENCE_S) == 1
    said = log.read_text()
    if debug:
        assert ", in levels" in said, "where in the other process it was raised"
        return
    *before, error = said.splitlines()
    assert error.startswith(f"error: {images}"), said
    assert "c.png: damaged image" in error
    assert all(line.startswith("stopped at step") for line in before)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small /dev/shm, which only root may")
def test_a_full_dev_shm_is_no_obstacle(command: Command, tmp_path: Path) -> None:
    """Docker gives 64 MB, and others may have used them up."""
    train = command("pix2pix", tmp_path, "--workers=2", steps=4)
    fill = "mount -t tmpfs -o size=4k tmpfs /dev/shm && head -c 4096 /dev/zero > /dev/shm/full"
    alone = ["unshare", "--mount", "sh", "-c"]
    if subprocess.run([*alone, fill], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    done = subprocess.run(
        [*alone, f'{fill}; exec "$@"', "sh", *train], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    assert only_run(tmp_path).trained.finished


def test_progress_that_can_not_be_written_ends_nothing(command: Command, warm: Any, tmp_path: Path) -> None:
    """A terminal that is gone, a reader that is gone, a full disk, streams that were never there."""
    train = command("pix2pix", tmp_path, "--workers=1", "--log-every=1", steps=6)
    for kind in ("terminal", "pipe", "full", "closed"):
        if kind == "terminal":
            reader, writer = os.openpty()
        elif kind == "pipe":
            reader, writer = os.pipe()
        else:
            reader, writer = os.open("/dev/null", os.O_RDONLY), os.open("/dev/full", os.O_WRONLY)
        with_label, nowhere = [*train, "--label", kind], os.open("/dev/null", os.O_WRONLY)
        process: Any
        if kind == "closed":
            process = subprocess.Popen(["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *with_label])
        else:
            process = warm.start(with_label[3:], nowhere, writer)
        for end in (reader, writer, nowhere):
            os.close(end)
        assert process.wait(PATIENCE_S) == 0, kind
        assert Run(next(tmp_path.glob(f"runs/*/{kind}/seed-0"))).trained.finished, kind
