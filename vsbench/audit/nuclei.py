"""Do H&E and IHC of a pair show the same nuclei? How many there are, and where they lie densely, of some pairs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsbench.audit.tiles import Measured
from vsbench.data.decode import read_rgb
from vsbench.data.threads import in_threads
from vsbench.metrics._correlation import pearson
from vsbench.stain.nuclei_detected import detected_nuclei
from vsbench.stain.nuclei_outlined import Nuclei

PAIRS = 200  # at most, from all over the set: the detector takes as long as all the rest of the audit
BLOCKS = 8  # in a row and in a column, in which nuclei are counted
FEWEST = 3  # pairs of which counts are correlated

Tile = tuple[str, str]  # split and id


@dataclass(frozen=True)
class Agreement:
    """Of a pair: numbers of nuclei, and Pearson's r of the numbers in blocks; None where these are equal in all."""

    he: int
    ihc: int
    density: float | None


def nuclei_of_pairs(
    tiles: Sequence[Measured], count: Callable[[int, int], None] | None = None
) -> dict[Tile, Agreement]:
    """Of at most ``PAIRS`` pairs that are not blank, by split and id. Deterministic."""
    whole = [tile for tile in tiles if not tile.row.blank]
    chosen = [whole[place] for place in np.unique(np.linspace(0, len(whole) - 1, PAIRS).astype(int))] if whole else []
    found = {}
    for done, (tile, agreement) in enumerate(zip(chosen, in_threads(_agreement, chosen), strict=True), start=1):
        found[tile.pair.split, tile.pair.id] = agreement
        if count:
            count(done, len(chosen))
    return found


def count_correlation(found: Sequence[Agreement]) -> float | None:
    """Pearson's r, over pairs, of the numbers in H&E and IHC; None of too few pairs, or of equal numbers."""
    if len(found) < FEWEST:
        return None
    return _known(pearson(*(np.array([getattr(one, kind) for one in found], float) for kind in ("he", "ihc"))))


def _agreement(tile: Measured) -> Agreement:
    images = [read_rgb(file) for file in (tile.pair.he, tile.pair.ihc)]
    he, ihc = map(detected_nuclei, images)
    height, width = images[0].shape[:2]
    density = pearson(*(_in_blocks(nuclei, height, width) for nuclei in (he, ihc)))
    return Agreement(he.count, ihc.count, _known(density))


def _in_blocks(nuclei: Nuclei, height: int, width: int) -> NDArray[np.float64]:
    rows, columns = (nuclei.centres * BLOCKS // (height, width)).astype(np.intp).T
    return np.bincount(rows * BLOCKS + columns, minlength=BLOCKS**2).astype(np.float64)


def _known(r: float) -> float | None:
    return None if np.isnan(r) else float(r)
