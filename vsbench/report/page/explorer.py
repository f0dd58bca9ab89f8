"""The failure explorer's data: for each run and each column of its per-image table the worst, median and best images.

Small pictures are written for those images alone, and for the first seed of a method; full images stay where they are,
and the page points to them: to links beside it where they lie outside of the results (``page.links``).
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from vsbench.data.decode import read_image
from vsbench.environment import processors
from vsbench.errors import DataError, RunError
from vsbench.evaluation.evaluated import read_table
from vsbench.files import ask, named, write_text
from vsbench.metric import Best, Value, penalty
from vsbench.report.notation import markup, slug, stain_name
from vsbench.report.page.links import reach
from vsbench.report.page.texts import embedded
from vsbench.report.printed import declared
from vsbench.report.tables import Comparison, EvaluatedRun

WORST, MEDIAN, BEST = 4, 3, 4  # images shown of each
SIDE = 256  # pixels, of the longer side of a small picture
QUALITY = 75  # of its JPEG
THREADS = min(4, processors())  # decoding and encoding leave Python's lock
PARTS = ("he", "ihc", "truth")

Job = tuple[Path, Path]  # image, small picture


@dataclass(frozen=True)
class Choice:
    """The images of one run to show, by column: numbers of pairs with their values as text."""

    worst: list[tuple[int, str]]
    median: list[tuple[int, str]]
    best: list[tuple[int, str]]

    def pairs(self) -> Iterator[int]:
        """The numbers of all pairs."""
        yield from (number for number, _ in (*self.worst, *self.median, *self.best))


def choose(table: pd.DataFrame, column: str, best: Best) -> Choice:
    """The images with the worst, median and best numbers of a column; ties by id; images without a number left out.

    An image is in one group only: with few of them the median group is empty first.
    """
    known = table[["id", column]].dropna()
    known = known.assign(penalty=penalty(known[column], best)).sort_values(["penalty", "id"])
    order = [(int(number), f"{value:.4g}") for number, value in zip(known.index, known[column], strict=True)]
    good = min(BEST, len(order) // 2)
    bad = min(WORST, len(order) - good)
    rest = order[good : len(order) - bad]
    skip = max(0, (len(rest) - MEDIAN) // 2)
    return Choice(order[len(order) - bad :][::-1], rest[skip : skip + MEDIAN], order[:good])


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
    jobs: list[Job] = []
    for row in (row for row in comparison.rows if row.is_method and comparison.same_data(row)):
        offered: list[list[Any]] = []
        for run in row.runs:
            try:
                table = read_table(run.summary.parent, [pair.id for pair in pairs]).reset_index()
            except RunError as error:
                warn(f"{comparison.name}: no failure explorer of {row.title}; {error}")
                continue
            choices = _choices(table)
            numbers = sorted({number for choice in choices.values() for number in choice.pairs()})
            fakes = {number: run.folder / str(run.pairs[number].fake) for number in numbers}
            small = None
            if not offered:  # other seeds show their full images
                small = f"page/{name}/{len(methods)}-"
                jobs += [(path, out / f"{small}{number}.jpg") for number, path in fakes.items()]
            offered.append([len(runs), run.folder.name if run.seed is None else f"seed {run.seed}"])
            seen = {
                number: reach(path, out / f"page/{name}/full-{len(runs)}-{number}{path.suffix}", out, results)
                for number, path in fakes.items()
            }
            runs.append(_chosen(choices) | {"fakes": seen, "small": small})
            used.update(numbers)
            columns |= {column: _column(column) for column in choices}
        if offered:
            methods.append({"title": row.title, "runs": offered})
    tissue = comparison.typical.folder
    there = {number: {part: getattr(pairs[number], part) for part in PARTS} for number in sorted(used)}
    for number, parts in there.items():
        jobs += [(tissue / path, out / f"page/{name}/{part}-{number}.jpg") for part, path in parts.items() if path]
    slides = _slides(comparison.typical)
    data = {
        "runs": runs,
        "small": f"page/{name}/",
        "pairs": {
            number: {"id": pairs[number].id, "slide": slides.get(pairs[number].id, "")}
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
    return [script, *write_small(jobs, comparison.name, warn)], offer


def write_small(jobs: Iterable[Job], name: str, warn: Callable[[str], None]) -> list[Path]:
    """Write small pictures; those written. ``warn`` is told how many images can't be read, and of the first."""
    written, broken = [], []
    with ThreadPoolExecutor(THREADS) as pool:
        for target, fault in pool.map(_write_small, jobs):
            if fault is None:
                written.append(target)
            else:
                broken.append(fault)
    if broken:
        warn(f"{name}: {len(broken)} images of the failure explorer can't be shown; first: {broken[0]}")
    return written


def _write_small(job: Job) -> tuple[Path, str | None]:
    source, target = job
    ask(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        image = read_image(source)
    except DataError as error:
        target.unlink(missing_ok=True)  # of an earlier report
        return target, str(error)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    with named(target):
        image.save(target, quality=QUALITY, icc_profile=None, exif=b"")
    return target, None


def _choices(table: pd.DataFrame) -> dict[str, Choice]:
    known = {column: value for column, value in declared_columns().items() if column in table}
    return {c: choose(table, c, value.best) for c, value in known.items() if table[c].notna().any()}


def _chosen(choices: dict[str, Choice]) -> dict[str, Any]:
    """``chosen``: column → worst, median, best as [number, value]."""
    return {"chosen": {column: [choice.worst, choice.median, choice.best] for column, choice in choices.items()}}


@cache
def declared_columns() -> dict[str, Value]:
    """The columns that tell good images from bad, by name: those whose mean is a value of a registered metric."""
    return {value.column: value for value in declared().values() if value.column is not None}


def _column(column: str) -> dict[str, Any]:
    value = declared_columns()[column]
    label = markup(value.label) if value.name == column else [("", column)]
    return {"label": label, "unit": "" if value.unit == "1" else value.unit, "best": value.best}


def _slides(run: EvaluatedRun) -> dict[str, str]:
    try:
        slides = read_table(run.summary.parent)["slide"].fillna("")
    except RunError:
        return {}
    return {str(image): slide for image, slide in slides.items()}
