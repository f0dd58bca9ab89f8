"""Which method for a stain, in a table and in words that do not say more than was shown."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vsbench.errors import RunError
from vsbench.records.summary import PairFiles, Reading
from vsbench.report.decision import Decision, ValueDecision
from vsbench.report.figures.names import short_names
from vsbench.report.figures.rank_bars import rank_bars
from vsbench.report.latex.decision import decision_latex
from vsbench.report.tables import EvaluatedRun, compare
from vsbench.report.verdict import decision_table, main_values, p_text, percent, sentences

LABELS = {
    "iod_mae": (r"IoD$_\mathrm{MAE}$", "OD", "low"),
    "r_avg": (r"$R_\mathrm{avg}$", "%", "high"),
    "ssim": ("SSIM", "1", "high"),
}
NAN = float("nan")


def run(title: str, seed: int, values: dict[str, float], slides: int | None) -> EvaluatedRun:
    readings = {
        name: Reading(label=LABELS[name][0], unit=LABELS[name][1], best=LABELS[name][2], protocol="p", value=value)
        for name, value in values.items()
    }
    pair = PairFiles(id="1", he="he", ihc="ihc", fake=None, truth=None)
    return EvaluatedRun(
        folder=Path("results"), schema=1, kind="trained", dataset="mist", stain="er", split="test", protocol="native",
        row="row_" + re.sub(r"[^\w.+-]", "_", title)[:90], title=title, seed=seed, n=1, n_slides=slides,
        sizes=["8x8"], data_digest="d" * 64, vsbench="0", pairs=[pair], warnings=[], values=readings,
    )  # fmt: skip


def decision(
    p: dict[str, float],
    ranks: dict[str, tuple[float, ...]],
    slides: int = 12,
    known_slides: bool = True,
    name: str = "iod_mae",
    caution: str = "",
    notes: tuple[str, ...] = (),
) -> Decision:
    """A decision on methods given by title, the first the best; means 1, 2, …, two seeds each."""
    best = next(iter(ranks))
    runs = [
        run(title, seed, {name: place + 0.1 * seed}, slides if known_slides else None)
        for place, title in enumerate([best, *p], start=1)
        for seed in (0, 1)
    ]
    (comparison,) = compare(runs)
    keys = {row.title: row.key for row in comparison.rows}
    value = ValueDecision(
        name,
        keys[best],
        {keys[title]: number for title, number in p.items()},
        {keys[best]: (0.5, 1.5)},
        {keys[title]: shares for title, shares in ranks.items() if shares},
        slides,
        caution,
        unit="slide" if known_slides else "image",
    )
    return Decision(comparison, {name: value}, {"ssim": "no table"}, notes)


THREE = decision(
    {"CUT": 0.3, "ASP": 0.004},
    {"SRC": (0.62, 0.36, 0.02), "CUT": (0.38, 0.6, 0.02), "ASP": (0.0, 0.04, 0.96)},
)


def test_a_sentence_names_the_best_and_who_can_not_be_told_from_it() -> None:
    (said,) = sentences(THREE)
    assert said == (
        r"IoD$_\mathrm{MAE}$: SRC has the best mean and is first in 62 % of resamples of 12 slides. "
        "Not distinguishable from it at 5 %: CUT (p = 0.30). Not the best, at 5 %: ASP (p = 0.004)."
    )


def test_too_few_slides_show_nothing_whatever_the_shares() -> None:
    (said,) = sentences(decision({"CUT": 0.25}, {"SRC": (0.97, 0.03), "CUT": (0.03, 0.97)}, slides=3))
    assert said.endswith("3 slides can't show a difference among 2 methods.")
    assert not any(word in said for word in ("SRC", "first", "best"))
    # six slides: one test could be shown (1/32), two tests could not (2/32)
    assert "can't show" not in sentences(decision({"CUT": 0.031}, {"SRC": (1, 0), "CUT": (0, 1)}, slides=6))[0]
    six = {"CUT": 0.062, "ASP": 0.062}
    assert "6 slides can't show" in sentences(decision(six, {"SRC": (), "CUT": (), "ASP": ()}, slides=6))[0]


def test_one_method_is_no_choice() -> None:
    (said,) = sentences(decision({}, {"SRC": (1.0,)}))
    assert said.endswith("SRC is the only method that compares: there is nothing to choose from.")


def test_images_that_stand_for_slides_are_called_images() -> None:
    (said,) = sentences(decision({"CUT": 0.01}, {"SRC": (1, 0), "CUT": (0, 1)}, slides=40, known_slides=False))
    assert "resamples of 40 images" in said
    assert said.endswith("where they share a slide, this is too sure.")


def test_a_difference_that_does_not_exist_has_no_p() -> None:
    given = decision({"CUT": NAN, "ASP": 1e-5}, {"SRC": (), "CUT": (), "ASP": ()})
    assert (
        "Not distinguishable from it at 5 %: CUT (no p). Not the best, at 5 %: ASP (p < 0.001)." in sentences(given)[0]
    )
    assert r"CUT & 2.0500 & {\scriptsize$\pm$\,0.0707} & -- & -- & -- & --" in decision_latex(given)


def test_many_methods_are_counted_not_listed() -> None:
    p = {f"M{i}": 0.2 for i in range(9)}
    (said,) = sentences(decision(p, {"SRC": (), **dict.fromkeys(p, ())}))
    assert said.count("p = 0.20") == 5
    assert said.endswith("and 4 more.")


def test_without_a_decision_the_reason_is_said() -> None:
    nothing = Decision(THREE.comparison, {}, {"iod_mae": "no row has a table", "ssim": "no row has a table"})
    assert sentences(nothing) == ["mist-er: nothing can be decided: no row has a table."]
    with pytest.raises(RunError, match="mist-er: nothing can be decided: no row has a table"):
        decision_latex(nothing)
    with pytest.raises(RunError, match="no ranks of two methods"):
        rank_bars(nothing, Path())


def test_the_main_values_are_decided_by_or_what_there_is() -> None:
    assert main_values(THREE) == ["iod_mae"]
    assert main_values(decision({}, {"SRC": (1.0,)}, name="ssim")) == ["ssim"]


def test_the_table_has_a_line_for_each_method_and_for_what_was_left_out() -> None:
    table = decision_table(THREE, ["iod_mae", "ssim"])
    assert table["title"].tolist()[:3] == ["SRC", "CUT", "ASP"]
    assert table["standing"].tolist()[:3] == ["best", "alike", "worse"]
    assert table["mean"].tolist()[:3] == pytest.approx([1.05, 2.05, 3.05])
    assert table["sd"].tolist()[:3] == pytest.approx([0.1 / np.sqrt(2)] * 3)
    assert table["rank"].tolist()[:3] == pytest.approx([1.4, 1.64, 2.96])
    assert table["first"].tolist()[:3] == [0.62, 0.38, 0.0]
    assert table[["share_1", "share_2", "share_3"]].iloc[:3].sum(axis=1).tolist() == pytest.approx([1, 1, 1])
    assert table["low"].tolist()[0] == 0.5
    last = table.iloc[-1]
    assert (last["value"], last["caution"]) == ("ssim", "no table")
    assert pd.isna(last["method"])
    assert decision_table(THREE)["value"].tolist() == ["iod_mae"] * 3


def test_the_order_is_that_of_expected_ranks_or_else_of_means() -> None:
    swapped = decision(
        {"CUT": 0.9, "ASP": 0.9}, {"SRC": (0.2, 0.3, 0.5), "CUT": (0.5, 0.3, 0.2), "ASP": (0.3, 0.4, 0.3)}
    )
    assert decision_table(swapped, ["iod_mae"])["title"].tolist() == ["CUT", "ASP", "SRC"]
    unranked = decision({"CUT": 0.9, "ASP": 0.9}, {"SRC": (), "CUT": (), "ASP": ()})
    assert decision_table(unranked, ["iod_mae"])["title"].tolist() == ["SRC", "CUT", "ASP"]


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (0.0001, "<1 %"), (0.5, "50 %"), (0.9999, ">99 %"), (1, "100 %")]
)
def test_no_share_is_rounded_to_never_or_always(share: float, text: str) -> None:
    assert percent(share) == text


def test_a_p_has_the_digits_that_matter() -> None:
    assert [p_text(p) for p in (1.0, 0.25, 0.0469, 0.0009, NAN)] == ["1.00", "0.25", "0.047", "<0.001", "--"]


def test_the_latex_table_has_all_numbers_and_their_basis() -> None:
    text = decision_latex(decision(
        {"CUT": 0.3}, {"SRC": (0.62, 0.38), "CUT": (0.38, 0.62)}, caution="mind the gap", notes=("without X: gone",)
    ))  # fmt: skip
    assert (
        r"SRC & \textbf{1.0500} & {\scriptsize$\pm$\,0.0707} & best & 62\,\% & 1.4 [1, 2] & 1st 62\,\%, 2nd 38\,\%"
        in text
    )
    assert r"CUT & 2.0500 & {\scriptsize$\pm$\,0.0707} & 0.30 & 38\,\% & 1.6 [1, 2] & 1st 38\,\%, 2nd 62\,\%" in text
    assert "(OD, lower is better)" in text
    for said in (
        "10000 resamples of 12 slides (seed 0)",
        "mind the gap",
        "without X: gone",
        "N = 1 test pairs",
        "Protocols: ",
    ):
        assert said in text
    lines = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {6}


def test_names_can_not_act_in_latex_and_long_ones_are_told_in_full() -> None:
    names = [r"50%_a&b \input{x} $y", "<b>" + "long " * 20 + "end"]
    text = decision_latex(decision({names[1]: 0.3}, {names[0]: (0.6, 0.4), names[1]: (0.4, 0.6)}))
    assert r"50\%\_a\&b \textbackslash{}input\{x\} \$y & \textbf" in text
    assert r"\input{" not in text
    assert "In full: " in text
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_many_methods_and_values_make_several_tables() -> None:
    titles = [f"M{i}" for i in range(20)]
    runs = [run(t, 0, {"iod_mae": 1 + i, "r_avg": 90 - i}, 12) for i, t in enumerate(titles)]
    (comparison,) = compare(runs)
    keys = [f"row_{t}" for t in titles]
    ranks = {key: tuple(np.eye(20)[i].tolist()) for i, key in enumerate(keys)}
    values = {v: ValueDecision(v, keys[0], dict.fromkeys(keys[1:], 0.01), {}, ranks, 12) for v in ("iod_mae", "r_avg")}
    text = decision_latex(Decision(comparison, values, {}))
    assert text.count(r"\begin{table*}") == 2
    assert r"\label{tab:decision-mist-er-2}" in text
    assert "11th 100" in text
    assert "2nd 100" in text


def test_bars_hold_what_the_table_says_and_draw_the_same_bytes(tmp_path: Path) -> None:
    (drawn,) = rank_bars(THREE, tmp_path / "a")
    (again,) = rank_bars(THREE, tmp_path / "b")
    assert [path.read_bytes() for path in drawn.files] == [path.read_bytes() for path in again.files]
    table = pd.read_csv(drawn.file("csv"))
    assert table["share_1"].tolist() == [0.62, 0.38, 0.0]
    assert "10000 resamples of 12 slides; trainings are not drawn" in drawn.caption
    assert "prove nothing" not in drawn.caption


def test_bars_draw_odd_names(tmp_path: Path) -> None:
    odd = decision({"<b>$x$_%": 0.25}, {"中文 " * 20: (0.9, 0.1), "<b>$x$_%": (0.1, 0.9)})
    (drawn,) = rank_bars(odd, tmp_path)
    assert all(path.is_file() for path in drawn.files)


def test_short_names_stay_different_where_the_names_are() -> None:
    names = [f"USIGAN without the loss of structure, run {i}" for i in (1, 2)]
    short = short_names([*names, "CUT", "CUT"], 22)
    assert short == ["USIGAN…1", "USIGAN…2", "CUT", "CUT"]
    assert all(len(name) <= 22 for name in short_names(["a" * 60, "a" * 59 + "b", "b" * 60], 22))
