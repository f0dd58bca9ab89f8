"""Small slides, in files that tifffile writes and in memory."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vsbench.slides.pyramid import TILE, Format, Pyramid

for name in ("openslide", "tifffile", "imagecodecs"):
    pytest.importorskip(name, reason='whole slides need the extra: pip install "vsbench[slides]"')

RGB = NDArray[np.uint8]


def _write(file: Path, image: RGB, pixel_size: float | None = 0.5, quality: int | None = None) -> Path:
    """A pyramid of an image."""
    pyramid = Pyramid(file, Format(*image.shape[:2], pixel_size, quality), {})
    for number, top in enumerate(range(0, len(image), TILE)):
        pyramid.append(number, image[top : top + TILE])
    pyramid.finish()
    return file


def _tissue(height: int, width: int, seed: int = 0) -> RGB:
    """Smooth pink and violet in a disc on glass."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    waves = sum(np.cos(a * y + b * x + c) for a, b, c in rng.uniform((-0.2, -0.2, 0), (0.2, 0.2, 6), (4, 3))) / 4
    inside = np.hypot(y - height / 2, x - width / 2) < 0.4 * min(height, width)
    image = np.full((height, width, 3), 244.0)
    image[inside] = np.array([190, 130, 180]) + 40 * waves[inside][:, None]
    return np.rint(image).astype(np.uint8)


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    """``write(file, image, pixel_size, quality)``: a pyramid of an image."""
    return _write


@pytest.fixture(scope="session")
def tissue() -> Callable[..., RGB]:
    """``tissue(height, width)``: smooth pink and violet in a disc on glass."""
    return _tissue


@pytest.fixture(scope="session")
def disc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain pyramid, lossless, 0.5 µm, three levels, two strips and a bit."""
    return _write(tmp_path_factory.mktemp("slides") / "disc.tif", _tissue(1100, 700))
