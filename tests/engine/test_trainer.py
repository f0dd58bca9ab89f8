"""Training as the command starts it: stopped and resumed, damaged, refused, logged."""

import csv
import hashlib
import json
import math
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from vsbench.data.loader import Draws
from vsbench.engine.checkpoint import checkpoints, load_method
from vsbench.engine.memory import process_peak
from vsbench.engine.run import Run
from vsbench.engine.schedule import Schedule
from vsbench.errors import DataError, RunError
from vsbench.registry import load

Train = Callable[..., Run]
Rows = Callable[[Run], list[dict[str, str]]]
SameEnd = Callable[[Run, Run], None]
Options = Callable[..., dict[str, Any]]


def steps_of(run: Run) -> list[int]:
    return [checkpoint.step for checkpoint in checkpoints(run.checkpoints)]


def test_stopped_and_resumed_is_the_run_that_never_stopped(
    train: Train,
    stopped: Train,
    whole: Callable[[str], Run],
    tmp_path: Path,
    name: str,
    rows: Rows,
    assert_same_end: SameEnd,
) -> None:
    run = stopped(tmp_path, name, stop_at=3)
    assert steps_of(run) == [2]
    assert [row["step"] for row in rows(run)] == ["1", "2", "3"]  # the third is forgotten, and trained again
    assert run.record.finished is False
    assert train(tmp_path, name, resume=True) == run
    assert [row["step"] for row in rows(run)] == ["1", "2", "3", "4"]
    assert run.record.finished is True
    assert_same_end(run, whole(name))


def test_stopped_before_the_first_checkpoint(
    train: Train, stopped: Train, whole: Callable[[str], Run], tmp_path: Path, assert_same_end: SameEnd
) -> None:
    run = stopped(tmp_path, "pix2pix", stop_at=1)
    assert steps_of(run) == []
    train(tmp_path, "pix2pix", resume=True)
    assert_same_end(run, whole("pix2pix"))


@pytest.mark.parametrize("part", ["weights", "state"])
def test_a_damaged_checkpoint_is_said_and_passed_over(
    train: Train,
    stopped: Train,
    whole: Callable[[str], Run],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    part: str,
    assert_same_end: SameEnd,
) -> None:
    run = stopped(tmp_path, "cyclegan", stop_at=4, checkpoint=1)
    assert steps_of(run) == [2, 3]
    path: Path = getattr(checkpoints(run.checkpoints)[-1], part)
    path.write_bytes(path.read_bytes()[:-100])
    train(tmp_path, "cyclegan", resume=True)
    said = capsys.readouterr().out
    assert str(path) in said
    assert "damaged" in said
    assert "going back" in said
    assert_same_end(run, whole("cyclegan"))


def test_all_checkpoints_damaged(
    train: Train,
    stopped: Train,
    whole: Callable[[str], Run],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    assert_same_end: SameEnd,
) -> None:
    run = stopped(tmp_path, "pix2pix", stop_at=3)
    checkpoints(run.checkpoints)[-1].weights.write_bytes(b"")
    train(tmp_path, "pix2pix", resume=True)
    assert "damaged" in capsys.readouterr().out
    assert_same_end(run, whole("pix2pix"))


def test_an_unfinished_run_wants_resume(train: Train, stopped: Train, tmp_path: Path) -> None:
    run = stopped(tmp_path, "pix2pix", stop_at=3)
    before = run.log_file.read_bytes()
    with pytest.raises(RunError, match=r"unfinished at step 2 of 4; add --resume"):
        train(tmp_path, "pix2pix")
    assert run.log_file.read_bytes() == before


