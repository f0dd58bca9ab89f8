import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner, Result

from vsbench.cli.report import ledger, report
from vsbench.errors import UsageError, UserError
from vsbench.files import file_digest
from vsbench.records.summary import Summary
from vsbench.report.build import build_report
from vsbench.report.published import load_all

Tree = Any  # the class in conftest.py, which cannot be imported from here

VALUES = {"r_c": 60.0, "r_p": 40.0, "r_avg": 50.0, "fid": 40.0, "phv_avg": 0.5}


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(report)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_nothing_evaluated_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no evaluated run; run vsbench evaluate --all first"):
        build_report(tmp_path, tmp_path / "report", latex=True)


def test_everything_written_is_told_and_nothing_else_is_there(tree: Tree) -> None:
    tree.add("cut", VALUES)
    tree.add("he", VALUES, kind="reference")
    tree.add("cut", VALUES, stain="pr")
    out = tree.results / "report"
    said: list[str] = []
    written = build_report(tree.results, out, latex=True, warn=said.append)
    assert sorted(written) == sorted(path for path in out.rglob("*") if path.is_file() and not path.is_symlink())
    names = {str(path.relative_to(out)) for path in written}
    assert names >= {"summary.csv", "decision.csv", "provenance.csv", "provenance.json", "index.html", "main.tex"}
    assert names >= {"tables/methods-mist.tex", "tables/all-mist-er.tex"}
    assert names >= {f"figures/{kind}-mist-pr.{suffix}" for kind in ("scatter", "images") for suffix in ("pdf", "png")}
    text = (out / "main.tex").read_text() + (out / "supplement.tex").read_text()
    assert all(name in text for name in names if name.endswith(".pdf") or name.startswith("tables/"))
    assert not [sentence for sentence in said if "scatter" in sentence or "sheet" in sentence]


def test_without_latex_figures_and_page_only_data_are_written(tree: Tree) -> None:
    tree.add("cut", VALUES)
    written = build_report(tree.results, tree.results / "report", figures=False, page=False, warn=lambda _: None)
    names = {path.relative_to(tree.results / "report").as_posix() for path in written}
    assert names == {"summary.csv", "decision.csv", "provenance.csv", "provenance.json"}


def test_printed_numbers_stand_beside(tree: Tree, tmp_path: Path) -> None:
    """In the methods' table, in tables of their own, and on the page; an impossible one with its flag."""
    tree.add("cut", VALUES)
    papers = load_all(Path(__file__).parents[2] / "results" / "published")
    out = tmp_path / "report"
    build_report(tree.results, out, latex=True, figures=False, papers=papers, warn=lambda _: None)
    printed = next(
        row for row in papers[0].rows if (row.table, row.stain, row.who, row.metric) == ("II", "er", "CUT", "fid")
    )
    for file in ("tables/methods-mist.tex", "tables/literature-usigan-II.tex", "index.html"):
        assert printed.value in (out / file).read_text(encoding="utf-8"), file
    assert "4612" in (out / "tables/literature-usigan-III.tex").read_text()
    assert r"\input{tables/literature-usigan-IX.tex}" in (out / "supplement.tex").read_text()


def test_rows_of_a_study_stand_in_its_table_alone(tree: Tree) -> None:
    tree.add("cut", VALUES)
    tree.add("usigan+tau-0.1", VALUES)
    study = {
        "schema": 1, "method": "usigan", "suite": "table8", "dataset": "mist", "stain": "er", "preset": "paper",
        "options": {}, "dataset_options": {}, "seeds": [0], "own": ["usigan+tau-0.1"],
    }  # fmt: skip
    (tree.results / "report" / "suites").mkdir(parents=True)
    (tree.results / "report" / "suites" / "usigan-table8.json").write_text(json.dumps(study))
    out, said = tree.results / "report", []
    build_report(tree.results, out, latex=True, figures=False, page=False, warn=said.append)
    assert "tau" not in (out / "tables/all-mist-er.tex").read_text()
    assert (out / "suite-table8.tex").is_file()
    assert any("1 runs belong to ablation studies (table8)" in sentence for sentence in said)


def test_a_bundle_is_one_of_the_files_told(tree: Tree, tmp_path: Path) -> None:
    tree.add("cut", VALUES)
    bundle = tmp_path / "supplement.zip"
    result = run("--results", tree.results, "--no-figures", "--no-html", "--bundle", bundle)
    assert result.exit_code == 0, result.output
    assert str(bundle) in result.stdout.splitlines()
    with zipfile.ZipFile(bundle) as held:
        assert "report/summary.csv" in held.namelist()


def test_options_that_do_nothing_are_refused(tree: Tree, tmp_path: Path) -> None:
    tree.add("cut", VALUES)
    for options in (("--suite", "table4", "--bundle", tmp_path / "b.zip"), ("--method", "cut")):
        assert isinstance(run("--results", tree.results, *options).exception, UsageError)
    with pytest.raises(UserError, match="no published numbers"):
        ledger(tmp_path)


