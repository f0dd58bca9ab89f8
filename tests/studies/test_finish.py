"""What is made of the rows: folds in one table, a report of the study's own rows; and what all takes, beforehand."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from vsbench.cli.app import app
from vsbench.cli.sweep import run
from vsbench.data import headers
from vsbench.engine.run import Run, find_runs
from vsbench.engine.schedule import Schedule
from vsbench.errors import UserError
from vsbench.evaluation.evaluate import evaluate_runs, every_run
from vsbench.evaluation.folds import pool_all
from vsbench.evaluation.instrument import Instrument
from vsbench.records.run import PooledRecord
from vsbench.registry import load
from vsbench.report.ledger import Ledger
from vsbench.report.provenance.records import records
from vsbench.report.tables import compare, load_results
from vsbench.studies.cost import require_room, survey
from vsbench.studies.file import Evaluation, Report
from vsbench.studies.finish import evaluate_study, report_study
from vsbench.studies.state import look_at
from vsbench.weights.store import WeightsError

Read = Callable[..., Any]
CPU = torch.device("cpu")
DATA = {"slide": "^(.)_", "he": "he/{split}", "ihc": "ihc/{split}"}


def quiet(*_: Any) -> None: ...


@pytest.fixture
def one_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluations measure the amount of DAB alone: what all families give is tested where they are."""
    monkeypatch.setattr(Instrument, "build", lambda *_, **__: Instrument({"dab": load("vsbench.metrics", "dab")()}))


@pytest.fixture
def folds(study: Read, own: Path) -> Callable[..., Any]:
    """A study of one row on two folds of the four slides; keywords replace its parts."""

    def read(**parts: Any) -> Any:
        data = {"dataset": "folder", "stains": ["ki67"], "data_root": str(own), "options": DATA, "folds": 2}
        return study(datasets=[data], **parts)

    return read


@pytest.mark.usefixtures("one_metric")
def test_folds_are_one_table_in_which_each_image_is_its_own_folds(folds: Read, train_here: Any, tmp_path: Path) -> None:
    asked, rows = folds(seeds=[0, 1])
    for row in rows:
        train_here(row)
    measured = evaluate_study(asked, Evaluation(), look_at(rows, {}), CPU, quiet)
    assert measured.failures == []
    by_row = {(outcome.summary.row, outcome.summary.seed): outcome for outcome in measured.outcomes}
    (pooled, other), own = (by_row["regression+cpu", seed] for seed in (0, 1)), asked.results / "runs/folder-ki67"
    assert (pooled.summary.kind, pooled.summary.n, pooled.summary.n_slides) == ("pooled", 8, 4)
    assert other.summary.images_digest != pooled.summary.images_digest
    table = pd.read_csv(pooled.run.evaluation("native") / "per_image.csv", index_col="id")
    assert table.index.tolist() == sorted({f"{slide}_{tile}" for slide in "abcd" for tile in (0, 1)})
    made: dict[str, Path] = {}
    for row in rows[:2]:
        images = {file.stem: file for file in row.run.images("test").glob("*.png")}
        assert not images.keys() & made.keys()
        made |= images
    assert {pair.id: (pooled.run.folder / str(pair.fake)).resolve() for pair in pooled.summary.pairs} == {
        name: file.resolve() for name, file in made.items()
    }
    assert by_row["mean-colour", None].summary.n == 8, "each fold's own mean colour"
    means = [Run(row.request.results / "runs/folder-ki67/mean-colour/reference").record.state for row in rows[:2]]
    assert means[0] != means[1]

    record = pooled.run.record
    assert isinstance(record, PooledRecord)
    assert record.dataset_options == DATA | {"split_by": "folds", "folds": 2, "fold": "all"}
    (comparison,) = compare(load_results(asked.results))
    (row,) = (row for row in comparison.rows if row.is_method)
    assert [run.seed for run in row.runs] == [0, 1], "seeds of one row"
    (told, *_) = (one for one in records([comparison]) if one["kind"] == "pooled")
    assert [line.count("--results results/folds/fold-") for line in told["commands"]] == [1, 1, 0]
    assert "--data fold=1" in told["commands"][1]
    assert "2 folds: each image is made by what was trained on the other folds" in pooled.summary.warnings
    written = report_study(asked, Report(latex=True, figures=False), measured.runs, tmp_path / "out", EMPTY, quiet)
    assert tmp_path / "out" / "main.tex" in written
    assert "folds/fold-0-of-2" in (tmp_path / "out" / "supplement.tex").read_text().replace("\\allowbreak{}", "")

    found, incomplete = every_run(asked.results)
    assert incomplete == []
    assert [run.folder for run in found] == [own / "regression+cpu/seed-0", own / "regression+cpu/seed-1"]
    outcomes, failures = evaluate_runs(found, None, asked.results, Instrument.build("cpu"), CPU)
    assert (failures, [outcome.cached for outcome in outcomes]) == ([], [True] * len(outcomes))


