import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vsbench.errors import RunError
from vsbench.report.figures.names import heading_of
from vsbench.report.tables import Comparison, Row, compare, load_results, problems, tidy, unevaluated

Tree = Any  # the class in conftest.py, which cannot be imported from here


@pytest.fixture
def tree(make_tree: Callable[..., Tree]) -> Tree:
    """A tree of so many slides that a difference can be shown."""
    return make_tree(n=12, slides=12)


def only(tree: Tree) -> Comparison:
    (comparison,) = compare(load_results(tree.results))
    return comparison


def row_of(comparison: Comparison, key: str) -> Row:
    return next(row for row in comparison.rows if row.key == key)


def test_a_preset_that_all_methods_have_is_said_once(tree: Tree) -> None:
    """It stays in each name where it tells methods apart, or where there is one alone."""
    tree.add("cut+small", {"r_p": 50.0}, title="CUT (small preset)")
    assert [row.title for row in only(tree).rows] == ["CUT (small preset)"]
    tree.add("usigan+released+small", {"r_p": 50.0}, title="USIGAN (released, small preset)")
    tree.add("regression+small", {"r_p": 50.0}, title="Regression (L1) (small preset)")
    tree.add("he", {"r_p": 50.0}, title="H&E unchanged", kind="reference")
    found = only(tree)
    assert [row.title for row in found.rows] == ["CUT", "Regression (L1)", "USIGAN (released)", "H&E unchanged"]
    assert found.preset == "small preset"
    assert heading_of(found) == "mist, ER, small preset"
    tree.add("cut+cpu", {"r_p": 50.0}, title="CUT (cpu preset)")
    assert only(tree).preset == ""
    assert "CUT (cpu preset)" in [row.title for row in only(tree).rows]


def test_no_runs(tmp_path: Path) -> None:
    assert load_results(tmp_path) == []


def test_seeds_are_gathered_as_pandas_gathers_them(tree: Tree) -> None:
    for seed, r_avg, psnr in ((0, 70.25, 13.0), (1, 72.5, 13.5), (5, 71.0, 15.25)):
        tree.add("cut", {"r_avg": r_avg, "psnr": psnr}, seed=seed)
    summaries = [json.loads(path.read_text()) for path in tree.results.rglob("summary.json")]
    expected = pd.DataFrame([{name: v["value"] for name, v in s["values"].items()} for s in summaries])
    row = row_of(only(tree), "cut")
    for value in ("r_avg", "psnr"):
        cell = row.cell(value)
        assert cell.mean == pytest.approx(expected[value].mean(), rel=1e-15)
        assert cell.sd == pytest.approx(expected[value].std(), rel=1e-14)


def test_one_seed_has_no_spread(tree: Tree) -> None:
    tree.add("cut", {"fid": 40.0})
    cell = row_of(only(tree), "cut").cell("fid")
    assert (cell.mean, cell.sd, cell.missing) == (40.0, None, ())


def test_absent_is_not_zero(tree: Tree) -> None:
    tree.add("cut", {"fid": 40.0, "r_p": 10.0}, seed=0)
    tree.add("cut", {"fid": "weights are not here", "r_p": "constant"}, seed=1)
    tree.add("usigan", {"fid": "weights are not here"})
    comparison = only(tree)
    cell = row_of(comparison, "cut").cell("fid")
    assert (cell.mean, cell.sd, cell.missing) == (40.0, None, (("seed 1", "weights are not here"),))
    assert row_of(comparison, "usigan").cell("fid").mean is None
    assert row_of(comparison, "usigan").cell("r_p").missing == (("seed 0", "not measured"),)


def test_infinity_is_a_number(tree: Tree) -> None:
    tree.add("cut", {"psnr": 13.0})
    tree.add("pix2pix", {"psnr": "inf"})
    comparison = only(tree)
    assert row_of(comparison, "pix2pix").cell("psnr").mean == math.inf
    assert comparison.ranks("psnr", 2) == {"pix2pix": 1, "cut": 2}


