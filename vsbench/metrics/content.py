"""Is the tissue of the H&E kept? R_c, and R_avg with R_p.

High is not simply good: copying the H&E gives R_c = 100 %, while the real adjacent IHC itself stays near 10 % ("paired
rate"). The right value lies between that of the real IHC and 100 %; R_avg inherits this, and is here as the paper's
column only.
"""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Image, Metric, Sample, Value
from vsbench.metrics._correlation import pearson
from vsbench.metrics._grey import Grey, SummedGrey, grey_png, sum_of_products, summed_grey
from vsbench.metrics.dab import pathology_correlation


class Content(Metric):
    """R_c and R_avg of the USIGAN paper (eqs. 21, 23), R_c as the released script computes it."""

    values = (
        Value(
            "r_c",
            r"$R_c$",
            "%",
            "high",
            "mean over i of 100 · Pearson's r of the grey pixels of generated image i and of its H&E",
            "r_c/gray-mean",
            column="r_c",
        ),
        Value(
            "r_c_undefined",
            r"$R_c$ undefined",
            "images",
            "low",
            "number of images without r_c: the generated image or the H&E is constant",
            "r_c/gray-mean",
        ),
        Value("r_avg", r"$R_\mathrm{avg}$", "%", "high", "(r_c + r_p) / 2, from unrounded values", "r_avg"),
    )

    def per_image(self, sample: Sample) -> dict[str, float]:
        """R_c of one image in percent; NaN where the generated image or the H&E is constant."""
        return {"r_c": 100 * grey_correlation(sample.once("fake", summed_grey), sample.once("he", summed_grey))}

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """R_c over the images that have one, the number of those that have none, and R_avg if both its parts exist."""
        column = table["r_c"]
        undefined = int(column.isna().sum())
        r_c: float | Absent = float(column.mean())
        if undefined == len(table):
            r_c = Absent("in every pair the generated image or the H&E is constant")
        return {"r_c": r_c, "r_c_undefined": float(undefined), "r_avg": _average(r_c, table)}


def grey_correlation(fake: SummedGrey, he: SummedGrey) -> float:
    """R_c of one image as a fraction, in [−1, 1]: Pearson's r of the grey pixels; NaN where an image is constant.

    Exact in whole numbers up to the root and the quotient. The grey is what the released script got from its PNG files,
    whatever the container, so that a value does not depend on the format of a file.
    """
    pixels = fake.levels.size
    spread, spread_he = (pixels * grey.squares - grey.total**2 for grey in (fake, he))
    if spread == 0 or spread_he == 0:
        return float("nan")
    joint = pixels * sum_of_products(fake.levels, he.levels) - fake.total * he.total
    return min(max(joint / math.sqrt(spread * spread_he), -1.0), 1.0)  # rounding can lead out of the range by an ulp


def content_correlation(fake: Image, he: Image, grey: Callable[[Image], Grey] = grey_png) -> float:
    """The same from images and with any of ``GREYS``, in float64: for numbers of programs that convert otherwise."""
    return pearson(*(grey(image).reshape(-1).astype(np.float64) for image in (fake, he)))


def _average(r_c: float | Absent, table: pd.DataFrame) -> float | Absent:
    if isinstance(r_c, Absent):
        return Absent(f"no R_c: {r_c.reason}")
    if "intden" not in table:
        return Absent("no R_p: the family dab was not measured")
    r_p = pathology_correlation(table["intden"].to_numpy(), table["intden_real"].to_numpy())
    return Absent(f"no R_p: {r_p.reason}") if isinstance(r_p, Absent) else (r_c + r_p) / 2
