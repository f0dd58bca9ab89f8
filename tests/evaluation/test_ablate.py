"""Ablation studies: each configuration is trained once, what is done stays, and what fails leaves the others going."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from vsbench.cli.ablate import ablate
from vsbench.cli.options import make_fabric
from vsbench.engine.fit import require_fit
from vsbench.engine.interrupt import Interrupted
from vsbench.engine.start import start
from vsbench.engine.trainer import Progress, Rhythm
from vsbench.errors import UsageError
from vsbench.evaluation.ablate import SeedDone, Study, StudyRow, chosen, require_ready, run_study, state, study_rows
from vsbench.method import Suite, SuiteRow
from vsbench.registry import load
from vsbench.report.studies import read_studies

Command = Callable[..., "subprocess.CompletedProcess[str]"]
TINY: dict[str, Any] = {
    "steps": 4, "crop_size": 32, "width": 4, "batch_size": 2, "discriminator_layers": 1, "discriminator_width": 4,
    "blocks": 1, "taps": [0, 4, 8, 12], "patches": 16, "iterations": 2,
}  # fmt: skip


class Watch:
    """A display that notes what is said, and pulls the plug when a step of a row is reported."""

    def __init__(self, plug: tuple[str, int] | None = None, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.said: list[str] = []
        self.plug, self.error = plug, error

    def say(self, line: str) -> None:
        self.said.append(line)

    def step(self, title: str, progress: Progress) -> None:
        if (title, progress.step) == self.plug:
            raise self.error


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs for the data set ``folder``: three to train on, four to test, 40 × 40."""
    folder, rng = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    for side in ("he", "ihc"):
        for split, names in (("train", "abc"), ("test", "defg")):
            (folder / side / split).mkdir(parents=True)
            for name in names:
                pixels = rng.integers(0, 256, (10, 10, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
                Image.fromarray(pixels).save(folder / side / split / f"{name}.png")
    return folder


@pytest.fixture
def study(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Study]:
    """``study("table8", lr=1e-4)``: a study of a tiny USIGAN, where no pretrained weights are to be found."""
    for variable in ("VSBENCH_DATA", "VSBENCH_WEIGHTS", "TORCH_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "nothing"))

    def make(suite: str, **more: Any) -> Study:
        return Study("usigan", suite, "folder", "er", "cpu", TINY | more, {}, own, tmp_path / "results")

    return make


@pytest.fixture
def two_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """USIGAN has one suite: the method as it is, and another τ."""
    rows = (SuiteRow("whole", {}, "Table I, whole"), SuiteRow("loose", {"tau": 0.1}, "Table I, 0.1"))
    monkeypatch.setattr(load("vsbench.methods", "usigan"), "suites", {"two": Suite("Slack", rows)})


def run(rows: Sequence[StudyRow], seeds: Sequence[int], display: Watch | None = None) -> list[SeedDone]:
    fabric, rhythm = make_fabric("cpu", 1, "32-true"), Rhythm(log=1, checkpoint=2)
    return list(run_study(rows, seeds, fabric, 0, rhythm, display or Watch()))


def named(study: Study) -> dict[str, StudyRow]:
    return {row.name: row for row in study_rows(study)}


def weights(results: Path) -> dict[str, int]:
    """When the weights under ``results`` were written."""
    return {str(path): path.stat().st_mtime_ns for path in results.rglob("*.safetensors")}


def test_the_method_as_it_is_has_the_runs_that_training_gives_it() -> None:
    for suite, row in (("table4", "full"), ("table6", "odc+cc+tcyc"), ("paper-vs-released", "paper")):
        assert named(Study("usigan", suite, "mist", "er"))[row].folder == "usigan"
    assert named(Study("usigan", "table6", "mist", "er", "cpu"))["odc+cc+tcyc"].folder == "usigan+cpu"
    assert named(Study("usigan", "paper-vs-released", "mist", "er"))["released"].folder == "usigan+released"


def test_suites_share_the_runs_of_a_configuration() -> None:
    places = (("table4", "no-pc-scm"), ("table5", "tcyc-uot"), ("table6", "tcyc"), ("table8", "tau-0.001"))
    for preset, variant in (("paper", ""), ("cpu", ""), ("paper", "released")):
        studies = {suite: Study("usigan", suite, "mist", "er", preset, {"variant": variant}) for suite, _ in places}
        assert len({named(studies[suite])[row].folder for suite, row in places}) == 1


@pytest.mark.parametrize("preset", ["paper", "cpu"])
@pytest.mark.parametrize("suite", list(load("vsbench.methods", "usigan").suites))
def test_each_configuration_has_a_folder_of_its_own(suite: str, preset: str) -> None:
    rows = study_rows(Study("usigan", suite, "mist", "er", preset))
    assert len({row.folder for row in rows}) == len({row.config.model_dump_json() for row in rows}) == len(rows)


def test_a_row_wins_over_the_preset_and_leaves_the_users_settings_to_all_rows() -> None:
    rows = study_rows(Study("usigan", "table7", "mist", "er", "cpu", {"lr": 5e-4}))
    assert [row.config.batch_size for row in rows] == [1, 2, 4, 8, 16]
    assert {(row.config.load_size, row.config.crop_size, row.config.lr) for row in rows} == {(256, 128, 5e-4)}


def test_the_user_must_not_set_what_the_suite_varies() -> None:
    for suite, setting in (("table8", {"tau": 0.5}), ("paper-vs-released", {"variant": "released"})):
        with pytest.raises(UsageError, match=f"--set {next(iter(setting))}: .*{suite} varies it"):
            study_rows(Study("usigan", suite, "mist", "er", options=setting))


def test_single_differences_add_up_to_the_released_code() -> None:
    for preset in ("paper", "cpu"):
        rows = named(Study("usigan", "paper-vs-released", "mist", "er", preset))
        whole = rows.pop("released").config.model_dump(exclude={"variant"})
        assert whole == rows.pop("paper").config.model_dump(exclude={"variant"}) | {
            key: getattr(row.config, key) for key, row in rows.items()
        }
        assert {key: whole[key] for key in rows} == load("vsbench.methods", "usigan").variants["released"]


def test_a_label_longer_than_a_folder_may_be_is_cut_and_stays_unique(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [SuiteRow(f"row-{i}", {"taps": [0, *range(1, 60), 60 + i]}, "Table I") for i in range(2)]
    monkeypatch.setattr(load("vsbench.methods", "usigan"), "suites", {"long": Suite("Long", tuple(rows))})
    folders = [row.folder for row in study_rows(Study("usigan", "long", "mist", "er"))]
    assert [folder.rpartition("-")[0] for folder in folders] == ["usigan+row-0", "usigan+row-1"]
    assert len(set(folders)) == 2
    assert max(map(len, folders)) <= 100


def test_what_the_preset_makes_equal_is_trained_once(
    study: Callable[..., Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (SuiteRow("whole", {}, "Table I"), SuiteRow("slow", {"lr": 1e-3}, "Table I"))  # the preset's own rate
    monkeypatch.setattr(load("vsbench.methods", "usigan"), "suites", {"rates": Suite("Rate", rows)})
    whole, slow = study_rows(study("rates"))
    assert (whole.same_as, slow.same_as, slow.folder) == (None, "whole", whole.folder)
    display = Watch()
    (done,) = run([whole, slow], [0], display)
    assert not done.failures
    assert [line for line in display.said if line.startswith("row ")] == ["row whole, seed 0: usigan+cpu"]
    assert [path.name for path in (tmp_path / "results/runs/folder-er").glob("usigan*")] == ["usigan+cpu"]
    assert state(slow, 0).is_done


def test_a_variant_that_the_preset_undoes_has_the_runs_of_the_method_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    usigan = load("vsbench.methods", "usigan")
    rows = (SuiteRow("whole", {}, "Table I"), SuiteRow("other", {"variant": "slow"}, "Table I"))
    monkeypatch.setattr(usigan, "variants", {"slow": {"lr": 1e-5}})  # the preset has a rate of its own
    monkeypatch.setattr(usigan, "suites", {"two": Suite("Rate", rows)})
    whole, other = study_rows(Study("usigan", "two", "mist", "er", "cpu"))
    assert (other.same_as, other.folder) == ("whole", whole.folder)
    assert other.request == whole.request
    assert [row.same_as for row in study_rows(Study("usigan", "two", "mist", "er"))] == [None, None]


def test_all_rows_of_a_seed_come_before_the_next_seed_and_nothing_is_trained_twice(
    study: Callable[..., Study], tmp_path: Path, two_rows: None
) -> None:
    rows, display = study_rows(study("two")), Watch()
    assert [(done.seed, done.failures, done.failed) for done in run(rows, [0, 1], display)] == [
        (0, (), frozenset()), (1, (), frozenset()),
    ]  # fmt: skip
    assert [line.split(":")[0] for line in display.said] == [
        "row whole, seed 0", "row loose, seed 0", "evaluating seed 0",
        "row whole, seed 1", "row loose, seed 1", "evaluating seed 1",
    ]  # fmt: skip
    for row in rows:
        assert (row.run(1).evaluation("native") / "summary.json").is_file()
    before, again = weights(tmp_path / "results"), Watch()
    assert len(before) == 8
    assert not any(done.failures for done in run(rows, [0, 1], again))
    assert weights(tmp_path / "results") == before
    assert sum("finished already" in line for line in again.said) == 4


def test_an_interrupted_study_keeps_what_is_done_and_goes_on(
    study: Callable[..., Study], tmp_path: Path, two_rows: None
) -> None:
    rows = study_rows(study("two"))
    assert [state(row, 0).words for row in rows] == ["to do", "to do"]
    with pytest.raises(KeyboardInterrupt):
        run(rows, [0, 1], Watch(plug=("usigan+cpu+tau-0.1", 3)))
    assert [state(row, 0).words for row in rows] == ["done", "unfinished at step 2 of 4"]
    assert [state(row, 1).words for row in rows] == ["to do", "to do"]
    before = weights(rows[0].run(0).folder)
    (done,) = run(rows, [0])
    assert not done.failures
    assert weights(rows[0].run(0).folder) == before
    assert [state(row, 0).is_done for row in rows] == [True, True]


def test_the_command_tells_reports_of_a_study_before_it_trains(
    monkeypatch: pytest.MonkeyPatch, two_rows: None, own: Path, tmp_path: Path
) -> None:
    def stopped(*arguments: object) -> Iterator[object]:
        raise Interrupted("stopped", 2)
        yield

    monkeypatch.setattr("vsbench.evaluation.ablate.run_study", stopped)
    app = typer.Typer()
    app.command()(ablate)
    where = ["--dataset", "folder", "--stain", "er", "--data-root", str(own), "--results", str(tmp_path / "results")]
    small = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
    result = CliRunner().invoke(app, ["usigan", "--suite", "two", *where, *small, "--preset", "cpu", "--device", "cpu"])
    assert result.exit_code == 130, result.output
    assert [kept.study.suite for kept in read_studies(tmp_path / "results")] == ["two"]


def test_a_row_that_fails_leaves_the_others_going(study: Callable[..., Study], two_rows: None) -> None:
    whole, loose = study_rows(study("two"))
    other = study_rows(study("two", lr=1e-4))[0]
    start(other.request, make_fabric("cpu", 1, "32-true"), False, 0, Rhythm(), Watch())  # in the folder of ``whole``
    assert not state(whole, 0).is_done
    assert "lr = 0.0001 there, 0.001 here" in state(whole, 0).words
    (done,) = run([whole, loose], [0])
    (failure,) = done.failures
    assert failure.startswith("row whole, seed 0: ")
    assert "lr = 0.0001 there" in failure
    assert done.failed == {whole.run(0).folder}
    assert state(loose, 0).is_done


def test_a_run_that_can_not_be_measured_counts_as_failed(study: Callable[..., Study], two_rows: None) -> None:
    rows = study_rows(study("two"))
    run(rows, [0])
    for damaged in rows[1].run(0).checkpoints.glob("*.safetensors"):
        damaged.write_bytes(b"damaged")
    shutil.rmtree(rows[1].run(0).folder / "images")
    (done,) = run(rows, [0])
    assert done.failed == {rows[1].run(0).folder}
    assert len(done.failures) == 1


def test_what_would_stop_a_row_is_found_before_the_first_is_trained(
    study: Callable[..., Study], own: Path, tmp_path: Path, two_rows: None
) -> None:
    ready = study("two")
    require_ready(ready, study_rows(ready))
    far = study("two", taps=[0, 99])
    with pytest.raises(UsageError, match=r"row whole of two: .*do not fit together"):
        require_ready(far, study_rows(far))
    with pytest.raises(UsageError, match="unknown stain 'cd3'"):
        require_ready(Study("usigan", "two", "mist", "cd3", data_root=own), [])


def test_images_of_table_7_are_large_enough_for_the_published_networks() -> None:
    first, *_ = study_rows(Study("usigan", "table7", "mist", "er"))
    require_fit(load("vsbench.methods", "usigan"), first.config)


def test_only_rows_that_exist_can_be_chosen() -> None:
    rows = study_rows(Study("usigan", "table8", "mist", "er"))
    assert [row.name for row in chosen(rows, ["tau-0.1", "tau-0.01"])] == ["tau-0.01", "tau-0.1"]
    assert chosen(rows, []) == rows
    with pytest.raises(UsageError, match=r"--only tau-1: .*tau-0\.1"):
        chosen(rows, ["tau-1"])


def test_the_command_trains_the_rows_and_writes_their_table(vsbench: Command, own: Path, tmp_path: Path) -> None:
    command = ["ablate", "usigan", "--suite", "table8", "--dataset", "folder", "--stain", "er", "--data-root", own]
    command += ["--preset", "cpu", "--seeds", "1", "--only", "tau-0.1", "--workers", "0", "--device", "cpu"]
    command += [part for key, value in (TINY | {"steps": 1}).items() for part in ("--set", f"{key}={value}")]
    planned = vsbench(*command, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.count("to do") == 1
    assert not (tmp_path / "results").exists()

    done = vsbench(*command)
    assert done.returncode == 0, done.stderr
    name = "usigan+cpu-table8-folder-er"
    table = pd.read_csv(tmp_path / f"results/report/suites/{name}.csv")
    trained = table[table["row"] == "tau-0.1"]
    assert set(trained["seed"]) == {1}
    folder = tmp_path / "results/runs/folder-er/usigan+cpu+lambda_cc-0+lambda_odc-0+tau-0.1/seed-1"
    summary = json.loads((folder / "evaluation/native/summary.json").read_text())
    value = trained[trained["metric"] == "r_c"]["value"].item()
    assert value == pytest.approx(summary["values"]["r_c"]["value"])
    assert "missing" in (tmp_path / f"results/report/suites/{name}.md").read_text()

    (folder / "run.json").write_text("{")
    failing = vsbench(*command)
    assert failing.returncode == 1
    (line,) = [line for line in failing.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: row tau-0.1, seed 1: ")
    assert "run.json" in line
