"""The phantom's tissue: a volume of random fields and cells, before any knife or stain touches it.

Lengths are pixels, in depth as well. Arrays lie on a canvas: the tile with ``MARGIN`` pixels around it, so that cells
cut by the border and displaced sections are complete.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.fft import ifft2, next_fast_len
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree
from scipy.special import ndtr, ndtri

from vsbench.files import digest

Array = NDArray[np.float64]
Places = NDArray[np.float64] | NDArray[np.int64]  # coordinates of pixels

MARGIN = 24
DEPTH = 24.0  # the block may be cut from 0 to here; fixed, so that where it is cut does not change the tissue
REACH = 9.0  # nuclei with their centre farther from a section do not meet it
TYPES = ("tumour", "gland", "fibroblast", "lymphocyte")
TUMOUR, GLAND, FIBROBLAST, LYMPHOCYTE = range(4)

# one number per type, in the order of TYPES
LONG_AXIS = np.array([6.6, 5.4, 8.0, 3.7])  # semi-axes of the mean nucleus
SHORT_AXIS = np.array([5.6, 3.9, 2.3, 3.4])
SIZE_SPREAD = np.array([0.14, 0.08, 0.10, 0.05])  # standard deviation of the logarithm of the size
EXCLUSION = np.array([6.1, 3.7, 5.0, 3.7])  # no other cell's centre within the sum of the two
CHROMATIN = np.array([0.57, 0.74, 0.88, 1.06])  # haematoxylin density of a nucleus as thick as the section
PALE_SPREAD = np.array([0.22, 0.12, 0.12, 0.08])  # standard deviation of its logarithm

DEFORMATION = np.array([0.10, 0.05, 0.04, 0.02])  # relative depth of the waves in a nucleus's outline
TEXTURE = np.array([0.34, 0.24, 0.14, 0.30])  # relative depth of the chromatin's clumps
NUCLEOLI = np.array([0.55, 0.15, 0.0, 0.0])  # haematoxylin density of a usual nucleolus

SHARED_GRADE = 0.35  # share of the variance of a nucleus's size and paleness that all cells of a tile have in common
NEGLIGIBLE = 1e-7  # share of a spectrum's peak
OWN_AND_TISSUE_GRADE = float(np.sqrt(2 * SHARED_GRADE / (1 + SHARED_GRADE)))  # correlation of a cell's with its tile's
WALL = 12.0  # thickness of a duct's epithelium
BASAL = (2.5, 8.0)  # where its nuclei lie, from the outer border inwards
# Fields: how far they keep their value, (y, x), and how deep
ARCHITECTURE = (17.0, 17.0), 60.0
WOBBLE = (7.0, 7.0), 40.0
SWARM = (16.0, 16.0), 60.0
GAPS = (5.0, 5.0), 30.0
FIBRES = (1.5, 9.0), 8.0
CHROMATIN_CLUMPS = (1.1, 1.1), 2.0
GRANULES = (1.6, 1.6), 3.0
BENDING = (26.0, 26.0)  # of fibres, which bend alike at all depths
SLEEVE = 5.0  # stroma around a duct that no tumour grows into


def generator(*key: object) -> np.random.Generator:
    """A random generator of its own for each key, the same in every process and on every run."""
    return np.random.default_rng(int(digest(map(str, key)), 16))


@dataclass(frozen=True)
class Field:
    """A smooth random field in three dimensions, of zero mean and unit variance: two planes, turned into each other.

    Planes a distance d apart correlate by cos(d / coherence), and no more from the depth of a quarter turn on.
    """

    here: Array  # (H, W)
    beyond: Array
    coherence: float

    def plane(self, z: float) -> Array:
        """(H, W) values at one depth."""
        angle = self._angle(z)
        return np.cos(angle) * self.here + np.sin(angle) * self.beyond

    def on_plane(self, z: float, y: Places, x: Places) -> Array:
        """Values at points of one depth in canvas coordinates, linear between pixels, periodic beyond the canvas.

        Whole coordinates are looked up, and must lie on the canvas.
        """
        if y.dtype.kind == "i":
            return self.plane(z)[y, x]
        return map_coordinates(self.plane(z), [y, x], order=1, mode="grid-wrap")

    def at(self, point: Array) -> Array:
        """Values at points (N, 3) of coordinates z, y, x on the canvas, as of the nearest pixel."""
        angle = self._angle(point[:, 0])
        y, x = np.clip(np.rint(point[:, 1:]), 0, len(self.here) - 1).astype(np.intp).T
        return np.cos(angle) * self.here[y, x] + np.sin(angle) * self.beyond[y, x]

    def _angle(self, z: Array | float) -> Array:
        return np.clip(np.asarray(z) / self.coherence, -np.pi / 2, np.pi / 2)


def random_field(rng: np.random.Generator, side: int, scale: tuple[float, float], coherence: float) -> Field:
    """A field that keeps its value for about ``scale`` pixels in (y, x) and ``coherence`` in depth."""
    return Field(*smooth_noises(rng, side, scale), coherence)


def smooth_noises(rng: np.random.Generator, side: int, scale: tuple[float, float]) -> tuple[Array, Array]:
    """Two independent (side, side) fields: white noise smoothed by a Gaussian of standard deviations ``scale``.

    Each has zero mean and unit variance. The noise is drawn where the Gaussian's spectrum is above rounding, which
    for smooth fields are few frequencies, and one complex transform gives both. All in float64: machines round
    differently, and that must not reach the pixels.
    """
    period = next_fast_len(side)
    responses = [np.exp(-2 * np.pi**2 * (sigma * np.fft.fftfreq(period)) ** 2) for sigma in scale]
    rows, columns = (np.flatnonzero(response > NEGLIGIBLE) for response in responses)
    drawn = rng.standard_normal((2, len(rows), len(columns)))
    spectrum = np.zeros((period, period), dtype=np.complex128)
    weight = responses[0][rows, None] * responses[1][columns]
    spectrum[rows[:, None], columns] = (drawn[0] + 1j * drawn[1]) * weight
    both = ifft2(spectrum, overwrite_x=True)[:side, :side]
    first, second = ((part - part.mean()) / part.std() for part in (both.real, both.imag))
    return first, second


@dataclass(frozen=True)
class Region:
    """What is drawn once per tile: how much tumour there is, and of which grade."""

    epithelium_share: float  # of the area
    gland_share: float  # of the epithelium
    grade: (
        float | Array
    )  # standard normal (of each cell, where it varies); nuclei become larger, paler and less regular with it
    lymphocytes: float  # their odds among the cells of the stroma, where they don't crowd
    deformation: float  # of nuclear outlines; 0: ellipses, 1: as usual
    chromatin: float  # how far it clumps, and nucleoli show; 0: smooth nuclei, 1: as usual


@dataclass(frozen=True)
class Ducts:
    """Tubes of glandular epithelium around a lumen: elliptic in section, leaning in depth. Arrays hold one per duct."""

    y: Array  # centre on the surface of the block
    x: Array
    lean_y: Array  # pixels sideways per pixel of depth
    lean_x: Array
    radius: Array  # of the outer border, geometric mean
    aspect: Array  # of the axes
    tilt: Array

    def depth(self, z: Array | float, y: Places, x: Places, wobble: Array) -> Array:
        """Pixels from the border of the nearest duct inwards, negative outside; far away -inf. One per point."""
        deepest = np.full(np.shape(y), -np.inf)
        for i in range(len(self.y)):
            dy, dx = y - (self.y[i] + self.lean_y[i] * z), x - (self.x[i] + self.lean_x[i] * z)
            cos, sin = np.cos(self.tilt[i]), np.sin(self.tilt[i])
            along, across = cos * dx + sin * dy, cos * dy - sin * dx
            distance = np.sqrt(along**2 / self.aspect[i] + across**2 * self.aspect[i])
            deepest = np.maximum(deepest, self.radius[i] - distance)
        return deepest + wobble


@dataclass(frozen=True)
class Layout:
    """Where is what: ducts, solid tumour where ``architecture`` is above ``edge`` and no duct is near, else stroma."""

    architecture: Field
    edge: float
    ducts: Ducts
    wobble: Field

    def on_plane(self, z: float, y: Places, x: Places) -> tuple[Array, Array]:
        """(tumour, duct) at points of one depth: above zero inside; the field's units, and pixels."""
        duct = self.ducts.depth(z, y, x, 2.0 * self.wobble.on_plane(z, y, x))
        return self._tumour(self.architecture.on_plane(z, y, x), duct), duct

    def at(self, point: Array) -> tuple[Array, Array]:
        """The same at points (N, 3) of coordinates z, y, x."""
        z, y, x = point.T
        duct = self.ducts.depth(z, y, x, 2.0 * self.wobble.at(point))
        return self._tumour(self.architecture.at(point), duct), duct

    def _tumour(self, architecture: Array, duct: Array) -> Array:
        return np.minimum(architecture - self.edge, 0.08 * (-duct - SLEEVE))

    def front(self, tumour: Array) -> Array:
        """How near the border of tumour and stroma a place is, on either side: standard normal over each of them."""
        level = np.clip(tumour + self.edge, -6.0, 6.0)
        below, border = ndtr(level), ndtr(self.edge)
        share = np.where(tumour > 0, (1 - below) / (1 - border), below / border)
        return np.asarray(ndtri(np.clip(share, 1e-4, 1 - 1e-4)), dtype=np.float64)


