"""Which pixels of an IHC image are nuclei, and how strongly these are stained: a nuclear marker's score, by area.

A pixel is nuclear if it holds haematoxylin or DAB. Nuclei are not outlined, so large ones count more than small ones,
and DAB outside nuclei counts as nuclear: this holds for nuclear markers (ER, PR, Ki67), never for membranes (HER2).

Labelling by area of colour-deconvolved stain: ImmunoRatio, Tuominen et al., Breast Cancer Res 12 (2010) R56. Densities:
the settings that QuPath offers for cells (Bankhead et al., Sci Rep 7 (2017) 16878): 0.1 of haematoxylin for a nucleus,
0.2, 0.4 and 0.6 of DAB for weak, moderate and strong; there of means over cells, here of pixels.

The densities are fixed, so that generated and real image are read alike. Where a laboratory counterstains palely,
negative nuclei are missed and the share of positive ones comes out too high: in three of BCI's public images, full of
nuclei to the eye, 0.2, 2 and 11 % of the pixels are nuclear by this rule.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from vsbench.stain.dab import ROWS, DabLevels, density_table
from vsbench.stain.density import DAB, HAEMATOXYLIN, stain_matrix

NUCLEAR = 0.1  # optical density of haematoxylin that makes a pixel nuclear
BANDS = (0.2, 0.4, 0.6)  # optical densities of DAB from which a nuclear pixel is weak, moderate, strong
MIN_AREA = 0.01  # of the image that is nuclear; below, a share of it says nothing (about 50 nuclei at 1024², 0.5 µm)


@dataclass(frozen=True)
class NuclearStain:
    """Shares of an image's nuclear pixels by strength of DAB, each in [0, 1]; the rest of them is negative."""

    weak: float
    moderate: float
    strong: float

    @property
    def positive(self) -> float:
        """Nuclear positivity index, in percent."""
        return 100 * (self.weak + self.moderate + self.strong)

    @property
    def h_score(self) -> float:
        """100 · (weak + 2 · moderate + 3 · strong), in [0, 300]: the histochemical score, by area."""
        return 100 * (self.weak + 2 * self.moderate + 3 * self.strong)


def counterstained(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(H, W, 3) uint8 RGB → (H, W): where Fiji's "H DAB" deconvolution finds haematoxylin of ``NUCLEAR`` or more."""
    nuclear, tables = np.empty(rgb.shape[:2], np.bool_), _haematoxylin_tables()
    for top in range(0, len(rgb), ROWS):
        rows = rgb[top : top + ROWS]
        density = sum(np.take(table, rows[..., channel]) for channel, table in enumerate(tables))
        np.greater_equal(density, NUCLEAR, out=nuclear[top : top + ROWS])
    return nuclear


def nuclear_stain(nuclear: NDArray[np.bool_], dab: DabLevels) -> NuclearStain | None:
    """Score of an image from its ``counterstained`` pixels and DAB levels.

    None where less than ``MIN_AREA`` of the image is nuclear.
    """
    least = [_level(density) for density in BANDS]
    counts = [int(dab.counts[: level + 1].sum()) for level in least]  # of at least this strength
    total = counts[0] + int(np.count_nonzero(nuclear & (dab.levels > least[0])))
    if total < MIN_AREA * dab.levels.size:
        return None
    weak, moderate, strong = (counts[0] - counts[1], counts[1] - counts[2], counts[2])
    return NuclearStain(weak / total, moderate / total, strong / total)


@cache
def _haematoxylin_tables() -> NDArray[np.float32]:
    """(3, 256): what each intensity of R, G and B adds to the optical density of haematoxylin."""
    stains = stain_matrix(HAEMATOXYLIN, DAB)
    rest = np.sqrt(np.maximum(0, 1 - (stains**2).sum(axis=0)))
    weights = np.linalg.inv(np.vstack([stains, rest / np.linalg.norm(rest)]))[:, 0]
    density = -np.log10((np.arange(256) + 1) / 255)  # as in ``dab``: Fiji adds 1
    table = np.outer(weights, density).astype(np.float32)
    table.setflags(write=False)
    return table


@cache
def _level(density: float) -> int:
    """The highest DAB level whose optical density is at least ``density``."""
    return int(np.flatnonzero(density_table() >= density)[-1])
