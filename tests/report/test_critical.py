"""Critical-difference diagrams over slides."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from vsbench.errors import RunError
from vsbench.records.summary import PairFiles, Reading
from vsbench.report.figures.critical import critical_differences
from vsbench.report.tables import Comparison, EvaluatedRun, compare

LABELS = {"iod_mae": (r"IoD$_\mathrm{MAE}$", "OD", "low"), "r_c": ("$R_c$", "%", "high")}
PER_SLIDE = 3
Make = Callable[..., Comparison]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes per-image tables of methods that get worse by ``step``, and compares them."""

    def build(
        titles: list[str],
        slides: int = 9,
        seeds: int = 1,
        step: float = 1.0,
        n_slides: int | None = -1,
        change: Callable[[str, pd.DataFrame], pd.DataFrame] = lambda title, table: table,
        drop: str = "",
    ) -> Comparison:
        n, runs = slides * PER_SLIDE, []
        ids, names = [f"{i:03d}" for i in range(n)], [f"s{i // PER_SLIDE:02d}" for i in range(n)]
        rng = np.random.default_rng(4)
        hard = np.repeat(rng.normal(0, 5, slides), PER_SLIDE)
        pairs = [PairFiles(id=i, he="he", ihc="ihc", fake=None, truth=None) for i in ids]
        for place, title in enumerate(titles):
            for seed in range(seeds):
                worse = place * step + rng.normal(0, 1, n)
                table = pd.DataFrame(
                    {"id": ids, "slide": names, "iod_mae": 20 + hard + worse, "r_c": 50 - hard - worse}
                )
                table = change(title, table)
                folder = tmp_path / "runs" / f"m{place}" / f"seed-{seed}"
                (folder / "evaluation" / "native").mkdir(parents=True)
                table.to_csv(folder / "evaluation" / "native" / "per_image.csv", index=False)
                values = {
                    v: Reading(label=LABELS[v][0], unit=LABELS[v][1], best=LABELS[v][2], protocol="p", value=1.0)
                    for v in LABELS
                    if v != drop
                }
                runs.append(
                    EvaluatedRun(
                        folder=folder, schema=1, kind="trained", dataset="mist", stain="er", split="test",
                        protocol="native", row=f"m{place}", title=title, seed=seed, n=n,
                        n_slides=slides if n_slides == -1 else n_slides, sizes=["8x8"], data_digest="d" * 64,
                        vsbench="0", pairs=pairs, warnings=[], values=values,
                    )
                )  # fmt: skip
        return compare(runs)[0]

    return build


def data(comparison: Comparison, folder: Path) -> tuple[pd.DataFrame, str]:
    (drawn,) = critical_differences(comparison, folder)
    assert all(path.stat().st_size for path in drawn.files)
    return pd.read_csv(drawn.file("csv"), dtype={"bars": str}, keep_default_na=False), drawn.caption


def test_the_ranks_are_those_of_slide_means_over_seeds(make: Make, tmp_path: Path) -> None:
    comparison = make(["CUT", "ASP", "SRC", "PPT"], seeds=2, step=0.5)
    table, caption = data(comparison, tmp_path)
    for value, sign in (("iod_mae", 1), ("r_c", -1)):
        by_method = {}
        for row in comparison.rows:
            read = [pd.read_csv(run.folder / "evaluation/native/per_image.csv") for run in row.runs]
            by_method[row.title] = sum(of.groupby("slide")[value].mean() for of in read) / 2
        means = pd.DataFrame(by_method)
        own = table[table["value"] == value].set_index("title")
        expected = (sign * means).rank(axis=1).mean()
        assert own["mean_rank"].to_dict() == pytest.approx(expected.to_dict())
        assert own["mean_rank"].is_monotonic_increasing
        friedman = scipy.stats.friedmanchisquare(*means.to_numpy().T)
        assert own["friedman_p"].tolist() == pytest.approx([friedman.pvalue] * 4)
        assert own["critical_difference"].tolist() == pytest.approx([2.569 * np.sqrt(4 * 5 / (6 * 9))] * 4, abs=1e-3)
    assert "over 9 slides" in caption


def test_bars_join_what_can_not_be_told_apart(make: Make, tmp_path: Path) -> None:
    table, _ = data(make(["CUT", "ASP", "SRC", "PPT"], step=9), tmp_path)  # ranks 1, 2, 3, 4 on every slide; CD 1.56
    own = table[table["value"] == "iod_mae"]
    assert own["title"].tolist() == ["CUT", "ASP", "SRC", "PPT"]
    assert own["bars"].tolist() == ["1", "1 2", "2 3", "3"]


def test_methods_that_are_alike_are_all_joined(make: Make, tmp_path: Path) -> None:
    table, _ = data(make(["CUT", "ASP", "SRC"], step=0.0), tmp_path)
    assert set(table["bars"]) == {"1"}


def test_a_slide_that_some_method_has_no_number_on_does_not_count(make: Make, tmp_path: Path) -> None:
    def lose(title: str, table: pd.DataFrame) -> pd.DataFrame:
        gone = (table["slide"] == "s04") & (title == "ASP")
        return table.assign(r_c=table["r_c"].mask(gone))

    table, caption = data(make(["CUT", "ASP", "SRC"], change=lose), tmp_path)
    assert table.groupby("value")["slides"].first().to_dict() == {"iod_mae": 9, "r_c": 8}
    assert "over 8 or 9 slides" in caption


def test_what_is_missing_is_said(make: Make, tmp_path: Path) -> None:
    comparison = make(["CUT", "ASP", "SRC", "PPT"], change=lambda t, of: of if t != "CUT" else of.drop(columns="r_c"))
    (comparison.rows[0].runs[0].summary.parent / "per_image.csv").write_text("")
    (drawn,) = critical_differences(comparison, tmp_path)
    assert any("damaged" in text for text in drawn.missing)
    assert any(text == "r_c (ranks need 3 methods, 2 compare)" for text in drawn.missing)
    assert set(pd.read_csv(drawn.file("csv"))["value"]) == {"iod_mae"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"titles": ["CUT", "ASP"]}, "ranks over slides need 3 methods, there are 2"),
        ({"titles": ["CUT", "ASP", "SRC"], "slides": 4}, "ranks over slides need 5 slides, there are 4"),
        ({"titles": ["CUT", "ASP", "SRC"], "n_slides": None}, "slides unknown"),
    ],
)
def test_where_ranks_would_prove_nothing_there_is_no_diagram(
    make: Make, tmp_path: Path, given: dict[str, object], words: str
) -> None:
    with pytest.raises(RunError, match=words):
        critical_differences(make(**given), tmp_path)
    assert not list(tmp_path.glob("critical*"))


def test_without_such_a_value_there_is_no_diagram(make: Make, tmp_path: Path) -> None:
    comparison = make(["CUT", "ASP", "SRC"], drop="iod_mae")
    comparison.columns.pop("r_c")
    with pytest.raises(RunError, match="none of iod_mae, r_c, phv_avg, truth_mae was measured"):
        critical_differences(comparison, tmp_path)


def test_odd_names_are_drawn_and_the_same_input_gives_the_same_bytes(make: Make, tmp_path: Path) -> None:
    odd = ["<b>$x$_%", "50%_a&b", "中文", "long " * 12, *(f"M{i}" for i in range(10))]
    comparison = make(odd, slides=6, drop="r_c")
    (first,), (second,) = (critical_differences(comparison, tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first.files] == [path.read_bytes() for path in second.files]
