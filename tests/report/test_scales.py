"""What tells lengths and densities: scale bars, the one scale of DAB, differences in words."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import rgb_to_hsv

from vsbench import registry
from vsbench.errors import UsageError
from vsbench.evaluation.compare import Result, verdict
from vsbench.metric import Value
from vsbench.numbers import digits
from vsbench.report.dab_scale import FULL, STEPS, colour_map, colours, compared, positive_density
from vsbench.report.notation import signed
from vsbench.report.page.choice import choose
from vsbench.report.scale_bar import SHARE, pixel_size, scale_bar
from vsbench.report.tables import load_results
from vsbench.stain.dab import POSITIVE_LEVEL, density_table
from vsbench.stats.bootstrap import Interval
from vsbench.stats.paired import Comparison


@pytest.mark.parametrize(
    ("width", "size", "text"),
    [(256, 0.5, "20 µm"), (1024, 0.4661, "100 µm"), (1024, None, "200 px"), (64, None, "10 px"), (256, 0.01, "0.5 µm")],
)
def test_a_scale_bar_is_round_and_fits(width: int, size: float | None, text: str) -> None:
    bar = scale_bar(width, size)
    assert bar.text == text
    length = float(text.split()[0])
    assert bar.share * width * (size or 1.0) == pytest.approx(length)
    assert bar.share <= SHARE
    assert bar.share > SHARE / 2.6, "the next longer one would not fit"


def test_the_size_of_a_pixel_is_the_data_sets_or_what_its_options_say(tree: Any) -> None:
    folder = tree.add("cut", {"r_p": 50.0})
    (run,) = load_results(tree.results)
    assert pixel_size(run) == 0.4661
    record = json.loads((folder / "run.json").read_text())
    for options, expected in (({"pixel_size": 0.25}, 0.25), ({}, None)):
        (folder / "run.json").write_text(json.dumps(record | {"dataset": "folder", "dataset_options": options}))
        assert pixel_size(run) == expected
    (folder / "run.json").write_text(json.dumps(record | {"dataset": "of-a-plugin-that-is-not-here"}))
    assert pixel_size(run) is None
    (folder / "run.json").unlink()
    assert pixel_size(run) is None


def test_no_size_of_a_pixel_that_could_not_be() -> None:
    for value in (0, -1, "nan", "wide"):
        with pytest.raises(UsageError, match="pixel_size"):
            registry.load("vsbench.datasets", "folder").from_options({"pixel_size": value})


def test_the_scale_turns_from_grey_to_colour_where_a_pixel_counts_as_stained() -> None:
    levels = np.arange(256)
    shown = colour_map()(np.clip(density_table()[levels] / FULL, 0, 1))[:, :3]
    saturated = rgb_to_hsv(shown)[:, 1] > 0.3
    below, above = levels > POSITIVE_LEVEL + 1, (levels <= POSITIVE_LEVEL) & (density_table()[levels] < 0.9 * FULL)
    assert not saturated[below].any()
    assert saturated[above].all()
    assert positive_density() == pytest.approx(0.4065, abs=1e-4)


def test_the_scale_is_darker_the_denser_also_in_grey() -> None:
    grey = colours() @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(grey) < 0).all()
    assert len(colours()) == STEPS


@pytest.mark.parametrize(
    ("density", "real", "text"),
    [
        (0.06, 0.1206, "DAB 0.060, real 0.121 OD: −0.061 (−50 %)"),
        (0.2, 0.1, "DAB 0.200, real 0.100 OD: +0.100 (+100 %)"),
        (0.1, 0.1 + 1e-9, "DAB 0.100, real 0.100 OD: 0.000 (0 %)"),
        (0.1, 0.0, "DAB 0.100, real 0.000 OD: +0.100"),
    ],
)
def test_both_densities_and_their_signed_difference_are_said(density: float, real: float, text: str) -> None:
    assert compared(density, real) == text


def test_nothing_has_no_sign_and_no_power_of_ten() -> None:
    assert [digits(value) for value in (4.6e-18, -4.6e-18, -0.0, 0.0)] == ["0"] * 4
    assert [digits(value, 3) for value in (1.2345, -0.001234, float("inf"))] == ["1.23", "-0.00123", "inf"]
    assert [signed(value, 2) for value in (0.004, -0.004, -0.0, 0.005001, -1.0)] == [
        "0.00",
        "0.00",
        "0.00",
        "+0.01",
        "−1.00",
    ]


@pytest.mark.parametrize(
    ("limits", "estimate", "words"),
    [
        ((0.0, -2.0), -1.0, "[0, 2]"),
        ((-0.0, 2.0), 1.0, "[0, 2]"),
        ((4.6e-18, 2.0), 1.0, "[0, 2]"),
        ((-1e-17, 0.0), 4.6e-18, "equal"),
    ],
)
def test_a_comparison_says_nothing_as_zero(limits: tuple[float, float], estimate: float, words: str) -> None:
    difference = Interval(estimate, *sorted(limits), 0.95, "percentile", 12, 1000)
    value = Value("iod_mae", "IoD", "OD", "low", "", "iod_mae/fiji")
    said = verdict(Result(value, 1.0, 2.0, Comparison("a", "b", difference, 0.2, 0.4)))
    assert words in said
    assert "-0" not in said
    assert "e-" not in said


def test_numbers_of_images_say_nothing_as_zero() -> None:
    table = pd.DataFrame({"id": list("abc"), "x": [4.6e-18, -1e-17, 0.25]})
    shown = choose(table, "x", "low")
    assert [text for group in shown.groups().values() for _, text in group].count("0") == 2