def test_order_is_methods_by_title_then_references(tree: Tree) -> None:
    tree.add("he", {"fid": 1.0}, kind="reference", title="A reference")
    tree.add("b", {"fid": 1.0}, title="zebra")
    tree.add("c", {"fid": 1.0}, title="Ant")
    tree.add("d", {"fid": 1.0}, kind="external", title="mole")
    assert [row.title for row in only(tree).rows] == ["Ant", "mole", "zebra", "A reference"]


def test_equal_titles_are_told_apart(tree: Tree) -> None:
    tree.add("usigan", {"fid": 1.0}, title="USIGAN")
    tree.add("usigan+cpu", {"fid": 2.0}, title="USIGAN")
    assert [row.title for row in only(tree).rows] == ["USIGAN (usigan)", "USIGAN (usigan+cpu)"]


@pytest.mark.parametrize(("slides", "marked"), [(12, True), (7, True), (6, False), (1, True), (None, True)])
def test_nothing_is_marked_where_so_few_units_can_not_show_a_difference(
    tree: Tree, slides: int | None, marked: bool
) -> None:
    """Four methods: three tests against the best, and 2^(1 − S) · 3 is below 5 % from seven on.

    Where slides are unknown or one, the twelve images are the units.
    """
    for place, row in enumerate("abcd"):
        tree.add(row, {"fid": 10.0 + place}, n_slides=slides)
    assert only(tree).ranks("fid", 3) == ({"a": 1, "b": 2} if marked else {})


@pytest.mark.parametrize(
    ("value", "numbers", "expected"),
    [
        ("fid", {"a": 30.0, "b": 20.0, "c": 25.0}, {"b": 1, "c": 2}),
        ("r_avg", {"a": 30.0, "b": 20.0, "c": 25.0}, {"a": 1, "c": 2}),
        ("r_avg", {"a": 30.001, "b": 30.004, "c": 25.0, "d": 25.0}, {"a": 1, "b": 1, "c": 2, "d": 2}),
        ("r_avg", {"a": 30.0, "b": 30.0}, {}),
        ("r_c_undefined", {"a": 0.0, "b": 3.0}, {}),
        ("iod_bias", {"a": -30.0, "b": 4.0, "c": -2.0}, {"c": 1, "b": 2}),
        ("iod_bias", {"a": -4.0, "b": 4.0}, {}),
        ("r_avg", {"a": 30.0, "b": "constant"}, {}),
    ],
)
def test_ranks(tree: Tree, value: str, numbers: dict[str, Any], expected: dict[str, int]) -> None:
    tree.add("real-ihc", {value: 99.0 if value == "r_avg" else 0.0}, kind="reference")
    for row, number in numbers.items():
        tree.add(row, {value: number})
    assert only(tree).ranks(value, 2) == expected


def test_rows_on_other_images_are_shown_flagged_and_not_ranked(tree: Tree) -> None:
    tree.add("a", {"r_avg": 50.0})
    tree.add("b", {"r_avg": 60.0})
    tree.add("c", {"r_avg": 99.0}, data_digest="f" * 64)
    comparison = only(tree)
    other = next(row for row in comparison.rows if row.runs[0].row == "c")
    assert comparison.ranks("r_avg", 2) == {"b": 1, "a": 2}
    assert "other images" in (comparison.difference(other, "r_avg") or "")
    assert len(problems(comparison)) == 1
    assert "ffffffffffff" in problems(comparison)[0]


def test_seeds_on_different_images_are_not_averaged(tree: Tree) -> None:
    tree.add("a", {"r_avg": 50.0}, seed=0)
    tree.add("a", {"r_avg": 90.0}, seed=1, data_digest="f" * 64)
    tree.add("he", {"r_avg": 60.0}, kind="reference")
    comparison = only(tree)
    assert [row.cell("r_avg").mean for row in comparison.rows if row.is_method] == [50.0, 90.0]
    assert len({row.title for row in comparison.rows}) == 3


def test_values_of_another_protocol_are_not_ranked(tree: Tree) -> None:
    tree.add("a", {"phv_avg": 0.5})
    tree.add("b", {"phv_avg": 0.6})
    tree.add("c", {"phv_avg": {"value": 0.1, "protocol": "phv/imagenet"}})
    comparison = only(tree)
    assert comparison.columns["phv_avg"].protocol == "phv/released"
    assert comparison.ranks("phv_avg", 4) == {"a": 1, "b": 2}
    assert "phv/imagenet" in problems(comparison)[0]


