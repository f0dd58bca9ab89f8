"""Text in CSV files: what a spreadsheet would take for a formula and execute is kept from it, and read back exactly.

A cell of text that begins with = + - @, a tab or a carriage return gets a ' in front; so does one that begins with such
marks behind ' already, so that nothing is lost. Numbers stay as they are.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pandas as pd

Cell = TypeVar("Cell")
FORMULA = re.compile(r"'*[=+\-@\t\r]")
NEUTRAL = re.compile(r"'+[=+\-@\t\r]")


def neutral(cell: Cell) -> Cell | str:
    """A cell as it is written."""
    if not isinstance(cell, str) or not FORMULA.match(cell) or _is_number(cell):
        return cell
    return f"'{cell}"


def plain(cell: Cell) -> Cell | str:
    """A cell as it was before ``neutral``."""
    return cell[1:] if isinstance(cell, str) and NEUTRAL.match(cell) else cell


def neutral_row(row: Mapping[str, object]) -> dict[str, object]:
    """A line for csv.DictWriter."""
    return {name: neutral(cell) for name, cell in row.items()}


def neutral_table(table: "pd.DataFrame") -> "pd.DataFrame":
    """The table to write: names of columns, the index and cells of text made neutral. The one given stays."""
    table = table.copy(deep=False)
    for place, kind in enumerate(table.dtypes):
        if kind.kind not in "biufcmM":
            table.isetitem(place, table.iloc[:, place].map(neutral).array)
    if table.index.dtype.kind == "O":
        table.index = table.index.map(neutral)
    table.columns = table.columns.map(neutral)
    return table


def plain_table(table: "pd.DataFrame") -> "pd.DataFrame":
    """A table that was read, with its texts as they were. The one given stays."""
    table = table.copy(deep=False)
    for place, kind in enumerate(table.dtypes):
        if kind.kind not in "biufcmM":
            table.isetitem(place, table.iloc[:, place].map(plain).array)
    table.columns = table.columns.map(plain)
    return table


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()