@dataclass(frozen=True)
class Tissue:
    """A block of tissue. ``cells`` has a row per cell whose nucleus a section may meet."""

    layout: Layout
    gaps: Field  # clefts and oedema
    fibres: Field  # in the coordinates of ``flow``
    flow: tuple[Array, Array]  # (H, W) each: across and along the fibres
    chromatin: Field
    granules: Field
    cells: pd.DataFrame


def grow(rng: np.random.Generator, size: int, region: Region) -> Tissue:
    """A tissue block for a tile of ``size`` pixels."""
    side = size + 2 * MARGIN
    layout = _lay_out(rng, side, region)
    flow = _flow(rng, side, layout.architecture.here)
    cells = place(rng, side, layout, region.lymphocytes, random_field(rng, side, *SWARM))
    return Tissue(
        layout,
        gaps=random_field(rng, side, *GAPS),
        fibres=random_field(rng, side, *FIBRES),
        flow=flow,
        chromatin=random_field(rng, side, *CHROMATIN_CLUMPS),
        granules=random_field(rng, side, *GRANULES),
        cells=shape(rng, cells, flow, layout, region),
    )


def _lay_out(rng: np.random.Generator, side: int, region: Region) -> Layout:
    architecture = random_field(rng, side, *ARCHITECTURE)
    glandular = region.epithelium_share * region.gland_share
    ducts = dig(rng, side, glandular)
    edge = float(np.quantile(architecture.here, np.clip(1 - (region.epithelium_share - glandular), 0.02, 0.98)))
    return Layout(architecture, edge, ducts, random_field(rng, side, *WOBBLE))


