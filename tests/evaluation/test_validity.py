"""The validity study: degradations do what they say, ranks are Spearman's, and nothing is left out of its tables."""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr
from typer.testing import CliRunner

from vsbench.cli.app import app
from vsbench.errors import UsageError
from vsbench.evaluation.degrade import DEGRADATIONS, GRADES, Case
from vsbench.evaluation.instrument import Instrument
from vsbench.evaluation.validity import (
    CONSTANT,
    TRUE_ERROR,
    UNDEGRADED,
    YARDSTICK,
    Validity,
    ValidityStudy,
    rank_correlation,
    sets_table,
    study_validity,
    tracking,
)
from vsbench.files import write_text
from vsbench.metric import Absent, Metric, Sample, Value
from vsbench.metrics.truth import TrueError
from vsbench.registry import load
from vsbench.report.latex.document import document
from vsbench.report.validity import latex, ranking, write_validity
from vsbench.stain.dab import optical_density_dab

Command = Callable[..., "subprocess.CompletedProcess[str]"]
BY_NAME = {degradation.name: degradation for degradation in DEGRADATIONS}
OF_REFERENCE = {"misregistration", "light"}
SETS = [UNDEGRADED, *((d.name, grade) for d in DEGRADATIONS for grade in range(1, GRADES + 1))]
SMALL = {"size": 64, "seed": 2, "slides_test": 1, "tiles_per_slide": 2}  # 37 of 235 cells and 97 of 282 are positive


def case(stain: str = "ki67", seed: int = 0, **options: object) -> Case:
    """A tile with positive and with negative cells."""
    options = {"size": 96, "jpeg": 100, **options}  # compression would spread a change over its block of 8²
    specimen = load("vsbench.datasets", "phantom").from_options(options).specimen(stain, "P00_00_00")
    return Case(specimen, specimen.stained(specimen.cells["dab"].to_numpy()), seed, "tile")


@pytest.fixture(scope="module")
def ki67() -> Case:
    return case()


