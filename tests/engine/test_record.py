"""What a run cost, as run.json and images/test.json tell it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vsbench.engine import surroundings, trainer, translate
from vsbench.engine.run import Run
from vsbench.engine.translate import Stopwatch, translate_files, translate_image
from vsbench.errors import RunError
from vsbench.evaluation import rows
from vsbench.evaluation.group import Group
from vsbench.evaluation.rows import translated_row
from vsbench.method import Method
from vsbench.records.run import read_record

Train = Callable[..., Run]
CPU = torch.device("cpu")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Four pairs each to train on and to test on."""
    rng = np.random.default_rng(0)
    for side in ("he", "ihc"):
        for split in ("train", "test"):
            (tmp_path / side / split).mkdir(parents=True)
            for name in "abcd":
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / side / split / f"{name}.png")
    return tmp_path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still unless a test moves it."""
    now = [0.0]
    monkeypatch.setattr(translate.time, "perf_counter", lambda: now[0])
    return now


def stamp(run: Run) -> dict[str, Any]:
    return json.loads((run.folder / "images/test.json").read_text(encoding="utf-8"))


def test_a_cpu_has_no_peak_to_put_on_a_run(train: Train, tmp_path: Path) -> None:
    found = train(tmp_path, "pix2pix").record
    assert (found.finished, found.peak_memory_bytes) == (True, None)
    assert found.wall_time_s > 0


def test_a_gpu_is_asked_for_the_peak_of_this_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    peak = {"bytes": 700}
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: peak.update(bytes=0))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: peak["bytes"])
    surroundings.forget_peak_memory(CPU)
    assert (surroundings.peak_memory(torch.device("cuda")), surroundings.peak_memory(CPU)) == (700, None)
    surroundings.forget_peak_memory(torch.device("cuda"))
    assert surroundings.peak_memory(torch.device("cuda")) == 0


def test_the_peak_is_forgotten_before_the_networks_get_to_the_device(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    to = Method.to
    monkeypatch.setattr(trainer, "forget_peak_memory", lambda device: order.append("forget"))

    def noted(*args: Any, **more: Any) -> Any:
        order.append("to")
        return to(*args, **more)

    monkeypatch.setattr(Method, "to", noted)
    train(tmp_path, "pix2pix")
    assert order[:2] == ["forget", "to"]
    assert order.count("forget") == 1


def test_the_peak_before_a_resume_counts(
    train: Train, stopped: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "peak_memory", lambda device: 900)
    run = stopped(tmp_path, "pix2pix", 3)
    assert run.record.peak_memory_bytes is None  # not finished: not known yet
    monkeypatch.setattr(trainer, "peak_memory", lambda device: 500)
    assert train(tmp_path, "pix2pix", resume=True).record.peak_memory_bytes == 900


def test_only_translation_counts_and_not_the_first(
    build: Callable[..., Method[Any]], place: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def takes(seconds: float, function: Callable[..., Any]) -> Callable[..., Any]:
        def slow(*args: Any, **more: Any) -> Any:
            clock[0] += seconds
            return function(*args, **more)

        return slow

    watch = Stopwatch()
    files = [(place / f"he/test/{name}.png", place / f"out/{name}.png") for name in "abcd"]
    monkeypatch.setattr(translate, "read_rgb", takes(100, translate.read_rgb))
    monkeypatch.setattr(Image.Image, "save", takes(1000, Image.Image.save))
    translate_files(build("pix2pix"), files, CPU, translate=watch.timed(takes(2, translate_image)))
    assert (watch.images, watch.seconds) == (3, 6)


def test_evaluation_notes_how_fast_the_images_were_made(
    train: Train, place: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(place / "results", "pix2pix", root=place)
    group = Group("folder", {}, "er", place, place / "results")

    def slow(*args: Any) -> Any:
        clock[0] += 2
        return translate_image(*args)

    def translated() -> int:
        done: list[Path] = []
        translated_row(run, group, CPU, done.append)
        return len(done)

    monkeypatch.setattr(rows, "translate_image", slow)
    assert translated() == 4
    first = stamp(run)
    assert (first["images"], first["seconds"], first["device"]) == (3, 6, surroundings.device_name(CPU))
    assert translated() == 0, "how fast it went is no reason to translate again"
    assert stamp(run) == first

    for name in "ab":  # an interruption: the rest is added, but for the first image of the process
        (run.images("test") / f"{name}.png").unlink()
    assert translated() == 2
    assert stamp(run) == first | {"images": 4, "seconds": 8}

    monkeypatch.setattr(rows, "device_name", lambda device: "another")
    for name in "ab":
        (run.images("test") / f"{name}.png").unlink()
    assert translated() == 2
    assert stamp(run) == first | {"images": 1, "seconds": 2, "device": "another"}


def test_images_of_before_the_speed_was_noted_stay(train: Train, place: Path) -> None:
    run = train(place / "results", "pix2pix", root=place)
    group = Group("folder", {}, "er", place, place / "results")
    translated_row(run, group, CPU)
    old = {key: stamp(run)[key] for key in ("weights", "he")}
    (run.folder / "images/test.json").write_text(json.dumps(old), encoding="utf-8")
    done: list[Path] = []
    translated_row(run, group, CPU, done.append)
    assert not done
    assert stamp(run) == old

    (run.folder / "images/test.json").write_text(json.dumps(old | {"weights": "0" * 64}), encoding="utf-8")
    translated_row(run, group, CPU, done.append)
    assert len(done) == 4, "other weights are"


def test_the_record_of_a_folder_is_read_once(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a training; once more only when the folder is locked, since others may have trained there meanwhile."""
    train(tmp_path, "pix2pix")
    read: list[Path] = []
    monkeypatch.setattr("vsbench.engine.run.read_record", lambda file: read.append(file) or read_record(file))
    train(tmp_path, "pix2pix")
    assert len(read) == 1


def test_a_folder_of_runs_names_those_in_it(tmp_path: Path) -> None:
    for seed in ("seed-0", "seed-1"):
        (tmp_path / seed).mkdir()
        (tmp_path / seed / "run.json").write_text("{}")
    with pytest.raises(RunError, match=r"not a run folder \(no run.json\); name one of those in it: seed-0, seed-1$"):
        _ = Run(tmp_path).record
    with pytest.raises(RunError, match=r"not a run folder \(no run.json\)$"):
        _ = Run(tmp_path / "none").record
