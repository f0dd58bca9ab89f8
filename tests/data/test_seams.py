"""Seams in PNG files: what is written comes back, and what others wrote there is no seam."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vsbench.data.decode import read_rgb
from vsbench.data.seams import KEY, Seams, read_seams

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


@pytest.mark.parametrize("seams", [Seams((20,), (10, 49)), Seams((1,), ()), Seams((), (25,))])
def test_what_is_written_comes_back_beside_the_same_pixels(tmp_path: Path, seams: Seams) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(file, pnginfo=seams.text())
    assert read_seams(file) == seams
    np.testing.assert_array_equal(read_rgb(file), PIXELS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rows ; columns ",
        "rows 40; columns ",
        "rows 0; columns 3",
        "rows x; columns 3",
        "rows 1e3; columns 2",
        "9" * 99,
    ],
)
def test_what_is_no_place_in_the_image_is_no_seam(tmp_path: Path, text: str) -> None:
    info = PngInfo()
    info.add_text(KEY, text)
    Image.fromarray(PIXELS).save(tmp_path / "a.png", pnginfo=info)
    assert read_seams(tmp_path / "a.png") is None


def test_files_that_tell_of_none_have_none(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg")
    (tmp_path / "b.png").write_bytes(b"no image")
    info = PngInfo()
    info.add_text(KEY, "rows 1" * 2_000_000, zip=True)  # more than Pillow unpacks
    Image.fromarray(PIXELS).save(tmp_path / "c.png", pnginfo=info)
    assert [read_seams(tmp_path / name) for name in ("a.png", "a.jpg", "b.png", "c.png", "missing.png")] == [None] * 5
