"""Stain transfer without training: an image takes over the colours of others, and keeps its structure.

Made for slides of one stain. From H&E to IHC these methods show how far colour alone goes: which cells hold the antigen
is not in the colour, so Macenko turns all eosin brown, and Reinhard leaves it a shade of pink.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsbench.stain.density import DARKEST, optical_density, transmitted_intensity

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

# Reinhard et al. 2001: RGB to the responses L, M, S of the cones (eq. 4), and their logarithms to l, α, β (eq. 6).
CONES = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
OPPONENTS = np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]]) / np.sqrt([[3], [6], [2]])
CONSTANT = 1e-9  # a standard deviation or an angle below this is rounding

STAINED = 0.15 / np.log(10)  # Macenko's β: released implementations read 0.15 in natural logarithms
EXTREME = 1.0  # Macenko's α, per cent
REACH = 99.0  # percentile that stands for the greatest amount


def to_lalphabeta(image: Image) -> Array:
    """(…, 3) uint8 RGB → (3, N) float64 l, α, β of Ruderman's colour space, decadic; level 0 is read as 1."""
    linear = np.maximum(np.arange(256.0), DARKEST)[_planes(image)]
    return OPPONENTS @ np.log10(CONES @ linear)


def from_lalphabeta(colours: Array, shape: tuple[int, ...]) -> Image:
    """The inverse of ``to_lalphabeta`` for an image of ``shape``, rounded; what RGB can't show is clipped."""
    cones = np.power(10.0, OPPONENTS.T @ colours)  # orthonormal: the transpose is the inverse
    return _image(np.linalg.inv(CONES) @ cones, shape)


def reinhard(image: Image, mean: Array, deviation: Array) -> Image:
    """(H, W, 3) uint8 RGB with mean and standard deviation (3,) of l, α, β over its pixels moved to those given.

    In Ruderman's lαβ as published; many tools use CIELAB in its place. All pixels count, glass too. A channel that
    does not vary is moved only. Source: Reinhard et al., Color Transfer between Images, IEEE CG&A 2001.
    """
    colours = to_lalphabeta(image)
    own_mean, own_deviation = colours.mean(axis=1), colours.std(axis=1)
    scale = np.divide(deviation, own_deviation, out=np.ones(3), where=own_deviation > CONSTANT)
    moved = (colours - own_mean[:, None]) * scale[:, None] + mean[:, None]
    return from_lalphabeta(moved, image.shape)


def mean_and_deviation(images: Iterable[Image]) -> tuple[Array, Array]:
    """Mean and standard deviation (3,) of l, α, β over all pixels of at least one image, held one at a time."""
    pixels, mean, squares = 0, np.zeros(3), np.zeros(3)
    for image in images:
        colours = to_lalphabeta(image)
        more, own = colours.shape[1], colours.mean(axis=1)
        gap, share = own - mean, more / (pixels + more)
        squares += ((colours - own[:, None]) ** 2).sum(axis=1) + gap**2 * pixels * share
        mean += gap * share
        pixels += more
    return mean, np.sqrt(squares / pixels)


@dataclass(frozen=True, eq=False)
class Stains:
    """Two stains of an image. ``vectors`` (2, 3): unit optical density, the one with more red first (haematoxylin).

    ``reach`` (2,): the 99th percentile of each one's amount over the pixels, > 0.
    """

    vectors: Array
    reach: Array


def find_stains(density: Array) -> Stains | None:
    """The two stains of pixels (3, N) of decadic optical density; None where there are no two.

    The plane of greatest variance of the pixels with a density of at least ``STAINED`` in every channel; in it, the
    1st and 99th percentiles of the angle. Amounts are least squares over all pixels, and may be negative. Not as
    printed but as in released implementations: the plane is that of the covariance, not of the densities themselves.

    Source: Macenko et al., A method for normalizing histology slides for quantitative analysis, ISBI 2009.
    """
    stained = np.compress((density >= STAINED).all(axis=0), density, axis=1)
    if stained.shape[1] < 2:
        return None
    plane = np.linalg.eigh(np.cov(stained)).eigenvectors[:, 1:]  # (3, 2), the greatest variance last
    plane *= np.where(stained.mean(axis=1) @ plane < 0, -1, 1)  # so that no angle is near the jump at ±π
    across, along = plane.T @ stained
    angles = np.percentile(np.arctan2(across, along), [EXTREME, 100 - EXTREME])
    vectors = np.stack([np.sin(angles), np.cos(angles)], axis=1) @ plane.T
    vectors = vectors[np.argsort(-vectors[:, 0])]
    if np.linalg.norm(np.cross(*vectors)) < CONSTANT:
        return None
    reach = np.percentile(_amounts(density, vectors), REACH, axis=1)
    return Stains(vectors, reach) if (reach > CONSTANT).all() else None


def exchange(density: Array, source: Stains, target: Stains) -> Array:
    """(3, N) density of ``source`` stains in the vectors of ``target``, amounts scaled from reach to reach."""
    change = (target.vectors.T * (target.reach / source.reach)) @ np.linalg.pinv(source.vectors).T
    return change @ density


def macenko(image: Image, target: Stains) -> Image:
    """(H, W, 3) uint8 RGB with its two stains replaced by ``target``'s: haematoxylin stays what it is, eosin turns DAB.

    An image in which no two stains are found (an empty or one-coloured tile) is returned itself, unchanged.
    """
    density = pixel_density(image)
    source = find_stains(density)
    if source is None:
        return image
    return _image(transmitted_intensity(exchange(density, source, target)), image.shape)


def pixel_density(image: Image) -> Array:
    """(…, 3) uint8 RGB → (3, N) decadic optical density of its pixels."""
    return optical_density(np.arange(256))[_planes(image)]


def every_nth_pixel(image: Image, most: int) -> Image:
    """(N, 3): at most ``most`` ≥ 1 pixels of a (H, W, 3) image, evenly along its rows and never only some columns."""
    step = max(1, math.ceil(image.shape[0] * image.shape[1] / most))
    while math.gcd(step, image.shape[1]) > 1:
        step += 1
    return image.reshape(-1, 3)[::step].copy()  # a view would keep the whole image in memory


def _amounts(density: Array, vectors: Array) -> Array:
    """(2, N) amounts by least squares."""
    return np.linalg.pinv(vectors).T @ density


def _planes(image: Image) -> Image:
    """(3, N): one channel after the other, several times as fast to reckon with as one pixel after the other."""
    return np.ascontiguousarray(image.reshape(-1, 3).T)


def _image(intensity: Array, shape: tuple[int, ...]) -> Image:
    levels = np.rint(np.clip(intensity, 0, 255)).astype(np.uint8)
    return np.ascontiguousarray(levels.T).reshape(shape)
