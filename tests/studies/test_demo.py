"""What ``vsbench demo`` trains: rows as ``vsbench train`` makes them, so that either goes on with the other's."""

from pathlib import Path

from typer.testing import CliRunner

from vsbench.cli.app import app
from vsbench.cli.demo import METHODS, study_of
from vsbench.engine.request import Request
from vsbench.environment import processors
from vsbench.studies.file import Local
from vsbench.studies.plan import plan


def test_the_demos_rows_are_those_that_train_makes(tmp_path: Path) -> None:
    study = study_of(tmp_path, "cpu", 3)
    asked = [Request(method, "phantom", "ki67", preset="cpu", seed=3, results=tmp_path) for method in METHODS]
    assert [row.request for row in plan(study)] == asked
    assert isinstance(study.executor, Local)
    assert study.executor.jobs == min(2, processors())


def test_a_device_that_is_none_is_said_before_anything_is_made(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "made"), "--device", "abacus"])
    assert done.exit_code != 0
    assert "abacus" in str(done.exception)
    assert not (tmp_path / "made").exists()
