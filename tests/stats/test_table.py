"""Every value that a registered metric derives from the per-image table can be resampled, and is the metric's own."""

import numpy as np
import pandas as pd
import pytest

from vsbench.metric import Absent, Metric, Sample, Value
from vsbench.metrics._network import NetworkMetric
from vsbench.registry import load, names
from vsbench.stats.moments import Pooled
from vsbench.stats.slides import Slides
from vsbench.stats.slides import group as grouped
from vsbench.stats.table import table_statistics

IMAGES = 7
LABELS = {"stain": "ki67"}


def group(names: list[str]) -> Slides:
    """Of few slides, without the caution."""
    return grouped(names, warn=lambda caution: None)


@pytest.fixture(scope="module")
def metrics() -> list[Metric]:
    """Those without features: the others only have means of columns."""
    found = [load("vsbench.metrics", name)() for name in names("vsbench.metrics")]
    return [m for m in found if not (m.needs_cells or m.needs_training or isinstance(m, NetworkMetric))]


@pytest.fixture(scope="module")
def values(metrics: list[Metric]) -> list[Value]:
    return [value for metric in metrics for value in metric.values]


@pytest.fixture(scope="module")
def table(metrics: list[Metric]) -> pd.DataFrame:
    """What the metrics measure on brown noise beside glass, of another strength in each image; one H&E is constant.

    Of the last image the light is not known.
    """
    rng = np.random.default_rng(0)
    samples = []
    for number in range(IMAGES):
        low, size = rng.integers(60, 200), 32 + 16 * (number % 2)
        he, fake, real, truth = rng.integers(low, 256, (4, size, size, 3), dtype=np.uint8)
        for image in (fake, real, truth) if number < IMAGES - 1 else ():
            image[:, :16] = 255 - number
        samples.append(Sample(str(number), fake, real, np.full_like(he, 200) if number == 3 else he, truth, LABELS))
    updates = [metric.update(samples) for metric in metrics]
    sides = [sample.real.shape[0] for sample in samples]
    table = pd.DataFrame({"slide": None, "height": sides, "width": sides})
    for metric, update in zip(metrics, updates, strict=True):
        found = {**update.columns, **metric.across(table, update.features)}
        table = pd.concat([table, pd.DataFrame(found)], axis=1)
    return table


def test_every_value_is_the_metrics_own(metrics: list[Metric], values: list[Value], table: pd.DataFrame) -> None:
    slides = group(["a", "b", "b", "c", "b", "a", "c"])
    statistics = table_statistics(table, values, slides)
    finished = {name: value for metric in metrics for name, value in metric.finish(table, {}).items()}
    counted = {value.name for value in values if value.unit == "images"}
    assert statistics.keys() == finished.keys() - counted
    for name, statistic in statistics.items():
        value = finished[name]
        expected = float("nan") if isinstance(value, Absent) else value
        assert statistic(np.ones((1, 3)))[0] == pytest.approx(expected, rel=1e-9, nan_ok=True), name
    assert statistics["r_avg"].excluded == statistics["r_c"].excluded == 1
    assert statistics["r_p_balanced"].excluded == statistics["iod_mae_balanced"].excluded == 1


def test_a_resample_is_the_table_with_rows_repeated(
    metrics: list[Metric], values: list[Value], table: pd.DataFrame
) -> None:
    """Slides of equal size, so that IoD's number of images stays."""
    slides = group(["a", "b", "c", "a", "b", "c"])
    part = table.iloc[:6]
    statistics = table_statistics(part, values, slides)
    rows = part.iloc[[0, 3, 0, 3, 1, 4]]
    finished = {name: value for metric in metrics for name, value in metric.finish(rows, {}).items()}
    for name, statistic in statistics.items():
        value = finished[name]
        expected = float("nan") if isinstance(value, Absent) else value
        drawn = statistic(np.array([[2.0, 1.0, 0.0]]))[0]
        assert drawn == pytest.approx(expected, rel=1e-9, nan_ok=True), name


def test_equal_images_have_infinite_psnr(values: list[Value], table: pd.DataFrame) -> None:
    statistics = table_statistics(table.assign(mse=0.0, psnr=np.inf), values, group([*"abcabca"]))
    assert once(statistics["psnr"]) == once(statistics["psnr_pooled"]) == np.inf


def test_values_whose_columns_are_missing_are_left_out(values: list[Value], table: pd.DataFrame) -> None:
    assert table_statistics(table[["ssim"]], values, group([*"abcabca"])).keys() == {"ssim"}


def once(statistic: Pooled) -> float:
    """The value with every slide drawn once."""
    return float(statistic(np.ones((1, statistic.sums.shape[1])))[0])
