"""The failure explorer's data: for each run and each column of its per-image table the images to show.

Small pictures, each with a window enlarged, are written for those images alone, and for the first seed of a method;
full images stay where they are, and the page points to them: to links beside it where they lie outside of the results
(``page.links``).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from vsbench.data.decode import read_image, read_rgb
from vsbench.environment import processors
from vsbench.errors import DataError, RunError
from vsbench.evaluation.evaluated import read_table
from vsbench.files import ask, named, write_text
from vsbench.metric import Value
from vsbench.report.dab_scale import compared, mean_density
from vsbench.report.figures.inset import Window, choose_window
from vsbench.report.notation import markup, slug, stain_name
from vsbench.report.page.choice import DOSE, Choice, Ends, choose, choose_ends, with_dose
from vsbench.report.page.links import reach
from vsbench.report.page.texts import embedded
from vsbench.report.printed import declared
from vsbench.report.scale_bar import pixel_size, scale_bar
from vsbench.report.tables import Comparison, EvaluatedRun
from vsbench.stain.dab import read_levels

SIDE = 512  # pixels, of the longer side of a small picture: twice what the page shows, for fine screens
ZOOM = 256  # the same of an enlarged window
QUALITY = 75  # of their JPEG
THREADS = min(4, processors())  # decoding and encoding leave Python's lock
PARTS = ("he", "ihc", "truth")


@dataclass(frozen=True)
class View:
    """How the images of a pair are shown: height and width of the real IHC in pixels, its window to enlarge, and scale.

    Generated images may be of another size, with the same field of view.
    """

    size: tuple[int, int]
    window: Window
    pixel_size: float | None

    def box(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the window in an image of this width and height."""
        across, down = size[0] / self.size[1], size[1] / self.size[0]
        left, top = int(self.window.left * across), int(self.window.top * down)
        width, height = (max(1, round(side)) for side in (self.window.width * across, self.window.height * down))
        return left, top, left + width, top + height

    def described(self) -> dict[str, Any]:
        """For the page: ``shape``: width over height; ``window``: left, top, width, height in shares of the image."""
        (height, width), window = self.size, self.window
        bars = {"bar": scale_bar(width, self.pixel_size), "zoom": scale_bar(window.width, self.pixel_size)}
        shares = [window.left / width, window.top / height, window.width / width, window.height / height]
        return {
            "shape": round(width / height, 4),
            "window": [round(share, 5) for share in shares],
            **{name: [round(bar.share, 4), bar.text] for name, bar in bars.items()},
        }


Picture = tuple[Path, Path]  # an image, and its small picture


@dataclass(frozen=True)
class Tile:
    """The images to show of a pair, by its number: generated ones, and of its tissue, the ``real`` one among these."""

    number: int
    real: Path
    generated: list[Picture]
    others: list[Picture]


def write_explorer(comparison: Comparison, out: Path, warn: Callable[[str], None]) -> tuple[list[Path], dict[str, Any]]:
    """Write ``page/<comparison>.js`` and ``page/<comparison>/*.jpg``; what was written, and what to offer.

    To offer: where the data lie, methods with their runs, and columns. ``warn`` is told of runs without a usable
    per-image table and of images that can't be read; the page then has a word in their place.
    """
    name = slug(comparison.name)
    pairs, results = comparison.typical.pairs, comparison.typical.folder.parents[3]
    methods: list[dict[str, Any]] = []
    runs: list[dict[str, Any]] = []
    columns: dict[str, dict[str, Any]] = {}
    used: set[int] = set()
    small: dict[int, list[Picture]] = defaultdict(list)  # by number of the pair, generated images first
    for row in (row for row in comparison.rows if row.is_method and comparison.same_data(row)):
        offered: list[list[Any]] = []
        for run in row.runs:
            try:
                table = with_dose(read_table(run.summary.parent, [pair.id for pair in pairs]).reset_index())
            except RunError as error:
                warn(f"{comparison.name}: no failure explorer of {row.title}; {error}")
                continue
            choices = _choices(table)
            numbers = sorted({number for choice in choices.values() for number in choice.pairs()})
            fakes = {number: run.folder / str(run.pairs[number].fake) for number in numbers}
            stem = None
            if not offered:  # other seeds show their full images
                stem = f"page/{name}/{len(methods)}-"
                for number, path in fakes.items():
                    small[number].append((path, out / f"{stem}{number}.jpg"))
            offered.append([len(runs), run.folder.name if run.seed is None else f"seed {run.seed}"])
            seen = {
                number: reach(path, out / f"page/{name}/full-{len(runs)}-{number}{path.suffix}", out, results)
                for number, path in fakes.items()
            }
            chosen = {column: list(choice.groups().items()) for column, choice in choices.items()}
            runs.append({"chosen": chosen, **_said(table, numbers), "fakes": seen, "small": stem})
            used.update(numbers)
            columns |= {column: _column(column) for column in choices}
        if offered:
            methods.append({"title": row.title, "runs": offered})
    tissue = comparison.typical.folder
    there = {number: {part: getattr(pairs[number], part) for part in PARTS} for number in sorted(used)}
    tiles = [
        Tile(
            number,
            tissue / parts["ihc"],
            small[number],
            [(tissue / path, out / f"page/{name}/{part}-{number}.jpg") for part, path in parts.items() if path],
        )
        for number, parts in there.items()
    ]
    views, written = write_small(tiles, pixel_size(comparison.typical), comparison.name, warn)
    slides = _slides(comparison.typical)
    data = {
        "runs": runs,
        "small": f"page/{name}/",
        "pairs": {
            number: {"id": pairs[number].id, "slide": slides.get(pairs[number].id, "")}
            | (views[number].described() if number in views else {})
            | {
                part: reach(tissue / path, out / f"page/{name}/full-{part}-{number}{Path(path).suffix}", out, results)
                for part, path in parts.items()
                if path
            }
            for number, parts in there.items()
        },
    }
    script = out / "page" / f"{name}.js"
    write_text(script, f"explorerData({embedded(name)}, {embedded(data)});\n")
    offer = {"name": name, "stain": stain_name(comparison.stain), "methods": methods, "columns": columns}
    return [script, *written], offer


