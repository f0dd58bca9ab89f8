"""The phantom: procedural tissue with a known answer, H&E and IHC of neighbouring sections.

    <root>/phantom-<digest>/<stain>/<split>/{he,ihc,truth}/P00_00_03.png     slide, row, column

A tile is a block of tissue: tumour nests, glands, stroma and lymphocytes, with nuclei as ellipsoids. Its section at
depth 0 is stained H&E. The section at depth ``delta``, slightly distorted, is stained IHC: the pair. And the first
section is stained IHC as well, which no microscope can do: the truth.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, NonNegativeInt, PositiveInt

from vsbench.data.pairs import Pair
from vsbench.dataset import Dataset, DatasetCard, DatasetConfig
from vsbench.files import atomic, digest

from ._phantom_render import (
    Section,
    Staining,
    cut,
    haematoxylin_eosin,
    immuno,
    membrane_dab,
    nuclear_dab,
    scan,
)
from ._phantom_tissue import MARGIN, TYPES, Array, Region, Tissue, generator, grow, smooth_noise

VERSION = "2"  # of the generator: the same configuration and version give the same images
BORDER = 4  # pixels rendered beyond the tile, so that the blur has something to blur
INNER = (slice(BORDER, -BORDER), slice(BORDER, -BORDER))
COLUMNS = 4  # tiles per row of a slide
SLIDE_SHARE = 0.4  # share of the variance between tiles that all tiles of a slide have in common
HIDDEN_SHARE = 0.4  # share of the unpredictable variance that all cells of a tile have in common
FARTHEST, MOST_DISTORTED = 16.0, 6.0  # pixels: limits of what a neighbouring section can be
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(31)  # expectation over a standard normal


@dataclass(frozen=True)
class Marker:
    """How an antigen is expressed. A cell's expression is standard normal; it is positive above its type's ``cut``."""

    pattern: str  # "nuclear" or "membrane"
    grade: int  # +1: high-grade cells express more; −1: less
    cut: tuple[float, float, float, float]  # by type, in the order of TYPES
    softness: float  # how gradually the amount rises around the cut
    density: float  # DAB optical density of a fully positive cell, at the usual strength of staining


MARKERS = {
    "her2": Marker("membrane", +1, (0.6, 2.4, 6.0, 6.0), softness=0.40, density=0.85),
    "ki67": Marker("nuclear", +1, (0.7, 2.0, 2.6, 2.0), softness=0.20, density=0.90),
    "er": Marker("nuclear", -1, (0.1, 0.5, 3.2, 4.0), softness=0.30, density=0.85),
    "pr": Marker("nuclear", -1, (0.5, 0.6, 3.2, 4.0), softness=0.25, density=0.90),
}


class PhantomConfig(DatasetConfig):
    """What to render. Lengths are pixels; a tumour nucleus is about 12 across, which is 20× or 0.5 µm per pixel.

    ``delta``, ``misregistration`` and ``unpredictable`` change no pixel of the H&E; the first two none of the truth.
    """

    seed: NonNegativeInt = 0
    size: int = Field(256, ge=64)  # height and width of a tile
    slides_train: PositiveInt = 6
    slides_test: PositiveInt = 3
    tiles_per_slide: PositiveInt = 8
    delta: float = Field(5.0, ge=0, le=FARTHEST)  # depth between the two sections; 0: the same section
    thickness: float = Field(4.0, gt=0, le=8)  # of a section
    misregistration: float = Field(3.0, ge=0, le=MOST_DISTORTED)  # root mean square displacement between the sections
    unpredictable: float = Field(0.25, ge=0, le=1)  # share of the variance of expression that H&E does not show
    batch_effect: float = Field(0.12, ge=0, le=0.5)  # standard deviation of log stain strength between slides
    blur: float = Field(0.6, ge=0, le=3)  # standard deviation of the optics' blur
    noise: float = Field(1.5, ge=0, le=20)  # standard deviation of the sensor's noise, in grey levels


@dataclass(frozen=True)
class Tile:
    """A rendered tile, and the answer. Images are (H, W, 3) uint8 RGB, maps (H, W) optical density.

    ``cells`` has a row per nucleus met by the H&E's section or by the adjacent one: ``type`` (of TYPES), centre ``z``,
    ``y``, ``x`` in the H&E's frame, semi-axes ``long`` and ``short``, ``chromatin``, ``grade`` (the part of expression
    that H&E shows, standard normal), ``expression`` (standard normal), ``positive``, ``dab`` (density of a nucleus as
    thick as the section, or of a membrane between two such cells), ``dab_expected`` (its mean given the morphology),
    and ``in_he``, ``in_ihc``.
    """

    id: str
    he: NDArray[np.uint8]
    ihc: NDArray[np.uint8]  # adjacent section
    truth: NDArray[np.uint8]  # IHC of the H&E's section
    dab: Array  # true DAB in the H&E's section, before optics and sensor
    dab_expected: Array  # its expectation given the morphology: no method can know more
    cells: pd.DataFrame


def tile_names(config: PhantomConfig, split: str) -> list[str]:
    """The ids of a split's tiles, ``<slide>_<row>_<column>``: slides P00, P01, … for training, T00, … for testing."""
    prefix, slides = {"train": ("P", config.slides_train), "test": ("T", config.slides_test)}[split]
    return [
        f"{prefix}{slide:02d}_{tile // COLUMNS:02d}_{tile % COLUMNS:02d}"
        for slide in range(slides)
        for tile in range(config.tiles_per_slide)
    ]


