"""Are the right cells stained? Only the phantom knows every cell, and whether it is positive.

A pathologist counts positive cells; errors by pixel or by tile don't, and prefer blur. Each true cell gets the mean DAB
of the generated image over its pixels (its nucleus, or its membrane for HER2), which should be higher in positive cells
than in negative ones. A cell counts as stained above the threshold that serves the true IHC best.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.data.true_cells import TrueCells
from vsbench.metric import Absent, Image, Metric, Sample, Update, Value
from vsbench.metrics._correlation import pearson
from vsbench.roc import area_of_counts
from vsbench.stain.dab import DAB_EXPONENTS
from vsbench.stain.density import optical_density

LEAST, WIDTH, BINS = -0.5, 0.004, 512  # optical density: where the first bin of mean DAB begins, and how wide each is
MIN_IMAGES = 3  # two points always lie on a line
PROTOCOL = f"cells/hdab-mean-bins{LEAST}+{BINS}x{WIDTH}"
CUT = f"{PROTOCOL}-youden"
ABOVE = "stained: mean DAB above the threshold with the largest sensitivity + specificity in the true IHC"


class TrueCellStain(Metric):
    """How well the DAB in each true cell tells positive from negative ones, and how many are stained.

    Features ``cells_fake`` and ``cells_real`` (of the true IHC), (N, 2 · BINS): how many of an image's positive cells,
    then of its negative ones, have a mean DAB in each bin. Below the first and above the last bin counts as in them.
    """

    needs_truth = True
    needs_cells = True
    values = (
        Value(
            "cell_auc",
            r"Cell AUC",
            "1",
            "high",
            "P(mean DAB of a positive true cell > of a negative one), over the cells of all images; equal bins count ½",
            PROTOCOL,
        ),
        Value(
            "cell_sensitivity",
            "Cell sensitivity",
            "1",
            "high",
            f"share of the positive cells that are {ABOVE}",
            CUT,
            is_share=True,
        ),
        Value(
            "cell_specificity",
            "Cell specificity",
            "1",
            "high",
            f"share of the negative cells that are not {ABOVE}",
            CUT,
            is_share=True,
        ),
        Value(
            "cell_share_mae",
            "Positive share MAE",
            "percentage points",
            "low",
            f"mean over images of |share of the cells that are stained − that are positive|; {ABOVE}",
            CUT,
        ),
        Value(
            "cell_share_r",
            r"Positive share $r$",
            "%",
            "high",
            f"100 · Pearson's r, over images, of the shares of the cells that are stained and positive; {ABOVE}",
            CUT,
        ),
    )

    def update(self, samples: Sequence[Sample]) -> Update:
        """Histograms of both images; no columns. Of an image whose cells are not known they are empty."""
        rows: dict[str, list[NDArray[np.float32]]] = {"cells_fake": [], "cells_real": []}
        for sample in samples:
            for name, image in (("cells_fake", sample.fake), ("cells_real", sample.truth)):
                if image is None or sample.cells is None:
                    rows[name].append(np.zeros(2 * BINS, np.float32))
                else:
                    rows[name].append(histograms(image, sample.cells))
        return Update({}, {name: np.stack(found) for name, found in rows.items()})

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """All five; Absent where there are no positive or no negative cells."""
        fake, true = (features[name].astype(np.float64).reshape(-1, 2, BINS) for name in ("cells_fake", "cells_real"))
        known = fake.sum(axis=(0, 2))  # the number of positive and of negative cells
        if not known.all():
            which = "known" if not known.any() else "positive" if known[0] == 0 else "negative"
            return {value.name: Absent(f"no true cell is {which}") for value in self.values}
        stained = fake[:, :, threshold(true.sum(axis=0)) + 1 :].sum(axis=2)
        cells = fake.sum(axis=2)
        some = cells.sum(axis=1) > 0
        made, wanted = (100 * part[some] / cells[some].sum(axis=1) for part in (stained.sum(axis=1), cells[:, 0]))
        sensitivity, false = stained.sum(axis=0) / known
        return {
            "cell_auc": float(area_of_counts(*fake.sum(axis=0))),
            "cell_sensitivity": float(sensitivity),
            "cell_specificity": float(1 - false),
            "cell_share_mae": float(np.abs(made - wanted).mean()),
            "cell_share_r": _correlation(made, wanted),
        }


def amounts_of_dab(image: Image, pixels: NDArray[np.intp]) -> NDArray[np.float64]:
    """(P,) amount of DAB at pixels (P,) of the flattened (H, W, 3) image, as "H DAB" deconvolves it.

    Neither rounded nor cut at 0, unlike Fiji's 8-bit image: cells paler than their counterstain are told apart, too.
    """
    by_level = np.outer(optical_density(np.arange(256)), DAB_EXPONENTS)  # what a level of R, G and B adds
    rgb = image.reshape(-1, 3)[pixels]
    return by_level[rgb[:, 0], 0] + by_level[rgb[:, 1], 1] + by_level[rgb[:, 2], 2]


def histograms(image: Image, cells: TrueCells) -> NDArray[np.float32]:
    """(2 · BINS,) numbers of positive cells by their mean DAB in the (H, W, 3) image, then of negative ones."""
    means, positive = cells.means(amounts_of_dab(image, cells.pixel)), cells.positive[cells.seen]
    bins = np.clip(np.floor((means - LEAST) / WIDTH), 0, BINS - 1).astype(np.intp)
    counts = [np.bincount(bins[of], minlength=BINS) for of in (positive, ~positive)]
    return np.concatenate(counts).astype(np.float32)


def threshold(true: NDArray[np.float64]) -> int:
    """The bin above which a cell is stained: that with the largest sensitivity + specificity in (2, BINS) counts.

    The lowest of equals.
    """
    at_most = np.cumsum(true, axis=1) / true.sum(axis=1, keepdims=True)
    return int(np.argmax(at_most[1] - at_most[0]))


def _correlation(made: NDArray[np.float64], wanted: NDArray[np.float64]) -> float | Absent:
    if len(made) < MIN_IMAGES:
        return Absent(f"needs at least {MIN_IMAGES} images with cells, here are {len(made)}")
    r = pearson(made, wanted)
    if np.isnan(r):
        which = "generated" if made.min() == made.max() else "true"
        return Absent(f"the {which} share of positive cells is the same in all images")
    return 100 * r
