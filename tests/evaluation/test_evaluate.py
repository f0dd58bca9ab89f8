"""From runs to tables: nothing is measured twice, nothing stale is kept, and what is missing is said."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from vsbench.cli.display import TrainingDisplay
from vsbench.cli.evaluate import print_outcomes
from vsbench.cli.options import make_fabric
from vsbench.engine.checkpoint import checkpoints, load_method, save_weights
from vsbench.engine.request import Request
from vsbench.engine.run import Run
from vsbench.engine.start import start
from vsbench.engine.trainer import Rhythm
from vsbench.errors import DataError, RunError, UsageError, UserError
from vsbench.evaluation import evaluate as evaluation
from vsbench.evaluation.evaluate import Outcome, evaluate_images, evaluate_rows, evaluate_runs, unevaluated
from vsbench.evaluation.group import Group
from vsbench.evaluation.instrument import Instrument
from vsbench.evaluation.rows import reference_rows, translated_row
from vsbench.evaluation.sizes import CommonSize
from vsbench.files import digest
from vsbench.metric import Absent, Metric, Sample, Update, Value
from vsbench.metrics.clinical import Clinical
from vsbench.records.summary import Summary
from vsbench.report.tables import load_results

CPU = torch.device("cpu")
SIDE = 40
ROWS = ["real-ihc", "he", "mean-colour", "reinhard", "macenko", "nearest", "shuffled"]
OPTIONS: dict[str, Any] = {
    "steps": 1, "crop_size": 32, "width": 4, "batch_size": 2, "discriminator_layers": 1, "blocks": 1,
    "taps": (0, 4, 8, 12), "patches": 16,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Own folders of pairs (``own``: three to train on, four to test) and a CUT trained on them for one step."""
    folder, rng = tmp_path_factory.mktemp("trained"), np.random.default_rng(0)
    for side in ("he", "ihc"):
        for split, names in (("train", "abc"), ("test", "defg")):
            (folder / "own" / side / split).mkdir(parents=True)
            for name in names:
                pixels = rng.integers(0, 256, (SIDE // 4, SIDE // 4, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
                Image.fromarray(pixels).save(folder / "own" / side / split / f"{name}.png")
    request = Request("cut", "folder", "er", "cpu", OPTIONS, data_root=folder / "own", results=folder / "results")
    start(request, make_fabric("cpu", 1, "32-true"), False, 0, Rhythm(), TrainingDisplay(quiet=True))
    return folder


@pytest.fixture
def place(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that a test may change, where no pretrained weights are to be found."""
    for name in ("own", "results"):
        shutil.copytree(trained / name, tmp_path / name)
    for variable in ("VSBENCH_DATA", "VSBENCH_WEIGHTS", "TORCH_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "nothing"))
    return tmp_path


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gets the number of pairs for each time that images are measured."""
    calls: list[int] = []
    measure = evaluation.measure

    def counted(pairs: Any, makers: Any, *rest: Any) -> Any:
        calls.extend([len(pairs)] * len(makers))
        return measure(pairs, makers, *rest)

    monkeypatch.setattr(evaluation, "measure", counted)
    return calls


def group(place: Path) -> Group:
    return Group("folder", {}, "er", place / "own", place / "results")


def run_of(place: Path) -> Run:
    return Run(place / "results/runs/folder-er/cut+cpu/seed-0")


def evaluate_references(place: Path) -> list[Outcome]:
    here = group(place)
    outcomes, failures = evaluate_rows(here, reference_rows(here), Instrument.build("cpu"))
    assert not failures
    return outcomes


def translate_and_measure(place: Path, *also: str) -> tuple[Outcome, list[str]]:
    """The outcome, and the names of the images that were translated for it."""
    written: list[Path] = []
    here = group(place)
    row = translated_row(run_of(place), here, CPU, written.append)
    (outcome,), failures = evaluate_rows(here, [row], Instrument.build("cpu", also))
    assert not failures
    return outcome, [path.stem for path in written]


def evaluate_copy(place: Path, folder: Path, name: str = "copy", **more: Any) -> Outcome:
    """The outcome of images made elsewhere. Raises DataError where they are not as they must be."""
    outcomes, failures = evaluate_images(folder, name, group(place), Instrument.build("cpu"), **more)
    if failures:
        raise DataError(failures[0])
    return outcomes[-1]


def summary_of(place: Path, row: str) -> dict[str, Any]:
    text = (place / "results/runs/folder-er" / row / "evaluation/native/summary.json").read_text()
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_reference_rows(place: Path) -> None:
    outcomes = evaluate_references(place)
    assert [o.summary.row for o in outcomes] == ROWS
    real = summary_of(place, "real-ihc/reference")
    assert real["values"]["iod"]["value"] == 0
    assert real["values"]["iod_mae"]["value"] == 0
    assert real["values"]["ssim"]["value"] == 1
    assert real["values"]["r_p"]["value"] == pytest.approx(100)
    assert real["values"]["psnr"] == real["values"]["psnr"] | {"value": "inf", "reason": None}

    colour = Run(place / "results/runs/folder-er/mean-colour/reference").record.state["mean_colour"]
    pixels = np.concatenate([np.asarray(Image.open(path)) for path in (place / "own/ihc/train").iterdir()])
    assert colour == np.rint(pixels.astype(np.float64).mean(axis=(0, 1))).tolist()
    psnr = [  # 10 log₁₀ (255² / mean squared difference), from its definition
        10 * np.log10(255**2 / np.mean((np.asarray(Image.open(path)).astype(float) - colour) ** 2))
        for path in sorted((place / "own/ihc/test").iterdir())
    ]
    found = summary_of(place, "mean-colour/reference")["values"]["psnr"]["value"]
    assert found == pytest.approx(np.mean(psnr))


def test_absent_is_null_with_a_reason(place: Path) -> None:
    """Without its network FID does not exist; the other values do."""
    evaluate_references(place)
    for row in ("real-ihc", "he", "mean-colour"):
        values = summary_of(place, f"{row}/reference")["values"]
        assert values["fid"]["value"] is None
        assert "missing" in values["fid"]["reason"]
        assert all((value["value"] is None) == (value["reason"] is not None) for value in values.values())
    constant = summary_of(place, "mean-colour/reference")["values"]["r_p"]  # equal images correlate with nothing
    assert constant["value"] is None
    assert constant["reason"]


def test_the_table(place: Path) -> None:
    outcome, written = translate_and_measure(place)
    assert written == ["d", "e", "f", "g"]
    table = pd.read_csv(run_of(place).evaluation("native") / "per_image.csv", index_col="id")
    assert table.index.tolist() == ["d", "e", "f", "g"]
    assert table["slide"].isna().all()
    assert (table[["height", "width"]] == SIDE).all(axis=None)
    summary = outcome.summary
    assert (summary.n, summary.n_slides, summary.sizes, summary.seed) == (4, None, ["40x40"], 0)
    assert any("cpu preset" in warning for warning in summary.warnings)
    assert any("slides unknown" in warning for warning in summary.warnings)
    assert len(summary.split_digest or "") == 64
    assert [pair.fake for pair in summary.pairs] == [f"images/test/{name}.png" for name in "defg"]


def test_a_family_on_request_is_measured_when_it_is_asked_for(place: Path, measured: list[int]) -> None:
    without, _ = translate_and_measure(place)
    asked, _ = translate_and_measure(place, "structure_variants")
    new = asked.summary.values.keys() - without.summary.values.keys()
    assert new == {"ssim_gray_uniform7", "ssim_rgb_gauss11", "ssim_gray_gauss11"}
    assert measured == [4, 4]


def test_nothing_is_measured_twice(place: Path, measured: list[int]) -> None:
    first = [*evaluate_references(place), translate_and_measure(place)[0]]
    assert measured == [4] * (len(ROWS) + 1)
    assert not any(outcome.cached for outcome in first)
    again, written = translate_and_measure(place)
    second = [*evaluate_references(place), again]
    assert measured == [4] * (len(ROWS) + 1)
    assert written == []
    assert all(outcome.cached for outcome in second)
    assert [outcome.summary for outcome in second] == [outcome.summary for outcome in first]


@pytest.mark.parametrize("part", ["per_image", "finish"])
def test_what_failed_is_measured_again(
    place: Path, measured: list[int], part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plug-in that failed and was mended is of the same version, images and protocol: its values alone tell."""
    with monkeypatch.context() as broken:
        broken.setattr(Clinical, part, lambda *given: 1 / 0)
        first, _ = translate_and_measure(place)
        assert "clinical failed: ZeroDivisionError" in str(first.summary.values["npi_mae"].reason)
        assert set(first.summary.failed) == {value.name for value in Clinical.values}
        again, written = translate_and_measure(place)
        assert (again.cached, written) == (False, [])
    mended, _ = translate_and_measure(place)
    assert not mended.cached
    assert not mended.summary.failed
    assert "failed" not in str(mended.summary.values["npi_mae"].reason)
    assert measured == [4] * 3
    assert translate_and_measure(place)[0].cached


def test_a_changed_image_is_measured_again(place: Path, measured: list[int]) -> None:
    translate_and_measure(place)
    changed = run_of(place).images("test") / "e.png"
    Image.new("RGB", (SIDE, SIDE), (120, 70, 20)).save(changed)
    before = changed.read_bytes()
    outcome, written = translate_and_measure(place)
    assert (outcome.cached, measured, written) == (False, [4, 4], [])
    assert changed.read_bytes() == before


def test_a_missing_image_alone_is_translated_again(place: Path, measured: list[int]) -> None:
    first, _ = translate_and_measure(place)
    (run_of(place).images("test") / "f.png").unlink()
    outcome, written = translate_and_measure(place)
    assert written == ["f"]
    assert outcome.cached  # the same method gives the same image
    assert outcome.summary == first.summary
    assert measured == [4]


def test_changed_weights_translate_all_images_anew(place: Path, measured: list[int]) -> None:
    translate_and_measure(place)
    before = {path.name: path.read_bytes() for path in run_of(place).images("test").iterdir()}
    weights = checkpoints(run_of(place).checkpoints)[-1].weights
    method = load_method(weights)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.mul_(1.5)
    save_weights(weights, "cut", method)
    outcome, written = translate_and_measure(place)
    assert written == ["d", "e", "f", "g"]
    assert (outcome.cached, measured) == (False, [4, 4])
    assert all((run_of(place).images("test") / name).read_bytes() != content for name, content in before.items())


def test_changed_he_translates_all_images_anew(place: Path) -> None:
    translate_and_measure(place)
    shutil.copy(place / "own/he/test/d.png", place / "own/he/test/g.png")
    outcome, written = translate_and_measure(place)
    assert written == ["d", "e", "f", "g"]
    assert not outcome.cached
    images = run_of(place).images("test")
    assert (images / "d.png").read_bytes() == (images / "g.png").read_bytes()


def test_a_changed_real_image_is_measured_again_and_nothing_translated(place: Path, measured: list[int]) -> None:
    translate_and_measure(place)
    shutil.copy(place / "own/ihc/test/d.png", place / "own/ihc/test/g.png")
    outcome, written = translate_and_measure(place)
    assert (outcome.cached, measured, written) == (False, [4, 4], [])


@pytest.mark.parametrize("content", ["", "{", "{}"])
def test_a_damaged_summary_is_written_anew(place: Path, measured: list[int], content: str) -> None:
    first, _ = translate_and_measure(place)
    (run_of(place).evaluation("native") / "summary.json").write_text(content)
    outcome, _ = translate_and_measure(place)
    assert (outcome.cached, measured) == (False, [4, 4])
    assert outcome.summary == first.summary


def test_a_value_that_was_edited_is_noticed_by_all_who_read_it(place: Path, measured: list[int]) -> None:
    """Its table and features are whole: nothing but the summary says otherwise."""
    before = evaluate_references(place)
    file = place / "results/runs/folder-er/he/reference/evaluation/native/summary.json"
    for path, number in ((("value",), 0.99), (("interval", "reason"), "known")):
        content = json.loads(file.read_text())
        *above, last = path
        reduce(lambda there, key: there[key], above, content["values"]["ssim"])[last] = number
        file.write_text(json.dumps(content))
        left_out: list[str] = []
        assert len(load_results(place / "results", left_out.append)) == len(before) - 1
        assert [str(file) in line and "edited since they were measured" in line for line in left_out] == [True]
        measured.clear()
        again = evaluate_references(place)
        assert [outcome.run.folder.parent.name for outcome in again if outcome.damaged] == ["he"]
        assert [outcome.summary.values for outcome in again] == [outcome.summary.values for outcome in before]
    Summary.read(file).model_copy(update={"data_name": "called otherwise"}).require_whole(file.parent)


def test_an_unfinished_run_is_refused(place: Path) -> None:
    run = run_of(place)
    run.write_record(run.trained.model_copy(update={"finished": False}))
    with pytest.raises(RunError, match="not finished"):
        translate_and_measure(place)


def outside(place: Path) -> Path:
    folder = place / "outside"
    shutil.copytree(place / "own/ihc/test", folder)
    return folder


def test_images_made_elsewhere(place: Path) -> None:
    folder = outside(place)
    Image.open(folder / "d.png").save(folder / "d.tiff")  # lossless in another format counts as well
    (folder / "d.png").unlink()
    outcome = evaluate_copy(place, folder)
    assert outcome.summary.kind == "external"
    assert outcome.summary.values["ssim"].value == 1
    assert "images made elsewhere" in outcome.summary.warnings
    assert evaluate_copy(place, folder).cached


def test_images_made_elsewhere_must_be_complete(place: Path) -> None:
    folder = outside(place)
    (folder / "e.png").rename(folder / "e_fake.png")
    with pytest.raises(DataError, match=r"is missing: e; one image per H&E"):
        evaluate_copy(place, folder)
    shutil.copy(folder / "e_fake.png", folder / "e.png")
    with pytest.raises(DataError, match=r"belongs to no test pair: e_fake;"):
        evaluate_copy(place, folder)
    assert not (place / "results/runs/folder-er/copy").exists()


def test_images_made_elsewhere_must_have_the_size(place: Path) -> None:
    folder = outside(place)
    Image.new("RGB", (SIDE, SIDE // 2)).save(folder / "f.png")
    with pytest.raises(DataError, match=r"outside/f\.png: 20×40 pixels, but .*ihc/test/f\.png has 40×40"):
        evaluate_copy(place, folder)
    assert not (place / "results/runs/folder-er/copy").exists()  # else it would be tried, and fail, ever after


def test_a_name_that_is_no_folder_is_refused(place: Path) -> None:
    with pytest.raises(UsageError, match="--name"):
        evaluate_copy(place, outside(place), "../elsewhere")


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("row", [row for row in ROWS if row not in ("real-ihc", "he")])
def test_what_a_reference_has_learnt_is_learnt_anew_where_it_was_edited(place: Path, row: str, sealed: bool) -> None:
    """An edited number is told by its digest; a form that cannot be, by itself, whoever made the digest."""
    first = {o.summary.row: o.summary.values for o in evaluate_references(place)}
    file = Run(place / f"results/runs/folder-er/{row}/reference").record_file
    record = json.loads(file.read_text())
    for edited in ({}, {"mean": [0, 0]}, {key: _spoilt(value) for key, value in record["state"].items()}):
        if sealed and edited.keys() == record["state"].keys():
            continue  # of the right form, and sworn to: then it is what was learnt
        record_now = record | {"state": edited}
        if sealed:
            record_now["state_digest"] = digest([json.dumps(edited, sort_keys=True)])
        file.write_text(json.dumps(record_now))
        again = {o.summary.row: o.summary.values for o in evaluate_references(place)}
        assert again == first
        assert json.loads(file.read_text()) == record


def _spoilt(value: Any) -> Any:
    """Of the same form, and something else."""
    if isinstance(value, list):
        return [_spoilt(item) for item in value] or ["a"]
    if isinstance(value, dict):
        return {key: next(iter(value)) for key in value} | {"zzz": "d"}
    return value / 2 if isinstance(value, float) else value // 2 + 1


def test_without_a_training_split(place: Path) -> None:
    for side in ("he", "ihc"):
        shutil.rmtree(place / "own" / side / "train")
    outcomes = evaluate_references(place)
    assert [o.summary.row for o in outcomes] == ["real-ihc", "he", "shuffled"]
    for outcome in outcomes:
        assert outcome.summary.split_digest is None
        assert any("no training split here, so no rows made from it" in warning for warning in outcome.summary.warnings)


@pytest.mark.parametrize("spoil", [lambda file: file.write_bytes(b"nothing"), lambda file: os.truncate(file, 1 << 40)])
def test_what_fails_for_one_run_leaves_the_others_alone(place: Path, spoil: Callable[[Path], object]) -> None:
    broken = Run(run_of(place).folder.with_name("seed-1"))
    shutil.copytree(run_of(place).folder, broken.folder)
    spoil(checkpoints(broken.checkpoints)[-1].weights)
    outcomes, failures = evaluate_runs(
        [broken, run_of(place)], place / "own", place / "results", Instrument.build("cpu"), CPU
    )
    assert [o.summary.row for o in outcomes] == [*ROWS, "cut+cpu"]
    assert outcomes[-1].run == run_of(place)
    (failure,) = failures
    assert str(checkpoints(broken.checkpoints)[-1].weights) in failure


def test_resized_images_are_of_a_protocol_of_their_own(place: Path) -> None:
    folder = outside(place)
    small = Image.open(folder / "f.png").resize((SIDE // 2, SIDE // 2))
    small.save(folder / "f.png")
    outcome = evaluate_copy(place, folder, resize="bicubic")
    assert outcome.summary.protocol == "resize-bicubic"
    assert outcome.summary.values["ssim"].protocol == "ssim/skimage-rgb-uniform7+resize-bicubic"
    assert any("20×20 (1)" in warning for warning in outcome.summary.warnings)
    again, _ = evaluate_runs([outcome.run], place / "own", place / "results", Instrument.build("cpu"), CPU)
    assert again[-1].summary == outcome.summary
    assert again[-1].cached


def test_trainings_and_images_made_elsewhere_are_measured_at_one_size(place: Path) -> None:
    folder = outside(place)
    for file in folder.iterdir():
        Image.open(file).resize((SIDE // 2, SIDE // 2)).save(file)
    size = CommonSize(SIDE // 2, SIDE // 2, "box")
    here = Group("folder", {}, "er", place / "own", place / "results", size)
    evaluate_images(folder, "copy", here, Instrument.build("cpu"))
    runs = unevaluated(place / "results")
    outcomes, failures = evaluate_runs(runs, place / "own", place / "results", Instrument.build("cpu"), CPU, size=size)
    assert not failures
    assert {o.summary.row for o in outcomes} == {*ROWS, "copy", "cut+cpu"}
    assert {o.summary.protocol for o in outcomes} == {"size-20x20-box"}
    assert {o.summary.values["ssim"].protocol for o in outcomes} == {"ssim/skimage-rgb-uniform7+size-20x20-box"}
    assert not run_of(place).evaluation("native").exists()


def test_other_images_take_no_rows_name(place: Path) -> None:
    folder, other, moved = outside(place), place / "other", place / "moved"
    shutil.copytree(folder, other)
    evaluate_copy(place, folder)
    first = sorted(folder.glob("*.png"))[0]
    Image.fromarray(255 - np.asarray(Image.open(first))).save(other / first.name)
    before = summary_of(place, "copy/external")
    with pytest.raises(UsageError, match=rf"the row copy holds other images \({folder}\); choose another --name"):
        evaluate_copy(place, other)
    assert summary_of(place, "copy/external") == before
    folder.rename(moved)
    assert evaluate_copy(place, moved).cached, "the same images in another place are the row's"
    shutil.copy(other / first.name, moved / first.name)
    assert not evaluate_copy(place, moved).cached, "what lies in its place is measured again"
    for file in list(moved.glob("*.png")):
        shutil.copy(other / first.name, moved / f"{file.stem}_B.png")
    with pytest.raises(UsageError, match=rf"other images \({moved}\)"):
        evaluate_copy(place, moved, suffix="_B")


def test_images_made_elsewhere_alone_are_measured_again_without_a_data_root(place: Path) -> None:
    """Their record says where the data lay, as a training's does."""
    outcome = evaluate_copy(place, outside(place))
    shutil.rmtree(outcome.run.evaluation("native"))
    shutil.rmtree(run_of(place).folder)
    again, failures = evaluate_runs(
        unevaluated(place / "results"), None, place / "results", Instrument.build("cpu"), CPU
    )
    assert not failures
    assert [o.summary.row for o in again] == [*ROWS, "copy"]
    assert again[-1].summary == outcome.summary


def test_bad_images_are_skipped_and_listed_where_that_is_asked_for(place: Path) -> None:
    folder = outside(place)
    (folder / "e.png").write_bytes(b"nothing")
    outcome = evaluate_copy(place, folder, on_bad="skip")
    assert outcome.summary.n == 3
    assert list(outcome.summary.skipped) == ["e"]
    assert "1 of 4 pairs skipped as bad: see skipped" in outcome.summary.warnings
    assert [pair.id for pair in outcome.summary.pairs] == ["d", "f", "g"]
    with pytest.raises(DataError, match=r"outside/e\.png"):  # what was skipped is no result where none may be
        evaluate_copy(place, folder)
    assert not outcome.run.evaluation("native").joinpath("summary.json").exists()


def test_what_is_said_beside_the_table_is_said_once_with_the_rows_it_is_of(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two rows lack one value for two reasons; both skip one pair, of which one line is enough."""
    first = evaluate_references(place)[0]
    reading = first.summary.values["r_c"]

    def row(title: str, reason: str | None, **more: Any) -> Outcome:
        left = reading.model_copy(update={"value": None if reason else 1.0, "reason": reason})
        return replace(first, summary=first.summary.model_copy(update={"title": title, "values": {"r_c": left}} | more))

    bad = {"skipped": {"a": "a.png: damaged"}, "warnings": []}
    print_outcomes([row("A", "constant", **bad), row("B", "no H&E", **bad), row("C", None, **bad)])
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert printed[-3:] == ["skipped a: a.png: damaged", "A: r_c: n/a, constant", "B: r_c: n/a, no H&E"]


def test_missing_weights_stop_where_that_is_asked_for(place: Path) -> None:
    with pytest.raises(UserError, match=r"fid: .*missing"):
        Instrument.build("cpu", on_missing="error")


def test_what_is_known_of_the_real_images_serves_the_next_evaluation(place: Path) -> None:
    """And goes with the image: only the changed one is looked at again."""

    class Looking(Metric):
        values = (Value("looks", "", "1", "low", "", "looks"),)
        looked: ClassVar[list[str]] = []

        def update(self, samples: Sequence[Sample]) -> Update:
            for sample in samples:
                if "looking/1" not in sample.features("real"):
                    self.looked.append(sample.id)
                    sample.features("real")["looking/1"] = np.float32([sample.real.mean(), 0])
                    sample.features("real")["_passing"] = np.float32([0])
            return Update({}, {"looking": np.stack([sample.features("real")["looking/1"] for sample in samples])})

        def finish(self, table: pd.DataFrame, features: dict[str, Any]) -> dict[str, float | Absent]:
            return {"looks": float(features["looking"][:, 0].mean())}

    def evaluate(row: str) -> float:
        here = group(place)
        rows = [r for r in reference_rows(here) if r.record.row == row]
        (outcome,), _ = evaluate_rows(here, rows, Instrument({"looking": Looking()}))
        return outcome.summary.values["looks"].value

    first = evaluate("he")
    assert Looking.looked == ["d", "e", "f", "g"]
    assert evaluate("real-ihc") == first
    assert Looking.looked == ["d", "e", "f", "g"]
    Image.new("RGB", (SIDE, SIDE), (10, 20, 30)).save(place / "own/ihc/test/f.png")
    assert evaluate("he") != first
    assert Looking.looked == ["d", "e", "f", "g", "f"]
    smaller = Group("folder", {}, "er", place / "own", place / "results", CommonSize(SIDE // 2, SIDE // 2, "box"))
    evaluate_rows(smaller, reference_rows(smaller)[:1], Instrument({"looking": Looking()}))
    assert Looking.looked[5:] == ["d", "e", "f", "g"], "the same files at another size are other images"
    with np.load(place / "results/runs/folder-er/real.npz") as stored:
        assert stored["protocols"].tolist() == ["looking/1"]


def test_each_value_of_the_table_has_an_interval(place: Path) -> None:
    values = evaluate_references(place)[1].summary.values
    for name in ("iod_mae", "r_p", "r_c", "r_avg", "ssim"):
        interval = values[name].interval
        assert interval is not None
        assert interval["low"] <= values[name].value <= interval["high"]
        assert (interval["level"], interval["units"], interval["unit"]) == (0.95, 4, "image")
        assert "slides unknown" in interval["caution"]
    assert values["fid"].interval == {"low": None, "high": None, "reason": values["fid"].reason}
