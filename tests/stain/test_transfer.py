"""Stain transfer: the statistics asked for are reached, and Macenko is what torchstain makes of it."""

from pathlib import Path

import numpy as np
import pytest
import torchstain
from numpy.typing import NDArray

from vsbench.data.decode import read_rgb
from vsbench.stain.density import (
    DAB,
    HAEMATOXYLIN,
    SCANNER_EOSIN,
    SCANNER_HAEMATOXYLIN,
    stain_matrix,
    transmitted_intensity,
)
from vsbench.stain.transfer import (
    Stains,
    every_nth_pixel,
    exchange,
    find_stains,
    from_lalphabeta,
    macenko,
    mean_and_deviation,
    pixel_density,
    reinhard,
    to_lalphabeta,
)

Image = NDArray[np.uint8]


def stained(seed: int, *vectors: NDArray[np.float64], shape: tuple[int, int] = (40, 52)) -> Image:
    """Glass in the left quarter; elsewhere each pixel has mostly one of two stains, in its own amount."""
    rng = np.random.default_rng(seed)
    amounts = rng.gamma(4, 0.12, (*shape, 2)) * rng.dirichlet((0.3, 0.3), shape)
    amounts[:, : shape[1] // 4] = 0
    return np.rint(transmitted_intensity(amounts @ stain_matrix(*vectors))).astype(np.uint8)


@pytest.fixture
def he() -> Image:
    return stained(0, SCANNER_HAEMATOXYLIN, SCANNER_EOSIN)


@pytest.fixture
def ihc() -> Image:
    return stained(1, HAEMATOXYLIN, DAB)


def difference(a: Image, b: Image) -> int:
    return int(np.abs(a.astype(int) - b).max())


def test_colour_space_is_that_of_the_paper() -> None:
    """White of 255 has log₁₀ of the row sums; l, α, β of these are its eq. 6 written out."""
    long, medium, short = np.log10(255 * np.array([0.9996, 0.9993, 0.9973]))
    expected = [
        (long + medium + short) / np.sqrt(3),
        (long + medium - 2 * short) / np.sqrt(6),
        (long - medium) / np.sqrt(2),
    ]
    np.testing.assert_allclose(to_lalphabeta(np.full((1, 1, 3), 255, np.uint8))[:, 0], expected, atol=1e-12)


def test_colour_space_and_back(he: Image) -> None:
    assert difference(from_lalphabeta(to_lalphabeta(he), he.shape), he) == 0
    black = np.zeros((2, 2, 3), np.uint8)
    assert difference(from_lalphabeta(to_lalphabeta(black), black.shape), black) == 1  # its logarithm is finite


def test_reinhard_reaches_the_statistics_of_the_target() -> None:
    """Where nothing is clipped; what is left is rounding to levels."""
    rng = np.random.default_rng(0)
    image, target = (rng.integers(low, high, (50, 40, 3), np.uint8) for low, high in ((90, 180), (110, 130)))
    mean, deviation = mean_and_deviation([target])
    made_mean, made_deviation = mean_and_deviation([reinhard(image, mean, deviation)])
    np.testing.assert_allclose(made_mean, mean, atol=1e-4)
    np.testing.assert_allclose(made_deviation, deviation, rtol=0.01)
    assert (mean_and_deviation([image])[1] > 2 * deviation).all()


def test_reinhard_leaves_an_image_with_the_statistics_of_the_target(ihc: Image) -> None:
    assert difference(reinhard(ihc, *mean_and_deviation([ihc])), ihc) == 0


def test_reinhard_gives_an_even_image_the_mean_colour_of_the_target() -> None:
    colour, target = np.full((6, 5, 3), (200, 120, 90), np.uint8), np.full((3, 3, 3), (60, 90, 180), np.uint8)
    made = reinhard(colour, mean_and_deviation([target])[0], np.full(3, 0.3))
    assert difference(made, np.broadcast_to(target[0, 0], made.shape)) == 0


def test_statistics_are_of_all_pixels_of_all_images(he: Image, ihc: Image) -> None:
    small = ihc[:7, 13:30]
    pooled = np.concatenate([to_lalphabeta(image) for image in (he, small)], axis=1)
    mean, deviation = mean_and_deviation(iter([he, small]))
    np.testing.assert_allclose(mean, pooled.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(deviation, pooled.std(axis=1), rtol=1e-10)


@pytest.mark.parametrize("name", ["birl-ratkidney_PanCK_0256_0512", "cima-lesion3_CD31_0256_0000"])
def test_macenko_is_that_of_torchstain(shared: Path, name: str) -> None:
    """From its own densities, which have glass at 240 and another offset; images to the level, where it cuts off."""
    he, ihc = (read_rgb(shared / f"data/cima/{side}/{name}.png") for side in ("he", "ihc"))
    theirs = torchstain.normalizers.MacenkoNormalizer(backend="numpy")
    theirs.fit(ihc)
    source, target = (find_stains(density_of_torchstain(image)) for image in (he, ihc))
    assert source is not None
    assert target is not None
    np.testing.assert_allclose(target.vectors.T, theirs.HERef, atol=1e-10)
    np.testing.assert_allclose(target.reach * np.log(10), theirs.maxCRef, atol=1e-10)
    made = 240 * 10 ** -exchange(density_of_torchstain(he), source, target).T.reshape(he.shape)
    image = theirs.normalize(he, stains=False)[0]
    seen = made < 255
    assert seen.mean() > 0.5
    np.testing.assert_array_equal(np.floor(made)[seen], image[seen])


def density_of_torchstain(image: Image) -> NDArray[np.float64]:
    return -np.log10((image.reshape(-1, 3).T.astype(float) + 1) / 240)


def test_the_stains_that_made_an_image_are_found(he: Image, ihc: Image) -> None:
    for image, vectors in ((he, (SCANNER_HAEMATOXYLIN, SCANNER_EOSIN)), (ihc, (HAEMATOXYLIN, DAB))):
        found = find_stains(pixel_density(image))
        assert found is not None
        np.testing.assert_allclose(found.vectors, stain_matrix(*vectors), atol=0.03)
        assert (found.reach > 0.5).all()


def test_macenko_puts_brown_for_eosin_and_leaves_haematoxylin(ihc: Image) -> None:
    """Against the amounts that made the image, in the target's stains."""
    same_amounts = stained(0, HAEMATOXYLIN, DAB), stained(0, SCANNER_HAEMATOXYLIN, SCANNER_EOSIN)
    target = find_stains(pixel_density(same_amounts[0]))
    assert target is not None
    made = macenko(same_amounts[1], target)
    assert made.dtype == np.uint8
    assert made.shape == ihc.shape
    off = np.abs(made.astype(int) - same_amounts[0]).mean()
    assert off < 0.1 * np.abs(same_amounts[1].astype(int) - same_amounts[0]).mean()


def test_macenko_leaves_the_target_itself(ihc: Image) -> None:
    target = find_stains(pixel_density(ihc))
    assert target is not None
    assert difference(macenko(ihc, target), ihc) <= 2  # what lies off the plane of two stains is lost


@pytest.mark.parametrize(
    "image",
    [np.full((8, 9, 3), 250, np.uint8), np.full((8, 9, 3), (120, 60, 140), np.uint8), np.zeros((8, 9, 3), np.uint8)],
    ids=["glass", "one colour", "black"],
)
def test_macenko_leaves_an_image_without_two_stains(image: Image) -> None:
    assert find_stains(pixel_density(image)) is None
    assert macenko(image, Stains(stain_matrix(HAEMATOXYLIN, DAB), np.ones(2))) is image


def test_a_turned_image_is_turned_only(he: Image, ihc: Image) -> None:
    target = find_stains(pixel_density(ihc))
    assert target is not None
    statistics = mean_and_deviation([ihc])
    turned = np.ascontiguousarray(he[::-1].transpose(1, 0, 2))
    for transfer in (lambda image: macenko(image, target), lambda image: reinhard(image, *statistics)):
        made = transfer(he)
        assert difference(made, he) > 30
        assert difference(transfer(turned), made[::-1].transpose(1, 0, 2)) <= 1  # sums in another order round otherwise


def test_sampled_pixels_come_from_all_columns() -> None:
    image = np.indices((64, 48)).transpose(1, 2, 0)[..., [0, 1, 1]].astype(np.uint8)
    pixels = every_nth_pixel(image, 256)
    assert 200 <= len(pixels) <= 256
    assert set(pixels[:, 1].tolist()) == set(range(48))
    assert len(set(pixels[:, 0].tolist())) > 60
    np.testing.assert_array_equal(every_nth_pixel(image, 5000), image.reshape(-1, 3))
