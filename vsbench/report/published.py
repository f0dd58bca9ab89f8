"""What papers printed, typos and all, as data; and the places where a paper contradicts itself.

One paper is two files of one name: ``NAME.csv`` with a printed number per row, and ``NAME.yaml`` with its ``source``
(the citation) and, where the paper gives one training several names, ``same``: name as printed → name that stands for
all. A method named with its reference number is written without it.

    table     I, II, …, or where in the text:  text IV-D2
    dataset, stain, method                     empty where the paper names none
    metric    the house's word: r_p, fid, …
    value     the digits as printed: 4,361 or 8.50% too
    flag      the rules that it breaks, alone or with other numbers; blanks between
    note      anything
    mark      best or second, where the print marks it so; the column may be left out

The rules know no paper: they compare what stands in the rows.
"""

import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from vsbench import registry
from vsbench.errors import UserError
from vsbench.files import read_text
from vsbench.metric import penalty
from vsbench.names import brief, said
from vsbench.plain_yaml import read_yaml

LARGEST = 1 << 24  # bytes of a table
LONGEST = 40  # characters of a number
COLUMNS = ("table", "dataset", "stain", "method", "metric", "value", "flag", "note")
MARKS = ("best", "second")
RULES = {
    "range": "the metric cannot have this value",
    "average": "a mean is not the mean of its parts, whatever their rounding",
    "differs": "one number, printed differently in two places",
    "mark": "marked as best or second best, which another number in its column is",
    "copy": "identical digits where two numbers are expected; one such pair may be chance",
}
RANGES = {
    **dict.fromkeys(("r_c", "r_p", "r_avg"), (-100, 100)),  # %
    "ssim": (-1, 1),
    "phv_avg": (0, 1),
    **dict.fromkeys(("ccc", "ccc_balanced", "clinical_kappa"), (-1, 1)),
    "r_p_balanced": (-100, 100),
    **dict.fromkeys(("cell_auc", "mask_dice", "mask_dice_best", "mask_iou"), (0, 1)),
    **dict.fromkeys(
        ("fid", "iod", "psnr", "psnr_pooled", "iod_mae", "iod_mae_balanced", "fd_vgg16", "lpips", "truth_mae"),
        (0, None),
    ),
}
AVERAGES = {"r_avg": ("r_c", "r_p")}
COPY_DIGITS = 4  # significant ones; fewer are equal by chance too often
# what two numbers have in common, and what tells them apart, so that they are expected to differ
COPIES = (
    ("other data", ("who", "metric"), ("dataset", "stain")),
    ("another metric", ("who", "dataset", "stain"), ("metric",)),
    ("another method", ("metric", "dataset", "stain"), ("who",)),
)
_NUMBER = re.compile(r"-?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?%?")


@dataclass(frozen=True)
class Row:
    """A printed number. ``line`` is its line in the file, ``who`` the method under the name that stands for all."""

    line: int
    who: str
    table: str
    dataset: str
    stain: str
    method: str
    metric: str
    value: str
    flag: str
    note: str
    mark: str = ""

    @property
    def number(self) -> Decimal:
        """The value as a number, with the decimals that were printed; a percentage stays in %."""
        return Decimal(self.value.replace(",", "").rstrip("%"))

    @property
    def half(self) -> Decimal:
        """Half a unit of the last printed place: how far the number may be from what was rounded."""
        return Decimal(5).scaleb(_exponent(self.number) - 1)

    def __str__(self) -> str:
        place = self.table if self.table.startswith("text") else f"Table {self.table}"
        return " ".join(filter(None, (place, self.dataset, self.stain, self.method, self.metric, self.value)))


@dataclass(frozen=True)
class Paper:
    """The numbers of a paper, in the order of its file."""

    name: str
    source: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Finding:
    """A contradiction: the broken rule, what it says, and the rows that take part."""

    paper: str
    rule: str
    says: str
    rows: tuple[Row, ...]


def load_all(folder: Path) -> list[Paper]:
    """The papers of a folder by name. UserError where a file is not as it must be."""
    return [load(file) for file in sorted(folder.glob("*.csv"))]


