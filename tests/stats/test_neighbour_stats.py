"""What neighbours tell, resampled and tested: means over images, of which neighbourhoods are held fast."""

import numpy as np
import pytest

from vsbench.metrics._neighbours import neighbourhoods
from vsbench.neighbours import NAMES
from vsbench.stats.distances import DISTANCES
from vsbench.stats.moments import Array
from vsbench.stats.slides import Slides

SLIDES = Slides(np.repeat(np.arange(8), 5), 8)
N = len(SLIDES.index)
ONCE = np.ones((1, SLIDES.count))


def features(seed: int) -> tuple[Array, Array]:
    fake, real = np.random.default_rng(seed).normal(size=(2, N, 6)).astype(np.float32)
    return np.float32(1.2) * fake, real


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("space", ["inception", "vgg16", "encoder"])
def test_of_all_images_it_is_the_metric(name: str, space: str) -> None:
    fake, real = features(0)
    found = DISTANCES[f"{name}_{space}"].statistic(fake, real, SLIDES)(ONCE)[0]
    assert found == pytest.approx(neighbourhoods(fake, real, space)[f"{name}_{space}"], abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_scores_tell_the_difference(name: str) -> None:
    (first, real), (second, _) = features(0), features(1)
    second = second + np.float32(0.7)
    distance = DISTANCES[f"{name}_inception"]
    one, other = (distance.statistic(part, real, SLIDES)(ONCE)[0] for part in (first, second))
    a, b = distance.scores(first, second, real)
    assert one != other
    assert a.mean() - b.mean() == pytest.approx(one - other, abs=1e-12)


def test_too_few_images_have_no_value() -> None:
    few = Slides(np.array([0, 1, 1]), 2)
    fake, real = (part[:3] for part in features(0))
    assert np.isnan(DISTANCES["recall_inception"].statistic(fake, real, few)(np.ones((1, 2)))).all()
