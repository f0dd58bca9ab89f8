"""How far the IHC of a pair lies from its H&E, and how certain that is: phase correlation of what both stain.

Two sections share the places of their nuclei (haematoxylin) and of their tissue (total density); the surfaces of both
are added. A pair's own peak stands out from all others; of unrelated tiles one accidental peak is as high as the next.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, rfft2
from scipy.ndimage import gaussian_filter
from scipy.signal.windows import tukey

Map = NDArray[np.float64]

SHARPNESS = 1.0  # standard deviation (px) of the smoothing before: noise of single pixels does not count
FADED = 0.3  # share of the side along which the border fades out; a Hann window would waste six sevenths of the nuclei
TOLERANCE = 1.5  # and of the surface: sections are distorted, so neighbouring nuclei vote for neighbouring shifts
REACH = 1 / 4  # of the side: shifts beyond leave too little in common
OWN_PEAK = 10  # px around the highest peak that belong to it; about a nucleus of a tile 256 wide

STILL = 3  # px by which the second registration may differ from the first
# The least confidence that is trusted. Of some 800 draws of an H&E and an IHC of unrelated tiles (phantom; CIMA across
# organs), the 99th percentile is 1.35 to 1.48, but in single sets 3 % reach it: see ``mismatched``.
SURE = 1.5


@dataclass(frozen=True)
class Shift:
    """What is at (y, x) in the H&E is at (y + dy, x + dx) in the IHC.

    ``confidence``: the highest peak over the second highest, both above the mean; ≥ 1.
    """

    dy: int
    dx: int
    confidence: float


def prepare(values: Map) -> NDArray[np.complex64] | None:
    """The spectrum of a map (H, W) of density, its border faded out; None where the map is constant."""
    smooth = gaussian_filter(values.astype(np.float32), SHARPNESS)
    smooth -= smooth.mean()
    if not np.abs(smooth).max() > 1e-6:
        return None
    rows, columns = (tukey(n, FADED).astype(np.float32) for n in values.shape)
    return rfft2(smooth * rows[:, None] * columns)


def residual_shift(he: list[Map], ihc: list[Map]) -> Shift | None:
    """The shift between the same maps, (H, W) each, of two images; None where one of the maps is constant.

    Shifts up to ``REACH`` of the side are looked for, whole pixels. What the shift lays over each other is registered
    once more, since what lies beyond is noise: its confidence counts, and is 1 where it finds another shift.
    """
    first = _highest_peak(he, ihc)
    if first is None:
        return None
    height, width = (n - abs(d) for n, d in zip(he[0].shape, (first.dy, first.dx), strict=True))
    y, x = max(0, -first.dy), max(0, -first.dx)
    dy, dx = y + first.dy, x + first.dx
    ours, theirs = ([m[y : y + height, x : x + width] for m in he], [m[dy : dy + height, dx : dx + width] for m in ihc])
    second = _highest_peak(ours, theirs)
    if second is None or max(abs(second.dy), abs(second.dx)) > STILL:
        return Shift(first.dy, first.dx, 1.0)
    return Shift(first.dy + second.dy, first.dx + second.dx, second.confidence)


def _highest_peak(he: list[Map], ihc: list[Map]) -> Shift | None:
    shape = he[0].shape
    total = np.zeros(shape)
    for ours, theirs in zip(he, ihc, strict=True):
        first, second = prepare(ours), prepare(theirs)
        if first is None or second is None:
            return None
        product = second * np.conj(first)
        size = np.abs(product)
        surface = irfft2(product / (size + 1e-9 * size.max()), s=shape)
        surface = gaussian_filter(surface, TOLERANCE, mode="wrap")
        total += (surface - surface.mean()) / surface.std()
    reach = [max(1, int(n * REACH)) for n in shape]
    inner = np.fft.fftshift(total)[tuple(slice(n // 2 - r, n // 2 + r + 1) for n, r in zip(shape, reach, strict=True))]
    row, column = np.unravel_index(int(inner.argmax()), inner.shape)
    y, x = np.ogrid[: inner.shape[0], : inner.shape[1]]
    others = inner[np.hypot(y - row, x - column) > OWN_PEAK]
    if others.size == 0:
        return None
    top, second_peak = inner[row, column] - others.mean(), others.max() - others.mean()
    return Shift(int(row) - reach[0], int(column) - reach[1], float(max(1.0, top / max(second_peak, 1e-9))))
