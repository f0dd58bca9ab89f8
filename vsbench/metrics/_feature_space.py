"""What is measured in the features of any encoder: distances between sets, and of each image from its real partner."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Sample, Update, Value, Which
from vsbench.metrics._kernel import SUBSET_SIZE, SUBSETS, kernel_distance
from vsbench.metrics._neighbours import neighbourhood_values, neighbourhoods
from vsbench.metrics._network import NetworkMetric, exact
from vsbench.metrics.fid import MIN_IMAGES, frechet_distance

if TYPE_CHECKING:
    from torch import Tensor


def space_values(suffix: str, label: str, space: str, protocol: str) -> tuple[Value, ...]:
    """The values in a space of features. ``space`` names it in formulas, ``protocol`` holds all that makes it."""
    head = f"fd_{suffix}"
    return (
        Value(
            head,
            f"FD ({label})",
            "1",
            "low",
            f"|μ − μ_real|² + Tr(C + C_real − 2 (C C_real)^½) of {space}, in float64; biased upward for few images, "
            "as FID is",
            f"fd/{protocol}",
        ),
        Value(
            f"kd_{suffix}",
            f"KD ({label})",
            "1",
            "low",
            f"mean over {SUBSETS} subsets of min({SUBSET_SIZE}, N) images (seed 2020) of the unbiased MMD² of {space} "
            "under (x·y / D + 1)³, D their number; below 0 for sets more alike than two halves of one",
            f"kd/{protocol}",
            family=head,
        ),
        Value(
            f"cosine_{suffix}",
            f"Cosine ({label})",
            "1",
            "high",
            f"mean over images of the cosine of the angle between {space} of generated and real image",
            f"cosine/{protocol}",
            column=f"cosine_{suffix}",
            family=head,
        ),
        *neighbourhood_values(suffix, label, space, protocol, head),
    )


class FeatureSpace(NetworkMetric):
    """Fréchet and kernel distance, cosine to the real partner, precision, recall, density and coverage."""

    suffix: ClassVar[str]  # of the values' names

    @property
    @abstractmethod
    def space(self) -> str:
        """The protocol of the features, by which those of real images are kept."""

    @abstractmethod
    def embed(self, network: Any, images: "Tensor") -> "Tensor":
        """(B, 3, H, W) uint8 → (B, D) float features."""

    def embedded(self, samples: Sequence[Sample], which: Which) -> NDArray[np.float32]:
        """(n, D) features of one image of each sample."""
        network = self.ready()
        with exact():
            return self.features(
                samples, which, self.space, lambda images: self.embed(network, images).float().cpu().numpy()
            )

    def update(self, samples: Sequence[Sample]) -> Update:
        """Features of the generated and of the real images, and the cosine of each pair."""
        fake, real = self.embedded(samples, "fake"), self.embedded(samples, "real")
        cosines = cosine(fake.astype(np.float64), real.astype(np.float64))
        name = f"fd_{self.suffix}"
        return Update({f"cosine_{self.suffix}": cosines.tolist()}, {f"{name}_fake": fake, f"{name}_real": real})

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """All values; those of sets Absent below two images, or four."""
        name, cosines = f"fd_{self.suffix}", table[f"cosine_{self.suffix}"]
        fake, real = features[f"{name}_fake"], features[f"{name}_real"]
        few = Absent(f"distances of sets need at least {MIN_IMAGES} images, here are {len(fake)}")
        enough = len(fake) >= MIN_IMAGES
        none = Absent("no pair of images has two features that are not all 0")
        return {
            name: frechet_distance(fake, real) if enough else few,
            f"kd_{self.suffix}": kernel_distance(fake, real)[0] if enough else few,
            f"cosine_{self.suffix}": none if cosines.isna().all() else float(cosines.mean()),
            **neighbourhoods(fake, real, self.suffix),
        }


def prepared(images: "Tensor", size: tuple[int, int], mean: Sequence[float], std: Sequence[float]) -> "Tensor":
    """(B, 3, H, W) uint8 → float32 (B, 3, *size) as an encoder wants it: bilinear by pixel centres, antialiased."""
    from torch.nn.functional import interpolate

    x = images.float() / 255
    if x.shape[-2:] != size:
        x = interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=True)
    return (x - x.new_tensor(mean).view(3, 1, 1)) / x.new_tensor(std).view(3, 1, 1)


def cosine(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, D) twice → (N,) cosine of the angle between rows, in [−1, 1]; NaN where either is all 0."""
    lengths = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.divide((x * y).sum(axis=1), lengths, out=np.full(len(x), np.nan), where=lengths > 0)
