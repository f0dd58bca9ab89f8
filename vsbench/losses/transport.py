"""Entropic optimal transport between sets of patch features, balanced or not, differentiable through its iterations."""

import torch
from torch import Tensor

# exp(±30) squared stays far inside float32: below this |c|/η the scaling form is as exact as the log form, and faster
SAFE_EXPONENT = 30.0


def cosine_cost(source: Tensor, target: Tensor) -> Tensor:
    """c = −cosine of unit vectors: (B, N, D), (B, M, D) → (B, N, M) in [−1, 1]. Source: USIGAN eq. 1."""
    return -(source @ target.mT)


def unbalanced_plan(
    cost: Tensor, eta: float, penalty: float, iterations: int = 50, mass: float = 1.0, bound: float | None = None
) -> Tensor:
    """The plan T minimising ⟨c, T⟩ + η KL(T | p qᵀ) + ρ KL(T1 | p) + ρ KL(Tᵀ1 | q), uniform p = q = ``mass``.

    Parameters
    ----------
    cost : (B, N, M) float.
    eta : η, the entropic regularisation; > 0.
    penalty : ρ, the weight of the marginals; ``inf`` gives balanced transport, 0 leaves the marginals free.
    iterations : Sinkhorn iterations, each updating both sides.
    mass : mass of each point.
    bound : a known bound of |cost| (1 for cosines). It decides between the scaling and the log form; without it the
        data decide, which waits for the device.

    Returns
    -------
    (B, N, M) plan; gradient flows through all iterations.

    Source: Chizat et al. 2018, the iteration u ← −(ρη/(ρ+η)) log Σ q exp((v − c)/η); USIGAN eqs. 3–10 as they must be
    meant (the printed ones lack the factor η/(ρ+η)).
    """
    if bound is None:
        bound = float(cost.detach().abs().max())
    exponent = 1.0 if penalty == float("inf") else penalty / (penalty + eta)
    if bound / eta <= SAFE_EXPONENT:
        return _scaling_form(cost, eta, exponent, iterations, mass)
    return _log_form(cost, eta, exponent, iterations, mass)


def penalty_of_slack(slack: float, eta: float) -> float:
    """ρ = η/slack: USIGAN's text lets τ → 0 be classical transport; slack is such a τ (exponent 1/(1 + τ))."""
    return float("inf") if slack == 0 else eta / slack


def _scaling_form(cost: Tensor, eta: float, exponent: float, iterations: int, mass: float) -> Tensor:
    kernel = mass * torch.exp(-cost / eta)  # p or q times exp(−c/η): both masses are the same constant
    v = kernel.new_ones(kernel.shape[0], kernel.shape[2], 1)
    u = kernel.new_ones(kernel.shape[0], kernel.shape[1], 1)
    for _ in range(iterations):
        u = (kernel @ v).pow(-exponent)
        v = (kernel.mT @ u).pow(-exponent)
    return mass * u * kernel * v.mT


def _log_form(cost: Tensor, eta: float, exponent: float, iterations: int, mass: float) -> Tensor:
    log_mass = torch.log(cost.new_tensor(mass))
    log_kernel = log_mass - cost / eta
    u = cost.new_zeros(cost.shape[0], cost.shape[1], 1)
    v = cost.new_zeros(cost.shape[0], 1, cost.shape[2])
    for _ in range(iterations):
        u = -exponent * torch.logsumexp(log_kernel + v, dim=2, keepdim=True)
        v = -exponent * torch.logsumexp(log_kernel + u, dim=1, keepdim=True)
    return torch.exp(log_mass + log_kernel + u + v)


def released_plan(kernel: Tensor, tau: float, iterations: int = 50) -> Tensor:
    """The scheme of USIGAN's released code: u ← e^(−τu)/(Kv + 1e-8), v ← e^(−τv)/(Kᵀu + 1e-8), from ones.

    (B, N, M) positive kernel → (B, N, M) plan. τ = 0 is balanced transport with unit masses; τ > 0 loses mass almost
    uniformly, whatever the features: it is neither eq. 3 nor eqs. 8–9 of the paper.
    """
    u = kernel.new_ones(kernel.shape[0], kernel.shape[1], 1)
    v = kernel.new_ones(kernel.shape[0], kernel.shape[2], 1)
    for _ in range(iterations):
        u = torch.exp(-tau * u) / (kernel @ v + 1e-8)
        v = torch.exp(-tau * v) / (kernel.mT @ u + 1e-8)
    return u * kernel * v.mT
