"""Cells of CSV files that a spreadsheet would execute."""

import csv
import io

import numpy as np
import pandas as pd
import pytest

from vsbench.cells import neutral, neutral_row, neutral_table, plain, plain_table

TEXTS = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-x",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "'=1",
    "''=1",
    "'quoted'",
    "",
    "a=b",
    "-1.5",
    "NA",
]


@pytest.mark.parametrize("text", TEXTS)
def test_no_cell_begins_as_a_formula_and_all_are_read_back(text: str) -> None:
    written = neutral(text)
    assert plain(written) == text
    assert written[:1] not in tuple("=+-@\t\r") or float(written)
    assert neutral_row({"a": text, "b": 3}) == {"a": written, "b": 3}


def test_a_table_is_read_back_whole_and_numbers_stay_numbers() -> None:
    texts = [text for text in TEXTS if "\r" not in text]
    table = pd.DataFrame({"id": texts, "=head": np.linspace(-1, 1, len(texts))})
    text = neutral_table(table).to_csv(index=False)
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == ["id", "'=head"]
    assert rows[1][0].startswith("'=")
    assert rows[1][1] == "-1.0"
    again = plain_table(pd.read_csv(io.StringIO(text, newline=""), dtype={"id": str}, keep_default_na=False))
    pd.testing.assert_frame_equal(again, table, check_dtype=False)
