"""A list of slides judged from the command line: rows as others are, with what is honest to say of them."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vsbench.engine.run import Run
from vsbench.errors import DataError, UsageError
from vsbench.evaluation.evaluate import every_run
from vsbench.evaluation.group import group_of
from vsbench.evaluation.slides import evaluate_slides
from vsbench.records.summary import Summary
from vsbench.report.tables import compare, load_results

Make = Callable[..., Any]
SIDE = 320


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory, tissue: Make, write: Make) -> Path:
    """Three patients: H&E, a brown IHC in its frame, a generated slide that is as brown or less so; of 2 µm."""
    folder = tmp_path_factory.mktemp("pairs")
    lines = ["he,ihc,stain,patient,split,generated"]
    for number, share in enumerate((1.0, 0.7, 0.4)):
        he = tissue(SIDE, SIDE, number)
        inside = he.max(axis=2) < 240
        y, x = np.mgrid[:SIDE, :SIDE]
        for name, reach in (("ihc", 1.0), ("fake", share)):
            image = he.copy()
            image[inside & (np.hypot(y - 160, x - 130 - 20 * number) < 60 * reach)] = [110, 70, 40]
            write(folder / f"{name}{number}.tif", image, 2.0)
        write(folder / f"he{number}.tif", he, 2.0)
        lines.append(f"he{number}.tif,ihc{number}.tif,Ki-67,P{number},test,fake{number}.tif")
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def judged(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of judging them."""
    results = tmp_path_factory.mktemp("judged") / "results"
    outcomes, failures = evaluate_slides(slides / "pairs.csv", "paler", results)
    assert not failures
    assert [o.summary.title for o in outcomes] == ["H&E unchanged", "paler"]
    return results


def summary_of(results: Path) -> Summary:
    (file,) = results.glob("runs/slides-ki67/paler/external/evaluation/*/summary.json")
    return Summary.read(file)


def test_a_row_of_slides_is_a_row(judged: Path, slides: Path) -> None:
    summary = summary_of(judged)
    assert (summary.n, summary.n_slides, summary.protocol) == (3, 3, "slides-2um-frame")
    values = summary.values
    assert -30 < (values["iod_bias"].value or 0) < -10
    assert values["mask_sensitivity"].value == pytest.approx((1 + 0.49 + 0.16) / 3, abs=0.03)
    assert values["mask_dice"].protocol == "masks/fiji-0.4065+slides-2um-frame"
    limits = values["mask_dice"].interval
    assert limits is not None
    assert limits["units"] == 3
    assert limits["low"] < (values["mask_dice"].value or 0) < limits["high"]
    assert "fields" in (values["hotspot_overlap"].reason or "")
    assert "stitched" in (values["seam_jump"].reason or "")
    assert any("share the H&E's frame, which is not checked" in text for text in summary.warnings)
    assert any("only 3 test patients" in text for text in summary.warnings)
    (comparison,) = compare(load_results(judged))
    assert [row.title for row in comparison.rows] == ["paler", "H&E unchanged"]
    assert comparison.title == slides.name


def test_judged_again_nothing_is_read(judged: Path, slides: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsbench.evaluation.slides.add_up", None)
    outcomes, failures = evaluate_slides(slides / "pairs.csv", "paler", judged)
    assert not failures
    assert all(outcome.cached for outcome in outcomes)


def test_other_slides_take_no_rows_name(judged: Path, slides: Path) -> None:
    (slides / "other.csv").write_text((slides / "pairs.csv").read_text().replace("fake1.tif", "ihc1.tif"))
    with pytest.raises(UsageError, match=r"the row paler holds other images \(.*pairs\.csv\)"):
        evaluate_slides(slides / "other.csv", "paler", judged)
    (slides / "again.csv").write_text((slides / "pairs.csv").read_text())
    outcomes, _ = evaluate_slides(slides / "again.csv", "paler", judged)
    assert all(outcome.cached for outcome in outcomes)


def test_other_evaluations_leave_rows_of_slides_alone(judged: Path) -> None:
    assert every_run(judged) == ([], [])
    run = Run(judged / "runs" / "slides-ki67" / "paler" / "external")
    with pytest.raises(UsageError, match="by their list"):
        group_of(run, None, judged)


def test_a_bad_slide_ends_its_row_or_is_skipped(slides: Path, tmp_path: Path) -> None:
    lines = (slides / "pairs.csv").read_text().replace("fake1.tif", "cut.tif")
    (slides / "bad.csv").write_text(lines)
    (slides / "cut.tif").write_bytes((slides / "fake1.tif").read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"cut\.tif: "):
        evaluate_slides(slides / "bad.csv", "bad", tmp_path)
    outcomes, failures = evaluate_slides(slides / "bad.csv", "bad", tmp_path, on_bad="skip")
    assert not failures
    assert list(outcomes[1].summary.skipped) == ["P1_he1"]
    assert outcomes[1].summary.n == 2


def test_what_a_list_lacks_is_said(slides: Path, tmp_path: Path, write: Make, tissue: Make) -> None:
    without = slides / "without.csv"
    without.write_text("he,ihc,stain,patient\nhe0.tif,ihc0.tif,ki67,P0\n")
    with pytest.raises(DataError, match="write a column generated"):
        evaluate_slides(without, "x", tmp_path)
    write(slides / "coarse.tif", tissue(SIDE // 2, SIDE // 2), 4.0)
    mixed = slides / "mixed.csv"
    mixed.write_text((slides / "pairs.csv").read_text().replace("fake2.tif", "coarse.tif"))
    with pytest.raises(DataError, match=r"4 µm a pixel, where .* has 2"):
        evaluate_slides(mixed, "x", tmp_path)


def test_the_command(slides: Path, vsbench: Callable[..., SimpleNamespace]) -> None:
    told = vsbench("evaluate", "--slides", slides / "pairs.csv", "--name", "paler", COLUMNS=200)
    assert told.returncode == 0, told.stderr
    assert "slides-ki67" in told.stdout
    assert "mask_dice" in told.stdout
    again = vsbench("evaluate", "--slides", slides / "pairs.csv")
    assert (again.returncode, "--slides needs --name" in again.stderr) == (2, True)
    other = vsbench("evaluate", "--slides", slides / "pairs.csv", "--name", "x", "--stain", "er")
    assert (other.returncode, "--stain: not for --slides" in other.stderr) == (2, True)