def test_a_finished_run_is_not_trained_again(
    train: Train, whole: Callable[[str], Run], capsys: pytest.CaptureFixture[str]
) -> None:
    run = whole("pix2pix")
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    for resume in (False, True):
        train(run.folder.parents[3], "pix2pix", resume=resume, stop_at=1)
        assert "finished already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        ({"lambda_l1": 7.5}, r"lambda_l1 = 100\.0 there, 7\.5 here"),
        ({"batch_size": 1}, "batch_size = 2 there, 1 here"),
        ({"precision": "bf16-mixed"}, "precision"),
    ],
)
def test_another_run_in_the_folder_is_refused(
    train: Train, whole: Callable[[str], Run], difference: dict[str, Any], said: str
) -> None:
    run = whole("pix2pix")
    for resume in (False, True):
        with pytest.raises(RunError, match=said):
            train(run.folder.parents[3], "pix2pix", resume=resume, **difference)


def test_a_changed_training_image_is_another_run(train: Train, data_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "own"
    shutil.copytree(data_root, root)
    train(tmp_path, "pix2pix", root=root, steps=1)
    shutil.copy(root / "ihc/train/a.png", root / "ihc/train/b.png")
    with pytest.raises(RunError, match="train_digest"):
        train(tmp_path, "pix2pix", root=root, steps=1)


def test_a_loss_that_is_not_finite_stops_the_training(
    train: Train, tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learning rate of 1e30 throws the weights so far in the first step that the second overflows."""
    monkeypatch.setattr(Schedule, "factor", lambda *_: 1e30)
    ids = ", ".join("abcde"[he] for he, _ in Draws(5, 2, seed=0).indices(1))
    with pytest.raises(RunError, match=rf"^step 2: loss g_l1 is (nan|inf) on {ids}; lower lr"):
        train(tmp_path, "pix2pix", lr=1.0, checkpoint=1, lambda_adversarial=0)
    run = Run(next(tmp_path.glob("runs/*/*/seed-0")))
    assert steps_of(run) == [1]
    load_method(checkpoints(run.checkpoints)[-1].weights)
    assert [row["step"] for row in rows(run)] == ["1"]
    assert run.record.finished is False


def test_a_bad_image_is_named(train: Train, data_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "own"
    shutil.copytree(data_root, root)
    damaged = root / "ihc/train/c.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    with pytest.raises(DataError, match=r"ihc/train/c\.png"):
        train(tmp_path, "pix2pix", root=root)


def switched_on(run: Run, losses: tuple[str, ...]) -> list[str]:
    """A preset may leave out a term, as one that needs a file of weights; its column is empty."""
    terms = {"g_content": "lambda_content", "g_identity": "lambda_identity", "g_ctpc": "lambda_ctpc"}
    off = {loss for loss, weight in terms.items() if run.record.config.get(weight) == 0}
    return [loss for loss in losses if loss not in off]


def test_the_log(whole: Callable[[str], Run], name: str, rows: Rows) -> None:
    """Its columns; the epoch of two batches; the rate of the constant steps and of those in which it falls.

    CSSP2P's falls by a factor in each of the epochs that the steps stand for.
    """
    run = whole(name)
    with run.log_file.open(newline="") as file:
        table = list(csv.reader(file))
    losses = load("vsbench.methods", name).card.losses
    assert table[0] == ["step", "epoch", "lr", "images_per_s", "memory_mb", *losses]
    found = rows(run)
    assert [row["epoch"] for row in found] == ["1", "1", "2", "2"]
    config = run.record.config
    constant = round(4 * config["epochs"] / (config["epochs"] + config["decay_epochs"]))
    rates = [config["lr"] * (1 - max(0, step - constant) / (5 - constant)) for step in (1, 2, 3, 4)]
    if name == "cssp2p":
        epochs = config["epochs"] + config["decay_epochs"]
        rates = [config["lr"] * config["lr_gamma"] ** (epochs * step / 4) for step in range(4)]
    assert [float(row["lr"]) for row in found] == pytest.approx(rates)
    assert all(math.isfinite(float(row[loss])) for row in found for loss in switched_on(run, losses))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not say")
@pytest.mark.parametrize(("system", "unit"), [("linux", 1024), ("darwin", 1)])
def test_the_peak_of_a_process_is_in_bytes_whatever_the_system_counts_in(
    monkeypatch: pytest.MonkeyPatch, system: str, unit: int
) -> None:
    monkeypatch.setattr("resource.getrusage", lambda who: SimpleNamespace(ru_maxrss=3 << 20))
    monkeypatch.setattr(sys, "platform", system)
    assert process_peak() == unit * 3 << 20


def test_a_row_is_the_mean_since_the_last(
    train: Train, whole: Callable[[str], Run], tmp_path: Path, rows: Rows
) -> None:
    each = rows(whole("pix2pix"))
    third, fourth = rows(train(tmp_path, "pix2pix", log=3))
    assert (third["step"], fourth["step"]) == ("3", "4")
    for loss in load("vsbench.methods", "pix2pix").card.losses:
        mean = sum(float(row[loss]) for row in each[:3]) / 3
        assert float(third[loss]) == pytest.approx(mean, rel=2e-6)  # six digits are kept
        assert fourth[loss] == each[3][loss]


def test_a_term_that_is_switched_off_is_empty_in_the_log(train: Train, tmp_path: Path, rows: Rows) -> None:
    (row,) = rows(train(tmp_path, "pix2pix", steps=1, lambda_adversarial=0))
    assert [row[loss] for loss in ("d_real", "d_fake", "g_adversarial")] == ["", "", ""]
    assert float(row["g_l1"]) > 0


def test_the_record(whole: Callable[[str], Run], data_root: Path, tiny: Options) -> None:
    record = json.loads(whole("cyclegan").record_file.read_text())
    method = load("vsbench.methods", "cyclegan")
    config = method.configure("cpu", tiny("cyclegan"))
    assert record["config"] == json.loads(config.model_dump_json())
    total = hashlib.sha256()
    for name in "abcde":  # id, slide (unknown) and the images' own digests, each closed by a zero byte
        digests = [hashlib.sha256((data_root / side / "train" / f"{name}.png").read_bytes()) for side in ("he", "ihc")]
        total.update("".join(f"{part}\0" for part in (name, "", *(d.hexdigest() for d in digests))).encode())
    weights = load_file(checkpoints(whole("cyclegan").checkpoints)[-1].weights)
    networks = {name.split(".")[0] for name in weights}  # instance norm keeps no statistics: all are parameters
    expected = {
        "kind": "trained", "method": "cyclegan", "row": "cyclegan+cpu", "title": "CycleGAN (cpu preset)",
        "preset": "cpu", "variant": "", "dataset": "folder", "stain": "er", "seed": 0, "steps": 4, "finished": True,
        "train_pairs": 5, "train_slides": None, "train_digest": total.hexdigest(), "precision": "32-true", "world": 1,
        "parameters": {
            network: sum(t.numel() for name, t in weights.items() if name.startswith(f"{network}."))
            for network in networks
        },
    }  # fmt: skip
    assert {key: record[key] for key in expected} == expected
    assert record["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]  # "+cpu" is the build
    assert record["versions"]["python"] == platform.python_version()
    assert record["wall_time_s"] > 0
    assert Path(record["data_root"]) == data_root.resolve()


def test_mixed_precision(train: Train, whole: Callable[[str], Run], tmp_path: Path, name: str, rows: Rows) -> None:
    """bfloat16 on the CPU: two steps near those in full precision, weights still in 32 bits."""
    run = train(tmp_path, name, precision="bf16-mixed", steps=2)
    losses = switched_on(run, load("vsbench.methods", name).card.losses)
    for mixed, full in zip(rows(run), rows(whole(name)), strict=False):
        assert all(math.isfinite(float(mixed[loss])) for loss in losses)
        if mixed["step"] == "1":  # the same weights and batch; bfloat16 keeps eight bits
            for loss in losses:
                assert float(mixed[loss]) == pytest.approx(float(full[loss]), rel=0.05, abs=0.01), loss
    weights = load_file(checkpoints(run.checkpoints)[-1].weights)
    assert {tensor.dtype for tensor in weights.values()} <= {torch.float32, torch.int64}
    assert run.record.precision == "bf16-mixed"
