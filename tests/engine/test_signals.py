"""Ctrl-C, SIGTERM and SIGHUP: the running step is finished, a checkpoint written, and the same command goes on."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vsbench.cli.options import make_fabric
from vsbench.engine.checkpoint import checkpoints
from vsbench.engine.interrupt import Interrupt, Interrupted
from vsbench.engine.request import Request
from vsbench.engine.run import Run
from vsbench.engine.start import start
from vsbench.engine.trainer import Rhythm

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")

PATIENCE_S = 120
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
Begin = Callable[[list[str], Path], Any]
Wait = Callable[[Path, Any, Path], None]
Train = Callable[..., Run]
Command = Callable[..., list[str]]
SameEnd = Callable[[Run, Run], None]


class Signalled:
    """A display that sends this process a signal when a step is reported."""

    def __init__(self, number: int, step: int) -> None:
        self.number, self.at = number, step

    def say(self, line: str) -> None:
        raise AssertionError(line)

    def step(self, title: str, progress: Any) -> None:
        if progress.step == self.at:
            signal.raise_signal(self.number)


@pytest.fixture(autouse=True)
def hung_up() -> Iterator[None]:
    """SIGHUP as a terminal's programs have it, though these tests may run under nohup."""
    number = getattr(signal, "SIGHUP", signal.SIGTERM)
    before = signal.signal(number, signal.SIG_DFL)
    yield
    signal.signal(number, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_stopped_between_rows_and_checkpoints_and_resumed(
    train: Train, data_root: Path, tiny: Callable[..., Any], tmp_path: Path, assert_same_end: SameEnd, number: int
) -> None:
    """The signal comes when step 3 is reported, the fourth is finished; log rows are of three steps."""
    options = tiny("cyclegan", steps=8)
    request = Request("cyclegan", "folder", "er", "cpu", options, data_root=data_root, results=tmp_path / "stopped")
    before = [signal.getsignal(n) for n in SIGNALS]
    with pytest.raises(Interrupted, match=r"step 4 of 8") as stop:
        start(request, make_fabric("cpu", 1, "32-true"), False, 0, Rhythm(3, 100, 100), Signalled(number, 3))
    assert stop.value.exit_code == 128 + number
    assert [signal.getsignal(n) for n in SIGNALS] == before
    run = Run(next((tmp_path / "stopped").glob("runs/*/*/seed-0")))
    assert [checkpoint.step for checkpoint in checkpoints(run.checkpoints)] == [4]
    assert run.record.finished is False
    train(tmp_path / "stopped", "cyclegan", resume=True, log=3, checkpoint=100, steps=8)
    assert_same_end(run, train(tmp_path / "whole", "cyclegan", log=3, checkpoint=100, steps=8))


def test_a_signal_in_the_last_step_lets_the_training_finish(
    data_root: Path, tiny: Callable[..., Any], tmp_path: Path
) -> None:
    options = tiny("pix2pix", steps=4)
    request = Request("pix2pix", "folder", "er", "cpu", options, data_root=data_root, results=tmp_path)
    signalled = Signalled(signal.SIGTERM, 3)
    run = start(request, make_fabric("cpu", 1, "32-true"), False, 0, Rhythm(1, 100, 100), signalled)
    assert run.record.finished is True


def test_the_second_ctrl_c_does_what_it_did_before() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it for what runs in background
    try:
        with Interrupt() as interrupt:
            signal.raise_signal(signal.SIGINT)
            assert interrupt.number == signal.SIGINT
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_leaves_the_handlers_alone() -> None:
    before = [signal.getsignal(n) for n in SIGNALS]
    seen: list[Any] = []

    def use() -> None:
        with Interrupt() as interrupt:
            seen.extend([interrupt.number, *(signal.getsignal(n) for n in SIGNALS)])

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [0, *before]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_to_all_processes_of_a_job(
    command: Command, begin: Begin, tmp_path: Path, number: int, wait_for_rows: Wait
) -> None:
    """As a terminal's Ctrl-C and a scheduler send it: the workers that prepare batches get it too, and hold out."""
    log = tmp_path / "output.txt"
    process = begin(command("pix2pix", tmp_path, "--workers=2", "--log-every=1", steps=5000), log)
    wait_for_rows(tmp_path, process, log)
    os.killpg(process.pid, number)
    assert process.wait(PATIENCE_S) == 128 + number, log.read_text()
    run = Run(next(tmp_path.glob("runs/*/*/seed-0")))
    (checkpoint,) = checkpoints(run.checkpoints)
    assert log.read_text() == (
        f"stopped at step {checkpoint.step} of 5000, checkpoint written; the same command with --resume goes on\n"
    )


def test_a_signal_to_the_second_of_two_processes_stops_both(
    command: Command, tmp_path: Path, wait_for_rows: Wait
) -> None:
    script, log = tmp_path / "train.py", tmp_path / "output.txt"  # the second process runs the same file again
    script.write_text("from vsbench.cli.app import main\n\nmain()\n")
    python, _, _, *arguments = command("pix2pix", tmp_path, "--workers=0", "--devices=2", "--log-every=1", steps=5000)
    with log.open("wb") as output:
        whole = [python, str(script), *arguments]
        process = subprocess.Popen(whole, stderr=output, stdout=output, start_new_session=True)
    try:
        wait_for_rows(tmp_path, process, log)
        (second,) = (
            int(pid)
            for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            if str(script) in Path(f"/proc/{pid}/cmdline").read_text()
        )
        os.kill(second, signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 143, log.read_text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert log.read_text().count("the same command with --resume goes on") == 1
    run = Run(next(tmp_path.glob("runs/*/*/seed-0")))
    assert len(checkpoints(run.checkpoints)) == 1


def test_a_closed_terminal_is_not_heard_where_nohup_says_so() -> None:
    hangup = getattr(signal, "SIGHUP")  # noqa: B009  not on Windows, where mypy misses it
    before = signal.signal(hangup, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            signal.raise_signal(hangup)
            assert interrupt.number == 0
        assert signal.getsignal(hangup) == signal.SIG_IGN
    finally:
        signal.signal(hangup, before)
