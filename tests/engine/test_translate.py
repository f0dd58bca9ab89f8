"""Whole images of any size: padded for the network, cut back, written losslessly."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.optim import Optimizer

from vsbench.data.tensors import to_images, to_tensor
from vsbench.engine.translate import translate_files, translate_image
from vsbench.errors import DataError
from vsbench.method import Batch, Method, MethodConfig, Phase

CPU = torch.device("cpu")
Build = Callable[..., Method[Any]]


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
    method, he = build(name).eval(), picture(24, 40)
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
