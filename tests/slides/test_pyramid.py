"""What is written is read by those who must read it, and is never half there."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile

from vsbench.errors import RunError, UsageError
from vsbench.slides.pyramid import Format, Pyramid, is_ome, part_folder
from vsbench.slides.reading import open_slide

SIZE = (700, 1100)
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def image(tissue: Make) -> Any:
    return tissue(*SIZE)


OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"


def test_openslide_reads_a_plain_pyramid_with_all_its_levels(tmp_path: Path, image: Any, write: Make) -> None:
    with openslide.OpenSlide(write(tmp_path / "s.tif", image, 0.5)) as slide:
        assert slide.level_dimensions == ((1100, 700), (550, 350), (275, 175))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5, rel=1e-4)
        finest, coarser = (np.asarray(slide.read_region((0, 0), n, (1100 >> n, 700 >> n)))[..., :3] for n in (0, 1))
    np.testing.assert_array_equal(finest, image)
    half = image.reshape(350, 2, 550, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(coarser, half, atol=0.51)


def test_tifffile_reads_an_ome_tiff_with_all_its_levels(tmp_path: Path, image: Any, write: Make) -> None:
    with tifffile.TiffFile(write(tmp_path / "s.ome.tif", image, 0.25)) as tiff:
        levels = tiff.series[0].levels
        assert [level.shape for level in levels] == [(700, 1100, 3), (350, 550, 3), (175, 275, 3)]
        assert {level.keyframe.tile for level in levels} == {(512, 512)}
        np.testing.assert_array_equal(levels[0].asarray(), image)
        pixels = ElementTree.fromstring(tiff.ome_metadata or "").find(f"{OME}Image/{OME}Pixels")
    assert pixels is not None
    wanted = {"SizeX": "1100", "SizeY": "700", "SizeC": "3", "PhysicalSizeX": "0.25", "PhysicalSizeYUnit": "µm"}
    assert {key: pixels.get(key) for key in wanted} == wanted
    assert [channel.get("SamplesPerPixel") for channel in pixels.findall(f"{OME}Channel")] == ["3"]


@pytest.mark.parametrize("ending", [".tif", ".ome.tif"])
def test_jpeg_changes_colours_little(tmp_path: Path, ending: str, image: Any, write: Make) -> None:
    file = write(tmp_path / f"s{ending}", image, quality=90)
    with open_slide(file) as slide:
        differs = np.abs(slide.region(0, 0, 0, 700, 1100).astype(int) - image)
    assert differs.mean() < 1
    assert file.stat().st_size < image.nbytes / 15


def test_equal_pixels_make_equal_bytes(tmp_path: Path, image: Any, write: Make) -> None:
    first, second = (write(tmp_path / f"{name}" / "s.ome.tif", image, quality=90) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    other = write(tmp_path / "c" / "s.ome.tif", image[::-1], quality=90)
    identifiers = set()
    for file in (first, second, other):
        with tifffile.TiffFile(file) as tiff:
            identifiers.add((tiff.ome_metadata or "").split("uuid:")[1][:36])
    assert len(identifiers) == 2


def test_an_unfinished_slide_is_none_and_goes_on(tmp_path: Path, image: Any, write: Make) -> None:
    file = tmp_path / "s.tif"
    begun = Pyramid(file, Format(700, 1100, 0.5, None), {"of": 1})
    begun.append(0, image[:512])
    with pytest.raises(RunError, match="1 of 2 strips"):
        begun.finish()
    assert not file.exists()
    again = Pyramid(file, Format(700, 1100, 0.5, None), {"of": 1})
    assert again.done == 1
    again.append(1, image[512:])
    again.finish()
    assert file.read_bytes() == write(tmp_path / "whole" / "s.tif", image).read_bytes()
    assert not part_folder(file).exists()


def test_strips_of_something_else_are_not_gone_on_with(tmp_path: Path, image: Any) -> None:
    file, form = tmp_path / "s.tif", Format(700, 1100, 0.5, None)
    Pyramid(file, form, {"of": 1}).append(0, image[:512])
    for plan, other in (({"of": 2}, form), ({"of": 1}, Format(700, 1100, 0.5, 90))):
        with pytest.raises(RunError, match="other settings"):
            Pyramid(file, other, plan)
    (part_folder(file) / "plan.json").unlink()
    with pytest.raises(RunError, match="other settings"):
        Pyramid(file, form, {"of": 1})


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "s.tif"
    part_folder(file).mkdir()
    for name in (".lock", "notes.txt"):
        (part_folder(file) / name).write_text("mine")
    with pytest.raises(RunError, match="not by vsbench"):
        Pyramid(file, Format(100, 100, 0.5), {})
    assert (part_folder(file) / "notes.txt").read_text() == "mine"


def test_a_damaged_strip_makes_no_slide(tmp_path: Path, image: Any) -> None:
    file = tmp_path / "s.tif"
    pyramid = Pyramid(file, Format(500, 500, 0.5, None), {})
    pyramid.append(0, image[:500, :500])
    strip = part_folder(file) / "level-0" / "000000.tiles"
    strip.write_bytes(strip.read_bytes()[:-1])
    with pytest.raises(RunError, match="damaged"):
        pyramid.finish()
    assert not file.exists()


@pytest.mark.parametrize("name", ["s.png", "s", "tif", "s.ome.tif.part"])
def test_a_slide_has_a_slides_ending(name: str) -> None:
    with pytest.raises(UsageError, match=r"\.ome\.tif"):
        is_ome(Path(name))