EMPTY = Ledger((), (), ())


@pytest.mark.usefixtures("one_metric")
def test_folds_are_pooled_in_another_place_where_results_are_only_read(
    folds: Read, train_here: Any, tmp_path: Path
) -> None:
    asked, rows = folds()
    for row in rows:
        train_here(row)
    damaged = rows[0].request.results / "runs/folder-ki67/damaged/seed-0/run.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{")
    before, out = sorted(asked.results.rglob("*")), tmp_path / "out"
    evaluate = ["evaluate", "--all", "--results", str(asked.results), "--out", str(out), "--device", "cpu"]
    said = CliRunner().invoke(app, evaluate)
    assert said.stderr.splitlines()[-1].startswith(f"error: {damaged}: ")
    assert sorted(asked.results.rglob("*")) == before
    (comparison,) = compare(load_results(out))
    (row,) = (row for row in comparison.rows if row.is_method)
    assert [(run.kind, run.n) for run in row.runs] == [("pooled", 8)]
    damaged.unlink()
    said = CliRunner().invoke(app, evaluate)
    assert (said.exit_code, "measured\n" in said.stdout) == (0, False)
    (asked.results / "runs/folder-ki67/regression+cpu/seed-0").mkdir(parents=True)
    (asked.results / "runs/folder-ki67/regression+cpu/seed-0/run.json").write_text(rows[0].run.record_file.read_text())
    found, failures = every_run(asked.results, out)
    assert "holds another run (trained)" in failures[0]
    assert [run.folder.is_relative_to(asked.results) for run in found] == [True], "none stands for the other"


@pytest.mark.usefixtures("one_metric")
def test_folds_that_are_missing_or_other_trainings_by_now_are_said(folds: Read, train_here: Any) -> None:
    asked, rows = folds()
    train_here(rows[0])
    runs, failures = pool_all(asked.results)
    assert runs == []
    assert len(failures) == 1
    assert "of 2 folds, finished here: 0; train the others too, --data fold=1 --results" in failures[0]
    assert "fold-1-of-2, or measure one alone, vsbench evaluate --all --results" in failures[0]
    said = CliRunner().invoke(app, ["evaluate", "--all", "--results", str(asked.results)])
    assert said.exit_code == 1
    assert failures[0] in said.stderr
    assert evaluate_study(asked, Evaluation(), look_at(rows, {}), CPU, quiet).runs == []
    train_here(rows[1])
    (pooled,), failures = pool_all(asked.results)
    assert failures == []
    file = rows[1].run.record_file
    file.write_text(json.dumps(json.loads(file.read_text()) | {"train_digest": "0" * 64}))
    _, failures = evaluate_runs([pooled], None, asked.results, Instrument({}), CPU)
    assert "not the training that" in failures[0]
    assert "holds another run" in pool_all(asked.results)[1][0]


@pytest.mark.usefixtures("one_metric")
def test_the_report_is_of_the_studys_rows_alone(study: Read, train_here: Any, tmp_path: Path) -> None:
    asked, rows = study(methods=["regression", {"method": "regression", "label": "other"}])
    for row in rows:
        train_here(row)
    evaluate_study(asked, Evaluation(), look_at(rows, {}), CPU, quiet)
    report_study(asked, Report(latex=False, figures=False, html=False), [rows[0].run], tmp_path / "out", EMPTY, quiet)
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert set(summary["row"]) >= {"regression+cpu", "mean-colour"}
    assert "other" not in set(summary["row"])


@pytest.mark.usefixtures("one_metric")
def test_a_row_that_is_not_done_is_left_out(study: Read, train_here: Any) -> None:
    asked, rows = study(methods=["regression", {"method": "regression", "label": "other"}])
    train_here(rows[1])
    measured = evaluate_study(asked, Evaluation(), look_at(rows, {}), CPU, quiet)
    assert measured.runs == [rows[1].run]
    assert measured.failures == []


def test_costs_are_those_of_the_rows_and_of_runs_before(study: Read, train_here: Any) -> None:
    asked, rows = study(methods=["regression", {"method": "regression", "label": "x", "options": {"lr": 0.5}}])
    first = survey(asked, rows).sound()
    assert [(cost.steps, cost.step_s) for cost in first] == [(2, None)] * 2
    assert all(cost.memory_bytes > 0 and cost.disk_bytes > 0 for cost in first)
    train_here(rows[0])
    record = rows[0].run.trained
    again = survey(asked, rows).sound()
    assert again[0].step_s == pytest.approx((record.wall_time_s or 0) / 2)
    assert again[1].step_s is None
    assert again[0].seconds(done=1) == pytest.approx(again[0].step_s)
    longer, more = study(options={"steps": 40, "crop_size": 32, "load_size": 0, "width": 4, "batch_size": 1}, seeds=[9])
    (cost,) = survey(longer, more).sound()
    assert cost.seconds() == pytest.approx(20 * (record.wall_time_s or 0)), "a step lasts as long in a longer training"


