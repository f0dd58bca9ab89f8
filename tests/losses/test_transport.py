"""Unbalanced transport against POT and its closed-form limits."""

import math

import numpy as np
import ot
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsbench.losses.transport import (
    SAFE_EXPONENT,
    cosine_cost,
    penalty_of_slack,
    released_plan,
    scaled_plan,
    unbalanced_plan,
)

CONVERGED = 4000  # iterations; the slowest case of the grid needs about 2000


def cost(source: int = 12, target: int = 9, images: int = 1) -> Tensor:
    """Cosine costs of random unit features, float64."""
    generator = torch.Generator().manual_seed(source)
    shapes = [(images, n, 8) for n in (source, target)]
    features = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return cosine_cost(*(torch.nn.functional.normalize(f, dim=2) for f in features))


def pots(c: Tensor, eta: float, penalty: float, mass: float) -> NDArray[np.float64]:
    """The first image's plan by POT."""
    p, q = (np.full(n, mass) for n in c.shape[1:])
    solve = ot.unbalanced.sinkhorn_unbalanced
    return solve(p, q, c[0].numpy(), eta, penalty, reg_type="kl", numItermax=20_000, stopThr=1e-13)


def ours_in_both_forms(c: Tensor, eta: float, penalty: float, iterations: int, mass: float) -> list[Tensor]:
    """A bound on |c| up to 30 η chooses the scaling form, a larger one the log form."""
    return [unbalanced_plan(c, eta, penalty, iterations, mass, bound=bound) for bound in (0.0, math.inf)]


@pytest.mark.parametrize("mass", [1.0, 1 / 12])
@pytest.mark.parametrize("size", [(12, 12), (12, 9), (5, 30)])
@pytest.mark.parametrize("penalty", [0.01, 1.0, 10.0])
@pytest.mark.parametrize("eta", [0.05, 1.0])
def test_plan_is_pots(eta: float, penalty: float, size: tuple[int, int], mass: float) -> None:
    c = cost(*size)
    theirs = pots(c, eta, penalty, mass)
    for plan in ours_in_both_forms(c, eta, penalty, CONVERGED, mass):
        scale = theirs.max()
        np.testing.assert_allclose(plan[0] / scale, theirs / scale, rtol=0, atol=1e-6)
        np.testing.assert_allclose(plan[0].sum(1) / scale, theirs.sum(1) / scale, rtol=0, atol=1e-6)
        np.testing.assert_allclose(plan[0].sum(0) / scale, theirs.sum(0) / scale, rtol=0, atol=1e-6)


