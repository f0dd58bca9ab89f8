"""Is there as much stain as in the real IHC, and is it in the right images? IoD and R_p.

One number per image, the integrated DAB density as Fiji reads it. All the rest is arithmetic on that column, so it can
be bootstrapped over slides without touching an image again.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Metric, Sample, Value
from vsbench.metrics._correlation import pearson
from vsbench.stain.dab import Density, density_of, read_levels

Series = NDArray[np.float64]

MIN_IMAGES = 3  # two points always lie on a line: r would be ±1 whatever the images show


class DabDensity(Metric):
    """IoD and R_p of the USIGAN paper (eqs. 20, 22), and three forms of IoD that compare between data sets.

    Î_i and I_i are the integrated densities of generated image i and of its adjacent real IHC, in OD·px. Columns
    ``positive_area`` and ``positive_area_real``: fraction of pixels with an optical density of DAB of 0.4065 or more.
    """

    values = (
        Value(
            "iod",
            r"IoD",
            "1e7 OD·px",
            "low",
            "|Σ Î − Σ I| · 1e-7; errors of opposite sign cancel",
            "iod/fiji",
            family="iod_mae",
        ),
        Value(
            "iod_rel",
            r"IoD$_\mathrm{rel}$",
            "1",
            "low",
            "|Σ Î − Σ I| / Σ I",
            "iod_rel/fiji",
            family="iod_mae",
        ),
        Value(
            "iod_bias",
            r"IoD$_\mathrm{bias}$",
            "%",
            "zero",
            "100 · (Σ Î − Σ I) / Σ I; below 0 there is too little stain, above 0 too much",
            "iod_bias/fiji",
            family="iod_mae",
        ),
        Value(
            "iod_mae",
            r"IoD$_\mathrm{MAE}$",
            "OD",
            "low",
            "mean over i of |Î_i − I_i| / (H·W); nothing cancels",
            "iod_mae/fiji",
            column="iod_mae",
        ),
        Value("r_p", r"$R_p$", "%", "high", "100 · Pearson's r of the N pairs (Î_i, I_i)", "r_p/iod-fiji"),
    )

    def per_image(self, sample: Sample) -> dict[str, float]:
        """Integrated densities and positive areas of both images, and the mean error of their optical density."""
        fake, real = (density_of(sample.once(which, read_levels).counts) for which in ("fake", "real"))
        return dose_of_pair(fake, real)

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Set values; ``iod_rel``, ``iod_bias`` and ``r_p`` are Absent where they do not exist."""
        fake, real = table["intden"].to_numpy(), table["intden_real"].to_numpy()
        return {
            **dose(fake, real),
            "iod_mae": float(table["iod_mae"].mean()),
            "r_p": pathology_correlation(fake, real),
        }


def dose_of_pair(fake: Density, real: Density) -> dict[str, float]:
    """The columns of a pair."""
    return {
        "intden": fake.intden,
        "intden_real": real.intden,
        "iod_mae": abs(fake.intden - real.intden) / real.pixels,
        "positive_area": fake.positive_area,
        "positive_area_real": real.positive_area,
    }


def dose(fake: Series, real: Series) -> dict[str, float | Absent]:
    """``iod``, ``iod_rel`` and ``iod_bias`` of (N,) integrated densities, in OD·px."""
    gap, total = float(fake.sum() - real.sum()), float(real.sum())
    none = Absent("the real images hold no DAB at all")
    return {
        "iod": 1e-7 * abs(gap),
        "iod_rel": abs(gap) / total if total > 0 else none,
        "iod_bias": 100 * gap / total if total > 0 else none,
    }


def pathology_correlation(fake: Series, real: Series) -> float | Absent:
    """R_p in percent of (N,) integrated densities; Absent below three images or for equal densities.

    Source: USIGAN, eq. 22.
    """
    if len(fake) < MIN_IMAGES:
        return Absent(f"R_p needs at least {MIN_IMAGES} images, here are {len(fake)}")
    r = pearson(fake, real)
    if np.isnan(r):
        which = "generated" if fake.min() == fake.max() else "real"
        return Absent(f"the {which} images all have the same integrated density")
    return 100 * r
