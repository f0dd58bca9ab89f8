"""The phantom as a slide: one specimen on glass, rendered window by window in memory that does not grow with it.

The tissue is that of the tiles (``_phantom_tissue``), without their borders. A field is the mean of two of coprime
periods, so that nothing repeats; cells and ducts are placed by squares of ``NODE`` pixels, each by its own randomness,
and what meets something of an earlier square is left out. What a pixel shows is no matter of the window it is in.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import ndtri

from ._phantom_expression import Marker, expressed, hidden_part
from ._phantom_render import (
    NO_JPEG,
    Section,
    Staining,
    cut,
    haematoxylin_eosin,
    immuno,
    membrane_dab,
    nuclear_dab,
    scan,
    step,
)
from ._phantom_tissue import (
    ARCHITECTURE,
    BENDING,
    CHROMATIN_CLUMPS,
    EXCLUSION,
    FIBRES,
    GAPS,
    GRANULES,
    MARGIN,
    SLEEVE,
    SWARM,
    TYPES,
    WOBBLE,
    Array,
    Ducts,
    Field,
    Layout,
    Region,
    Tissue,
    bent,
    dig,
    place,
    random_field,
    shape,
)

NODE = 512  # pixels a side of the squares that cells and ducts are placed by
PERIODS = (729, 800)  # pixels, products of small primes: the fields' transforms are periodic then
BORDER = 4  # pixels rendered beyond a window, so that the blur has something to blur
NEAR_DUCT = 120.0  # pixels: a duct farther away changes nothing
REGIONS = (1500.0, 4000.0)  # pixels: lengths of the waves in which tumour, grade and hidden expression vary
RADIUS = 0.42  # of the specimen, as a share of the slide's side
SHARE_SPREAD = 0.5  # standard deviation of how much tumour there is, in that of the architecture
REMEMBERED = 96  # squares whose cells are kept: two rows of a slide of 24,000 pixels, 160 MB
KINDS = ("he", "ihc", "truth")
CORNERS = 16  # of a nucleus's outline


@dataclass(frozen=True)
class Waves:
    """A smooth function of the plane without end: the sum of some waves, of zero mean and unit variance."""

    down: Array  # (K,) radians a pixel
    across: Array
    phase: Array

    @classmethod
    def drawn(cls, rng: np.random.Generator, lengths: tuple[float, float], count: int = 6) -> "Waves":
        """Of directions all around and of lengths within limits, in pixels."""
        angle = np.pi * (np.arange(count) + rng.uniform(size=count)) / count
        number = 2 * np.pi / rng.uniform(*lengths, count)
        return cls(number * np.sin(angle), number * np.cos(angle), rng.uniform(0, 2 * np.pi, count))

    def at(self, y: NDArray[Any], x: NDArray[Any]) -> Array:
        """At points of shapes that broadcast; by sums of angles: quick on the rows and columns of a grid."""
        total = np.zeros(np.broadcast(y, x).shape)
        for down, across, phase in zip(self.down, self.across, self.phase, strict=True):
            total += np.cos(down * y + phase) * np.cos(across * x)
            total -= np.sin(down * y + phase) * np.sin(across * x)
        return total * np.sqrt(2 / len(self.phase))


@dataclass(frozen=True)
class Pose:
    """How the adjacent section lies on its slide: pixel (y, x) there shows the place ``at(y, x)`` of the H&E's frame.

    ``matrix``: (3, 3), of columns (x, y, 1), from the IHC's pixels to the H&E's. What bends it comes on top, in pixels
    of the H&E: ``bend`` times a wave field along each axis.
    """

    matrix: Array
    bend: float
    bend_y: Waves
    bend_x: Waves

    @classmethod
    def of(
        cls,
        side: int,
        rng: np.random.Generator,
        rotation: float = 0.0,
        shift: tuple[float, float] = (0.0, 0.0),
        scale: float = 1.0,
        bend: float = 0.0,
        mirrored: bool = False,
    ) -> "Pose":
        """Turned about the slide's middle (``rotation``: degrees, the IHC against the H&E), then shifted.

        ``shift``: (y, x) pixels; ``scale``: of the H&E's pixels for one of the IHC's; ``bend``: pixels, root mean
        square along an axis; ``mirrored``: left and right are exchanged.
        """
        angle = np.deg2rad(rotation)
        turned = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turned = turned @ np.diag([-1.0 if mirrored else 1.0, 1.0])
        middle = np.array([(side - 1) / 2, (side - 1) / 2])
        matrix = np.eye(3)
        matrix[:2, :2] = turned
        matrix[:2, 2] = middle - turned @ middle + np.array([shift[1], shift[0]])
        lengths = (0.5 * min(side, 8192), 1.2 * min(side, 8192))
        return cls(matrix, bend, Waves.drawn(rng, lengths), Waves.drawn(rng, lengths))

    def at(self, y: NDArray[Any], x: NDArray[Any]) -> tuple[Array, Array]:
        """(y, x) in the H&E's frame."""
        (a, b, c), (d, e, f), _ = self.matrix
        return (
            d * x + e * y + f + self.bend * self.bend_y.at(y, x),
            a * x + b * y + c + self.bend * self.bend_x.at(y, x),
        )

    @property
    def turned(self) -> Array:
        """(2, 2): pixels of the IHC (down, across) for one of the H&E, without what bends it."""
        return np.asarray(np.linalg.inv(self.matrix[:2, :2])[::-1, ::-1], np.float64)


