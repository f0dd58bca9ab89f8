"""The phantom's microscope: sections of the tissue, their stains, and what a slide scanner makes of them.

A nucleus absorbs by the path of light through it inside the section, which is what makes its edge soft and lets
nuclei lie over each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from vsbench.stain.density import (
    DAB,
    EOSIN,
    HAEMATOXYLIN,
    SCANNER_EOSIN,
    SCANNER_HAEMATOXYLIN,
    stain_matrix,
    transmitted_intensity,
)

from ._phantom_tissue import GLAND, TUMOUR, WALL, Array, Places, Tissue

NUCLEOLUS = 1.1  # standard deviation of its blur, in pixels
DEEPEST_WAVE = 0.35  # of a nucleus's outline
WINDOWS = (5, 7, 9)  # halves of the windows that nuclei are drawn in; the largest need larger ones
NO_JPEG = 100
NUCLEAR_SHAPE = ("y", "x", "z", "tilt", "long", "short", "wave_2", "wave_3", "nucleolus_place")
MEMBRANE_WIDTH = 1.3
THICK = 0.3  # of the light's path: thinner parts of a nucleus are its edge
AT_MEMBRANE = 0.5  # of a membrane, from where a pixel is on it
MEMBRANE_REACH = 16.0  # space farther from any epithelial cell's centre belongs to none


@dataclass(frozen=True)
class Nuclei:
    """The pixels of all nuclei in a section, as one flat list; a pixel appears once per nucleus over it."""

    pixel: NDArray[np.intp]  # index into the flattened section
    cell: NDArray[np.intp]  # row of the cell table
    path: Array  # length of the light's path through the nucleus over the section's thickness, 0…1
    rim: Array  # squared distance from the nucleus's axis: 0 in the middle, 1 at its widest outline
    nucleolus: Array  # 1 in the middle of the nucleolus, 0 far from it


@dataclass(frozen=True)
class Section:
    """What a section holds, (H, W) maps of 0…1 but for the textures, which have zero mean and unit variance."""

    nuclei: Nuclei
    epithelium: Array
    tissue: Array  # 0 in lumens, clefts and gaps
    membrane: Array
    neighbours: NDArray[np.intp]  # (H, W, 2): rows of the cells on the two sides of the nearest membrane
    fibres: Array
    dense: Array  # 0 in the fissures between bundles of fibres
    chromatin: Array
    granules: Array


@dataclass(frozen=True)
class Staining:
    """How a slide was stained: strengths (1 is usual) and the light that passes bare glass, RGB."""

    haematoxylin: float
    eosin: float
    eosin_purity: float  # 0: as scanners see it, 1: as pure as Ruifrok's
    dab: float
    counterstain: float
    glass: Array


def cut(tissue: Tissue, z: float, thickness: float, y: Places, x: Places, turned: Array | None = None) -> Section:
    """The section from depth z to z + thickness, seen at canvas coordinates ``y``, ``x``, (H, W) each.

    ``turned``: (2, 2), pixels of the section (down, across) for a pixel of the canvas, where it is not laid on it as it
    is, but turned, mirrored or scaled.
    """
    middle = z + thickness / 2
    tumour, duct = tissue.layout.on_plane(middle, y, x)
    inside = np.maximum(tumour, 0.08 * duct)
    gaps = tissue.gaps.on_plane(middle, y, x)
    lumen = step(duct - WALL + 0.8 * gaps, 0.5)
    cleft = np.exp(-(((inside + 0.06) / 0.09) ** 2)) * step(gaps - 0.2, 0.3)
    oedema = step(-inside - 0.2, 0.1) * step(gaps - 1.7, 0.15)
    across, along = (_at_pixel(flow, y, x) for flow in tissue.flow)
    fibres = tissue.fibres.on_plane(z, across, along)
    membrane, neighbours = _membranes(tissue, middle, y, x, inside > -0.1)
    return Section(
        nuclei=_nuclei(tissue, z, thickness, y, x, turned),
        epithelium=step(inside, 0.03),
        tissue=(1 - lumen) * (1 - cleft) * (1 - oedema),
        membrane=membrane,
        neighbours=neighbours,
        fibres=fibres,
        dense=1 - 0.8 * step(0.5 * gaps - fibres - 1.25, 0.25),
        chromatin=tissue.chromatin.on_plane(z, y, x),
        granules=tissue.granules.on_plane(z, y, x),
    )


def haematoxylin_eosin(tissue: Tissue, section: Section, staining: Staining) -> Array:
    """(H, W, 3) optical density of the section in H&E."""
    nuclei = section.nuclei
    chromatin = _of_cells(tissue, section, "chromatin")
    # pale nuclei are vesicular: their chromatin lies at the rim
    vesicular = np.clip(1.1 - chromatin, 0, 0.6)
    rim = 1 + vesicular * (1.6 * nuclei.rim - 0.7)
    nucleolus = _of_cells(tissue, section, "nucleolus") * nuclei.nucleolus
    amount = chromatin * rim * _clumped(tissue, section) + nucleolus
    nuclear = _spread(section, amount * nuclei.path)
    covered = np.clip(1.4 * _spread(section, nuclei.path), 0, 1)
    stroma = (1 - section.epithelium) * (0.25 + 0.08 * section.fibres + 0.03 * section.granules) * section.dense
    cytoplasm = section.epithelium * (0.24 + 0.025 * section.granules - 0.05 * section.membrane)
    eosin = np.clip(stroma + cytoplasm, 0.02, None) * section.tissue * (1 - 0.55 * covered)
    basophil = section.epithelium * section.tissue * (0.15 + 0.015 * section.granules - 0.05 * section.membrane)
    haematoxylin = np.clip(nuclear, 0, None) + basophil + 0.02 * section.tissue
    amounts = np.stack([staining.haematoxylin * haematoxylin, staining.eosin * eosin], axis=-1)
    eosin_colour = (1 - staining.eosin_purity) * SCANNER_EOSIN + staining.eosin_purity * EOSIN
    return amounts @ stain_matrix(SCANNER_HAEMATOXYLIN, eosin_colour)


def immuno(tissue: Tissue, section: Section, staining: Staining, dab: Array) -> Array:
    """(H, W, 3) optical density of the section in IHC with the DAB amounts (H, W), as of ``nuclear_dab``."""
    chromatin = _of_cells(tissue, section, "chromatin")
    nuclei = section.nuclei
    amount = (0.14 + 0.30 * chromatin) * (0.85 + 0.3 * nuclei.rim) * _clumped(tissue, section)
    counter = _spread(section, amount * nuclei.path) * np.exp(-1.2 * dab)  # DAB masks it
    stroma = (1 - section.epithelium) * (0.035 + 0.012 * section.fibres) * section.dense
    faint = np.clip(stroma + section.epithelium * (0.055 + 0.008 * section.granules), 0, None) * section.tissue
    amounts = np.stack([staining.counterstain * (counter + 0.8 * faint), dab + 0.6 * faint], axis=-1)
    return amounts @ stain_matrix(HAEMATOXYLIN, DAB)


def nuclear_dab(section: Section, amount: Array) -> Array:
    """(H, W) DAB density of a nuclear marker; ``amount`` per cell is that of a nucleus as thick as the section."""
    texture = np.clip(1 + 0.18 * section.chromatin, 0, None)
    return _spread(section, amount[section.nuclei.cell] * section.nuclei.path) * texture


def membrane_dab(section: Section, amount: Array, full: float) -> Array:
    """(H, W) DAB density of a membrane marker: what both neighbours bring to their membrane, and a trace inside.

    Faint membranes are broken, as in scores 1+ and 2+; those of ``full`` amount are complete.
    """
    sides = amount[section.neighbours]  # (H, W, 2)
    mean = sides.mean(axis=-1)
    complete = step(1.2 * section.granules + 6 * mean / full - 1.0, 0.35)
    uneven = np.clip(1 + 0.25 * section.granules, 0, None)
    inside = np.clip(1 - 1.4 * _spread(section, section.nuclei.path), 0, 1) * 0.10 * sides[..., 0]
    return (section.membrane * mean * complete * uneven + inside) * section.epithelium * section.tissue


def nuclear_pixels(section: Section) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(pixel, cell): the pixels (P,) of the flattened section in which each cell's nucleus lies, edges left out."""
    nuclei = section.nuclei
    thick = nuclei.path > THICK
    return nuclei.pixel[thick], nuclei.cell[thick]


