"""SIM-GAN's settings; its formulas are held against the oracles elsewhere."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from vsbench.registry import load

SIMGAN, USIGAN = (load("vsbench.methods", name) for name in ("simgan", "usigan"))


def small(**options: Any) -> Any:
    return SIMGAN(SIMGAN.configure("cpu", {"width": 4, "blocks": 1, "taps": (0, 4, 8, 12), **options}))


def patches(images: int = 4) -> list[Tensor]:
    """Unit features of H&E, real and generated IHC."""
    generator = torch.Generator().manual_seed(1)
    shape = (images, 8, 6)
    return [normalize(torch.randn(shape, generator=generator, dtype=torch.float64), dim=2) for _ in range(3)]


@pytest.mark.parametrize(("together", "problems"), [(1, 4), (2, 2), (4, 1), (3, 1), (8, 1)])
def test_images_are_pooled_in_order_or_all(together: int, problems: int) -> None:
    """Where their number is no multiple of those that belong together, the whole batch is one problem."""
    he, *_ = patches()
    pooled = small(images_per_transport=together).pooled(he)
    assert pooled.shape == (problems, 32 // problems, 6)
    assert torch.equal(pooled.flatten(0, 1), he.flatten(0, 1))


@pytest.mark.parametrize("cost", ["attract", "repel"])
@pytest.mark.parametrize("mask_diagonal", [True, False])
def test_the_gap_of_plans_is_usigans_direct_one(cost: str, mask_diagonal: bool) -> None:
    """As the ablation's row of USIGAN's paper has it, balanced."""
    shared = {"cost": cost, "mask_diagonal": mask_diagonal, "eta": 0.5, "iterations": 20}
    theirs = USIGAN(USIGAN.configure("cpu", shared | {"transport": "direct", "solver": "balanced"}))
    assert torch.equal(small(**shared).plan_gap(*patches()), theirs.plan_gap(*patches()))


def test_released_asks_for_four_images_in_a_problem() -> None:
    """L_mc is then about a quarter as large: unit masses lie on four times as many columns."""
    config = SIMGAN.configure(options={"variant": "released"})
    assert (config.images_per_transport, config.sampling, config.batch_size) == (4, "replace", 8)
    gaps = []
    for together in (1, 4):
        ours = small(images_per_transport=together)
        gaps.append(float(ours.plan_gap(*(ours.pooled(x) for x in patches()))))
    assert 3 < gaps[0] / gaps[1] < 5
