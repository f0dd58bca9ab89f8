"""The phantom: procedural tissue with a known answer, H&E and IHC of neighbouring sections.

    <root>/phantom-<digest>/<stain>/<split>/{he,ihc,truth,best,dab}/P00_00_03.png     slide, row, column
                                            {cells,labels,cell_pixels}/P00_00_03.{csv,json,npz}

A tile is a block of tissue: tumour nests, glands, stroma and lymphocytes, with nuclei as ellipsoids. Its section at
depth 0 is stained H&E. The section at depth ``delta``, slightly distorted, is stained IHC: the pair. And the first
section is stained IHC as well, which no microscope can do: the truth. A part of the expression cannot be seen in H&E:
``best`` is the first section with each cell's expected stain, the most that any method can know.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator

from vsbench.data.pairs import Pair
from vsbench.data.true_cells import TrueCells
from vsbench.dataset import Bound, Dataset, DatasetCard, DatasetConfig, Seed
from vsbench.errors import DataError
from vsbench.files import atomic, digest, read_json, write_text

from ._phantom_expression import MARKERS, expressed, hidden_part, logistic
from ._phantom_render import (
    NO_JPEG,
    Section,
    Staining,
    cut,
    haematoxylin_eosin,
    immuno,
    membrane_dab,
    membrane_pixels,
    nuclear_dab,
    nuclear_pixels,
    scan,
)
from ._phantom_slide import PhantomSlide, Pose
from ._phantom_tissue import MARGIN, TYPES, Array, Region, Tissue, generator, grow, smooth_noises

VERSION = "3"  # of the generator: the same configuration and version give the same images
BORDER = 4  # pixels rendered beyond the tile, so that the blur has something to blur
INNER = (slice(BORDER, -BORDER), slice(BORDER, -BORDER))
USUAL_STAINING = Staining(1.0, 1.0, 0.2, 1.0, 1.0, np.array([246.0, 243.0, 246.0]))
COLUMNS = 4  # tiles per row of a slide
FARTHEST, MOST_DISTORTED = 16.0, 6.0  # pixels: limits of what a neighbouring section can be
CELL_COLUMNS = (
    "type", "z", "y", "x", "long", "short", "chromatin", "grade", "tissue_grade", "front",
    "expression", "positive", "intensity", "dab", "dab_expected", "in_he", "in_ihc",
)  # fmt: skip
FILES = {  # what is written of a tile, by kind
    **dict.fromkeys(("he", "ihc", "truth", "best", "dab"), ".png"),
    "cells": ".csv",
    "labels": ".json",
    "cell_pixels": ".npz",
}
FEWEST_PIXELS = 25  # of a cell that counts as seen
DAB_SCALE = 10_000  # grey levels of a DAB map's file for a density of 1
LATER = ("dim", "vignette")  # options that are newer than folders in caches: where they are off, these hold the same
NO_PIXEL = ("reference",)  # options that change no image
SCORED = 0.1  # a tile's score is the highest that more than this share of its epithelial cells reach


class PhantomConfig(DatasetConfig):
    """What to render. Lengths are pixels; a tumour nucleus is about 12 across, which is 20× or 0.5 µm per pixel.

    ``delta``, ``misregistration`` and ``unpredictable`` change no pixel of the H&E; the first two none of the truth.
    """

    seed: Seed = 0
    size: int = Field(256, ge=64, le=16_384)  # height and width of a tile
    slides_train: int = Field(6, ge=1, le=10_000)
    slides_test: int = Field(3, ge=1, le=10_000)
    tiles_per_slide: int = Field(8, ge=1, le=10_000)
    # tissue, on a typical tile; tiles and slides differ
    epithelium: float = Field(0.46, ge=0.05, le=0.9)  # share of the area
    glands: float = Field(0.4, ge=0, le=0.95)  # share of the epithelium that forms ducts
    lymphocytes: float = Field(0.25, ge=0, le=20)  # their odds among the cells of the stroma
    grade: float = Field(0.0, ge=-3, le=3)  # of the tumour: larger, paler, less regular nuclei
    deformation: float = Field(1.0, ge=0, le=2)  # of nuclear outlines; 0: ellipses
    chromatin: float = Field(1.0, ge=0, le=2)  # its clumps and nucleoli; 0: smooth nuclei
    slide_share: float = Field(0.4, ge=0, le=1)  # of the variance between tiles: what a slide's tiles have in common
    # expression
    unpredictable: float = Field(0.25, ge=0, le=1)  # share of its variance that H&E does not show
    hidden_slide: float = Field(0.2, ge=0, le=1)  # share of that which all cells of a slide have in common
    hidden_tile: float = Field(0.2, ge=0, le=1)  # and of a tile
    # sections
    delta: float = Field(5.0, ge=0, le=FARTHEST)  # depth between the two; 0: the same section
    thickness: float = Field(4.0, gt=0, le=8)
    misregistration: float = Field(3.0, ge=0, le=MOST_DISTORTED)  # root mean square displacement between the sections
    elastic: float = Field(0.5, ge=0, le=1)  # share of its square that is a smooth distortion; the rest is a shift
    # stains and scanner
    batch_effect: float = Field(0.12, ge=0, le=0.5)  # standard deviation of log stain strength between slides
    blur: float = Field(0.6, ge=0, le=3)  # standard deviation of the optics' blur
    noise: float = Field(1.5, ge=0, le=20)  # standard deviation of the sensor's noise, in grey levels
    jpeg: int = Field(90, ge=30, le=NO_JPEG)  # quality of the scanner's compression; 100: none
    # the light of the IHC's scanner
    dim: float = Field(0.0, ge=0, le=0.6)  # share of it that is missing at most; slides lack from half to all of that
    vignette: float = Field(0.0, ge=0, le=0.3)  # share of it that a tile's corners lack, against its middle
    # what a training is given for the IHC: the neighbouring section, or the H&E's own, which no real data can have
    reference: Literal["adjacent", "aligned"] = "adjacent"

    @model_validator(mode="after")
    def _shares_add_up(self) -> "PhantomConfig":
        if self.hidden_slide + self.hidden_tile > 1:
            raise ValueError(
                f"hidden_slide={self.hidden_slide} and hidden_tile={self.hidden_tile}: more than the whole"
            )
        return self


@dataclass(frozen=True)
class Tile:
    """A rendered tile, and the answer. Images are (H, W, 3) uint8 RGB, maps (H, W) optical density.

    ``cells`` has a row per nucleus met by the H&E's section or by the adjacent one: ``type`` (of TYPES), centre ``z``,
    ``y``, ``x`` in the H&E's frame, semi-axes ``long`` and ``short``, ``chromatin``, ``grade``, ``tissue_grade`` and
    ``front`` (standard normal: what H&E shows), ``expression`` (standard normal), ``positive``, ``intensity`` (0 to 3,
    as in 0 … 3+), ``dab`` (density of a nucleus as thick as the section, or of a membrane between two such cells),
    ``dab_expected`` (its mean given the morphology), and ``in_he``, ``in_ihc``.
    """

    id: str
    he: NDArray[np.uint8]
    ihc: NDArray[np.uint8]  # adjacent section
    truth: NDArray[np.uint8]  # IHC of the H&E's section
    best: NDArray[np.uint8]  # what is known of the truth from the H&E: ``dab_expected``, without the scanner's noise
    dab: Array  # true DAB in the H&E's section, before optics and sensor
    dab_expected: Array  # from the cells' ``dab_expected``: no method can know more
    cells: pd.DataFrame
    cell_pixels: TrueCells  # where the marker of each cell lies in the H&E's section; cells are rows of ``cells``

    @property
    def labels(self) -> dict[str, str]:
        """What a pathologist with perfect sight would report of the epithelium in the H&E's section.

        ``positive_fraction``, and ``score``: the highest intensity (0 to 3) that more than a tenth of the cells reach.
        Empty where the section holds no epithelium.
        """
        seen = self.cells[self.cells["in_he"] & self.cells["type"].isin(TYPES[:2])]
        if seen.empty:
            return {}
        score = max(level for level in range(4) if level == 0 or (seen["intensity"] >= level).mean() > SCORED)
        return {"positive_fraction": f"{seen['positive'].mean():.4f}", "score": str(score)}


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
        if MARKERS[self.stain].pattern == "membrane":
            return membrane_dab(section, amount, self.full_dab)
        return nuclear_dab(section, amount)

    def pixels(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """(index into the flattened tile, row of the cell table), of the pixels that belong to cells in the H&E's
        section: their nuclei's, or their membranes'. Cells with less than ``FEWEST_PIXELS`` in the tile are left out.
        """
        pixels = membrane_pixels if MARKERS[self.stain].pattern == "membrane" else nuclear_pixels
        pixel, cell = pixels(self.here)
        y, x = (place - BORDER for place in np.divmod(pixel, self.config.size + 2 * BORDER))
        inside = (y >= 0) & (y < self.config.size) & (x >= 0) & (x < self.config.size)
        y, x, cell = y[inside], x[inside], cell[inside]
        kept = np.bincount(cell, minlength=len(self.cells))[cell] >= FEWEST_PIXELS
        return (y * self.config.size + x)[kept], cell[kept]

    def immuno(self, section: Section, dab: Array, what: str) -> NDArray[np.uint8]:
        """A section in IHC; ``what`` names the sensor's noise."""
        dab = self.dab_map(section, self.staining.dab * dab)
        density = immuno(self.tissue, section, self.staining, dab)
        light = draw_light(self.config, self.name.partition("_")[0])
        return self.scan(density, f"{self.stain} {what}", light)

    def best(self) -> NDArray[np.uint8]:
        """What H&E tells of the truth: expected DAB, stains of usual strength, neither noise nor compression."""
        dab = self.dab_map(self.here, self.cells["dab_expected"].to_numpy())
        density = immuno(self.tissue, self.here, USUAL_STAINING, dab)
        rng = self.random("best")  # draws nothing
        return scan(density, USUAL_STAINING.glass, self.config.blur, 0.0, NO_JPEG, rng)[INNER]

    def scan(self, density: Array, what: str, light: Array | float = 1.0) -> NDArray[np.uint8]:
        """The image, without border, of a density (H, W, 3) under this share of the usual light."""
        config, noise = self.config, self.random(what, "sensor")
        return scan(density, light * self.staining.glass, config.blur, config.noise, config.jpeg, noise)[INNER]

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
    )[[*CELL_COLUMNS]]
    dab = cells["dab"].to_numpy()
    table = table[at_he | at_ihc]
    pixel, cell = specimen.pixels()
    listed = (at_he | at_ihc)[cell]  # a membrane may be met where its cell's nucleus is not
    row = np.cumsum(at_he | at_ihc) - 1
    return Tile(
        id=name,
        he=specimen.scan(haematoxylin_eosin(tissue, here, specimen.staining), "he"),
        ihc=specimen.immuno(there, dab, "ihc"),
        truth=specimen.stained(dab),
        best=specimen.best(),
        dab=specimen.dab_map(here, specimen.staining.dab * dab)[INNER],
        dab_expected=specimen.dab_map(here, cells["dab_expected"].to_numpy())[INNER],
        cells=table.reset_index(drop=True),
        cell_pixels=TrueCells(pixel[listed], row[cell[listed]], table["positive"].to_numpy()),
    )