def no_explorer(comparison: Comparison, out: Path, warn: Callable[[str], None]) -> tuple[list[Path], dict[str, Any]]:
    """What to offer of a comparison whose images are not shown one by one."""
    return [], {"name": slug(comparison.name), "stain": stain_name(comparison.stain), "methods": [], "columns": {}}


def write_small(
    tiles: Iterable[Tile], size: float | None, name: str, warn: Callable[[str], None]
) -> tuple[dict[int, View], list[Path]]:
    """Write small pictures; how each pair is shown, but for those whose real IHC can't be read, and what was written.

    ``warn`` is told how many images can't be read, and of the first.
    """
    views, written, broken = {}, list[Path](), list[str]()
    with ThreadPoolExecutor(THREADS) as pool:
        for number, view, targets, faults in pool.map(lambda tile: _write_tile(tile, size), tiles):
            if view is not None:
                views[number] = view
            written += targets
            broken += faults
    if broken:
        warn(f"{name}: {len(broken)} images of the failure explorer can't be shown; first: {broken[0]}")
    return views, written


def _write_tile(tile: Tile, size: float | None) -> tuple[int, View | None, list[Path], list[str]]:
    """Its number, how it is shown, what was written, and what can't be read."""
    view, known, written, faults = None, dict[Path, Image.Image](), list[Path](), list[str]()
    with suppress(DataError):  # told where its own picture is due
        known[tile.real] = read_image(tile.real)
        levels = read_levels(np.asarray(known[tile.real])).levels
        window = choose_window(levels, _levels(path for path, _ in tile.generated))
        view = View((levels.shape[0], levels.shape[1]), window, size)
    for source, target in (*tile.generated, *tile.others):
        _remove(target)  # of an earlier report
        try:
            written += _write_small(known.get(source) or read_image(source), target, view)
        except DataError as error:
            faults.append(str(error))
    return tile.number, view, written, faults


def _enlarged(target: Path) -> Path:
    return target.with_stem(f"{target.stem}-zoom")


def _remove(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    for path in (target, _enlarged(target)):
        ask(path)
        path.unlink(missing_ok=True)


def _write_small(image: Image.Image, target: Path, view: View | None) -> list[Path]:
    pictures = {target: (image.copy(), SIDE)}
    if view is not None:
        pictures[_enlarged(target)] = (image.crop(view.box(image.size)), ZOOM)
    for path, (picture, side) in pictures.items():
        picture.thumbnail((side, side), Image.Resampling.BOX)
        with named(path):
            picture.save(path, quality=QUALITY, icc_profile=None, exif=b"")
    return list(pictures)


def _levels(images: Iterable[Path]) -> Iterator[NDArray[np.uint8]]:
    """The DAB levels of images, of those that can be read."""
    for image in images:
        with suppress(DataError):
            yield read_levels(read_rgb(image)).levels


def _choices(table: pd.DataFrame) -> dict[str, Choice | Ends]:
    """The error in stain first: it is what a reader must know."""
    ends: dict[str, Choice | Ends] = {DOSE: choose_ends(table)} if DOSE in table and table[DOSE].notna().any() else {}
    known = {column: value for column, value in declared_columns().items() if column in table}
    return ends | {c: choose(table, c, value.best) for c, value in known.items() if table[c].notna().any()}


def _said(table: pd.DataFrame, numbers: Iterable[int]) -> dict[str, dict[int, str]]:
    """Of the images that have them: ``real``: mean density of the real one, ``said``: both, and how they differ."""
    if DOSE not in table:
        return {"real": {}, "said": {}}
    known = table.loc[list(numbers), ["od", "od_real"]].dropna()
    return {
        "real": {int(number): mean_density(real) for number, _, real in known.itertuples()},
        "said": {int(number): compared(fake, real) for number, fake, real in known.itertuples()},
    }


@cache
def declared_columns() -> dict[str, Value]:
    """The columns that tell good images from bad, by name: those whose mean is a value of a registered metric."""
    return {value.column: value for value in declared().values() if value.column is not None}


def _column(column: str) -> dict[str, Any]:
    if column == DOSE:
        return {"label": [("", "error of mean DAB density")], "unit": "OD", "best": "zero"}
    value = declared_columns()[column]
    label = markup(value.label) if value.name == column else [("", column)]
    return {"label": label, "unit": "" if value.unit == "1" else value.unit, "best": value.best}


def _slides(run: EvaluatedRun) -> dict[str, str]:
    try:
        slides = read_table(run.summary.parent)["slide"].fillna("")
    except RunError:
        return {}
    return {str(image): slide for image, slide in slides.items()}
