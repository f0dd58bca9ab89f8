"""How one section lies against another, about: every angle and both faces are tried, and every shift at once.

Shifts are compared by normalised cross-correlation over what both images show (Padfield, Masked object registration in
the Fourier domain, IEEE TIP 2012), on images small enough that a turn of a few degrees is a pixel at the border.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import affine_transform, gaussian_filter, zoom

Array = NDArray[np.float64]

SIDE = 96  # pixels of the longer side
STEP = 5.0  # degrees between the angles that are tried
APART = 20.0  # degrees between poses that are not one and the same
SHARED = 0.4  # of the smaller image that must lie on the other
EVEN = 1e-3  # of the largest variance: below, what lies on each other shows nothing
TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Pose:
    """``matrix`` (3, 3): from places (x, y, 1) of the first image to the second, corners first; ``correlation``."""

    matrix: Array
    correlation: float
    mirrored: bool
    degrees: float


def find_poses(first: Array, second: Array, most: int) -> list[Pose]:
    """The ``most`` best poses of each face, apart from each other, of two maps (H, W) of density with equal pixels."""
    factor = max(1.0, max(*first.shape, *second.shape) / SIDE)
    ours, theirs = _reduced(first, factor), _reduced(second, factor)
    found = [_pose(ours, theirs, degrees, face) for face in (False, True) for degrees in np.arange(0, 360, STEP)]
    kept: list[Pose] = []
    for pose in sorted(found, key=lambda pose: -pose.correlation):
        alike = [other for other in kept if other.mirrored == pose.mirrored]
        if len(alike) < most and all(_angle(pose, other) >= APART for other in alike):
            kept.append(pose)
    grow = np.diag([factor, factor, 1.0])
    return [Pose(grow @ p.matrix @ np.linalg.inv(grow), p.correlation, p.mirrored, p.degrees) for p in kept]


def _angle(one: Pose, other: Pose) -> float:
    between = abs(one.degrees - other.degrees) % 360
    return min(between, 360 - between)


def _reduced(density: Array, factor: float) -> Array:
    if factor == 1:
        return density
    return np.asarray(zoom(gaussian_filter(density, factor / 2), 1 / factor, order=1, grid_mode=True, mode="nearest"))


def _pose(ours: Array, theirs: Array, degrees: float, mirrored: bool) -> Pose:
    """The best shift at an angle: the second image is turned back onto a canvas, which is laid over the first."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # of (x, y)
    if mirrored:
        turn = turn @ np.diag([-1.0, 1.0])
    side = int(np.ceil(np.hypot(*theirs.shape)))
    middle = np.array(theirs.shape[::-1]) / 2
    offset = middle - turn @ [side / 2, side / 2]  # of corners; pixels' centres lie half a pixel on
    centres = offset + turn @ [0.5, 0.5] - 0.5
    canvas, there = (
        affine_transform(values, turn[::-1, ::-1], centres[::-1], (side, side), order=1)
        for values in (theirs, np.ones_like(theirs))
    )
    seen = (there > 0.5).astype(float)
    least = SHARED * min(ours.size, theirs.size)
    correlation, dy, dx = _best_shift(ours, canvas * seen, seen, least)
    matrix = np.eye(3)
    matrix[:2, :2] = turn
    matrix[:2, 2] = offset - turn @ [dx, dy]
    return Pose(matrix, correlation, mirrored, degrees)


def _best_shift(ours: Array, theirs: Array, seen: Array, least: float) -> tuple[float, int, int]:
    """(correlation, dy, dx): pixel (0, 0) of ``theirs`` lies at (dy, dx) of ours; at least so many pixels shared."""
    shape = [next_fast_len(a + b - 1, real=True) for a, b in zip(ours.shape, theirs.shape, strict=True)]

    def spectrum(values: Array) -> NDArray[np.complex128]:
        return np.asarray(rfft2(values, shape))

    def product(one: NDArray[np.complex128], other: NDArray[np.complex128]) -> Array:
        return np.asarray(irfft2(one * other, shape))

    back, back_seen = theirs[::-1, ::-1], seen[::-1, ::-1]
    one, one_squared, here = spectrum(ours), spectrum(ours**2), spectrum(np.ones_like(ours))
    other, other_squared, there = spectrum(back), spectrum(back**2), spectrum(back_seen)
    pixels = np.maximum(product(here, there), TINY)
    sum_one, sum_other = product(one, there), product(here, other)
    covariance = product(one, other) - sum_one * sum_other / pixels
    varies = [
        np.maximum(product(one_squared, there) - sum_one**2 / pixels, TINY),
        np.maximum(product(here, other_squared) - sum_other**2 / pixels, TINY),
    ]
    correlation = covariance / np.sqrt(varies[0] * varies[1])
    shown = np.minimum(varies[0] / varies[0].max(), varies[1] / varies[1].max()) > EVEN
    correlation = np.where((pixels >= least) & shown, correlation, -1.0)
    row, column = np.unravel_index(int(correlation.argmax()), correlation.shape)
    return float(correlation[row, column]), int(row) - theirs.shape[0] + 1, int(column) - theirs.shape[1] + 1
