"""How often unrelated tiles look registered: the H&E of one tile laid over the IHC of another, in the set's own tissue.

What a confidence is worth depends on the tissue: regular glands repeat themselves. So the level from which a shift is
trusted is the set's own, and the share of mismatched pairs that reach it is stated beside what it found.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from scipy.stats import beta

from vsbench.audit.registration import SURE, Map, residual_shift
from vsbench.audit.tiles import KINDS, Measured, find_stain, reduced
from vsbench.data.decode import read_rgb
from vsbench.data.threads import in_threads

TILES = 32  # whose images are held at once, from all over the set
PAIRS = 200  # of these, at most
ALLOWED = 0.01  # share of the mismatched pairs that may reach the level
Tile = tuple[str, str]  # split and id


@dataclass(frozen=True)
class Mismatched:
    """The confidences of ``pairs`` mismatched pairs, sorted; those without a shift have none, and count as 0."""

    confidences: tuple[float, ...]

    @property
    def level(self) -> float:
        """The confidence from which a shift is trusted: ``SURE``, or above that of all but ``ALLOWED`` of the pairs."""
        if not self.confidences:
            return SURE
        highest = self.confidences[-1 - int(ALLOWED * len(self.confidences))]
        return max(SURE, float(np.nextafter(highest, np.inf)))

    @property
    def reached(self) -> int:
        """How many reach the level."""
        return sum(confidence >= self.level for confidence in self.confidences)

    @property
    def rate(self) -> float | None:
        """Their share, the rate of false alarms."""
        return self.reached / len(self.confidences) if self.confidences else None

    @property
    def at_most(self) -> float | None:
        """The upper 95 % limit of the rate (Clopper and Pearson), as if the pairs were independent."""
        n = len(self.confidences)
        return float(beta.ppf(0.975, self.reached + 1, n - self.reached)) if n > self.reached else None


def mismatched(
    tiles: Sequence[Measured],
    alike: Collection[frozenset[Tile]],
    count: Callable[[int, int], None] | None = None,
) -> Mismatched:
    """Register H&E and IHC of tiles of different slides; of different tiles where slides are unknown.

    ``alike``: tiles with tissue in common, which are no unrelated pair. Blank tiles are left out. Deterministic.
    """
    whole = [tile for tile in tiles if not tile.row.blank]
    chosen = [whole[place] for place in np.unique(np.linspace(0, len(whole) - 1, TILES).astype(int))] if whole else []
    pairs = [(a, b) for a, b in permutations(range(len(chosen)), 2) if _unrelated(chosen[a], chosen[b], alike)]
    order = np.random.default_rng(0).permutation(len(pairs))[:PAIRS]
    needed = sorted({place for number in order for place in pairs[number]})
    maps = dict(zip(needed, in_threads(lambda place: _landmarks(chosen[place]), needed), strict=True))

    def confidence(number: int) -> float:
        he, ihc = pairs[number]
        shift = residual_shift(maps[he][0], maps[ihc][1])
        return 0.0 if shift is None else shift.confidence

    found = []
    for done, each in enumerate(in_threads(confidence, order.tolist()), start=1):
        found.append(each)
        if count:
            count(done, len(order))
    return Mismatched(tuple(sorted(found)))


def _unrelated(first: Measured, second: Measured, alike: Collection[frozenset[Tile]]) -> bool:
    a, b = first.pair, second.pair
    if (first.row.height, first.row.width) != (second.row.height, second.row.width):
        return False
    known = a.slide is not None and b.slide is not None
    return (a.slide != b.slide or not known) and frozenset({(a.split, a.id), (b.split, b.id)}) not in alike


def _landmarks(tile: Measured) -> tuple[list[Map], list[Map]]:
    """The maps by which H&E and IHC of a tile are registered, under its own light."""
    he, ihc = (
        find_stain(reduced(read_rgb(getattr(tile.pair, kind)), tile.factor), kind, tile.lights[kind]).landmarks
        for kind in KINDS
    )
    return he, ihc
