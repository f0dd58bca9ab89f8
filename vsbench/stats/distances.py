"""Which set values are functions of features, and how each is resampled and tested."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from vsbench.neighbours import NAMES
from vsbench.stats import cells
from vsbench.stats.areas import macro_area, macro_area_scores
from vsbench.stats.bootstrap import RESAMPLES, Kind
from vsbench.stats.features import (
    Features,
    Scores,
    Statistic,
    frechet,
    frechet_scores,
    kernel_distance,
    kernel_scores,
    neighbour_scores,
    neighbours,
)
from vsbench.stats.slides import Slides

MAX_IMAGES = 5000  # twice as many take eight times as long, and four times the memory


@dataclass(frozen=True)
class Distance:
    """A set value that is a function of features: arrays ``<features>_fake`` and ``<features>_real``, (N, D).

    ``resamples``: how many are affordable. For N = 1000 images and D = 2048, 2000 of KID take 2 s of one core.
    ``kind``: of interval; repeated images make a distance larger, so that the plain limits may miss it.
    ``sampled``: the value itself is a mean over random subsets, and the statistic near it, not equal to it.
    """

    statistic: Callable[[Features, Features, Slides], Statistic]
    scores: Callable[[Features, Features, Features], Scores]
    features: str
    resamples: int
    sampled: bool = False
    kind: Kind = "centred"

    def absence(self, features: Mapping[str, Features]) -> str | None:
        """Why it can't be resampled; None if it can."""
        real = features.get(f"{self.features}_real")
        if real is None or f"{self.features}_fake" not in features:
            return f"the features {self.features} were not kept"
        if len(real) > MAX_IMAGES:
            return f"{len(real)} images: above {MAX_IMAGES}, the spread of a distance of features takes hours"
        return None

    def of(self, features: Mapping[str, Features], slides: Slides) -> Statistic:
        """The statistic of a method's features."""
        return self.statistic(features[f"{self.features}_fake"], features[f"{self.features}_real"], slides)

    def scores_of(self, first: Mapping[str, Features], second: Mapping[str, Features]) -> Scores:
        """The scores of two methods' images."""
        name = f"{self.features}_fake"
        return self.scores(first[name], second[name], first[f"{self.features}_real"])


def _of_cells(statistic: Callable[..., Statistic], scores: Callable[..., Scores]) -> Distance:
    return Distance(statistic, scores, "cells", RESAMPLES, kind="percentile")


def _of_sets(features: str, fd: str, kd: str, suffix: str) -> dict[str, Distance]:
    """What is measured in one space of features."""
    near = {
        f"{name}_{suffix}": Distance(
            partial(neighbours, name), partial(neighbour_scores, name), features, RESAMPLES, kind="percentile"
        )
        for name in NAMES
    }
    return {
        fd: Distance(frechet, frechet_scores, features, RESAMPLES),
        kd: Distance(kernel_distance, kernel_scores, features, 2000, sampled=True),
        **near,
    }


# By the name of the value; the features' names are those that the metrics give.
DISTANCES = {
    **_of_sets("fid", "fid", "kid", "inception"),
    **_of_sets("fd_vgg16", "fd_vgg16", "kd_vgg16", "vgg16"),
    **_of_sets("fd_encoder", "fd_encoder", "kd_encoder", "encoder"),
    "fid_pytorch": Distance(frechet, frechet_scores, "fid_pytorch", RESAMPLES),
    "grade_auroc": Distance(macro_area, macro_area_scores, "grade", RESAMPLES, kind="percentile"),
    "cell_auc": _of_cells(cells.area, cells.area_scores),
    "cell_sensitivity": _of_cells(cells.sensitivity, cells.sensitivity_scores),
    "cell_specificity": _of_cells(cells.specificity, cells.specificity_scores),
    "cell_share_mae": _of_cells(cells.share_error, cells.share_error_scores),
    "cell_share_r": _of_cells(cells.share_correlation, cells.share_correlation_scores),
}
