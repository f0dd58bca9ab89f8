"""A training process that is killed, at any moment and as often as it takes, ends where one left alone ends."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vsbench.engine.checkpoint import checkpoints
from vsbench.engine.run import Run

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")

KILLS = 5
PATIENCE_S = 120
Train = Callable[..., Run]
Command = Callable[..., list[str]]
Begin = Callable[[list[str], Path], Any]
SameEnd = Callable[[Run, Run], None]


def newest_step(results: Path) -> int:
    names = [path.name for path in results.glob("runs/*/*/seed-0/checkpoints/step-*.safetensors")]
    return max((int(name[5:13]) for name in names), default=0)


def wait_for(condition: Callable[[], bool], process: Any, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.002)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def finish(begin: Begin, command: list[str], log: Path) -> None:
    assert begin(command, log).wait(PATIENCE_S) == 0, log.read_text()


def test_killed_five_times_at_any_moment(
    train: Train, command: Command, begin: Begin, tmp_path: Path, assert_same_end: SameEnd
) -> None:
    """A checkpoint after each step, so that many of the moments lie within the writing of one."""
    options: dict[str, Any] = {"steps": 50}
    results, log, rng = tmp_path / "killed", tmp_path / "output.txt", random.Random(0)
    resume = command("cyclegan", results, "--resume", "--workers=0", "--checkpoint-every=1", "--log-every=3", **options)
    reached = 0
    for _ in range(KILLS):
        process = begin(resume, log)
        target = reached + rng.randint(1, 5)
        wait_for(lambda target=target: newest_step(results) >= target, process, log)  # type: ignore[misc]
        time.sleep(rng.uniform(0, 0.06))
        process.kill()
        assert process.wait() == -signal.SIGKILL, "the training ended before it was killed; give it more steps"
        reached = newest_step(results)
    finish(begin, resume, log)
    run = Run(next(results.glob("runs/*/*/seed-0")))
    assert run.record.finished is True
    assert not list(run.folder.rglob(".step-*")), "half-written files stay"
    assert_same_end(run, train(tmp_path / "whole", "cyclegan", checkpoint=1, log=3, **options))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to see the workers")
def test_killed_while_workers_prepare_batches(
    train: Train, command: Command, begin: Begin, tmp_path: Path, assert_same_end: SameEnd
) -> None:
    """They end by themselves, hold up no other process until then, and change nothing of what is trained."""
    results, log, steps = tmp_path / "killed", tmp_path / "output.txt", 60
    resume = command("pix2pix", results, "--resume", "--workers=2", "--checkpoint-every=2", steps=steps)
    process = begin(resume, log)
    wait_for(lambda: newest_step(results) >= 4, process, log)
    workers = children_of(process.pid)
    assert len(workers) >= 2
    process.kill()
    process.wait()
    assert newest_step(results) < steps
    finish(begin, resume, log)  # at once, not when the workers are gone
    deadline = time.monotonic() + 30
    while any(map(is_alive, workers)):
        assert time.monotonic() < deadline, f"workers of the killed process linger: {list(filter(is_alive, workers))}"
        time.sleep(0.1)
    run = Run(next(results.glob("runs/*/*/seed-0")))
    assert checkpoints(run.checkpoints)[-1].step == steps
    assert_same_end(run, train(tmp_path / "whole", "pix2pix", checkpoint=2, log=50, steps=steps))
