"""The DAB of a whole slide as Fiji measures it, read as a stream: of its tissue, tile by tile and in all."""

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vsbench.data.threads import in_threads
from vsbench.errors import DataError
from vsbench.files import atomic
from vsbench.slides.reading import Slide, open_slide
from vsbench.slides.tissue import Tissue, find_tissue
from vsbench.stain.dab import density_of, density_table, read_levels
from vsbench.stain.density import DAB, transmitted_intensity

TILE = 1024  # finest pixels a side
MAP = 1024  # pixels of the longer side of a map of DAB, at most
SCANNERS = (".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".svslide", ".vms", ".vmu", ".dcm")  # no image in a folder


@dataclass(frozen=True)
class TileDensity:
    """Of the tissue of one tile, at (``x``, ``y``) of the slide's finest pixels; see ``SlideDensity``."""

    x: int
    y: int
    tissue_mm2: float
    intden: float
    mean_od: float
    positive_area: float


@dataclass(frozen=True)
class SlideDensity:
    """DAB of a slide's tissue by Fiji's "H DAB", at full resolution; glass is left out.

    ``intden``: OD·px; ``intden_mm2``: that for each mm² of tissue; ``positive_area``: share of the tissue with an
    optical density of 0.4065 or more.
    """

    file: str
    width: int
    height: int
    pixel_size: float
    tissue_mm2: float
    intden: float
    intden_mm2: float
    mean_od: float
    positive_area: float
    tiles: tuple[TileDensity, ...]


def is_slide(file: Path) -> bool:
    """Whether a file is a whole slide by its name's ending; a plain ``.tif`` is an image."""
    return file.name.lower().endswith((".ome.tif", ".ome.tiff", *SCANNERS))


def measure_slide(file: Path, workers: int = 2, picture: Path | None = None) -> SlideDensity:
    """Measure a slide; memory is that of some tiles. ``picture``: where a small map of the DAB is written, as PNG.

    Raises DataError where it can't be read, tells no µm a pixel, or shows no tissue.
    """
    with open_slide(file) as slide:
        pixel = slide.pixel_size
        if pixel is None:
            raise DataError(f"{file}: does not tell how many µm a pixel has, so it has no mm²; save it with its size")
        tissue = find_tissue(slide)
        if not tissue.mask.any():
            raise DataError(f"{file}: shows no tissue; there is nothing to measure")
        finest = slide.levels[0]
        cell = max(1, math.ceil(max(finest.height, finest.width) / MAP))
        drawn = np.zeros((-(-finest.height // cell), -(-finest.width // cell)))
        pieces = list(tiles_of(finest.height, finest.width, tissue, cell))
        counts, tiles = np.zeros(256, np.int64), []

        def work(place: tuple[int, int, int, int]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
            return _measured(slide, tissue, place, cell)

        with closing(in_threads(work, pieces, workers, 2 * workers)) as found:
            for (y, x, _, _), (own, mean) in zip(pieces, found, strict=True):
                drawn[y // cell : y // cell + len(mean), x // cell : x // cell + mean.shape[1]] = mean
                if own.any():
                    counts += own
                    density = density_of(own)
                    area = density.pixels * pixel**2 * 1e-6
                    tiles.append(TileDensity(x, y, area, density.intden, density.mean, density.positive_area))
        if picture is not None:
            _draw(drawn, picture)
        whole = density_of(counts)
        area = whole.pixels * pixel**2 * 1e-6
        return SlideDensity(
            str(file), finest.width, finest.height, pixel, area, whole.intden, whole.intden / area, whole.mean,
            whole.positive_area, tuple(tiles),
        )  # fmt: skip


def tiles_of(height: int, width: int, tissue: Tissue, cell: int = 1) -> Iterator[tuple[int, int, int, int]]:
    """(y, x, height, width) of tiles of a slide that touch tissue; their sides are whole cells of so many pixels."""
    step = max(1, TILE // cell) * cell
    for y in range(0, height, step):
        for x in range(0, width, step):
            place = y, x, min(step, height - y), min(step, width - x)
            if tissue.touches(1.0, *place):
                yield place


def _measured(
    slide: Slide, tissue: Tissue, place: tuple[int, int, int, int], cell: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(256,) pixels of the tissue at each level of DAB, and mean density of the tissue in cells of the map."""
    y, x, height, width = place
    levels = read_levels(slide.region(0, y, x, height, width)).levels
    inside = tissue.inside(y, x, height, width)
    density = np.where(inside, density_table()[levels], 0)
    sums = np.add.reduceat(density, np.arange(0, height, cell), axis=0, dtype=np.float64)
    sums = np.add.reduceat(sums, np.arange(0, width, cell), axis=1)
    return np.bincount(levels[inside], minlength=256), sums / cell**2


def _draw(density: NDArray[np.float64], file: Path) -> None:
    """In the colour of DAB, on white."""
    levels = transmitted_intensity(density[..., None] * DAB / np.linalg.norm(DAB))
    with atomic(file) as temporary:
        Image.fromarray(np.rint(levels).astype(np.uint8)).save(temporary, format="PNG")
