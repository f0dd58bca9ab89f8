"""A CSV of slide pairs: which H&E and IHC belong together, of which stain and patient, and how they are aligned."""

import csv
import re
from collections import Counter
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

from vsbench.data.pairs import few
from vsbench.data.splits import by_slide
from vsbench.errors import DataError, UsageError
from vsbench.files import read_text
from vsbench.markers import marker
from vsbench.names import brief, checked_name, said
from vsbench.slides.reading import Slide

LARGEST = 1 << 26  # bytes
NEEDED = ("he", "ihc", "stain", "patient")
OPTIONAL = ("transform", "slide", "split", "he_mpp", "ihc_mpp", "generated")
SPLITS = ("train", "test")


@dataclass(frozen=True)
class SlidePair:
    """A line of the list. ``name``: of the H&E's slide, in file names; ``*_mpp``: µm a pixel where the list says it.

    ``transform``: file of a matrix from H&E to IHC. ``generated``: a slide to be judged. ``patient`` and
    ``name`` hold no "_".
    """

    he: Path
    ihc: Path
    stain: str
    patient: str
    name: str
    split: str
    transform: Path | None = None
    he_mpp: float | None = None
    ihc_mpp: float | None = None
    generated: Path | None = None

    @property
    def id(self) -> str:
        """What its tiles' names begin with."""
        return f"{self.patient}_{self.name}"


@dataclass(frozen=True)
class PairList:
    """``others``: columns that are not read."""

    pairs: list[SlidePair]
    others: list[str]


def read_pair_list(path: Path, ratio: float, seed: int, splits: bool = True) -> PairList:
    """The pairs of a list, files relative to its folder, patients split by ``by_slide`` where it has no split column,
    unless they are not to be split: then their split is "".

    Raises DataError, naming file and line: columns or values that are missing, files that are not there, one pair
    twice, two slides of one name, a patient in two splits, too few patients to split.
    """
    try:
        text = read_text(path, LARGEST)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {said(error)}; PAIRS is a CSV with the columns {', '.join(NEEDED)}") from None
    reader = csv.DictReader(StringIO(text, newline=""), strict=True)
    try:
        head = [(name or "").strip().lower() for name in reader.fieldnames or []]
        if missing := [name for name in NEEDED if name not in head]:
            raise DataError(f"{path}: no column {', '.join(missing)}; its first line has {', '.join(head) or 'none'}")
        if doubled := [name for name, times in Counter(head).items() if name and times > 1]:
            raise DataError(f"{path}: two columns are called {doubled[0]}")
        reader.fieldnames = head
        rows = [(reader.line_num, row) for row in reader if any(isinstance(v, str) and v.strip() for v in row.values())]
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: no CSV ({said(error)})") from None
    if not rows:
        raise DataError(f"{path}: no pair in it; write a line for each")
    pairs = [_pair(path, line, row) for line, row in rows]
    _require_apart(path, [line for line, _ in rows], pairs, [str(row["patient"]).strip() for _, row in rows])
    if splits and "split" not in head:
        sides = _split(path, pairs, ratio, seed)
        pairs = [replace(pair, split=sides[pair.patient]) for pair in pairs]
    return PairList(pairs, [name for name in head if name and name not in (*NEEDED, *OPTIONAL)])


def _pair(path: Path, line: int, row: dict[str | None, str | list[str] | None]) -> SlidePair:
    where = f"{path}: line {line}"
    if None in row:
        raise DataError(f"{where}: more values than columns; put those that hold a comma into quotes")
    cells = {name: value.strip() for name, value in row.items() if name and isinstance(value, str) and value.strip()}
    if missing := [name for name in NEEDED if name not in cells]:
        raise DataError(f"{where}: no {', '.join(missing)}")
    split = cells.get("split", "").lower()
    if "split" in row and split not in SPLITS:
        raise DataError(f"{where}: split {brief(cells.get('split', ''))}: train or test")
    files = {name: path.parent / cells[name] for name in ("he", "ihc", "transform", "generated") if name in cells}
    for file in files.values():
        if not file.exists():
            raise DataError(f"{where}: {file}: no such file; paths are relative to the list's folder")
    try:
        stain = checked_name(marker(cells["stain"]), f"{where}: stain")
        patient = _part(cells["patient"], f"{where}: patient")
        name = _part(cells.get("slide") or _stem(files["he"]), f"{where}: slide")
    except UsageError as error:
        raise DataError(str(error)) from None
    he_mpp, ihc_mpp = (_micrometres(where, column, cells.get(column)) for column in ("he_mpp", "ihc_mpp"))
    transform, generated = (files.get(column) for column in ("transform", "generated"))
    return SlidePair(files["he"], files["ihc"], stain, patient, name, split, transform, he_mpp, ihc_mpp, generated)


def pixel_of(slide: Slide, told: float | None, column: str) -> float:
    """µm a pixel of a slide, as a ``column`` of the list has ``told`` or it tells itself. DataError: neither does."""
    pixel = told if told is not None else slide.pixel_size
    if pixel is None:
        raise DataError(
            f"{slide.file}: does not tell how many µm a pixel has; write it into a column {column} of the list"
        )
    return pixel


def _stem(file: Path) -> str:
    """Without its ending; ``.ome.tif`` is one."""
    return re.sub(r"(?i)\.ome$", "", file.stem)


def _part(text: str, option: str) -> str:
    """Of a tile's name, in which "_" parts it from the next."""
    return checked_name(re.sub(r"[^\w.+-]+|_", "-", text).strip("-."), option)


def _micrometres(where: str, column: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 100:
        raise DataError(f"{where}: {column} {brief(text)}: µm a pixel, such as 0.25")
    return value


def _require_apart(path: Path, lines: list[int], pairs: list[SlidePair], patients: list[str]) -> None:
    """``patients``: as the list spells them."""
    seen: dict[tuple[str, str], tuple[int, SlidePair]] = {}
    names: dict[str, str] = {}
    splits: dict[str, str] = {}
    for line, pair, patient in zip(lines, pairs, patients, strict=True):
        where = f"{path}: line {line}"
        first, before = seen.setdefault((pair.stain, pair.id.lower()), (line, pair))
        if before is not pair:
            what = "the same pair" if (before.he, before.ihc) == (pair.he, pair.ihc) else "another slide"
            raise DataError(
                f"{where}: {what} is called {pair.id} too (line {first}); give names of their own in a column slide"
            )
        if names.setdefault(pair.patient.lower(), patient) != patient:
            other = names[pair.patient.lower()]
            raise DataError(f"{where}: patients {brief(patient)} and {brief(other)} have one name in files; rename one")
        if splits.setdefault(pair.patient, pair.split) != pair.split:
            raise DataError(f"{where}: patient {pair.patient} is train and test; a patient belongs to one split")


def _split(path: Path, pairs: list[SlidePair], ratio: float, seed: int) -> dict[str, str]:
    patients = list(dict.fromkeys(pair.patient for pair in pairs))
    if len(patients) < 2:
        raise DataError(
            f"{path}: a split by patient needs two or more, and all are {few(patients)}; write a column split, of "
            "train or test"
        )
    return by_slide(patients, ratio, seed)