def dig(rng: np.random.Generator, side: int, share: float) -> Ducts:
    """Ducts that do not meet, until they take ``share`` of the area or find no place."""
    count = 60  # tries
    y, x = rng.uniform(0, side, (2, count))
    radius = rng.uniform(18, 42, count)
    aspect = np.exp(rng.uniform(0, 0.6, count))
    reach = radius * np.sqrt(aspect) + SLEEVE
    kept: list[int] = []
    area = 0.0
    for i in range(count):
        free = all(np.hypot(y[i] - y[j], x[i] - x[j]) > reach[i] + reach[j] for j in kept)
        fits = area + np.pi * radius[i] ** 2 / 2 < share * side**2  # at least half of it is still wanted
        if free and fits:
            kept.append(i)
            area += np.pi * radius[i] ** 2
    lean_y, lean_x = 0.35 * rng.standard_normal((2, count))
    tilt = rng.uniform(0, np.pi, count)
    return Ducts(*(values[kept] for values in (y, x, lean_y, lean_x, radius, aspect, tilt)))


def _flow(rng: np.random.Generator, side: int, architecture: Array) -> tuple[Array, Array]:
    """Wavy coordinates across and along the fibres, which bend around the epithelium."""
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[:side, :side].astype(np.float64)
    return bent(angle, y, x, smooth_noises(rng, side, BENDING), architecture)


def bent(angle: float, y: Array, x: Array, noises: tuple[Array, Array], architecture: Array) -> tuple[Array, Array]:
    """Straight coordinates across and along fibres of an angle, bent by two smooth noises and by the epithelium."""
    across = np.cos(angle) * y - np.sin(angle) * x
    along = np.sin(angle) * y + np.cos(angle) * x
    bend, stretch = noises
    return across + 14 * bend + 9 * architecture, along + 14 * stretch


