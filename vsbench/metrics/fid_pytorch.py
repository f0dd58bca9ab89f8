"""FID by pytorch-fid's rules, as behind most published tables: the same network, another resize.

On request: its features cost a second pass of Inception over every image, and differ from those of the default FID only
by where the resize takes its samples and by 127.5 in the place of 128.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Sample, Update, Value
from vsbench.metrics._inception import WEIGHTS, inception, pytorch_fid_features
from vsbench.metrics._network import NetworkMetric, exact
from vsbench.metrics.fid import FORMULA, MIN_IMAGES, frechet_distance

FEATURES = "inception-2015/pytorch-fid"


class FidPytorch(NetworkMetric):
    """FID of pytorch-fid 0.3.0 but for the matrix square root: its trace is worked out without one.

    Where SciPy's root of a singular product is not finite, pytorch-fid adds 1e-6 to both diagonals first, and its FID
    comes out a little lower. Whether that happens depends on SciPy; here it never has to.

    ``network``: torch-fidelity's Inception, by whose layers images pass. Given none, it has the weights of 2015.
    """

    needs = (WEIGHTS,)
    package = "torch_fidelity"
    build = staticmethod(inception)
    on_request = True
    values = (Value("fid_pytorch", r"FID (pytorch-fid)", "1", "low", FORMULA, "fid/pytorch-fid", family="fid"),)

    def update(self, samples: Sequence[Sample]) -> Update:
        """Features of the generated and of the real images; no columns."""
        network = self.ready()
        with exact():
            fake, real = (
                self.features(samples, which, FEATURES, lambda x: pytorch_fid_features(network, x))
                for which in ("fake", "real")
            )
        return Update({}, {"fid_pytorch_fake": fake, "fid_pytorch_real": real})

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """FID, Absent below two images."""
        fake, real = features["fid_pytorch_fake"], features["fid_pytorch_real"]
        if len(fake) < MIN_IMAGES:
            return {"fid_pytorch": Absent(f"FID needs at least {MIN_IMAGES} images, here are {len(fake)}")}
        return {"fid_pytorch": frechet_distance(fake, real)}
