"""Training data is looked at before it is trained on, and a training goes on with mended data at its user's word."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vsbench.cli.options import make_fabric
from vsbench.engine.checkpoint import checkpoints
from vsbench.engine.estimate import estimate, lines
from vsbench.engine.request import Request
from vsbench.engine.run import Run
from vsbench.engine.trainer import Rhythm
from vsbench.errors import DataError, RunError
from vsbench.records.data import TrainingData
from vsbench.records.run import AcceptedData

Train = Callable[..., Run]


@pytest.fixture
def root(data_root: Path, tmp_path: Path) -> Path:
    """The pairs, to be changed."""
    return Path(shutil.copytree(data_root, tmp_path / "data"))


def spoil(file: Path) -> bytes:
    """Make a JPEG-like fault that the header does not show: a PNG whose pixels are no zlib stream. Returns it whole."""
    whole = file.read_bytes()
    place = whole.index(b"IDAT") + 4
    file.write_bytes(whole[:place] + bytes(20) + whole[place + 20 :])
    return whole


def repaint(file: Path) -> None:
    pixels = np.asarray(Image.open(file)).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(file)


def only(results: Path) -> Run:
    return Run(next(results.glob("runs/*/*/seed-0")))


def steps_of(run: Run) -> list[int]:
    return [checkpoint.step for checkpoint in checkpoints(run.checkpoints)]


def test_a_bad_header_stops_training_and_dry_run_before_anything_is_written(
    train: Train, root: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (30, 40)).save(root / "he" / "train" / "e.png")
    with pytest.raises(DataError, match=r"he/train/e\.png: 40×30 pixels hold no crop of 32"):
        train(tmp_path / "R", "pix2pix", root=root, load_size=0)
    options = {"crop_size": 32, "load_size": 0}
    request = Request("pix2pix", "folder", "er", "cpu", options, data_root=root, results=tmp_path / "R")
    with pytest.raises(DataError, match=r"he/train/e\.png: 40×30"):
        estimate(request, make_fabric("cpu", 1, "32-true"), Rhythm())
    assert not (tmp_path / "R").exists()


@pytest.mark.parametrize("mended", [True, False])
def test_stopped_before_the_first_step_the_same_command_goes(
    train: Train, root: Path, tmp_path: Path, mended: bool
) -> None:
    """Whether the file was mended or removed."""
    for file in sorted((root / "he" / "train").iterdir()):
        spoil(file)
    with pytest.raises(DataError, match="damaged"):
        train(tmp_path / "R", "pix2pix", root=root)
    run = only(tmp_path / "R")
    assert (steps_of(run), run.trained.finished) == ([], False)
    for file in sorted((root / "he" / "train").iterdir()):
        if mended:
            Image.open(root / "ihc" / "train" / file.name).save(file)
        elif file.stem in "ab":
            file.unlink()
            (root / "ihc" / "train" / file.name).unlink()
        else:
            Image.new("RGB", (44, 40)).save(file)
    train(tmp_path / "R", "pix2pix", root=root)
    assert run.trained.finished
    assert run.trained.accepted_data == []


def stopped_at_a_bad_image(train: Train, root: Path, results: Path) -> tuple[Run, Path, bytes]:
    """A run that met a bad image after its first step (b comes fifth); the image, and what it should be."""
    file = root / "ihc" / "train" / "b.png"
    whole = spoil(file)
    with pytest.raises(DataError, match=r"b\.png: damaged"):
        train(results, "pix2pix", root=root, checkpoint=100, steps=8, batch_size=1)
    return only(results), file, whole


def test_a_bad_image_leaves_a_checkpoint_of_the_last_step_from_which_mended_data_go_on(
    train: Train, root: Path, tmp_path: Path, assert_same_end: Callable[[Run, Run], None],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    expected = train(tmp_path / "whole", "pix2pix", root=root, checkpoint=100, steps=8, batch_size=1)
    run, file, whole = stopped_at_a_bad_image(train, root, tmp_path / "R")
    step = 4
    assert steps_of(run) == [step]
    before = run.trained.train_digest
    file.write_bytes(whole)
    with pytest.raises(RunError, match=r"train_digest.*--accept-data"):
        train(tmp_path / "R", "pix2pix", root=root, resume=True, checkpoint=100, steps=8, batch_size=1)
    with pytest.raises(RunError, match=r"train_digest.*--accept-data"):
        train(tmp_path / "R", "pix2pix", root=root, accept_data=True, checkpoint=100, steps=8, batch_size=1)
    capsys.readouterr()
    train(
        tmp_path / "R", "pix2pix", root=root, resume=True, accept_data=True, checkpoint=100, steps=8, batch_size=1
    )  # fmt: skip
    assert f"from step {step} on with other training images: ihc/train/b.png" in capsys.readouterr().out
    (accepted,) = run.trained.accepted_data
    assert (accepted.step, accepted.before, accepted.files) == (step, before, ["ihc/train/b.png"])
    assert accepted.after == run.trained.train_digest == expected.trained.train_digest
    assert_same_end(run, expected)


def test_what_was_accepted_once_is_kept_and_not_asked_for_again(train: Train, root: Path, tmp_path: Path) -> None:
    run, file, whole = stopped_at_a_bad_image(train, root, tmp_path / "R")
    file.write_bytes(whole)
    later = root / "he" / "train" / "d.png"  # drawn again after it
    sound = spoil(later)
    more = {"checkpoint": 100, "steps": 8, "batch_size": 1}
    with pytest.raises(DataError, match=r"d\.png"):
        train(tmp_path / "R", "pix2pix", root=root, resume=True, accept_data=True, **more)
    later.write_bytes(sound)
    train(tmp_path / "R", "pix2pix", root=root, resume=True, accept_data=True, **more)
    accepted = run.trained.accepted_data
    assert [len(a.files) for a in accepted] == [2, 1]
    assert accepted[0].after == accepted[1].before
    train(tmp_path / "R", "pix2pix", root=root, **more)  # finished already, and the record stays
    assert run.trained.accepted_data == accepted


def test_what_was_accepted_stays_recorded_without_the_option(train: Train, root: Path, tmp_path: Path) -> None:
    train(tmp_path / "R", "pix2pix", root=root, checkpoint=1)
    run = only(tmp_path / "R")
    record = run.trained
    accepted = [AcceptedData(step=1, before="0" * 64, after=record.train_digest or "", files=["a"])]
    run.write_record(record.model_copy(update={"finished": False, "accepted_data": accepted}))
    train(tmp_path / "R", "pix2pix", root=root, resume=True, checkpoint=1)
    assert run.trained.finished
    assert run.trained.accepted_data == accepted


def test_a_removed_pair_is_accepted_by_name(train: Train, root: Path, tmp_path: Path) -> None:
    run, *_ = stopped_at_a_bad_image(train, root, tmp_path / "R")
    for side in ("he", "ihc"):
        (root / side / "train" / "b.png").unlink()
    train(tmp_path / "R", "pix2pix", root=root, resume=True, accept_data=True, steps=8, batch_size=1)
    assert [a.files for a in run.trained.accepted_data] == [["b (gone)"]]
    assert run.trained.train_pairs == 4


def test_a_finished_training_takes_no_other_data(train: Train, root: Path, tmp_path: Path) -> None:
    run = train(tmp_path / "R", "pix2pix", root=root)
    repaint(root / "he" / "train" / "a.png")
    with pytest.raises(RunError, match=r"holds another run \(train_digest\); choose another"):
        train(tmp_path / "R", "pix2pix", root=root, resume=True, accept_data=True)
    assert run.trained.accepted_data == []


def test_the_digests_of_the_training_images_are_kept(train: Train, root: Path, tmp_path: Path) -> None:
    run = train(tmp_path / "R", "pix2pix", root=root)
    data = TrainingData.read(run.data_file)
    assert list(data.files) == list("abcde")
    assert all(len(digests) == 2 for digests in data.files.values())


def test_what_lies_beside_the_images_and_is_not_read_is_said_in_training_and_dry_run(
    train: Train, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("P", (44, 40)).save(root / "ihc" / "train" / "f.gif")
    line = "not read, though beside the images: .gif (1): ihc/train/f.gif"
    train(tmp_path / "R", "pix2pix", root=root, steps=1)
    assert f"warning: {line}" in capsys.readouterr().out.splitlines()
    request = Request("pix2pix", "folder", "er", "cpu", {"crop_size": 32}, data_root=root, results=tmp_path / "R")
    plan = estimate(request, make_fabric("cpu", 1, "32-true"), Rhythm())
    assert plan["warnings"] == [line]
    assert f"warning: {line}" in lines(plan)
