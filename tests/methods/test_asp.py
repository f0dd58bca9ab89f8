"""ASP late in its schedule, where its weights begin to differ; its formulas are held against the oracles elsewhere."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from vsbench.errors import UsageError
from vsbench.losses.contrastive import each_patch_nce
from vsbench.method import Batch, Place
from vsbench.registry import load

ASP = load("vsbench.methods", "asp")
EARLY, LATE = Place(1, 30, 10), Place(40, 30, 10)


def small(**options: Any) -> Any:
    torch.manual_seed(0)
    return ASP(ASP.configure("cpu", {"width": 4, "blocks": 1, "taps": (0, 4, 8, 12), **options}))


def features() -> tuple[Tensor, Tensor]:
    """Of two images, unit length: cosines of either sign."""
    generator = torch.Generator().manual_seed(1)
    queries, keys = (normalize(torch.randn(2, 9, 6, generator=generator).double(), dim=2) for _ in range(2))
    return queries.requires_grad_(), keys


def batch(place: Place) -> Batch:
    generator = torch.Generator().manual_seed(2)
    he, ihc = (torch.rand((2, 3, 64, 64), generator=generator) * 2 - 1 for _ in range(2))
    return Batch(he, ihc, place=place)


def losses(method: Any, place: Place) -> dict[str, Tensor]:
    torch.manual_seed(1)
    with torch.no_grad():
        return {name: loss for phase in method.training_step(batch(place)) for name, loss in phase.losses.items()}


def test_late_in_training_a_step_weights_the_positions_and_nothing_else_changes() -> None:
    """At equal weights of the networks: the place in the schedule reaches this one term."""
    late, early = losses(small(), LATE), losses(small(), EARLY)
    assert {name for name in late if not torch.equal(late[name], early[name])} == {"g_asp"}
    unweighted = losses(small(asp_schedule="none"), LATE)
    torch.testing.assert_close(early["g_asp"], unweighted["g_asp"])


@pytest.mark.parametrize("lookup", ["linear", "top", "bell"])
def test_weights_have_the_mean_1_over_the_batch_not_in_each_image(lookup: str) -> None:
    queries, keys = features()
    weights = small(asp_lookup=lookup).weights((queries * keys).sum(-1), LATE)
    assert weights.mean().item() == pytest.approx(1)
    assert weights[0].mean().item() != pytest.approx(1, abs=1e-3)


def test_layers_that_go_together_are_weighted_apart() -> None:
    ours, (queries, keys) = small(), features()
    sets = [(queries, keys), (queries, keys.roll(1, 1))]
    apart = torch.stack([ours.supervised(q, k, LATE) for q, k in sets])
    together = ours.supervised(*(torch.stack(parts) for parts in zip(*sets, strict=True)), LATE)
    torch.testing.assert_close(together, apart.mean())


def test_no_gradient_goes_through_the_weights() -> None:
    ours, (queries, keys) = small(), features()
    (found,) = torch.autograd.grad(ours.supervised(queries, keys, LATE), queries)
    weights = ours.weights((queries * keys).sum(-1), LATE).detach()
    fixed = (weights * each_patch_nce(queries, keys, ours.config.temperature)).mean()
    (expected,) = torch.autograd.grad(fixed, queries)
    torch.testing.assert_close(found, expected)


def test_a_training_without_decay_has_no_weights_by_lambda() -> None:
    queries, keys = features()
    weights = small().weights((queries * keys).sum(-1), Place(7, 7, 0))
    torch.testing.assert_close(weights, torch.ones_like(weights))


def test_a_crop_too_small_for_the_pyramid_is_refused() -> None:
    with pytest.raises(UsageError, match=r"crop_size 32.*gp_weights"):
        ASP.configure(options={"crop_size": 32})
    assert ASP.configure(options={"crop_size": 32, "lambda_gp": 0}).crop_size == 32
