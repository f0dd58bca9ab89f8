"""Rows as data to send: what is in one, that a wrong one is found, and that a hostile one is data at most."""

import copy
import gzip
import json
import re
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vsbench.benchmark import BENCHMARK
from vsbench.errors import UsageError, UserError
from vsbench.evaluation.evaluate import evaluate_images
from vsbench.evaluation.group import Group
from vsbench.evaluation.instrument import Instrument
from vsbench.exchange.board import write_board
from vsbench.exchange.submissions import check, make, read_submissions
from vsbench.report.ledger import Ledger
from vsbench.report.published import load

SLIDES = ("S1_a", "S1_b", "S2_a", "S2_b", "S3_a", "S4_a", "S5_a", "S6_a", "S7_a", "S8_a")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images made elsewhere, evaluated on ten pairs of eight slides."""
    root = tmp_path_factory.mktemp("sent")
    rng = np.random.default_rng(1)
    for side in ("pairs/he/test", "pairs/ihc/test", "made"):
        (root / side).mkdir(parents=True)
        for name in SLIDES:
            coarse = Image.fromarray(rng.integers(40, 250, (6, 5, 3), dtype=np.uint8))
            coarse.resize((36, 40), Image.Resampling.BICUBIC).save(root / side / f"{name}.png")
    group = Group("folder", {"slide": "^([^_]+)_"}, "ki67", root / "pairs", root / "results")
    outcomes, failures = evaluate_images(root / "made", "mine", group, Instrument.build("cpu"))
    assert (failures, outcomes[-1].summary.benchmark) == ([], BENCHMARK)
    return root / "results"


@pytest.fixture(scope="module")
def made(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    (file,) = make([results], out, by="some-one", doi="10.1234/abc.5", tables=True)
    return file


@pytest.fixture
def sent(made: Path, tmp_path: Path) -> Path:
    """A copy to spoil, with its table."""
    for file in made.parent.iterdir():
        shutil.copy(file, tmp_path)
    return tmp_path / made.name


def spoiled(file: Path, change: Callable[[Any], object]) -> list[str]:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return check(file)[1]


def test_a_row_is_sound_and_holds_no_path_and_no_image(made: Path, results: Path) -> None:
    assert made.name == "folder-ki67-mine.json"
    assert (made.parent / "folder-ki67-mine.external.csv").is_file()
    found, faults = check(made)
    assert faults == []
    assert found is not None
    assert (found.benchmark, found.by, found.kind, found.n_slides) == (BENCHMARK, "some-one", "external", 8)
    assert found.runs[0].values["r_p"].interval is not None
    text = made.read_text()
    assert str(results.parent) not in text
    assert not re.search(r'"[^"]*(/home|/tmp|\.png|\\\\)', text)


def test_values_are_computed_again_from_the_table(sent: Path) -> None:
    def otherwise(content: Any) -> None:
        content["runs"][0]["values"]["ssim"]["value"] += 0.001
        content["runs"][0]["values"]["psnr"]["interval"]["high"] += 5

    first, second = sorted(spoiled(sent, otherwise))
    assert "psnr: its interval's high end is" in first
    assert re.search(r"ssim: 0\.\d+, but 0\.\d+ by folder-ki67-mine\.external\.csv", second)


def test_an_edited_table_is_none_of_the_runs(sent: Path) -> None:
    table = sent.with_name("folder-ki67-mine.external.csv")
    table.write_text(table.read_text().replace("S1_a", "S1_z"))
    assert [fault.partition(": ")[2] for fault in check(sent)[1]] == [
        f"{table.name}: the per-image table of none of the runs (by its SHA-256)"
    ]


def test_a_table_with_half_of_its_columns_is_told(sent: Path) -> None:
    table = sent.with_name("folder-ki67-mine.external.csv")
    pd.read_csv(table).drop(columns="mean_od_real").to_csv(table, index=False)
    faults = spoiled(sent, _set("runs", 0, "table", to=sha256(table.read_bytes()).hexdigest()))
    assert [fault.partition(": ")[2] for fault in faults] == [
        f"{table.name}: no column 'mean_od_real', without which others mean nothing"
    ]


def _set(*path: Any, to: Any) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        for step in path[:-1]:
            content = content[step]
        content[path[-1]] = to

    return change


HOSTILE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "html": (_set("title", to='<img src=x onerror="alert(1)">'), "title: "),
    "formula": (_set("title", to="=HYPERLINK(1)"), "title: "),
    "formula in a row": (_set("row", to="=1+1"), "row: "),
    "path": (_set("row", to="../../etc"), "row: "),
    "handle": (_set("by", to="a b<script>"), "by: "),
    "url": (_set("doi", to="javascript:alert(1)"), "doi: "),
    "setting": (_set("settings", to={"x": "=cmd|' /C calc'!A0"}), "settings"),
    "version": (_set("versions", to={"torch": "2\n<b>"}), "versions.torch: "),
    "device": (_set("hardware", to="GPU <b>"), "hardware: "),
    "unknown key": (_set("note", to="free text"), "note: "),
    "huge": (_set("runs", 0, "values", "ssim", "value", to=1e300), "runs.0.values.ssim.value: "),
    "infinite": (_set("runs", 0, "values", "ssim", "value", to="inf"), "runs.0.values.ssim.value: "),
    "text": (_set("runs", 0, "values", "ssim", "value", to="0.9"), "runs.0.values.ssim.value: "),
    "true": (_set("runs", 0, "n", to=True), "runs.0.n: "),
    "many digits": (_set("runs", 0, "n", to=10**400), "runs.0.n: "),
    "negative": (_set("n_slides", to=-1), "n_slides: "),
    "list": (_set("runs", to={}), "runs: "),
    "nothing": (_set("runs", to=[]), "runs: "),
    "protocol": (_set("runs", 0, "values", "ssim", "protocol", to="ssim<svg>"), "runs.0.values.ssim.protocol: "),
    "upside down": (_set("runs", 0, "values", "ssim", "interval", "low", to=2.0), "low is above high"),
    "state": (_set("state", to="blessed"), "state: "),
    "turned": (_set("title", to="abc\u202edef"), "title: "),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_row_is_refused_by_its_place_alone(kind: str, sent: Path, tmp_path: Path) -> None:
    change, said = HOSTILE[kind]
    faults = spoiled(sent, change)
    assert any(said in fault for fault in faults), faults
    assert all(
        len(fault) < 500 and "\n" not in fault and "<" not in fault.replace(str(tmp_path), "") for fault in faults
    )
    with pytest.raises(UserError):
        read_submissions([sent])


def test_not_a_number_is_no_json(sent: Path) -> None:
    sent.write_text(sent.read_text().replace('"n_slides": 8', '"n_slides": NaN'))
    assert "NaN is no number in JSON" in check(sent)[1][0]
    sent.write_text("[" * 100_000)
    assert "damaged" in check(sent)[1][0]
    sent.write_bytes(b"\xff\xfe")
    assert "UTF-8" in check(sent)[1][0]
    sent.write_text("[]")
    assert len(check(sent)[1]) == 1


def test_all_that_is_wrong_is_said(sent: Path) -> None:
    sent.with_name("folder-ki67-mine.external.csv").unlink()

    def wrong(content: Any) -> None:
        values = content["runs"][0]["values"]
        values["ssim"]["value"] = 1.5
        values["r_p"]["protocol"] = "r_p/other"
        values["invented"] = copy.deepcopy(values["psnr"])
        values["r_c_undefined"]["value"] = 0.5
        content |= {"benchmark": "vsbench-1999.1", "dataset": "atlantis", "method": "alchemy"}

    found = "\n".join(spoiled(sent, wrong))
    for part in (
        "ssim: 1.5 can't be", "r_p: measured by r_p/other, where", "invented: no value of this name",
        "r_c_undefined: 0.5 is no number of images", "benchmark: vsbench-1999.1 is none of", "dataset: atlantis",
        "method: alchemy",
    ):  # fmt: skip
        assert part in found


def test_a_handle_that_can_not_be_is_the_users_word(results: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--by"):
        list(make([results], tmp_path, by="<b>"))
    with pytest.raises(UsageError, match="--doi"):
        list(make([results], tmp_path, doi="example.org"))
    assert not list(tmp_path.iterdir())


def test_numbers_of_an_older_benchmark_are_not_sent(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "results")
    (file,) = (tmp_path / "results").rglob("mine/**/summary.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"benchmark": None}))
    with pytest.raises(UserError, match=f"measured before {BENCHMARK}"):
        list(make([tmp_path / "results"], tmp_path / "out"))


def _data(page: Path, name: str) -> Any:
    (found,) = re.findall(rf'id="data-{name}">(.*?)</script>', page.read_text(encoding="utf-8"))
    return json.loads(found)


def test_the_board_has_rows_of_every_kind_with_their_history(made: Path, tmp_path: Path) -> None:
    (submission,) = read_submissions([made.parent])
    newer = submission.model_copy(update={"state": "reproduced"})
    (tmp_path / "p.csv").write_text(
        "table,dataset,stain,method,metric,value,flag,note\nII,mist,er,<b>USI</b>,fid,36.9,,\n"
    )
    (tmp_path / "p.yaml").write_text("source: A et al. 2020\n")
    page = write_board([submission, newer], Ledger((load(tmp_path / "p.csv"),), (), ()), tmp_path / "board")
    board = _data(page, "board")
    assert [row["kind"] for row in board["rows"]] == ["reproduced", "submitted", "printed"]
    assert not any(row["elsewhere"] for row in board["rows"])
    sent = board["rows"][1]
    assert (sent["method"], sent["n"], sent["slides"], sent["benchmark"]) == ("mine", 10, 8, BENCHMARK)
    assert [entry[:2] for entry in sent["cells"]["ssim"]["history"]] == [
        [BENCHMARK, "submitted"],
        [BENCHMARK, "reproduced"],
    ]
    assert len(sent["cells"]["ssim"]["limits"]) == 2
    assert [name for name, _ in _data(page, "states")] == ["reproduced", "submitted", "printed"]
    assert "<b>USI" not in page.read_text(encoding="utf-8")
    assert list((tmp_path / "board").iterdir()) == [page]


def test_rows_of_a_column_have_equal_decimals_and_tell_the_warnings_of_their_data(made: Path, tmp_path: Path) -> None:
    (sent,) = read_submissions([made.parent])
    large = sent.model_copy(update={"dataset": "phantom", "options": {}})
    (run,) = large.runs
    ssim = run.values["ssim"].model_copy(update={"value": 0.00123})
    small_run = run.model_copy(update={"values": {**run.values, "ssim": ssim}})
    small = large.model_copy(update={"row": "small", "title": "small", "runs": [small_run]})
    page = write_board([large, small], Ledger((), (), ()), tmp_path / "board")
    texts = [row["cells"]["ssim"]["text"] for row in _data(page, "board")["rows"]]
    assert len({len(text.partition(".")[2]) for text in texts}) == 1, texts
    assert "Synthetic tissue" in page.read_text(encoding="utf-8")


def test_the_rows_that_lie_here_are_sound_and_of_tables_that_are_kept() -> None:
    results = Path(__file__).parents[2] / "results"
    kept = {
        sha256(gzip.decompress(file.read_bytes())).hexdigest()
        for file in (results / "leaderboard" / "rows").rglob("per_image.csv.gz")
    }
    found = read_submissions([results / "submitted"])
    assert found
    assert {run.table for one in found if one.state == "reproduced" for run in one.runs} <= kept


def test_the_commands(vsbench: Any, made: Path, results: Path, tmp_path: Path) -> None:
    ran = vsbench("submit", "make", results, "--out", tmp_path / "out", "--by", "some-one")
    assert (ran.returncode, Path(ran.stdout.strip()).name) == (0, made.name), ran.stderr
    ran = vsbench("submit", "check", tmp_path / "out" / made.name)
    assert (ran.returncode, "nothing wrong" in ran.stdout) == (0, True), ran.stderr
    table = pd.read_csv(made.parent / "folder-ki67-mine.external.csv")
    table.iloc[1:].to_csv(tmp_path / "other.csv", index=False)
    ran = vsbench("submit", "check", made, tmp_path / "other.csv")
    assert (ran.returncode, ran.stderr.count("error: ")) == (1, 1)
    second = tmp_path / "out" / "second.json"
    shutil.copyfile(made, second)
    ran = vsbench("submit", "check", *sorted((tmp_path / "out").glob("[!.]*")))  # as a shell's *
    assert (ran.returncode, ran.stdout.count("nothing wrong")) == (0, 2), ran.stderr
    ran = vsbench("submit", "check", tmp_path / "out", tmp_path / "other.csv")
    assert (ran.returncode, "beside none of 2 rows" in ran.stderr) == (2, True), ran.stderr
    second.unlink()
    ran = vsbench("board", tmp_path / "out", "--out", tmp_path / "board")
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "board" / "index.html").stat().st_size > 100_000
    (tmp_path / "board2").mkdir()
    (tmp_path / "board2" / "index.html").write_text("mine")
    assert vsbench("board", tmp_path / "out", "--out", tmp_path / "board2").returncode == 1
