"""Areas under ROC curves of graded images as functions of how often each slide is drawn, and scores for tests.

Features are the probabilities of K grades by generated image, and which grade is the true one, (N, K) each of 0 and 1:
rows of 0 have none. The value is the mean over the grades, each against the others.
"""

import numpy as np

from vsbench.roc import above
from vsbench.stats.features import Features, Scores, Statistic
from vsbench.stats.moments import Array
from vsbench.stats.slides import Slides


def macro_area(chance: Features, wanted: Features, slides: Slides) -> Statistic:
    """Counts (R, S) → (R,): of the grades that some drawn images have and others have not; NaN where none is so."""
    graded = wanted.sum(axis=1) > 0
    member = np.zeros((slides.count, len(slides.index)))
    member[slides.index, np.arange(len(slides.index))] = graded
    parts = []
    for k in range(wanted.shape[1]):
        own = (wanted[:, k] > 0) & graded
        wins = above(chance[own, k], chance[~own & graded, k])
        parts.append((member[:, own], member[:, ~own & graded], wins))
    by_slide = [(yes @ wins @ no.T, yes.sum(axis=1), no.sum(axis=1)) for yes, no, wins in parts]

    def statistic(counts: Array) -> Array:
        areas = []
        for won, yes, no in by_slide:
            pairs = (counts @ yes) * (counts @ no)
            wins = ((counts @ won) * counts).sum(axis=1)
            areas.append(np.divide(wins, pairs, out=np.full(len(counts), np.nan), where=pairs > 0))
        found = np.stack(areas)
        exists = np.isfinite(found)
        number = exists.sum(axis=0)
        total = np.where(exists, found, 0).sum(axis=0)
        return np.divide(total, number, out=np.full(len(counts), np.nan), where=number > 0)

    return statistic


def macro_area_scores(first: Features, second: Features, wanted: Features) -> Scores:
    """Scores (N,) of two methods, whose means differ as their areas do: against both methods' images together."""
    graded = wanted.sum(axis=1) > 0
    scores = np.zeros((2, len(wanted)))
    found = 0
    for k in range(wanted.shape[1]):
        own, others = (wanted[:, k] > 0) & graded, ~(wanted[:, k] > 0) & graded
        if not own.any() or not others.any():
            continue
        found += 1
        no, yes = (np.concatenate([part[which, k] for part in (first, second)]) for which in (others, own))
        for method, part in zip(scores, (first, second), strict=True):
            method[own] += above(part[own, k], no).mean(axis=1) * len(wanted) / own.sum()
            method[others] += above(yes, part[others, k]).mean(axis=0) * len(wanted) / others.sum()
    if not found:
        scores[:] = np.nan
    return scores[0] / max(found, 1), scores[1] / max(found, 1)