def draw_region(config: PhantomConfig, name: str) -> Region:
    """How much tumour a tile has and of which grade, around what is usual on its slide."""
    slide = name.partition("_")[0]
    ours = generator(VERSION, config.seed, slide, "region").standard_normal(4)
    own = generator(VERSION, config.seed, name, "region").standard_normal(4)
    share, gland, grade, lymphocytes = np.sqrt(config.slide_share) * ours + np.sqrt(1 - config.slide_share) * own
    return Region(
        epithelium_share=float(np.clip(logistic(_logit(config.epithelium) + share), 0.1, 0.85)),
        gland_share=float(logistic(_logit(config.glands) + 1.4 * gland)) if config.glands > 0 else 0.0,
        grade=float(config.grade + grade),
        lymphocytes=float(config.lymphocytes * np.exp(0.9 * lymphocytes)),
        deformation=config.deformation,
        chromatin=config.chromatin,
    )


def draw_staining(config: PhantomConfig, stain: str, slide: str) -> Staining:
    """Stain strengths and glass of a slide; those of its H&E do not depend on the IHC stain."""
    he = generator(VERSION, config.seed, slide, "he staining")
    ihc = generator(VERSION, config.seed, slide, stain, "staining")
    haematoxylin, eosin = np.exp(config.batch_effect * he.standard_normal(2))
    dab, counterstain = np.exp(config.batch_effect * ihc.standard_normal(2))
    glass = USUAL_STAINING.glass + he.normal(0, 1.5, 3)
    return Staining(
        haematoxylin=float(haematoxylin),
        eosin=float(eosin),
        eosin_purity=float(he.uniform(0.05, 0.35)),
        dab=float(dab),
        counterstain=float(counterstain),
        glass=glass,
    )


