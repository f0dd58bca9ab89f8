"""R_c read otherwise: eq. 21 pooled over all pixels, or literally over image means. For comparison with other papers.

No released script does either. The three readings differ (0.912, 0.912 and 0.864 on one toy set) and do not compare.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Metric, Sample, Value
from vsbench.metrics._correlation import pearson
from vsbench.metrics._grey import sum_of_products, summed_grey
from vsbench.metrics.dab import MIN_IMAGES


class ContentVariants(Metric):
    """The two other readings of eq. 21 of the USIGAN paper, on the grey that ``r_c`` uses.

    Columns ``grey_mean``, ``grey_mean_he`` (levels), ``grey_variance``, ``grey_variance_he`` and ``grey_covariance``
    (levels², over the pixels of one image, 1/(H·W)).
    """

    values = (
        Value(
            "r_c_pooled",
            r"$R_c$ pooled",
            "%",
            "high",
            "100 · Pearson's r of the grey pixels of all generated images together and of their H&E",
            "r_c/gray-pooled",
            family="r_c",
        ),
        Value(
            "r_c_image_means",
            r"$R_c$ of image means",
            "%",
            "high",
            "100 · Pearson's r of the N pairs of mean grey levels of generated image i and of its H&E",
            "r_c/image-means",
            family="r_c",
        ),
    )

    def per_image(self, sample: Sample) -> dict[str, float]:
        """Moments of the grey levels of one image and its H&E."""
        fake, he = sample.once("fake", summed_grey), sample.once("he", summed_grey)
        n = fake.levels.size
        products = sum_of_products(fake.levels, he.levels)
        return {  # quotients of whole numbers: exact up to one rounding
            "grey_mean": fake.total / n,
            "grey_mean_he": he.total / n,
            "grey_variance": (n * fake.squares - fake.total**2) / n**2,
            "grey_variance_he": (n * he.squares - he.total**2) / n**2,
            "grey_covariance": (n * products - fake.total * he.total) / n**2,
        }

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Both from the moments; Absent where all pixels, or all means, are equal."""
        return {"r_c_pooled": _pooled(table), "r_c_image_means": _of_means(table)}


def _pooled(table: pd.DataFrame) -> float | Absent:
    weights = (table["height"] * table["width"]).to_numpy()  # each pixel counts once, whatever the size of its image
    x, y = table["grey_mean"].to_numpy(), table["grey_mean_he"].to_numpy()
    x, y = x - np.average(x, weights=weights), y - np.average(y, weights=weights)
    variance = np.average(table["grey_variance"] + x * x, weights=weights)
    variance_he = np.average(table["grey_variance_he"] + y * y, weights=weights)
    for which, spread in (("generated images", variance), ("H&E", variance_he)):
        if spread == 0:
            return Absent(f"all pixels of the {which} have the same grey level")
    covariance = np.average(table["grey_covariance"] + x * y, weights=weights)
    return 100 * float(np.clip(covariance / np.sqrt(variance * variance_he), -1, 1))


def _of_means(table: pd.DataFrame) -> float | Absent:
    if len(table) < MIN_IMAGES:
        return Absent(f"a correlation over images needs at least {MIN_IMAGES}, here are {len(table)}")
    fake, he = table["grey_mean"].to_numpy(), table["grey_mean_he"].to_numpy()
    r = pearson(fake, he)
    if np.isnan(r):
        which = "generated images" if fake.min() == fake.max() else "H&E"
        return Absent(f"the {which} all have the same mean grey level")
    return 100 * r
