"""What the literature printed for a data set and stain, on small ledgers and on the one that is kept here."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from vsbench.report.printed import Block, blocks, doubts, method_names, same_method, short_source
from vsbench.report.published import Paper, load
from vsbench.report.tables import compare, load_results

Tree = Any  # the class in conftest.py, which cannot be imported from here
Ledger = Callable[..., Paper]

LEDGER = Path(__file__).parents[2] / "results" / "published" / "usigan.csv"
HEAD = "table,dataset,stain,method,metric,value,flag,note"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A paper from its lines."""

    def write(*lines: str, source: str = "Doe et al. A title. 2030", same: str = "") -> Paper:
        (tmp_path / "doe.csv").write_text("\n".join([HEAD, *lines]))
        (tmp_path / "doe.yaml").write_text(f"source: {source}\n{same}")
        return load(tmp_path / "doe.csv")

    return write


def numbers(found: Sequence[Block]) -> dict[str, dict[str, str]]:
    return {m.name: {k: n.row.value for k, n in m.numbers.items()} for block in found for m in block.methods}


def test_methods_are_those_of_the_longest_table_and_not_the_rows_of_ablations(ledger: Ledger) -> None:
    paper = ledger(
        "I,mist,er,no loss,fid,30.1,,", "I,mist,er,Ours,fid,20.5,,", "II,mist,er,A,fid,40,,", "II,mist,er,B,fid,50,,",
        "II,mist,er,Ours,fid,20.5,,", "text V,mist,er,C,fid,1,,", "III,mist,er,,fid,9,,",
        "IV,,,x,fid,1,,", "IV,,,y,fid,1,,", "IV,,,z,fid,1,,", "IV,,,w,fid,1,,",
    )  # fmt: skip
    assert method_names(paper) == ["A", "B", "Ours"]
    assert numbers(blocks([paper], "mist", "er", ["fid"])) == {
        "A": {"fid": "40"}, "B": {"fid": "50"}, "Ours": {"fid": "20.5"},
    }  # fmt: skip
    assert method_names(ledger("I,mist,er,,fid,9,,")) == []


def test_only_the_asked_place_and_metrics_are_there(ledger: Ledger) -> None:
    paper = ledger("I,mist,er,A,fid,1,,", "I,mist,pr,A,fid,2,,", "I,bci,er,A,fid,3,,", "I,mist,er,A,ssim,0.4,,")
    assert numbers(blocks([paper], "mist", "er", ["fid"])) == {"A": {"fid": "1"}}
    assert blocks([paper], "mist", "ki67", ["fid"]) == []
    assert blocks([paper], "mist", "pr", ["ssim"]) == []
    assert blocks([], "mist", "er", ["fid"]) == []


def test_a_number_of_several_places_is_that_of_the_first(ledger: Ledger) -> None:
    lines = ("I,mist,er,A,fid,40.5,,", "I,mist,er,B,fid,1,,", "II,mist,er,a,fid,41.5,,", "text I,mist,er,A,r_p,9.10%,,")
    [block] = blocks([ledger(*lines, same="same: {a: A}")], "mist", "er", ["fid", "r_p"])
    first = block.methods[0].numbers
    assert (first["fid"].row.table, first["fid"].digits) == ("I", "40.5")
    assert first["fid"].doubts == ("Printed differently: 40.5 (Table I), 41.5 (Table II)",)
    assert (first["r_p"].digits, first["r_p"].decimals) == ("9.10", 2)


def test_doubts_say_the_rule_the_place_and_the_numbers(ledger: Ledger) -> None:
    found = doubts(
        ledger(
            "I,mist,er,A,r_c,80.0,,", "I,mist,er,A,r_p,60.0,,", "II,mist,er,A,r_avg,75.0,,", "II,mist,er,B,ssim,4612,,",
            "II,mist,er,C,fid,33.44,,", "II,mist,pr,C,fid,33.44,,", "II,mist,er,D,fid,1,differs,a note.",
            "II,mist,er,E,fid,2,,",
        )
    )  # fmt: skip
    mean = ("Table II: $R_\\mathrm{avg}$ 75.0 is not the mean of $R_c$ 80.0 (Table I) and $R_p$ 60.0 (Table I)",)
    assert found[2] == found[3] == found[4] == mean
    assert found[5] == ("Table II: outside the metric's range, from -1 to 1",)
    assert found[6] == found[7]
    assert found[6][0].startswith("The same digits, perhaps by chance: C, mist ER, FID 33.44 (Table II); C, mist PR,")
    assert found[8] == ("Table II: one number, printed differently in two places", "Table II: a note")
    assert 9 not in found


def test_every_flag_of_the_kept_ledger_has_its_doubt() -> None:
    paper = load(LEDGER)
    found = doubts(paper)
    assert all(row.line in found for row in paper.rows if row.flag)
    assert all(row.flag or row.note for row in paper.rows if row.line in found)


@pytest.mark.parametrize(
    ("printed", "row", "title", "same"),
    [
        ("USI-GAN (ours)", "usigan", "USIGAN", True),
        ("USI-GAN (ours)", "usigan+cpu", "USIGAN (cpu preset)", True),
        ("USI-GAN (ours)", "usigan+tau-0.01", "usigan+tau-0.01", False),
        ("PyramidP2P", "pyramid_p2p", "Pyramid Pix2Pix", True),
        ("F-LseSim", "theirs", "F-LSeSim [30]", True),
        ("CUT", "fastcut", "FastCUT", False),
        ("(ours)", "other", "(theirs)", False),
    ],
)
def test_our_row_is_known_by_its_name_or_title(tree: Tree, printed: str, row: str, title: str, same: bool) -> None:
    tree.add(row, {"fid": 1.0}, title=title)
    [comparison] = compare(load_results(tree.results))
    assert same_method(printed, comparison.rows[0]) is same


def test_a_source_is_short_and_names_its_file(ledger: Ledger) -> None:
    assert short_source(ledger("I,,,A,fid,1,,")) == "Doe et al. [doe]"
    assert short_source(ledger("I,,,A,fid,1,,", source="A long title without authors " * 3)).endswith("… [doe]")
