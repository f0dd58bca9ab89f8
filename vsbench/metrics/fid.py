"""Do the generated images as a set look like the real ones, and are all kinds of them made? FID, KID and neighbours.

The Inception network of 2015, its TensorFlow-like resize and its features are torch-fidelity's. FID is biased upward
by an amount that depends on the number of images: below about 2048 never compare it across numbers of images. KID has
no such bias, but is the noisier of the two for few images.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Sample, Update, Value, Which
from vsbench.metrics._inception import WEIGHTS, inception, torch_fidelity_features
from vsbench.metrics._kernel import SUBSET_SIZE, SUBSETS, kernel_distance
from vsbench.metrics._neighbours import neighbourhood_values, neighbourhoods
from vsbench.metrics._network import NetworkMetric, exact

FEATURES = "inception-2015/torch-fidelity"  # 2048 features after torch-fidelity's resize
MIN_IMAGES = 2  # one image has no covariance, and no other image to be compared with
FORMULA = "|μ − μ_real|² + Tr(C + C_real − 2 (C C_real)^½) of 2048 Inception features, in float64"


class Fid(NetworkMetric):
    """Fréchet distance of Inception features between the generated and the real IHC (USIGAN, eq. 24), and KID.

    Of the same features precision, recall, density and coverage: what a distance is made of.

    KID's spread over the subsets is no value: below 1000 images it is 0, and above it tells how the subsets overlap.

    ``network``: (B, 3, H, W) uint8 tensor → a tuple whose first entry is the features, (B, D) float32. Given none, it
    is torch-fidelity's with the weights of 2015.
    """

    needs = (WEIGHTS,)
    package = "torch_fidelity"
    build = staticmethod(inception)
    values = (
        Value("fid", "FID", "1", "low", FORMULA, "fid/torch-fidelity"),
        Value("fid_n", "FID $N$", "images", "high", "number of images in each of the two sets", "fid/torch-fidelity"),
        Value(
            "kid",
            "KID",
            "1",
            "low",
            f"mean over {SUBSETS} subsets of min({SUBSET_SIZE}, N) images (seed 2020) of the unbiased MMD² of the same "
            "features under (x·y / 2048 + 1)³; below 0 for sets more alike than two halves of one",
            f"kid/torch-fidelity-min-{SUBSET_SIZE}-n",  # torch-fidelity itself refuses fewer than 1000 images
        ),
        *neighbourhood_values("inception", "Inception", "2048 Inception features", FEATURES, family="fid"),
    )

    space = FEATURES

    def embedded(self, samples: Sequence[Sample], which: Which) -> NDArray[np.float32]:
        """(n, 2048) features of one image of each sample."""
        network = self.ready()
        with exact():
            return self.features(samples, which, self.space, lambda x: torch_fidelity_features(network, x))

    def update(self, samples: Sequence[Sample]) -> Update:
        """Features of the generated and of the real images; no columns."""
        return Update({}, {"fid_fake": self.embedded(samples, "fake"), "fid_real": self.embedded(samples, "real")})

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """FID and KID, Absent below two images, their number, and what neighbours tell."""
        fake, real = features["fid_fake"], features["fid_real"]
        others = {"fid_n": float(len(fake)), **neighbourhoods(fake, real, "inception")}
        if len(fake) < MIN_IMAGES:
            why = Absent(f"FID and KID need at least {MIN_IMAGES} images, here are {len(fake)}")
            return {"fid": why, "kid": why, **others}
        return {"fid": frechet_distance(fake, real), "kid": kernel_distance(fake, real)[0], **others}


def frechet_distance(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Fréchet distance of two Gaussians fitted to features (N, D) and (M, D); N, M ≥ 2; covariances with N − 1.

    With centred features X and Y, C_x = XᵀX and C_y = YᵀY, and the trace of (C_x C_y)^½ is the sum of the singular
    values of X Yᵀ. That equals Σ Re √eig(C_x C_y), torch-fidelity's form, without the square roots of the zeros that
    rounding makes of N < D images; and it is of the size of N, not of D. Equal sets give 0 up to rounding, which may be
    negative. Symmetric.
    """
    (mean_x, root_x), (mean_y, root_y) = _mean_and_root(x), _mean_and_root(y)
    shift = mean_x - mean_y
    shared = np.linalg.svd(root_x @ root_y.T, compute_uv=False).sum()
    return float(shift @ shift + (root_x**2).sum() + (root_y**2).sum() - 2 * shared)


def _mean_and_root(features: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (D,) and a matrix (min(N, D), D) whose RᵀR is the covariance."""
    mean = features.mean(axis=0, dtype=np.float64)
    centred = (features - mean) / np.sqrt(len(features) - 1)
    return mean, np.linalg.qr(centred).R
