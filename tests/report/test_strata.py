"""An evaluation by how well its pairs match: thirds, intervals over slides, and where methods change places."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vsbench.errors import RunError, UsageError
from vsbench.report.build import build_report
from vsbench.report.latex.strata import strata_latex
from vsbench.report.strata import QUALITIES, THIRDS, checked_quality, sentences, strata_table, stratify
from vsbench.report.tables import Comparison, compare, load_results

N, SLIDES = 36, 9
NCC = np.tile(np.linspace(-5, 60, N // SLIDES), (SLIDES, 1)).T.ravel() + np.arange(N) / 1000  # all thirds on all slides
MATCH = np.argsort(np.argsort(NCC)) / N  # 0 the worst matched, 1 the best


@pytest.fixture
def planted(make_tree: Callable[..., Any]) -> Any:
    """Of three methods the first is good on badly matched pairs, the second on well matched ones, the third never."""
    return plant(make_tree(n=N, slides=SLIDES))


def plant(tree: Any) -> Any:
    columns = {"early": 0.1 + 0.4 * MATCH, "late": 0.5 - 0.4 * MATCH, "bad": np.full(N, 0.9)}
    for row, errors in columns.items():
        noisy = errors + 0.01 * np.random.default_rng(len(row)).normal(size=N)
        put(tree.add(row, {"iod_mae": float(noisy.mean()), "fid": 20.0}, title=f"The {row}"), iod_mae=noisy)
    put(tree.add("real-ihc", {"r_c": float(NCC.mean())}, kind="reference", title="Real IHC"), r_c=NCC)
    return tree


def put(folder: Path, **columns: Any) -> None:
    file = folder / "evaluation/native/per_image.csv"
    table = pd.read_csv(file, dtype={"id": str})
    table.assign(**columns).to_csv(file, index=False)


def comparison_of(tree: Any) -> Comparison:
    (comparison,) = compare(load_results(tree.results))
    return comparison


def test_thirds_are_by_rank_and_their_means_those_of_their_images(planted: Any) -> None:
    comparison = comparison_of(planted)
    strata = stratify(comparison, QUALITIES["ncc"], resamples=500)
    assert [len(third.ids) for third in strata.thirds] == [12, 12, 12]
    assert [third.slides.count for third in strata.thirds] == [9, 9, 9]
    assert strata.thirds[0].low == pytest.approx(NCC.min() / 100)
    assert strata.thirds[0].high < strata.thirds[1].low
    table = strata_table(strata)
    file = next(row for row in comparison.rows if row.title == "The early").runs[0].summary.parent / "per_image.csv"
    errors = pd.read_csv(file)["iod_mae"].to_numpy()
    for place, name in enumerate(THIRDS):
        line = table[(table["title"] == "The early") & (table["third"] == name) & (table["value"] == "iod_mae")].iloc[0]
        own = np.argsort(NCC)[12 * place : 12 * place + 12]
        assert line["mean"] == pytest.approx(errors[own].mean())
        assert line["low"] < line["mean"] < line["high"]
        assert (line["n"], line["units"], line["unit_kind"]) == (12, 9, "slide")
    assert "fid" not in strata.values  # distances of features depend on how many images there are


def test_where_methods_change_places_is_said_and_whether_the_limits_show_it(planted: Any) -> None:
    strata = stratify(comparison_of(planted), QUALITIES["ncc"], resamples=500)
    assert [(t.value, t.first.title, t.second.title, t.is_shown) for t in strata.turns] == [
        ("iod_mae", "The early", "The late", True)
    ]
    assert sentences(strata) == [
        "iod_mae: among the worst matched pairs The early is ahead of The late, among the best matched it is behind"
    ]
    for row in ("early", "late"):
        errors = 0.3 + 0.001 * (MATCH - 0.5) * (1 if row == "early" else -1)
        errors += 0.1 * np.random.default_rng(len(row)).normal(size=N)
        put(planted.results / f"runs/mist-er/{row}/seed-0", iod_mae=errors)
    strata = stratify(comparison_of(planted), QUALITIES["ncc"], resamples=500)
    assert not any(turn.is_shown for turn in strata.turns)
    put(planted.results / "runs/mist-er/late/seed-0", iod_mae=np.full(N, 0.95))
    strata = stratify(comparison_of(planted), QUALITIES["ncc"], resamples=500)
    assert strata.turns == ()
    assert sentences(strata) == ["No two methods change places between the worst and the best matched third"]


def test_few_slides_show_no_change_of_places_however_clear_it_is(make_tree: Callable[..., Any]) -> None:
    strata = stratify(comparison_of(plant(make_tree(n=N, slides=3))), QUALITIES["ncc"], resamples=500)
    assert [(t.first.title, t.is_shown) for t in strata.turns] == [("The early", False)]
    assert sentences(strata) == ["iod_mae: methods change places, by less than 3 slides show"]


def test_one_slide_has_values_and_no_limits_beyond_its_images(make_tree: Callable[..., Any]) -> None:
    tree = make_tree(n=9, slides=1)
    put(tree.add("cut", {"iod_mae": 0.2}), iod_mae=np.linspace(0.1, 0.3, 9))
    put(tree.add("real-ihc", {"r_c": 10.0}, kind="reference"), r_c=np.arange(9.0))
    table = strata_table(stratify(comparison_of(tree), QUALITIES["ncc"], resamples=100))
    assert (table["unit_kind"] == "image").all()
    assert table["caution"].str.contains("images are of one slide").all()


def test_what_was_not_measured_or_is_too_few_is_named_with_the_mend(planted: Any) -> None:
    comparison = comparison_of(planted)
    with pytest.raises(RunError, match="--also nuclei"):
        stratify(comparison, QUALITIES["nuclei"])
    with pytest.raises(RunError, match="no row he"):
        stratify(comparison, QUALITIES["mi"])
    put(planted.results / "runs/mist-er/real-ihc/reference", r_c=np.where(np.arange(N) < 8, NCC, np.nan))
    with pytest.raises(RunError, match="8 pairs have a NCC"):
        stratify(comparison, QUALITIES["ncc"])
    with pytest.raises(UsageError, match="ncc, mi, nuclei"):
        checked_quality("size")


def test_pairs_without_a_quality_are_left_out_and_counted(planted: Any) -> None:
    put(planted.results / "runs/mist-er/real-ihc/reference", r_c=np.where(np.arange(N) < 30, NCC, np.nan))
    strata = stratify(comparison_of(planted), QUALITIES["ncc"], resamples=100)
    assert sum(len(third.ids) for third in strata.thirds) == 30
    assert strata.left_out["6 pairs"] == "they have no NCC of H&E and real IHC"


def test_the_report_has_table_figure_and_sentences(planted: Any, tmp_path: Path) -> None:
    told: list[str] = []
    out = tmp_path / "report"
    written = build_report(planted.results, out, latex=True, strata="ncc", warn=told.append)
    for name in ("strata.csv", "figures/strata-mist-er.pdf", "figures/strata-mist-er.png", "tables/strata-mist-er.tex"):
        assert out / name in written
        assert (out / name).stat().st_size > 0
    assert any("The early is ahead of The late" in sentence for sentence in told)
    assert "tables/strata-mist-er" in (out / "supplement.tex").read_text()
    assert "strata-mist-er" in (out / "index.html").read_text()
    latex = strata_latex(stratify(comparison_of(planted), QUALITIES["ncc"], resamples=100))
    assert latex.isascii()
    assert "Worst matched ($-$0.05 to" in latex


def test_without_the_option_nothing_is_by_thirds(planted: Any, tmp_path: Path) -> None:
    written = build_report(planted.results, tmp_path / "report", figures=False, page=False, warn=lambda text: None)
    assert not [file for file in written if "strata" in file.name]
