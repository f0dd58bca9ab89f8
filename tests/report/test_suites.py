"""The table of an ablation study shows what its runs give, what is printed, and what is missing."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vsbench.evaluation.ablate import Study, StudyRow, study_rows
from vsbench.method import Suite, SuiteRow
from vsbench.registry import load
from vsbench.report.suites import SuiteTable, lines, markdown, settings, suite_table, tidy, write_suite

ROWS = (
    SuiteRow("whole", {}, "Table I, all", {"mist-er": {"r_p": 84.07, "iod": 0.5109}, "mist-pr": {"r_p": 87.37}}),
    SuiteRow("loose", {"tau": 0.1}, "Table I, 0.1", {"mist-er": {"r_p": 42.69}}),
    SuiteRow("fast", {"lr": 0.5}, "not in the paper"),
    SuiteRow("usual", {"lr": 1e-3}, "not in the paper"),  # what the cpu preset has anyway
)
Trained = Callable[..., Path]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    suites = {"table1": Suite("Slack and rate", ROWS, ("no stain is named",))}
    monkeypatch.setattr(load("vsbench.methods", "usigan"), "suites", suites)
    return Study("usigan", "table1", "mist", "er", "cpu", results=tmp_path / "results")


@pytest.fixture
def trained(tree: Any, study: Study) -> Trained:
    """``trained("whole", 0, r_p=80.0)``: a finished and evaluated run of a row; its folder."""

    def add(name: str, seed: int, *, data_digest: str | None = None, **values: Any) -> Path:
        row = named(study)[name]
        changes = {} if data_digest is None else {"data_digest": data_digest}
        folder: Path = tree.add(row.folder, {"iod": 1.0, "r_p": 0.0, "psnr": 9.0} | values, seed=seed, **changes)
        record = {
            "kind": "trained", "row": row.folder, "title": row.folder, "method": "usigan", "seed": seed,
            "config": row.config.model_dump(mode="json"), "dataset": "mist", "dataset_options": {}, "stain": "er",
            "steps": 4, "finished": True,
        }  # fmt: skip
        (folder / "run.json").write_text(json.dumps(record))
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "step-00000004.safetensors").touch()
        return folder

    return add


def named(study: Study) -> dict[str, StudyRow]:
    return {row.name: row for row in study_rows(study)}


def table_of(study: Study, *seeds: int, failed: tuple[Path, ...] = ()) -> SuiteTable:
    return suite_table(study, study_rows(study), seeds or (0, 1), failed)


def cells(table: SuiteTable) -> dict[str, dict[str, str]]:
    heading, body = lines(table)
    return {line[0]: dict(zip(heading, line, strict=True)) for line in body}


def csv_lines(table: SuiteTable, **wanted: str) -> list[dict[str, str]]:
    found = csv.DictReader(io.StringIO(tidy(table)))
    return [line for line in found if wanted.items() <= line.items()]


def test_a_cell_is_the_mean_and_deviation_over_seeds_beside_the_printed_number(study: Study, trained: Trained) -> None:
    trained("whole", 0, r_p=80.0)
    trained("whole", 1, r_p=84.0)
    trained("fast", 0, r_p=10.0)
    found = cells(table_of(study))
    assert found["whole"]["r_p"] == "82.00 ± 2.83 (84.07)"
    assert (found["whole"]["seeds"], found["whole"]["N"]) == ("2", "6")
    assert (found["fast"]["r_p"], found["fast"]["seeds"]) == ("10.00", "1 of 2")


def test_the_main_values_and_all_printed_ones_are_shown(study: Study, trained: Trained) -> None:
    trained("whole", 0, iod_mae=0.2, fid="weights are missing")
    heading, _ = lines(table_of(study))
    assert heading == ["row", "seeds", "N", "iod_mae", "r_p", "fid", "iod"]  # psnr is neither
    assert cells(table_of(study))["whole"]["fid"] == "n/a"
    assert "- fid: n/a, weights are missing" in markdown(table_of(study))


def test_printed_numbers_are_those_of_the_data_set_and_stain(study: Study) -> None:
    for stain, printed in (("pr", "(87.37)"), ("er", "(84.07)")):
        other = Study("usigan", "table1", "mist", stain, "cpu", results=study.results)
        assert cells(table_of(other))["whole"]["r_p"] == printed
    other = Study("usigan", "table1", "bci", "er", "cpu", results=study.results)
    assert lines(table_of(other))[0] == ["row", "seeds", "N"]


def test_a_missing_row_is_shown_as_missing(study: Study, trained: Trained) -> None:
    trained("whole", 0)
    found = cells(table_of(study))
    assert found["loose"] == {"row": "loose", "seeds": "missing", "N": "", "r_p": "(42.69)", "iod": ""}
    assert "- row loose, seed 1 is missing: to do" in markdown(table_of(study))
    (line,) = csv_lines(table_of(study), row="loose", seed="1", metric="r_p")
    assert (line["value"], line["published"], line["reason"]) == ("", "42.69", "to do")


def test_rows_of_one_configuration_show_the_same_runs(study: Study, trained: Trained) -> None:
    trained("whole", 0, r_p=80.0)
    found = cells(table_of(study))
    assert (found["usual"]["r_p"], found["usual"]["seeds"]) == ("80.00", "1 of 2")
    assert settings(named(study)["usual"]) == "same configuration as whole"
    assert "| usual | same configuration as whole | not in the paper | usigan+cpu |" in markdown(table_of(study))


def test_settings_say_what_differs(study: Study) -> None:
    rows = named(study)
    assert [settings(rows[name]) for name in ("whole", "loose")] == ["the method as it is", "tau=0.1"]


def test_the_csv_has_each_value_with_its_provenance(study: Study, trained: Trained) -> None:
    trained("whole", 0, r_p=80.0, fid="weights are missing")
    (line,) = csv_lines(table_of(study), row="whole", seed="0", metric="r_p")
    assert line.pop("data_digest")
    assert line == {
        "row": "whole", "seed": "0", "metric": "r_p", "value": "80.0", "unit": "%", "protocol": "r_p/iod-fiji",
        "n": "6", "published": "84.07", "reason": "", "run": "usigan+cpu",
    }  # fmt: skip
    (absent,) = csv_lines(table_of(study), row="whole", seed="0", metric="fid")
    assert (absent["value"], absent["reason"]) == ("", "weights are missing")
    grid = [(line["row"], line["seed"], line["metric"]) for line in csv_lines(table_of(study))]
    assert len(grid) == len(set(grid)) == len(ROWS) * 2 * 4


def test_what_is_not_this_study_does_not_count(study: Study, trained: Trained) -> None:
    folder = trained("whole", 0)
    record = json.loads((folder / "run.json").read_text())
    for change, words in (
        ({"finished": False}, "unfinished at step 4 of 4"),
        ({"config": record["config"] | {"lr": 0.25}}, "lr = 0.25 there, 0.001 here"),
        ({"stain": "pr"}, "holds another run"),
    ):
        (folder / "run.json").write_text(json.dumps(record | change))
        table = table_of(study)
        assert cells(table)["whole"]["seeds"] == "missing"
        assert words in table.missing["whole", 0]


def test_an_old_measurement_of_a_run_that_failed_does_not_count(study: Study, trained: Trained) -> None:
    folder = trained("whole", 0)
    assert cells(table_of(study))["whole"]["seeds"] == "1 of 2"
    assert cells(table_of(study, failed=(folder,)))["whole"]["seeds"] == "missing"
    shutil.rmtree(folder / "evaluation")
    assert "run vsbench evaluate" in table_of(study).missing["whole", 0]


def test_seeds_that_were_not_asked_for_do_not_count(study: Study, trained: Trained) -> None:
    trained("whole", 0, r_p=80.0)
    trained("whole", 7, r_p=0.0)
    assert cells(table_of(study, 0))["whole"]["r_p"] == "80.00 (84.07)"


def test_rows_measured_on_other_images_are_named(study: Study, trained: Trained) -> None:
    trained("whole", 0)
    trained("whole", 1)
    trained("loose", 0, data_digest="e" * 64)
    assert "measured on other images (N = 6, data eeeeeeeeeeee)" in markdown(table_of(study))


def test_the_text_tells_what_one_must_know(study: Study, trained: Trained) -> None:
    trained("whole", 0)
    written = write_suite(table_of(study), study.results / "report" / "suites")
    assert [path.name for path in written] == ["usigan+cpu-table1-mist-er.csv", "usigan+cpu-table1-mist-er.md"]
    assert written[0].read_text() == tidy(table_of(study))
    text = written[1].read_text()
    assert text == markdown(table_of(study))
    for words in (
        "Slack and rate", "Preset: cpu", "Seeds: 0, 1.", "Table I, 0.1", "- no stain is named",
        "- r_p: r_p/iod-fiji in %, higher is better", "- slides are shared by train and test",
    ):  # fmt: skip
        assert words in text
