"""The figure of an ablation study shows what was measured and printed, and what is missing as missing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from PIL import Image

from vsbench.errors import RunError
from vsbench.evaluation.ablate import Study, study_rows
from vsbench.method import Suite, SuiteRow
from vsbench.registry import load
from vsbench.report.figures.ablation import ablation
from vsbench.report.figures.style import DPI
from vsbench.report.suites import SuiteTable, suite_table

HOSTILE = r"$\frac$ 50%_a&b \x{} <b> " + "long " * 12
TAUS = (0.001, 0.01, 0.1)
SUITES = {
    "named": Suite(
        "Slack and rate",
        (
            SuiteRow("whole", {}, "Table I, all", {"mist-er": {"r_p": 84.0}}),
            SuiteRow("fast", {"lr": 0.5}, f"Table I, {HOSTILE}"),
            SuiteRow("loose", {"tau": 0.1}, "Table I, 0.1", {"mist-er": {"r_p": 42.0}}),
        ),
    ),
    "tau": Suite(
        "Slack",
        tuple(SuiteRow(f"tau-{t}", {"tau": t}, f"Table II, {t}", {"mist-er": {"r_p": 10 * t}}) for t in TAUS),
    ),
}
Trained = Callable[..., None]
Texts = list[tuple[str, str]]


@pytest.fixture
def table(tree: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], SuiteTable]:
    """``table("named")``: the table of a suite with what has been trained."""
    monkeypatch.setattr(load("vsbench.methods", "usigan"), "suites", SUITES)

    def build(suite: str) -> SuiteTable:
        study = Study("usigan", suite, "mist", "er", "cpu", results=tree.results)
        return suite_table(study, study_rows(study), (0, 1))

    return build


@pytest.fixture
def trained(tree: Any, table: Callable[[str], SuiteTable]) -> Trained:
    """``trained("named", "whole", 0, {"r_p": 80.0})``: a finished and evaluated run of a row."""

    def add(suite: str, name: str, seed: int, values: dict[str, Any], **changes: Any) -> None:
        row = next(row for row in table(suite).rows if row.name == name)
        tree.add_row(row, values, seed=seed, **changes)

    return add


def data_of(drawn: Any, metric: str = "r_p") -> pd.DataFrame:
    data = pd.read_csv(drawn.file("csv"), keep_default_na=False, na_values=[""], dtype={"not_shown": str})
    return data[data["metric"] == metric].set_index("row")


def test_the_data_are_means_spreads_and_printed_numbers(
    table: Callable[[str], SuiteTable], trained: Trained, tmp_path: Path
) -> None:
    trained("named", "whole", 0, {"r_p": 80.0, "psnr": 9.0})
    trained("named", "whole", 1, {"r_p": 83.0, "psnr": 9.0})
    trained("named", "fast", 0, {"r_p": 20.0})
    (drawn,) = ablation(table("named"), tmp_path)
    data = data_of(drawn)
    assert data.loc["whole", ["mean", "sd", "printed"]].tolist() == pytest.approx([81.5, np.std([80, 83], ddof=1), 84])
    assert data.loc["fast", "mean"] == 20
    assert np.isnan(data.loc["fast", ["sd", "printed"]].astype(float)).all()
    assert data["not_shown"].fillna("").to_dict() == {"whole": "", "fast": "", "loose": "not run"}
    assert drawn.missing == ("loose (to do)",)
    assert "psnr" not in set(pd.read_csv(drawn.file("csv"))["metric"])  # neither a main value nor printed


def test_what_has_no_mark_has_a_word(
    table: Callable[[str], SuiteTable], trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[str] = []
    text = Axes.text
    monkeypatch.setattr(Axes, "text", lambda self, x, y, s, **kw: words.append(s) or text(self, x, y, s, **kw))
    marks: list[float] = []
    bar = Axes.errorbar
    monkeypatch.setattr(Axes, "errorbar", lambda self, x, y, **kw: marks.extend(x) or bar(self, x, y, **kw))
    trained("named", "whole", 0, {"r_p": "inf", "r_c": 50.0})
    trained("named", "whole", 1, {"r_p": 1.0, "r_c": 52.0})
    trained("named", "fast", 0, {"r_p": "constant", "r_c": 60.0})
    (drawn,) = ablation(table("named"), tmp_path)
    assert sorted(words) == ["n/a", "not run", "not run", "∞"]
    assert marks == [51.0, 60.0]
    assert data_of(drawn)["not_shown"].tolist() == ["∞", "n/a", "not run"]


def test_rows_on_other_images_have_no_mark(
    table: Callable[[str], SuiteTable], trained: Trained, tmp_path: Path
) -> None:
    trained("named", "whole", 0, {"r_p": 80.0})
    trained("named", "whole", 1, {"r_p": 80.0})
    trained("named", "fast", 0, {"r_p": 20.0}, data_digest="f" * 64)
    (drawn,) = ablation(table("named"), tmp_path)
    assert data_of(drawn).loc["fast", "not_shown"] == "other data"


def test_a_number_that_varies_is_an_axis(
    table: Callable[[str], SuiteTable], trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[tuple[list[float], list[float]]] = []
    bar = Axes.errorbar
    monkeypatch.setattr(
        Axes, "errorbar", lambda self, x, y, e, **kw: lines.append((list(x), list(y))) or bar(self, x, y, e, **kw)
    )
    scales: list[str] = []
    label = Axes.set_xlabel
    monkeypatch.setattr(
        Axes, "set_xlabel", lambda self, s, **kw: scales.append(f"{s} {self.get_xscale()}") or label(self, s, **kw)
    )
    trained("tau", "tau-0.001", 0, {"r_p": 80.0})
    trained("tau", "tau-0.1", 0, {"r_p": 40.0})
    (drawn,) = ablation(table("tau"), tmp_path)
    ((x, y),) = lines
    assert x == list(TAUS)
    assert y[::2] == [80.0, 40.0]
    assert np.isnan(y[1])  # not run: the line has a gap
    assert scales == ["τ log"]
    assert data_of(drawn)["place"].tolist() == list(TAUS)


def test_the_figure_shows_something_and_is_the_same_twice(
    table: Callable[[str], SuiteTable], trained: Trained, tmp_path: Path
) -> None:
    for seed in (0, 1):
        trained("named", "whole", seed, {"r_p": 80.0 + seed, "r_c": 60.0, "iod_mae": 0.1, "r_avg": 70.0, "fid": 3.0})
    files = [ablation(table("named"), tmp_path / name)[0].files for name in ("one", "two")]
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()
    with Image.open(next(file for file in files[0] if file.suffix == ".png")) as image:
        assert np.asarray(image.convert("RGB")).std() > 10
        assert max(image.size) / DPI < 7.3


def test_printed_numbers_alone_make_a_figure_and_nothing_none(
    table: Callable[[str], SuiteTable], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (drawn,) = ablation(table("tau"), tmp_path)
    assert data_of(drawn)["printed"].tolist() == pytest.approx([0.01, 0.1, 1.0])
    unprinted = Suite("Slack", tuple(SuiteRow(f"t{t}", {"tau": t}, "not in the paper") for t in TAUS))
    monkeypatch.setattr(load("vsbench.methods", "usigan"), "suites", {"tau": unprinted})
    with pytest.raises(RunError, match="nothing to draw"):
        ablation(table("tau"), tmp_path)
