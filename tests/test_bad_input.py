"""Whatever is wrong, the user gets one line that names it, and the right exit code."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vsbench.checks.metrics import assert_honest, evaluate, stained_samples
from vsbench.data.pairs import Pair
from vsbench.evaluation.onepass import Measured, measure, set_values
from vsbench.evaluation.outside import reader
from vsbench.metric import Absent, Metric
from vsbench.metrics._network import NetworkMetric
from vsbench.registry import load, names

Command = Callable[..., "subprocess.CompletedProcess[str]"]
QUICK = ("--preset", "cpu", "--set", "steps=1", "--set", "crop_size=64", "--set", "batch_size=2", "--workers", "0")
OF_PIXELS = [n for n in names("vsbench.metrics") if not issubclass(load("vsbench.metrics", n), NetworkMetric)]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Two folders of pairs of one's own, train and test, 64 × 64."""
    rng = np.random.default_rng(0)
    for side in ("he", "ihc"):
        for split in ("train", "test"):
            folder = tmp_path / "own" / side / split
            folder.mkdir(parents=True)
            for name in ("s1_0", "s1_1", "s2_0"):
                pixels = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{split}_{name}.png")
    return tmp_path / "own"


def train(
    vsbench: Command, root: Path, *more: str, method: str = "cut", dataset: str = "folder", stain: str = "er"
) -> str:
    done = vsbench("train", method, "--dataset", dataset, "--stain", stain, "--data-root", root, *QUICK, *more)
    assert done.returncode in (1, 2), done.stdout
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return f"{done.returncode} {done.stderr}"


def test_the_pairs_are_good(vsbench: Command, pairs: Path) -> None:
    done = vsbench("train", "cut", "--dataset", "folder", "--stain", "er", "--data-root", pairs, *QUICK)
    assert done.returncode == 0, done.stderr


def test_missing_partner(vsbench: Command, pairs: Path) -> None:
    (pairs / "ihc/train/train_s1_1.png").unlink()
    said = train(vsbench, pairs)
    assert said.startswith("1 ")
    assert "no partner" in said
    assert "train_s1_1.png" in said


def test_zero_byte_image(vsbench: Command, pairs: Path) -> None:
    for path in (pairs / "ihc/train").iterdir():
        path.write_bytes(b"")
    said = train(vsbench, pairs)
    assert said.startswith("1 ")
    assert "zero bytes" in said


def test_grey_image(vsbench: Command, pairs: Path) -> None:
    for path in (pairs / "he/train").iterdir():
        Image.new("L", (64, 64), 100).save(path)
    said = train(vsbench, pairs)
    assert said.startswith("1 ")
    assert "grey" in said


def test_unequal_sizes(vsbench: Command, pairs: Path) -> None:
    for path in (pairs / "ihc/train").iterdir():
        Image.new("RGB", (80, 64), (9, 9, 9)).save(path)
    said = train(vsbench, pairs, method="usigan")
    assert said.startswith("1 ")
    assert "64×80" in said
    assert "64×64" in said


def test_crop_larger_than_tile(vsbench: Command, pairs: Path) -> None:
    settings = pairs / "settings.yaml"
    settings.write_text("crop_size: 128\nload_size: 0\nsteps: 1\nbatch_size: 2\n")
    small = ("--preset", "cpu", "--config", settings, "--workers", "0")
    done = vsbench("train", "cut", "--dataset", "folder", "--stain", "er", "--data-root", pairs, *small)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "64×64" in done.stderr
    assert "crop_size" in done.stderr


def test_unknown_stain(vsbench: Command, pairs: Path) -> None:
    said = train(vsbench, pairs, dataset="mist", stain="cd3")
    assert said.startswith("2 ")
    assert "her2" in said


@pytest.mark.parametrize("kind", ["method", "dataset"])
def test_unknown_name_lists_the_known(vsbench: Command, pairs: Path, kind: str) -> None:
    said = train(vsbench, pairs, **{kind: "nothing"})
    assert said.startswith("2 ")
    assert {"method": "usigan", "dataset": "ihc4bc"}[kind] in said


def test_misspelt_setting(vsbench: Command, pairs: Path) -> None:
    said = train(vsbench, pairs, "--set", "lamda_nce=2")
    assert said.startswith("2 ")
    assert "did you mean 'lambda_nce'" in said


@pytest.mark.parametrize("setting", ["lambda_nce=-1", "batch_size=0", "lr=fast", "taps=[0,99]", "variant=best"])
def test_impossible_setting(vsbench: Command, pairs: Path, setting: str) -> None:
    done = vsbench("train", "cut", "--dataset", "folder", "--stain", "er", "--data-root", pairs, "--set", setting)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert setting.split("=")[0] in done.stderr


def test_no_data_root(vsbench: Command) -> None:
    done = vsbench("train", "cut", "--dataset", "mist", "--stain", "er")
    assert done.returncode == 2
    assert "VSBENCH_DATA" in done.stderr


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--suite", "table1"), "table4, table5"),
        (("--suite", "table8", "--seeds", "0,0"), "--seeds '0,0'"),
        (("--suite", "table8"), "VSBENCH_DATA"),
    ],
)
def test_ablate_says_what_is_wrong_before_it_trains(vsbench: Command, more: tuple[str, ...], words: str) -> None:
    done = vsbench("ablate", "usigan", "--dataset", "mist", "--stain", "er", *more)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr


def test_nothing_to_evaluate_or_report(vsbench: Command) -> None:
    for command, mend in ((("evaluate", "--all"), "vsbench train"), (("report", "--latex"), "vsbench evaluate")):
        done = vsbench(*command)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert mend in done.stderr


