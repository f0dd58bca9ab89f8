"""Sheets of images: the H&E, each method, the real IHC of the adjacent section, and the true IHC where it is known.

Beside each tile a window of it is enlarged, the same window in all tiles of a pair, above a map of its DAB density.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from vsbench.cells import neutral_table
from vsbench.data.decode import read_rgb
from vsbench.errors import RunError
from vsbench.evaluation.evaluated import read_table
from vsbench.evaluation.sizes import brought_to
from vsbench.files import write_text
from vsbench.records.summary import PairFiles
from vsbench.report.dab_scale import FULL, compared, mean_density, positive_density
from vsbench.report.figures import inset
from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.inset import Window, choose_window, density_map
from vsbench.report.figures.sheet import Layout, Line, Tile, draw_sheet
from vsbench.report.notation import slug, stain_name
from vsbench.report.provenance.places import Places
from vsbench.report.scale_bar import pixel_size
from vsbench.report.tables import Comparison, EvaluatedRun, Row, runs_of
from vsbench.stain.dab import density_of, read_levels

PAIRS, LEAST_PAIRS = 4, 2  # test pairs that are shown: as many as one sheet holds, but not fewer than this
MAX_PIXELS = 512  # of a tile's side; larger images are averaged down: enough for 300 dpi in print
ZOOM_PIXELS = 256  # of an enlarged window's side
RULE = (
    "test pairs at evenly spaced ranks of the mean DAB density of the real IHC (two: at quantiles 1/4 and 3/4), each "
    "from a slide not yet shown where there is one; ties by id"
)
CAPTION = (
    f"Images of {RULE}. Beside a tile, above: what the frame in it holds, enlarged: {inset.RULE}. Below: the optical "
    "density (OD) of its DAB as Fiji reads it, on the scale of all maps of this report: grey where a pixel does not "
    f"count as stained (below {positive_density():.2f}), coloured where it does. Under a tile: mean densities, and "
    "their signed difference. Of a method with several seeds the first is shown."
)
DENSITY = "intden_real"  # the column of the per-image table: of the real IHC, summed over its pixels


def choose_pairs(table: pd.DataFrame, count: int = PAIRS) -> list[str]:
    """Ids by ``RULE``, from faint to strong. ``table`` has columns id, slide (empty: unknown) and density."""
    order = table.sort_values(["density", "id"]).reset_index(drop=True)
    ids, slides = order["id"].tolist(), order["slide"].tolist()
    count = min(count, len(ids))
    chosen: list[int] = []
    for step in range(count):
        target = (step + 0.5) / count * len(ids) - 0.5
        free = [rank for rank in range(len(ids)) if rank not in chosen]
        seen = {slides[rank] for rank in chosen}
        fresh = [rank for rank in free if slides[rank] and slides[rank] not in seen]
        chosen.append(min(fresh or free, key=lambda rank: (abs(rank - target), ids[rank])))
    return [ids[rank] for rank in sorted(chosen)]


def image_sheets(comparison: Comparison, folder: Path) -> list[Drawn]:
    """Draw ``images-<dataset>-<stain>[-<part>].{pdf,png,csv}``; the first seed stands for a method with several.

    Raises RunError where no method was measured on the data of this comparison or its table lacks a column, DataError
    naming an image that can't be read.
    """
    methods = [row for row in comparison.rows if row.is_method and comparison.same_data(row)]
    if not methods:
        raise RunError(f"{comparison.name}: no method was evaluated; no images to show")
    run = methods[0].runs[0]
    table = _densities(run)
    others = 3 if run.pairs[0].truth is not None else 2  # tiles of a pair that are no method's
    layout = Layout.of(table["shape"].min(), table["shape"].max(), len(methods) + others)
    parts = np.array_split(np.arange(len(methods)), -(-len(methods) // max(1, layout.tiles - others)))
    fit = layout.lines // layout.lines_of(len(parts[0]) + others)  # pairs on one sheet; 0 where none does
    pairs = choose_pairs(table, min(PAIRS, max(LEAST_PAIRS, fit)))
    sheets = [
        [
            _line(comparison, [methods[i] for i in part], pair_id, table)
            for pair_id in pairs[first : first + max(1, fit)]
        ]
        for part in parts
        for first in range(0, len(pairs), max(1, fit))
    ]
    elsewhere = [row for row in comparison.rows if row.is_method and not comparison.same_data(row)]
    left_out = tuple(f"{row.title} (measured on other images)" for row in elsewhere)
    drawn, places = [], Places.of(runs_of([comparison]))
    for number, lines in enumerate(sheets, start=1):
        name = f"images-{slug(comparison.name)}{f'-{number}' if len(sheets) > 1 else ''}"
        drawn.append(Drawn(folder / name, CAPTION, left_out))
        draw_sheet(lines, layout, drawn[-1])
        write_text(drawn[-1].file("csv"), neutral_table(_data(lines, places)).to_csv(index=False))
    return drawn


def _line(comparison: Comparison, methods: Sequence[Row], pair_id: str, table: pd.DataFrame) -> Line:
    shared = methods[0].runs[0]
    pair, slide = _pair(shared, pair_id), str(table.set_index("id")["slide"][pair_id])
    ihc, files = shared.folder / pair.ihc, {row.key: _fake(row.runs[0], pair_id) for row in methods}
    stored = read_rgb(ihc)

    def measured(path: Path, run: EvaluatedRun) -> NDArray[np.uint8]:
        """As it was measured: an evaluation may have brought all images to one size."""
        to = brought_to(run.protocol, (stored.shape[0], stored.shape[1]))
        return to.bring(path, read_rgb(path)) if to else read_rgb(path)

    others = [shared.folder / file for file in (pair.he, pair.truth) if file is not None]
    images = {path: measured(path, shared) for path in (*others, ihc)}
    images |= {files[row.key]: measured(files[row.key], row.runs[0]) for row in methods}
    real = images[ihc]
    for path, image in images.items():
        if image.shape != real.shape:
            here, there = (f"{one.shape[0]}×{one.shape[1]}" for one in (image, real))
            raise RunError(f"{path}: {here} pixels, but the real IHC of pair {pair_id} has {there}; evaluate again")
    dab = read_levels(real)
    window = choose_window(dab.levels, (read_levels(images[path]).levels for path in files.values()))
    of_real = density_of(dab.counts).mean

    def tile(head: str, path: Path, row: Row | None = None, stained: bool = True, other: str = "real") -> Tile:
        pixels, said = images[path], ""
        densities = _densities_of(pixels, window) if stained else None
        if densities is not None:
            said = mean_density(densities[1]) if path == ihc else compared(densities[1], of_real, other)
        small, zoom = _at_most(pixels, MAX_PIXELS), _at_most(window.of(pixels), ZOOM_PIXELS)
        seed = row.runs[0].seed if row else None
        return Tile(head, path, real.shape[:2], small, zoom, densities, said, row.key if row else None, seed)

    tiles = [tile("H&E", shared.folder / pair.he, stained=False)]
    tiles += [tile(row.title, files[row.key], row) for row in methods]
    tiles.append(tile("Real IHC (adjacent)", ihc))
    if pair.truth is not None:
        tiles.append(tile("True IHC", shared.folder / pair.truth, other="adjacent"))
    name = f"{stain_name(comparison.stain)}, {pair_id}" + ("" if slide in pair_id else f" (slide {slide})")
    size = pixel_size(shared)
    return Line(pair_id, slide, name, window, tiles, size and size * stored.shape[1] / real.shape[1])


def _fake(run: EvaluatedRun, pair_id: str) -> Path:
    fake = _pair(run, pair_id).fake
    if fake is None:
        raise RunError(f"{run.summary}: pair {pair_id} has no generated image; evaluate the run again")
    return run.folder / fake


def _densities_of(pixels: NDArray[np.uint8], window: Window) -> tuple[NDArray[np.float32], float, float]:
    dab = read_levels(pixels)
    inside = np.bincount(window.of(dab.levels).reshape(-1), minlength=256)
    return density_map(dab), density_of(dab.counts).mean, density_of(inside).mean


def _at_most(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The image, averaged down where a side is longer."""
    factor = -(-max(pixels.shape[:2]) // side)
    return np.asarray(Image.fromarray(pixels).reduce(factor)) if factor > 1 else pixels


def _pair(run: EvaluatedRun, pair_id: str) -> PairFiles:
    found = [pair for pair in run.pairs if pair.id == pair_id]
    if len(found) != 1:
        raise RunError(f"{run.summary}: {len(found)} pairs of id {pair_id}; evaluate the run again")
    return found[0]


def _densities(run: EvaluatedRun) -> pd.DataFrame:
    """Columns id, slide, density (mean optical density of DAB in the real IHC), shape (height over width) of a run."""
    table = read_table(run.summary.parent, [pair.id for pair in run.pairs])
    if missing := [name for name in (DENSITY, "height", "width") if name not in table]:
        raise RunError(f"{run.summary.with_name('per_image.csv')}: no column {missing[0]}; evaluate the run again")
    density = table[DENSITY] / (table["height"] * table["width"])
    shape = table["height"] / table["width"]
    return pd.DataFrame({"slide": table["slide"].fillna(""), "density": density, "shape": shape}).reset_index()


def _data(lines: Sequence[Line], places: Places) -> pd.DataFrame:
    records = [
        {
            "id": line.id,
            "slide": line.slide,
            "column": tile.head,
            "row": tile.row,
            "seed": tile.seed,
            "path": places.text(str(tile.path)),
            "height": tile.size[0],
            "width": tile.size[1],
            "mean_od": tile.densities[1] if tile.densities else None,
            **{f"window_{name}": pixels for name, pixels in asdict(line.window).items()},
            "window_mean_od": tile.densities[2] if tile.densities else None,
            "scale_top_od": FULL,
            "positive_od": positive_density(),
            "rule": RULE,
            "window_rule": inset.RULE,
        }
        for line in lines
        for tile in line.tiles
    ]
    return pd.DataFrame(records).astype({"seed": "Int64"})
