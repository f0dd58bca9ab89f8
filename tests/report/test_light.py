"""Where Fiji's values and the balanced ones order two methods differently, that is found and said."""

from pathlib import Path
from typing import Any

import pytest

from vsbench.report.build import build_report
from vsbench.report.decision import decide
from vsbench.report.light import sentences, turned
from vsbench.report.tables import Comparison, compare, load_results
from vsbench.report.verdict import decision_table

Tree = Any
METHODS = {  # iod_mae, its companion, r_p, its companion, iod_bias, its companion
    "copies": (0.01, 0.03, 97.0, 54.0, -5.0, -45.0),
    "stains": (0.06, 0.01, 48.0, 88.0, -60.0, 3.0),
    "neither": (0.09, 0.09, 40.0, 40.0, 70.0, -70.0),
}
NAMES = ("iod_mae", "iod_mae_balanced", "r_p", "r_p_balanced", "iod_bias", "iod_bias_balanced")


@pytest.fixture
def comparison(tree: Tree) -> Comparison:
    for row, numbers in METHODS.items():
        tree.add(row, dict(zip(NAMES, numbers, strict=True)))
    tree.add("real-ihc", dict.fromkeys(NAMES, 0.0), kind="reference")
    (found,) = compare(load_results(tree.results))
    return found


def test_the_pairs_that_light_turns_round_are_found_whatever_end_is_best(comparison: Comparison) -> None:
    found = {(pair.value, pair.first.key, pair.second.key) for pair in turned(comparison)}
    assert found == {(value, "copies", "stains") for value in ("iod_mae", "r_p", "iod_bias")}
    assert {pair.companion for pair in turned(comparison, ["r_p"])} == {"r_p_balanced"}
    assert turned(comparison, ["ssim"]) == []


def test_one_sentence_a_value_says_it(comparison: Comparison) -> None:
    assert sentences(comparison, ["r_p", "ssim"]) == {
        "r_p": "as Fiji reads it copies is ahead of stains; where each slide's own light is left out, it is the other "
        "way round"
    }
    assert list(sentences(comparison)) == ["iod_mae", "r_p", "iod_bias"]


def test_the_table_of_decisions_names_who_is_behind(comparison: Comparison) -> None:
    table = decision_table(decide(comparison, resamples=50), ["iod_mae"]).set_index("method")
    assert table["behind_balanced"].to_dict() == {"copies": "stains", "stains": "", "neither": ""}


def test_rows_that_do_not_compare_turn_nothing(tree: Tree) -> None:
    tree.add("a", {"r_p": 90.0, "r_p_balanced": 10.0})
    tree.add("b", {"r_p": 80.0, "r_p_balanced": {"protocol": "another", "value": 20.0}})
    tree.add("c", {"r_p": 80.0, "r_p_balanced": "no glass in sight"})
    tree.add("d", {"r_p": 90.0, "r_p_balanced": 20.0})  # ties in one
    (found,) = compare(load_results(tree.results))
    assert turned(found) == []


def test_a_report_says_it_once_for_all_values_that_turn_the_same_pairs(
    comparison: Comparison, tree: Tree, tmp_path: Path
) -> None:
    told: list[str] = []
    build_report(tree.results, tmp_path / "report", figures=False, page=False, warn=told.append)
    (line,) = (line for line in told if "as Fiji reads it" in line)
    assert line.startswith("mist-er: iod_mae, r_p, iod_bias: as Fiji reads it copies is ahead of stains")
    assert "behind_balanced" in (tmp_path / "report" / "decision.csv").read_text()
