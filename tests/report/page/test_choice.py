"""Which images the failure explorer shows: by the error in stain, which has a sign, and none that only seems good."""

from typing import Any

import pandas as pd
import pytest

from vsbench.report.page.choice import DOSE, FALSE, NEGATIVE, choose, choose_ends, falsely_stained, with_dose


def table_of(errors: list[float | None], **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"id": [f"{i:02d}" for i in range(len(errors))], DOSE: errors, **columns})


def numbers(shown: list[tuple[int, str]]) -> list[int]:
    return [number for number, _ in shown]


def test_both_ends_of_the_error_are_shown_each_the_worst_first() -> None:
    ends = choose_ends(table_of([0.01 * i - 0.15 for i in range(30)]))
    assert numbers(ends.less) == [0, 1, 2, 3]
    assert numbers(ends.more) == [29, 28, 27, 26]
    assert sorted(numbers(ends.nearest)) == [14, 15, 16]
    assert ends.less[0][1] == "−0.150"
    assert ends.more[0][1] == "+0.140"


def test_an_end_that_no_image_is_at_is_not_there() -> None:
    assert list(choose_ends(table_of([-0.1 * i - 0.1 for i in range(12)])).groups()) == [
        "Too little stain", "Nearest to the real IHC",
    ]  # fmt: skip
    exact = choose_ends(table_of([0.0, 1e-5, -1e-5]))
    assert (exact.less, exact.more) == ([], [])
    assert len(exact.nearest) == 3


@pytest.mark.parametrize("n", [1, 2, 3, 5, 11, 12, 40])
def test_no_image_is_at_two_places(n: int) -> None:
    shown = list(choose_ends(table_of([(-1) ** i * 0.01 * (i + 1) for i in range(n)])).pairs())
    assert len(shown) == len(set(shown))
    assert shown


def test_images_without_a_number_are_left_out_and_ties_go_by_id() -> None:
    ends = choose_ends(table_of([None, -0.2, -0.2, 0.1, None, 0.1, 0.0, 0.0]))
    assert numbers(ends.less) == [1, 2]
    assert numbers(ends.more) == [3, 5]
    assert numbers(ends.nearest) == [6, 7]


@pytest.mark.parametrize("column", [DOSE, "ssim"])
def test_what_is_stained_where_no_stain_is_never_counts_as_good(column: str) -> None:
    """The most alike of all by its number, and of the right mean density; yet a tenth of it is stained falsely."""
    n = 14
    table = table_of(
        [0.0] + [0.01 * i for i in range(1, n)],
        ssim=[1.0] + [0.5 - 0.01 * i for i in range(1, n)],
        positive_area=[0.1] + [0.2] * (n - 1),
        positive_area_real=[0.0] + [0.2] * (n - 1),
    )
    good = choose_ends(table).nearest if column == DOSE else choose(table, column, "high").best
    assert 0 not in numbers(good)
    assert good
    honest = table.assign(positive_area=table["positive_area_real"])
    good = choose_ends(honest).nearest if column == DOSE else choose(honest, column, "high").best
    assert 0 in numbers(good)


def test_stain_is_false_where_the_real_image_counts_as_without() -> None:
    table = pd.DataFrame(
        {
            "positive_area_real": [0.0, 0.0, NEGATIVE / 2, NEGATIVE, 0.3],
            "positive_area": [FALSE / 2, 2 * FALSE, NEGATIVE / 2, 0.5, 0.9],
        }
    )
    assert falsely_stained(table) == {1}
    assert falsely_stained(table.drop(columns="positive_area_real")) == set()


def test_the_error_follows_from_the_integrated_densities() -> None:
    table = pd.DataFrame({"intden": [30.0], "intden_real": [50.0], "height": [10], "width": [20]})
    line = with_dose(table).iloc[0]
    assert line[["od", "od_real", DOSE]].tolist() == pytest.approx([0.15, 0.25, -0.1])
    assert DOSE not in with_dose(table.drop(columns="intden"))
