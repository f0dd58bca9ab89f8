"""How far from the true IHC of the H&E's own section? Only the phantom knows it; other metrics are judged by this."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.errors import DataError
from vsbench.metric import Absent, Metric, Sample, Value
from vsbench.stain.dab import optical_density_dab


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
        densities = optical_density_dab(sample.fake), optical_density_dab(sample.truth)
        density = np.abs(np.subtract(*densities, dtype=np.float64))
        return {
            "truth_mae": float(colour.mean(dtype=np.float64)) / 255,
            "truth_dab_mae": float(density.mean()),
        }

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Means over the images."""
        return {value.name: float(table[value.name].mean()) for value in self.values}
