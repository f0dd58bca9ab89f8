"""Kernel distance of two sets of features: the arithmetic of KID."""

import numpy as np
from numpy.typing import NDArray

SUBSETS, SUBSET_SIZE, SEED = 100, 1000, 2020  # torch-fidelity's defaults
ROWS = 256  # of a kernel matrix in memory at once


def kernel_distance(
    x: NDArray[np.floating], y: NDArray[np.floating], subsets: int = SUBSETS, size: int = SUBSET_SIZE
) -> tuple[float, float]:
    """Mean and spread over random subsets of the squared distance of features (N, D) and (M, D) under a kernel.

    The kernel is (x·y / D + 1)³, the distance unbiased (pairs of an image with itself are left out within a set), so
    that it may be negative. Subsets have min(``size``, N, M) ≥ 2 images, drawn without replacement from NumPy's
    RandomState(2020), first of x and then of y: those of torch-fidelity. With no more than ``size`` images they all are
    the whole set, and the spread is 0 but for rounding. Works in float64, where torch-fidelity takes the features'
    float32. Symmetric only up to the draw.
    """
    size = min(size, len(x), len(y))
    random = np.random.RandomState(SEED)
    in_x, in_y = np.zeros((subsets, len(x))), np.zeros((subsets, len(y)))  # 1 where an image is in a subset
    for k in range(subsets):
        in_x[k, random.choice(len(x), size, replace=False)] = 1
        in_y[k, random.choice(len(y), size, replace=False)] = 1
    a, b = x.astype(np.float64), y.astype(np.float64)
    within = _sums(a, a, in_x, in_x) - in_x @ _diagonal(a) + _sums(b, b, in_y, in_y) - in_y @ _diagonal(b)
    distances = within / (size * (size - 1)) - 2 * _sums(a, b, in_x, in_y) / size**2
    return float(distances.mean()), float(distances.std())


def _sums(
    x: NDArray[np.float64], y: NDArray[np.float64], in_x: NDArray[np.float64], in_y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(K,) sums of the kernel over the pairs of each subset: every entry is worked out once for all subsets."""
    sums = np.zeros(len(in_x))
    for start in range(0, len(x), ROWS):
        rows = slice(start, start + ROWS)
        kernel = _kernel(x[rows] @ y.T, x.shape[1])
        sums += ((in_x[:, rows] @ kernel) * in_y).sum(axis=1)
    return sums


def _diagonal(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) kernel of each image with itself."""
    return _kernel(np.einsum("nd,nd->n", x, x), x.shape[1])


def _kernel(products: NDArray[np.float64], dimensions: int) -> NDArray[np.float64]:
    base = products / dimensions + 1
    return base * base * base