def draw_light(config: PhantomConfig, slide: str) -> Array:
    """(H, W, 1) the light of a slide's IHC, border included, as a share of what passes its glass under the usual one.

    A random stream of its own, so that nothing else differs under another light.
    """
    missing = config.dim * generator(VERSION, config.seed, slide, "light").uniform(0.5, 1)
    place = 2 * np.arange(-BORDER, config.size + BORDER) / (config.size - 1) - 1
    radius = (place[:, None] ** 2 + place**2) / 2  # squared, 1 in the tile's corners
    return ((1 - missing) * (1 - config.vignette * radius))[..., None]


def express(config: PhantomConfig, stain: str, name: str, cells: pd.DataFrame) -> pd.DataFrame:
    """Add expression and DAB to a cell table: the grade that H&E shows, and a part that it hides."""
    rng = generator(VERSION, config.seed, name, stain, "expression")
    tile, own = rng.standard_normal(), rng.standard_normal(len(cells))
    hidden = hidden_part(config, _shared_expression(config, stain, name.partition("_")[0]), tile, own)
    return expressed(config, MARKERS[stain], cells, hidden)


def _shared_expression(config: PhantomConfig, stain: str, slide: str) -> float:
    """What the cells of a slide have in common, standard normal."""
    return float(generator(VERSION, config.seed, slide, stain, "expression").standard_normal())


