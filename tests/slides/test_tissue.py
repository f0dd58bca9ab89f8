"""Tissue is found, pale or dark; glass, specks and noise are none; and no cell at its border is cut off."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vsbench.errors import DataError
from vsbench.slides.reading import open_slide
from vsbench.slides.tissue import find_tissue, tissue_mask

Make = Callable[..., Any]


def glass(height: int = 200, width: int = 180, level: float = 243) -> Any:
    return np.random.default_rng(0).normal(level, 1.5, (height, width, 3)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("level", [255, 243, 215])
@pytest.mark.parametrize("share", [0.5, 0.85])
def test_tissue_is_what_absorbs_whatever_the_light(level: float, share: float) -> None:
    image = glass(level=level)
    image[50:150, 40:120] = image[50:150, 40:120] * share
    mask = tissue_mask(image, 8.0)
    wanted = np.zeros(mask.shape, bool)
    wanted[50:150, 40:120] = True
    assert (mask != wanted).mean() < 0.02


@pytest.mark.parametrize("level", [255, 243, 190])
def test_glass_alone_holds_none(level: float) -> None:
    assert not tissue_mask(glass(level=level), 8.0).any()


@pytest.mark.parametrize("colour", [(0, 0, 0), (5, 20, 30)])
def test_a_dark_ground_is_refused(tmp_path: Path, write: Make, colour: tuple[int, int, int]) -> None:
    """Fluorescence in RGB: what glows would be glass, and all else tissue."""
    image = np.tile(np.uint8(colour), (300, 300, 1))
    image[100:200, 100:200] = 220
    with open_slide(write(tmp_path / "s.tif", image)) as slide, pytest.raises(DataError, match=r"s\.tif: .* fluoresc"):
        find_tissue(slide)


def test_specks_are_none_and_lumens_are_tissue() -> None:
    image = glass()
    image[20:26, 20:26] //= 2  # 48 µm
    image[60:160, 60:160] //= 2
    image[100:108, 100:108] = 243  # 64 µm
    image[130:150, 130:150] = 243  # 160 µm
    mask = tissue_mask(image, 8.0)
    assert not mask[:50].any()
    assert mask[100:108, 100:108].all()
    assert not mask[135:145, 135:145].any()


def test_coverage_is_whole_in_the_tissue_and_none_far_from_it(disc: Path) -> None:
    with open_slide(disc) as slide:
        tissue = find_tissue(slide)
    whole = tissue.coverage(1.0, 0, 0, 1100, 700)
    y, x = np.mgrid[:1100, :700]
    away = np.hypot(y - 550, x - 350) - 280
    assert whole[away < -24].min() == 1
    assert whole[away < 0].min() > 0.97
    assert whole[away > 120].max() == 0
    assert np.abs(np.diff(whole, axis=0)).max() < 0.1  # it fades
    np.testing.assert_array_equal(tissue.coverage(1.0, 300, 200, 50, 60), whole[300:350, 200:260])
    for window in ((0, 0, 100, 100), (300, 100, 200, 200), (1000, 600, 100, 100)):
        top, left, height, width = window
        assert tissue.touches(1.0, *window) >= (whole[top : top + height, left : left + width] > 0).any()
    np.testing.assert_allclose(tissue.coverage(2.0, 0, 0, 550, 350), whole[::2, ::2], atol=0.1)