@dataclass(frozen=True)
class Specimen:
    """The tissue of a tile, to be cut and stained as often as one likes; equal requests give equal images.

    ``cells`` has the columns of ``Tile.cells`` up to ``dab_expected``, and a row for every cell of the block, with the
    type as an index into TYPES and places on the canvas. Images are (H, W, 3) uint8 RGB, as those of ``Tile``.
    """

    config: PhantomConfig
    stain: str
    name: str
    tissue: Tissue
    cells: pd.DataFrame
    staining: Staining

    @property
    def full_dab(self) -> float:
        """``dab`` of a fully positive cell."""
        return MARKERS[self.stain].density

    @cached_property
    def here(self) -> Section:
        """The H&E's section."""
        return cut(self.tissue, 0.0, self.config.thickness, *_canvas(self.config))

    def there(self, config: PhantomConfig) -> Section:
        """The neighbouring section, as far away and as distorted as ``config`` has it."""
        y, x = _canvas(config)
        dy, dx = _displacement(config, self.random(self.stain, "misregistration"))
        return cut(self.tissue, config.delta, config.thickness, y + dy, x + dx)

    def stained(self, dab: Array) -> NDArray[np.uint8]:
        """The IHC of the H&E's section if the cells had this ``dab``, one number each: with their own, the truth."""
        return self.immuno(self.here, dab, "truth")

    def adjacent(self, farther: float = 0.0) -> NDArray[np.uint8]:
        """The IHC of the neighbouring section; ``farther``: 0, as in the pair, to 1, as far and distorted as can be."""
        config = self.config
        limits = {"delta": FARTHEST, "misregistration": MOST_DISTORTED}
        moved = {key: (1 - farther) * getattr(config, key) + farther * limit for key, limit in limits.items()}
        return self.immuno(self.there(config.model_copy(update=moved)), self.cells["dab"].to_numpy(), "ihc")

    def dab_map(self, section: Section, amount: Array) -> Array:
        """(H, W) DAB density of a section, border included, from the amounts per cell."""
        stained = membrane_dab if MARKERS[self.stain].pattern == "membrane" else nuclear_dab
        return stained(section, amount)

    def immuno(self, section: Section, dab: Array, what: str) -> NDArray[np.uint8]:
        """A section in IHC; ``what`` names the sensor's noise."""
        dab = self.dab_map(section, self.staining.dab * dab)
        return self.scan(immuno(self.tissue, section, self.staining, dab), f"{self.stain} {what}")

    def scan(self, density: Array, what: str) -> NDArray[np.uint8]:
        """The image, without border, of a density (H, W, 3)."""
        config, noise = self.config, self.random(what, "sensor")
        return scan(density, self.staining.glass, config.blur, config.noise, noise)[INNER]

    def random(self, *purpose: str) -> np.random.Generator:
        """The tile's own randomness for one purpose."""
        return generator(VERSION, self.config.seed, self.name, *purpose)


