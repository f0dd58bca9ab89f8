"""USIGAN's settings, each alone; its formulas are held against the oracles elsewhere."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from vsbench.errors import UsageError
from vsbench.method import Batch
from vsbench.registry import load

USIGAN = load("vsbench.methods", "usigan")
SMALL = {"width": 4, "blocks": 1, "taps": (0, 4, 8, 12), "discriminator_width": 4, "discriminator_layers": 1}


def small(**options: Any) -> Any:
    """On the published values, with small networks."""
    torch.manual_seed(0)
    return USIGAN(USIGAN.configure(options={**SMALL, "patches": 16, "load_size": 64, "crop_size": 32, **options}))


def features(images: int = 2, patches: int = 8) -> list[Tensor]:
    """Unit features of H&E, real and generated IHC."""
    generator = torch.Generator().manual_seed(1)
    shape = (images, patches, 6)
    return [normalize(torch.randn(shape, generator=generator, dtype=torch.float64), dim=2) for _ in range(3)]


def batch(size: int = 32) -> Batch:
    generator = torch.Generator().manual_seed(2)
    he, ihc = (torch.rand((2, 3, size, size), generator=generator) * 2 - 1 for _ in range(2))
    return Batch(he, ihc)


def test_paper_is_a_name_of_the_published_method() -> None:
    assert USIGAN.configure(options={"variant": "paper"}) == USIGAN.configure()


def test_uniform_marginals_make_plans_and_their_products_smaller() -> None:
    """Balanced: each position has 1/8 of the mass, and the composed plan is the unit one's over 64."""
    he, ihc, fake = features()
    unit, uniform = (small(solver="balanced", eta=0.5, marginals=m) for m in ("unit", "uniform"))
    torch.testing.assert_close(uniform.plan(he, ihc), unit.plan(he, ihc) / 8)
    composed = [m.plan(he, ihc) @ m.plan(ihc, fake) for m in (unit, uniform)]
    torch.testing.assert_close(composed[1], composed[0] / 64)
    assert uniform.plan_gap(he, ihc, fake) != pytest.approx(float(unit.plan_gap(he, ihc, fake)) / 8)


def test_a_balanced_direct_plan_leaves_the_others_relaxed() -> None:
    he, ihc, fake = features()
    ours = small(tau=0.5, direct_plan="balanced", iterations=400)
    relaxed, balanced = small(tau=0.5, iterations=400), small(solver="balanced", iterations=400)
    composed = relaxed.plan(he, ihc) @ relaxed.plan(ihc, fake)
    expected = (composed - balanced.plan(he, fake)).abs().mean()
    torch.testing.assert_close(ours.plan_gap(he, ihc, fake), expected)
    assert relaxed.plan_gap(he, ihc, fake) != pytest.approx(float(expected), rel=1e-2)


def test_the_released_solver_takes_no_other_plans() -> None:
    for options in ({"marginals": "uniform"}, {"direct_plan": "balanced"}):
        with pytest.raises(UsageError, match="solver released"):
            USIGAN.configure(options={"solver": "released", **options})


@pytest.mark.parametrize(
    ("gan", "undecided"),
    [("lsgan", (0.5, 0.0, 1.0)), ("log", (0.5 * math.log(2), 0.5 * math.log(2), math.log(2)))],
)
def test_adversarial_losses_of_an_undecided_discriminator(gan: str, undecided: tuple[float, ...]) -> None:
    """All its scores are 0."""
    ours = small(gan=gan, spectral_discriminator=False)
    torch.nn.init.zeros_(ours.discriminator.model[-1].weight)
    losses = {name: loss.item() for phase in ours.training_step(batch()) for name, loss in phase.losses.items()}
    names = ("d_real", "d_fake", "g_adversarial")
    assert [losses[name] for name in names] == pytest.approx(list(undecided), abs=1e-6)


def test_each_density_threshold_acts_on_its_own_term() -> None:
    real, fake = batch().ihc, batch().he
    plain = small().density_correlation(real, fake)
    everything_below = 1e3
    matrix_off = small(density_matrix_threshold=everything_below).density_correlation(real, fake)
    sum_off = small(density_sum_threshold=everything_below).density_correlation(real, fake)
    both_off = small(density_matrix_threshold=everything_below, density_sum_threshold=everything_below)
    assert both_off.density_correlation(real, fake) == 0
    assert min(matrix_off, sum_off) > 0
    torch.testing.assert_close(matrix_off + sum_off, plain)


def test_iterating_in_translation_moves_the_image_and_leaves_the_weights() -> None:
    ours = small(iterate_in_translation=True).eval()
    with torch.no_grad():
        for parameter in ours.generator.parameters():  # so that the power iteration has not converged
            parameter.add_(0.1 * torch.randn_like(parameter))
        before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
        first, second = ours.translate(batch().he), ours.translate(batch().he)
        assert torch.equal(first, second)
        assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())
        plain = small().eval()
        plain.load_state_dict(ours.state_dict())
        assert not torch.equal(plain.translate(batch().he), first)
