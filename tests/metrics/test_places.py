"""Block-wise correlation of DAB: against plain means of blocks, and what shifts and flips do to it."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from vsbench.metric import Absent, Image, Sample
from vsbench.metrics.places import GRIDS, Places
from vsbench.stain.dab import optical_density_dab

SIDE = 64  # shifts up to 4 pixels: every pixel at 16 blocks, every second at 8, every fourth at 4
MARGIN = 8


def picture(density: NDArray[np.float64]) -> Image:
    """DAB alone of a density."""
    return np.rint(255 * 10 ** -(density[..., None] * (0.268, 0.570, 0.776))).astype(np.uint8)


def section(height: int = SIDE + 2 * MARGIN, width: int = SIDE + 2 * MARGIN, seed: int = 4) -> Image:
    """Independent densities in squares of 3 pixels."""
    coarse = np.random.default_rng(seed).gamma(1.0, 0.4, (height // 3 + 1, width // 3 + 1))
    return picture(np.kron(coarse, np.ones((3, 3)))[:height, :width])


def window(image: Image, down: int = 0, right: int = 0) -> Image:
    return image[MARGIN + down : MARGIN + down + SIDE, MARGIN + right : MARGIN + right + SIDE]


def columns(fake: Image, real: Image) -> dict[str, float]:
    return Places().per_image(Sample("pair", fake, real, real))


def by_hand(fake: Image, real: Image, rows: NDArray[np.int64], edges: NDArray[np.int64]) -> float:
    means = [
        [
            density[top:bottom, left:end].mean(dtype=float)
            for top, bottom in pairwise(rows)
            for left, end in pairwise(edges)
        ]
        for density in (optical_density_dab(fake), optical_density_dab(real))
    ]
    return float(np.corrcoef(means)[0, 1])


@pytest.mark.parametrize("n", GRIDS)
def test_strict_is_the_correlation_of_block_means(n: int) -> None:
    """Also where n does not divide the sides."""
    height, width = 50, 71
    fake, real = section(height, width), section(height, width, seed=5)
    rows, edges = (np.arange(n + 1) * side // n for side in (height, width))
    found = columns(fake, real)[f"r_block_{n}"]
    assert found == pytest.approx(100 * by_hand(fake, real, rows, edges), abs=1e-4)  # densities are rounded to 2^-24


@pytest.mark.parametrize("n", GRIDS)
def test_best_is_the_largest_over_the_stated_shifts(n: int) -> None:
    fake, real = window(section()), window(section(seed=5))
    inner = 4 + np.arange(n + 1) * (SIDE - 8) // n
    step = SIDE // n // 4
    shifts = range(-4, 5, step)
    assert len(shifts) ** 2 == {4: 9, 8: 25, 16: 81}[n]
    expected = max(
        by_hand(fake, np.roll(real, (-dy, -dx), axis=(0, 1)), inner, inner) for dy in shifts for dx in shifts
    )
    assert columns(fake, real)[f"r_block_{n}_best"] == pytest.approx(100 * expected, abs=1e-4)


def test_identical_images_correlate_fully() -> None:
    assert columns(window(section()), window(section())) == pytest.approx(dict.fromkeys(NAMES, 100))


@pytest.mark.parametrize(("down", "right"), [(4, -4), (-4, 0), (0, 4)])
def test_a_shift_within_reach_is_found(down: int, right: int) -> None:
    found = columns(window(section()), window(section(), down, right))
    for n in GRIDS:
        assert found[f"r_block_{n}_best"] == pytest.approx(100)
        assert found[f"r_block_{n}"] < 99
    assert found["r_block_16"] < found["r_block_4"]  # fine blocks feel it most


def test_a_shift_beyond_reach_is_not() -> None:
    found = columns(window(section()), window(section(), 8, 8))
    assert all(found[f"r_block_{n}_best"] < 90 for n in GRIDS)


def test_the_best_of_unrelated_images_is_biased_upwards() -> None:
    found = pd.DataFrame([columns(window(section(seed=2 * i)), window(section(seed=2 * i + 1))) for i in range(8)])
    means = found.mean()
    for n in GRIDS:
        assert abs(means[f"r_block_{n}"]) < 15
        assert means[f"r_block_{n}_best"] > max(means[f"r_block_{n}"] + 5, 0)


def test_a_flip_lowers_all() -> None:
    image = window(section())
    found = columns(image, image[:, ::-1])
    assert all(found[name] < 80 for name in NAMES)


def test_blank_and_tiny_images_have_none() -> None:
    """Blocks of unequal size (50 is no multiple of 4) of one density are equal, without rounding."""
    image = section(50, 50)
    blank = np.full_like(image, 200)
    tiny = image[:12, :12]
    samples = [Sample("a", image, image, image), Sample("b", blank, image, image), Sample("c", image, blank, image)]
    metric = Places()
    table = pd.DataFrame(metric.update(samples).columns)
    assert table.iloc[1:].isna().all(axis=None)
    results = metric.finish(table, {})
    assert results["r_block_4"] == pytest.approx(100)  # of the one image that has it
    assert results["r_block_undefined"] == 2
    small = pd.DataFrame(metric.update([Sample("d", tiny, tiny, tiny)]).columns)
    assert small.notna().iloc[0].to_dict() == {name: "16" not in name for name in NAMES}
    assert isinstance(metric.finish(small, {})["r_block_16"], Absent)
    assert metric.finish(small, {})["r_block_undefined"] == 1


NAMES = [f"r_block_{n}{suffix}" for suffix in ("", "_best") for n in GRIDS]
