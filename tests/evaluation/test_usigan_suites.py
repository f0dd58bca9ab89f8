"""USIGAN's ablation studies say what the paper prints."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vsbench.method import SuiteRow
from vsbench.registry import load

Command = Callable[..., "subprocess.CompletedProcess[str]"]
SUITES = load("vsbench.methods", "usigan").suites
MISPRINTS = {("table6", "odc+cc", "r_avg")}  # of R_c and R_p beside it the mean is 82.78, as Table IV prints


def printed() -> Iterator[tuple[str, SuiteRow, dict[str, float]]]:
    """(suite, row, numbers) for each stain that is printed."""
    for name, suite in SUITES.items():
        for row in suite.rows:
            yield from ((name, row, numbers) for numbers in row.numbers.values())


def test_all_tables_are_there() -> None:
    sizes = {"table4": 4, "table5": 5, "table6": 8, "table7": 5, "table8": 4}
    assert {name: len(SUITES[name].rows) for name in sizes} == sizes
    assert len(list(printed())) == 4 * 4 + 5 + 8 + 5 + 4


def test_each_number_is_in_the_paper(shared: Path) -> None:
    text = (shared / "paper" / "usigan.txt").read_text(encoding="utf-8")
    tables = text[text.index("E. Ablation Study") : text.index("F. Subjetive Evaluation")]
    for name, row, numbers in printed():
        for value, number in numbers.items():
            assert str(number) in tables, (name, row.name, value, number)


def test_printed_averages_are_those_of_the_correlations_beside_them() -> None:
    wrong = {
        (name, row.name, "r_avg")
        for name, row, numbers in printed()
        if "r_avg" in numbers and abs(numbers["r_avg"] - (numbers["r_c"] + numbers["r_p"]) / 2) > 0.0051
    }
    assert wrong == MISPRINTS


def test_a_configuration_printed_in_two_tables_has_the_same_numbers_but_for_rounding() -> None:
    known: dict[tuple[str, str], float] = {}
    compared = 0
    usual = load("vsbench.methods", "usigan").configure()
    for name, suite in SUITES.items():
        for row in suite.rows:
            differs = str({k: v for k, v in sorted(row.overrides.items()) if v != getattr(usual, k)})
            for value, number in row.numbers.get("mist-er", {}).items():
                if (name, row.name, value) not in MISPRINTS:
                    compared += (differs, value) in known
                    assert number == pytest.approx(known.setdefault((differs, value), number), abs=0.0101)
    assert compared > 30


def test_one_difference_at_a_time_is_the_variants_own_list() -> None:
    released = load("vsbench.methods", "usigan").variants["released"]
    first, *single, last = SUITES["paper-vs-released"].rows
    assert (first.overrides, last.overrides) == ({}, {"variant": "released", **released})
    assert [row.overrides for row in single] == [{key: value} for key, value in released.items()]


def test_the_card_shows_the_suites(vsbench: Command) -> None:
    card = vsbench("methods", "usigan", COLUMNS=200)
    assert "tau-0.01: lambda_odc=0.0, lambda_cc=0.0, tau=0.01 (Table VIII, 0.01)" in card.stdout
    suites = json.loads(vsbench("methods", "usigan", "--json").stdout)["suites"]
    assert list(suites) == list(SUITES)
    assert suites["table8"]["rows"][2]["numbers"]["mist-er"]["r_p"] == 48.41
