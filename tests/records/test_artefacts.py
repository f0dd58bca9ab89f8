import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vsbench.engine.request import Request
from vsbench.engine.run import Run, find_runs
from vsbench.engine.step import Execution
from vsbench.errors import RunError, UsageError
from vsbench.records.images import Stamp
from vsbench.records.job import JobRecord
from vsbench.records.run import ExternalRecord, ReferenceRecord, TrainedRecord, read_record
from vsbench.records.study import StudyRecord
from vsbench.records.summary import Summary
from vsbench.report.build import build_report
from vsbench.report.provenance.records import records
from vsbench.report.studies import read_studies
from vsbench.report.tables import compare, load_results

BEFORE = Path(__file__).parent / "results-0.1.0"  # as version 0.1.0 left it: no record has a version yet
TRAINED = BEFORE / "runs/folder-ki67/pix2pix+cpu/seed-0"
READERS: dict[str, tuple[Path, Callable[[Path], Any]]] = {
    "trained": (TRAINED / "run.json", read_record),
    "external": (BEFORE / "runs/folder-ki67/made/external/run.json", read_record),
    "reference": (BEFORE / "runs/folder-ki67/macenko/reference/run.json", read_record),
    "summary": (TRAINED / "evaluation/native/summary.json", Summary.read),
    "stamp": (TRAINED / "images/test.json", Stamp.read),
    "study": (BEFORE / "report/suites/usigan+cpu-table8-folder-ki67.json", StudyRecord.read),
}
HERE = Path(__file__).parent
READERS |= {"pooled": (HERE / "pooled.json", read_record), "job": (HERE / "job.json", JobRecord.read)}
OUT = ("../../../evil", "a/b", "/etc", "..", ".", "", "a\nb", "x\x1b[31m", "-rf", "x" * 101)


def test_results_written_before_are_read() -> None:
    kinds = {type(run.record) for run in find_runs(BEFORE)}
    assert kinds == {TrainedRecord, ExternalRecord, ReferenceRecord}
    (comparison,) = compare(load_results(BEFORE))
    assert {row.key for row in comparison.rows} == {"pix2pix+cpu", "made", "macenko"}
    made = {record["row"]: record for record in records([comparison])}
    assert made["pix2pix+cpu"]["commands"][0].startswith("vsbench train pix2pix --preset cpu --set steps=2")
    assert made["pix2pix+cpu"]["translated_images_per_s"] == pytest.approx(3 / 0.0104, rel=1e-3)
    (kept,) = read_studies(BEFORE)
    assert kept.study.name == "usigan+cpu-table8-folder-ki67"


@pytest.mark.parametrize("kind", READERS)
def test_what_is_written_is_read_back_equal(kind: str, tmp_path: Path) -> None:
    file, read = READERS[kind]
    first = read(file)
    first.write(tmp_path / "again.json")
    assert read(tmp_path / "again.json") == first


@pytest.mark.parametrize("kind", READERS)
def test_no_damage_is_passed_over_or_is_a_fault_of_ours(kind: str, tmp_path: Path) -> None:
    file, read = READERS[kind]
    whole, copied = json.loads(file.read_text()), tmp_path / "damaged.json"
    for broken in ("", "{", "[]", "null", '"x"', "[" * 100_000, '{"kind": "trained"}', "\x00", "NaN"):
        copied.write_text(broken)
        with pytest.raises(RunError, match=r"damaged\.json"):
            read(copied)
    refused = 0
    for key in whole:
        for value in ([], {}, -1, "\n", 1e400, float("nan"), [[[0]]], "x" * 20_000):
            changed = copy.deepcopy(whole)
            changed[key] = value
            copied.write_text(json.dumps(changed))
            refused += _is_refused(read, copied)
    assert refused > len(whole)


def _is_refused(read: Callable[[Path], Any], file: Path) -> bool:
    """Whether a file is refused, in one short line; any other error is a fault."""
    try:
        read(file)
    except RunError as error:
        said = str(error)
    else:
        return False
    assert "\n" not in said
    assert len(said) < 800
    return True


@pytest.mark.parametrize("name", OUT)
@pytest.mark.parametrize("key", ["stain", "dataset", "row"])
@pytest.mark.parametrize("kind", ["trained", "pooled", "external", "reference", "summary"])
def test_no_name_leads_out_of_the_folder(kind: str, key: str, name: str, tmp_path: Path) -> None:
    file, read = READERS[kind]
    copied = tmp_path / "foreign.json"
    copied.write_text(json.dumps(json.loads(file.read_text()) | {key: name}))
    with pytest.raises(RunError, match=key):
        read(copied)


