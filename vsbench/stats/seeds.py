"""What another training seed would change, apart from what other slides would change.

K trainings that differ in their seed alone, evaluated on the same slides, give values θ_1 … θ_K. They differ because
of the seed, and because each does better on some slides and worse on others: the second part would vanish with more
slides, the first would not. Two-way analysis of variance, with the slides' part from the bootstrap so that it holds for
R_p as for a mean (θ* from the same draws for all seeds; var with K − 1; c = S / (S − 1), for draws of slides vary less
than slides):

    spread       = var_k θ_k
    interaction  = c · mean over draws of var_k (θ*_k − its mean over draws)
    seed²        = max(0, spread − interaction)            a component of variance
    sampling²    = c · mean over k of Var* θ*_k            of one training: slides and interaction
    error²       = seed² / K + c · Var* (mean over k of θ*_k)      of the mean over seeds

For a mean of images, with as many on each slide, these are the usual mean squares: c · Var* = Σ (slide − mean)² /
(S (S − 1)), seed² = (MS_seed − MS_rest) / S.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vsbench.stats.moments import Array


@dataclass(frozen=True)
class SeedEffect:
    """Standard deviations in the unit of the value, NaN where they do not exist (one training, one slide).

    ``seed``: of trainings, were there slides without end. ``sampling``: of one training, over other slides of this
    number. ``error``: of ``mean``, over other trainings and slides. ``values``: of each training.
    """

    mean: float
    seed: float
    sampling: float
    error: float
    values: tuple[float, ...]


def seed_effect(trainings: Sequence[Callable[[Array], Array]], counts: Array) -> SeedEffect:
    """Split the spread of one value of one method into seed and sampling; ``counts`` (R, S) of the shared slides.

    ``trainings``: statistics of ``moments`` or ``features``, counts (R, S) → (R,). Draws in which a training has no
    value are left out. ValueError: there is no training.
    """
    if not trainings:
        raise ValueError("no training, so nothing to split")
    slides = counts.shape[1]
    found = np.concatenate([training(np.ones((1, slides))) for training in trainings])  # (K,)
    drawn = np.stack([training(counts) for training in trainings])  # (K, R)
    drawn = drawn[:, np.isfinite(drawn).all(axis=0)]
    average, values = float(found.mean()), tuple(found.tolist())
    if slides < 2 or drawn.shape[1] < 2 or not np.isfinite(average):
        return SeedEffect(average, np.nan, np.nan, np.nan, values)
    wider = slides / (slides - 1)
    sampling = wider * drawn.var(axis=1).mean()
    if len(trainings) < 2:
        return SeedEffect(average, np.nan, float(np.sqrt(sampling)), np.nan, values)
    interaction = wider * (drawn - drawn.mean(axis=1, keepdims=True)).var(axis=0, ddof=1).mean()
    seed = max(0.0, found.var(ddof=1) - interaction)
    error = seed / len(trainings) + wider * drawn.mean(axis=0).var()
    return SeedEffect(average, float(np.sqrt(seed)), float(np.sqrt(sampling)), float(np.sqrt(error)), values)