def take_specimen(config: PhantomConfig, stain: str, name: str) -> Specimen:
    """Grow the tissue of a tile by its id. Which other tiles there are makes no difference."""
    tissue = grow(generator(VERSION, config.seed, name, "tissue"), config.size, draw_region(config, name))
    cells = express(config, stain, name, tissue.cells)
    return Specimen(config, stain, name, tissue, cells, draw_staining(config, stain, name.partition("_")[0]))


def render_tile(config: PhantomConfig, stain: str, name: str) -> Tile:
    """Render a tile by its id. Which other tiles there are makes no difference; H&E is the same for all stains."""
    specimen = take_specimen(config, stain, name)
    tissue, cells, here, there = specimen.tissue, specimen.cells, specimen.here, specimen.there(config)
    at_he, at_ihc = np.zeros((2, len(cells)), dtype=bool)
    at_he[here.nuclei.cell] = True
    at_ihc[there.nuclei.cell] = True
    table = cells.assign(
        type=np.array(TYPES)[cells["type"]], y=cells["y"] - MARGIN, x=cells["x"] - MARGIN, in_he=at_he, in_ihc=at_ihc
    )
    dab = cells["dab"].to_numpy()
    return Tile(
        id=name,
        he=specimen.scan(haematoxylin_eosin(tissue, here, specimen.staining), "he"),
        ihc=specimen.immuno(there, dab, "ihc"),
        truth=specimen.stained(dab),
        dab=specimen.dab_map(here, specimen.staining.dab * dab)[INNER],
        dab_expected=specimen.dab_map(here, cells["dab_expected"].to_numpy())[INNER],
        cells=table[at_he | at_ihc].reset_index(drop=True),
    )


def draw_region(config: PhantomConfig, name: str) -> Region:
    """How much tumour a tile has and of which grade, around what is usual on its slide."""
    slide = name.partition("_")[0]
    ours = generator(VERSION, config.seed, slide, "region").standard_normal(4)
    own = generator(VERSION, config.seed, name, "region").standard_normal(4)
    share, gland, grade, lymphocytes = np.sqrt(SLIDE_SHARE) * ours + np.sqrt(1 - SLIDE_SHARE) * own
    return Region(
        epithelium_share=float(0.12 + 0.68 * _logistic(1.4 * share)),
        gland_share=float(0.05 + 0.75 * _logistic(1.6 * gland - 0.6)),
        grade=float(grade),
        lymphocytes=float(0.25 * np.exp(0.9 * lymphocytes)),
    )


def draw_staining(config: PhantomConfig, stain: str, slide: str) -> Staining:
    """Stain strengths and glass of a slide; those of its H&E do not depend on the IHC stain."""
    he = generator(VERSION, config.seed, slide, "he staining")
    ihc = generator(VERSION, config.seed, slide, stain, "staining")
    haematoxylin, eosin = np.exp(config.batch_effect * he.standard_normal(2))
    dab, counterstain = np.exp(config.batch_effect * ihc.standard_normal(2))
    glass = np.array([246.0, 243.0, 246.0]) + he.normal(0, 1.5, 3)
    return Staining(
        haematoxylin=float(haematoxylin),
        eosin=float(eosin),
        eosin_purity=float(he.uniform(0.05, 0.35)),
        dab=float(dab),
        counterstain=float(counterstain),
        glass=glass,
    )


