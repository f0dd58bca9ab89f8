"""The moving average of the weights: what is stored translates, and training goes on from the weights of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from vsbench.engine.checkpoint import checkpoints
from vsbench.engine.run import Run

Train = Callable[..., Run]
DECAY = 0.6  # from the third step on less than the plain mean's 1 − 1/step


@pytest.fixture(scope="module")
def run(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tmp_path_factory.mktemp("averaged"), "pix2pix", checkpoint=1, rhythm={"keep": 9}, average=DECAY)


def own_weights(run: Run) -> list[dict[str, Tensor]]:
    states = [torch.load(c.state, weights_only=True) for c in checkpoints(run.checkpoints)]
    return [state["engine"]["own"] for state in states]


def test_the_stored_weights_are_the_average_of_all_steps(run: Run) -> None:
    own = own_weights(run)
    assert len(own) == 4
    for name, expected in {key: own[0][key].double() for key in own[0]}.items():
        for step, weights in enumerate(own, 1):
            share = max(1 - DECAY, 1 / step)
            expected = (1 - share) * expected + share * weights[name].double()
        found = load_file(checkpoints(run.checkpoints)[-1].weights)[name]
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-7)
        assert not torch.equal(found, own[-1][name]), name


def test_averaging_changes_nothing_of_the_training(run: Run, train: Train, tmp_path: Path) -> None:
    plain = load_file(checkpoints(train(tmp_path, "pix2pix").checkpoints)[-1].weights)
    for name, weights in own_weights(run)[-1].items():
        assert torch.equal(weights, plain[name]), name


def test_a_resumed_average_is_that_of_a_training_that_never_stopped(
    run: Run, train: Train, stopped: Train, tmp_path: Path, assert_same_end: Callable[[Run, Run], None]
) -> None:
    again = stopped(tmp_path, "pix2pix", stop_at=3, checkpoint=1, rhythm={"keep": 9}, average=DECAY)
    train(tmp_path, "pix2pix", resume=True, checkpoint=1, rhythm={"keep": 9}, average=DECAY)
    assert_same_end(again, run)
