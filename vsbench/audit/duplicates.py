"""Tiles with tissue in common, within a split and across: candidates by hash, each confirmed by registration."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import combinations, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.registration import phase_cross_correlation

from vsbench.audit.fingerprints import AGREE, Candidate, candidates
from vsbench.audit.tiles import KINDS, Kind, Measured, grey_levels, reduced
from vsbench.data.decode import read_rgb
from vsbench.data.threads import in_threads

FINE = 8.0  # standard deviation (px): coarser structure than a few cells is alike in unrelated tiles
# Correlation of the fine structure of two overlaps. Of some 1,000 pairs of unrelated tiles laid over each other by
# chance (phantom, CIMA, BCI; overlaps of 1/16 and more) none is above 0.105; of a BCI tile with its own copy, shifted
# by any fraction of a pixel, lightened and clipped, none below 0.65. Half-way between is far from both.
SAME = 0.4
LEAST = 1 / 16  # of the tile's area; the overlap of tiles that share less is not looked at
WHOLE = 0.95  # share of the area from which two tiles are copies, and not neighbours that overlap
IDENTICAL_MOST = 50  # pairs listed of one group of identical tiles: a thousand white tiles make half a million

Grey = NDArray[np.float32]


@dataclass(frozen=True)
class Duplicate:
    """Two tiles that show the same tissue: a line of duplicates.csv.

    ``image``: the kind of image that was found alike; ``kind``: "identical" (every pixel), "copy" or "overlap".
    What is at (y, x) in the first is at (y + dy, x + dx) in the second, in pixels of the files.
    """

    stain: str
    split: str
    id: str
    slide: str | None
    other_split: str
    other_id: str
    other_slide: str | None
    across: bool  # the two are in different splits: a leak
    image: str
    kind: str
    overlap: float  # share of the tile's area
    dy: int
    dx: int
    correlation: float

    @property
    def tiles(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """The two tiles, each by split and id."""
        return (self.split, self.id), (self.other_split, self.other_id)

    @property
    def key(self) -> tuple[object, ...]:
        """The two tiles and the kind of image."""
        return self.image, self.tiles


COLUMNS = [field.name for field in fields(Duplicate)]


def find_duplicates(tiles: list[Measured], count: Callable[[int, int], None] | None = None) -> list[Duplicate]:
    """All pairs of tiles with tissue in common, of H&E and of IHC; in the order of the tiles.

    ``count`` is told how many candidates are done, and of how many.
    """
    found = [duplicate for kind in KINDS for duplicate in _identical(tiles, kind)]
    known = {d.key for d in found}
    jobs = [(kind, c) for kind in KINDS for c in candidates([t.prints[kind] for t in tiles])]
    images = lru_cache(maxsize=256)(fine_structure)  # neighbours in the list are often neighbours on the slide

    def confirm(job: tuple[Kind, Candidate]) -> Duplicate | None:
        kind, candidate = job
        first, second = tiles[candidate.first], tiles[candidate.second]
        if first.factor != second.factor:
            return None
        ours, theirs = (images(getattr(tile.pair, kind), tile.factor) for tile in (first, second))
        overlay = register(ours, theirs, candidate.dy, candidate.dx)
        if overlay is None or overlay.correlation < SAME:
            return None
        return _duplicate(first, second, kind, "copy" if overlay.share >= WHOLE else "overlap", overlay)

    for done, duplicate in enumerate(in_threads(confirm, jobs), start=1):
        if duplicate and duplicate.key not in known:
            found.append(duplicate)
        if count:
            count(done, len(jobs))
    place = {(tile.pair.split, tile.pair.id): number for number, tile in enumerate(tiles)}
    return sorted(found, key=lambda d: (place[d.split, d.id], place[d.other_split, d.other_id], d.image))


@dataclass(frozen=True)
class Overlay:
    """Two images laid over each other: shift, share of the area in common, correlation of fine structure there."""

    dy: int
    dx: int
    share: float
    correlation: float


def register(first: Grey, second: Grey, dy: int, dx: int) -> Overlay | None:
    """Refine a shift that hashes suggest by phase correlation of the overlap, and say how alike it is.

    Images (H, W) of fine structure. None where they share less than ``LEAST``.
    """
    best = lay_over(first, second, dy, dx)
    if best is None:
        return None
    moved, *_ = phase_cross_correlation(*_common(first, second, dy, dx), upsample_factor=1)
    finer_dy, finer_dx = dy - round(float(moved[0])), dx - round(float(moved[1]))
    if max(abs(finer_dy - dy), abs(finer_dx - dx)) <= AGREE:
        finer = lay_over(first, second, finer_dy, finer_dx)
        if finer is not None and finer.correlation > best.correlation:
            return finer
    return best


def lay_over(first: Grey, second: Grey, dy: int, dx: int) -> Overlay | None:
    """How alike two images (H, W) of fine structure are where they lie over each other. None as for ``register``."""
    a, b = _common(first, second, dy, dx)
    share = a.size / max(first.size, second.size)
    if share < LEAST:
        return None
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum(dtype=np.float64) * (b * b).sum(dtype=np.float64)))
    return Overlay(dy, dx, share, float((a * b).sum(dtype=np.float64)) / size if size > 0 else 0.0)


def _common(first: Grey, second: Grey, dy: int, dx: int) -> tuple[Grey, Grey]:
    """The parts of both that lie over each other."""
    height = min(first.shape[0] - max(0, -dy), second.shape[0] - max(0, dy))
    width = min(first.shape[1] - max(0, -dx), second.shape[1] - max(0, dx))
    y, x = max(0, -dy), max(0, -dx)
    a = first[y : y + max(0, height), x : x + max(0, width)]
    return a, second[y + dy : y + dy + max(0, height), x + dx : x + dx + max(0, width)]


def _identical(tiles: list[Measured], kind: Kind) -> list[Duplicate]:
    groups: dict[bytes, list[Measured]] = defaultdict(list)
    for tile in tiles:
        groups[tile.digests[kind]].append(tile)
    whole = Overlay(0, 0, 1.0, 1.0)
    return [
        _duplicate(first, second, kind, "identical", whole)
        for group in groups.values()
        for first, second in islice(combinations(group, 2), IDENTICAL_MOST)
    ]


def _duplicate(first: Measured, second: Measured, image: Kind, kind: str, overlay: Overlay) -> Duplicate:
    a, b = first.pair, second.pair
    return Duplicate(
        stain=first.row.stain,
        split=a.split,
        id=a.id,
        slide=a.slide,
        other_split=b.split,
        other_id=b.id,
        other_slide=b.slide,
        across=a.split != b.split,
        image=image,
        kind=kind,
        overlap=overlay.share,
        dy=first.factor * overlay.dy,
        dx=first.factor * overlay.dx,
        correlation=overlay.correlation,
    )


def fine_structure(path: Path, factor: int) -> Grey:
    """(H, W) grey levels of a reduced image file without what is coarser than ``FINE``."""
    grey = grey_levels(reduced(read_rgb(path), factor))
    return grey - gaussian_filter(grey, FINE)
