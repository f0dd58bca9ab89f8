"""What is positive on an IHC slide, as outlines for QuPath: areas as annotations, nuclei as detections.

Nuclei are found in blocks that overlap (``stain.nuclei_detected``), each kept by the block that its centre lies in, and
positive from the mean DAB that the clinical metrics call weak. Areas are those where enough of the pixels are
positive by Fiji's density, in cells of some µm; they are put together over the whole slide.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vsbench.slides.geojson import Add, geojson
from vsbench.slides.reading import RGB, Slide, frame, open_slide, scaled
from vsbench.stain.dab import POSITIVE_LEVEL, density_table, read_levels
from vsbench.stain.nuclei import BANDS
from vsbench.stain.nuclei_detected import detected_nuclei

if TYPE_CHECKING:
    from vsbench.stain.nuclei_outlined import Nuclei

PIXEL = 0.5  # µm: what the detection of nuclei is made for
BLOCK = 1024  # pixels a side
AROUND = 64  # pixels read around a block: more than half of the square that a nucleus is compared with
CELL = 8  # pixels a side of a cell of the areas
SMALLEST = 2  # cells of an area
STAINED = 0.4  # of a cell that must be positive
GLASS = 235  # grey levels: a block without a darker pixel holds nothing
SIMPLER = 0.4  # pixels that an outline may differ from the pixels' own


def write_positive(slide: Path, file: Path) -> tuple[int, int, int]:
    """Write the positive areas and the nuclei of an IHC slide; their numbers: areas, nuclei, positive nuclei.

    Raises DataError where the slide can't be read.
    """
    with open_slide(slide) as opened, geojson(file) as add:
        scale = 1.0 if opened.pixel_size is None else max(1.0, PIXEL / opened.pixel_size)
        height, width = frame(opened, scale)
        stained = np.zeros((-(-height // CELL), -(-width // CELL)), np.bool_)
        nuclei = positive = 0
        for top, left, block in _blocks(opened, scale, height, width):
            levels = read_levels(block).levels
            inner = _core(levels, top, left, height, width) <= POSITIVE_LEVEL
            share = _by_cell(inner)
            place = stained[top // CELL : top // CELL + share.shape[0], left // CELL : left // CELL + share.shape[1]]
            place[:] = share >= STAINED
            dab = density_table()[levels]
            for outline, density in _inside(detected_nuclei(block), dab, top, left, height, width):
                is_positive = density >= BANDS[0]
                name = "Positive" if is_positive else "Negative"
                add([scale * outline], "detection", name, {"Mean DAB density": density})
                nuclei, positive = nuclei + 1, positive + is_positive
        areas = _add_areas(add, stained, scale, opened.pixel_size)
    return areas, nuclei, positive


def _blocks(slide: Slide, scale: float, height: int, width: int) -> Iterator[tuple[int, int, RGB]]:
    """(top, left, image with ``AROUND`` on each side) of each block that holds anything."""
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            size = min(BLOCK, height - top) + 2 * AROUND, min(BLOCK, width - left) + 2 * AROUND
            block = scaled(slide, scale, top - AROUND, left - AROUND, *size)
            if block.min() < GLASS:
                yield top, left, block


def _core(values: NDArray[np.uint8], top: int, left: int, height: int, width: int) -> NDArray[np.uint8]:
    """A block without what is around it."""
    return values[AROUND : AROUND + min(BLOCK, height - top), AROUND : AROUND + min(BLOCK, width - left)]


def _by_cell(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of a mask in each cell, of those at the lower and right border as far as they go."""
    sums = np.add.reduceat(mask.astype(np.int64), np.arange(0, mask.shape[0], CELL), axis=0)
    sums = np.add.reduceat(sums, np.arange(0, mask.shape[1], CELL), axis=1)
    return np.asarray(sums / CELL**2)


def _inside(
    nuclei: "Nuclei", dab: NDArray[np.float32], top: int, left: int, height: int, width: int
) -> Iterator[tuple[NDArray[np.float64], float]]:
    """(outline in the frame's pixels, mean DAB) of each nucleus whose centre lies in the block itself."""
    from scipy import ndimage

    if not nuclei.count:
        return
    means = nuclei.means(dab)
    for number, (window, (y, x)) in enumerate(zip(ndimage.find_objects(nuclei.labels), nuclei.centres, strict=True)):
        down, across = y - AROUND, x - AROUND
        if 0 <= down < min(BLOCK, height - top) and 0 <= across < min(BLOCK, width - left):
            first = window[0].start, window[1].start
            rings = _rings(nuclei.labels[window] == number + 1)
            shift = np.array([top - AROUND + first[0], left - AROUND + first[1]])
            yield rings[0] + shift, float(means[number])


def _add_areas(add: Add, stained: NDArray[np.bool_], scale: float, pixel_size: float | None) -> int:
    """Add the areas of cells that hang together; how many there are."""
    from scipy import ndimage

    labels, _ = ndimage.label(stained)
    count = 0
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        mask = labels[window] == number
        if (cells := int(mask.sum())) < SMALLEST:
            continue
        shift = np.array([window[0].start, window[1].start])
        size = scale * CELL
        rings = [size * (ring + shift + 0.5) - 0.5 for ring in _rings(mask)]
        unit = ("Area px^2", 1.0) if pixel_size is None else ("Area µm^2", pixel_size**2)
        add(rings, "annotation", "Positive", {unit[0]: cells * size**2 * unit[1]})
        count += 1
    return count


def _rings(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """The outlines (N, 2) y, x of one piece: the outer one first, then those of its holes."""
    from skimage.measure import approximate_polygon, find_contours

    rings = [approximate_polygon(ring, SIMPLER)[:-1] - 1 for ring in find_contours(np.pad(mask, 1).astype(float), 0.5)]
    rings.sort(key=_area, reverse=True)
    return [rings[0], *(ring for ring in rings[1:] if len(ring) > 2)]


def _area(ring: NDArray[np.float64]) -> float:
    y, x = ring.T
    return abs(float(np.dot(y, np.roll(x, 1)) - np.dot(x, np.roll(y, 1)))) / 2