@pytest.mark.parametrize("change", [('"external"', '"reference"'), ('"row": "made"', '"row": "mode"'), ("{", "(")])
def test_a_record_that_is_not_of_its_summary_makes_a_row_of_its_own_and_is_named(
    change: tuple[str, str], tmp_path: Path
) -> None:
    shutil.copytree(BEFORE, tmp_path / "results")
    record = tmp_path / "results/runs/folder-ki67/made/external/run.json"
    record.write_text(record.read_text().replace(*change))
    (comparison,) = compare(load_results(tmp_path / "results"))
    assert len(comparison.rows) == 3
    (said,) = (found["notes"] for found in records([comparison]) if found["row"] == "made")
    assert any("run.json is" in note for note in said)


def test_one_name_made_in_two_ways_is_two_rows(tmp_path: Path) -> None:
    shutil.copytree(BEFORE, tmp_path / "results")
    rows = tmp_path / "results/runs/folder-ki67"
    shutil.copytree(rows / "pix2pix+cpu/seed-0", rows / "pix2pix+cpu/seed-1")
    shutil.copytree(rows / "made/external", rows / "pix2pix+cpu/external")
    for file in (rows / "pix2pix+cpu/seed-1").rglob("*.json"):
        file.write_text(file.read_text().replace('"seed": 0', '"seed": 1').replace('"lr": 0.001', '"lr": 0.01'))
    for file in (rows / "pix2pix+cpu/external").rglob("*.json"):
        file.write_text(file.read_text().replace('"made"', '"pix2pix+cpu"'))
    (comparison,) = compare(load_results(tmp_path / "results"))
    ours = [row for row in comparison.rows if row.runs[0].row == "pix2pix+cpu"]
    assert len(ours) == len({row.key for row in ours}) == len({row.title for row in ours}) == 3
    assert all(len(row.runs) == 1 for row in ours)
    assert build_report(
        tmp_path / "results", tmp_path / "report", latex=True, figures=False, page=False, warn=[].append
    )


def test_seeds_of_one_row_differ_in_the_seed_alone() -> None:
    record = Run(TRAINED).trained
    same = {"seed": 1, "device": "cuda", "wall_time_s": 9.0, "git": "x", "chosen_step": 1, "finished": False}
    assert record.model_copy(update=same).made == record.made
    for key, value in {
        "config": record.config | {"lr": 1.0}, "method": "cut", "train_digest": "0" * 64, "precision": "16-mixed",
        "world": 2, "select": "best", "stain": "er", "dataset": "mist", "dataset_options": {"slide": "x"},
        "execution": {**(record.execution or {}), "accumulate": 2}, "started_from": "0" * 64,
    }.items():  # fmt: skip
        assert record.model_copy(update={key: value}).made != record.made, key
        assert record.model_copy(update={key: value}).differences(record), key


def test_a_request_is_yaml_and_back() -> None:
    request = Request(
        "cut", "folder", "ki67", "cpu", {"steps": 2, "taps": [0, 4]}, {"slide": "^(x)"}, Path("pairs"), seed=3,
        label="mine", execution=Execution(accumulate=2), select="best", validate_every=5,
    )  # fmt: skip
    assert Request.from_yaml(request.as_yaml()) == request
    assert Request.from_yaml("{method: cut, dataset: phantom, stain: er}") == Request("cut", "phantom", "er")


@pytest.mark.parametrize(
    ("text", "named"),
    [("method: cut", "dataset"), ("[]", "request"), ("{method: cut, dataset: d, stain: s, sede: 1}", "sede"),
     ("{method: cut, dataset: d, stain: s, seed: x}", "seed"), ("{", "request")],
)  # fmt: skip
def test_a_request_that_cannot_be_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        Request.from_yaml(text)


def test_a_speed_that_nobody_measured_is_none() -> None:
    stamp = Stamp(weights="0" * 64, he="0" * 64, device="cpu", images=3, seconds=0.5)
    assert stamp.images_per_s == 6
    for seconds in (0.0, 5e-324, None):
        assert stamp.model_copy(update={"seconds": seconds}).images_per_s is None
