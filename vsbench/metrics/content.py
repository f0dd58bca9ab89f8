"""Is the tissue of the H&E kept? R_c, and R_avg with R_p.

High is not simply good: copying the H&E gives R_c = 100 %, while the real adjacent IHC itself stays near 10 % ("paired
rate"). The right value lies between that of the real IHC and 100 %; R_avg inherits this, and is here as the paper's
column only.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Image, Metric, Sample, Value
from vsbench.metrics._correlation import pearson
from vsbench.metrics._grey import Grey, grey_png
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
        return {"r_c": 100 * content_correlation(sample.fake, sample.he)}

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """R_c over the images that have one, the number of those that have none, and R_avg if both its parts exist."""
        column = table["r_c"]
        undefined = int(column.isna().sum())
        r_c: float | Absent = float(column.mean())
        if undefined == len(table):
            r_c = Absent("in every pair the generated image or the H&E is constant")
        return {"r_c": r_c, "r_c_undefined": float(undefined), "r_avg": _average(r_c, table)}


def content_correlation(fake: Image, he: Image, grey: Callable[[Image], Grey] = grey_png) -> float:
    """R_c of one image as a fraction, in [−1, 1]: Pearson's r of the grey pixels; NaN where an image is constant.

    The default is what the released script got from its PNG files. It is taken whatever the container, so that a value
    does not depend on the format of a file.
    """
    return pearson(grey(fake).reshape(-1), grey(he).reshape(-1))


def _average(r_c: float | Absent, table: pd.DataFrame) -> float | Absent:
    if isinstance(r_c, Absent):
        return Absent(f"no R_c: {r_c.reason}")
    if "intden" not in table:
        return Absent("no R_p: the family dab was not measured")
    r_p = pathology_correlation(table)
    return Absent(f"no R_p: {r_p.reason}") if isinstance(r_p, Absent) else (r_c + r_p) / 2