def density(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    return optical_density_dab(image).astype(np.float64)


@pytest.mark.parametrize(
    ("name", "level"), [("strength", 1.0), ("hallucinated", 0.0), ("missed", 0.0), ("warp", 0.0), ("cast", 0.0)]
)
def test_no_degradation_is_the_truth(ki67: Case, name: str, level: float) -> None:
    np.testing.assert_array_equal(BY_NAME[name].apply(ki67, level), ki67.truth)


@pytest.mark.parametrize("name", [name for name, d in BY_NAME.items() if not d.of_reference])
def test_the_true_error_grows_with_the_grade(ki67: Case, name: str) -> None:
    degradation = BY_NAME[name]
    errors = [
        np.abs(density(degradation.apply(ki67, level)) - density(ki67.truth)).mean() for level in degradation.levels
    ]
    assert errors[0] > 0
    assert errors == sorted(errors)
    assert errors[-1] > 1.5 * errors[0]


def test_a_reference_farther_away_starts_at_the_pair_itself() -> None:
    pair = case(delta=5, misregistration=3)
    at_once = case(delta=0, misregistration=0).specimen.adjacent(0.0)
    same = np.abs(at_once.astype(float) - pair.truth).mean()
    apart = [np.abs(pair.specimen.adjacent(f).astype(float) - pair.truth).mean() for f in (0.0, 0.5)]
    assert same < 3 < apart[0]  # noise of the sensor alone
    np.testing.assert_array_equal(pair.specimen.adjacent(1.0), case(delta=16, misregistration=6).specimen.adjacent(0.0))


def test_grey_light_dims_the_reference_and_nothing_else(ki67: Case) -> None:
    real = ki67.specimen.adjacent(0.0)
    dimmed = BY_NAME["light"].apply(ki67, 0.3)
    assert np.abs(dimmed - 0.7 * real.astype(float)).max() <= 0.5
    np.testing.assert_array_equal(BY_NAME["light"].apply(ki67, 0.0), real)
    assert density(dimmed).mean() > 1.5 * density(real).mean()


def test_stain_is_changed_in_the_tissue_and_nowhere_else(ki67: Case) -> None:
    assert 0.05 < ki67.specimen.cells["positive"].mean() < 0.8
    truth = density(ki67.truth)
    noise = 0.02
    for name, sign in (("hallucinated", 1), ("missed", -1), ("strength", -1)):
        changed = sign * (density(BY_NAME[name].apply(ki67, BY_NAME[name].levels[-1])) - truth)
        assert changed.mean() > 0
        assert changed.min() > -noise, name
    for name in ("hallucinated", "missed"):
        same = (BY_NAME[name].apply(ki67, BY_NAME[name].levels[0]) == ki67.truth).all(axis=-1)
        assert same.mean() > 0.5, name  # other cells are as they were, noise and all


class Cells:
    """A specimen without tissue, whose image is the DAB of its cells."""

    cells = pd.DataFrame({"dab": [0.6, 0.1, 0.8, 0.0], "positive": [True, False, True, False]})
    full_dab = 0.9

    def stained(self, dab: NDArray[np.float64]) -> NDArray[np.float64]:
        return dab


@pytest.mark.parametrize(
    ("name", "level", "dab"),
    [
        ("hallucinated", 1.0, [0.6, 0.9, 0.8, 0.9]),
        ("missed", 1.0, [0.0, 0.1, 0.0, 0.0]),
        ("strength", 0.5, [0.3, 0.05, 0.4, 0.0]),
    ],
)
def test_negative_cells_are_hallucinated_and_positive_ones_missed(name: str, level: float, dab: list[float]) -> None:
    cells = Case(Cells(), np.zeros((1, 1, 3), np.uint8), 0, "cells")  # type: ignore[arg-type]
    np.testing.assert_allclose(BY_NAME[name].apply(cells, level), dab)


def test_a_higher_grade_keeps_the_errors_of_the_lower(ki67: Case) -> None:
    fewer, more = (ki67.share_of_cells("missed", share) for share in (0.3, 0.6))
    assert fewer.sum() < more.sum()
    assert (more | ~fewer).all()


def test_warping_moves_stain_and_makes_none(ki67: Case) -> None:
    truth = density(ki67.truth)
    moved = density(BY_NAME["warp"].apply(ki67, 3.0))
    assert np.abs(moved - truth).mean() > 0.2 * truth.mean()
    assert moved.mean() == pytest.approx(truth.mean(), rel=0.25)


def test_another_seed_chooses_other_cells_and_the_same_the_same(ki67: Case) -> None:
    for name in ("hallucinated", "missed", "warp"):
        level = BY_NAME[name].levels[1]
        image = BY_NAME[name].apply(ki67, level)
        np.testing.assert_array_equal(BY_NAME[name].apply(replace(ki67), level), image)
        assert not np.array_equal(BY_NAME[name].apply(replace(ki67, seed=1), level), image)


def value(name: str, best: str = "low", label: str = "V") -> Value:
    return Value(name, label, "1", best, "", f"{name}/test")  # type: ignore[arg-type]


def made_up(**columns: object) -> tuple[pd.DataFrame, dict[str, Value]]:
    """Sets with a true error that is 0 for the reference and its grade elsewhere, and columns: functions of the set."""
    values = {YARDSTICK: value(YARDSTICK)}
    found = {key: {YARDSTICK: true_error(key)} for key in SETS}
    for name, rule in columns.items():
        values[name] = value(name, "high" if name.startswith("high") else "low")
        for key in SETS:
            found[key][name] = rule(key) if callable(rule) else rule
    return sets_table(found, values), values


def true_error(key: tuple[str, int]) -> float:
    return 0.0 if key[0] in OF_REFERENCE else float(key[1])


def test_following_the_true_error_is_plus_one_whatever_the_direction() -> None:
    table = tracking(
        *made_up(low=lambda k: true_error(k) ** 3, high=lambda k: 9 - true_error(k), wrong=lambda k: -k[1])
    )
    rho = table.pivot(index="metric", columns="against", values="rho")
    assert rho.loc["low", TRUE_ERROR] == pytest.approx(1)
    assert rho.loc["high", TRUE_ERROR] == pytest.approx(1)
    assert rho.loc["wrong", TRUE_ERROR] < -0.5
    assert rho.loc["wrong", "misregistration"] == pytest.approx(-1)
    assert (rho.loc["high", ["blur", "cast"]] > 0.999).all()


def test_what_does_not_change_has_no_correlation_and_says_so() -> None:
    rounding = iter(np.random.default_rng(0).uniform(-1e-12, 1e-12, len(SETS)))
    table = tracking(*made_up(flat=5.0, rounds=lambda k: 7 + next(rounding)))
    assert table.loc[table["metric"].isin(["flat", "rounds"]), "rho"].isna().all()
    assert set(table.loc[table["metric"].isin(["flat", "rounds"]), "reason"]) == {CONSTANT}
    still = table[(table["metric"] == YARDSTICK) & (table["against"] == "misregistration")]
    assert still["reason"].item() == CONSTANT


def test_a_value_absent_from_one_set_has_no_correlation_with_the_true_error() -> None:
    table = tracking(*made_up(gone=lambda k: Absent("no stain") if k == ("missed", 5) else float(k[1])))
    line = table[(table["metric"] == "gone") & (table["against"] == TRUE_ERROR)].iloc[0]
    assert np.isnan(line["rho"])
    assert line["reason"] == f"no stain (in 1 of {len(SETS)} sets)"


def test_change_is_a_share_of_the_whole_range_and_worse_is_positive() -> None:
    step = {("blur", 5): 10.0, ("cast", 5): -10.0, ("warp", 5): 5.0}
    table = tracking(*made_up(high=lambda k: -step.get(k, 0.0), low=lambda k: step.get(k, 0.0)))
    for name in ("high", "low"):
        change = table[table["metric"] == name].set_index("against")["change"]
        assert change[["blur", "cast", "warp", "missed"]].tolist() == [0.5, -0.5, 0.25, 0.0]


def test_ranks_are_spearmans_with_ties_and_infinities() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 5, (2, 30)).astype(float)
    assert rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    assert rank_correlation(np.array([1.0, 2.0, np.inf]), np.array([0.0, 1.0, 2.0])) == pytest.approx(1)