def _canvas(config: PhantomConfig) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(y, x) of a section's pixels, its border included, on the canvas of the tissue."""
    y, x = np.mgrid[MARGIN - BORDER : MARGIN + config.size + BORDER, MARGIN - BORDER : MARGIN + config.size + BORDER]
    return y, x


def _displacement(config: PhantomConfig, rng: np.random.Generator) -> tuple[Array, Array]:
    """(dy, dx) on the section's grid: a shift and an elastic field, which share the mean square."""
    side = config.size + 2 * BORDER
    shift = rng.standard_normal(2)
    shift = shift / np.linalg.norm(shift)
    elastic = (field / np.sqrt(2) for field in smooth_noises(rng, side, (config.size / 6, config.size / 6)))
    rigid, smooth = (config.misregistration * np.sqrt(share) for share in (1 - config.elastic, config.elastic))
    dy, dx = (rigid * step + smooth * field for step, field in zip(shift, elastic, strict=True))
    return dy, dx


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


def _bounds() -> tuple[Bound, ...]:
    """What ``python -m benchmarks.phantom_bounds`` has written: ceiling and floor of every value."""

    def number(text: str) -> float | None:
        return float(text) if text else None

    with Path(__file__).with_name("phantom_bounds.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Bound(
                line["stain"],
                line["value"],
                line["protocol"],
                number(line["ceiling"]),
                number(line["identity"]),
                number(line["mean_colour"]),
            )
            for line in csv.DictReader(file)
        )