def test_evaluate_wants_one_thing(vsbench: Command) -> None:
    assert vsbench("evaluate").returncode == 2
    assert vsbench("evaluate", "--all", "--images", "x").returncode == 2


def test_one_bad_test_image_leaves_other_runs_alone(vsbench: Command, pairs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(pairs, other)
    for root, label in ((pairs, "good"), (other, "bad")):
        where = ("--dataset", "folder", "--stain", "er" if label == "good" else "pr", "--data-root", root)
        assert vsbench("train", "cut", *where, *QUICK).returncode == 0
    (other / "he/test/test_s1_0.png").write_bytes(b"not an image")
    done = vsbench("evaluate", "--all")
    assert done.returncode == 1
    assert "test_s1_0.png" in done.stderr
    assert (tmp_path / "results/runs/folder-er/cut+cpu/seed-0/evaluation/native/summary.json").is_file()


def test_damaged_run_folder(vsbench: Command, pairs: Path, tmp_path: Path) -> None:
    where = ("train", "cut", "--dataset", "folder", "--stain", "er", "--data-root", pairs, *QUICK)
    assert vsbench(*where).returncode == 0
    run = tmp_path / "results/runs/folder-er/cut+cpu/seed-0"
    weights = next((run / "checkpoints").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    done = vsbench("evaluate", "--all")
    assert done.returncode == 1
    assert "weights" in done.stderr
    (run / "run.json").write_text("{")
    done = vsbench("evaluate", "--all")
    assert done.returncode == 1
    assert "run.json" in done.stderr


@pytest.mark.parametrize("image", ["real", "he", "truth"])
@pytest.mark.parametrize("name", OF_PIXELS)
def test_constant_images_give_numbers_or_reasons(name: str, image: str) -> None:
    """One image of a set, and all of them, white or grey; the generated ones are in the checks of every metric."""
    for level in (255, 200):
        samples = [replace(s, **{image: np.full_like(s.real, level)}) for s in stained_samples()]
        metric = load("vsbench.metrics", name)()
        assert_honest(metric, evaluate(metric, samples))
        assert_honest(metric, evaluate(metric, [samples[0], *stained_samples()[1:]]))


def test_one_image_gives_numbers_or_reasons(pairs: Path) -> None:
    he, ihc = (pairs / side / "test" / "test_s1_0.png" for side in ("he", "ihc"))
    metrics: dict[str, Metric] = {name: load("vsbench.metrics", name)() for name in OF_PIXELS}
    one = Pair("test_s1_0", he, ihc, None, "test", {"stain": "er"}, ihc)
    measured = measure([one], {"row": reader({one.id: he})}, metrics)["row"]
    assert isinstance(measured, Measured)
    for name, value in set_values(metrics, measured).items():
        assert value != Absent("undefined on these images"), f"{name} is NaN, and nobody says why"


def outside(vsbench: Command, pairs: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    """Measures copies of the real IHC as images made elsewhere."""
    what = ("--images", pairs / "outside", "--name", "copy", "--dataset", "folder", "--stain", "er")
    return vsbench("evaluate", *what, "--data-root", pairs, *more)


def spoil(folder: Path) -> dict[str, str]:
    """Two bad images of three; gives a word of the refusal by stem."""
    whole = (folder / "test_s1_0.png").read_bytes()
    (folder / "test_s1_0.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (32, 64)).save(folder / "test_s1_1.png")
    return {"test_s1_0": "damaged", "test_s1_1": "64×32"}


def test_bad_images_made_elsewhere_stop_or_are_skipped_and_listed(vsbench: Command, pairs: Path) -> None:
    shutil.copytree(pairs / "ihc/test", pairs / "outside")
    expected = spoil(pairs / "outside")
    done = outside(vsbench, pairs)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {pairs / 'outside' / 'test_s1_0.png'}: damaged")
    assert done.stderr.count("\n") == 1, done.stderr
    rows = pairs.parent / "results/runs/folder-er"
    assert (rows / "he/reference/evaluation/native/summary.json").is_file(), "the other rows are measured"

    done = outside(vsbench, pairs, "--on-bad", "skip")
    assert done.returncode == 0, done.stderr
    summary = json.loads((rows / "copy/external/evaluation/native/summary.json").read_text())
    assert summary["skipped"].keys() == expected.keys()
    assert all(word in summary["skipped"][stem] for stem, word in expected.items())
    assert summary["n"] == 1
    assert summary["values"]["ssim"]["value"] == 1


def test_two_images_of_one_name_made_elsewhere(vsbench: Command, pairs: Path) -> None:
    shutil.copytree(pairs / "ihc/test", pairs / "outside")
    shutil.copy(pairs / "outside/test_s1_0.png", pairs / "outside/test_s1_0.jpg")
    done = outside(vsbench, pairs)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "test_s1_0.jpg has the same stem" in done.stderr


def test_another_size_enters_the_protocol(vsbench: Command, pairs: Path) -> None:
    (pairs / "outside").mkdir()
    for path in (pairs / "ihc/test").iterdir():
        Image.open(path).resize((32, 32)).save(pairs / "outside" / f"{path.stem}_fake_B.png")
    done = outside(vsbench, pairs, "--suffix", "_fake_B", "--resize", "bicubic")
    assert done.returncode == 0, done.stderr
    folder = pairs.parent / "results/runs/folder-er/copy/external/evaluation"
    assert [path.name for path in folder.iterdir()] == ["resize-bicubic"]


def test_no_test_image(vsbench: Command, pairs: Path) -> None:
    shutil.copytree(pairs / "ihc/test", pairs / "outside")
    for path in (pairs / "he/test").iterdir():
        path.unlink()
    done = outside(vsbench, pairs)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {pairs / 'he/test'}: holds no image")
    assert done.stderr.count("\n") == 1, done.stderr
