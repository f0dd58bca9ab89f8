"""Does the amount of stain agree with the real IHC image by image, in value and in distribution? CCC, limits, W1.

R_p is blind to a scale or an offset, IoD to errors that cancel. These values are blind to neither; all are about how
much DAB there is, none about where.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Metric, Sample, Value
from vsbench.metrics.dab import MIN_IMAGES, Series
from vsbench.numbers import ROUNDING
from vsbench.stain.dab import POSITIVE_LEVEL, density_table, read_levels

Counts = NDArray[np.int64]

NORMAL_95 = 1.96  # standard deviations on either side of the mean that hold 95 % of a normal distribution
SAME = 1e-12  # OD; mean densities of blank images of unequal sizes differ by rounding


class Agreement(Metric):
    """Concordance, Bland–Altman limits, positive-area error and histogram distance.

    x_i and y_i are the mean optical densities of DAB (OD per pixel) of generated image i and of its adjacent real IHC,
    columns ``mean_od`` and ``mean_od_real``; d_i = x_i − y_i. The sign of the bias is that of the mean of d; it is left
    out of the values, since neither too much nor too little stain is better. ``bland_altman`` gives it.
    """

    values = (
        Value(
            "ccc",
            "CCC",
            "1",
            "high",
            "Lin's concordance of the N pairs of mean DAB densities: 2 s_xy / (s_x² + s_y² + (mean x − mean y)²), "
            "population moments (1/N)",
            "ccc/mean-od-fiji",
            family="iod_mae",
        ),
        Value(
            "ba_bias",
            r"BA$_\mathrm{bias}$",
            "OD",
            "low",
            "|mean of d|, d the difference of the mean DAB densities of generated image i and of the real one",
            "bland-altman/mean-od-fiji",
            family="iod_mae",
        ),
        Value(
            "ba_spread",
            r"BA$_\mathrm{spread}$",
            "OD",
            "low",
            "1.96 · sample sd of d (1/(N−1)): the limits of agreement lie so far on either side of the bias",
            "bland-altman/mean-od-fiji",
            family="iod_mae",
        ),
        Value(
            "ba_limit",
            r"BA$_\mathrm{limit}$",
            "OD",
            "low",
            "ba_bias + ba_spread: how far from 0 the farther of the two 95 % limits of agreement lies",
            "bland-altman/mean-od-fiji",
            family="iod_mae",
        ),
        Value(
            "positive_area_error",
            "Positive area error",
            "1",
            "low",
            "mean over i of |difference of the fractions of pixels with an optical density of DAB of 0.4065 or more|",
            "positive_area_error/fiji-0.4065",
            column="positive_area_error",
        ),
        Value(
            "dab_w1",
            r"DAB $W_1$",
            "OD",
            "low",
            "mean over i of the Wasserstein-1 distance of the two distributions of DAB density over pixels, 256 levels",
            "dab_w1/fiji-256",
            column="dab_w1",
        ),
    )

    def per_image(self, sample: Sample) -> dict[str, float]:
        """Mean densities of both images in OD, and how far their positive areas and histograms are apart."""
        return agreement_of_pair(*(sample.once(which, read_levels).counts for which in ("fake", "real")))

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Set values; ``ccc`` needs three images that differ, the limits need two."""
        fake, real = table["mean_od"].to_numpy(), table["mean_od_real"].to_numpy()
        bias, lower, upper = bland_altman(fake, real)
        single = Absent("the standard deviation of the differences needs at least 2 images, here is 1")
        return {
            "ccc": concordance_of_densities(fake, real),
            "ba_bias": abs(bias),
            "ba_spread": single if len(table) < 2 else (upper - lower) / 2,
            "ba_limit": single if len(table) < 2 else max(abs(lower), abs(upper)),
            "positive_area_error": float(table["positive_area_error"].mean()),
            "dab_w1": float(table["dab_w1"].mean()),
        }


def agreement_of_pair(fake: Counts, real: Counts) -> dict[str, float]:
    """The columns of a pair, of (256,) pixels at each DAB level."""
    fakes, reals = fake / fake.sum(), real / real.sum()
    densities = density_table().astype(np.float64)
    positive = slice(POSITIVE_LEVEL + 1)
    return {
        "mean_od": float(fakes @ densities),
        "mean_od_real": float(reals @ densities),
        "positive_area_error": abs(float(fakes[positive].sum() - reals[positive].sum())),
        "dab_w1": histogram_distance(fakes, reals),
    }


def histogram_distance(fake: Series, real: Series) -> float:
    """Wasserstein-1 distance in OD of two distributions over the DAB levels, (256,) shares that sum to 1 each.

    Exact: the area between the two cumulative distributions. 0 for equal ones, never below the difference of the means,
    at most 2.71. Symmetric.
    """
    steps = -np.diff(density_table().astype(np.float64))  # density falls from level to level
    return float(np.abs(np.cumsum(fake - real)[:-1]) @ steps)


def concordance(x: Series, y: Series) -> float:
    """Lin's concordance correlation coefficient of two (N,) series, in [−1, 1]; 1 only for equal ones. Symmetric.

    Population moments (1/N). NaN where both series are constant and equal.
    Source: Lin, Biometrics 45 (1989) 255–268.
    """
    dx, dy = x - x.mean(), y - y.mean()
    scale = float(np.mean(dx * dx) + np.mean(dy * dy) + (x.mean() - y.mean()) ** 2)
    return 2 * float(np.mean(dx * dy)) / scale if scale > 0 else float("nan")


def bland_altman(x: Series, y: Series) -> tuple[float, float, float]:
    """(bias, lower, upper): mean of x − y, and the 95 % limits of agreement 1.96 sample standard deviations off it.

    Limits are NaN for a single pair. Source: Bland and Altman, Lancet 327 (1986) 307–310, who round 1.96 to 2.
    """
    difference = x - y
    bias = float(difference.mean())
    deviation = float(difference.std(ddof=1)) if len(difference) > 1 else float("nan")
    spread = 0.0 if deviation**2 <= ROUNDING * np.mean(difference**2) else NORMAL_95 * deviation
    return bias, bias - spread, bias + spread


def concordance_of_densities(fake: Series, real: Series) -> float | Absent:
    """CCC of (N,) mean densities in OD; Absent below three images, or where one series is constant."""
    if len(fake) < MIN_IMAGES:
        return Absent(f"CCC needs at least {MIN_IMAGES} images, here are {len(fake)}")
    for which, series in (("generated", fake), ("real", real)):
        # the formula would give 0, as for images that vary without any relation; ``stats.moments`` judges alike
        if np.ptp(series) < SAME or series.var() <= ROUNDING * np.mean((series - real.mean()) ** 2):
            return Absent(f"the {which} images all have the same mean density")
    return concordance(fake, real)