class Phantom(Dataset[PhantomConfig]):
    """Renders what is missing into ``root``, a cache folder, and pairs it."""

    card = DatasetCard(
        title="Phantom",
        citation="Built into vsbench; no publication",
        url="vsbench demo",
        licence="Apache-2.0, as vsbench itself",
        pairing="neighbouring sections with a known distance and distortion; the true IHC is known",
        split_unit="slides",
        pixel_size=0.5,
        warnings=("Synthetic tissue: it tests methods and metrics, and says nothing about patients.",),
        bounds=_bounds(),
    )
    stains = tuple(MARKERS)
    needs_root = False

    def folder(self, root: Path) -> Path:
        """Where this configuration's images lie in the cache folder."""
        off = (name for name in LATER if not getattr(self.config, name))
        apart = {*DatasetConfig.model_fields, *NO_PIXEL, *off}
        rendering = self.config.model_dump_json(exclude=apart)  # how to split moves no pixel
        return root / f"phantom-{digest([rendering, VERSION])[:12]}"

    @property
    def unattainable(self) -> str | None:
        """Where trainings are given the truth."""
        if self.config.reference == "adjacent":
            return None
        return "trained on the true IHC of the H&E's own section, which no real data has: not attainable"

    def training_pairs(self, root: Path, stain: str) -> list[Pair]:
        """Those of the split ``train``, with the truth for the IHC where ``reference`` is ``aligned``."""
        pairs = super().training_pairs(root, stain)
        if self.config.reference == "adjacent":
            return pairs
        return [replace(pair, ihc=pair.truth) for pair in pairs if pair.truth is not None]

    def specimen(self, stain: str, name: str) -> Specimen:
        """The tissue of one of its tiles, by the id of the pair."""
        return take_specimen(self.config, stain, name)

    def slide(self, stain: str, name: str, side: int, pose: Mapping[str, Any]) -> PhantomSlide:
        """A specimen of ``side`` × ``side`` pixels, called ``name``, whose adjacent section lies as ``pose`` says.

        ``pose``: arguments of ``Pose``. The H&E is the same for all stains and poses.
        """
        config = self.config
        return PhantomSlide(
            config,
            MARKERS[stain],
            name,
            side,
            draw_staining(config, stain, name),
            Pose.of(side, generator(VERSION, config.seed, name, "pose"), **pose),
            lambda *purpose: generator(VERSION, config.seed, name, "slide", *purpose),
            _shared_expression(config, stain, name),
        )

    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        """Yield the pairs in the order of slides and tiles.

        Each has the true IHC as ``truth``, what a perfect predictor would give as ``best``, where the cells are as
        ``cells``, and ``Tile.labels``. Beside them lie the cell tables and the true DAB density as 16-bit PNG,
        DAB_SCALE grey levels for a density of 1.
        """
        base = self.folder(root) / stain / split
        for name in tile_names(self.config, split):
            files = {kind: base / kind / f"{name}{suffix}" for kind, suffix in FILES.items()}
            if not all(file.exists() for file in files.values()):
                _write(render_tile(self.config, stain, name), files)
            yield Pair(
                name,
                files["he"],
                files["ihc"],
                slide=name.partition("_")[0],
                split=split,
                labels=_labels(files["labels"]),
                truth=files["truth"],
                best=files["best"],
                cells=files["cell_pixels"],
            )


def _labels(file: Path) -> Any:
    try:
        return read_json(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: damaged ({error}); remove it: it is made again") from None


def _write(tile: Tile, files: dict[str, Path]) -> None:
    """Write all that is known of a tile."""
    for kind in ("he", "ihc", "truth", "best"):
        with atomic(files[kind]) as temporary:
            Image.fromarray(getattr(tile, kind)).save(temporary, compress_level=3)
    levels = np.rint(DAB_SCALE * tile.dab).clip(0, 65535).astype(np.uint16)
    with atomic(files["dab"]) as temporary:
        Image.fromarray(levels).save(temporary, compress_level=3)
    write_text(files["cells"], tile.cells.to_csv(index=False, float_format="%.5g", lineterminator="\n"))
    tile.cell_pixels.write(files["cell_pixels"])
    write_text(files["labels"], json.dumps(tile.labels))
