"""The tiles of a page put together again are the slide; what is white takes no room; nothing is written twice."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vsbench.slides import deep_zoom
from vsbench.slides.alignment import Alignment, same_frame
from vsbench.slides.deep_zoom import OVERLAP, TILE, Levels, write_tiles
from vsbench.slides.overlay import Overlay
from vsbench.slides.reading import open_slide

Make = Callable[..., Any]


def together(folder: Path, levels: Levels, level: int, tiles: list[str]) -> Any:
    """A level from its tiles, white where there is none."""
    height, width = levels.size(level)
    image = np.full((height, width, 3), 255, np.uint8)
    for row, there in enumerate(tiles):
        for column, one in enumerate(there):
            file = folder / str(level) / f"{column}_{row}.jpg"
            assert file.exists() == (one == "1")
            if one == "1":
                tile = np.asarray(Image.open(BytesIO(file.read_bytes())))
                top, left = (max(0, place * TILE - OVERLAP) for place in (row, column))
                image[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return image


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_levels_are_those_of_deep_zoom() -> None:
    assert Levels.of(1100, 700) == Levels(1100, 700, 1, 9, 11)
    assert [Levels.of(1100, 700).size(level) for level in (9, 10, 11)] == [(275, 175), (550, 350), (1100, 700)]
    assert Levels.of(100, 512) == Levels(100, 512, 1, 9, 9)
    large = Levels.of(40_000, 20_001)
    assert (large.height, large.width, large.scale) == (5000, 2501, 8)


def test_tiles_put_together_are_the_slide(tmp_path: Path, tissue: Make, write: Make) -> None:
    image = tissue(1100, 700)
    image[np.abs(image.astype(int) - 244).max(axis=2) == 0] = 255
    levels = Levels.of(1100, 700)
    with open_slide(write(tmp_path / "s.tif", image)) as slide:
        overlay = Overlay(slide, same_frame(0.5, 0.5), 1.0)
        written = write_tiles(overlay, levels, tmp_path / "tiles")
        assert written.tiles == [["1"], ["1", "0"], ["11", "11", "00"]], "below is glass"
        assert written.count == 6
        whole = together(tmp_path / "tiles", levels, 11, written.tiles[-1])
        assert np.abs(whole.astype(int) - image).mean() < 3
        before = (tmp_path / "tiles/11/0_0.jpg").stat().st_mtime_ns
        assert write_tiles(overlay, levels, tmp_path / "tiles") == written
        assert (tmp_path / "tiles/11/0_0.jpg").stat().st_mtime_ns == before
        moved = Overlay(slide, Alignment(np.array([[1.0, 0, 0], [0, 1, 300], [0, 0, 1]])), 1.0)
        assert write_tiles(moved, levels, tmp_path / "tiles") != written


def test_a_killed_writer_begins_again(
    tmp_path: Path, tissue: Make, write: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = Levels.of(300, 300)
    with open_slide(write(tmp_path / "s.tif", tissue(300, 300))) as slide:
        overlay = Overlay(slide, same_frame(0.5, 0.5), 1.0)
        with monkeypatch.context() as patch:
            patch.setattr(deep_zoom, "write_json", killed)
            with pytest.raises(KeyboardInterrupt):
                write_tiles(overlay, levels, tmp_path / "tiles")
        (tmp_path / "tiles/9/0_0.jpg").write_bytes(b"half")
        assert write_tiles(overlay, levels, tmp_path / "tiles").bytes > 1000
        assert len((tmp_path / "tiles/9/0_0.jpg").read_bytes()) > 1000