class Spy(Metric):
    """Which images it was given."""

    values = (value("seen"), Value("count", "n", "images", "low", "", "count/test"))

    def per_image(self, sample: Sample) -> dict[str, float]:
        assert sample.truth is not None
        perfect = bool(np.array_equal(sample.fake, sample.truth))
        return {
            "perfect": float(perfect),
            "real_mean": float(sample.real.mean()),
            "fake_mean": float(sample.fake.mean()),
        }

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        return {"seen": float(table["fake_mean"].mean()), "count": float(len(table))}


class Missing(Spy):
    values = (value("missing_&_gone", label="A_b & 100%"),)


def studied(root: Path, seed: int = 0) -> Validity:
    instrument = Instrument({"truth": TrueError(), "spy": Spy()}, (("missing", Missing(), "weights a_b missing"),))
    return study_validity(ValidityStudy("phantom", "ki67", SMALL, root, seed), instrument)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Validity:
    return studied(tmp_path_factory.mktemp("cache"))


def test_all_sets_are_judged_against_the_real_image_but_those_of_the_reference(found: Validity) -> None:
    images = found.per_image
    assert list(dict.fromkeys(images.index.droplevel("id"))) == SETS
    assert len(images) == 2 * len(SETS)
    perfect = images["perfect"].groupby(["degradation", "grade"]).min()
    real = images["real_mean"].unstack("id")
    for key in SETS:
        of_reference = key[0] in OF_REFERENCE
        assert perfect[key] == (of_reference or key == UNDEGRADED), key
        assert (real.loc[key] == real.loc[UNDEGRADED]).all() != of_reference, key