def load(path: Path) -> Paper:
    """A paper from its CSV file and the YAML file beside it. UserError names the file, the line and the fault."""
    source, same = _sidecar(path.with_suffix(".yaml"))
    rows: list[Row] = []
    places: dict[tuple[str, ...], int] = {}
    for line, fields in read_rows(path, (COLUMNS, (*COLUMNS, "mark"))):
        if fault := row_fault(fields):
            raise UserError(f"{path}, line {line}: {fault}")
        key = tuple(fields[column] for column in COLUMNS[:5])
        if key in places:
            raise UserError(f"{path}, line {line}: the same place as line {places[key]}; remove one of them")
        places[key] = line
        rows.append(Row(line=line, who=same.get(fields["method"], fields["method"]), **fields))
    for name in [*same, *same.values()]:
        if name not in {row.method for row in rows}:
            card = path.with_suffix(".yaml")
            raise UserError(f"{card}: same: no method {brief(name)} in {path.name}; write it as there")
    return Paper(path.stem, source, tuple(rows))


def read_rows(path: Path, heads: Sequence[tuple[str, ...]]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and fields of each row of a CSV file whose first line is one of ``heads``. UserError names what is wrong."""
    try:
        text = io.StringIO(read_text(path, LARGEST))
        table = pd.read_csv(text, dtype=str, keep_default_na=False, skip_blank_lines=False)
    except (OSError, ValueError) as error:  # pandas' own are ValueErrors too
        raise UserError(f"{path}: can't be read as CSV in UTF-8 ({said(error)}); mend it") from None
    if tuple(table.columns) not in heads:
        may = f", and may end in ,{heads[-1][-1]}" if len(heads) > 1 else ""
        raise UserError(f"{path}: the first line must be {','.join(heads[0])}{may}")
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes what is too much for names of rows
        raise UserError(f"{path}: lines have more than {len(table.columns)} fields; quote a value that holds a comma")
    for line, cells in enumerate(table.to_dict("records"), start=2):
        yield line, {str(column): str(cell) for column, cell in cells.items()}


def audit(paper: Paper) -> list[Finding]:
    """The contradictions of a paper: rule by rule, within a rule in the order of the file."""
    rules: dict[str, Callable[[Sequence[Row]], Iterator[tuple[str, tuple[Row, ...]]]]] = {
        "range": _range,
        "average": _average,
        "differs": _differs,
        "mark": _mark,
        "copy": _copy,
    }
    return [
        Finding(paper.name, name, says, rows) for name, broken in rules.items() for says, rows in broken(paper.rows)
    ]


def flags(findings: Iterable[Finding]) -> dict[int, str]:
    """Line → what its flag should be, from the findings of one paper; lines without a flag are left out."""
    broken: dict[int, list[str]] = defaultdict(list)
    for finding in findings:
        for row in finding.rows:
            broken[row.line].append(finding.rule)
    return {line: " ".join(dict.fromkeys(rules)) for line, rules in sorted(broken.items())}


def read_sidecar(path: Path, holds: str) -> Any:
    """What the YAML file beside a table says. UserError where it is missing, saying what it ``holds``, or damaged."""
    try:
        return read_yaml(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; write it, with {holds}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: can't be read as YAML in UTF-8 ({said(error)}); mend it") from None


def _sidecar(path: Path) -> tuple[str, dict[str, str]]:
    card = read_sidecar(path, "the paper's citation as source: …")
    source = card.get("source") if isinstance(card, dict) else None
    if not isinstance(source, str) or not source.strip():
        raise UserError(f"{path}: no citation; add a line source: …")
    if unknown := set(card) - {"source", "same"}:
        raise UserError(f"{path}: unknown key {brief(min(unknown))}; the keys are source and same")
    same = card.get("same", {})
    if not isinstance(same, dict) or not all(isinstance(name, str) for name in [*same, *same.values()]):
        raise UserError(f"{path}: same must map names to names; quote a name that looks like a number")
    return source.strip(), same


def row_fault(fields: dict[str, str]) -> str | None:
    """What is wrong with the fields of a row, and how to mend it."""
    for column in ("table", "metric", "value"):
        if not fields[column].strip():
            return f"no {column}; fill it in, or remove the line"
    if len(fields["value"]) > LONGEST:
        return f"value {brief(fields['value'])} has more than {LONGEST} characters; write the number as it was printed"
    if not _NUMBER.fullmatch(fields["value"]):
        return f"value {brief(fields['value'])} is no number; leave out the line of a number that was not printed"
    if unknown := [flag for flag in fields["flag"].split() if flag not in RULES]:
        return f"unknown flag {brief(unknown[0])}; one of {', '.join(RULES)}"
    if fields.get("mark", "") not in ("", *MARKS):
        return f"unknown mark {brief(fields['mark'])}; one of {', '.join(MARKS)}, or nothing"
    return None


def _range(rows: Sequence[Row]) -> Iterator[tuple[str, tuple[Row, ...]]]:
    for row in rows:
        low, high = RANGES.get(row.metric, (None, None))
        if (low is not None and row.number < low) or (high is not None and row.number > high):
            span = f"at least {low}" if high is None else f"from {low} to {high}"
            yield f"{row}: {row.metric} is {span}", (row,)


def _average(rows: Sequence[Row]) -> Iterator[tuple[str, tuple[Row, ...]]]:
    at = _group(rows, "who", "dataset", "stain")
    for row in rows:
        group = at[row.who, row.dataset, row.stain]
        parts = []
        for metric in AVERAGES.get(row.metric, ()):
            found = sorted((r for r in group if r.metric == metric), key=lambda r: r.table != row.table)
            parts += found[:1]  # of the same table, else of the first that has it
        if len(parts) < 2:
            continue
        mean = sum((part.number for part in parts), Decimal()) / len(parts)
        slack = row.half + sum((part.half for part in parts), Decimal()) / len(parts)
        if abs(row.number - mean) > slack:
            places = " and ".join(f"{part.metric} {part.value}" for part in parts)
            yield f"{row}: the mean of {places} is {mean}", (row, *parts)


def _differs(rows: Sequence[Row]) -> Iterator[tuple[str, tuple[Row, ...]]]:
    for group in _group(rows, "who", "dataset", "stain", "metric").values():
        if any(not _agree(first, second) for i, first in enumerate(group) for second in group[i + 1 :]):
            yield " | ".join(map(str, group)), tuple(group)


def _mark(rows: Sequence[Row]) -> Iterator[tuple[str, tuple[Row, ...]]]:
    directions = {v.name: v.best for metric in registry.load_all("vsbench.metrics")[0].values() for v in metric.values}
    for (_, _, _, metric), group in _group(rows, "table", "dataset", "stain", "metric").items():
        podium = sorted({row.number for row in group}, key=lambda n: penalty(float(n), directions.get(metric, "low")))
        for row in group:
            place = MARKS.index(row.mark) if row.mark and metric in directions else None
            if place is not None and row.number != podium[min(place, len(podium) - 1)]:
                right = next(other for other in group if other.number == podium[min(place, len(podium) - 1)])
                yield f"{row}: marked as {row.mark}, which is {right}", (row, right)


def _copy(rows: Sequence[Row]) -> Iterator[tuple[str, tuple[Row, ...]]]:
    results = [row for row in rows if row.method and row.dataset]  # counts of images repeat by right
    for what, common, apart in COPIES:
        for group in _group(results, "number", *common).values():
            different = len({tuple(getattr(row, name) for name in apart) for row in group}) > 1
            if different and max(_digits(row) for row in group) >= COPY_DIGITS:
                yield f"the same for {what}: {' | '.join(map(str, group))}", tuple(group)


def _group(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(getattr(row, name) for name in names)].append(row)
    return groups


def _agree(first: Row, second: Row) -> bool:
    """Whether both can be printed from one number: equal, or the one with fewer decimals is the other one, rounded."""
    if _exponent(first.number) == _exponent(second.number):
        return first.number == second.number
    coarse, fine = sorted((first, second), key=lambda row: row.half, reverse=True)
    return abs(coarse.number - fine.number) <= coarse.half + fine.half


def _exponent(number: Decimal) -> int:
    return int(number.as_tuple().exponent)


def _digits(row: Row) -> int:
    return len(row.number.as_tuple().digits)
