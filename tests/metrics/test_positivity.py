"""Positive and negative images: 2 × 2 tables at two cuts, for any marker."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from vsbench.metric import Absent, Sample
from vsbench.metrics.clinical import Cutoffs
from vsbench.metrics.positivity import Positivity, positives

Image = NDArray[np.uint8]
SIDE = 40
BROWN, BLUE = (90, 45, 20), (120, 115, 190)


def stained(percent: float, counterstain: bool = False) -> Image:
    """``percent`` of the pixels brown; the rest glass, or pale nuclei."""
    image = np.full((SIDE * SIDE, 3), BLUE if counterstain else 255, np.uint8)
    image[: round(percent / 100 * SIDE * SIDE)] = BROWN
    return image.reshape(SIDE, SIDE, 3)


def found(
    shares: list[tuple[float, float]], stain: str = "her2", metric: Positivity | None = None
) -> tuple[dict[str, float | Absent], pd.DataFrame]:
    """Set values and table of (generated, real) percentages."""
    metric, nuclear = metric or Positivity(), stain in {"er", "pr", "ki67"}
    samples = [
        Sample(str(n), *(stained(share, nuclear) for share in pair), stained(0), labels={"stain": stain})
        for n, pair in enumerate(shares)
    ]
    table = pd.DataFrame(metric.update(samples).columns)
    return metric.finish(table, {}), table


SHARES = [(0, 0), (0.5, 5), (5, 5), (20, 0.5), (30, 30), (2, 30), (60, 50), (1.5, 0)]


def test_the_cuts_of_any_marker_are_areas_of_1_and_10_percent() -> None:
    values, table = found(SHARES)
    assert table["positivity_real"].tolist() == pytest.approx([real for _, real in SHARES])
    assert table["positivity_grade"].tolist() == [0, 0, 1, 2, 2, 1, 2, 1]
    assert table["positivity_grade_real"].tolist() == [0, 1, 1, 0, 2, 2, 2, 0]
    assert (values["positives_low"], values["negatives_low"]) == (5, 3)
    assert values["sensitivity_low"] == pytest.approx(100 * 4 / 5)
    assert values["specificity_low"] == pytest.approx(100 * 1 / 3)
    assert (values["positives_high"], values["negatives_high"]) == (3, 5)
    assert values["sensitivity_high"] == pytest.approx(100 * 2 / 3)
    assert values["specificity_high"] == pytest.approx(100 * 4 / 5)
    for cut, least in (("low", 1), ("high", 2)):
        kappa = cohen_kappa_score(table["positivity_grade"] >= least, table["positivity_grade_real"] >= least)
        assert values[f"positivity_kappa_{cut}"] == pytest.approx(kappa)
    assert positives(table, 1).tolist() == [[1, 2], [1, 4]]


def test_a_marker_with_a_guideline_is_cut_by_its_nuclei_at_its_own_percentages() -> None:
    shares = [(7.0, 4.0), (20.0, 20.0), (40.0, 31.0)]
    _, table = found(shares, "ki67")
    assert table["positivity_real"].tolist() == pytest.approx([4, 20, 31], abs=0.1)
    assert table["positivity_grade_real"].tolist() == [0, 1, 2]  # at 5 and 30 %
    assert table["positivity_grade"].tolist() == [1, 1, 2]
    assert found(shares, "er")[1]["positivity_grade_real"].tolist() == [1, 2, 2]  # at 1 and 10 %
    assert "ki67(5,30)" in Positivity().values[0].protocol


def test_images_without_nuclei_have_no_grade_where_nuclei_are_counted() -> None:
    metric = Positivity()
    sample = Sample("1", stained(0), stained(0), stained(0), labels={"stain": "er"})
    table = pd.DataFrame(metric.update([sample]).columns)
    assert table["positivity_grade"].isna().all()
    assert metric.finish(table, {})["sensitivity_low"] == Absent("no pair has two images with nuclei")


def test_where_one_kind_is_missing_its_values_are_and_say_so() -> None:
    values, _ = found([(0, 0), (5, 0.2), (0, 0.9)])
    assert values["sensitivity_low"] == Absent("no real image is positive at this percentage")
    assert values["positivity_kappa_low"] == values["sensitivity_low"]
    assert values["specificity_low"] == pytest.approx(100 * 2 / 3)
    assert values["positives_low"] == 0
    values, _ = found([(30, 30), (0, 50)])
    assert values["specificity_high"] == Absent("no real image is negative at this percentage")
    assert values["sensitivity_high"] == 50


def test_other_cuts_are_another_protocol() -> None:
    other = Positivity(Cutoffs(2, 20, True, "a study of its own"))
    assert found(SHARES, metric=other)[1]["positivity_grade_real"].tolist() == [0, 1, 1, 0, 2, 2, 2, 0]
    assert found([(15, 15)], metric=other)[1]["positivity_grade"].tolist() == [1]
    assert other.values[0].protocol != Positivity().values[0].protocol
