"""The light of a slide is that of its glass; the palest tissue never stands for it."""

from io import BytesIO

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from vsbench.stain.balanced import level_counts, read_transmission, transmitted
from vsbench.stain.dab import density_of, read_levels
from vsbench.stain.density import DAB, HAEMATOXYLIN, stain_matrix, transmitted_intensity
from vsbench.stain.light import WHITE, Light, find_light, light_of_slide

Image = NDArray[np.uint8]
LIGHTS = [(255, 255, 255), (180, 180, 180), (214, 201, 176), (196, 210, 222)]  # white, grey, yellow, blue


def picture(
    light: tuple[float, ...] = (255, 255, 255), glass: float = 0.25, noise: float = 1.5, dab: float = 0.3, seed: int = 0
) -> Image:
    """(120, 160, 3): textured tissue, the palest of it of density 0.02, and on the right a share of ``glass``."""
    rng = np.random.default_rng(seed)
    amounts = rng.gamma(2, 0.5, (120, 160, 2)) * (0.1, dab) + np.array([0.05, 0.0])
    amounts[:60, :60] = np.abs(rng.normal(0.05, 0.03, (60, 60, 1)))  # pale stroma
    amounts[:, round(160 * (1 - glass)) :] = 0
    intensity = np.array(light) / 255 * transmitted_intensity(amounts @ stain_matrix(HAEMATOXYLIN, DAB))
    return np.clip(np.rint(intensity + rng.normal(0, noise, intensity.shape)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("light", LIGHTS)
def test_the_light_is_the_colour_of_the_glass(light: tuple[int, ...]) -> None:
    found = find_light(picture(light))
    assert found is not None
    assert found.colour == pytest.approx(light, abs=1)  # half of the noise on white is cut off
    assert found.spread < 0.01
    exact = find_light(picture(light, noise=0))
    assert exact is not None
    assert exact.colour == pytest.approx(light, abs=1e-9)
    assert exact.spread == pytest.approx(0, abs=1e-9)


def test_steps_of_jpeg_are_told_by_the_glass_beside_tissue() -> None:
    """What is flat keeps its colour in whole steps: its mean is off by as much."""
    off, plain = [], []
    for number in range(8):
        light = tuple(np.random.default_rng(number).uniform(170, 220, 3))
        file = BytesIO()
        PIL.Image.fromarray(picture(light, seed=number)).save(file, "JPEG", quality=90, subsampling=0)
        image = np.asarray(PIL.Image.open(file))
        found = find_light(image)
        assert found is not None
        off.append(np.abs(np.subtract(found.colour, light)))
        plain.append(np.abs(image[10:-10, -30:-10].mean(axis=(0, 1)) - light))
    assert np.mean(off) < 0.8 * np.mean(plain)


def test_uneven_light_is_that_of_the_brighter_glass_and_less_sure() -> None:
    image = picture((200, 200, 200), glass=0.5, noise=0)
    place = np.linspace(-1, 1, 160)
    falling = (image * (1 - 0.04 * (np.linspace(-1, 1, 120)[:, None] ** 2 + place**2) / 2)[..., None]).astype(np.uint8)
    even, uneven = find_light(image), find_light(falling)
    assert even is not None
    assert uneven is not None
    assert 0.96 * 200 < uneven.brightness < 200
    assert uneven.spread > even.spread + 0.004


@pytest.mark.parametrize("light", LIGHTS)
def test_tissue_without_glass_has_no_light_however_pale(light: tuple[int, ...]) -> None:
    assert find_light(picture(light, glass=0)) is None
    pale = np.random.default_rng(1).normal(0.03, 0.015, (64, 64, 1))
    image = np.array(light) / 255 * transmitted_intensity(pale @ np.ones((1, 3)))
    assert find_light(np.clip(np.rint(image), 0, 255).astype(np.uint8)) is None


def test_flat_tissue_beside_something_brighter_is_no_glass() -> None:
    """Serum and mucus are as flat as glass."""
    image = picture(glass=0)
    image[:60, 60:] = (225, 214, 200)
    assert find_light(image) is None
    image[60:, :60] = 250
    found = find_light(image)
    assert found is not None
    assert found.colour == pytest.approx((250, 250, 250), abs=1e-9)


def test_an_image_too_small_for_a_block_has_no_light() -> None:
    assert find_light(np.full((3, 200, 3), 255, np.uint8)) is None
    assert find_light(np.full((0, 0, 3), 255, np.uint8)) is None


def test_a_speck_of_glass_is_too_little() -> None:
    image = picture(glass=0)
    image[:8, :8] = 250
    assert find_light(image) is None


def test_a_slide_has_the_light_of_its_glass_each_tile_by_how_much_it_shows() -> None:
    tiles = [Light(200, 190, 180, 0.004, 100), Light(203, 193, 183, 0.004, 300), None]
    found = light_of_slide(tiles)
    assert found is not None
    assert found.colour == pytest.approx((202.25, 192.25, 182.25))
    assert found.pixels == 400
    assert found.spread == pytest.approx(np.hypot(0.004, 1.3 / 192.25), rel=0.02)  # within tiles, and between them
    assert light_of_slide([None, None]) is None


def test_what_is_darker_than_a_slide_s_glass_is_left_out() -> None:
    glass, tissue = Light(220, 220, 220, 0.002, 50), Light(205, 200, 207, 0.01, 5000)
    assert light_of_slide([tissue, glass]) == glass


def test_under_white_light_the_density_is_fiji_s_to_the_bit() -> None:
    image = np.random.default_rng(3).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    assert np.array_equal(level_counts(read_transmission(image), WHITE), read_levels(image).counts)
    assert transmitted(WHITE) == 1


@pytest.mark.parametrize("light", LIGHTS)
def test_the_density_under_its_light_is_that_of_the_same_stain_under_white(light: tuple[int, ...]) -> None:
    def density(colour: tuple[int, ...], under: tuple[int, ...]) -> float:
        counts = level_counts(read_transmission(picture(colour, noise=0)), Light(*under, spread=0, pixels=1))
        return density_of(counts).mean

    assert density(light, light) == pytest.approx(density((255, 255, 255), (255, 255, 255)), rel=0.01)
    if light != (255, 255, 255):
        assert density(light, (255, 255, 255)) != pytest.approx(density(light, light), rel=0.05)
