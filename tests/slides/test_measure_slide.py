"""The DAB of a slide is that of its tissue's pixels, by Fiji's tables, however it is cut up to be read."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vsbench.data.decode import read_rgb
from vsbench.errors import DataError
from vsbench.slides import measure as module
from vsbench.slides.measure import measure_slide
from vsbench.slides.reading import open_slide
from vsbench.slides.tissue import find_tissue
from vsbench.stain.dab import measure_density

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_slide_is_measured_as_its_tissue_is(disc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TILE", 256)
    found = measure_slide(disc, picture=tmp_path / "map.png")
    with open_slide(disc) as slide:
        image, tissue = slide.region(0, 0, 0, 1100, 700), find_tissue(slide)
    y, x = (np.minimum((np.arange(n) + 0.5) / tissue.scale, most - 1).astype(int) for n, most in
            zip((1100, 700), tissue.mask.shape, strict=True))  # fmt: skip
    inside = tissue.mask[np.ix_(y, x)]
    wanted = measure_density(image[inside][None])
    assert found.intden == pytest.approx(wanted.intden, rel=1e-12)
    assert found.positive_area == wanted.positive_area
    assert found.tissue_mm2 == pytest.approx(inside.sum() * 0.25e-6)
    assert found.intden_mm2 == pytest.approx(found.intden / found.tissue_mm2)
    assert sum(tile.intden for tile in found.tiles) == pytest.approx(found.intden)
    assert len(found.tiles) > 4
    drawn = read_rgb(tmp_path / "map.png")
    assert drawn.shape == (550, 350, 3)
    assert (drawn[0, 0] == 255).all()
    assert drawn[275, 175, 2] < 250


def test_the_command_tells_slides_from_images(vsbench: Command, disc: Path, tmp_path: Path) -> None:
    ran = vsbench("measure", disc, "--slide", "--json", "--csv", "tiles.csv", "--map", "map.png")
    assert ran.returncode == 0, ran.stderr
    (row,) = json.loads(ran.stdout)
    assert row["pixel_size"] == 0.5
    head, *lines = (tmp_path / "tiles.csv").read_text().splitlines()
    assert head == "x,y,tissue_mm2,intden,mean_od,positive_area"
    assert len(lines) == row["tiles"]
    assert (tmp_path / "map.png").exists()
    for arguments, reason in (
        ((disc, "--map", "m.png"), "--map: of a whole slide; add --slide"),
        ((disc, "a.svs"), "images and slides do not go into one table"),
        ((disc, disc, "--slide", "--csv", "t.csv"), "--csv and --map are of one slide"),
        ((disc, "--slide", "--csv", "t", "--map", "t"), "--csv and --map are one file"),
    ):
        refused = vsbench("measure", *arguments)
        assert (refused.returncode, reason in refused.stderr) == (2, True)


def test_what_has_no_mm2_or_no_tissue_is_said(tmp_path: Path, write: Callable[..., Any]) -> None:
    glass = np.full((600, 600, 3), 245, np.uint8)
    with pytest.raises(DataError, match="shows no tissue"):
        measure_slide(write(tmp_path / "glass.tif", glass))
    with pytest.raises(DataError, match="how many µm a pixel"):
        measure_slide(write(tmp_path / "untold.tif", glass, None))
