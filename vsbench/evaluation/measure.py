"""The integrated DAB density of single images, with no data set around them."""

from dataclasses import dataclass
from pathlib import Path

from vsbench.data.decode import read_rgb
from vsbench.stain.dab import measure_density


@dataclass(frozen=True)
class Measurement:
    """What one IHC image holds of DAB, as Fiji reads it ("H DAB", then Measure, in pixels)."""

    file: str
    width: int
    height: int
    intden: float  # integrated density: the sum of optical densities, OD·px
    mean_od: float
    positive_area: float  # fraction of pixels with an optical density of 0.4065 or more (DAB level ≤ 100), in [0, 1]


def measure_image(path: Path) -> Measurement:
    """Measure one image file. Raises DataError where it is unreadable or not 8-bit RGB(A)."""
    rgb = read_rgb(path)
    density = measure_density(rgb)
    height, width, _ = rgb.shape
    return Measurement(str(path), width, height, density.intden, density.mean, density.positive_area)
