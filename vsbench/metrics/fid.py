"""Do the generated images as a set look like the real ones? FID.

The Inception network of 2015, its TensorFlow-like resize and its features are torch-fidelity's. FID is biased upward
by an amount that depends on the number of images: below about 2048 never compare it across numbers of images.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench import weights
from vsbench.metric import Absent, Metric, Sample, Update, Value
from vsbench.metrics import _network

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS = "inception-2015-12-05"
FEATURES = "inception-2015/torch-fidelity"  # 2048 features after torch-fidelity's resize
MIN_IMAGES = 2  # one image has no covariance


class Fid(Metric):
    """Fréchet distance of Inception features between the generated and the real IHC (USIGAN, eq. 24).

    ``network``: (B, 3, H, W) uint8 tensor → a tuple whose first entry is the features, (B, D) float32. Given none, it
    is torch-fidelity's with the weights of 2015, loaded at the first update.
    """

    needs = (WEIGHTS,)
    values = (
        Value(
            "fid",
            "FID",
            "1",
            "low",
            "|μ − μ_real|² + Tr(C + C_real − 2 (C C_real)^½) of 2048 Inception features, in float64",
            "fid/torch-fidelity",
        ),
        Value("fid_n", "FID $N$", "images", "high", "number of images in each of the two sets", "fid/torch-fidelity"),
    )

    def __init__(self, network: "nn.Module | None" = None) -> None:
        self.network = network

    def unavailable(self) -> str | None:
        """Why the Inception network can't run here; None if it can."""
        return None if self.network is not None else _network.absence("torch_fidelity", WEIGHTS)

    def update(self, samples: Sequence[Sample]) -> Update:
        """Features of the generated and of the real images; no columns."""
        if self.network is None:
            self.network = inception(weights.load(WEIGHTS))
        network = self.network.to(self.device).eval()
        with _network.exact():
            fake, real = (
                _network.features(samples, which, FEATURES, lambda x: network(x)[0].cpu().numpy(), self.device)
                for which in ("fake", "real")
            )
        return Update({}, {"fid_fake": fake, "fid_real": real})

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """FID, Absent below two images, and their number."""
        fake, real = features["fid_fake"], features["fid_real"]
        fid: float | Absent = Absent(f"FID needs at least {MIN_IMAGES} images, here are {len(fake)}")
        if len(fake) >= MIN_IMAGES:
            fid = frechet_distance(fake, real)
        return {"fid": fid, "fid_n": float(len(fake))}


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


def inception(tensors: "dict[str, Tensor]") -> "nn.Module":
    """torch-fidelity's Inception with these weights, giving the 2048 features."""
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    plain = (
        io.BytesIO()
    )  # torch-fidelity unpickles without restriction what it is given: so it gets tensors we re-saved
    torch.save(tensors, plain)
    plain.seek(0)
    with _network.building():
        return FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=plain)
