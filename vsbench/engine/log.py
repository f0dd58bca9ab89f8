"""The training log: log.csv, one row per logged step."""

import csv
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vsbench.errors import RunError
from vsbench.files import ask, named, open_regular, read_text, write_text
from vsbench.names import said

HEAD = ("step", "epoch", "lr", "images_per_s", "memory_mb")
LARGEST = 1 << 30  # bytes: of ten million rows
LONGEST = 1 << 14  # bytes of a row, head or other, when the end of a log is looked at
STEP = re.compile(r"\d{1,18}", re.ASCII)


@dataclass
class Tally:
    """Losses summed since the last row. A checkpoint keeps it, so that the next row is the uninterrupted run's."""

    steps: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, losses: dict[str, float]) -> None:
        """Count one step."""
        self.steps += 1
        for term, value in losses.items():
            self.sums[term] = self.sums.get(term, 0.0) + value

    @property
    def means(self) -> dict[str, float]:
        """Per step."""
        return {term: total / self.steps for term, total in self.sums.items()}

    def state(self) -> dict[str, Any]:
        """What ``Tally(**state)`` goes on from."""
        return asdict(self)


class TrainingLog:
    """Appends rows to log.csv; a resumed run first forgets the rows after its checkpoint."""

    def __init__(self, path: Path, losses: tuple[str, ...], step: int) -> None:
        self.path = path
        self.columns = (*HEAD, *losses)
        write_text(path, "\n".join([",".join(self.columns), *kept_rows(path, self.columns, step)]) + "\n")

    def append(self, row: dict[str, float | int]) -> None:
        """Write one row; a loss whose weight is 0 stays empty."""
        ask(self.path)
        with named(self.path), self.path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self.columns, restval="", lineterminator="\n").writerow(row)
            file.flush()
            os.fsync(file.fileno())  # a checkpoint written after it must not outlive it


def rows_of(path: Path) -> Iterator[dict[str, float]]:
    """The rows of the log of a training that goes on, by column, what is empty left out."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield {name: float(cell) for name, cell in row.items() if cell}


def kept_rows(path: Path, columns: Sequence[str], step: int) -> list[str]:
    """The rows of a table of steps up to ``step``; none where it is missing. One cut in mid-write is left out.

    Raises RunError naming the table where it has other ``columns``, or anything but numbers in a row before the last.
    """
    if step == 0 or not path.exists():
        return []
    try:
        head, *rows = read_text(path, LARGEST).splitlines() or [""]
        if head != ",".join(columns):
            raise ValueError("other columns")
        if rows and not _is_row(rows[-1], columns):
            del rows[-1]
        if wrong := [number for number, row in enumerate(rows, 2) if not _is_row(row, columns)]:
            raise ValueError(f"line {wrong[0]} is no row")
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: damaged ({said(error)}); mend it, or move it away, and go on with --resume") from None
    return [row for row in rows if int(row.partition(",")[0]) <= step]


def _is_row(row: str, columns: Sequence[str]) -> bool:
    """A step, and a number or nothing in each other column."""
    step, *cells = row.split(",")
    return (
        len(cells) + 1 == len(columns)
        and STEP.fullmatch(step) is not None
        and all(map(_is_number, filter(None, cells)))
    )


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def last_row(path: Path) -> dict[str, float] | None:
    """The last whole row of a log by column, what is empty left out; None where there is none yet.

    Only the end of the file is read, so that it costs the same while a training is days old.
    """
    try:
        with open_regular(path) as file:
            columns = file.readline(LONGEST).decode("utf-8", "replace").rstrip("\n").split(",")
            begin = max(file.tell(), os.fstat(file.fileno()).st_size - LONGEST)
            file.seek(begin)
            rows = file.read(LONGEST).decode("utf-8", "replace").splitlines(keepends=True)
    except OSError:
        return None
    if begin > 0 and columns[:1] == [HEAD[0]]:
        for row in reversed(rows):
            if row.endswith("\n") and _is_row(row.rstrip("\n"), columns):
                cells = zip(columns, row.rstrip("\n").split(","), strict=True)
                return {name: float(cell) for name, cell in cells if cell}
    return None
