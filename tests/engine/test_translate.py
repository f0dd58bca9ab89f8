"""Whole images of any size: padded for the network, cut back, written losslessly."""

import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.optim import Optimizer

from vsbench.data.seams import Seams, read_seams
from vsbench.data.tensors import to_images, to_tensor
from vsbench.engine.checkpoint import save_weights
from vsbench.engine.tiles import Tiling
from vsbench.engine.translate import Translate, translate_files, translate_fitting, translate_image, translate_tiles
from vsbench.errors import DataError, RunError
from vsbench.method import Batch, Method, MethodConfig, Phase

CPU = torch.device("cpu")
Build = Callable[..., Method[Any]]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


class Negative(Method[MethodConfig]):
    """Turns colours around and keeps what it was shown; needs multiples of 16."""

    size_multiple = 16

    def __init__(self) -> None:
        super().__init__(MethodConfig())
        self.shown: list[Tensor] = []

    def optimizers(self) -> dict[str, Optimizer]:
        return {}

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        yield Phase((), {})

    def translate(self, he: Tensor) -> Tensor:
        self.shown.append(he)
        return -he


def picture(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(16, 32), (17, 31), (1, 1), (1, 40), (40, 1), (9, 15), (48, 5)])
def test_any_size_comes_back_pixel_by_pixel(size: tuple[int, int]) -> None:
    method, he = Negative(), picture(*size)
    np.testing.assert_array_equal(translate_image(method, he, CPU), 255 - he)
    (shown,) = method.shown
    assert shown.shape[2:] == tuple(-(-side // 16) * 16 for side in size)  # the next multiple, no more
    np.testing.assert_array_equal(to_images(shown)[0][: size[0], : size[1]], he)


def test_what_is_padded_is_the_reflection() -> None:
    method, he = Negative(), picture(20, 30)
    translate_image(method, he, CPU)
    np.testing.assert_array_equal(to_images(method.shown[0])[0], np.pad(he, ((0, 12), (0, 2), (0, 0)), "reflect"))


def test_what_is_too_small_to_reflect_is_repeated() -> None:
    method, he = Negative(), picture(20, 3)  # the rows are not
    translate_image(method, he, CPU)
    np.testing.assert_array_equal(
        to_images(method.shown[0])[0],
        np.pad(np.pad(he, ((0, 12), (0, 0), (0, 0)), "reflect"), ((0, 0), (0, 13), (0, 0)), "edge"),
    )


def test_a_fitting_size_is_translated_as_it_is(build: Build, name: str) -> None:
    method = build(name).eval()
    side = method.size_multiple * -(-8 // method.size_multiple)
    he = picture(3 * side, 5 * side)
    with torch.inference_mode():
        (expected,) = to_images(method.translate(to_tensor([he])))
    np.testing.assert_array_equal(translate_image(method, he, CPU), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (4, 4), (5, 8), (33, 47)])
def test_every_method_takes_every_size(build: Build, name: str, size: tuple[int, int]) -> None:
    assert translate_image(build(name).eval(), picture(*size), CPU).shape == (*size, 3)


def test_files(build: Build, tmp_path: Path) -> None:
    method, sizes = build("cut"), [(24, 24), (25, 31)]  # in training mode still
    sources = [tmp_path / f"{height}.png" for height, _ in sizes]
    for source, size in zip(sources, sizes, strict=True):
        Image.fromarray(picture(*size)).save(source)
    targets = [tmp_path / "new" / "folder" / source.name for source in sources]
    done: list[Path] = []
    translate_files(method, zip(sources, targets, strict=True), CPU, done.append)
    assert done == targets == sorted(targets[0].parent.iterdir())  # and no temporary file
    for target, size in zip(targets, sizes, strict=True):
        with Image.open(target) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", size[::-1])
            pixels = np.asarray(image)
        np.testing.assert_array_equal(pixels, translate_image(method.eval(), picture(*size), CPU))


def test_the_file_of_a_stitched_image_tells_where(tmp_path: Path) -> None:
    files = [(tmp_path / f"{side}.png", tmp_path / "out" / f"{side}.png") for side in (48, 16)]
    for source, _ in files:
        Image.fromarray(picture(int(source.stem), 16)).save(source)
    seams: list[Seams] = []
    translate = partial(translate_tiles, tiling=Tiling(32, 0, 16), stitched=seams.append)
    translate_files(Negative(), files, CPU, translate=translate, seams=lambda: seams.pop() if seams else None)
    assert [read_seams(target) for _, target in files] == [Seams(rows=(24,)), None]


def test_an_interrupted_write_leaves_the_old_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "he.png", tmp_path / "out" / "ihc.png"
    Image.fromarray(picture(16, 16)).save(source)
    translate_files(Negative(), [(source, target)], CPU)
    before = target.read_bytes()

    def disk_full(image: Image.Image, path: Path, **_: object) -> None:
        path.write_bytes(before[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", disk_full)
    with pytest.raises(OSError, match="No space"):
        translate_files(Negative(), [(source, target)], CPU)
    assert list(target.parent.iterdir()) == [target]
    assert target.read_bytes() == before


def test_a_bad_image_is_named_and_the_ones_before_it_stay(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.fromarray(picture(16, 16)).save(good)
    bad.write_bytes(good.read_bytes()[:50])
    with pytest.raises(DataError, match=r"bad\.png"):
        translate_files(Negative(), [(path, tmp_path / "out" / path.name) for path in (good, bad)], CPU)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]


class NotFinite(Negative):
    """What comes out of overflowing activations."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def translate(self, he: Tensor) -> Tensor:
        fake = -he
        fake[..., -1, -1] = self.value
        return fake


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_becomes_no_image(value: float, tmp_path: Path) -> None:
    method, source = NotFinite(value), tmp_path / "he.png"
    Image.fromarray(picture(64, 64)).save(source)
    ways: list[Translate] = [translate_image, translate_fitting, partial(translate_tiles, tiling=Tiling(32, 8, 16))]
    for translate in ways:
        with pytest.raises(RunError, match=r"he\.png: the output of NotFinite is not finite"):
            translate_files(method, [(source, tmp_path / "out" / "ihc.png")], CPU, translate=translate)
    assert not (tmp_path / "out").exists()


def test_bad_images_may_be_passed_over(tmp_path: Path) -> None:
    good, bad, last = (tmp_path / f"{name}.png" for name in ("a", "b", "c"))
    for path in (good, last):
        Image.fromarray(picture(16, 16)).save(path)
    bad.write_bytes(good.read_bytes()[:50])
    told: list[str] = []
    files = [(path, tmp_path / "out" / path.name) for path in (good, bad, last)]
    translate_files(Negative(), files, CPU, bad=lambda error: told.append(str(error)))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    assert len(told) == 1
    assert str(bad) in told[0]


@pytest.fixture
def weights(build: Build, tmp_path: Path) -> Path:
    save_weights(tmp_path / "cut.safetensors", "cut", build("cut"))
    return tmp_path / "cut.safetensors"


@pytest.fixture
def he(tmp_path: Path) -> Path:
    """A folder of three images, the second of them bad."""
    folder = tmp_path / "he"
    folder.mkdir()
    for name in ("a.png", "b.jpg", "c.png"):
        Image.fromarray(picture(24, 24)).save(folder / name)
    (folder / "b.jpg").write_bytes(b"no image")
    return folder


def test_a_folder_goes_on_after_a_bad_image(vsbench: Command, weights: Path, he: Path, tmp_path: Path) -> None:
    stopped = vsbench("translate", weights, he, "out")
    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert "b.jpg: " in stopped.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
    before = (tmp_path / "out" / "a.png").stat().st_mtime_ns
    again = vsbench("translate", weights, he, "out")
    assert again.returncode == 1
    assert "out/a.png: exists already (1 such files); add --skip-existing to go on" in again.stderr
    done = vsbench("translate", weights, he, "out", "--skip-existing", "--on-bad", "skip")
    assert (done.returncode, done.stdout) == (0, "1 images, 1 there already, 1 skipped: out\n")
    assert done.stderr.startswith("skipped: ")
    assert "b.jpg: " in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    assert (tmp_path / "out" / "a.png").stat().st_mtime_ns == before


def test_where_every_image_is_bad_nothing_was_done(vsbench: Command, weights: Path, he: Path, tmp_path: Path) -> None:
    done = vsbench("translate", weights, he / "b.jpg", "out.png", "--on-bad", "skip")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no image could be translated" in done.stderr
    assert not (tmp_path / "out.png").exists()


def test_out_is_what_was_given_or_refused(vsbench: Command, weights: Path, he: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(he)
    before = {path: path.read_bytes() for path in he.iterdir()}
    for source, out, reason in (
        (he, he, "IN and OUT are one folder"),
        (he, "link", "IN and OUT are one folder"),
        (he / "a.png", he / "a.png", "IN and OUT are one file"),
        (he / "a.png", "link", "IN and OUT are one file"),
        (he / "a.png", "out.jpg", "PNG is written"),
        (he / "a.png", "out.v2", "PNG is written"),
        (he / "a.png", "out", "PNG is written"),
        (he, weights, "a file, and"),
        ("none", "out", "none: no such file or folder; give an H&E"),
        ("none", "out.png", "none: no such file or folder; give an H&E"),
    ):
        refused = vsbench("translate", weights, source, out, "--overwrite")
        assert (refused.returncode, refused.stdout) == (2, ""), (source, out)
        assert reason in refused.stderr
    assert {path: path.read_bytes() for path in he.iterdir()} == before
    assert not list(tmp_path.glob("out*"))
    both = vsbench("translate", weights, he, "out", "--overwrite", "--skip-existing")
    assert both.returncode == 2
    (tmp_path / "there").mkdir()
    for out, written in (("ihc.v2.png", "ihc.v2.png"), ("there", "there/a.png")):
        done = vsbench("translate", weights, he / "a.png", out)
        assert done.stdout == f"1 images: {written}\n"
        assert (tmp_path / written).is_file()
