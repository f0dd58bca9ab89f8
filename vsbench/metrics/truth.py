"""How far from the true IHC of the H&E's own section? Only the phantom knows it; other metrics are judged by this."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.errors import DataError
from vsbench.metric import Absent, Metric, Sample, Value
from vsbench.stain.dab import density_table, read_levels


class TrueError(Metric):
    """Mean absolute errors against the true IHC, in colour and in DAB density."""

    needs_truth = True
    values = (
        Value(
            "truth_mae",
            r"MAE$_\mathrm{true}$",
            "1",
            "low",
            "mean over images, pixels and channels of |generated − true IHC| / 255",
            "truth/rgb-mae",
            column="truth_mae",
        ),
        Value(
            "truth_dab_mae",
            r"DAB MAE$_\mathrm{true}$",
            "OD",
            "low",
            "mean over images and pixels of |OD of DAB in the generated − in the true IHC|",
            "truth/dab-mae",
            column="truth_dab_mae",
        ),
    )

    def per_image(self, sample: Sample) -> dict[str, float]:
        """Both errors of one image. Raises DataError where the true IHC is not known."""
        if sample.truth is None:
            raise DataError(f"{sample.id}: no true IHC is known for it; leave the family truth out for this data set")
        colour = np.abs(sample.fake.astype(np.int16) - sample.truth)
        fake, truth = (sample.once(which, read_levels).levels for which in ("fake", "truth"))
        return {
            "truth_mae": int(colour.sum(dtype=np.int64)) / colour.size / 255,
            "truth_dab_mae": _density_error(fake, truth),
        }

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Means over the images."""
        return {value.name: float(table[value.name].mean()) for value in self.values}


def _density_error(fake: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Mean over pixels of |difference of OD| of two (H, W) DAB levels, from how often each two levels meet."""
    met = np.bincount((fake.astype(np.intp) << 8 | truth).reshape(-1), minlength=256 * 256).reshape(256, 256)
    densities = density_table().astype(np.float64)
    return float((met * np.abs(densities[:, None] - densities)).sum()) / fake.size
