"""Printed numbers beside reruns: recomputed from the files, rule by rule, and as text, files and in the report."""

import csv
import json
import shutil
import subprocess
from io import StringIO
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import pytest
import yaml

from vsbench.errors import UsageError
from vsbench.records.reruns import Remark, RerunCard
from vsbench.report.build import build_report
from vsbench.report.latex.document import document
from vsbench.report.ledger import Ledger, read_ledger
from vsbench.report.published import Paper, Row
from vsbench.report.reruns import HEAD, Rerun, Reruns
from vsbench.report.spread import Column, Spreads, spreads_of
from vsbench.report.spread_files import write_spreads
from vsbench.report.spread_text import cells, summary

Tree = Any  # the class in conftest.py, which cannot be imported from here
LEDGER = Path(__file__).parents[2] / "results" / "published"
PRINTED = {"A": "40.0", "B": "50.0", "C": "55.0", "D": "70.0"}


@pytest.fixture(scope="module")
def spreads() -> Spreads:
    return spreads_of(read_ledger())


def column(spreads: Spreads, metric: str, stain: str, test: str = "") -> Column:
    (found,) = (c for c in spreads.columns if (c.metric, c.dataset, c.stain, c.test) == (metric, "mist", stain, test))
    return found


def ledger(*reruns: dict[str, str], printed: dict[str, str] = PRINTED, remarks: tuple[Remark, ...] = ()) -> Ledger:
    """A paper that prints these FIDs on MIST ER, and one source of reruns, 0 to n."""
    empty = dict.fromkeys(HEAD, "") | {"dataset": "mist", "stain": "er", "metric": "fid", "table": "II"}
    fields = {name: empty[name] for name in Row.__dataclass_fields__ if name in empty}
    rows = [
        Row(line=line, who=method, **fields | {"method": method, "value": value})
        for line, (method, value) in enumerate(printed.items(), start=2)
    ]
    found = []
    for line, given in enumerate(reruns, start=2):
        fields = empty | {"state": "submitted", "source": "someone/some:file", "run": str(line)} | given
        found.append(Rerun(line=line, who=fields["method"], **fields))
    card = RerunCard(schema=1, source="Someone")
    return Ledger((Paper("paper", "Someone et al.", tuple(rows)),), (Reruns("some", card, tuple(found)),), remarks)


def test_a_table_is_what_pandas_makes_of_the_files(spreads: Spreads) -> None:
    """FID on MIST ER, from the CSV files by another way: the lines of the source's table, and its one further run."""
    printed = pd.read_csv(LEDGER / "usigan.csv").query("table == 'II' and stain == 'er' and metric == 'fid'")
    claims = printed.assign(value=printed["value"].astype(float)).set_index("method")["value"]
    again = pd.read_csv(LEDGER / "reruns" / "basicvs.csv").query("stain == 'er' and metric == 'fid'")
    again = again[(again["table"] == "MIST_ER_metrics.csv") | again["unknown"].fillna("").str.contains("no line of")]
    names = yaml.safe_load((LEDGER / "reruns" / "basicvs.yaml").read_text())["same"]
    again = again.assign(who=again["method"].replace(names)).drop_duplicates(["who", "value"])
    again["printed"] = again["who"].map(claims)
    again = again.dropna(subset="printed")
    gaps = (again["value"] - again["printed"]).abs().groupby(again["who"]).median()
    pairs = [abs(a - b) for a, b in combinations(claims, 2)]

    found = column(spreads, "fid", "er")
    assert {spread.method: spread.typical for spread in found.spreads} == pytest.approx(gaps.to_dict())
    assert found.typical == pytest.approx(gaps.median())
    assert sorted(found.differences) == pytest.approx(sorted(pairs))
    assert found.smaller == sum(pair < gaps.median() for pair in pairs)
    assert found.lead == pytest.approx(claims.nsmallest(2).diff().iloc[-1])
    medians = again.groupby("who")[["printed", "value"]].median()
    swapped = sum((medians.loc[a] - medians.loc[b]).prod() < 0 for a, b in combinations(medians.index, 2))
    assert found.order == (swapped, len(list(combinations(medians.index, 2))))


@pytest.mark.parametrize(
    ("metric", "stain", "method", "printed", "reruns"),  # read in the files by eye
    [
        ("fid", "er", "PyramidP2P", ["91.714"], ["157.92614093752573", "120.69333428463926", "197.63230736966048"]),
        ("fid", "er", "SIM-GAN", ["34.614"], ["73.2645388425799"]),
        ("fid", "her2", "TDKStain", ["58.638"], ["83.15", "47.71"]),
        ("phv_avg", "her2", "ASP", ["0.5020"], ["0.503875"]),
        ("kid", "her2", "ASP", ["0.0124"], ["0.0111", "0.012", "0.023", "0.030"]),
    ],
)  # fmt: skip
def test_a_cell_has_the_numbers_of_the_files(
    spreads: Spreads, metric: str, stain: str, method: str, printed: list[str], reruns: list[str]
) -> None:
    (spread,) = (s for s in column(spreads, metric, stain).spreads if s.method == method)
    assert [str(given.value) for given in spread.printed] == printed
    assert sorted(str(given.value) for given in spread.reruns) == sorted(reruns)