@dataclass(frozen=True)
class _Endless:
    """A random field without end: the mean of two periodic ones."""

    parts: tuple[Field, Field]

    @classmethod
    def drawn(cls, rng: np.random.Generator, kind: tuple[tuple[float, float], float]) -> "_Endless":
        first, second = (random_field(rng, period, *kind) for period in PERIODS)
        return cls((first, second))

    def window(self, top: int, left: int, side: int) -> Field:
        """The part on a canvas."""
        here, beyond = (
            sum(
                getattr(part, name)[np.ix_(*(np.arange(at, at + side) % len(part.here) for at in (top, left)))]
                for part in self.parts
            )
            / np.sqrt(2)
            for name in ("here", "beyond")
        )
        return Field(here, beyond, self.parts[0].coherence)


class PhantomSlide:
    """A specimen of ``side`` × ``side`` pixels: its H&E, the adjacent section's IHC in a ``pose``, and the true IHC.

    ``random(*purpose)`` gives a generator for each purpose. Equal arguments, equal pixels, whatever window is asked.
    """

    def __init__(
        self,
        config: Any,
        marker: Marker,
        name: str,
        side: int,
        staining: Staining,
        pose: Pose,
        random: Callable[..., np.random.Generator],
        shared: float,
    ) -> None:
        self.config, self.marker, self.name, self.side = config, marker, name, side
        self.staining, self.pose, self.random, self.shared = staining, pose, random, shared
        self._raw_cells = lru_cache(REMEMBERED)(self._placed)
        self._cells = lru_cache(REMEMBERED)(self._kept)
        self._ducts = lru_cache(1 << 14)(self._dug)
        self._section = lru_cache(1)(self._cut)  # H&E and truth show the same one

    def window(self, kind: str, y: int, x: int, height: int, width: int) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 RGB of one of ``KINDS`` at (y, x)."""
        if not self._meets(kind == "ihc", y, x, height, width):
            glass = np.zeros((height + 2 * BORDER, width + 2 * BORDER, 3))
            return self._scan(glass, kind, y, x)
        tissue, section, inside = self._section(kind == "ihc", y, x, height, width)
        if kind == "he":
            density = haematoxylin_eosin(tissue, section, self.staining)
        else:
            amount = self.staining.dab * tissue.cells["dab"].to_numpy()
            nuclear = self.marker.pattern == "nuclear"
            dab = nuclear_dab(section, amount) if nuclear else membrane_dab(section, amount, self.marker.density)
            density = immuno(tissue, section, self.staining, dab)
        return self._scan(density * inside[..., None], kind, y, x)

    def outlines(self) -> Iterator[tuple[Array, str, bool]]:
        """Of each cell in the H&E's section: the outline of its nucleus, (``CORNERS``, 2) y, x; type; positive?"""
        last = (self.side - 1) // NODE
        for node in self._inhabited(range(last + 1), range(last + 1)):
            yield from self._outlines(self._cells(*node))

    def _outlines(self, cells: pd.DataFrame) -> Iterator[tuple[Array, str, bool]]:
        thickness = self.config.thickness
        z, long, short = (cells[name].to_numpy() for name in ("z", "long", "short"))
        away = np.maximum(np.maximum(-z, z - thickness), 0)  # of the nucleus's middle from the section
        rest = 1 - away**2 / (long * short)
        angle = 2 * np.pi * np.arange(CORNERS) / CORNERS
        for given, share in zip(cells.itertuples(), rest, strict=True):
            cell: Any = given  # a row of numbers
            if share <= 0 or not (0 <= cell.y < self.side and 0 <= cell.x < self.side):
                continue
            wave = (cell.wave_2 * np.exp(-2j * angle) + cell.wave_3 * np.exp(-3j * angle)).real
            radius = np.sqrt(share) * (1 + wave)
            along, across = cell.long * radius * np.cos(angle), cell.short * radius * np.sin(angle)
            cos, sin = np.cos(cell.tilt), np.sin(cell.tilt)
            places = np.stack([cell.y + sin * along + cos * across, cell.x + cos * along - sin * across], axis=1)
            yield places, TYPES[cell.type], bool(cell.positive)

    def _inhabited(self, rows: Iterable[int], columns: Iterable[int]) -> list[tuple[int, int]]:
        """The squares of these that show any of the specimen."""
        nodes = [(i, j) for i in rows for j in columns]
        return [(i, j) for i, j in nodes if self._meets(False, i * NODE, j * NODE, NODE, NODE)]

    def _meets(self, adjacent: bool, y: int, x: int, height: int, width: int) -> bool:
        """Whether a window shows any of the specimen."""
        down, across = (np.linspace(at, at + length, 9) for at, length in ((y, height), (x, width)))
        inside = self._inside(*self._places(adjacent, down[:, None], across[None]))
        return bool(inside.max() > -np.hypot(height, width) / 8)

    def _places(self, adjacent: bool, y: NDArray[Any], x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.pose.at(y, x) if adjacent else (y, x)

    def _inside(self, y: NDArray[Any], x: NDArray[Any]) -> Array:
        """Pixels from the specimen's border inwards, about."""
        dy, dx = y - self.side / 2, x - self.side / 2
        angle, border = np.arctan2(dy, dx), np.ones(np.broadcast(dy, dx).shape)
        for number, (depth, phase) in enumerate(self._border, start=2):
            border += depth * np.cos(number * angle + phase)
        return RADIUS * self.side * border - np.hypot(dy, dx)

    @cached_property
    def _border(self) -> list[tuple[float, float]]:
        rng = self.random("border")
        return [(rng.uniform(0.3, 1) * 0.07 / number, rng.uniform(0, 2 * np.pi)) for number in (1, 2, 3, 4, 6)]

    def _cut(self, adjacent: bool, y: int, x: int, height: int, width: int) -> tuple[Tissue, Section, Array]:
        """The tissue around a window, its section, and (H, W) where the specimen is, 0…1; with the border."""
        rows, columns = np.ogrid[y - BORDER : y + height + BORDER, x - BORDER : x + width + BORDER]
        place_y, place_x = np.broadcast_arrays(*self._places(adjacent, rows, columns))
        first = [int(np.floor(places.min())) - MARGIN for places in (place_y, place_x)]
        last = [int(np.ceil(places.max())) + MARGIN for places in (place_y, place_x)]
        side = max(end - start for start, end in zip(first, last, strict=True)) + 1
        tissue = self._tissue(first[0], first[1], side)
        z, turned = (self.config.delta, self.pose.turned) if adjacent else (0.0, None)
        section = cut(tissue, z, self.config.thickness, place_y - first[0], place_x - first[1], turned)
        return tissue, section, step(self._inside(place_y, place_x), 1.5)

    def _scan(self, density: Array, kind: str, y: int, x: int) -> NDArray[np.uint8]:
        config = self.config
        noise = self.random(kind, "sensor", y, x)
        image = scan(density, self.staining.glass, config.blur, config.noise, NO_JPEG, noise)
        return image[BORDER:-BORDER, BORDER:-BORDER]

    def _tissue(self, top: int, left: int, side: int) -> Tissue:
        """The tissue on a canvas."""
        layout = self._layout(top, left, side)
        reach = 2 * MARGIN
        squares = (range((at - reach) // NODE, (at + side + reach) // NODE + 1) for at in (top, left))
        rows, columns = squares
        nodes = self._inhabited(rows, columns) or [(rows[0], columns[0])]
        cells = pd.concat([self._cells(*node) for node in nodes], ignore_index=True)
        y, x = cells["y"].to_numpy() - top, cells["x"].to_numpy() - left
        near = (y > -reach) & (y < side + reach) & (x > -reach) & (x < side + reach)
        cells = cells.assign(y=y, x=x)[near].reset_index(drop=True)
        gaps, chromatin, granules = (
            self._fields[name].window(top, left, side) for name in ("gaps", "clumps", "grains")
        )
        flow = self._flow(top, left, side, layout.architecture.here)
        return Tissue(layout, gaps, self._fibres, flow, chromatin, granules, cells)

    @cached_property
    def _fields(self) -> dict[str, _Endless]:
        kinds = {
            "architecture": ARCHITECTURE, "wobble": WOBBLE, "swarm": SWARM, "gaps": GAPS,
            "clumps": CHROMATIN_CLUMPS, "grains": GRANULES, "bending": (BENDING, 1.0),
        }  # fmt: skip
        return {name: _Endless.drawn(self.random(name), kind) for name, kind in kinds.items()}

    @cached_property
    def _fibres(self) -> Field:
        return random_field(self.random("fibres"), PERIODS[0], *FIBRES)

    @cached_property
    def _regions(self) -> dict[str, Waves]:
        return {name: Waves.drawn(self.random(name), REGIONS) for name in ("share", "grade", "hidden")}

    @cached_property
    def _angle(self) -> float:
        return float(self.random("fibres' angle").uniform(0, np.pi))

    def _layout(self, top: int, left: int, side: int) -> Layout:
        field = self._fields["architecture"].window(top, left, side)
        y, x = np.arange(top, top + side)[:, None], np.arange(left, left + side)[None]
        varied = field.here + SHARE_SPREAD * self._regions["share"].at(y, x)
        solid = self.config.epithelium * (1 - self.config.glands)
        edge = float(np.sqrt(1 + SHARE_SPREAD**2) * ndtri(1 - np.clip(solid, 0.02, 0.98)))
        ducts = self._ducts_near(top, left, side)
        wobble = self._fields["wobble"].window(top, left, side)
        return Layout(Field(varied, field.beyond, field.coherence), edge, ducts, wobble)

    def _flow(self, top: int, left: int, side: int, architecture: Array) -> tuple[Array, Array]:
        y, x = np.mgrid[top : top + side, left : left + side].astype(np.float64)
        bending = self._fields["bending"].window(top, left, side)
        return bent(self._angle, y, x, (bending.here, bending.beyond), architecture)

    def _ducts_near(self, top: int, left: int, side: int) -> Ducts:
        """The ducts that may be seen on a canvas, without those that meet one of an earlier square."""
        rows, columns = (
            range(int(at - NEAR_DUCT) // NODE, int(at + side + NEAR_DUCT) // NODE + 1) for at in (top, left)
        )
        found = []
        for i in rows:
            for j in columns:
                ducts = self._ducts(i, j)
                dy = np.maximum(np.maximum(top - ducts[0], ducts[0] - top - side), 0)
                dx = np.maximum(np.maximum(left - ducts[1], ducts[1] - left - side), 0)
                earlier = np.concatenate([self._ducts(*node) for node in _earlier(i, j)], axis=1)
                gap = np.hypot(ducts[0][:, None] - earlier[0], ducts[1][:, None] - earlier[1])
                free = (gap > _duct_reach(ducts)[:, None] + _duct_reach(earlier)).all(axis=1)
                found.append(ducts[:, free & (np.hypot(dy, dx) < NEAR_DUCT)])
        y, x, *others = np.concatenate(found, axis=1)
        return Ducts(y - top, x - left, *others)

    def _dug(self, i: int, j: int) -> Array:
        """(7, D): the columns of ``Ducts`` of a square, in the slide's coordinates."""
        ducts = dig(self.random("ducts", i, j), NODE, self.config.epithelium * self.config.glands)
        return np.array([
            ducts.y + i * NODE, ducts.x + j * NODE, ducts.lean_y, ducts.lean_x, ducts.radius, ducts.aspect, ducts.tilt
        ])  # fmt: skip

    def _placed(self, i: int, j: int) -> pd.DataFrame:
        """The cells of a square, in the slide's coordinates, some of which may be too near to others."""
        config, rng = self.config, self.random("tissue", i, j)
        top, left = i * NODE, j * NODE
        layout = self._layout(top, left, NODE)
        swarm = self._fields["swarm"].window(top, left, NODE)
        cells = place(rng, NODE, layout, config.lymphocytes, swarm)
        y, x = cells["y"].to_numpy() + top, cells["x"].to_numpy() + left
        grade = config.grade + self._regions["grade"].at(y, x)
        region = Region(
            config.epithelium, config.glands, grade, config.lymphocytes, config.deformation, config.chromatin
        )
        cells = shape(rng, cells, self._flow(top, left, NODE, layout.architecture.here), layout, region)
        own = self.random(self.marker.pattern, "expression", i, j).standard_normal(len(cells))
        hidden = hidden_part(config, self.shared, self._regions["hidden"].at(y, x), own)
        cells = expressed(config, self.marker, cells, hidden).assign(y=y, x=x)
        return cells[self._inside(y, x) > 1].reset_index(drop=True)

    def _kept(self, i: int, j: int) -> pd.DataFrame:
        """The cells of a square without those too near to one of an earlier square."""
        cells = self._raw_cells(i, j)
        before = [node for node in self._inhabited((i - 1, i), (j - 1, j, j + 1)) if node in _earlier(i, j)]
        if cells.empty or not before:
            return cells
        earlier = pd.concat([self._raw_cells(*node)[["z", "y", "x", "type"]] for node in before])
        here, there = (cKDTree(table[["z", "y", "x"]].to_numpy()) for table in (cells, earlier))
        near = here.sparse_distance_matrix(there, 2 * EXCLUSION.max(), output_type="coo_matrix")
        radius, other = (EXCLUSION[table["type"].to_numpy()] for table in (cells, earlier))
        free = np.ones(len(cells), dtype=bool)
        free[near.row[near.data < radius[near.row] + other[near.col]]] = False
        return cells[free].reset_index(drop=True)


def _earlier(i: int, j: int) -> list[tuple[int, int]]:
    """The squares around one that come before it."""
    return [(i - 1, j - 1), (i - 1, j), (i - 1, j + 1), (i, j - 1)]


def _duct_reach(ducts: Array) -> Array:
    return ducts[4] * np.sqrt(ducts[5]) + SLEEVE
