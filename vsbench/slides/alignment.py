"""Where a place of the H&E lies in the IHC: a matrix, and a smooth bending beside it. Read from what other tools write.

Places are (x, y) in pixels of a slide's largest level, from the corner of its first pixel.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsbench.errors import DataError
from vsbench.files import parse_json, read_text
from vsbench.names import brief, said

Array = NDArray[np.float64]
Direction = Literal["he-to-ihc", "ihc-to-he"]

LARGEST = 1 << 26  # bytes of a file with a transform
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
PRINTED = re.compile(r"\b(?:np\.|numpy\.)?(?:array|matrix|dtype|float64|float32)\b")  # beside the numbers, by numpy


@dataclass(frozen=True, eq=False)
class Alignment:
    """``matrix`` (3, 3): what is at (x, y, 1) in the H&E is at matrix · (x, y, 1) in the IHC, plus the bending.

    ``bending`` (rows, columns, 2): displacement (x, y) in pixels of the IHC at nodes over the H&E, ``spacing`` (x, y)
    pixels of the H&E apart, the first at its corner; bilinear between nodes, and beyond them as at the nearest. None:
    straight.
    """

    matrix: Array
    bending: Array | None = None
    spacing: tuple[float, float] = (1.0, 1.0)

    def __call__(self, places: ArrayLike) -> Array:
        """(…, 2) places in the H&E → (…, 2) in the IHC."""
        points = np.asarray(places, dtype=np.float64)
        moved = points @ self.matrix[:2, :2].T + self.matrix[:2, 2]
        return moved if self.bending is None else moved + _between(self.bending, points / np.array(self.spacing))

    @property
    def mirrored(self) -> bool:
        """Whether one of the sections lies the other face up."""
        return bool(np.linalg.det(self.matrix[:2, :2]) < 0)

    def scaled(self, he: float, ihc: float) -> "Alignment":
        """The same for slides whose pixels are so many times as fine."""
        matrix = np.diag([ihc, ihc, 1.0]) @ self.matrix @ np.diag([1 / he, 1 / he, 1.0])
        bending = None if self.bending is None else self.bending * ihc
        return Alignment(matrix, bending, (self.spacing[0] * he, self.spacing[1] * he))

    def as_json(self) -> dict[str, Any]:
        """For ``read_alignment``."""
        bent = None if self.bending is None else np.round(self.bending, 3).tolist()
        return {"maps": "he-to-ihc", "matrix": self.matrix.tolist(), "bending": bent, "spacing": list(self.spacing)}


def same_frame(he_pixel: float, ihc_pixel: float) -> Alignment:
    """Of slides that are registered already, from the µm of their pixels."""
    factor = he_pixel / ihc_pixel
    return Alignment(np.diag([factor, factor, 1.0]))


def read_alignment(path: Path, direction: Direction = "he-to-ihc") -> Alignment:
    """A transform from a file: 3×3 or 2×3 numbers, with any brackets and commas, in the order of rows.

    So QuPath's interactive alignment shows it, and numpy and VALIS print it; JSON may hold the rows, or an object with
    ``matrix``, and ``bending`` as ``as_json`` has it. ``direction``: what the numbers map, where the file does not say.

    Raises DataError, naming the file, where it holds no such numbers, or ones that turn a slide into a line.
    """
    try:
        text = read_text(path, LARGEST)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {said(error)}; a transform is a text of 3×3 numbers") from None
    try:
        alignment, told = _parsed(text)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: no transform that can be read ({said(error)}); write 3×3 numbers, row by row"
        ) from None
    if (told or direction) == "ihc-to-he":
        if alignment.bending is not None:
            raise DataError(f"{path}: bent, from IHC to H&E; save the transform from H&E to IHC")
        alignment = Alignment(np.asarray(np.linalg.inv(alignment.matrix), np.float64))
    return alignment


def _parsed(text: str) -> tuple[Alignment, str | None]:
    content: Any = parse_json(text) if text.lstrip()[:1] == "{" else {"matrix": _numbers(text)}
    matrix = np.array(content["matrix"], dtype=np.float64)
    if matrix.size == 6:
        matrix = np.vstack([matrix.reshape(2, 3), [0, 0, 1]])
    if matrix.size != 9:
        raise ValueError(f"{matrix.size} numbers, where 3×3 or 2×3 are a transform")
    matrix = matrix.reshape(3, 3)
    if not np.isfinite(matrix).all():
        raise ValueError("a number that is not finite")
    if not np.allclose(matrix[2], [0, 0, 1], atol=1e-9):
        raise ValueError(f"its last row is {brief(matrix[2].tolist())}, where an affine one has 0 0 1")
    if abs(np.linalg.det(matrix[:2, :2])) < 1e-9:
        raise ValueError("it turns an area into a line")
    told = content.get("maps")
    if told not in (None, "he-to-ihc", "ihc-to-he"):
        raise ValueError(f"maps {brief(told)}, where it may be he-to-ihc or ihc-to-he")
    if content.get("bending") is None:
        return Alignment(matrix), told
    bending = np.array(content["bending"], dtype=np.float64)
    x, y = (float(step) for step in content["spacing"])
    if bending.ndim != 3 or bending.shape[2] != 2 or not np.isfinite(bending).all() or min(x, y) <= 0:
        raise ValueError("a bending that is no grid of displacements")
    return Alignment(matrix, bending, (x, y)), told


def _numbers(text: str) -> list[float]:
    bare = PRINTED.sub(" ", text)
    if words := re.findall(r"[^\W\d_]{2,}", NUMBER.sub(" ", bare)):
        raise ValueError(f"words among the numbers: {brief(words[0])}")
    return [float(number) for number in NUMBER.findall(bare)]


def _between(nodes: Array, places: Array) -> Array:
    """Bilinear between nodes (rows, columns, 2) at (…, 2) places (x, y) in steps of the grid."""
    rows, columns = nodes.shape[:2]
    x = np.clip(places[..., 0], 0, columns - 1)
    y = np.clip(places[..., 1], 0, rows - 1)
    left = np.minimum(x.astype(int), max(columns - 2, 0))
    top = np.minimum(y.astype(int), max(rows - 2, 0))
    right, below = np.minimum(left + 1, columns - 1), np.minimum(top + 1, rows - 1)
    u, v = (x - left)[..., None], (y - top)[..., None]
    above = (1 - u) * nodes[top, left] + u * nodes[top, right]
    return (1 - v) * above + v * ((1 - u) * nodes[below, left] + u * nodes[below, right])
