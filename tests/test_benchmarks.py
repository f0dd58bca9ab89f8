"""What the benchmarks compare computes the same."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from vsbench.checks._training import stained_batch, step
from vsbench.checks.methods import maker
from vsbench.method import Batch
from vsbench.registry import load

SMALL = {
    "width": 8, "blocks": 2, "taps": (0, 4, 8, 12), "discriminator_width": 4, "discriminator_layers": 2, "patches": 64,
    "load_size": 64, "crop_size": 32,
}  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-6), (torch.float32, 1e-3)],
    ids=["float64", "float32"],
)
@pytest.mark.parametrize("images", [1, 2])
def test_sharing_activations_changes_no_loss_and_no_gradient(
    monkeypatch: pytest.MonkeyPatch, images: int, dtype: torch.dtype, tolerance: float
) -> None:
    """The plain step of the benchmark, twelve encoder passes, against the method's own."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks.plain_usigan import plain_step

    torch.manual_seed(0)
    usigan: Any = load("vsbench.methods", "usigan")
    ours = usigan(usigan.configure(options=SMALL)).to(dtype)
    plain = copy.deepcopy(ours)
    plain.training_step = lambda batch: plain_step(plain, batch)
    he, ihc = (torch.rand(images, 3, 32, 32, dtype=dtype) * 2 - 1 for _ in range(2))
    found = []
    for method in (ours, plain):
        torch.manual_seed(1)
        found.append(step(method, method.optimizers(), Batch(he, ihc)))
    assert list(found[0]) == list(found[1]) == list(usigan.card.losses)
    for name, loss in found[1].items():
        torch.testing.assert_close(found[0][name], loss, rtol=tolerance, atol=tolerance * 1e-3, msg=name)
    for network in ("generator", "discriminator", "heads"):
        gradients = [
            torch.cat([p.grad.flatten() for p in getattr(method, network).parameters()]) for method in (ours, plain)
        ]
        assert (gradients[0] - gradients[1]).norm() < 10 * tolerance * gradients[1].norm(), network


@pytest.mark.parametrize("name", ["cut", "flsesim"])
def test_a_floor_runs_whatever_a_networks_layers_are_called(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The layers of F-LSeSim's VGG lie in ``features``, by which other networks are called."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks.method_steps import floor

    method = maker(load("vsbench.methods", name))(width=4)
    floor(method, stained_batch(method))()