def place(rng: np.random.Generator, side: int, layout: Layout, lymphocytes: float, swarm: Field) -> pd.DataFrame:
    """Centres and types of cells: random, none closer than the two exclusion radii, in several rounds of darts.

    Lymphocytes crowd where ``swarm`` is high.
    """
    count = int(side * side * (DEPTH + 2 * REACH) / 600)
    kept = np.empty((0, 3))
    kept_type = np.empty(0, dtype=np.intp)
    for _ in range(6):
        point = rng.uniform((-REACH, 0, 0), (DEPTH + REACH, side, side), (count, 3))
        tumour, duct = layout.at(point)
        odds = lymphocytes * np.exp(1.6 * swarm.at(point))
        stroma = np.where(rng.uniform(size=count) < odds / (1 + odds), LYMPHOCYTE, FIBROBLAST)
        kinds = np.where(duct > 0, GLAND, np.where(tumour > 0, TUMOUR, stroma)).astype(np.intp)
        # nuclei keep to the outer part of a duct's wall, and off the border of stroma and epithelium
        off_wall = (duct > 0) & ((duct < BASAL[0]) | (duct > BASAL[1]))
        border = ((tumour > -0.1) & (tumour < 0.06)) | ((duct > -2.5) & (duct <= 0))
        sparse = (kinds == FIBROBLAST) & (rng.uniform(size=count) < 0.93)
        good = ~(off_wall | border | sparse)
        point, kinds = point[good], kinds[good]
        radius = EXCLUSION[kinds]
        free = np.ones(len(point), dtype=bool)
        if len(kept):
            old, new = cKDTree(kept), cKDTree(point)
            near = new.sparse_distance_matrix(old, 2 * EXCLUSION.max(), output_type="coo_matrix")
            clash = near.data < radius[near.row] + EXCLUSION[kept_type[near.col]]
            free[near.row[clash]] = False
        point, kinds, radius = point[free], kinds[free], radius[free]
        pair = cKDTree(point).query_pairs(2 * EXCLUSION.max(), output_type="ndarray")
        distance = np.linalg.norm(point[pair[:, 0]] - point[pair[:, 1]], axis=1)
        later = pair[distance < radius[pair[:, 0]] + radius[pair[:, 1]]].max(axis=1)  # the earlier dart stays
        stays = np.ones(len(point), dtype=bool)
        stays[later] = False
        kept = np.concatenate([kept, point[stays]])
        kept_type = np.concatenate([kept_type, kinds[stays]])
    return pd.DataFrame({"type": kept_type, "z": kept[:, 0], "y": kept[:, 1], "x": kept[:, 2]})


def shape(
    rng: np.random.Generator, cells: pd.DataFrame, flow: tuple[Array, Array], layout: Layout, region: Region
) -> pd.DataFrame:
    """Sizes, orientations, outlines and chromatin of the nuclei, the grade one can see in each, and where it lies."""
    kind = cells["type"].to_numpy()
    count = len(cells)
    common = np.sqrt(SHARED_GRADE) * region.grade
    size, pale = common + np.sqrt(1 - SHARED_GRADE) * rng.standard_normal((2, count))
    point = cells[["z", "y", "x"]].to_numpy()
    y, x = point[:, 1].astype(int), point[:, 2].astype(int)
    wobble = rng.standard_normal(count)
    along_fibres = _direction(flow[0], y, x) + np.pi / 2 + 0.2 * wobble
    towards_lumen = _radial(layout.ducts, point) + 0.15 * wobble
    tilt = np.where(kind == FIBROBLAST, along_fibres, np.where(kind == GLAND, towards_lumen, np.pi * wobble))
    scale = np.exp(SIZE_SPREAD[kind] * size)
    uneven = np.exp(0.08 * rng.standard_normal(count))
    # outlines: waves of two and three to a turn, each with a random phase; deeper with the grade
    waves = rng.standard_normal((2, count)) + 1j * rng.standard_normal((2, count))
    pleomorphic = region.deformation * DEFORMATION[kind] * np.exp(0.35 * size) / np.sqrt(2)
    nucleolus = rng.uniform(0.0, 0.45, count) * np.exp(2j * np.pi * rng.uniform(size=count))
    tumour, _ = layout.at(point)
    return cells.assign(
        long=LONG_AXIS[kind] * scale * uneven,
        short=SHORT_AXIS[kind] * scale / uneven,
        tilt=tilt,
        wave_2=pleomorphic * waves[0],
        wave_3=0.7 * pleomorphic * waves[1],
        texture=region.chromatin * TEXTURE[kind] * np.exp(0.25 * size),
        nucleolus=region.chromatin * NUCLEOLI[kind] * np.exp(0.25 * (size + pale)),
        nucleolus_place=nucleolus,
        size_score=size,
        pale_score=pale,
        grade=(size + pale) / np.sqrt(2 * (1 + SHARED_GRADE)),
        tissue_grade=region.grade,
        front=layout.front(tumour),
        chromatin=CHROMATIN[kind] * np.exp(-PALE_SPREAD[kind] * pale),
    )


def _radial(ducts: Ducts, point: Array) -> Array:
    """Angle at which each point (N, 3) is seen from the axis of the duct that it is nearest to; 0 without ducts."""
    if not len(ducts.y):
        return np.zeros(len(point))
    z, y, x = (column[:, None] for column in point.T)
    dy, dx = y - (ducts.y + ducts.lean_y * z), x - (ducts.x + ducts.lean_x * z)
    nearest = (np.hypot(dy, dx) - ducts.radius).argmin(axis=1)
    rows = np.arange(len(point))
    return np.arctan2(dy[rows, nearest], dx[rows, nearest])


def _direction(values: Array, y: NDArray[np.intp], x: NDArray[np.intp]) -> Array:
    """Angle of the gradient of ``values`` at pixels, from the x axis towards the y axis."""
    slope_y, slope_x = np.gradient(values, axis=0), np.gradient(values, axis=1)
    return np.arctan2(slope_y[y, x], slope_x[y, x])
