"""What headers tell of training images before the first step."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vsbench.data.headers import require_trainable
from vsbench.data.pairs import Pair
from vsbench.errors import DataError

Make = Callable[..., Pair]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """``make("a", he=(40, 44), suffix=".jpg")``: a pair of noise of these heights and widths."""

    def make(
        name: str, he: tuple[int, int] = (40, 44), ihc: tuple[int, int] | None = None, suffix: str = ".png"
    ) -> Pair:
        files = []
        for side, size in (("he", he), ("ihc", ihc or he)):
            (tmp_path / side).mkdir(exist_ok=True)
            file = tmp_path / side / f"{name}{suffix}"
            Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)).save(file)
            files.append(file)
        return Pair(name, files[0], files[1], None, "train")

    return make


def test_sound_tiles_of_several_sizes_pass(make: Make) -> None:
    require_trainable([make("a"), make("b", (64, 40)), make("c", suffix=".jpg")], [make("d", (8, 8))], 40, True)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
def test_a_tile_smaller_than_the_crop_is_named_unless_tiles_are_resized(make: Make, suffix: str) -> None:
    pairs = [make("a"), make("edge", (40, 30), suffix=suffix)]
    with pytest.raises(DataError, match=rf"edge\{suffix}: 40×30 pixels hold no crop of 40"):
        require_trainable(pairs, [], 40, True)
    require_trainable(pairs, [], 0, True)


def test_partners_of_two_sizes_are_named_where_they_are_cut_alike(make: Make) -> None:
    pairs = [make("a"), make("b", (40, 44), (44, 44))]
    with pytest.raises(DataError, match=r"ihc/b\.png: 44×44 pixels, but .*he/b\.png has 40×44"):
        require_trainable(pairs, [], 40, True)
    require_trainable(pairs, [], 40, False)
    with pytest.raises(DataError, match=r"ihc/b\.png: 44×44"):
        require_trainable(pairs[:1], pairs[1:], 40, False)


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "empty"), (b"<html></html>", "no image that can be read"), (b"\x89PNG\r\n\x1a\n\0\0", "damaged|no image")],
)
def test_what_is_no_image_is_named(make: Make, content: bytes, why: str) -> None:
    pair = make("a")
    pair.ihc.write_bytes(content)
    with pytest.raises(DataError, match=rf"ihc/a\.png: .*({why})"):
        require_trainable([pair], [], 0, False)


def test_a_grey_tile_is_named(make: Make) -> None:
    pair = make("a")
    Image.new("L", (44, 40)).save(pair.he)
    with pytest.raises(DataError, match=r"he/a\.png: grey image"):
        require_trainable([pair], [], 0, True)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_an_image_cut_short_is_named(make: Make, suffix: str, share: float) -> None:
    pair = make("a", suffix=suffix)
    content = pair.he.read_bytes()
    pair.he.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=rf"he/a\{suffix}: damaged image \("):
        require_trainable([pair], [], 0, True)


def test_one_fault_hides_no_other(make: Make) -> None:
    pairs = [make(name, (8, 8)) for name in "abc"]
    pairs[1].he.unlink()
    with pytest.raises(DataError, match=r"he/b\.png: .*not fit to train on either: .* and 2 more") as caught:
        require_trainable(pairs, [], 40, True)
    assert "\n" not in str(caught.value)