def test_tables_need_no_images(tree: Tree) -> None:
    folder = tree.add("cut", VALUES)
    for image in (folder / "images" / "test").glob("*.png"):
        image.unlink()
    said = []
    written = build_report(tree.results, tree.results / "report", latex=True, page=False, warn=said.append)
    assert any(path.name == "all-mist-er.tex" for path in written)
    assert not any(path.name.startswith("images") for path in written)
    assert any("no sheet of images" in sentence and "no such file" in sentence for sentence in said)
    assert "no such file" not in (tree.results / "report" / "main.tex").read_text()  # said on the terminal


def test_values_of_the_paper_may_be_missing(tree: Tree) -> None:
    tree.add("cut", {"ssim": 0.3})
    said = []
    written = build_report(tree.results, tree.results / "report", latex=True, page=False, warn=said.append)
    assert not any(path.name.startswith("methods") for path in written)
    assert any("iod_bias, iod_mae, r_p, ccc" in sentence for sentence in said)


def test_warnings_reach_library_users(tree: Tree) -> None:
    tree.add("cut", VALUES)
    (tree.add("pix2pix", VALUES) / "evaluation" / "native" / "summary.json").unlink()
    with pytest.warns(UserWarning, match="pix2pix/seed-0: not evaluated"):
        build_report(tree.results, tree.results / "report", figures=False, page=False)


def test_command_prints_what_it_wrote(tree: Tree) -> None:
    tree.add("cut", VALUES)
    tree.add("usigan", VALUES | {"fid": 30.0}, data_digest="f" * 64)
    result = run("--results", tree.results, "--latex", "--no-html")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert str(tree.results / "report" / "main.tex") in lines
    assert all(Path(line).exists() for line in lines if not line.endswith("files)"))
    assert len(lines) <= 10
    assert "warning: mist-er: usigan: measured on other images" in result.stderr


def test_command_writes_where_it_is_told(tree: Tree, tmp_path: Path) -> None:
    tree.add("cut", VALUES)
    assert run("--results", tree.results, "--out", tmp_path / "there", "--no-figures", "--no-html").exit_code == 0
    assert pd.read_csv(tmp_path / "there" / "summary.csv")["metric"].tolist() == list(VALUES)
    assert not (tree.results / "report").exists()


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("summary.json", lambda text: "{"),
        ("summary.json", lambda text: text.replace('"stain": "er"', '"stain": "../er"')),
        ("per_image.csv", lambda text: text.replace("slide 0", "slide 1")),
        ("features.npz", lambda text: None),
    ],
)
def test_what_is_damaged_is_named_and_the_others_go_on(tree: Tree, name: str, spoil: Callable[[str], str]) -> None:
    tree.add("pix2pix", VALUES)
    folder = tree.add("cut", VALUES) / "evaluation" / "native"
    summary = Summary.read(folder / "summary.json")
    (folder / "features.npz").write_bytes(b"features")
    digests = {file: file_digest(folder / file) for file in ("per_image.csv", "features.npz")}
    summary.model_copy(update={"digests": digests}).write(folder / "summary.json")
    before = (folder / name).read_text()
    if (after := spoil(before)) is None:
        (folder / name).unlink()
    else:
        assert after != before
        (folder / name).write_text(after)
    result = run("--results", tree.results, "--no-figures", "--no-html")
    assert result.exit_code == 0
    (line,) = [line for line in result.stderr.splitlines() if "left out" in line]
    assert name in line
    assert set(pd.read_csv(tree.results / "report" / "summary.csv")["row"]) == {"pix2pix"}


def test_what_few_slides_cannot_show_is_neither_drawn_nor_tabled(tree: Tree) -> None:
    """Three slides, two methods, two stains: no best one anywhere, and how a figure is read is said once."""
    for stain in ("er", "pr"):
        for row in ("cut", "asp"):
            tree.add(row, VALUES, stain=stain)
    said: list[str] = []
    out = tree.results / "report"
    written = {path.name for path in build_report(tree.results, out, latex=True, page=False, warn=said.append)}
    assert "mist-er: no differences by slide; 3 slides can't show a difference" in said
    assert not any(name.startswith(("differences", "ranks", "features", "decision-")) for name in written)
    decided = pd.read_csv(out / "decision.csv").dropna(subset=["method"])
    assert decided["standing"].isna().all()
    assert set(decided["unit_kind"]) == {"slide"}
    assert "first" not in decided
    text = (out / "main.tex").read_text()
    captions = [line for line in text.splitlines() if line.startswith(r"\caption{mist, ")]
    (scatter, again) = [line for line in captions if "fig:scatter" in line]
    assert "Grey lines join points" in scatter
    assert "Grey lines" not in again
    assert "as figure~" in again
    tables = (out / "tables" / "methods-mist.tex").read_text()
    assert "textbf{0" not in tables
    assert "No method is marked where no data could show a difference: 3 slides and 2 methods (ER)" in tables