def membrane_pixels(section: Section) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(pixel, cell): the pixels (P,) of the flattened section on each cell's membrane; each has two cells."""
    there = section.membrane * section.epithelium * section.tissue > AT_MEMBRANE
    pixel = np.flatnonzero(there)
    return np.concatenate([pixel, pixel]), section.neighbours[there].T.ravel()


def scan(
    density: Array, glass: Array, blur: float, noise: float, jpeg: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Optical density to an 8-bit RGB image: Beer–Lambert, the optics' blur, the sensor's noise (grey levels).

    ``jpeg``: the quality that the scanner compresses with, without subsampling of colour; 100: no compression.
    """
    image = transmitted_intensity(density) * (glass / 255)
    if blur > 0:
        image = gaussian_filter(image, (blur, blur, 0), truncate=3)
    if noise > 0:
        image = image + noise * rng.standard_normal(image.shape, dtype=np.float32).astype(np.float64)
    levels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    if jpeg == NO_JPEG:
        return levels
    file = BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=jpeg, subsampling=0)
    return np.asarray(Image.open(file))


def _nuclei(tissue: Tissue, z: float, thickness: float, y: Places, x: Places, turned: Array | None) -> Nuclei:
    """Rasterise the nuclei that the section meets, by size, to spare empty windows."""
    long = tissue.cells["long"].to_numpy()
    depth = np.sqrt(long * tissue.cells["short"].to_numpy())  # semi-axis along the light
    centre_z = tissue.cells["z"].to_numpy()
    met = np.flatnonzero((centre_z + depth > z) & (centre_z - depth < z + thickness))
    extent = 1.15 * long[met] + 1
    if turned is not None:
        extent = extent * np.linalg.norm(turned, 2)
    size = np.digitize(extent, WINDOWS)
    reaches = (*WINDOWS, int(np.ceil(extent.max(initial=WINDOWS[-1]))))
    parts = [_rasterise(tissue, met[size == i], reach, z, thickness, y, x, turned) for i, reach in enumerate(reaches)]
    return Nuclei(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _rasterise(
    tissue: Tissue,
    met: NDArray[np.intp],
    reach: int,
    z: float,
    thickness: float,
    y: Places,
    x: Places,
    turned: Array | None,
) -> tuple[NDArray[np.intp], NDArray[np.intp], Array, Array, Array]:
    """The columns of ``Nuclei`` for the cells ``met``, drawn in windows of 2 · reach + 1 pixels."""
    rows, columns = y.shape
    table = {name: tissue.cells[name].to_numpy()[met] for name in NUCLEAR_SHAPE}
    tilt, long, short, centre_y, centre_x = (table[name][:, None, None] for name in ("tilt", "long", "short", "y", "x"))
    near_y, near_x = _nearest(centre_y, centre_x, y, x, turned)
    offset = np.arange(-reach, reach + 1)
    window_y, window_x = near_y + offset[:, None], near_x + offset
    inside = (window_y >= 0) & (window_y < rows) & (window_x >= 0) & (window_x < columns)
    pixel = np.where(inside, window_y * columns + window_x, 0)
    dy, dx = y.ravel()[pixel] - centre_y, x.ravel()[pixel] - centre_x
    along, across = (np.cos(tilt) * dx + np.sin(tilt) * dy) / long, (np.cos(tilt) * dy - np.sin(tilt) * dx) / short
    rim = along**2 + across**2
    near_enough = inside & (rim < (1 + DEEPEST_WAVE) ** 2)
    # from here on a flat list: most of a window lies outside its nucleus
    cell = np.broadcast_to(np.arange(len(met))[:, None, None], rim.shape)[near_enough]
    pixel, along, across, rim = (values[near_enough] for values in (pixel, along, across, rim))
    rim = rim / (1 + _waves(table, cell, along, across, rim)) ** 2
    long, short, level = (table[name][cell] for name in ("long", "short", "z"))
    half = np.sqrt(long * short * np.clip(1 - rim, 0, None))  # half of the chord along the light
    path = np.clip(np.minimum(level + half, z + thickness) - np.maximum(level - half, z), 0, None) / thickness
    place = table["nucleolus_place"][cell]
    distance = ((along - place.real) * long) ** 2 + ((across - place.imag) * short) ** 2
    nucleolus = np.exp(-distance / (2 * NUCLEOLUS**2))
    hit = path > 0
    return pixel[hit], met[cell[hit]], path[hit], rim[hit], nucleolus[hit]


def _nearest(
    centre_y: Array, centre_x: Array, y: Places, x: Places, turned: Array | None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where on the grid a displaced centre lies: as far from its own place as the grid is displaced there."""
    rows, columns = y.shape
    first_y, first_x = centre_y - y[0, 0], centre_x - x[0, 0]
    if turned is not None:
        first_y, first_x = (m[0] * first_y + m[1] * first_x for m in turned)
    near = np.clip(np.rint(first_y), 0, rows - 1).astype(int), np.clip(np.rint(first_x), 0, columns - 1).astype(int)
    if turned is None:
        return np.rint(near[0] + centre_y - y[near]).astype(int), np.rint(near[1] + centre_x - x[near]).astype(int)
    for _ in range(3):  # bent as well, it is found step by step; what lies off the grid stays there
        off_y, off_x = centre_y - y[near], centre_x - x[near]
        found = [np.rint(place + m[0] * off_y + m[1] * off_x) for place, m in zip(near, turned, strict=True)]
        near = np.clip(found[0], 0, rows - 1).astype(int), np.clip(found[1], 0, columns - 1).astype(int)
    return found[0].astype(int), found[1].astype(int)


def _waves(table: Mapping[str, Array], cell: NDArray[np.intp], along: Array, across: Array, rim: Array) -> Array:
    """How much farther out than its ellipse a nucleus's outline lies in each pixel's direction, as a share."""
    radius = np.sqrt(np.maximum(rim, 1e-12))
    cos, sin = along / radius, across / radius
    two, three = table["wave_2"][cell], table["wave_3"][cell]
    waves = two.real * (cos**2 - sin**2) + two.imag * (2 * cos * sin)
    waves += three.real * cos * (4 * cos**2 - 3) + three.imag * sin * (3 - 4 * sin**2)
    return np.clip(waves, -DEEPEST_WAVE, DEEPEST_WAVE)


def _membranes(
    tissue: Tissue, z: float, y: Places, x: Places, where: NDArray[np.bool_]
) -> tuple[Array, NDArray[np.intp]]:
    """Where space is equally far from two epithelial cells, and which two these are; looked for only ``where`` true."""
    membrane, neighbours = np.zeros(y.shape), np.zeros((*y.shape, 2), dtype=np.intp)
    kind = tissue.cells["type"].to_numpy()
    near = np.abs(tissue.cells["z"].to_numpy() - z) < MEMBRANE_REACH
    rows = np.flatnonzero(((kind == TUMOUR) | (kind == GLAND)) & near)
    if len(rows) < 2:
        return membrane, neighbours
    tree = cKDTree(tissue.cells[["z", "y", "x"]].to_numpy()[rows])
    points = np.stack([np.full(where.sum(), z), y[where], x[where]], axis=-1)
    distance, found = (np.asarray(column) for column in tree.query(points, k=2))
    gap = distance[:, 1] - distance[:, 0]
    membrane[where] = np.exp(-((gap / (2 * MEMBRANE_WIDTH)) ** 2)) * step(MEMBRANE_REACH - 2 - distance[:, 0], 1.0)
    neighbours[where] = rows[found]
    return membrane, neighbours


def _of_cells(tissue: Tissue, section: Section, column: str) -> Array:
    """A column of the cell table for each entry of the section's nuclei."""
    return tissue.cells[column].to_numpy()[section.nuclei.cell]


def _clumped(tissue: Tissue, section: Section) -> Array:
    """Factor on the chromatin for each entry of the section's nuclei: its clumps."""
    texture = _of_cells(tissue, section, "texture") * section.chromatin.ravel()[section.nuclei.pixel]
    return np.clip(1 + texture, 0.1, None)


def _spread(section: Section, amount: Array) -> Array:
    """(H, W) sum of the amounts of all nuclei over each pixel."""
    shape = section.tissue.shape
    total = np.bincount(section.nuclei.pixel, weights=amount, minlength=shape[0] * shape[1])
    return total.astype(np.float64).reshape(shape)


def _at_pixel(values: Array, y: Places, x: Places) -> Array:
    row = np.clip(np.rint(y), 0, values.shape[0] - 1).astype(int)
    column = np.clip(np.rint(x), 0, values.shape[1] - 1).astype(int)
    return values[row, column]


def step(values: Array, width: float) -> Array:
    """0 below zero, 1 above, within about ``width``."""
    return 1 / (1 + np.exp(np.clip(-values / width, -50, 50)))
