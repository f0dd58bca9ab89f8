"""Each value of a row has an interval or a reason why not, and both are JSON."""

import json
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vsbench.evaluation.intervals import intervals
from vsbench.metric import Absent, Value
from vsbench.stats.bootstrap import bootstrap, resample_counts
from vsbench.stats.features import frechet, kernel_distance
from vsbench.stats.moments import mean
from vsbench.stats.slides import group

RNG = np.random.default_rng(0)
N = 24
SLIDES = np.repeat(list("abcdefgh"), 3)
TABLE = pd.DataFrame({"slide": SLIDES, "ssim": RNG.normal(size=N), "intden": RNG.gamma(2, size=N)})
TABLE["intden_real"] = TABLE["intden"] + RNG.gamma(2, size=N)
FEATURES = {
    f"fid_{which}": RNG.normal(mean, 1, (N, 40)).astype(np.float32) for which, mean in (("fake", 0.3), ("real", 0))
}


def value(name: str, column: str | None = None, unit: str = "1") -> Value:
    return Value(name, name, unit, "low", "", name, column)


VALUES = [value("ssim", "ssim"), value("r_p"), value("fid"), value("kid"), value("fid_n", unit="images"), value("odd")]
SET: dict[str, float | Absent] = dict.fromkeys(("ssim", "r_p", "fid", "kid", "fid_n", "odd"), 1.0)


def found(table: pd.DataFrame = TABLE, **given: Any) -> dict[str, dict[str, Any]]:
    result = intervals(VALUES, table, FEATURES, SET | given, resamples=300, seed=1)
    assert list(result) == [value.name for value in VALUES]
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    return result


def test_intervals_are_those_of_the_statistics() -> None:
    result, slides, counts = found(), group(SLIDES), resample_counts(8, 300, seed=1)
    expected = bootstrap(mean(TABLE["ssim"], slides), counts)
    assert result["ssim"] == {
        "low": pytest.approx(expected.low), "high": pytest.approx(expected.high), "level": 0.95, "kind": "percentile",
        "resamples": 300, "units": 8, "unit": "slide", "excluded": 0, "caution": None, "reason": None,
    }  # fmt: skip
    assert result["r_p"]["low"] < result["r_p"]["high"] <= 100


@pytest.mark.parametrize(("name", "make", "resamples"), [("fid", frechet, 300), ("kid", kernel_distance, 300)])
def test_intervals_of_features_lie_about_the_metrics_own_value(name: str, make: Any, resamples: int) -> None:
    statistic = make(FEATURES["fid_fake"], FEATURES["fid_real"], group(SLIDES))
    expected = bootstrap(statistic, resample_counts(8, 300, seed=1)[:resamples], kind="centred")
    given: dict[str, Any] = {name: expected.estimate + 0.5}
    result = found(**given)[name]
    assert (result["kind"], result["resamples"]) == ("centred", resamples)
    assert (result["low"], result["high"]) == pytest.approx((expected.low + 0.5, expected.high + 0.5))


def test_what_has_no_interval_says_why() -> None:
    result = found(r_p=Absent("equal densities"))
    for name, reason in (("r_p", "equal densities"), ("fid_n", "number of images"), ("odd", "neither")):
        assert result[name]["low"] is result[name]["high"] is None
        assert reason in result[name]["reason"]
    assert "not kept" in intervals(VALUES, TABLE, {}, SET, 10)["fid"]["reason"]
    assert "no image" in intervals(VALUES, TABLE[:0], {}, SET, 10)["ssim"]["reason"]
    infinite = found(TABLE.assign(ssim=np.inf))["ssim"]
    assert infinite["low"] is None
    assert "infinite" in infinite["reason"]


def test_too_many_images_for_features_say_so() -> None:
    table = pd.DataFrame({"slide": [None] * 5001})
    many = {f"fid_{which}": np.zeros((5001, 1), np.float32) for which in ("fake", "real")}
    assert "5001 images" in intervals([value("fid")], table, many, SET, 10)["fid"]["reason"]


@pytest.mark.parametrize("slides", [["a"] * N, [None] * N, [np.nan] * N])
def test_one_slide_or_none_known_comes_with_a_caution(slides: list[object]) -> None:
    result = found(TABLE.assign(slide=pd.Series(slides, dtype=object)))["ssim"]
    assert (result["units"], result["unit"]) == (N, "image")
    assert "too narrow" in result["caution"]


def test_images_without_a_number_are_counted() -> None:
    assert found(TABLE.assign(ssim=TABLE["ssim"].where(TABLE.index > 2)))["ssim"]["excluded"] == 3


def test_a_thousand_images_take_less_than_a_second() -> None:
    """In processor time, since others may have the machine; of slides unknown, the most there is to draw."""
    columns = {f"c{number}": np.random.default_rng(number).normal(size=1000) for number in range(40)}
    table = pd.DataFrame({"slide": [None] * 1000, **columns})
    values = [value(name, name) for name in columns]
    begun = time.process_time()
    intervals(values, table, {}, dict.fromkeys(columns, 0.0))
    assert time.process_time() - begun < 1
