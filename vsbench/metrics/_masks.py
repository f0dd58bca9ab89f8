"""Two masks of one size against each other: overlap, distance of their outlines, and the shift that suits them best."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.spatial import KDTree

Mask = NDArray[np.bool_]  # (H, W): where there is stain
Shift = tuple[int, int]  # pixels down and right by which the real mask is read farther on

REACH = 16  # shifts go up to 1/16 of the side
FINENESS = 256  # in steps of 1/256 of it, in whole pixels
SHIFTS = f"shifts{REACH}step{FINENESS}"  # of protocol ids
OUTLINE = "edge4"  # of protocol ids: an outline's pixels have one of four neighbours outside
TOGETHER = 4  # columns, before points that are done with are left out: that costs as much as a column
NEAR = 63  # pixels; where the nearest point of an outline lies farther away, it is found in a tree instead


@dataclass(frozen=True)
class Overlap:
    """What two masks have in common, in [0, 1]. ``iou``: Jaccard's index. NaN: nothing is stained, or all is."""

    dice: float
    iou: float
    sensitivity: float
    specificity: float


@dataclass(frozen=True)
class Apart:
    """How far the outlines of two masks are apart, in pixels.

    ``hd95``: the larger of the two 95th percentiles of the distances from a point of one outline to the nearest of the
    other. ``mean``: mean of these distances over the points of both outlines.
    """

    hd95: float
    mean: float


def overlap(fake: Mask, real: Mask) -> Overlap:
    """Of two masks (H, W); ``sensitivity`` and ``specificity`` have the real one as the truth."""
    both, made, wanted = (int(np.count_nonzero(mask)) for mask in (fake & real, fake, real))
    return overlap_of(both, made, wanted, real.size)


def overlap_of(both: int, made: int, wanted: int, pixels: int) -> Overlap:
    """Of so many pixels, in both masks, in the generated one, in the real one, and in all."""
    blank = pixels - wanted
    return Overlap(
        dice=float(_dice(both, made + wanted)),
        iou=both / (made + wanted - both) if made + wanted else 1.0,
        sensitivity=both / wanted if wanted else float("nan"),
        specificity=(blank - made + both) / blank if blank else float("nan"),
    )


class Outlined:
    """A mask with its outline: those of its pixels with a neighbour of four outside of it, or of the image."""

    def __init__(self, mask: Mask) -> None:
        inner = np.zeros_like(mask)
        across = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
        inner[1:-1, 1:-1] = across
        self.mask = mask
        self.outline = mask & ~inner

    @cached_property
    def points(self) -> NDArray[np.intp]:
        """(N, 2) rows and columns of the outline."""
        return np.stack(np.divmod(np.flatnonzero(self.outline), self.outline.shape[1]), axis=1)

    def inside(self, shift: Shift) -> NDArray[np.bool_]:
        """(N,): which points lie in the window at a shift."""
        sides = zip(self.points.T, _window(self.mask.shape, shift), strict=True)
        rows, columns = ((place >= window.start) & (place < window.stop) for place, window in sides)
        return rows & columns

    @cached_property
    def tree(self) -> "KDTree":
        """The points, to look for the nearest."""
        from scipy.spatial import KDTree  # heavy, and listing metrics does not need it

        return KDTree(self.points)

    @cached_property
    def searched(self) -> "Searched":
        """The whole mask, to be shifted."""
        return Searched(self.mask, inner=False)

    @cached_property
    def above_or_below(self) -> NDArray[np.int16]:
        """(H, W + 2 · NEAR): squared distance to the nearest point of the outline in the same column, at most NEAR + 1.

        With a margin at both sides in which there is none. NEAR² can be added in 16 bits.
        """
        # pixels to it: 0 on the outline, else the most that NEAR can be added to, until one is known
        found = np.multiply(~self.outline, np.uint8(255 - NEAR))
        longer = np.empty_like(found)
        for step in (1, 2, 4, 8, 16, 32):  # every distance up to their sum, NEAR
            np.add(found, np.uint8(step), out=longer)
            np.minimum(found[step:], longer[:-step], out=found[step:])
            np.minimum(found[:-step], longer[step:], out=found[:-step])
        padded = np.full((len(found), found.shape[1] + 2 * NEAR), NEAR + 1, np.int16)
        np.minimum(found, NEAR + 1, out=padded[:, NEAR:-NEAR])
        padded *= padded
        return padded


def apart(fake: Outlined, real: Outlined, shift: Shift | None = None) -> Apart:
    """Of two outlined masks of one size; at a ``shift`` the points inside the margin count, to all of the other's."""
    inner = [fake.points, real.points]
    if shift is not None:
        inner = [fake.points[fake.inside((0, 0))], real.points[real.inside(shift)]]
    down, right = shift or (0, 0)
    if not len(fake.points) or not len(real.points):
        alike = not any(map(len, inner))
        distance = 0.0 if alike else float(np.hypot(*fake.mask.shape))
        return Apart(distance, distance)
    directed = [nearest(inner[0] + (down, right), real), nearest(inner[1] - (down, right), fake)]
    both = np.concatenate(directed)
    if not len(both):
        return Apart(0.0, 0.0)
    return Apart(max(float(np.percentile(one, 95)) for one in directed if len(one)), float(both.mean()))