def test_gap_claims_and_order() -> None:
    found = spreads_of(
        ledger({"method": "A", "value": "45.5"}, {"method": "A", "value": "61"}, {"method": "B", "value": "48"})
    )
    (one,) = found.columns
    a, b = one.spreads
    assert (a.gaps, a.typical, a.widest, a.passed, len(a.others)) == ([5.5, 21.0], 13.25, 21.0, 2, 3)
    assert (b.gaps, b.widest, b.passed) == ([-2.0], -2.0, 0)
    assert one.typical == median([13.25, 2.0])
    assert (one.lead, one.smaller, one.order) == (10.0, 1, (1, 1))
    assert cells(one, a) == ["A", "40.0", "45.5 … 61.0", "2", "13.2", "+21.0", "2 of 3"]
    assert summary(one) == ["mist ER", "FID", "2", "7.6", "15.0", "10.0", "1 of 6", "1 of 1"]


def test_runs_on_other_images_stand_apart_or_are_left_out() -> None:
    found = spreads_of(
        ledger(
            {"method": "A", "value": "41"},
            {"method": "A", "value": "42", "test": "crops"},
            {"method": "A", "value": "43", "training": "half of it"},
            {"method": "A", "value": "44", "stain": ""},
            {"method": "Z", "value": "45"},
        )
    )
    given = {c.test: [str(r.value) for s in c.spreads for r in s.reruns] for c in found.columns}
    assert given == {"": ["41"], "crops": ["42"]}
    assert sum(found.left_out.values()) == 3
    assert [c.test for c in found.on(own_test=True)] == [""]


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        ({"value": "49.3449"}, {"value": "49.34"}, 1),  # rounded
        ({"value": "49.3493"}, {"value": "49.34"}, 1),  # cut
        ({"value": "49.34"}, {"value": "49.36"}, 2),
        ({"value": "0.50"}, {"value": "0.51"}, 2),  # two seeds, in so few digits
        ({"value": "0.50"}, {"value": "0.50"}, 2),
        ({"value": "0.504", "run": "1"}, {"value": "0.50", "run": "1"}, 1),
    ],
)
def test_a_number_that_is_given_twice_counts_once(first: dict[str, str], second: dict[str, str], count: int) -> None:
    (one,) = spreads_of(ledger({"method": "A"} | first, {"method": "A"} | second)).columns
    assert len(one.spreads[0].reruns) == count


def test_second_hand_numbers_count_where_no_paper_has_one_and_stand_beside_where_one_has() -> None:
    def quoted(method: str, value: str) -> dict[str, str]:
        return {"method": method, "value": value, "state": "printed"}

    again = [{"method": "A", "value": "61.00"}, {"method": "Z", "value": "62.00"}, {"method": "Y", "value": "63.004"}]
    found = spreads_of(ledger(*again, quoted("A", "38.5"), quoted("Z", "39.5"), quoted("Y", "63.00")))
    (one,) = found.columns
    texts = {s.method: [[str(n.value) for n in part] for part in (s.printed, s.second_hand)] for s in one.spreads}
    assert texts == {"A": [["40.0"], ["38.5"]], "Z": [["39.5"], []]}  # Y's is its own run
    assert list(found.left_out.values()) == [1]


def test_a_thousandfold_metric_and_the_parts_of_a_mean_are_brought_to_one() -> None:
    parts = [{"method": "A", "metric": f"phv_l{i}", "value": f"0.{i}0", "run": "x"} for i in (1, 2, 3, 4)]
    printed = [
        {"method": "A", "metric": m, "value": v, "state": "printed"}
        for m, v in (("kid_1e3", "12.4"), ("phv_avg", "0.20"))
    ]
    found = spreads_of(ledger(*parts, {"method": "A", "metric": "kid", "value": "0.030"}, *printed))
    widest = {c.metric: c.spreads[0].widest for c in found.columns}
    assert widest == pytest.approx({"kid": 0.0176, "phv_avg": 0.05})


def test_an_impossible_printed_number_is_no_claim() -> None:
    given = ledger({"method": "A", "value": "41"}, {"method": "B", "value": "51"}, printed=PRINTED | {"B": "-50.0"})
    (one,) = spreads_of(given).columns
    assert one.claims.keys() == {"A", "C", "D"}
    assert [spread.method for spread in one.spreads] == ["A"]


