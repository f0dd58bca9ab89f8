"""One pass: every file is decoded once, whatever is measured; bad pairs are named."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from vsbench.data.decode import read_rgb
from vsbench.data.pairs import Pair
from vsbench.data.seams import Seams
from vsbench.errors import DataError, UsageError
from vsbench.evaluation import onepass
from vsbench.evaluation.onepass import Beside, Failed, Maker, Measured, measure, set_values
from vsbench.evaluation.references import REFERENCES, Training
from vsbench.evaluation.sizes import CommonSize
from vsbench.metric import Absent, Metric, Sample, Update, Value
from vsbench.metrics.dab import DabDensity
from vsbench.metrics.structure import Structure

MAKE = REFERENCES["he"].maker({}, [])


def measure_one(pairs: list[Pair], make: Maker, metrics: dict[str, Metric], **more: Any) -> Measured:
    """The only row of a pass; raises its error."""
    result = measure(pairs, {"only": make}, metrics, **more)["only"]
    if isinstance(result, DataError):
        raise result
    return result


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


def test_a_metric_knows_how_large_a_pixel_is(pairs: list[Pair]) -> None:
    """Of the images as they are measured: at half their size a pixel is twice as large."""

    class Pixels(Metric):
        values = (Value("um", "µm", "µm", "low", "µm a pixel", "um", column="um"),)

        def per_image(self, sample: Sample) -> dict[str, float]:
            return {"um": np.nan if sample.pixel_size is None else sample.pixel_size}

        def finish(self, table: pd.DataFrame, features: Any) -> dict[str, float | Absent]:
            return {"um": float(table["um"].mean())}

    pair = pairs[0]
    of_size = replace(pair, pixel_size=0.25)
    height, width, _ = read_rgb(pair.he).shape
    half = CommonSize(height // 2, width // 2, "box")
    for given, size, expected in ((of_size, None, 0.25), (of_size, half, 0.5), (pair, None, np.nan)):
        found = measure_one([given], MAKE, {"pixels": Pixels()}, size=size).table["um"]
        np.testing.assert_equal(found.tolist(), [expected])


def test_a_metric_knows_where_the_images_of_a_row_were_stitched(pairs: list[Pair]) -> None:
    """And those of the other rows were not."""

    class Stitched(Metric):
        values = (Value("rows", "Rows", "1", "low", "rows", "rows", column="rows"),)

        def per_image(self, sample: Sample) -> dict[str, float]:
            return {"rows": float(sample.seams.rows[0]) if sample.seams else 0.0}

        def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
            return {"rows": float(table["rows"].mean())}

    makers: dict[str, Maker] = {"tiled": lambda pair, he, real: he.copy(), "whole": lambda pair, he, real: he.copy()}
    found = measure(
        pairs, makers, {"stitched": Stitched()}, beside={"tiled": Beside(lambda pair: Seams((int(pair.id[3:]) + 1,)))}
    )
    tables = {name: row.table["rows"] for name, row in found.items() if isinstance(row, Measured)}
    assert tables["tiled"].to_dict() == {pair.id: int(pair.id[3:]) + 1 for pair in pairs}
    assert (tables["whole"] == 0).all()


def test_each_file_is_decoded_once(pairs: list[Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    lock = threading.Lock()

    def counted(path: Path) -> NDArray[np.uint8]:
        with lock:
            read.append(path)
        return read_rgb(path)

    monkeypatch.setattr(onepass, "read_rgb", counted)
    metrics = {"a": Counting("a"), "dab": DabDensity(), "structure": Structure()}
    measure(pairs, {"first": MAKE, "second": MAKE}, metrics)
    assert Counter(read) == Counter([file for p in pairs for file in (p.he, p.ihc, p.truth)])


def test_rows_come_in_the_order_of_the_pairs(pairs: list[Pair]) -> None:
    told: list[int] = []
    measured = measure_one(pairs, MAKE, {"a": Counting("a")}, done=told.append)
    table, features = measured.table, measured.features
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
        measure_one(pairs, MAKE, {"a": Counting("a")})


def test_an_unreadable_image_is_named(pairs: list[Pair]) -> None:
    pairs[3].ihc.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"3-ihc\.png"):
        measure_one(pairs, MAKE, {"a": Counting("a")})


def test_a_value_that_is_no_number_is_absent_with_a_reason(pairs: list[Pair]) -> None:
    metrics: dict[str, Metric] = {"a": Counting("a")}
    values = set_values(metrics, measure_one(pairs, MAKE, metrics))
    assert values["mean_height"] == 24 + 9
    assert values["nothing"] == Absent("undefined on these images")


def test_a_value_that_is_not_declared_ends_its_own_metric(pairs: list[Pair]) -> None:
    class Forgetful(Counting):
        def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
            return {"mean_height": 1.0}

    metrics: dict[str, Metric] = {"a": Forgetful("a")}
    values = set_values(metrics, measure_one(pairs, MAKE, metrics))
    why = "a failed: TypeError: declares ['mean_height', 'nothing'] and returned ['mean_height']"
    assert values == {"mean_height": Failed(why), "nothing": Failed(why)}


class Planted(Metric):
    """A plug-in with one value; ``gives`` makes its update from the samples."""

    values = (Value("planted", "", "1", "low", "", "planted"),)

    def __init__(self, gives: Callable[[Sequence[Sample]], Any]) -> None:
        self.gives = gives

    def update(self, samples: Sequence[Sample]) -> Update:
        update: Update = self.gives(samples)
        return update

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        table["ssim"] = 1.0  # of its own copy
        return {"planted": 0.0}


class PlantedAlone(Planted):
    """The same, measured image by image."""

    update = Metric.update

    def per_image(self, sample: Sample) -> dict[str, float]:
        columns: dict[str, float] = self.gives([sample])
        return columns


def overwrites_he(samples: Sequence[Sample]) -> Update:
    samples[0].he[:] = 0
    return Update({}, {})


def raises(samples: Sequence[Sample]) -> Update:
    raise RuntimeError("no such\nkernel")


def array(rows: int, fill: float = 0, kind: str = "float32") -> dict[str, Any]:
    return {"planted": np.full((rows, 2), fill, dtype=kind)}


BAD: dict[str, tuple[Callable[[Sequence[Sample]], Any], str]] = {
    "overwrites ssim": (lambda s: Update({"ssim": [1.0] * len(s)}, {}), "gives ssim, which belongs to structure"),
    "overwrites a column": (lambda s: Update({"intden": [1.0] * len(s)}, {}), "gives intden, which belongs to dab"),
    "overwrites slide": (lambda s: Update({"slide": [1.0] * len(s)}, {}), "slide, which belongs to the engine"),
    "writes into the H&E": (overwrites_he, "read-only"),
    "raises": (raises, "RuntimeError: no such kernel"),
    "raises later on": (lambda s: Update({}, array(8)) if len(s) == 8 else raises(s), "RuntimeError: no such kernel"),
    "wrong length": (lambda s: Update({"planted": [1.0] * (len(s) + 1)}, {}), "9 numbers for 8 images"),
    "no numbers": (lambda s: Update({"planted": [cast(float, "1")] * len(s)}, {}), "not plain numbers"),
    "no update": (lambda s: None, "NoneType"),
    "features of NaN": (lambda s: Update({}, array(len(s), np.nan)), "not finite"),
    "too few features": (lambda s: Update({}, array(len(s) - 1)), r"shape \(7, 2\) for 8 images"),
    "features of another type": (lambda s: Update({}, array(len(s), kind="float64")), "no float32"),
    "at times another column": (lambda s: Update({f"n{len(s)}": [1.0] * len(s)}, {}), "for one image than for another"),
}


@pytest.mark.parametrize("fault", BAD)
@pytest.mark.parametrize("first", [True, False])
def test_a_bad_metric_ends_its_own_values_only(pairs: list[Pair], fault: str, first: bool) -> None:
    gives, why = BAD[fault]
    good: dict[str, Metric] = {"dab": DabDensity(), "structure": Structure()}
    bad: dict[str, Metric] = {"bad": Planted(gives)}
    expected = measure_one(pairs, MAKE, good)
    metrics = bad | good if first and fault != "overwrites a column" else good | bad
    measured = measure_one(pairs, MAKE, metrics)
    pd.testing.assert_frame_equal(measured.table, expected.table)
    assert not measured.features
    values = set_values(metrics, measured)
    planted = values.pop("planted")
    assert isinstance(planted, Absent)
    assert re.search(f"^bad failed: .*{why}", planted.reason), planted
    assert values == set_values(good, expected)


def test_a_metric_that_fails_on_one_image_ends_its_own_values_only(pairs: list[Pair]) -> None:
    def late(samples: Sequence[Sample]) -> Any:
        return {"planted": 1.0 / (samples[0].id != pairs[12].id)}

    metrics: dict[str, Metric] = {"bad": PlantedAlone(late), "dab": DabDensity()}
    measured = measure_one(pairs, MAKE, metrics)
    assert measured.failed == {"bad": "ZeroDivisionError: float division by zero"}
    pd.testing.assert_frame_equal(measured.table, measure_one(pairs, MAKE, {"dab": DabDensity()}).table)


def test_two_metrics_of_one_value_are_refused_before_anything_is_measured(pairs: list[Pair]) -> None:
    def made(*_: Any) -> Any:
        pytest.fail("measured")

    with pytest.raises(UsageError, match="metrics one and two both give planted"):
        measure(pairs, {"only": made}, {"one": Planted(raises), "two": Planted(raises)})


def failing_at(*ids: str) -> Maker:
    def make(pair: Pair, he: NDArray[np.uint8], real: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if pair.id in ids:
            raise DataError(f"{pair.id}.png: no image")
        return he

    return make


def test_a_bad_image_ends_its_own_row_only(pairs: list[Pair]) -> None:
    metrics: dict[str, Metric] = {"dab": DabDensity(), "a": Counting("a")}
    bad, good = measure(pairs, {"bad": failing_at(pairs[9].id), "good": MAKE}, metrics).values()
    assert isinstance(bad, DataError)
    assert str(bad) == f"{pairs[9].id}.png: no image"
    assert isinstance(good, Measured)
    pd.testing.assert_frame_equal(good.table, measure_one(pairs, MAKE, metrics).table)


def test_bad_generated_images_are_skipped_in_their_row(pairs: list[Pair]) -> None:
    metrics: dict[str, Metric] = {"dab": DabDensity(), "a": Counting("a")}
    makers = {"bad": failing_at(pairs[9].id, pairs[2].id), "good": MAKE}
    bad, good = measure(pairs, makers, metrics, on_bad="skip").values()
    assert isinstance(bad, Measured)
    assert isinstance(good, Measured)
    assert bad.skipped == {name: f"{name}.png: no image" for name in (pairs[2].id, pairs[9].id)}
    assert not good.skipped
    kept = [p.id for p in pairs if p.id not in bad.skipped]
    pd.testing.assert_frame_equal(bad.table, good.table.loc[kept])
    np.testing.assert_array_equal(bad.features["a"][:, 0], bad.table["height"])


def test_a_bad_real_image_is_skipped_in_all_rows(pairs: list[Pair]) -> None:
    pairs[3].ihc.write_bytes(b"no image")
    for row in measure(pairs, {"a": MAKE, "b": MAKE}, {"dab": DabDensity()}, on_bad="skip").values():
        assert isinstance(row, Measured)
        assert list(row.skipped) == [pairs[3].id]
        assert len(row.table) == 18


def test_an_image_that_is_too_small_for_a_batch_metric_is_skipped_alone(pairs: list[Pair]) -> None:
    class Particular(Counting):
        def update(self, samples: Sequence[Sample]) -> Update:
            if any(sample.id == pairs[4].id for sample in samples):
                raise DataError("too small")
            return super().update(samples)

    row = measure_one(pairs, MAKE, {"a": Particular("a"), "dab": DabDensity()}, on_bad="skip")
    assert row.skipped == {pairs[4].id: "too small"}
    assert row.table.index.tolist() == [p.id for p in pairs if p is not pairs[4]]
    with pytest.raises(DataError, match="too small"):
        measure_one(pairs, MAKE, {"a": Particular("a")})


def test_nothing_left_is_an_error(pairs: list[Pair]) -> None:
    with pytest.raises(DataError, match="no image is left"):
        measure_one(pairs, failing_at(*(p.id for p in pairs)), {"dab": DabDensity()}, on_bad="skip")


def test_the_real_side_is_worked_out_once_for_all_rows(pairs: list[Pair]) -> None:
    worked_out: list[int] = []

    def costly(image: NDArray[np.uint8]) -> float:
        worked_out.append(id(image))
        return float(image.mean())

    class Costly(DabDensity):
        def per_image(self, sample: Sample) -> dict[str, float]:
            sample.once("real", costly)
            return super().per_image(sample)

    def negative(pair: Pair, he: NDArray[np.uint8], real: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return 255 - he

    measure(pairs[:8], {"a": negative, "b": negative, "c": MAKE}, {"costly": Costly()})
    assert len(worked_out) == 8


def test_mean_colour_is_that_of_all_pixels(pairs: list[Pair]) -> None:
    """Not the mean of the images' means: images differ in size."""
    Image.new("RGB", (300, 300), (250, 3, 77)).save(pairs[0].ihc)
    pixels = np.concatenate([np.asarray(Image.open(p.ihc)).reshape(-1, 3) for p in pairs])
    expected = pixels.astype(np.float64).mean(axis=0)
    assert not np.array_equal(
        np.rint(expected), np.rint(np.mean([read_rgb(p.ihc).mean(axis=(0, 1)) for p in pairs], axis=0))
    )
    np.testing.assert_allclose(Training(pairs).colours.mean, expected, rtol=1e-12)
