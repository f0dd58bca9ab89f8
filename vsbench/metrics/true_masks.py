"""``masks`` against the true IHC of the H&E's own section, which only the phantom knows: no shift to look for."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.errors import DataError
from vsbench.metric import Absent, Metric, Sample
from vsbench.metrics.masks import AREA, compared, declared, means, stained_area
from vsbench.metrics.masks_hed import HED, stained_hed

RULES = {AREA: stained_area, HED: stained_hed}


class TrueMasks(Metric):
    """The values of ``masks`` against the truth, by both rules for a mask; conventions as there."""

    needs_truth = True
    values = tuple(value for rule in RULES for value in declared(rule, true=True))

    def per_image(self, sample: Sample) -> dict[str, float]:
        """The numbers of one pair. Raises DataError where the true IHC is not known."""
        if sample.truth is None:
            raise DataError(
                f"{sample.id}: no true IHC is known for it; leave the family true_masks out for this data set"
            )
        columns: dict[str, float] = {}
        for rule, outlined in RULES.items():
            found = compared(outlined(sample, "fake"), outlined(sample, "truth"), sample.pixel_size)
            columns |= {f"true_{name}{rule.end}": number for name, number in found.items()}
        return columns

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Means over the images that have the number."""
        return means(table, self.values)