def express(config: PhantomConfig, stain: str, name: str, cells: pd.DataFrame) -> pd.DataFrame:
    """Add expression and DAB to a cell table: the grade that H&E shows, and a part that it hides."""
    marker = MARKERS[stain]
    rng = generator(VERSION, config.seed, name, stain, "expression")
    common, own = rng.standard_normal(), rng.standard_normal(len(cells))
    hidden = np.sqrt(HIDDEN_SHARE) * common + np.sqrt(1 - HIDDEN_SHARE) * own
    visible = np.sqrt(1 - config.unpredictable) * marker.grade * cells["grade"].to_numpy()
    spread = np.sqrt(config.unpredictable)
    cut_of_type = np.array(marker.cut)[cells["type"]]
    expression = visible + spread * hidden

    def amount(expression: Array, cut: Array) -> Array:
        return marker.density * _logistic((expression - cut) / marker.softness)

    expected = amount(visible[:, None] + spread * NODES, cut_of_type[:, None]) @ WEIGHTS / WEIGHTS.sum()
    mean_strength = np.exp(config.batch_effect**2 / 2)
    return cells.assign(
        expression=expression,
        positive=expression > cut_of_type,
        dab=amount(expression, cut_of_type),
        dab_expected=mean_strength * expected,
    )


def _canvas(config: PhantomConfig) -> tuple[Array, Array]:
    """(y, x) of a section's pixels, its border included, on the canvas of the tissue."""
    y, x = np.mgrid[MARGIN - BORDER : MARGIN + config.size + BORDER, MARGIN - BORDER : MARGIN + config.size + BORDER]
    return y.astype(np.float64), x.astype(np.float64)


def _displacement(config: PhantomConfig, rng: np.random.Generator) -> tuple[Array, Array]:
    """(dy, dx) on the section's grid: a shift and an elastic field with half of the mean square each."""
    side = config.size + 2 * BORDER
    shift = rng.standard_normal(2)
    shift = shift / np.linalg.norm(shift)
    elastic_y, elastic_x = (smooth_noise(rng, side, (config.size / 6, config.size / 6)) / np.sqrt(2) for _ in range(2))
    scale = config.misregistration / np.sqrt(2)
    return scale * (shift[0] + elastic_y), scale * (shift[1] + elastic_x)


def _logistic(values: Array) -> Array:
    return 1 / (1 + np.exp(-np.asarray(values, dtype=np.float64)))


class Phantom(Dataset[PhantomConfig]):
    """Renders what is missing into ``root``, a cache folder, and pairs it."""

    card = DatasetCard(
        title="Phantom",
        citation="Built into vsbench; no publication",
        url="vsbench demo",
        licence="Apache-2.0, as vsbench itself",
        pairing="neighbouring sections with a known distance and distortion; the true IHC is known",
        split_unit="slides",
        warnings=("Synthetic tissue: it tests methods and metrics, and says nothing about patients.",),
    )
    stains = tuple(MARKERS)
    needs_root = False

    def folder(self, root: Path) -> Path:
        """Where this configuration's images lie in the cache folder."""
        rendering = self.config.model_dump_json(exclude=set(DatasetConfig.model_fields))  # how to split moves no pixel
        return root / f"phantom-{digest([rendering, VERSION])[:12]}"

    def specimen(self, stain: str, name: str) -> Specimen:
        """The tissue of one of its tiles, by the id of the pair."""
        return take_specimen(self.config, stain, name)

    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        """Yield the pairs in the order of slides and tiles, each with the true IHC as ``truth``."""
        base = self.folder(root) / stain / split
        for name in tile_names(self.config, split):
            he, ihc, truth = (base / kind / f"{name}.png" for kind in ("he", "ihc", "truth"))
            if not (he.exists() and ihc.exists() and truth.exists()):
                tile = render_tile(self.config, stain, name)
                for path, image in ((he, tile.he), (ihc, tile.ihc), (truth, tile.truth)):
                    with atomic(path) as temporary:
                        Image.fromarray(image).save(temporary, compress_level=3)
            yield Pair(name, he, ihc, slide=name.partition("_")[0], split=split, truth=truth)
