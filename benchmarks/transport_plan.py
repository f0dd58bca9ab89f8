"""Unbalanced transport plans and their gradients: ours in both forms against POT's.

    python -m benchmarks.transport_plan

Ten 256 × 256 problems of cosine costs, 50 iterations, float32, the plan and the gradient of a loss of it. POT solves
one problem at a time; its iterations are differentiated by the same autograd. η = 1 is USIGAN's, 0.02 asks for the log
form.
"""

import argparse
import warnings
from collections.abc import Callable

import ot
import torch
from torch import Tensor

from benchmarks.measuring import machine, time_rounds
from vsbench.losses.transport import SAFE_EXPONENT, cosine_cost, unbalanced_plan

BATCH, SIZE, ITERATIONS = 10, 256, 50
ETAS, PENALTY = (1.0, 0.1, 0.02), 1.0
POTS = {"POT": "sinkhorn", "POT, stabilised": "sinkhorn_stabilized"}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    features = [torch.nn.functional.normalize(torch.randn(BATCH, SIZE, 64), dim=2) for _ in range(2)]
    cost = cosine_cost(*features)
    weight = torch.rand(BATCH, SIZE, SIZE)

    print(machine())
    print(f"{'η':>5}  {'':18}{'s':>8}{'× POT':>8}{'× stabilised':>14}{'plan off by':>13}{'gradient off by':>17}")
    for eta in ETAS:
        form = "scaling" if 1 / eta <= SAFE_EXPONENT else "log"
        variants = {f"ours, {form} form": ours(eta)} | {name: pots(method, eta) for name, method in POTS.items()}
        runs = {name: plan_and_gradient(solve, cost, weight) for name, solve in variants.items()}
        results = {name: run() for name, run in runs.items()}
        timed = time_rounds(runs, rounds)
        for name, one in timed.items():
            speeds = [one.ratio(timed[baseline]) for baseline in POTS]
            plan, gradient = (largest(a, b) for a, b in zip(results[name], results["POT"], strict=True))
            print(f"{eta:5}  {name:18}{one.median:8.3f}{speeds[0]:8.1f}{speeds[1]:14.1f}{plan:13.1e}{gradient:17.1e}")


def ours(eta: float) -> Callable[[Tensor], Tensor]:
    """Our solver, in the form that it chooses for costs up to 1."""
    return lambda cost: unbalanced_plan(cost, eta, PENALTY, ITERATIONS, bound=1.0)


def pots(method: str, eta: float) -> Callable[[Tensor], Tensor]:
    """POT's solver, one problem after the other."""

    def solve(cost: Tensor) -> Tensor:
        masses = torch.ones(SIZE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged
            plans = [
                ot.unbalanced.sinkhorn_unbalanced(
                    masses, masses, one, eta, PENALTY, method=method, reg_type="kl", numItermax=ITERATIONS, stopThr=0.0
                )
                for one in cost
            ]
        return torch.stack(plans)

    return solve


def plan_and_gradient(solve: Callable[[Tensor], Tensor], cost: Tensor, weight: Tensor) -> Callable[[], list[Tensor]]:
    """A function that gives the plan of ``cost``, and the gradient of its weighted sum."""

    def run() -> list[Tensor]:
        leaf = cost.clone().requires_grad_()
        plan = solve(leaf)
        (plan * weight).sum().backward()
        assert leaf.grad is not None
        return [plan.detach(), leaf.grad]

    return run


def largest(found: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest entry."""
    return float((found - expected).abs().max() / expected.abs().max())


if __name__ == "__main__":
    main()