def test_a_longer_training_of_another_stain_leaves_more_sheets(study: Read, own: Path, monkeypatch: Any) -> None:
    data = {"dataset": "folder", "stains": ["ki67", "er"], "data_root": str(own), "options": DATA}
    asked, rows = study(datasets=[data])
    lengths = iter([2, 5000])  # as of so many more images
    monkeypatch.setattr("vsbench.studies.cost.draw", lambda *_: (None, Schedule(next(lengths), 0, 1)))
    short, long = survey(asked, rows).sound()
    assert (short.steps, long.steps) == (2, 5000)
    assert long.disk_bytes - short.disk_bytes == 10 * (3 * 3 * 256 * 256 * 3), "three pairs in three pictures each"


def test_what_would_stop_a_row_is_named_before_anything_runs(study: Read, own: Path, monkeypatch: Any) -> None:
    """All of it, not the first alone: data, settings that do not fit, weights and tools that are missing."""
    for variable in ("VSBENCH_DATA", "VSBENCH_WEIGHTS", "TORCH_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(variable, str(own / "nothing"))
    faults: list[tuple[dict[str, Any], str]] = [
        ({"methods": [{"method": "cut", "label": "odd", "options": {"crop_size": 30}}]}, "odd on folder-ki67"),
        ({"datasets": [{"dataset": "mist", "stains": ["er"], "data_root": str(own)}]}, "on mist-er"),
        ({"methods": ["flsesim"], "options": {"steps": 2}}, "flsesim"),
        ({"training": {"log_to": ["nothing"]}}, "nothing"),
        ({"evaluation": {"also": ["nothing"]}}, "nothing"),
        ({"evaluation": {"on_missing": "error"}}, "missing"),
        ({"report": {"strata": "nothing"}}, "nothing"),
    ]
    for parts, said in faults:
        asked, rows = study(**parts)
        with pytest.raises(UserError, match=said):
            survey(asked, rows).sound()
    asked, rows = study(methods=["regression", "cut"], options={"steps": 2, "crop_size": 30}, seeds=[0, 1])
    with pytest.raises(UserError, match=r"2 faults: .*regression.*cut"):
        survey(asked, rows).sound()
    assert not asked.results.exists()


def test_too_little_room_is_said(study: Read, write: Any, monkeypatch: Any, capsys: Any) -> None:
    """After the plan, where that was asked for: it tells what takes the room."""
    asked, rows = study()
    found, states = survey(asked, rows).sound(), look_at(rows, {})
    require_room(asked, found, states)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(UserError, match="GiB free; make room"):
        require_room(asked, found, states)
    with pytest.raises(UserError, match="GiB free; make room"):
        run(write(), dry_run=True)
    assert "1 to do" in capsys.readouterr().out


def test_a_plan_reads_each_header_once_and_names_what_is_missing_of_any_kind(study: Read, monkeypatch: Any) -> None:
    """However many methods learn from it. Weights that are missing are said as a row's fault like all else."""
    asked, rows = study(methods=["regression", "pix2pix"], seeds=[0, 1])
    read, size = list[Path](), headers.read_size
    monkeypatch.setattr(headers, "read_size", lambda file: (read.append(file), size(file))[1])
    survey(asked, rows).sound()
    assert len(read) == len(set(read)) == 8
    survey(asked, rows[:1]).sound()
    assert len(read) == 16, "which may have changed by the next plan"

    def missing(*_: Any) -> None:
        raise WeightsError("vgg16: not here; vsbench weights fetch vgg16", "not here")

    monkeypatch.setattr("vsbench.studies.cost.require_data", missing)
    found = survey(asked, rows)
    assert all(cost is not None and cost.memory_bytes > 0 for cost in found.costs), "which hang on no weights"
    (line,) = found.lines()
    assert re.fullmatch(
        r"regression.* on folder-ki67, seed 0, pix2pix.* on folder-ki67, seed 0: vgg16: not here.*", line
    )
    with pytest.raises(UserError, match=re.escape(line)):
        found.sound()


@pytest.mark.usefixtures("one_metric")
def test_suites_leave_their_tables_and_stand_apart(study: Read, train_here: Any) -> None:
    asked, rows = study(methods=["regression", {"method": "usigan", "suite": "table8"}])
    assert len(rows) > 3
    train_here(rows[0])
    evaluate_study(asked, Evaluation(), look_at(rows, {}), CPU, quiet)
    assert list((asked.results / "report/suites").glob("usigan+cpu-table8-folder-ki67.*"))


def test_no_run_of_another_fold_is_taken_for_the_row(folds: Read, train_here: Any) -> None:
    asked, rows = folds()
    train_here(rows[0])
    assert [run.folder for run in find_runs(asked.results)] == []
    assert [one.state for one in look_at(rows, {})] == ["done", "to do"]
