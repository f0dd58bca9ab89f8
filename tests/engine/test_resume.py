"""What a resumed training takes up: whatever was being written when it stopped, and all that a log row is made of."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.plugins.environments import LightningEnvironment
from safetensors.torch import load_file

from vsbench.engine.checkpoint import checkpoints
from vsbench.engine.request import Request
from vsbench.engine.run import Run
from vsbench.engine.start import start
from vsbench.engine.trainer import Rhythm
from vsbench.errors import RunError
from vsbench.registry import names

Train = Callable[..., Run]
SameEnd = Callable[[Run, Run], None]


class PowerCutError(Exception):
    pass


def steps_of(run: Run) -> list[int]:
    return [checkpoint.step for checkpoint in checkpoints(run.checkpoints)]


def test_every_method_has_small_options(tiny: Callable[..., dict[str, Any]]) -> None:
    """So that what follows, and all that takes each method in turn, is about every one that is registered."""
    for name in names("vsbench.methods"):
        assert tiny(name)["steps"] == 4


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("suffix", [".state.pt", ".state.pt.sha256", ".safetensors"])
@pytest.mark.parametrize(("checkpoint", "step"), [(1, 3), (2, 2)])
def test_stopped_at_a_point_of_a_checkpoints_writing(
    train: Train,
    whole: Callable[[str], Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    assert_same_end: SameEnd,
    before: bool,
    suffix: str,
    checkpoint: int,
    step: int,
) -> None:
    """Just before or after one of its files gets its name; the first checkpoint of a run, and a later one."""
    replace = Path.replace

    def cut(path: Path, target: Path) -> Path:
        if Path(target).name != f"step-{step:08d}{suffix}":
            return replace(path, target)
        if not before:
            replace(path, target)
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", cut)
        with pytest.raises(PowerCutError):
            train(tmp_path, "cyclegan", checkpoint=checkpoint)
    run = Run(next(tmp_path.glob("runs/*/*/seed-0")))
    complete = not before and suffix == ".safetensors"
    assert steps_of(run)[-1:] == ([step] if complete else [2] if step == 3 else [])
    train(tmp_path, "cyclegan", resume=True, checkpoint=checkpoint)
    assert_same_end(run, whole("cyclegan"))


def test_a_training_that_only_had_to_be_recorded_is_finished(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between its last checkpoint and the word ``finished``, without which nothing is evaluated."""

    def cut(*_: object) -> None:
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr("vsbench.engine.trainer.prune", cut)
        with pytest.raises(PowerCutError):
            train(tmp_path, "pix2pix", steps=1)
    run = Run(next(tmp_path.glob("runs/*/*/seed-0")))
    assert (run.record.finished, steps_of(run)) == (False, [1])
    log = run.log_file.read_bytes()
    train(tmp_path, "pix2pix", steps=1, resume=True)
    assert (run.record.finished, run.record.chosen_step) == (True, 1)
    assert run.record.wall_time_s > 0
    assert run.log_file.read_bytes() == log


def test_a_row_begun_before_the_checkpoint_is_the_uninterrupted_runs(
    train: Train, stopped: Train, tmp_path: Path, assert_same_end: SameEnd
) -> None:
    """Rows of three steps, a checkpoint after four, stopped at six: the row of six is made of four, five and six."""
    expected = train(tmp_path / "whole", "pix2pix", log=3, steps=8)
    run = stopped(tmp_path / "stopped", "pix2pix", stop_at=6, log=3, steps=8, checkpoint=4)
    kept = torch.load(checkpoints(run.checkpoints)[-1].state, weights_only=True)["engine"]["tally"]
    assert (kept["steps"], len(kept["sums"])) == (1, 4)
    train(tmp_path / "stopped", "pix2pix", resume=True, log=3, steps=8)
    assert_same_end(run, expected)


def test_the_scale_of_the_loss_is_taken_up(
    data_root: Path, tiny: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """With 16-mixed the gradients are scaled, and the scale moves with what they do: part of the training's state.

    Fabric has no such scaler on the CPU, so it is given one, which doubles the scale after three steps of optimizers
    (two of them step in each step of the training).
    """

    def run(results: Path, steps: int) -> dict[str, Any]:
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3)
        precision = MixedPrecision("16-mixed", "cpu", scaler)
        options = tiny("pix2pix", steps=4)
        request = Request("pix2pix", "folder", "er", "cpu", options, data_root=data_root, results=results)
        fabric = Fabric(accelerator="cpu", devices=1, plugins=[precision, LightningEnvironment()])
        start(request, fabric, True, 0, Rhythm(1, 100, 1), Stop(steps))
        return dict(scaler.state_dict())

    whole = run(tmp_path / "whole", 9)
    with pytest.raises(PowerCutError):
        run(tmp_path / "stopped", 3)
    assert run(tmp_path / "stopped", 9) == whole
    assert whole["scale"] > 8
    found, expected = (load_file(next(tmp_path.glob(f"{name}/**/*4.safetensors"))) for name in ("stopped", "whole"))
    assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())


class Stop:
    """A display that pulls the plug when a step is reported."""

    def __init__(self, stop_at: int) -> None:
        self.stop_at = stop_at

    def say(self, line: str) -> None:
        raise AssertionError(line)

    def step(self, title: str, progress: Any) -> None:
        if progress.step == self.stop_at:
            raise PowerCutError


def test_the_next_to_last_is_used_where_the_last_has_a_flipped_bit(
    train: Train,
    stopped: Train,
    whole: Callable[[str], Run],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    assert_same_end: SameEnd,
) -> None:
    run = stopped(tmp_path, "usigan", stop_at=4, checkpoint=1)
    newest = checkpoints(run.checkpoints)[-1].weights
    content = bytearray(newest.read_bytes())
    content[-2] ^= 1
    newest.write_bytes(content)
    train(tmp_path, "usigan", resume=True)
    said = capsys.readouterr().out
    assert f"{newest}: damaged weights" in said
    assert "going back" in said
    assert_same_end(run, whole("usigan"))


def test_a_checkpoint_of_another_training_stops_the_resume(train: Train, stopped: Train, tmp_path: Path) -> None:
    """Going back to the one before would hide that somebody put it there."""
    run = stopped(tmp_path / "one", "cut", stop_at=3)
    other = stopped(tmp_path / "other", "cut", stop_at=3, lr=0.5e-3)
    for part in ("weights", "state", "state_digest"):
        source, target = (getattr(checkpoints(r.checkpoints)[-1], part) for r in (other, run))
        target.write_bytes(source.read_bytes())
    with pytest.raises(RunError, match=r"another configuration \(lr = 0\.0005 there"):
        train(tmp_path / "one", "cut", resume=True)
