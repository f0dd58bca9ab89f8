"""Phantom slides on disk: pyramids of the H&E, of the adjacent and of the true IHC, the cells, and how the two lie."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vsbench.errors import RunError
from vsbench.files import read_json, write_json, write_text
from vsbench.slides.geojson import geojson
from vsbench.slides.pyramid import TILE, Format, Pyramid

GRID = 20  # landmarks along a side, of the IHC


class Pose(Protocol):
    """How the adjacent section lies: ``matrix`` (3, 3) of (x, y, 1), from the IHC's pixels to the H&E's, and a bend."""

    matrix: NDArray[np.float64]
    bend: float

    def at(self, y: NDArray[Any], x: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(y, x) in the H&E of pixels of the IHC."""


class Specimen(Protocol):
    """Tissue that a data set renders window by window: what ``slide(stain, name, side, pose)`` of the phantom gives."""

    name: str
    side: int
    pose: Pose

    def window(self, kind: str, y: int, x: int, height: int, width: int) -> NDArray[np.uint8]:
        """(height, width, 3) of ``he``, ``ihc`` (adjacent) or ``truth`` at (y, x)."""

    def outlines(self) -> Iterator[tuple[NDArray[np.float64], str, bool]]:
        """Outline (N, 2) y, x, type, and whether it is positive, of each cell in the H&E's section."""


def write_phantom_slide(
    specimen: Specimen,
    folder: Path,
    pixel_size: float,
    plan: Mapping[str, Any],
    ending: str = ".ome.tif",
    quality: int | None = 90,
    kinds: tuple[str, ...] = ("he", "ihc", "truth"),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Write ``<name>-he``, ``-ihc`` and ``-truth`` with this ending, and beside them what is known of them.

    ``<name>-cells.geojson``: the cells of the H&E and the true IHC. ``<name>-pose.json``: the matrix from the IHC's
    pixels to the H&E's. ``<name>-landmarks.csv``: the same places in both, with what bends the section. ``plan``: what
    the pixels follow from, for a writer that was killed to go on. Raises RunError where another slide was begun there.
    """
    name, side = specimen.name, specimen.side
    slides = {kind: folder / f"{name}-{kind}{ending}" for kind in kinds}
    cells, lies, landmarks = (folder / f"{name}-{what}" for what in ("cells.geojson", "pose.json", "landmarks.csv"))
    form = Format(side, side, pixel_size, quality)
    pose = {"ihc_to_he": specimen.pose.matrix.tolist(), "bend": specimen.pose.bend, "pixel_size": pixel_size}
    _begin(lies, {**pose, "side": side, "quality": quality, "made_by": dict(plan)})
    left = {kind: file for kind, file in slides.items() if not file.exists()}
    pyramids = {kind: Pyramid(file, form, {"kind": kind, **plan}) for kind, file in left.items()}
    done = {kind: pyramid.done for kind, pyramid in pyramids.items()}
    for row in range(form.strips):
        height = min(TILE, side - row * TILE)
        wanted = [kind for kind in pyramids if row >= done[kind]]
        strips = {kind: np.empty((height, side, 3), np.uint8) for kind in wanted}
        for column in range(0, side, TILE):
            width = min(TILE, side - column)
            for kind in sorted(wanted, key=lambda kind: kind == "ihc"):  # the two of one section, one after the other
                strips[kind][:, column : column + width] = specimen.window(kind, row * TILE, column, height, width)
        for kind, strip in strips.items():
            pyramids[kind].append(row, strip)
        progress(row + 1, form.strips)
    for pyramid in pyramids.values():
        pyramid.finish()
    with geojson(cells) as add:
        for outline, kind, positive in specimen.outlines():
            add([outline], "detection", "Positive" if positive else "Negative", {f"is {kind}": 1})
    write_text(landmarks, _landmarks(specimen))
    return [*slides.values(), cells, lies, landmarks]


def _begin(file: Path, wanted: Mapping[str, Any]) -> None:
    """Write down what is made here, or raise RunError where it was something else."""
    if not file.exists():
        write_json(file, wanted)
        return
    try:
        same = read_json(file) == wanted
    except (OSError, ValueError):
        same = False
    if not same:
        raise RunError(f"{file}: of another slide of this name; give another --name or folder, or remove its files")


def _landmarks(specimen: Specimen) -> str:
    """A grid over the IHC, and where its points lie in the H&E, in pixels; those within the slide."""
    place = (np.arange(GRID) + 0.5) * specimen.side / GRID
    y, x = (values.ravel() for values in np.meshgrid(place, place, indexing="ij"))
    he_y, he_x = specimen.pose.at(y, x)
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["ihc_y", "ihc_x", "he_y", "he_x"])
    for row in zip(y, x, he_y, he_x, strict=True):
        if all(0 <= value < specimen.side for value in row):
            out.writerow([f"{value:.3f}" for value in row])
    return text.getvalue()