def test_a_row_of_which_all_values_have_another_protocol_is_said_once(tree: Tree) -> None:
    """As of images that were resized: the rule ends the protocol of each of its values."""
    for row in ("a", "b"):
        tree.add(row, {"r_avg": 50.0, "phv_avg": 0.5, "ssim": 0.5})
    resized = {"r_avg": "r_avg", "phv_avg": "phv/released", "ssim": "ssim/skimage"}
    tree.add("c", {name: {"value": 0.1, "protocol": f"{own}+resize-box"} for name, own in resized.items()})
    (said,) = problems(only(tree))
    assert "+resize-box and 2 more so; shown, but not ranked" in said


def test_seeds_of_another_protocol_are_not_averaged(tree: Tree) -> None:
    tree.add("a", {"phv_avg": 0.5}, seed=0)
    tree.add("a", {"phv_avg": 0.7}, seed=1)
    tree.add("a", {"phv_avg": {"value": 0.1, "protocol": "phv/imagenet"}}, seed=2)
    cell = row_of(only(tree), "a").cell("phv_avg")
    assert cell.mean == pytest.approx(0.6)
    assert cell.missing == (("seed 2", "measured by another protocol, phv/imagenet"),)


def test_references_that_beat_every_method(tree: Tree) -> None:
    tree.add("a", {"r_avg": 58.0, "fid": 30.0, "r_c_undefined": 1.0, "iod_bias": -9.0})
    tree.add("he", {"r_avg": 60.0, "fid": 100.0, "r_c_undefined": 0.0, "iod_bias": -90.0}, kind="reference")
    tree.add("real-ihc", {"r_avg": 55.0, "fid": 0.0, "iod_bias": 8.0}, kind="reference")
    comparison = only(tree)
    assert [row.key for row in comparison.unbeaten("r_avg")] == ["he"]
    assert [row.key for row in comparison.unbeaten("fid")] == ["real-ihc"]
    assert [row.key for row in comparison.unbeaten("iod_bias")] == ["real-ihc"]
    assert comparison.unbeaten("r_c_undefined") == []  # a count of images is no score


def test_tidy_holds_every_value_of_every_run(tree: Tree, tmp_path: Path) -> None:
    tree.add("cut", {"r_avg": 1 / 3, "psnr": "inf", "fid": "weights are not here"}, seed=1)
    tree.add("he", {"r_avg": 60.0}, kind="reference", stain="pr")
    tidy(load_results(tree.results)).to_csv(tmp_path / "tidy.csv", index=False)
    read = pd.read_csv(tmp_path / "tidy.csv").set_index(["stain", "row", "metric"])
    assert len(read) == 4
    assert read.loc[("er", "cut", "r_avg"), "value"] == 1 / 3  # all digits
    assert read.loc[("er", "cut", "psnr"), "value"] == math.inf
    assert pd.isna(read.loc[("er", "cut", "fid"), "value"])
    assert read.loc[("er", "cut", "fid"), "reason"] == "weights are not here"
    assert read.loc[("er", "cut", "fid"), ["seed", "n", "n_slides"]].tolist() == [1, 12, 12]
    assert pd.isna(read.loc[("pr", "he", "r_avg"), "seed"])


def test_a_run_without_summary_is_named(tree: Tree) -> None:
    folder = tree.add("cut", {"fid": 1.0})
    (folder / "evaluation" / "native" / "summary.json").unlink()
    assert unevaluated(tree.results) == [folder]
    assert load_results(tree.results) == []


