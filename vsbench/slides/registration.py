"""Two sections registered on each other, and how far that can be trusted.

Poses by exhaustive search, an affine map of the best of them, what bends it: once from the H&E to the IHC and once,
from the beginning, back. Where both agree on a place it is found; of other tissue, or where the section is torn, each
finds something else. What both get wrong alike is not seen by this.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from vsbench.errors import DataError
from vsbench.slides.alignment import Alignment
from vsbench.slides.poses import Pose, find_poses
from vsbench.slides.tissue import tissue_mask
from vsbench.stain.density import optical_density
from vsbench.stain.light import WHITE, find_light

RGB = NDArray[np.uint8]
Array = NDArray[np.float64]

ROWS = 64  # of an image at once
PIXEL = 4.0  # µm of the images that are registered, where the sections are small enough
LARGEST = 2048  # pixels of their longer side
FINEST = 16.0  # µm a pixel of the finest level; windows are 13 pixels wide
COARSEST = 56  # pixels of the shorter side, at least, of the coarsest level
POSES = 3  # of each face that an affine map is fitted to
FADING = 4.0  # pixels over which tissue fades into glass, as a weight
GRID = 64  # places along the longer side of the map of residuals
AGREED = 25.0  # µm that the ways there and back may differ by where a place is found
TRUSTED = 0.5  # share of the tissue whose places must be found
LEAST_TISSUE = 0.005  # share of an image: less is a blank slide


@dataclass(frozen=True, eq=False)
class Registration:
    """``alignment``: from places of the H&E's image to the IHC's, in their pixels, with the affine map alone in
    ``affine``.

    ``residual`` (rows, columns): µm by which the ways there and back differ on a grid over the H&E; NaN beside tissue.
    ``correlation``: local, of the densities, mean over the tissue.
    """

    alignment: Alignment
    affine: Alignment
    residual: Array
    correlation: float

    @property
    def found(self) -> float:
        """Share of the tissue whose place in the IHC is found; the confidence."""
        inside = np.isfinite(self.residual)
        return float((self.residual[inside] <= AGREED).mean()) if inside.any() else 0.0

    @property
    def median(self) -> float:
        """µm, of the residual where places are found."""
        good = self.residual[self.residual <= AGREED]
        return float(np.median(good)) if good.size else float("nan")

    @property
    def degrees(self) -> float:
        """By which the IHC's section is turned against the H&E's, −180 to 180."""
        (a, _), (c, _) = self.affine.matrix[:2, :2]
        face = -1 if self.alignment.mirrored else 1
        return float(np.rad2deg(np.arctan2(face * c, face * a)))

    def described(self) -> Mapping[str, Any]:
        """For a record."""
        return {
            "found": round(self.found, 4),
            "residual_median_um": None if np.isnan(self.median) else round(self.median, 2),
            "correlation": round(self.correlation, 4),
            "degrees": round(self.degrees, 2),
            "mirrored": self.alignment.mirrored,
        }


def register(he: RGB, ihc: RGB, pixel: float) -> Registration:
    """Register two images of whole sections, (H, W, 3) each, with pixels of so many µm. Whether to trust it, says
    ``require_trusted``.

    Raises DataError where one of them shows no tissue.
    """
    maps = [_density(image) for image in (he, ihc)]
    masks = [tissue_mask(image, pixel) for image in (he, ihc)]
    for mask, name in zip(masks, ("H&E", "IHC"), strict=True):
        if mask.mean() < LEAST_TISSUE:
            raise DataError(f"the {name} shows no tissue, so there is nothing to register")
    there = _one_way(maps[0], maps[1], masks[0], pixel)
    back = _one_way(maps[1], maps[0], masks[1], pixel)
    step = max(he.shape[:2]) / GRID
    y, x = ((np.arange(max(1, round(side / step))) + 0.5) * side / max(1, round(side / step)) for side in he.shape[:2])
    places = np.stack(np.meshgrid(x, y), axis=-1)
    differs = pixel * np.linalg.norm(back[0](there[0](places)) - places, axis=-1)
    inside = masks[0][places[..., 1].astype(int), places[..., 0].astype(int)]
    return Registration(there[0], there[1], np.where(inside, differs, np.nan), there[2])


def require_trusted(registration: Registration) -> None:
    """Raise DataError where it can't be trusted: other tissue, or too much of it torn, folded or missing."""
    if registration.found < TRUSTED:
        raise DataError(
            f"not registered: of the tissue {registration.found:.0%} was found again in the other section, where "
            f"{TRUSTED:.0%} is the least; other tissue, or torn: give a transform of your own, or leave the pair out"
        )


def _density(image: RGB) -> Array:
    """(1, H, W) total optical density under the slide's own light, smoothed by a pixel.

    Haematoxylin as a second map made it no better on serial sections, and half as fast.
    """
    light = find_light(image) or WHITE
    found = np.empty((1, *image.shape[:2]))
    for top in range(0, len(image), ROWS):
        found[0, top : top + ROWS] = optical_density(image[top : top + ROWS], light.colour).sum(axis=-1)
    return np.asarray(gaussian_filter(found, (0, 1, 1)))


def _one_way(first: Array, second: Array, mask: NDArray[np.bool_], pixel: float) -> tuple[Alignment, Alignment, float]:
    """The alignment, its affine part, and the correlation."""
    from vsbench.slides.fitting import Maps, fit_affine, fit_bending  # torch, which listings do not need

    factors = _factors(first.shape[1:], second.shape[1:], pixel)
    maps = Maps.of(first, second, gaussian_filter(mask.astype(float), FADING), pixel)
    poses = find_poses(first[0], second[0], POSES)
    best = max(poses, key=lambda pose: _tried(maps, pose, factors[0]))
    matrix, _ = fit_affine(maps, best.matrix, factors)
    alignment, correlation = fit_bending(maps, matrix, factors)
    return alignment, Alignment(matrix), correlation


def _tried(maps: Any, pose: Pose, factor: int) -> float:
    from vsbench.slides.fitting import fit_affine

    return fit_affine(maps, pose.matrix, [factor])[1]


def _factors(first: tuple[int, ...], second: tuple[int, ...], pixel: float) -> list[int]:
    """By which the maps are reduced at each level, the coarsest first."""
    side = min(*first, *second)
    finest = max(1, 2 ** int(np.floor(np.log2(max(1.0, FINEST / pixel)))))
    while finest > 1 and side // finest < COARSEST:
        finest //= 2
    factors = [finest]
    while side // (2 * factors[0]) >= COARSEST and len(factors) < 3:
        factors.insert(0, 2 * factors[0])
    return factors
