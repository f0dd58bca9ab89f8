"""UNSB's discretised Schrödinger bridge, and the energy that stands for its entropy (Kim et al., ICLR 2024)."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from vsbench.precision import full_precision
from vsbench.ranks import gather


def bridge_times(steps: int) -> list[float]:
    """Times of the bridge, ``steps`` + 1 of them (steps ≥ 2): 0, then ½ + ½ H_k / H_(steps − 1), H_k = 1 + ½ + … + 1/k.

    From ½ to 1 in shorter and shorter steps, as released.
    """
    harmonic = [0.0, *accumulate(1 / k for k in range(1, steps))]
    return [0.0, *(0.5 + 0.5 * h / harmonic[-1] for h in harmonic)]


def bridge_step(x: Tensor, end: Tensor, noise: Tensor, times: Sequence[float], step: int, tau: float) -> Tensor:
    """From X at ``times[step − 1]`` towards a predicted end at time 1, to ``times[step]``: (B, 3, H, W).

    (1 − r) X + r end + √(τ d (1 − r)) noise, with d the time that passes and r its share of what was left; ``noise`` is
    standard normal. UNSB's eq. 11.
    """
    passes = times[step] - times[step - 1]
    share = passes / (1 - times[step - 1])
    return (1 - share) * x + share * end + (tau * passes * (1 - share)) ** 0.5 * noise


def log_partition(marginal: Tensor) -> Tensor:
    """L: log Σ exp of all energies, over positions and the images of all ranks; not divided by their number."""
    with full_precision(marginal):
        return gather(marginal.to(torch.promote_types(marginal.dtype, torch.float32))).flatten().logsumexp(0)


def dependence(joint: Tensor, marginal: Tensor) -> Tensor:
    """J − L: mean energy of pairs that belong together, and ``log_partition`` of pairs that don't. (B, 1, h, w) each.

    At its largest over all energies it is their mutual information less the logarithm of the number of energies.
    """
    return joint.mean() - log_partition(marginal)


def energy_loss(joint: Tensor, marginal: Tensor) -> Tensor:
    """What the energy network minimises: −J + L + L², the square keeping L from drifting. As released."""
    return log_partition(marginal).square() - dependence(joint, marginal)
