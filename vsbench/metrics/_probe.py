"""A linear probe: how well grades follow from features by a logistic regression, and what follows for new images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STRENGTH = 1.0  # scikit-learn's C: the weight of the images' losses against half the squared weights
ITERATIONS = 10_000
RULE = f"logistic-l2-c{STRENGTH:g}"


@dataclass(frozen=True, eq=False)
class Probe:
    """``grades``: (K,) in order; ``shift``, ``scale``: (D,) of features; ``weights``: (K, D) and ``bias``: (K,)."""

    grades: NDArray[np.int64]
    shift: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def probabilities(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, D) → (N, K), rows of sum 1."""
        scores = ((features - self.shift) * self.scale) @ self.weights.T + self.bias
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


def fit_probe(features: NDArray[np.floating], grades: NDArray[np.int64]) -> Probe:
    """Fit to (N, D) features and (N,) grades, of which there are two or more; features are standardised first.

    One that does not vary counts for nothing. The loss is that of the softmax of K linear scores, with an L2 penalty on
    the weights: convex, so that the fit does not depend on where it starts. Raises ValueError for one grade alone.
    """
    from sklearn.linear_model import LogisticRegression

    shift, spread = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 1e-9 * np.abs(shift))
    found = LogisticRegression(C=STRENGTH, max_iter=ITERATIONS, tol=1e-6).fit((features - shift) * scale, grades)
    weights, bias = found.coef_, found.intercept_
    if len(found.classes_) == 2:  # one score, of the second grade against the first
        weights, bias = np.vstack([np.zeros_like(weights), weights]), np.append(0, bias)
    return Probe(found.classes_.astype(np.int64), shift, scale, weights, bias)