def damage(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        summary = json.loads(path.read_text())
        change(summary)
        path.write_text(json.dumps(summary))

    return apply


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.write_text(path.read_text()[:-40]), "damaged"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "damaged"),
        (lambda path: path.write_text("[1]"), "no JSON object"),
        (damage(lambda s: s.pop("values")), "values"),
        (damage(lambda s: s.pop("data_digest")), "data_digest"),
        (damage(lambda s: s.update(schema=2)), "schema"),
        (damage(lambda s: s.update(n=7)), "lists 12 pairs but n is 7"),
        (damage(lambda s: s.update(n="6")), "n: "),
        (damage(lambda s: s.update(row="usigan")), "not of its folder"),
        (damage(lambda s: s["values"]["fid"].update(value=float("nan"))), "NaN is no number"),
        (damage(lambda s: s["values"]["fid"].update(value=True)), "values.fid.value"),
        (damage(lambda s: s["values"]["fid"].update(value="12")), "values.fid.value"),
        (damage(lambda s: s["values"]["fid"].update(value=None)), "absent without a reason"),
        (damage(lambda s: s["values"]["fid"].update(best="up")), "values.fid.best"),
    ],
)
def test_a_damaged_summary_is_refused_by_name(tree: Tree, spoil: Callable[[Path], object], says: str) -> None:
    tree.add("pix2pix", {"fid": 2.0})
    path = tree.add("cut", {"fid": 1.0}) / "evaluation" / "native" / "summary.json"
    spoil(path)
    with pytest.raises(RunError) as caught:
        load_results(tree.results)
    message = str(caught.value)
    assert str(path) in message
    assert says in message
    assert "\n" not in message


def test_evaluations_at_a_common_size_stand_in_tables_of_their_own(tree: Tree) -> None:
    """A run that was measured in two protocols is one run: in a table it has the numbers of one of them."""
    folders = [tree.add("cut", {"ssim": 0.5}), tree.add("he", {"ssim": 0.25}, kind="reference")]
    for folder in folders:
        tree.also_in(folder, "size-16x16-box")
    tree.add("usigan", {"ssim": 0.75})  # at its own size alone
    told: list[str] = []
    (native,) = compare(load_results(tree.results, told.append))
    assert [(row.key, len(row.runs), row.runs[0].protocol) for row in native.rows] == [
        ("cut", 1, "native"), ("usigan", 1, "native"), ("he", 1, "native"),
    ]  # fmt: skip
    assert told == ["left out: 2 evaluations in the protocol size-16x16-box; --protocol size-16x16-box shows them"]
    (common,) = compare(load_results(tree.results, protocol="size-16x16-box"))
    assert [(row.key, len(row.runs)) for row in common.rows] == [("cut", 1), ("he", 1)]
    assert common.columns["ssim"].protocol == "ssim/skimage-rgb-uniform7+size-16x16-box"


def test_what_was_measured_at_a_common_size_alone_is_not_taken_for_the_rest(tree: Tree) -> None:
    folder = tree.add("cut", {"ssim": 0.5})
    tree.also_in(folder, "size-16x16-box")
    shutil.rmtree(folder / "evaluation/native")
    told: list[str] = []
    assert load_results(tree.results, told.append) == []
    assert told == ["left out: 1 evaluation in the protocol size-16x16-box; --protocol size-16x16-box shows it"]


def test_a_row_of_another_benchmark_version_is_shown_and_not_ranked(tree: Tree) -> None:
    for row, ssim in (("cut", 0.5), ("usigan", 0.6), ("asp", 0.7)):
        tree.add(row, {"ssim": ssim}, benchmark="vsbench-2031.4")
    tree.add("old", {"ssim": 0.9})
    comparison = only(tree)
    said = "of another benchmark version, before vsbench-2026.1"
    assert comparison.difference(row_of(comparison, "old"), "ssim") == said
    assert comparison.difference(row_of(comparison, "cut"), "ssim") is None
    assert tidy(load_results(tree.results))["benchmark"].value_counts().to_dict() == {
        "vsbench-2031.4": 3, "before vsbench-2026.1": 1,
    }  # fmt: skip


def test_a_row_that_was_resized_is_shown_and_not_ranked(tree: Tree) -> None:
    tree.add("cut", {"ssim": 0.5})
    tree.add("usigan", {"ssim": 0.5})
    folder = tree.add("theirs", {"ssim": 0.75}, kind="external")
    tree.also_in(folder, "resize-box")
    shutil.rmtree(folder / "evaluation/native")
    comparison = only(tree)
    assert "measured by another protocol" in str(comparison.difference(row_of(comparison, "theirs"), "ssim"))
