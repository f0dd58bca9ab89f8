"""One pass: every file is decoded once, whatever is measured; bad pairs are named."""

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from vsbench.data.decode import read_rgb
from vsbench.data.pairs import Pair
from vsbench.errors import DataError
from vsbench.evaluation import onepass
from vsbench.evaluation.onepass import measure, read_sample, set_values
from vsbench.evaluation.references import mean_colour, reference_maker
from vsbench.metric import Absent, Metric, Sample, Update, Value
from vsbench.metrics.dab import DabDensity
from vsbench.metrics.structure import Structure

MAKE = reference_maker("he")


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    """Nineteen pairs, more than two chunks, of sizes and colours of their own; ids not in the order of the names."""
    rng, made = np.random.default_rng(0), []
    for number in range(19):
        size = (24 + number, 30, 3)
        files = [tmp_path / f"{number}-{kind}.png" for kind in ("he", "ihc", "truth")]
        for file in files:
            Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(file)
        made.append(Pair(f"id-{number * 7 % 19}", files[0], files[1], f"slide-{number // 5}", "test", {}, files[2]))
    return made


class Counting(Metric):
    """The number of a file from its height, and features that tell which sample they are of."""

    values = (Value("mean_height", "", "1", "low", "", "counting"), Value("nothing", "", "1", "low", "", "counting"))

    def __init__(self, name: str) -> None:
        self.name = name

    def update(self, samples: Sequence[Sample]) -> Update:
        heights = [sample.fake.shape[0] for sample in samples]
        for sample in samples:
            assert sample.fake is sample.he
            assert sample.truth is not None
        return Update(
            {self.name: [float(h) for h in heights]},
            {self.name: np.array([[h, -h] for h in heights], dtype=np.float32)},
        )

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        return {"mean_height": float(table[self.name].mean()), "nothing": float("nan")}


def test_each_file_is_decoded_once(pairs: list[Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    lock = threading.Lock()

    def counted(path: Path) -> NDArray[np.uint8]:
        with lock:
            read.append(path)
        return read_rgb(path)

    monkeypatch.setattr(onepass, "read_rgb", counted)
    measure(pairs, MAKE, {"a": Counting("a"), "b": Counting("b"), "dab": DabDensity(), "structure": Structure()})
    assert Counter(read) == Counter([file for p in pairs for file in (p.he, p.ihc, p.truth)])


def test_rows_come_in_the_order_of_the_pairs(pairs: list[Pair]) -> None:
    told: list[int] = []
    table, features = measure(pairs, MAKE, {"a": Counting("a")}, told.append)
    assert table.index.name == "id"
    assert table.index.tolist() == [p.id for p in pairs]
    assert table["slide"].tolist() == [p.slide for p in pairs]
    heights = [24 + number for number in range(19)]
    assert table["height"].tolist() == table["a"].tolist() == heights
    assert table["width"].tolist() == [30] * 19
    np.testing.assert_array_equal(features["a"], [[h, -h] for h in heights])
    assert told == sorted(told)
    assert told[-1] == 19


def test_unequal_sizes_are_named(pairs: list[Pair]) -> None:
    Image.new("RGB", (30, 10)).save(pairs[11].ihc)
    with pytest.raises(DataError, match=r"11-ihc\.png: 10×30 pixels, but .*11-he\.png has 35×30"):
        measure(pairs, MAKE, {"a": Counting("a")})


def test_an_unreadable_image_is_named(pairs: list[Pair]) -> None:
    pairs[3].ihc.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"3-ihc\.png"):
        measure(pairs, MAKE, {"a": Counting("a")})


def test_a_value_that_is_no_number_is_absent_with_a_reason(pairs: list[Pair]) -> None:
    metrics: dict[str, Metric] = {"a": Counting("a")}
    values = set_values(metrics, *measure(pairs, MAKE, metrics))
    assert values["mean_height"] == 24 + 9
    assert values["nothing"] == Absent("undefined on these images")


def test_a_value_that_is_not_declared_is_a_fault(pairs: list[Pair]) -> None:
    class Forgetful(Counting):
        def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
            return {"mean_height": 1.0}

    metrics: dict[str, Metric] = {"a": Forgetful("a")}
    with pytest.raises(TypeError, match="metric a declares"):
        set_values(metrics, *measure(pairs, MAKE, metrics))


def test_references(pairs: list[Pair]) -> None:
    pair = pairs[0]
    he, real = read_rgb(pair.he), read_rgb(pair.ihc)
    np.testing.assert_array_equal(read_sample(pair, reference_maker("he")).fake, he)
    np.testing.assert_array_equal(read_sample(pair, reference_maker("real-ihc")).fake, real)
    constant = read_sample(pair, reference_maker("mean-colour", (10, 200, 30))).fake
    np.testing.assert_array_equal(constant, np.full_like(real, 0) + np.array([10, 200, 30], dtype=np.uint8))


def test_mean_colour_is_that_of_all_pixels(pairs: list[Pair]) -> None:
    """Not the mean of the images' means: images differ in size."""
    Image.new("RGB", (300, 300), (250, 3, 77)).save(pairs[0].ihc)
    pixels = np.concatenate([np.asarray(Image.open(p.ihc)).reshape(-1, 3) for p in pairs])
    expected = np.rint(pixels.astype(np.float64).mean(axis=0))
    assert not np.array_equal(expected, np.rint(np.mean([read_rgb(p.ihc).mean(axis=(0, 1)) for p in pairs], axis=0)))
    np.testing.assert_array_equal(mean_colour(pairs), expected)
