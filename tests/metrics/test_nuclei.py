"""Nuclei counted and scored one by one, on tissue whose nuclei are known."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from vsbench.metric import Absent, Sample
from vsbench.metrics.nuclei import NucleiKept
from vsbench.stats.slides import group
from vsbench.stats.table import table_statistics

ACROSS, PITCH = 8, 20  # nuclei in a row, and pixels from one to the next
BROWN, PALE_BROWN, BLUE, PINK, VIOLET = (90, 45, 20), (140, 115, 105), (120, 115, 190), (230, 180, 210), (110, 70, 150)


def tissue(colours: list[tuple[int, int, int]], ground: tuple[int, int, int] = (250, 248, 250)) -> NDArray[np.uint8]:
    """A disc of each colour, row by row."""
    image = np.full((ACROSS * PITCH, ACROSS * PITCH, 3), ground, np.uint8)
    y, x = np.mgrid[: ACROSS * PITCH, : ACROSS * PITCH]
    for number, colour in enumerate(colours):
        row, column = (PITCH * place + PITCH // 2 for place in divmod(number, ACROSS))
        image[np.hypot(y - row, x - column) < 6] = colour
    return image


def ihc(brown: int, pale: int = 0, blue: int = 0) -> NDArray[np.uint8]:
    return tissue([BROWN] * brown + [PALE_BROWN] * pale + [BLUE] * blue)


def found(
    pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]], he: int = 64, stain: str = "ki67"
) -> tuple[dict[str, float | Absent], pd.DataFrame]:
    """Set values and table of (generated, real) images, and an H&E with so many nuclei."""
    below = tissue([VIOLET] * he, PINK)
    samples = [Sample(str(n), fake, real, below, labels={"stain": stain}) for n, (fake, real) in enumerate(pairs)]
    metric = NucleiKept()
    table = pd.DataFrame(metric.update(samples).columns, index=[sample.id for sample in samples])
    return metric.finish(table, {}), table


def test_counts_and_nuclei_kept_are_those_that_were_drawn() -> None:
    values, table = found([(ihc(10, 0, 22), ihc(10, 0, 30)), (ihc(0, 0, 64), ihc(0, 0, 64))])
    assert table[["nuclei", "nuclei_real", "nuclei_he"]].to_numpy().tolist() == [[32, 40, 64], [64, 64, 64]]
    assert values["nuclei_count_error"] == pytest.approx((100 * 8 / 40 + 0) / 2)
    assert values["nuclei_f1"] == pytest.approx((2 * 32 / 96 + 1) / 2)


def test_share_and_h_score_are_over_nuclei() -> None:
    """Pale brown is weak or moderate, whatever its area; brown is strong."""
    values, table = found([(ihc(8, 8, 24), ihc(4, 0, 36)), (ihc(20, 0, 20), ihc(20, 0, 20))])
    assert table["nuclei_share"].tolist() == pytest.approx([40, 50])
    assert table["nuclei_share_real"].tolist() == pytest.approx([10, 50])
    assert table["nuclei_h_score"].tolist() == pytest.approx([100 * (8 * 3 + 8 * 1) / 40, 150])
    assert values["nuclei_share_mae"] == pytest.approx(15)
    assert values["nuclei_h_score_mae"] == pytest.approx((80 - 30) / 2)


def test_categories_are_cut_by_the_guideline_and_resampled_by_slide() -> None:
    pairs = [(ihc(a, 0, 40 - a), ihc(b, 0, 40 - b)) for a, b in [(0, 0), (4, 0), (20, 20), (8, 20), (30, 8), (8, 6)]]
    values, table = found(pairs)
    assert table["nuclei_category_real"].tolist() == [0, 0, 2, 2, 1, 1]  # at 5 and 30 %
    fake = table["nuclei_category"]
    assert fake.tolist() == [0, 1, 2, 1, 2, 1]
    kappa = cohen_kappa_score(table["nuclei_category_real"], fake, weights="quadratic")
    assert values["nuclei_kappa"] == pytest.approx(kappa)
    assert values["nuclei_accuracy"] == pytest.approx(50)
    declared = [value for value in NucleiKept().values if value.unit != "images"]
    statistics = table_statistics(table, declared, group(list("aabbcc"), warn=lambda text: None))
    for value in declared:
        assert statistics[value.name](np.ones((1, 3)))[0] == pytest.approx(values[value.name]), value.name


def test_of_a_marker_of_membranes_nuclei_are_counted_and_not_scored() -> None:
    values, table = found([(ihc(8, 0, 24), ihc(8, 0, 24))], stain="her2")
    assert values["nuclei_count_error"] == 0
    assert isinstance(values["nuclei_share_mae"], Absent)
    assert "ki67" in values["nuclei_share_mae"].reason
    assert values["nuclei_undefined"] == 1
    assert table["nuclei_category"].isna().all()


def test_images_with_few_nuclei_have_no_share_and_those_without_none_to_count() -> None:
    blank = tissue([])
    values, table = found([(ihc(4, 0, 5), ihc(20, 0, 20)), (ihc(20, 0, 20), blank)])
    assert values["nuclei_share_mae"] == Absent("no pair has two images with 10 nuclei or more")
    assert values["nuclei_undefined"] == 2
    assert np.isnan(table["nuclei_count_error"].iloc[1])
    values, _ = found([(blank, blank)], he=0)
    assert values["nuclei_f1"] == Absent("no nucleus in any generated image or H&E")
    assert values["nuclei_count_error"] == Absent("no nucleus in any real image")


def test_other_percentages_are_another_protocol_and_it_is_measured_on_request() -> None:
    from vsbench.metrics.clinical import Cutoffs

    other = NucleiKept({"ki67": Cutoffs(10, 20, False, "a study of its own")})
    assert {v.name: v.protocol for v in other.values}["nuclei_kappa"] != NucleiKept.values[5].protocol
    assert NucleiKept.on_request
