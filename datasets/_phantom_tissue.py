"""The phantom's tissue: a volume of random fields and cells, before any knife or stain touches it.

Lengths are pixels, in depth as well. Arrays lie on a canvas: the tile with ``MARGIN`` pixels around it, so that cells
cut by the border and displaced sections are complete.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from vsbench.files import digest

Array = NDArray[np.float64]

MARGIN = 24
DEPTH = 24.0  # the block may be cut from 0 to here; fixed, so that where it is cut does not change the tissue
REACH = 9.0  # nuclei with their centre farther from a section do not meet it
TYPES = ("tumour", "gland", "fibroblast", "lymphocyte")
TUMOUR, GLAND, FIBROBLAST, LYMPHOCYTE = range(4)

# one number per type, in the order of TYPES
LONG_AXIS = np.array([6.6, 5.4, 8.0, 3.7])  # semi-axes of the mean nucleus
SHORT_AXIS = np.array([5.6, 3.9, 2.3, 3.4])
SIZE_SPREAD = np.array([0.14, 0.08, 0.10, 0.05])  # standard deviation of the logarithm of the size
EXCLUSION = np.array([6.1, 4.6, 5.0, 3.7])  # no other cell's centre within the sum of the two
CHROMATIN = np.array([0.60, 0.80, 0.95, 1.20])  # haematoxylin density of a nucleus as thick as the section
PALE_SPREAD = np.array([0.22, 0.12, 0.12, 0.08])  # standard deviation of its logarithm

SHARED_GRADE = 0.35  # share of the variance of a nucleus's size and paleness that all cells of a tile have in common
LUMEN_SHARE = 0.35  # of a gland's area


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

    def on_plane(self, z: float, y: Array, x: Array) -> Array:
        """Values at points of one depth in canvas coordinates, linear between pixels, periodic beyond the canvas."""
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
    return Field(smooth_noise(rng, side, scale), smooth_noise(rng, side, scale), coherence)


def smooth_noise(rng: np.random.Generator, side: int, scale: tuple[float, float]) -> Array:
    """(side, side) white noise smoothed by a Gaussian of standard deviations ``scale``; zero mean, unit variance."""
    period = next_fast_len(side, real=True)
    y, x = np.fft.fftfreq(period)[:, None], np.fft.rfftfreq(period)[None, :]
    response = np.exp(-2 * np.pi**2 * (scale[0] * y) ** 2) * np.exp(-2 * np.pi**2 * (scale[1] * x) ** 2)
    white = rng.standard_normal((period, period), dtype=np.float32)  # half of the time, and no eye sees the difference
    noise = irfft2(rfft2(white) * response.astype(np.float32), s=(period, period))[:side, :side].astype(np.float64)
    return (noise - noise.mean()) / noise.std()


@dataclass(frozen=True)
class Region:
    """What is drawn once per tile: how much tumour there is, and of which grade."""

    epithelium_share: float  # of the area
    gland_share: float  # of the epithelium
    grade: float  # standard normal; nuclei become larger and paler with it
    lymphocytes: float  # their odds among the cells of the stroma, where they don't crowd


@dataclass(frozen=True)
class Layout:
    """Where is what: epithelium where ``architecture`` is above ``edge``, stroma below.

    Epithelium is glandular where ``kind`` is below ``kind_edge``, with lumens where the architecture is above
    ``lumen``, and solid tumour elsewhere.
    """

    architecture: Field
    edge: float
    lumen: float
    kind: Field
    kind_edge: float


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
    cells = _place(rng, side, layout, region.lymphocytes)
    return Tissue(
        layout,
        gaps=random_field(rng, side, (5, 5), coherence=30),
        fibres=random_field(rng, side, (1.5, 9), coherence=8),
        flow=flow,
        chromatin=random_field(rng, side, (1.1, 1.1), coherence=2),
        granules=random_field(rng, side, (1.6, 1.6), coherence=3),
        cells=_shape(rng, cells, flow, layout.architecture.here, region.grade),
    )


def _lay_out(rng: np.random.Generator, side: int, region: Region) -> Layout:
    architecture = random_field(rng, side, (17, 17), coherence=60)
    kind = random_field(rng, side, (45, 45), coherence=200)
    edge, lumen = np.quantile(architecture.here, 1 - np.array([1, LUMEN_SHARE]) * region.epithelium_share)
    return Layout(architecture, float(edge), float(lumen), kind, float(np.quantile(kind.here, region.gland_share)))


def _flow(rng: np.random.Generator, side: int, architecture: Array) -> tuple[Array, Array]:
    """Wavy coordinates across and along the fibres, which bend around the epithelium."""
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[:side, :side].astype(np.float64)
    across = np.cos(angle) * y - np.sin(angle) * x
    along = np.sin(angle) * y + np.cos(angle) * x
    across = across + 14 * smooth_noise(rng, side, (26, 26)) + 9 * architecture
    return across, along + 14 * smooth_noise(rng, side, (26, 26))


def _place(rng: np.random.Generator, side: int, layout: Layout, lymphocytes: float) -> pd.DataFrame:
    """Centres and types of cells: random, none closer than the two exclusion radii, in several rounds of darts."""
    swarm = random_field(rng, side, (16, 16), coherence=60)  # lymphocytes crowd where it is high
    count = int(side * side * (DEPTH + 2 * REACH) / 600)
    kept = np.empty((0, 3))
    kept_type = np.empty(0, dtype=np.intp)
    for _ in range(6):
        point = rng.uniform((-REACH, 0, 0), (DEPTH + REACH, side, side), (count, 3))
        height = layout.architecture.at(point) - layout.edge
        glandular = layout.kind.at(point) < layout.kind_edge
        odds = lymphocytes * np.exp(1.6 * swarm.at(point))
        epithelium = np.where(glandular, GLAND, TUMOUR)
        stroma = np.where(rng.uniform(size=count) < odds / (1 + odds), LYMPHOCYTE, FIBROBLAST)
        kinds = np.where(height > 0, epithelium, stroma).astype(np.intp)
        # nuclei keep to the outer part of a gland's wall, and off the border of stroma and epithelium
        hollow = glandular & (height > 0.7 * (layout.lumen - layout.edge))
        border = (height > -0.1) & (height < 0.06)
        sparse = (kinds == FIBROBLAST) & (rng.uniform(size=count) < 0.93)
        good = ~(hollow | border | sparse)
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


def _shape(
    rng: np.random.Generator, cells: pd.DataFrame, flow: tuple[Array, Array], architecture: Array, grade: float
) -> pd.DataFrame:
    """Sizes, orientations and chromatin of the nuclei, and the grade one can see in each."""
    kind = cells["type"].to_numpy()
    count = len(cells)
    common = np.sqrt(SHARED_GRADE) * grade
    size, pale = common + np.sqrt(1 - SHARED_GRADE) * rng.standard_normal((2, count))
    y, x = cells["y"].to_numpy().astype(int), cells["x"].to_numpy().astype(int)
    wobble = rng.standard_normal(count)
    along_fibres = _direction(flow[0], y, x) + np.pi / 2 + 0.2 * wobble
    towards_lumen = _direction(architecture, y, x) + 0.5 * wobble
    tilt = np.where(kind == FIBROBLAST, along_fibres, np.where(kind == GLAND, towards_lumen, np.pi * wobble))
    scale = np.exp(SIZE_SPREAD[kind] * size)
    uneven = np.exp(0.08 * rng.standard_normal(count))
    return cells.assign(
        long=LONG_AXIS[kind] * scale * uneven,
        short=SHORT_AXIS[kind] * scale / uneven,
        tilt=tilt,
        size_score=size,
        pale_score=pale,
        grade=(size + pale) / np.sqrt(2 * (1 + SHARED_GRADE)),
        chromatin=CHROMATIN[kind] * np.exp(-PALE_SPREAD[kind] * pale),
    )


def _direction(values: Array, y: NDArray[np.intp], x: NDArray[np.intp]) -> Array:
    """Angle of the gradient of ``values`` at pixels, from the x axis towards the y axis."""
    slope_y, slope_x = np.gradient(values, axis=0), np.gradient(values, axis=1)
    return np.arctan2(slope_y[y, x], slope_x[y, x])
