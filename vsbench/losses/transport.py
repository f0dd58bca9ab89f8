"""Entropic optimal transport between sets of patch features, balanced or not, differentiable through its iterations."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vsbench.losses.contrastive import SAME_POSITION

# exp(±30) squared stays far inside float32: below this |c|/η the scaling form is as exact as the log form, and faster
SAFE_EXPONENT = 30.0


def cosine_cost(source: Tensor, target: Tensor) -> Tensor:
    """c = −cosine of unit vectors: (B, N, D), (B, M, D) → (B, N, M) in [−1, 1]. Source: USIGAN eq. 1."""
    return -(source @ target.mT)


def released_cost(cost: Tensor, repel: bool = False, mask_diagonal: bool = False) -> tuple[Tensor, float]:
    """What the released codes of MoNCE, SIM-GAN and USIGAN make of c = −cosine, (…, N, M), and a bound of its size.

    ``repel``: cosine − 1, so that similar features get the least mass (their ``easy``; ``hard`` is c as it is).
    ``mask_diagonal``, for N = M: next to no mass from a position to itself, whose cost becomes 10.
    """
    if repel:
        cost = -1 - cost  # K = exp((1 − cosine)/η)
    if mask_diagonal:
        own = torch.eye(cost.shape[-1], dtype=torch.bool, device=cost.device)
        cost = cost.masked_fill(own, -SAME_POSITION)
    return cost, max(-SAME_POSITION if mask_diagonal else 0.0, 2.0 if repel else 1.0)


def unbalanced_plan(
    cost: Tensor, eta: float, penalty: float, iterations: int = 50, mass: float = 1.0, bound: float | None = None
) -> Tensor:
    """The plan T minimising ⟨c, T⟩ + η KL(T | p qᵀ) + ρ KL(T1 | p) + ρ KL(Tᵀ1 | q), uniform p = q = ``mass``.

    Parameters
    ----------
    cost : (B, N, M) float.
    eta : η, the entropic regularisation; > 0.
    penalty : ρ, the weight of the marginals; ``inf`` gives balanced transport, 0 leaves the marginals free.
    iterations : Sinkhorn iterations, each updating both sides; ≥ 1.
    mass : mass of each point.
    bound : a known bound of |cost| (1 for cosines). It decides between the scaling and the log form; without it the
        data decide, which waits for the device.

    Returns
    -------
    (B, N, M) plan; gradient flows through all iterations.

    Source: Chizat et al. 2018, the iteration u ← −(ρη/(ρ+η)) log Σ q exp((v − c)/η); USIGAN eqs. 3–10 as they must be
    meant (the printed ones lack the factor η/(ρ+η)).
    """
    exponent = 1.0 if penalty == float("inf") else penalty / (penalty + eta)
    return scaled_plan(cost, eta, exponent, iterations, mass, bound)


def scaled_plan(
    cost: Tensor, eta: float, exponent: float, iterations: int = 50, mass: float = 1.0, bound: float | None = None
) -> Tensor:
    """T = p u exp(−c/η) v q after ``iterations`` of u ← (K v)^−e, v ← (Kᵀ u)^−e from ones, K = mass · exp(−c/η).

    ``unbalanced_plan`` with e = ρ/(ρ + η) in place of ρ. Any e ≥ 0 is taken; above 1 the iteration grows without
    bound, as USIGAN's eqs. 8–9 do where τ > η: they print e = τ/η.
    """
    if bound is None:
        bound = float(cost.detach().abs().max())
    if bound / eta <= SAFE_EXPONENT:
        return _ScalingForm.apply(mass * torch.exp(-cost / eta), exponent, iterations, mass)
    return _LogForm.apply(math.log(mass) - cost / eta, exponent, iterations, math.log(mass))


def penalty_of_slack(slack: float, eta: float) -> float:
    """ρ = η/slack: USIGAN's text lets τ → 0 be classical transport; slack is such a τ (exponent 1/(1 + τ))."""
    return float("inf") if slack == 0 else eta / slack


