"""What others ran again: numbers that are no paper's, each with its state, its source and what is not known of it.

One source is two files of one name: ``NAME.csv``, and ``NAME.yaml`` (``records.reruns.RerunCard``). The columns are
those of ``published``, ``mark`` too, and then those below. ``kid_1e3`` is KID as many print it, times 1000; so with any
metric.

    state     printed, submitted or reproduced: see STATES
    source    where it stands: owner/repository:path, or a thread
    commit    of that file; may be empty
    run       what tells the runs of one name apart
    training  empty: the data set's own training pairs; else on what it was trained
    test      empty: the data set's own test images, all of them; else which ones
    unknown   what is not known of this number
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsbench.errors import UserError
from vsbench.names import brief
from vsbench.records.reruns import Remark, Remarks, RerunCard
from vsbench.report.published import COLUMNS, Row, read_rows, read_sidecar, row_fault

FOLDER = "reruns"
REMARKS = "remarks.yaml"
STATES = {
    "printed": "given as a paper's or its authors' number by the source, and so second-hand",
    "submitted": "somebody's own run, with what is known of it",
    "reproduced": "run by vsbench, from data to table",
}
OWN = ("state", "source", "commit", "run", "training", "test", "unknown")
HEAD = (*COLUMNS, "mark", *OWN)


@dataclass(frozen=True, kw_only=True)
class Rerun(Row):
    """A number that someone gives, as its file has it."""

    state: str
    source: str
    commit: str
    run: str
    training: str
    test: str
    unknown: str

    @property
    def where(self) -> str:
        """``owner/repository:path@commit``."""
        return f"{self.source}@{self.commit}" if self.commit else self.source


@dataclass(frozen=True)
class Reruns:
    """The numbers of one source, in the order of its file."""

    name: str
    card: RerunCard
    rows: tuple[Rerun, ...]


def load_reruns(folder: Path) -> list[Reruns]:
    """The sources of a folder by name; none where it is not there. UserError where a file is not as it must be."""
    return [_load(file) for file in sorted(folder.glob("*.csv"))]


def load_remarks(folder: Path) -> tuple[Remark, ...]:
    """What ``remarks.yaml`` of a folder holds; nothing where it is not there. UserError as ``load_reruns``."""
    file = folder / REMARKS
    return tuple(Remarks.checked(_mapping(file), file).remarks) if file.is_file() else ()


def _load(path: Path) -> Reruns:
    card_file = path.with_suffix(".yaml")
    card = RerunCard.checked(_mapping(card_file), card_file)
    rows: list[Rerun] = []
    places: dict[tuple[str, ...], int] = {}
    for line, fields in read_rows(path, [HEAD]):
        if fault := _fault(fields):
            raise UserError(f"{path}, line {line}: {fault}")
        key = tuple(fields[column] for column in (*COLUMNS[:5], *OWN[1:6]))
        if key in places:
            raise UserError(f"{path}, line {line}: the same place and run as line {places[key]}; remove one of them")
        places[key] = line
        rows.append(Rerun(line=line, who=card.same.get(fields["method"], fields["method"]), **fields))
    for name in card.same:
        if name not in {row.method for row in rows}:
            raise UserError(f"{card_file}: same: no method {brief(name)} in {path.name}; write it as there")
    return Reruns(path.stem, card, tuple(rows))


def _fault(fields: dict[str, str]) -> str | None:
    for column in ("method", "source"):
        if not fields[column].strip():
            return f"no {column}; fill it in, or remove the line"
    if fields["state"] not in STATES:
        return f"unknown state {brief(fields['state'])}; one of {', '.join(STATES)}"
    return row_fault(fields)


def _mapping(path: Path) -> Mapping[str, Any]:
    content = read_sidecar(path, "schema: 1 and source: …")
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: no mapping; write schema: 1 and so on, a line each")
    return content
