"""Two sections registered on each other, and how far that can be trusted.

Poses by exhaustive search, an affine map of the best of them, what bends it: once from the H&E to the IHC and once,
from the beginning, back. A place is found where both ways agree on it, and where it looks more like itself than like
the places around it (``resemblance``). Of other tissue, or where the section is torn, few are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_opening, center_of_mass, gaussian_filter, label

from vsbench.errors import DataError
from vsbench.slides.alignment import Alignment
from vsbench.slides.poses import Pose, find_poses
from vsbench.slides.resemblance import lead
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
CLEAR = 0.1  # lead of the correlation at a place over that around it, by which it is beyond doubt
TRUSTED = 0.5  # share of the tissue on which both ways must agree
BEYOND_DOUBT = 0.15  # share of it that must be beyond doubt; set on few pairs: see the manual
ROUNDS = 20  # by which a bent way is walked backwards
REACHED = 0.5  # pixels from where it should have led
LOST = 0.05  # of the tissue: a smaller region that is not found is not told of
LEAST_TISSUE = 0.005  # share of an image: less is a blank slide


@dataclass(frozen=True)
class Lost:
    """A region that is not found again: its share of the tissue, and its middle in mm of the H&E."""

    share: float
    x: float
    y: float


@dataclass(frozen=True, eq=False)
class Registration:
    """``alignment``: from places of the H&E's image to the IHC's, in their pixels, with the affine map alone in
    ``affine``.

    ``residual`` (rows, columns): µm by which the ways there and back differ on a grid over the H&E, ``step`` µm apart;
    NaN beside tissue. ``lead``: of the same grid, by how much a place looks more like itself than like those around it.
    ``correlation``: local, of the densities, mean over the tissue.
    """

    alignment: Alignment
    affine: Alignment
    residual: Array
    lead: Array
    step: float
    correlation: float

    @property
    def sure(self) -> NDArray[np.bool_]:
        """Where a place is found: of the grid."""
        return (self.residual <= AGREED) & (self.lead > 0)

    @property
    def found(self) -> float:
        """Share of the tissue whose place in the IHC is found."""
        return self._share(self.sure)

    @property
    def agreed(self) -> float:
        """Share of the tissue on which the ways there and back agree."""
        return self._share(self.residual <= AGREED)

    @property
    def confidence(self) -> float:
        """Share of the tissue whose place is found beyond doubt."""
        return self._share(self.sure & (self.lead >= CLEAR))

    def _share(self, places: NDArray[np.bool_]) -> float:
        inside = np.isfinite(self.residual)
        return float(places[inside].mean()) if inside.any() else 0.0

    @property
    def median(self) -> float:
        """µm, of the residual where places are found."""
        return float(np.median(self.residual[self.sure])) if self.sure.any() else float("nan")

    @property
    def lost(self) -> list[Lost]:
        """Regions of tissue that are not found again, the largest first: torn off, moved, folded, or missing there."""
        inside = np.isfinite(self.residual)
        regions, count = label(binary_opening(inside & ~self.sure, np.ones((3, 3), bool)))
        sizes = [float((regions == number).sum() / inside.sum()) for number in range(1, count + 1)]
        middles = center_of_mass(regions > 0, regions, range(1, count + 1))
        found = [
            Lost(size, *(self.step * (place + 0.5) / 1000 for place in middle[::-1]))
            for size, middle in zip(sizes, middles, strict=True)
            if size >= LOST
        ]
        return sorted(found, key=lambda region: -region.share)

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
            "confidence": round(self.confidence, 4),
            "residual_median_um": None if np.isnan(self.median) else round(self.median, 2),
            "correlation": round(self.correlation, 4),
            "degrees": round(self.degrees, 2),
            "mirrored": self.alignment.mirrored,
            "lost": [
                {"share": round(part.share, 4), "x_mm": round(part.x, 3), "y_mm": round(part.y, 3)}
                for part in self.lost
            ],
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
    alignment, factor = _halfway(there[0], back[0]), _factors(he.shape[:2], ihc.shape[:2], pixel)[-1]
    leads = lead([density[0] for density in maps], masks, alignment, factor)
    step = max(he.shape[:2]) / GRID
    counts = [max(1, round(side / step)) for side in he.shape[:2]]
    y, x = ((np.arange(count) + 0.5) * side / count for count, side in zip(counts, he.shape[:2], strict=True))
    places, pixels = np.stack(np.meshgrid(x, y), axis=-1), np.ix_(y.astype(int), x.astype(int))
    differs = pixel * np.linalg.norm(back[0](there[0](places)) - places, axis=-1)
    residual = np.where(masks[0][pixels], differs, np.nan)
    return Registration(alignment, there[1], residual, leads[pixels], pixel * step, there[2])


def _halfway(there: Alignment, back: Alignment) -> Alignment:
    """Between the way there and the way back walked backwards: two estimates, whose errors are their own by half."""
    assert there.bending is not None
    rows, columns = there.bending.shape[:2]
    places = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1) * np.array(there.spacing)
    forward, slope = there(places), np.linalg.inv(back.matrix[:2, :2]).T
    backward = forward.copy()
    for _ in range(ROUNDS):
        backward += (places - back(backward)) @ slope
    reached = np.linalg.norm(back(backward) - places, axis=-1, keepdims=True) < REACHED
    middle = np.where(reached, (forward + backward) / 2, forward)
    return Alignment(there.matrix, there.bending + middle - forward, there.spacing)


def require_trusted(registration: Registration) -> None:
    """Raise DataError where it can't be trusted: other tissue, or too much of it torn, folded or missing."""
    if registration.agreed < TRUSTED or registration.confidence < BEYOND_DOUBT:
        raise DataError(
            f"not registered: the ways there and back agree on {registration.agreed:.0%} of the tissue, and "
            f"{registration.confidence:.0%} of it was found again beyond doubt, where {TRUSTED:.0%} and "
            f"{BEYOND_DOUBT:.0%} are the least; other tissue, or torn: give a transform of your own, or leave it out"
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
