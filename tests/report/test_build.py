from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner, Result

from vsbench.cli.report import report
from vsbench.errors import RunError, UserError
from vsbench.report.build import build_report

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
    written = build_report(tree.results, out, latex=True, warn=pytest.fail)
    assert sorted(written) == sorted(path for path in out.rglob("*") if path.is_file())
    names = {str(path.relative_to(out)) for path in written}
    assert names >= {"summary.csv", "main.tex", "tables/methods-mist.tex", "tables/all-mist-er.tex"}
    assert names >= {f"figures/{kind}-mist-pr.{suffix}" for kind in ("scatter", "images") for suffix in ("pdf", "png")}
    text = (out / "main.tex").read_text()
    assert all(name in text for name in names if name.endswith(".pdf") or name.startswith("tables/"))


def test_without_latex_and_figures_only_the_table_is_written(tree: Tree) -> None:
    tree.add("cut", VALUES)
    assert build_report(tree.results, tree.results / "report", latex=False, figures=False) == [
        tree.results / "report" / "summary.csv"
    ]


def test_tables_need_no_images(tree: Tree) -> None:
    folder = tree.add("cut", VALUES)
    for image in (folder / "images" / "test").glob("*.png"):
        image.unlink()
    said = []
    written = build_report(tree.results, tree.results / "report", latex=True, warn=said.append)
    assert any(path.name == "all-mist-er.tex" for path in written)
    assert not any(path.name.startswith("images") for path in written)
    assert any("no sheet of images" in sentence and "no such file" in sentence for sentence in said)
    assert "no such file" in (tree.results / "report" / "main.tex").read_text()


def test_values_of_the_paper_may_be_missing(tree: Tree) -> None:
    tree.add("cut", {"ssim": 0.3})
    said = []
    written = build_report(tree.results, tree.results / "report", latex=True, warn=said.append)
    assert not any(path.name.startswith("methods") for path in written)
    assert any("phv_avg, r_avg, fid" in sentence for sentence in said)


def test_warnings_reach_library_users(tree: Tree) -> None:
    tree.add("cut", VALUES)
    (tree.add("pix2pix", VALUES) / "evaluation" / "native" / "summary.json").unlink()
    with pytest.warns(UserWarning, match="pix2pix/seed-0: not evaluated"):
        build_report(tree.results, tree.results / "report", latex=False, figures=False)


def test_command_prints_what_it_wrote(tree: Tree) -> None:
    tree.add("cut", VALUES)
    tree.add("usigan", VALUES | {"fid": 30.0}, data_digest="f" * 64)
    result = run("--results", tree.results, "--latex")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert str(tree.results / "report" / "main.tex") in lines
    assert all((tree.results / "report").joinpath(line).is_file() for line in lines)
    assert "warning: mist-er: usigan: measured on other images" in result.stderr


def test_command_writes_where_it_is_told(tree: Tree, tmp_path: Path) -> None:
    tree.add("cut", VALUES)
    assert run("--results", tree.results, "--out", tmp_path / "there", "--no-figures").exit_code == 0
    assert pd.read_csv(tmp_path / "there" / "summary.csv")["metric"].tolist() == list(VALUES)
    assert not (tree.results / "report").exists()


def test_a_damaged_summary_stops_the_report(tree: Tree) -> None:
    (tree.add("cut", VALUES) / "evaluation" / "native" / "summary.json").write_text("{")
    assert isinstance(run("--results", tree.results).exception, RunError)