def test_true_error_of_the_truth_is_zero_and_of_the_rest_is_not(found: Validity) -> None:
    error = found.sets[found.sets["metric"] == YARDSTICK].set_index(["degradation", "grade"])["value"]
    for key in SETS:
        assert (error[key] == 0) == (true_error(key) == 0), key


def test_same_seed_same_numbers_and_another_others(found: Validity, tmp_path: Path) -> None:
    again, other = studied(tmp_path), studied(tmp_path, seed=1)
    pd.testing.assert_frame_equal(again.per_image, found.per_image)
    pd.testing.assert_frame_equal(again.tracking, found.tracking)
    assert again.record == found.record
    assert not other.per_image["fake_mean"].equals(found.per_image["fake_mean"])


def test_the_record_says_how_it_was_done(found: Validity) -> None:
    record = found.record
    assert (record["n"], record["n_slides"], record["seed"], record["sizes"]) == (2, 1, 0, ["64x64"])
    assert record["dataset_options"]["size"] == 64
    assert record["dataset_options"]["misregistration"] == 3.0
    assert [d["name"] for d in record["degradations"]] == list(BY_NAME)
    assert record["absent"] == {"missing_&_gone": "weights a_b missing"}
    assert record["protocols"]["seen"] == "seen/test"
    assert "count" not in found.values  # a count of images is no score


def test_everything_is_written_and_what_is_absent_is_named(found: Validity, tmp_path: Path) -> None:
    settings = dict(mpl.rcParams)
    files = {path.name: path for path in write_validity(found, tmp_path)}
    assert dict(mpl.rcParams) == settings
    assert sorted(files) == sorted(
        [*(f"validity.{s}" for s in ("md", "tex", "json", "pdf", "png")), "tracking.csv", "sets.csv", "per_image.csv"]
    )
    table = pd.read_csv(files["tracking.csv"])
    assert len(table) == len(found.values) * (1 + len(DEGRADATIONS))
    assert set(table.loc[table["metric"] == "missing_&_gone", "reason"]) == {"weights a_b missing"}
    assert ranking(found)[-1] == "missing_&_gone"
    text = files["validity.md"].read_text(encoding="utf-8")
    assert "| `missing_&_gone` | missing_&_gone/test | n/a | n/a |" in text
    assert "weights a_b missing" in text
    assert r"A\_b \& 100\% & " in files["validity.tex"].read_text(encoding="utf-8")
    first = files["validity.pdf"].read_bytes(), files["validity.png"].read_bytes()
    write_validity(found, tmp_path)
    assert (files["validity.pdf"].read_bytes(), files["validity.png"].read_bytes()) == first


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_the_table_compiles(found: Validity, tmp_path: Path) -> None:
    write_text(tmp_path / "main.tex", document("Validity", [latex(found)]))
    command = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:]
    log = (tmp_path / "main.log").read_text(errors="replace").replace("LaTeX Warning: Label(s) may have changed", "")
    assert not re.findall(r"^.*(?:Warning|Overfull|Underfull|Missing character).*$", log, re.MULTILINE)


def test_a_data_set_that_can_not_be_stained_anew_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="phantom"):
        study_validity(ValidityStudy("folder", "her2", {}, tmp_path), Instrument({}))


def test_the_command_writes_and_prints(vsbench: Command, tmp_path: Path) -> None:
    settings = [f"--data={key}={number}" for key, number in (SMALL | {"tiles_per_slide": 3}).items()]
    ran = vsbench("study", "validity", "--device", "cpu", "--out", tmp_path / "out", *settings)
    assert ran.returncode == 0, ran.stderr
    assert "measuring" not in ran.stderr  # no bar where there is no terminal
    assert re.search(rf"^{YARDSTICK} +1.00 +=", ran.stdout, re.MULTILINE)
    assert str(tmp_path / "out" / "validity.png") in ran.stdout


def test_an_unknown_family_is_refused_before_anything_is_done() -> None:
    ran = CliRunner().invoke(app, ["study", "validity", "--also", "nothing"])
    assert isinstance(ran.exception, UsageError)
    assert "nothing" in str(ran.exception)
