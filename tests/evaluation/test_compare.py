"""Comparisons from what evaluations leave on disk: paired, corrected for all tests, and with no claim too many."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from vsbench.cli.app import app
from vsbench.engine.run import Run
from vsbench.errors import RunError, UsageError
from vsbench.evaluation.compare import Result, compare, records, seed_effects, seed_records, verdict
from vsbench.evaluation.evaluated import find_run, read, read_table, seeds_of, trainings
from vsbench.files import read_json, write_json
from vsbench.metrics.fid import frechet_distance
from vsbench.neighbours import shares
from vsbench.records.run import TrainedRecord
from vsbench.stats.moments import mean
from vsbench.stats.paired import draw_swaps, holm, swap_test
from vsbench.stats.slides import group

SLIDES = np.repeat(["NA", *"bcdefgh"], 3)
N = len(SLIDES)
NAMES = ["1", *(f"{number:02}" for number in range(N - 1))]  # to a careless reader 1 is 01, and the slide NA none
REAL = np.random.default_rng(0)
INTDEN, FEATURES = REAL.gamma(2, 1e7, N), REAL.normal(size=(N, 6)).astype(np.float32)
VALUES = {"ssim": "high", "iod_mae": "low", "r_p": "high", "fid": "low", "fid_n": "high"}
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """``make("a", off=0.1)``: an evaluated run that is ``off`` from the real images in all its values."""

    def run(
        name: str,
        off: float = 0.0,
        seed: int = 0,
        slides: Any = SLIDES,
        names: list[str] = NAMES,
        protocols: dict[str, str] | None = None,
        absent: str | None = None,
        folder: str = "native",
        **summary: Any,
    ) -> Path:
        rng = np.random.default_rng([seed, *name.encode()])
        here = Run(tmp_path / "runs" / "mist-er" / name / f"seed-{seed}")
        here.write_record(
            TrainedRecord(
                row=name, title=name, dataset="mist", stain="er", method="cut", config={}, seed=seed, finished=True
            )
        )
        intden = INTDEN * (1 + rng.normal(0, 0.1 + off, N))
        table = pd.DataFrame(
            {"slide": slides, "ssim": rng.normal(0.5 - off, 0.01, N), "iod_mae": rng.gamma(9, 0.001, N) + off,
             "intden": intden, "intden_real": INTDEN},
            index=pd.Index(NAMES, name="id"),
        )  # fmt: skip
        at = [NAMES.index(name) for name in names]
        table = table.loc[names]
        there = here.evaluation(folder)
        there.mkdir(parents=True)
        table.to_csv(there / "per_image.csv")
        fake = (FEATURES + rng.normal(0, 0.3 + 5 * off, FEATURES.shape)).astype(np.float32)
        np.savez(there / "features.npz", fid_fake=fake[at], fid_real=FEATURES[at])
        values = {
            value: {"label": value, "unit": "1", "best": best, "protocol": (protocols or {}).get(value, f"{value}/x"),
                    "value": None if value == absent else 1.0, "reason": "no weights" if value == absent else None}
            for value, best in VALUES.items()
        }  # fmt: skip
        pairs = [{"id": name, "he": "he", "ihc": "ihc", "fake": None, "truth": None} for name in names]
        usual = {
            "schema": 1, "kind": "external", "dataset": "mist", "stain": "er", "row": name, "title": name, "seed": None,
            "split": "test", "protocol": folder, "n": len(names), "n_slides": None, "sizes": ["8x8"],
            "data_digest": "d", "vsbench": "0", "warnings": [], "pairs": pairs, "values": values,
        }  # fmt: skip
        write_json(there / "summary.json", usual | summary)
        return here.folder

    return run


def compared(*folders: Path, **options: Any) -> Any:
    return compare(read([find_run(folder) for folder in folders]), resamples=300, **options)


def add_psnr(folder: Path, mse: NDArray[np.float64]) -> Path:
    """As if PSNR of these squared errors had been measured."""
    here = folder / "evaluation" / "native"
    with np.errstate(divide="ignore"):
        table = read_table(here).assign(mse=mse, psnr=10 * np.log10(255**2 / mse))
    table.to_csv(here / "per_image.csv")
    summary = read_json(here / "summary.json")
    for name in ("psnr", "psnr_pooled"):
        summary["values"][name] = {"label": name, "unit": "dB", "best": "high", "protocol": name, "value": "inf"}
    write_json(here / "summary.json", summary)
    return folder


def with_dose(folder: Path, dose: float) -> Path:
    """As if all images had ``dose`` times the DAB of the real ones, and the bias had been measured."""
    here = folder / "evaluation" / "native"
    read_table(here).assign(intden=dose * INTDEN).to_csv(here / "per_image.csv")
    summary = read_json(here / "summary.json")
    summary["values"]["iod_bias"] = {
        "label": "bias", "unit": "%", "best": "zero", "protocol": "iod_bias", "value": 100 * (dose - 1)
    }  # fmt: skip
    write_json(here / "summary.json", summary)
    return folder


def result(found: Any, name: str) -> Result:
    (test,) = [test for test in found.tests if test.value.name == name]
    return test


def test_where_psnr_is_infinite_the_pooled_one_tells_methods_apart(make: Make) -> None:
    errors = np.where(np.arange(N) == 4, 0, np.linspace(20, 30, N))
    runs = [add_psnr(make("near"), errors), add_psnr(make("far"), 8 * errors)]
    found = compared(*runs, metrics=["psnr"])
    assert [(test.value.name, test.tested) for test in found.tests] == [("psnr_pooled", True), ("psnr", False)]
    assert result(found, "psnr").first_value == result(found, "psnr").second_value == np.inf
    assert verdict(result(found, "psnr_pooled")).startswith("near higher (better) by 9.03 ")
    assert any(
        "equal to the real IHC (near 1, far 1), and so their mean: compare psnr_pooled" in note for note in found.notes
    )
    shown = json.loads(json.dumps(records(found.tests), allow_nan=False))
    assert [(r["first_value"], r["difference"]) for r in shown if r["value"] == "psnr"] == [("inf", None)]
    assert "psnr" in [test.value.name for test in compared(*runs).tests]


def test_a_finite_psnr_needs_no_other(make: Make) -> None:
    found = compared(*(add_psnr(make(name), np.linspace(20, 30, N)) for name in "ab"), metrics=["psnr"])
    assert [test.value.name for test in found.tests] == ["psnr"]
    assert not any("infinite" in note for note in found.notes)


def test_differences_are_paired_and_corrected_for_all_tests(make: Make) -> None:
    near, far = make("near"), make("far", off=0.2)
    found = compared(far, near)
    assert (found.runs, found.images, found.units, found.unit) == (("far", "near"), N, 8, "slide")
    assert [test.value.name for test in found.tests] == ["ssim", "iod_mae", "r_p", "fid"]
    assert found.left_out == {"fid_n": "a number of images"}
    assert [test.comparison.p_holm for test in found.tests] == holm([test.comparison.p for test in found.tests])
    tables = [pd.read_csv(folder / "evaluation/native/per_image.csv") for folder in (far, near)]
    ssim = result(found, "ssim")
    assert (ssim.first_value, ssim.second_value) == pytest.approx(tuple(table["ssim"].mean() for table in tables))
    slides = group(SLIDES)
    first, second = (mean(table["ssim"], slides) for table in tables)
    assert ssim.comparison.p == swap_test(first, second, draw_swaps(8)) == 2 / 2**8
    assert ssim.comparison.difference.high < 0
    fid = result(found, "fid")
    fakes = [np.load(folder / "evaluation/native/features.npz")["fid_fake"] for folder in (far, near)]
    assert fid.first_value == pytest.approx(frechet_distance(fakes[0], FEATURES))
    assert fid.comparison.difference.estimate == pytest.approx(fid.first_value - frechet_distance(fakes[1], FEATURES))
    assert fid.comparison.difference.low > 0
    assert fid.comparison.p == 2 / 2**8


def test_the_words(make: Make) -> None:
    near, far, twin = make("near"), make("far", off=0.2), make("twin")
    found = compared(far, near, metrics=["ssim", "iod_mae"])
    low = result(found, "ssim").comparison.difference
    assert verdict(result(found, "ssim")) == (
        f"far lower (worse) by {-low.estimate:.3g} [{-low.high:.3g}, {-low.low:.3g}], p = 0.0078 (Holm 0.016): shown"
    )
    assert verdict(result(found, "iod_mae")).startswith("far higher (worse) by 0.199 [")
    assert verdict(result(compared(near, far, metrics=["iod_mae"]), "iod_mae")).startswith("near lower (better) by")
    assert verdict(result(compared(near, twin, metrics=["ssim"]), "ssim")).endswith(": not shown")


def test_a_value_with_a_sign_is_compared_by_its_distance_from_zero(make: Make) -> None:
    doses = {"short": 0.4, "long": 1.6, "near": 0.9}
    runs = [with_dose(make(name), dose) for name, dose in doses.items()]
    short = result(compared(runs[0], runs[2], metrics=["iod_bias"]), "iod_bias")
    assert (short.first_value, short.second_value) == pytest.approx((-60, -10))
    assert verdict(short).startswith("short farther from zero (worse) by 50 [50, 50], p = 0.0078")
    assert verdict(result(compared(runs[2], runs[1], metrics=["iod_bias"]), "iod_bias")).startswith(
        "near nearer to zero (better) by 50 ["
    )
    alike = result(compared(*runs[:2], metrics=["iod_bias"]), "iod_bias")
    assert alike.comparison.difference.estimate == pytest.approx(0)
    assert alike.comparison.p == 1


def test_what_holm_takes_away_is_not_shown(make: Make) -> None:
    """Six slides have p ≥ 1/32: enough for one test, not for two."""
    few = np.repeat(list("abcdef"), 4)
    near, far = make("near", slides=few), make("far", off=0.2, slides=few)
    assert verdict(result(compared(far, near, metrics=["ssim"]), "ssim")).endswith("p = 0.031 (Holm 0.031): shown")
    both = compared(far, near, metrics=["ssim", "iod_mae"])
    assert [verdict(test).split("p = ")[1] for test in both.tests] == ["0.031 (Holm 0.062): not shown"] * 2
    assert any("0.062 by Holm's correction for 2 tests" in note for note in both.notes)
    assert not any("one training" in note for note in both.notes)


def test_one_training_does_not_stand_for_its_method(make: Make) -> None:
    assert any("one training" in note for note in compared(make("a", kind="trained"), make("b")).notes)


def test_three_slides_can_show_nothing_and_that_is_said(make: Make) -> None:
    slides = np.repeat(list("abc"), 8)
    found = compared(make("near", slides=slides), make("far", off=0.2, slides=slides))
    assert "3 slides can't give a p below 0.25: nothing can be shown" in found.notes
    assert all(test.comparison.p >= 0.25 for test in found.tests)


def with_values(folder: Path, *names: str) -> Path:
    """As if these values had been measured too: they follow from the densities that are there."""
    here = folder / "evaluation" / "native"
    read_table(here).assign(mean_od=lambda t: t["intden"] / 1e9, mean_od_real=INTDEN / 1e9).to_csv(
        here / "per_image.csv"
    )
    summary = read_json(here / "summary.json")
    for name in names:
        summary["values"][name] = {"label": name, "unit": "1", "best": "low", "protocol": name, "value": 1.0}
    write_json(here / "summary.json", summary)
    return folder


DOSE = ("iod", "iod_rel", "ba_bias", "ba_spread", "ba_limit")


def test_holm_goes_over_the_values_that_stand_for_their_families_and_the_rest_describes(make: Make) -> None:
    runs = [with_values(make("near"), *DOSE), with_values(make("far", off=0.2), *DOSE)]
    found = compared(*runs)
    assert [test.value.name for test in found.tests if test.tested] == ["ssim", "iod_mae", "r_p", "fid"]
    assert {test.value.name: test.family for test in found.tests if not test.tested} == dict.fromkeys(DOSE, "iod_mae")
    alone = compared(make("near2"), make("far2", off=0.2))
    assert len(alone.tests) == 4
    for test in found.tests:  # corrected for four tests, not for nine
        assert not test.tested or test.comparison.p_holm <= min(1, 4 * test.comparison.p)
        assert test.tested or np.isnan(test.comparison.p_holm)
    described = result(found, "iod_rel")
    assert "[" in verdict(described)
    assert verdict(described).endswith("]: description, not tested")
    (record,) = (r for r in records(found.tests) if r["value"] == "iod_rel")
    assert (record["family"], record["tested"], record["p_holm"]) == ("iod_mae", False, None)
    at = [test.value.name for test in found.tests]
    assert at[at.index("iod_mae") :][: len(DOSE) + 1] == ["iod_mae", *DOSE]  # beside the value that is tested


def test_without_the_value_that_stands_for_a_family_its_first_is_tested(make: Make) -> None:
    """Whichever was asked for: naming two of one family makes one test of them."""
    runs = [with_values(make("near"), *DOSE), with_values(make("far", off=0.2), *DOSE)]
    found = compared(*runs, metrics=["ba_limit", "iod_rel"])
    assert [(test.value.name, test.tested) for test in found.tests] == [("ba_limit", True), ("iod_rel", False)]
    assert result(found, "ba_limit").comparison.p_holm == result(found, "ba_limit").comparison.p


def test_every_pair_of_several_runs(make: Make) -> None:
    found = compared(make("a"), make("b"), make("c"), metrics=["fid", "ssim"])
    pairs = [(test.comparison.first, test.comparison.second, test.value.name) for test in found.tests]
    assert pairs == [(*pair, value) for pair in ("ab", "ac", "bc") for value in ("fid", "ssim")]


def test_only_like_is_compared_with_like(make: Make) -> None:
    a = make("a")
    with pytest.raises(RunError, match="a and b were evaluated on other test images"):
        compared(a, make("b", data_digest="other"))
    with pytest.raises(RunError, match=r"fid: measured by other protocols \(a: 'fid/x'; c: 'fid/y'\)"):
        compared(a, make("c", protocols={"fid": "fid/y"}))
    with pytest.raises(RunError, match=r"no protocol that all runs .*'native'.*'resized'"):
        compared(a, make("d", folder="resized"))
    with pytest.raises(RunError, match=r"other benchmark versions \(before vsbench-2026\.1, vsbench-2031\.4\)"):
        compared(a, make("f", benchmark="vsbench-2031.4"))
    other = make("e")
    table = pd.read_csv(other / "evaluation/native/per_image.csv", dtype={"id": str})
    table.assign(intden_real=1.0 + table["intden_real"]).to_csv(other / "evaluation/native/per_image.csv", index=False)
    with pytest.raises(RunError, match="r_p: a, e differ on the same real images"):
        compared(a, other)


def test_protocols_of_what_is_not_asked_for_may_differ(make: Make) -> None:
    assert compared(make("a"), make("b", protocols={"fid": "fid/y"}), metrics=["ssim"]).tests


def test_what_one_run_lacks_is_left_out_with_the_reason(make: Make) -> None:
    found = compared(make("a"), make("b", absent="fid"))
    assert found.left_out["fid"] == "b: no weights"
    assert compared(make("f", absent="fid"), make("g", absent="fid")).left_out["fid"] == "no weights"
    (make("c") / "evaluation/native/features.npz").unlink()
    assert (
        "c: the features fid were not kept"
        in compared(make("d"), find_run(make("e").parents[1] / "c").folder).left_out["fid"]
    )


def test_runs_are_compared_on_the_images_that_all_have(make: Make) -> None:
    """Rows by name, features with them."""
    whole, part = make("whole"), make("part", names=NAMES[:0:-1])
    found = compared(whole, part)
    assert found.images == N - 1
    assert any("23 images that all runs have, of up to 24" in note for note in found.notes)
    table = pd.read_csv(whole / "evaluation/native/per_image.csv")
    assert result(found, "ssim").first_value == pytest.approx(table["ssim"][1:].mean())
    fake = np.load(part / "evaluation/native/features.npz")["fid_fake"]
    assert result(found, "fid").second_value == pytest.approx(frechet_distance(fake[::-1], FEATURES[1:]))
    with pytest.raises(RunError, match="no image in common"):
        compared(make("left", names=NAMES[:9]), make("right", names=NAMES[9:]))


def test_a_folder_of_several_trainings_is_not_one_run(make: Make) -> None:
    method = make("a").parent
    assert find_run(method) == Run(method / "seed-0")
    make("a", seed=1)
    with pytest.raises(UsageError, match=r"holds 2 runs \(seed-0, seed-1\)"):
        find_run(method)
    with pytest.raises(RunError, match=r"no run\.json"):
        find_run(method / "seed-1" / "evaluation")
    assert compared(method / "seed-0", method / "seed-1").runs == ("a/seed-0", "a/seed-1")
    with pytest.raises(UsageError, match="twice"):
        compared(method / "seed-0", method / "seed-0")


def test_runs_without_a_whole_evaluation_are_named(make: Make) -> None:
    a, b = make("a"), make("b")
    (b / "evaluation/native/per_image.csv").write_text("nothing")
    with pytest.raises(RunError, match=r"b/seed-0/evaluation/native/per_image\.csv: damaged"):
        compared(a, b)
    (b / "evaluation/native/summary.json").unlink()
    with pytest.raises(RunError, match="b/seed-0: not evaluated; run vsbench evaluate"):
        compared(a, b)
    with pytest.raises(UsageError, match="--metric ssimm: not evaluated; there are ssim,"):
        compared(a, make("c"), metrics=["ssimm"])


def test_the_effect_of_the_seed_is_apart_from_sampling(make: Make) -> None:
    """Trainings 0.1 apart, on slides that hardly differ."""
    runs = [make("a", off=off, seed=seed) for seed, off in enumerate((0.0, 0.1, 0.2))]
    method = runs[0].parent
    base, effects = seed_effects(read(trainings(method)), resamples=300)
    assert effects.keys() == {"ssim", "iod_mae", "r_p", "fid"}
    assert effects["ssim"].seed == pytest.approx(0.1, rel=0.1)
    assert effects["ssim"].sampling < 0.01
    (ssim, *_) = seed_records("a", base, effects)
    assert ssim["values"].keys() == {"a/seed-0", "a/seed-1", "a/seed-2"}
    with pytest.raises(UsageError, match="one training"):
        seed_effects(read(trainings(make("b").parent)), resamples=300)


def test_the_command(make: Make, vsbench: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path) -> None:
    near, far = make("near"), make("far", off=0.2)
    ran = vsbench("compare", far, near, "--resamples", 300, "--json", "--csv", "out.csv")
    assert (ran.returncode, ran.stderr) == (0, "")
    found = json.loads(ran.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert found["tests"] == records(compared(far, near).tests)
    with (tmp_path / "out.csv").open(newline="") as file:
        assert [row["verdict"] for row in csv.DictReader(file)] == [test["verdict"] for test in found["tests"]]


def test_the_command_of_seeds_and_without_a_second_run(make: Make) -> None:
    near = make("near")
    make("near", seed=1)
    ran = CliRunner().invoke(app, ["compare", "--seeds", str(near.parent), "--metric", "ssim", "--resamples", "300"])
    assert ran.exit_code == 0
    assert "sampling" in ran.stdout
    assert isinstance(CliRunner().invoke(app, ["compare", str(near)]).exception, UsageError)


def test_what_differs_in_more_than_the_seed_is_no_effect_of_it(make: Make) -> None:
    """Two trainings of a row, of which one was continued meanwhile: that may be so, but says nothing of the seed."""
    folder = make("near").parent
    make("near", seed=1)
    for run, steps in zip(trainings(folder), (4, 8), strict=True):
        run.write_record(run.trained.model_copy(update={"config": {"steps": steps}}))
    with pytest.raises(
        UsageError, match=r"seed-1 differs from seed-0 in more than the seed \(steps = 8 there, 4 here\)"
    ):
        seeds_of(folder)
    assert isinstance(CliRunner().invoke(app, ["compare", "--seeds", str(folder)]).exception, UsageError)
    run.write_record(run.trained.model_copy(update={"config": {"steps": 4}}))
    assert [run.folder.name for run in seeds_of(folder)] == ["seed-0", "seed-1"]


def test_neighbours_that_are_best_at_zero_are_compared_by_their_distance_from_it(make: Make) -> None:
    """Crowded among the real images, and far beside them: the nearer to zero is the better, whatever its sign."""
    excess = {}
    folders = {"crowded": make("a"), "beside": make("b")}
    for (name, folder), scale in zip(folders.items(), (0.6, 1.6), strict=True):
        here = folder / "evaluation" / "native"
        fake = (scale * FEATURES[::-1]).astype(np.float32)
        np.savez(here / "features.npz", fid_fake=fake, fid_real=FEATURES)
        excess[name] = float(shares(fake, FEATURES)["density_excess"].mean())
        summary = read_json(here / "summary.json")
        summary["values"] = {
            "density_excess_inception": {
                "label": "x", "unit": "1", "best": "zero", "protocol": "x", "value": excess[name], "reason": None
            }
        }  # fmt: skip
        write_json(here / "summary.json", summary)
    assert excess["crowded"] > 0 > excess["beside"]
    (test,) = compared(*folders.values()).tests
    assert (test.first_value, test.second_value) == pytest.approx((excess["crowded"], excess["beside"]))
    gap = abs(excess["crowded"]) - abs(excess["beside"])
    assert test.comparison.difference.estimate == pytest.approx(gap)
    assert ("farther from zero (worse)" if gap > 0 else "nearer to zero (better)") in verdict(test)
    assert 0 < test.comparison.p <= 1