class _ScalingForm(torch.autograd.Function):
    """T = mass · u K vᵀ with u = (K v)^−e, v = (Kᵀ u)^−e in turn: one pass over K each, none more in memory.

    Backward goes through the same iterations in reverse. What autograd would add up as 2 · iterations outer products of
    K's size is one matrix product here: the vectors of all iterations are kept, which are small.
    """

    @staticmethod
    def forward(ctx: Any, kernel: Tensor, exponent: float, iterations: int, mass: float) -> Tensor:
        v = kernel.new_ones(kernel.shape[0], 1, kernel.shape[2])
        rows, columns, row_sums, column_sums = [], [v], [], []
        for _ in range(iterations):  # vectors stand as rows on the left: CPUs multiply columns far more slowly
            row_sums.append(v @ kernel.mT)
            u = row_sums[-1].pow(-exponent)
            column_sums.append(u @ kernel)
            v = column_sums[-1].pow(-exponent)
            rows.append(u)
            columns.append(v)
        ctx.save_for_backward(kernel, *(torch.cat(part, dim=1) for part in (rows, columns, row_sums, column_sums)))
        ctx.exponent, ctx.mass = exponent, mass
        return mass * u.mT * kernel * v

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        kernel, u, v, row_sums, column_sums = ctx.saved_tensors  # (B, iterations, N); v has one more, the start
        slope_u = -ctx.exponent * u / row_sums
        slope_v = -ctx.exponent * v[:, 1:] / column_sums
        weighted = ctx.mass * gradient * kernel
        of_u, of_v = v[:, -1:] @ weighted.mT, u[:, -1:] @ weighted
        of_row_sums, of_column_sums = torch.empty_like(u), torch.empty_like(slope_v)
        for i in reversed(range(u.shape[1])):
            of_column_sums[:, i : i + 1] = of_v * slope_v[:, i : i + 1]
            of_u = of_u + of_column_sums[:, i : i + 1] @ kernel.mT
            of_row_sums[:, i : i + 1] = of_u * slope_u[:, i : i + 1]
            of_v = of_row_sums[:, i : i + 1] @ kernel
            of_u = torch.zeros_like(of_u)
        of_kernel = torch.baddbmm(ctx.mass * gradient * u[:, -1:].mT * v[:, -1:], u.mT, of_column_sums)
        return of_kernel.baddbmm_(of_row_sums.mT, v[:, :-1]), None, None, None


class _LogForm(torch.autograd.Function):
    """The same with log u and log v, for kernels whose entries leave the range of floats."""

    @staticmethod
    def forward(ctx: Any, log_kernel: Tensor, exponent: float, iterations: int, log_mass: float) -> Tensor:
        v = log_kernel.new_zeros(log_kernel.shape[0], 1, log_kernel.shape[2])
        room = torch.empty_like(log_kernel)  # one for all iterations: on CPUs a fresh one costs more than its filling
        row_sums, column_sums = [], []
        for _ in range(iterations):
            row_sums.append(_log_sum_exp(torch.add(log_kernel, v, out=room), dim=2))
            u = -exponent * row_sums[-1]
            column_sums.append(_log_sum_exp(torch.add(log_kernel, u, out=room), dim=1))
            v = -exponent * column_sums[-1]
        plan = torch.exp(log_mass + log_kernel + u + v)
        ctx.save_for_backward(log_kernel, plan, *row_sums, *column_sums)
        ctx.exponent = exponent
        return plan

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        log_kernel, plan, *sums = ctx.saved_tensors
        iterations = len(sums) // 2
        row_sums, column_sums = sums[:iterations], sums[iterations:]
        of_kernel = gradient * plan
        of_u, of_v = of_kernel.sum(2, keepdim=True), of_kernel.sum(1, keepdim=True)
        room = torch.empty_like(log_kernel)  # for the softmax of an iteration, made anew: all would fill the memory
        for i in reversed(range(iterations)):
            torch.add(log_kernel, -ctx.exponent * row_sums[i], out=room)
            of_kernel += room.sub_(column_sums[i]).exp_().mul_(-ctx.exponent * of_v)
            of_u = of_u + room.sum(2, keepdim=True)
            v = -ctx.exponent * column_sums[i - 1] if i > 0 else torch.zeros_like(of_v)
            torch.add(log_kernel, v, out=room)
            of_kernel += room.sub_(row_sums[i]).exp_().mul_(-ctx.exponent * of_u)
            of_v = room.sum(1, keepdim=True)
            of_u = torch.zeros_like(of_u)
        return of_kernel, None, None, None


def _log_sum_exp(x: Tensor, dim: int) -> Tensor:
    """``x.logsumexp(dim, keepdim=True)``, which overwrites ``x``."""
    largest = x.amax(dim, keepdim=True)
    return x.sub_(largest).exp_().sum(dim, keepdim=True).log_().add_(largest)


def released_plan(kernel: Tensor, tau: float, iterations: int = 50) -> Tensor:
    """The scheme of USIGAN's released code: u ← e^(−τu)/(Kv + 1e-8), v ← e^(−τv)/(Kᵀu + 1e-8), from ones.

    (B, N, M) positive kernel → (B, N, M) plan. τ = 0 is balanced transport with unit masses; τ > 0 loses mass almost
    uniformly, whatever the features: it is neither eq. 3 nor eqs. 8–9 of the paper.
    """
    u = kernel.new_ones(kernel.shape[0], 1, kernel.shape[1])
    v = kernel.new_ones(kernel.shape[0], 1, kernel.shape[2])
    for _ in range(iterations):
        u = torch.exp(-tau * u) / (v @ kernel.mT + 1e-8)
        v = torch.exp(-tau * v) / (u @ kernel + 1e-8)
    return u.mT * kernel * v
