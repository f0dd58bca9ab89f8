"""The numbers of reruns: valid, with the digits of their sources, and bad files refused in one line."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from vsbench.errors import UserError
from vsbench.report.ledger import read_ledger
from vsbench.report.reruns import HEAD, STATES, load_remarks, load_reruns

LEDGER = Path(__file__).parents[2] / "results" / "published" / "reruns"
CARD = "schema: 1\nsource: Someone, github.com/someone/some\n"
ROW = dict.fromkeys(HEAD, "") | {
    "table": "README", "dataset": "mist", "stain": "er", "method": "A", "metric": "fid", "value": "50.25",
    "state": "submitted", "source": "someone/some:README.md", "commit": "1234567",
}  # fmt: skip


def write(folder: Path, *rows: dict[str, str], card: str | None = CARD, head: tuple[str, ...] = HEAD) -> Path:
    """A source of these rows, each ``ROW`` but for what it says; its CSV file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "some.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, head, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(ROW | row for row in rows)
    if card is not None:
        path.with_suffix(".yaml").write_text(card, encoding="utf-8")
    return path


def test_every_file_of_the_ledger_is_read() -> None:
    found = load_reruns(LEDGER)
    assert {source.name: len(source.rows) for source in found} == {"basicvs": 177, "dekerf": 1260, "skoltech": 710}
    assert {f.stem for f in LEDGER.iterdir()} == {source.name for source in found} | {"remarks"}
    for source in found:
        assert source.card.source
        assert source.card.unknown
        assert {row.state for row in source.rows} <= STATES.keys()
        assert all(re.fullmatch(r"[\w.-]+/[\w.-]+:.+", row.source) for row in source.rows)
        assert all(re.fullmatch(r"[0-9a-f]{7}", row.commit) for row in source.rows)


@pytest.mark.parametrize("name", ["basicvs", "dekerf", "skoltech"])
def test_the_digits_are_those_of_the_sources(shared: Path, name: str) -> None:
    """And so are method, place, and the name under which the ledger has the method."""
    with (shared / "ledger" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        collected = [
            (*(row[column] for column in ("table", "dataset", "stain", "method", "metric", "value", "flag")),
             "printed" if row["state"] == "quoted" else "submitted", row["source"], row["who"] or None)
            for row in csv.DictReader(file)
        ]  # fmt: skip
    (source,) = (source for source in load_reruns(LEDGER) if source.name == name)
    own_name = {row[3] for row in collected if row[-1] is None}
    typed = [
        (row.table, row.dataset, row.stain, row.method, row.metric.removesuffix("_1e3"), row.value, row.flag,
         row.state, row.source.replace(":", f"@{row.commit}:"), None if row.method in own_name else row.who)
        for row in source.rows
    ]  # fmt: skip
    assert Counter(typed) == Counter(collected)


def test_the_remarks_name_their_sources() -> None:
    remarks = load_remarks(LEDGER)
    assert {"CycleGAN", "CUT"} <= {method for remark in remarks for method in remark.methods}
    assert all(re.fullmatch(r"[\w-]+/[\w-]+#\d+ \(.+\)", remark.source) for remark in remarks)


def test_where_no_reruns_are_there_are_none(tmp_path: Path) -> None:
    assert load_reruns(tmp_path / "reruns") == []
    assert load_remarks(tmp_path / "reruns") == ()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"state": "rerun"}], "line 2: unknown state 'rerun'; one of printed, submitted, reproduced"),
        ([{"source": ""}], "line 2: no source"),
        ([{"method": " "}], "line 2: no method"),
        ([{"value": "about 3"}], "line 2: value 'about 3' is no number"),
        ([{"value": "9" * 400}], "line 2: value '9+'… has more than 40 characters"),
        ([{"flag": "odd"}], "line 2: unknown flag 'odd'"),
        ([{}, {"run": "2"}, {"value": "1"}], "line 4: the same place and run as line 2"),
    ],
)
def test_a_bad_row_is_named_by_line(tmp_path: Path, rows: list[dict[str, str]], says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        load_reruns(write(tmp_path, *rows).parent)
    assert str(error.value).startswith(f"{tmp_path / 'some.csv'}, ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("card", "says"),
    [
        (None, "missing; write it, with schema: 1 and source"),
        ("", "no mapping"),
        ("schema: 2\nsource: A\n", "schema: "),
        ("schema: 1\n", "source: "),
        (CARD + "unkown: [seed]\n", "unkown: "),
        (CARD + "unknown: seed\n", "unknown: "),
        (CARD + "same: {B: C}\n", "same: no method 'B' in some.csv"),
        (CARD + "source: !!python/name:os.system A\n", "can't be read as YAML"),
    ],
)
def test_a_bad_card_is_named(tmp_path: Path, card: str | None, says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)) as error:
        load_reruns(write(tmp_path, {}, card=card).parent)
    assert str(error.value).startswith(f"{tmp_path / 'some.yaml'}: ")
    assert "\n" not in str(error.value)


def test_a_table_with_other_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the first line must be table,dataset,.*,unknown$"):
        load_reruns(write(tmp_path, {}, head=HEAD[:-1]).parent)


def test_bad_remarks_are_named(tmp_path: Path) -> None:
    (tmp_path / "remarks.yaml").write_text("schema: 1\nremarks: [{dataset: mist, says: something}]\n")
    with pytest.raises(UserError, match=r"remarks.yaml: remarks.0.source: ") as error:
        load_remarks(tmp_path)
    assert "\n" not in str(error.value)


def test_own_reruns_come_on_top_and_need_no_paper(tmp_path: Path) -> None:
    said: list[str] = []
    path = write(tmp_path / "reruns", {}, {"run": "2", "state": "reproduced"})
    found = read_ledger(tmp_path, said.append)
    assert [source.name for source in found.reruns] == ["basicvs", "dekerf", "skoltech", "some"]
    for suffix in ("csv", "yaml"):
        path.with_suffix(f".{suffix}").rename(path.with_name(f"dekerf.{suffix}"))
    found = read_ledger(tmp_path, said.append)
    assert [len(source.rows) for source in found.reruns if source.name == "dekerf"] == [2]
    assert said == [f"{tmp_path / 'reruns' / 'dekerf.csv'} stands in the place of the dekerf that ships with vsbench"]
