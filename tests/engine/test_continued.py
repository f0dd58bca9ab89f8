"""A finished training continues for more steps."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vsbench.engine.checkpoint import checkpoints
from vsbench.engine.run import Run
from vsbench.errors import RunError, UsageError

Train = Callable[..., Run]


@pytest.mark.parametrize("killed", [False, True])
def test_a_finished_training_goes_on_to_more_steps(
    train: Train, stopped: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str], killed: bool
) -> None:
    run = train(tmp_path, "pix2pix", steps=4)
    if killed:
        run = stopped(tmp_path, "pix2pix", stop_at=5, steps=8, resume=True, checkpoint=100)
    train(tmp_path, "pix2pix", steps=8, resume=True)
    if not killed:
        assert "from step 4 on to 8" in capsys.readouterr().out
    record = run.trained
    assert (record.finished, record.steps, record.chosen_step) == (True, 8, 8)
    (continued,) = record.continued
    assert (continued.step, continued.before["steps"], continued.after["steps"]) == (4, 4, 8)
    assert checkpoints(run.checkpoints)[-1].step == 8
    train(tmp_path, "pix2pix", steps=8)
    assert run.trained == record
    train(tmp_path, "pix2pix", steps=10, resume=True)
    assert [c.step for c in run.trained.continued] == [4, 8]


def test_no_smaller_number_and_nothing_else(train: Train, tmp_path: Path) -> None:
    run = train(tmp_path, "pix2pix", steps=4)
    with pytest.raises(UsageError, match=r"steps = 3 comes to 3 steps, and 4 are done"):
        train(tmp_path, "pix2pix", steps=3, resume=True)
    with pytest.raises(RunError, match=r"holds another run \(lr = "):
        train(tmp_path, "pix2pix", steps=8, lr=0.5, resume=True)
    with pytest.raises(RunError, match=r"holds another run \(steps = 4 there, 8 here\)"):
        train(tmp_path, "pix2pix", steps=8)
    assert (run.trained.finished, run.trained.continued) == (True, [])


def test_the_seeds_of_a_row_are_continued_one_after_the_other(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Until all are, the report has two rows; a seed of a length that none of them had is refused as ever."""
    first, second = (train(tmp_path, "pix2pix", steps=2, request={"seed": seed}) for seed in (0, 1))
    assert first.record.made == second.record.made
    capsys.readouterr()
    train(tmp_path, "pix2pix", steps=4, resume=True, request={"seed": 0})
    assert "seed-1, until continued alike, will stand in a row of their own" in capsys.readouterr().out
    assert first.record.made != second.record.made
    with pytest.raises(UsageError, match=r"the row pix2pix\+cpu holds what was made otherwise \(steps = "):
        train(tmp_path, "pix2pix", steps=5, request={"seed": 2})
    train(tmp_path, "pix2pix", steps=4, resume=True, request={"seed": 1})
    assert first.record.made == second.record.made
    with pytest.raises(UsageError, match="holds what was made otherwise"):
        train(tmp_path, "pix2pix", steps=4, lr=0.5, request={"seed": 2})
