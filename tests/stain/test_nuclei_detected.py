"""Nuclei found one by one: on discs drawn for it, against SciPy's own arithmetic, and on the phantom."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from vsbench.stain.density import (
    DAB,
    HAEMATOXYLIN,
    SCANNER_EOSIN,
    SCANNER_HAEMATOXYLIN,
    stain_matrix,
    transmitted_intensity,
)
from vsbench.stain.nuclei_detected import detected_nuclei
from vsbench.stain.nuclei_matched import detection_f1, matched
from vsbench.stain.nuclei_outlined import Nuclei, nuclei_of

TOLD = {"H&E": 0.92, "ki67": 0.93, "her2": 0.90}
SIDE = 96
PLACES = [(20, 20), (20, 70), (60, 30), (60, 41), (75, 75)]  # the third and the fourth touch each other


def discs(places: list[tuple[int, int]], radius: int = 6) -> NDArray[np.float64]:
    """(SIDE, SIDE): 1 inside the discs, with soft borders."""
    y, x = np.mgrid[:SIDE, :SIDE]
    near = np.min([np.hypot(y - cy, x - cx) for cy, cx in places], axis=0)
    return ndimage.gaussian_filter((near < radius).astype(float), 0.6)


def stained(amounts: list[NDArray[np.float64]], *stains: NDArray[np.float64]) -> NDArray[np.uint8]:
    density = np.stack(amounts, -1) @ stain_matrix(*stains)
    noise = np.random.default_rng(0).normal(0, 1.5, density.shape)
    return np.clip(np.rint(transmitted_intensity(density) + noise), 0, 255).astype(np.uint8)


def centres(places: list[tuple[int, int]]) -> Nuclei:
    return Nuclei(np.zeros((0, 0), np.int32), np.array(places, float).reshape(-1, 2))


def test_blue_and_brown_nuclei_are_found_where_they_are_and_touching_ones_are_parted() -> None:
    blue, brown = discs(PLACES[:3]), discs(PLACES[3:])
    ihc = stained([0.25 * blue + 0.05, 0.6 * brown + 0.03], HAEMATOXYLIN, DAB)
    he = stained([0.5 * discs(PLACES), np.full((SIDE, SIDE), 0.25)], SCANNER_HAEMATOXYLIN, SCANNER_EOSIN)
    for image in (ihc, he):
        found = detected_nuclei(image)
        assert found.count == len(PLACES)
        assert matched(found, centres(PLACES), radius=2) == len(PLACES)


def test_where_there_is_no_nucleus_none_is_found() -> None:
    flat = np.zeros((SIDE, SIDE))
    for image in (
        np.full((SIDE, SIDE, 3), 255, np.uint8),
        np.full((SIDE, SIDE, 3), 90, np.uint8),
        stained([flat, flat], HAEMATOXYLIN, DAB),  # a sensor's noise
        stained([flat, flat + 0.5], HAEMATOXYLIN, DAB),
    ):
        assert detected_nuclei(image).count == 0
    specks = stained([0.5 * discs(PLACES, radius=1), flat], HAEMATOXYLIN, DAB)
    assert detected_nuclei(specks).count == 0


def test_numbers_centres_and_means_are_those_of_scipy() -> None:
    labels = np.zeros((20, 30), np.uint16)
    labels[2:5, 3:9], labels[10:14, 20:22], labels[15, 1:4] = 700, 3, 65535
    found = nuclei_of(labels)
    numbers = [3, 700, 65535]
    assert found.count == 3
    np.testing.assert_allclose(found.centres, ndimage.center_of_mass(labels > 0, labels, numbers))
    amounts = np.random.default_rng(1).random(labels.shape)
    np.testing.assert_allclose(found.means(amounts), ndimage.mean(amounts, labels, numbers))
    assert nuclei_of(np.zeros((5, 5), np.uint8)).count == 0


def test_the_most_pairs_are_those_of_an_optimal_assignment() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        first, second = (rng.random((rng.integers(1, 60), 2)) * 50 for _ in range(2))
        far = cdist(first, second) > 6
        rows, columns = linear_sum_assignment(far)
        pair = [Nuclei(np.zeros((0, 0), np.int32), points) for points in (first, second)]
        assert matched(*pair) == matched(*pair[::-1]) == np.count_nonzero(~far[rows, columns])


def test_one_nucleus_is_not_matched_twice_and_nothing_with_nothing_is_no_agreement() -> None:
    one, two, none = centres([(10, 10)]), centres([(10, 10), (12, 10)]), centres([])
    assert matched(one, two) == 1
    assert detection_f1(one, two) == pytest.approx(2 / 3)
    assert detection_f1(one, one) == 1
    assert detection_f1(one, none) == 0
    assert np.isnan(detection_f1(none, none))


def test_of_the_phantom_it_finds_what_its_card_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In H&E, among brown nuclei and among brown membranes."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from benchmarks.nuclei import scores, tiles

    for kind, images in tiles(tmp_path, "test", slides_test=2, tiles_per_slide=1).items():
        assert scores(images)[0] == pytest.approx(TOLD[kind], abs=0.1), kind  # one tile of two slides