def nearest(points: NDArray[np.intp], to: Outlined) -> NDArray[np.float64]:
    """(N,) exact distance of each of (N, 2) points to the nearest of an outline that is not empty, in pixels.

    Near ones are found column by column, nearer columns first: outlines are many points that mostly lie close
    together, where a tree, or a distance transform of the whole image, takes several times as long.
    """
    columns = to.above_or_below
    flat = columns.reshape(-1)
    place = points @ (columns.shape[1], 1) + NEAR
    best = flat.take(place)
    found = best.copy()
    left = np.arange(len(place))  # points whose nearest may lie farther off than the columns seen
    for first in range(1, NEAR + 1, TOGETHER):
        more = np.flatnonzero(best > first * first)
        if not len(more):
            break
        found[left] = best
        left, place, best = left.take(more), place.take(more), best.take(more)
        for aside in range(first, min(first + TOGETHER, NEAR + 1)):
            both_sides = np.minimum(flat.take(place - aside), flat.take(place + aside))
            np.minimum(best, both_sides + np.int16(aside * aside), out=best)
    found[left] = best
    distances = np.sqrt(found.astype(np.float64))
    far = np.flatnonzero(found > NEAR * NEAR)
    if len(far):
        distances[far] = to.tree.query(points[far])[0]
    return distances


class Searched:
    """A mask made ready for the search over shifts: by rows and columns that lie a whole number of steps apart.

    ``inner``: only what lies inside the margin of 1/16 of each side counts: the generated mask, which stays in place.
    """

    def __init__(self, mask: Mask, inner: bool) -> None:
        from scipy import fft

        self.steps = tuple(max(1, round(side / FINENESS)) for side in mask.shape)
        self.mask = mask
        window = _window(mask.shape, (0, 0))
        if inner:
            self.mask = np.zeros_like(mask)
            self.mask[window] = mask[window]
        (down, right), rest = self.steps, [-side % step for side, step in zip(mask.shape, self.steps, strict=True)]
        padded = np.pad(self.mask, ((0, rest[0]), (0, rest[1])))
        self.shape = (padded.shape[0] // down, padded.shape[1] // right)
        phases = padded.reshape(self.shape[0], down, self.shape[1], right).transpose(1, 3, 0, 2)
        # in double precision whole numbers come out near enough to be known; (steps down, steps right, rows, columns)
        self.spectrum = fft.rfft2(phases.astype(np.float64, order="C"))

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """Stained pixels in the window at each shift, (2m + 1, 2n + 1)."""
        total: NDArray[np.integer] = self.mask.view(np.uint8)
        for side, shifts in zip(self.mask.shape, shifts_of(self.mask.shape), strict=True):
            margin = side // REACH
            before = _sums_before(total, np.stack([margin + shifts, side - margin + shifts]))
            total = (before[1] - before[0]).T  # rows become columns, and the other way round the next time
        return total.astype(np.int64)


def shifts_of(shape: tuple[int, ...]) -> list[NDArray[np.intp]]:
    """The shifts down, and to the right, that are tried: all multiples of the step within the margin, 0 too."""
    found = []
    for side in shape:
        step = max(1, round(side / FINENESS))
        most = side // REACH // step
        found.append(np.arange(-most, most + 1) * step)
    return found


def best_shift(fake: Searched, real: Searched) -> Shift:
    """That with the largest Dice inside the margin; of equal ones the shortest, then the first by rows and columns."""
    from scipy import fft

    down, right = shifts_of(real.mask.shape)
    rows, columns = (shifts // step for shifts, step in zip((down, right), real.steps, strict=True))
    product = (np.conj(fake.spectrum) * real.spectrum).sum(axis=(0, 1))
    found = fft.irfft2(product, s=real.shape)[np.ix_(rows, columns)]
    both = np.rint(found).astype(np.int64)
    dice = _dice(both, np.count_nonzero(fake.mask) + real.areas)
    equal = np.argwhere(dice == dice.max())
    lengths = down[equal[:, 0]] ** 2 + right[equal[:, 1]] ** 2
    row, column = equal[np.argmin(lengths)]
    return int(down[row]), int(right[column])


def at_shift(fake: Mask, real: Mask, shift: Shift) -> tuple[Mask, Mask]:
    """The generated mask inside the margin, and what lies over it of the real one."""
    return fake[_window(fake.shape, (0, 0))], real[_window(real.shape, shift)]


def _window(shape: tuple[int, ...], shift: Shift) -> tuple[slice, slice]:
    rows, columns = (
        slice(side // REACH + by, side - side // REACH + by) for side, by in zip(shape, shift, strict=True)
    )
    return rows, columns


def _sums_before(counts: NDArray[np.integer], edges: NDArray[np.intp]) -> NDArray[np.int64]:
    """(…, W): sums of (H, W) counts over the rows before each of the ``edges`` (…). 8 bits hold 255 ones, no more."""
    starts = np.unique(np.append(edges[edges < len(counts)], range(0, len(counts), 255)))
    stops = np.append(starts[1:], len(counts))
    strips = [counts[start:stop].sum(axis=0, dtype=counts.dtype) for start, stop in zip(starts, stops, strict=True)]
    total = np.stack([np.zeros_like(strips[0]), *strips]).astype(np.int64).cumsum(axis=0)
    return total[np.searchsorted(np.append(starts, len(counts)), edges)]


def _dice(both: NDArray[np.int64] | int, areas: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """2 · |A ∩ B| / (|A| + |B|); 1 for two empty masks."""
    return np.divide(2.0 * np.asarray(both), areas, out=np.ones(np.shape(areas)), where=np.asarray(areas) > 0)
