"""What takes all images of a row is worked out once, of the whole row in its order, and held against the contract."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from vsbench.data.pairs import Pair
from vsbench.evaluation.onepass import Failed, Measured, measure, set_values
from vsbench.metric import Absent, Metric, Sample, Update, Value
from vsbench.metrics.dab import DabDensity

COUNT = 10  # more than a chunk


class OfSlide(Metric):
    """The mean height of a slide's images. ``spoil``: how it breaks the contract."""

    values = (Value("of_slide", "x", "1", "low", "x", "x", column="of_slide"),)

    def __init__(self, spoil: str = "") -> None:
        self.spoil = spoil

    def update(self, samples: Sequence[Sample]) -> Update:
        heights = [float(sample.real.shape[0]) for sample in samples]
        kept = np.array(heights, np.float32)[:, None]
        return Update({"own": heights}, {"_heights": kept, "stays": kept})

    def across(
        self, table: pd.DataFrame, features: Mapping[str, NDArray[np.float32]]
    ) -> dict[str, NDArray[np.float64]]:
        if self.spoil == "raises":
            raise ZeroDivisionError("nothing to divide by")
        means = pd.Series(features["_heights"][:, 0]).groupby(table["slide"].to_numpy()).transform("mean")
        name = "intden" if self.spoil == "another's" else "of_slide"
        return {name: means.to_numpy(np.float64)[: 3 if self.spoil == "short" else None]}

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        assert "_heights" not in features
        return {"of_slide": float(table["of_slide"].mean())}


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    found = []
    for number in range(COUNT):
        file = tmp_path / f"{number}.png"
        Image.new("RGB", (20, 20 + number), (200, 190, 180)).save(file)
        found.append(Pair(f"{number * 7 % COUNT}", file, file, f"slide {number % 2}", "test"))
    return found


def measured(pairs: list[Pair], metrics: Mapping[str, Metric]) -> Measured:
    found = measure(pairs, {"row": lambda pair, he, real: he}, metrics)["row"]
    assert isinstance(found, Measured)
    return found


def test_a_column_of_the_whole_row_joins_the_table_and_its_features_go(pairs: list[Pair]) -> None:
    metrics: dict[str, Metric] = {"of_slide": OfSlide(), "dab": DabDensity()}
    found = measured(pairs, metrics)
    assert found.table["of_slide"].tolist() == [24.0, 25.0] * (COUNT // 2)
    assert list(found.features) == ["stays"]
    assert set_values(metrics, found)["of_slide"] == 24.5


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("raises", "ZeroDivisionError: nothing to divide by"),
        ("short", "of_slide: 3 numbers for 10 images"),
        ("another's", "gives intden, which is there already"),
    ],
)
def test_a_metric_that_fails_there_ends_its_own_values_alone(pairs: list[Pair], spoil: str, says: str) -> None:
    metrics: dict[str, Metric] = {"dab": DabDensity(), "of_slide": OfSlide(spoil)}
    found = measured(pairs, metrics)
    values = set_values(metrics, found)
    assert isinstance(values["of_slide"], Failed)
    assert says in values["of_slide"].reason
    assert {"own", "of_slide"}.isdisjoint(found.table)
    assert found.features == {}
    assert values["iod"] == 0