@pytest.mark.parametrize("eta", [0.05, 1.0])
def test_balanced_plan_is_pots(eta: float) -> None:
    c = cost(12, 12)
    uniform = np.ones(12)
    theirs = ot.sinkhorn(uniform, uniform, c[0].numpy(), eta, numItermax=20_000, stopThr=1e-13)
    np.testing.assert_allclose(unbalanced_plan(c, eta, math.inf, CONVERGED)[0], theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("penalty", [0.0, 0.3, 1000.0, math.inf])
def test_scaling_and_log_form_agree_after_any_number_of_iterations(penalty: float) -> None:
    for iterations in (1, 7, 50):
        scaling, log = ours_in_both_forms(cost(images=2), 0.2, penalty, iterations, mass=0.5)
        torch.testing.assert_close(scaling, log, rtol=1e-12, atol=0)


def test_log_form_is_chosen_where_the_scaling_form_would_overflow() -> None:
    c, eta = cost(12, 12), 0.01
    theirs = pots(c, eta, 1.0, 1.0)
    np.testing.assert_allclose(unbalanced_plan(c.float(), eta, 1.0, 1500)[0], theirs, rtol=0, atol=1e-4)
    assert not unbalanced_plan(c.float(), eta, 1.0, 1500, bound=0.0).isfinite().all()  # the scaling form, by force


@pytest.mark.parametrize("mass", [1.0, 0.25])
def test_infinite_penalty_balances_the_marginals(mass: float) -> None:
    plan = unbalanced_plan(cost(10, 10), 0.3, math.inf, 500, mass)
    torch.testing.assert_close(plan.sum(1), torch.full((1, 10), mass, dtype=torch.float64))
    torch.testing.assert_close(plan.sum(2), torch.full((1, 10), mass, dtype=torch.float64))


def test_large_penalties_approach_the_balanced_plan() -> None:
    balanced = unbalanced_plan(cost(10, 10), 1.0, math.inf, CONVERGED)
    gaps = [(unbalanced_plan(cost(10, 10), 1.0, rho, CONVERGED) - balanced).abs().max() for rho in (1.0, 10.0, 100.0)]
    assert gaps[0] > 5 * gaps[1] > 25 * gaps[2] > 0


@pytest.mark.parametrize("eta", [0.02, 0.5])
def test_without_penalty_the_plan_is_the_kernel(eta: float) -> None:
    c = cost()
    torch.testing.assert_close(
        unbalanced_plan(c, eta, 0.0, 3, mass=0.5), 0.25 * torch.exp(-c / eta), rtol=1e-12, atol=0
    )


def test_images_of_a_batch_are_apart() -> None:
    c = cost(images=3)
    alone = torch.cat([unbalanced_plan(image[None], 0.5, 2.0) for image in c])
    torch.testing.assert_close(unbalanced_plan(c, 0.5, 2.0), alone, rtol=1e-12, atol=0)


@pytest.mark.parametrize("bound", [0.0, math.inf])
@pytest.mark.parametrize("penalty", [0.5, 100.0, math.inf])
def test_gradient_passes_through_all_iterations(penalty: float, bound: float) -> None:
    c = cost(4, 3, images=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: unbalanced_plan(x, 0.4, penalty, 8, 0.5, bound), c)


@pytest.mark.parametrize("side", [0.99, 1.01])
def test_at_the_border_both_forms_are_exact_in_single_precision(side: float) -> None:
    """Costs up to 1 and η at 1/30: one form below, the other above; plan and gradient against double precision."""
    eta = side / SAFE_EXPONENT
    exact = cost(40, 40, images=2).requires_grad_()
    single = exact.detach().float().requires_grad_()
    plans = [unbalanced_plan(exact, eta, 1.0, bound=math.inf), unbalanced_plan(single, eta, 1.0, bound=1.0)]
    weight = torch.rand(40, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradients = [torch.autograd.grad((p * weight).sum(), c)[0] for p, c in zip(plans, (exact, single), strict=True)]
    for found, expected in ((plans[1], plans[0]), (gradients[1], gradients[0])):
        scale = expected.abs().max()
        torch.testing.assert_close(found.double() / scale, expected / scale, rtol=0, atol=2e-5)


def test_gradient_of_the_released_scheme() -> None:
    c = cost(4, 4, images=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: released_plan(torch.exp(-x), 0.1, 8), c)


def test_released_scheme_without_relaxation_is_balanced_transport() -> None:
    c = cost(10, 10)
    balanced = unbalanced_plan(c, 1.0, math.inf, CONVERGED)
    torch.testing.assert_close(released_plan(torch.exp(-c), 0.0, CONVERGED), balanced, rtol=0, atol=1e-7)


@pytest.mark.parametrize("slack", [1e-4, 0.5])
def test_slack_gives_the_exponent_of_the_iteration(slack: float) -> None:
    eta = 0.3
    penalty = penalty_of_slack(slack, eta)
    assert penalty / (penalty + eta) == pytest.approx(1 / (1 + slack))
    assert penalty_of_slack(0.0, eta) == math.inf


def test_exponents_above_one_grow_without_bound() -> None:
    assert scaled_plan(cost(), 0.5, 1.5, 2).isfinite().all()
    assert not scaled_plan(cost(), 0.5, 5.0, 50).isfinite().all()


def test_cost_is_minus_the_cosine() -> None:
    x = torch.nn.functional.normalize(torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0)), dim=2)
    c = cosine_cost(x, x)
    torch.testing.assert_close(c.diagonal(dim1=1, dim2=2), -torch.ones(2, 5))
    torch.testing.assert_close(c[0, 0, 1], -torch.nn.functional.cosine_similarity(x[0, 0], x[0, 1], dim=0))
