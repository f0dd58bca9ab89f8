"""A training that starts from other weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vsbench.engine.checkpoint import checkpoints
from vsbench.engine.run import Run
from vsbench.errors import RunError, UsageError
from vsbench.files import file_digest

Train = Callable[..., Run]


@pytest.mark.parametrize("as_file", [True, False])
def test_all_networks_start_from_the_weights_given(train: Train, tmp_path: Path, as_file: bool) -> None:
    first = train(tmp_path / "first", "pix2pix")
    weights = checkpoints(first.checkpoints)[-1].weights
    given = weights if as_file else first.folder
    run = train(tmp_path / "R", "pix2pix", request={"start_from": given}, lr=1e-12, steps=1)
    assert run.trained.started_from == file_digest(weights)
    assert run.trained.started_from_file == str(weights)
    before, after = load_file(weights), load_file(checkpoints(run.checkpoints)[-1].weights)
    learnt = [key for key in before if key.endswith(".weight")]
    assert {key.split(".")[0] for key in learnt} == set(run.trained.parameters or {})
    for key in learnt:
        assert torch.allclose(before[key], after[key], atol=1e-9), key


def test_weights_of_another_method_or_shape_or_none_are_refused_before_anything_is_written(
    train: Train, tmp_path: Path
) -> None:
    first = train(tmp_path / "first", "pix2pix").folder
    with pytest.raises(RunError, match="weights of pix2pix, not of cut"):
        train(tmp_path / "R", "cut", request={"start_from": first})
    with pytest.raises(RunError, match="weights of another method or configuration"):
        train(tmp_path / "R", "pix2pix", request={"start_from": first}, width=8)
    with pytest.raises(UsageError, match=r"--from .*none: no run folder and no file"):
        train(tmp_path / "R", "pix2pix", request={"start_from": tmp_path / "none"})
    with pytest.raises(RunError, match="not a run folder"):
        train(tmp_path / "R", "pix2pix", request={"start_from": tmp_path})
    assert not (tmp_path / "R").exists()


def test_a_run_does_not_go_on_from_other_weights(train: Train, tmp_path: Path) -> None:
    first = train(tmp_path / "first", "pix2pix").folder
    train(tmp_path / "R", "pix2pix")
    with pytest.raises(RunError, match=r"holds another run .*started_from"):
        train(tmp_path / "R", "pix2pix", request={"start_from": first})
