"""The command from end to end, and its errors in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vsbench.cli.reader_study import app
from vsbench.errors import UsageError
from vsbench.reader_study.draw import read_key


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_make_then_analyse(results: Path, tmp_path: Path, score_as: Callable[..., Path]) -> None:
    made = run("make", "--results", results, "--n", 4, "--repeats", 1, "--real", "--he", "--question", "Good?")
    folder = results / "report" / "reader-study"
    assert made.exit_code == 0
    assert "25 images to score: 5 methods and stains, 4 each and 1 twice" in made.output
    assert (folder / "index.html").is_file()

    key_file = results / "report" / "reader-study-key.json"
    key = read_key(key_file)
    files = [score_as(key, tmp_path / f"{n}.csv", f"r{n}", lambda item, _: 1 + len(item.method) % 5) for n in range(2)]
    analysed = run("analyse", key_file, *files, "--resamples", 100)
    assert analysed.exit_code == 0
    written = {path.name for path in (results / "report" / "reader-study-analysis").iterdir()}
    assert written == {"index.md", "index.html", "means.csv", "agreement.csv", "differences.csv", "scores.csv"} | {
        f"heatmap-1.{suffix}" for suffix in ("pdf", "png", "csv")
    }
    assert all(name in analysed.output for name in written)


def test_what_is_wrong_is_one_line(results: Path) -> None:
    with pytest.raises(UsageError) as error:
        run("make", "--results", results, "--n", 99)
    assert "\n" not in str(error.value)
    assert run("make", "--n", 0).exit_code == 2