def test_remarks_stand_with_their_method_or_with_all() -> None:
    of_a = Remark(dataset="mist", methods=["A"], says="trained on pairs", source="a/b#7")
    of_all = Remark(dataset="mist", says="split by patches", source="a/b#6")
    other = Remark(dataset="bci", says="something", source="a/b#5")
    (one,) = spreads_of(ledger({"method": "A", "value": "41"}, remarks=(of_a, of_all, other))).columns
    assert (one.remarks, one.spreads[0].remarks) == ((of_all,), (of_a,))


def test_an_unknown_metric_is_refused(vsbench, spreads: Spreads) -> None:
    with pytest.raises(UsageError, match="--metric 'fdi': not both printed and run again; one of psnr, "):
        spreads.of_metrics(["fid", "fdi"])
    refused = vsbench("published", "compare", "--metric", "fdi")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("words", [[], ["--all"]])
def test_the_command_fits_80_columns(vsbench, words: list[str]) -> None:
    told = vsbench("published", "compare", *words)
    assert (told.returncode, told.stderr) == (0, "")
    assert max(map(len, told.stdout.splitlines())) <= 80
    line = next(line for line in told.stdout.splitlines() if line.startswith("TDKStain"))
    assert " ".join(line.split()) == "TDKStain 48.930 72.948 … 99.162 2 37.125 +50.232 7 of 13"
    assert "lifangda01/AdaptiveSupervisedPatchNCE#7" in told.stdout
    assert ("FID, mist HER2 (good)" in told.stdout) is bool(words)


def test_own_numbers_are_compared_too_and_what_they_hold_is_no_formula(vsbench, tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "published" / "reruns"
    folder.mkdir(parents=True)
    row = dict.fromkeys(HEAD, "") | {
        "table": "log", "dataset": "mist", "stain": "er", "method": "CUT", "metric": "fid", "value": "60.5",
        "state": "reproduced", "source": "=cmd", "run": "seed 0",
    }  # fmt: skip
    with (folder / "mine.csv").open("w", newline="") as file:
        csv.writer(file).writerows([row.keys(), row.values()])
    (folder / "mine.yaml").write_text("schema: 1\nsource: this laboratory\n")
    words = ("published", "compare", "--results", tmp_path / "mine", "--metric", "fid")
    pairs = json.loads(vsbench(*words, "--json").stdout)
    assert [pair["gap"] for pair in pairs if pair["rerun_by"] == "mine"] == ["0.550"]
    told = vsbench(*words, "--out", tmp_path / "out")
    assert told.returncode == 0, told.stderr
    with (tmp_path / "out" / "pairs.csv").open(newline="") as file:
        (line,) = (line for line in csv.DictReader(file) if line["rerun_by"] == "mine")
    assert line["rerun_at"] == "'=cmd"


def test_files_of_somebody_else_stay(vsbench, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.csv").write_text("mine")
    refused = vsbench("published", "compare", "--out", tmp_path / "out")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["summary.csv"]
    assert (tmp_path / "out" / "summary.csv").read_text() == "mine"


def test_the_files_hold_what_is_compared(spreads: Spreads, tmp_path: Path) -> None:
    written = write_spreads(spreads, tmp_path)
    assert {path.name for path in written} == {path.name for path in tmp_path.iterdir()}
    table = pd.read_csv(tmp_path / "summary.csv", keep_default_na=False)
    assert len(table) == len(spreads.columns)
    er = table.query("metric == 'fid' and stain == 'er'").iloc[0]
    assert float(er["median_gap"]) == column(spreads, "fid", "er").typical
    drawn = pd.read_csv(StringIO((tmp_path / "spread.csv").read_text()))
    assert set(zip(drawn["dataset"], drawn["metric"], strict=True)) == {
        ("bci", "psnr"), ("bci", "ssim"), ("mist", "fid"), ("mist", "phv_avg"),
    }  # fmt: skip


def test_the_tables_compile(spreads: Spreads, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex")
    names = [path.name for path in write_spreads(spreads, tmp_path) if path.suffix == ".tex"]
    (tmp_path / "all.tex").write_text(document("Spread", [rf"\input{{{name}}}" for name in names]))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert "Overfull" not in ran.stdout


def test_the_supplement_of_a_report_has_them(tree: Tree, spreads: Spreads) -> None:
    tree.add("cut", {"r_p": 1.0})
    out = tree.results / "report"
    written = build_report(tree.results, out, latex=True, page=False, spreads=spreads, warn=lambda _: None)
    supplement = (out / "supplement.tex").read_text()
    for name in ("literature-spread.tex", "literature-spread-other.tex"):
        assert rf"\input{{tables/{name}}}" in supplement
        assert out / "tables" / name in written
    assert "{figures/spread.pdf}" in supplement
    assert out / "figures" / "spread.pdf" in written
