"""What is positive, as QuPath reads it: each area and nucleus once, where it lies."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vsbench.slides import positive as module
from vsbench.slides.positive import write_positive

Make = Callable[..., Any]
BROWN, BLUE, GLASS = (110, 60, 30), (110, 110, 180), 245


def painted(spots: list[tuple[int, int, int, tuple[int, int, int]]]) -> Any:
    """Discs (y, x, radius, colour) on glass."""
    image = np.full((600, 700, 3), GLASS, np.uint8)
    y, x = np.mgrid[:600, :700]
    for row, column, radius, colour in spots:
        image[np.hypot(y - row, x - column) <= radius] = colour
    return image


@pytest.mark.parametrize("block", [1024, 256], ids=["in one block", "over borders of blocks"])
def test_each_nucleus_and_area_is_written_once(
    tmp_path: Path, write: Make, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    small = [(100, 100, 7, BROWN), (255, 300, 7, BLUE), (400, 256, 7, BROWN), (512, 512, 7, BLUE), (30, 650, 7, BLUE)]
    image = painted([*small, (256, 500, 40, BROWN)])
    assert write_positive(write(tmp_path / "s.tif", image), tmp_path / "s.geojson")[0] >= 1
    features = json.loads((tmp_path / "s.geojson").read_text())["features"]
    by_kind: dict[str, list[Any]] = {"detection": [], "annotation": []}
    for feature in features:
        corners = np.array(feature["geometry"]["coordinates"][0])
        assert (corners[0] == corners[-1]).all()
        by_kind[feature["properties"]["objectType"]].append((corners, feature["properties"]))
    for row, column, radius, colour in small:
        near = [
            (corners, properties)
            for corners, properties in by_kind["detection"]
            if np.hypot(*(corners[:-1].mean(axis=0) - (column + 0.5, row + 0.5))) < 3
        ]
        assert len(near) == 1
        corners, properties = near[0]
        assert properties["classification"]["name"] == ("Positive" if colour == BROWN else "Negative")
        assert np.ptp(corners[:, 0]) == pytest.approx(2 * radius, abs=4)
    (area,) = (p for c, p in by_kind["annotation"] if np.hypot(*(c.mean(axis=0) - (500.5, 256.5))) < 10)
    assert area["measurements"]["Area µm^2"] == pytest.approx(np.pi * 40**2 / 4, rel=0.15)


def test_holes_of_an_area_are_holes(tmp_path: Path, write: Make) -> None:
    image = painted([(300, 300, 80, BROWN), (300, 300, 40, (GLASS,) * 3)])
    write_positive(write(tmp_path / "s.tif", image), tmp_path / "s.geojson")
    features = json.loads((tmp_path / "s.geojson").read_text())["features"]
    (area,) = (f for f in features if f["properties"]["objectType"] == "annotation")
    outer, hole = (np.array(ring) for ring in area["geometry"]["coordinates"])
    assert np.ptp(outer[:, 0]) == pytest.approx(160, abs=20)
    assert np.ptp(hole[:, 0]) == pytest.approx(80, abs=20)


def test_a_slide_without_stain_has_none(tmp_path: Path, write: Make) -> None:
    assert write_positive(write(tmp_path / "s.tif", painted([])), tmp_path / "s.geojson") == (0, 0, 0)
    assert json.loads((tmp_path / "s.geojson").read_text()) == {"type": "FeatureCollection", "features": []}
