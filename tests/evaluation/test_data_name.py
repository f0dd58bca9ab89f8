"""A data set has a name wherever it is shown: its own, its folder's, or the one that was given."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

from vsbench.errors import UsageError
from vsbench.names import named_after
from vsbench.records.run import read_record
from vsbench.records.summary import Summary
from vsbench.report.tables import compare, load_results, renamed

Command = Callable[..., "CompletedProcess[str]"]
ROW = Path("runs/folder-ki67/real-ihc/reference")


@pytest.mark.parametrize(
    ("folder", "name"),
    [("/data/Lyon", "Lyon"), ("/data/Lyon 2024 (no. 2)", "Lyon-2024-no.-2"), ("/data/.hidden", "hidden"), ("/", None)],
)
def test_a_folder_gives_its_own_last_name_and_nothing_but_a_name(folder: str, name: str | None) -> None:
    assert named_after(Path(folder)) == name


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Four pairs in a folder with a blank in its name."""
    rng = np.random.default_rng(0)
    for side in ("he", "ihc"):
        folder = tmp_path / "a lab" / side / "test"
        folder.mkdir(parents=True)
        for number in range(4):
            Image.fromarray(rng.integers(90, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "a lab"


def evaluate(vsbench: Command, pairs: Path, results: Path, *options: str) -> "CompletedProcess[str]":
    return vsbench(
        "evaluate", "--references", "--dataset", "folder", "--stain", "Ki-67", "--data-root", pairs,
        "--results", results, *options,
    )  # fmt: skip


def test_pairs_of_ones_own_are_called_after_their_folder_and_renamed_without_measuring(
    vsbench: Command, pairs: Path, tmp_path: Path
) -> None:
    results = tmp_path / "R"
    assert evaluate(vsbench, pairs, results).returncode == 0
    names = list((results / "runs/folder-ki67").glob("*/reference/evaluation/native/summary.json"))
    assert {json.loads(file.read_text())["data_name"] for file in names} == {"a-lab"}
    record = next(iter(names)).parents[2] / "run.json"
    assert read_record(record).data_name == "a-lab"
    table = names[0].parent / "per_image.csv"
    before = table.stat().st_mtime_ns
    again = evaluate(vsbench, pairs, results, "--data-name", "Lyon")
    assert "unchanged" in again.stdout
    assert Summary.read(names[0]).data_name == "Lyon"
    assert table.stat().st_mtime_ns == before
    bad = evaluate(vsbench, pairs, results, "--data-name", "../up")
    assert bad.returncode == 2
    assert bad.stderr.startswith("error: --data-name '../up'")
    made = vsbench("report", "--results", results, "--latex", "--no-html", "--no-figures")
    assert made.returncode == 0, made.stderr
    tex = [path.read_text() for path in (results / "report").rglob("*.tex")]
    assert any("Comparison of methods on Lyon" in text for text in tex)
    shown = [
        line for text in tex for line in text.splitlines() if re.match(r"\\(caption|section|subsection|textbf)", line)
    ]
    assert any("Lyon, Ki67" in line for line in shown)
    assert not [line for line in shown if re.search(r"folder(?!-)", re.sub(r"label\{\S*\}", "", line))]


def test_a_report_may_name_what_has_no_name(vsbench: Command, pairs: Path, tmp_path: Path) -> None:
    results = tmp_path / "R"
    evaluate(vsbench, pairs, results)
    for file in results.glob("runs/*/*/*/evaluation/native/summary.json"):  # as earlier versions wrote it
        file.write_text(json.dumps({k: v for k, v in json.loads(file.read_text()).items() if k != "data_name"}))
    runs = load_results(results)
    assert [c.title for c in compare(runs)] == ["folder"]
    assert [c.title for c in compare(renamed(runs, ["Lyon"]))] == ["Lyon"]
    assert [c.title for c in compare(renamed(runs, ["folder-ki67=Lyon"]))] == ["Lyon"]
    for text, wrong in (("folder-er=Lyon", "no such group of runs; there are folder-ki67"), ("a/b", "use letters")):
        with pytest.raises(UsageError, match=wrong):
            renamed(runs, [text])


def test_the_name_of_the_data_is_no_part_of_what_a_run_is(tmp_path: Path) -> None:
    content = {"kind": "external", "row": "a", "title": "a", "dataset": "folder", "stain": "er"}
    made = []
    for name in (None, "Lyon"):
        (tmp_path / "run.json").write_text(json.dumps(content | {"data_name": name}))
        made.append(read_record(tmp_path / "run.json").made)
    assert made[0] == made[1]
