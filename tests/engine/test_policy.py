"""Which checkpoints stay and which one stands for the run; validation on slides held out of the training set."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vsbench.data.decode import read_rgb
from vsbench.data.pairs import Pair
from vsbench.engine.checkpoint import checkpoints, chosen_checkpoint, load_method
from vsbench.engine.request import Request
from vsbench.engine.run import Run
from vsbench.engine.translate import translate_image
from vsbench.engine.validate import Validation, hold_out
from vsbench.errors import RunError, UsageError
from vsbench.records.run import Keeping
from vsbench.stain.dab import integrated_density

Train = Callable[..., Run]
SameEnd = Callable[[Run, Run], None]
SLIDES = {"dataset_options": {"slide": r"^\d"}}


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiles of each of five slides, for the data set ``folder``."""
    root, rng = tmp_path_factory.mktemp("slides"), np.random.default_rng(1)
    for side in ("he", "ihc"):
        (root / side / "train").mkdir(parents=True)
        for name in (f"{slide}_{tile}" for slide in range(5) for tile in "ab"):
            pixels = rng.integers(60, 256, (10, 10, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
            Image.fromarray(pixels).save(root / side / "train" / f"{name}.png")
    return root


def steps_of(run: Run) -> list[int]:
    return [checkpoint.step for checkpoint in checkpoints(run.checkpoints)]


def table(run: Run) -> list[dict[str, str]]:
    with run.validation_file.open(newline="") as file:
        return list(csv.DictReader(file))


def pair(name: str, slide: str | None) -> Pair:
    return Pair(name, Path(f"{name}.png"), Path(f"{name}.png"), slide, "train")


def test_the_last_stands_for_the_run_and_two_stay(train: Train, tmp_path: Path) -> None:
    run = train(tmp_path, "pix2pix", checkpoint=1)
    assert steps_of(run) == [3, 4]
    assert chosen_checkpoint(run).step == run.record.chosen_step == 4
    assert (run.trained.select, run.trained.validation) == ("last", None)
    assert run.trained.checkpoints == Keeping(every=1, keep=2, keep_every=None)
    assert not run.validation_file.exists()


def test_all_of_every_third_step_stay(train: Train, tmp_path: Path) -> None:
    """Written though they are no multiple of the steps between checkpoints."""
    run = train(tmp_path, "pix2pix", checkpoint=100, steps=8, rhythm={"keep": 1, "keep_every": 3})
    assert steps_of(run) == [3, 6, 8]
    assert run.trained.checkpoints == Keeping(every=100, keep=1, keep_every=3)


def test_the_best_on_held_out_slides_stands_for_the_run(train: Train, slides: Path, tmp_path: Path) -> None:
    """Its value is the held-out images' mean |Î − I| / (H·W), computed here from the file that was chosen."""
    asked = {"select": "best", "validate_every": 1, **SLIDES}
    run = train(tmp_path, "pix2pix", root=slides, checkpoint=100, steps=8, rhythm={"keep": 1}, request=asked)
    rows = table(run)
    assert [int(row["step"]) for row in rows] == list(range(1, 9))
    best = min(rows, key=lambda row: float(row["value"]))
    record = run.trained
    assert record.chosen_step == int(best["step"]) < 8, "of no use where the last is the best"
    assert steps_of(run) == [record.chosen_step, 8]
    assert record.validation is not None
    (held_out,) = record.validation.slides
    assert record.validation.model_dump() == {
        "metric": "iod_mae", "every": 1, "share": 0.2, "slides": [held_out], "pairs": 2,
    }  # fmt: skip
    assert (record.train_pairs, record.train_slides) == (8, 4)

    method = load_method(chosen_checkpoint(run).weights)
    errors = []
    for he in sorted((slides / "he" / "train").glob(f"{held_out}_*.png")):
        fake = translate_image(method, read_rgb(he), torch.device("cpu"))
        real = read_rgb(slides / "ihc" / "train" / he.name)
        errors.append(abs(integrated_density(fake) - integrated_density(real)) / (40 * 40))
    assert float(best["value"]) == pytest.approx(sum(errors) / 2, rel=1e-12)
    assert best["n"] == "2"


def test_resumed_it_chooses_as_if_never_stopped(
    train: Train, stopped: Train, slides: Path, tmp_path: Path, assert_same_end: SameEnd
) -> None:
    asked: dict[str, Any] = {"root": slides, "checkpoint": 2, "steps": 8}
    asked["request"] = {"select": "best", "validate_every": 3, **SLIDES}
    expected = train(tmp_path / "whole", "cut", **asked)
    run = stopped(tmp_path / "stopped", "cut", stop_at=8, **asked)
    assert [row["step"] for row in table(run)] == ["3", "6"]
    with run.validation_file.open("a") as file:
        file.write("7,0.0,2\n")  # after the checkpoint: forgotten
    train(tmp_path / "stopped", "cut", resume=True, **asked)
    assert table(run) == table(expected)
    assert run.record.chosen_step == expected.record.chosen_step
    assert_same_end(run, expected)


def test_another_choice_is_another_run(train: Train, slides: Path, tmp_path: Path) -> None:
    train(tmp_path, "pix2pix", root=slides, steps=1, request={"validate_every": 1, **SLIDES})
    with pytest.raises(RunError, match="select"):
        train(tmp_path, "pix2pix", root=slides, steps=1, request={"select": "best", "validate_every": 1, **SLIDES})


def test_nothing_random_is_drawn_by_validation(train: Train, slides: Path, tmp_path: Path) -> None:
    """Only the log's and the weights' being equal would be hidden by luck: dropout draws in each step."""
    often, once = (
        train(
            tmp_path / str(every), "pix2pix", root=slides, checkpoint=100, request={"validate_every": every, **SLIDES}
        )
        for every in (1, 4)
    )
    states = [torch.load(checkpoints(run.checkpoints)[-1].state, weights_only=True) for run in (often, once)]
    assert torch.equal(states[0]["random"]["torch"], states[1]["random"]["torch"])


@pytest.mark.parametrize(("known", "said"), [(None, "not known"), ("a", "two slides or more")])
def test_slides_that_cannot_be_held_out_are_refused(known: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        hold_out([pair("1", known), pair("2", known)], 0.2, 0)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.99])
def test_no_slide_is_on_both_sides(share: float) -> None:
    pairs = [pair(f"{slide}_{tile}", slide) for slide in "abcdefghij" for tile in range(3)]
    held = hold_out(pairs, share, 7)
    assert {p.slide for p in held.train}.isdisjoint(held.slides)
    assert sorted([*held.train, *held.validation], key=lambda p: p.id) == pairs
    assert len(held.slides) == min(max(math.floor(share * 10 + 0.5), 1), 9)
    assert held.slides != hold_out(pairs, share, 8).slides


def test_the_first_of_equal_values_is_the_best(tmp_path: Path) -> None:
    (tmp_path / "validation.csv").write_text("step,value,n\n2,0.5,3\n4,0.25,3\n6,0.25,3\n8,0.1,3\n")
    validation = Validation([], 2, tmp_path / "validation.csv")
    validation.go_on_from(6)
    assert (validation.best, validation.values) == (4, {2: 0.5, 4: 0.25, 6: 0.25})


@pytest.mark.parametrize("wrong", [{"select": "median"}, {"validation_share": 1.0}, {"validation_share": 0.0}])
def test_impossible_choices_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=str(next(iter(wrong.values())))):
        Request("cut", "folder", "er", **wrong)
