"""Nuclei outlined elsewhere: what the programs write is read, and what is damaged or something else is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vsbench.data.nuclei import read_nuclei
from vsbench.errors import DataError

SIZE = (40, 50)
IMAGE = Path("tile.png")
SQUARE = [[10, 5], [20, 5], [20, 15], [10, 15], [10, 5]]


def numbered() -> NDArray[np.uint16]:
    labels = np.zeros(SIZE, np.uint16)
    labels[3:9, 4:10], labels[20:30, 20:28], labels[31:35, 40:50] = 1, 700, 65_000
    return labels


def write_geojson(tmp_path: Path, content: object) -> Path:
    file = tmp_path / "tile.geojson"
    file.write_text(json.dumps(content))
    return file


def feature(*rings: object, kind: str = "Polygon", **others: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": list(rings)}, **others}


@pytest.mark.parametrize("name", ["tile.png", "tile.tif"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.int32])
def test_label_images_are_read_as_they_are(tmp_path: Path, name: str, depth: type[np.integer[Any]]) -> None:
    labels = (numbered() % 200).astype(depth)
    if depth is np.int32 and name.endswith("png"):
        pytest.skip("PNG has no 32 bits")
    Image.fromarray(labels).save(tmp_path / name)
    np.testing.assert_array_equal(read_nuclei(tmp_path / name, IMAGE, SIZE), labels)


def test_numbers_of_16_bits_are_kept(tmp_path: Path) -> None:
    for name in ("tile.png", "tile.tif"):
        Image.fromarray(numbered()).save(tmp_path / name)
        assert set(np.unique(read_nuclei(tmp_path / name, IMAGE, SIZE))) == {0, 1, 700, 65_000}


def test_polygons_are_nuclei_and_the_pixels_those_whose_middle_they_hold(tmp_path: Path) -> None:
    hole = [[13, 8], [17, 8], [17, 12], [13, 12], [13, 8]]
    shifted = [[x + 20, y + 10] for x, y in SQUARE]
    file = write_geojson(tmp_path, {"type": "FeatureCollection", "features": [feature(SQUARE, hole), feature(shifted)]})
    labels = read_nuclei(file, IMAGE, SIZE)
    assert set(np.unique(labels)) == {0, 1, 2}
    assert labels[10, 15] == 0  # in the hole
    assert labels[6, 12] == 1
    assert labels[20, 35] == 2
    assert 90 <= (labels == 2).sum() <= 121


def test_what_qupath_and_cellvit_write_is_understood(tmp_path: Path) -> None:
    """A list of features with cells, whose nuclei count and whose annotations don't; or one feature of many nuclei."""
    tissue = feature([[0, 0], [50, 0], [50, 40], [0, 40], [0, 0]], properties={"objectType": "annotation"})
    around = [[5, 0], [25, 0], [25, 20], [5, 20], [5, 0]]
    nucleus = {"type": "Polygon", "coordinates": [SQUARE]}
    cell = feature(around, properties={"objectType": "cell"}, nucleusGeometry=nucleus)
    labels = read_nuclei(write_geojson(tmp_path, [tissue, cell]), IMAGE, SIZE)
    assert set(np.unique(labels)) == {0, 1}
    assert (labels > 0).sum() <= 121
    many = feature([SQUARE], [[[x + 20, y + 10] for x, y in SQUARE]], kind="MultiPolygon")
    assert set(np.unique(read_nuclei(write_geojson(tmp_path, many), IMAGE, SIZE))) == {0, 1, 2}
    assert not read_nuclei(write_geojson(tmp_path, []), IMAGE, SIZE).any()


def test_a_nucleus_across_the_border_is_cut(tmp_path: Path) -> None:
    labels = read_nuclei(write_geojson(tmp_path, feature([[45, 30], [90, 30], [90, 90], [45, 90]])), IMAGE, SIZE)
    assert labels[35, 48] == 1
    assert (labels == 1).sum() == 10 * 5


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("{", "no GeoJSON"),
        ("7", "no features"),
        ("[7]", "no features"),
        ('{"features": 3}', "no features"),
        ("[" * 100_000, "nested too deeply"),
        ('{"type": "FeatureCollection"}', "no polygon"),
        ('[{"geometry": [1]}]', "no GeoJSON"),
        ('[{"type": "Point", "coordinates": [1, 2]}]', "is a Point"),
        ('[{"type": "Polygon", "coordinates": null}]', "three corners"),
        ('[{"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]}]', "three corners"),
        ('[{"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [5]]]}]', "no GeoJSON"),
        ('[{"type": "Polygon", "coordinates": [[[1, 2], [3, 4], ["a", 6]]]}]', "no GeoJSON"),
        ('[{"type": "Polygon", "coordinates": [[[1, 2], [3, 1e400], [4, 5]]]}]', "beyond any image"),
        ('[{"type": "Polygon", "coordinates": [[[0, 0], [1e300, 0], [0, 9]]]}]', "beyond any image"),
        ('[{"type": "Polygon", "coordinates": [[[60, 0], [70, 0], [70, 9]]]}]', "pixels of this image"),
        ("\x00", "no GeoJSON"),
    ],
)
def test_other_json_is_refused_by_name_in_one_line(tmp_path: Path, content: str, wrong: str) -> None:
    file = tmp_path / "tile.geojson"
    file.write_text(content)
    with pytest.raises(DataError) as refused:
        read_nuclei(file, IMAGE, SIZE)
    assert str(file) in str(refused.value)
    assert wrong in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400 + len(str(file))


def test_polygons_that_would_take_for_ever_are_refused(tmp_path: Path) -> None:
    side = 4000
    edge = [[x, 0] for x in range(side)] + [[side, side], [0, side]]  # 64 thousand million steps
    with pytest.raises(DataError, match="larger polygons than an image has nuclei"):
        read_nuclei(write_geojson(tmp_path, feature(edge)), IMAGE, (side, side))


def test_what_is_no_label_image_is_refused_by_name(tmp_path: Path) -> None:
    mask = np.zeros(SIZE, np.uint8)
    mask[::8, ::8] = 255
    cases: dict[str, tuple[Image.Image, str]] = {
        "mask": (Image.fromarray(mask), "a mask"),
        "binary": (Image.fromarray(mask).convert("1"), "black-and-white"),
        "colour": (Image.fromarray(np.zeros((*SIZE, 3), np.uint8)), "RGB image"),
        "palette": (Image.fromarray(mask).convert("P"), "palette"),
        "alpha": (Image.merge("LA", [Image.fromarray(mask)] * 2), "not plain grey"),
        "size": (Image.fromarray(numbered()[:-1]), "39×50"),
    }
    for name, (image, wrong) in cases.items():
        image.save(tmp_path / f"{name}.png")
        with pytest.raises(DataError, match=wrong) as refused:
            read_nuclei(tmp_path / f"{name}.png", IMAGE, SIZE)
        assert name in str(refused.value)
    Image.fromarray(numbered().astype(np.int32) - 1).save(tmp_path / "negative.tif")
    Image.fromarray(numbered().astype(np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(mask).save(tmp_path / "lossy.jpg")
    (tmp_path / "lossy.jpg").rename(tmp_path / "lossy.png")
    for name, wrong in (("negative.tif", "negative"), ("float.tif", "float image"), ("lossy.png", "not plain grey")):
        with pytest.raises(DataError, match=wrong):
            read_nuclei(tmp_path / name, IMAGE, SIZE)
    (tmp_path / "cut.png").write_bytes((tmp_path / "size.png").read_bytes()[:-20])
    (tmp_path / "empty.tif").touch()
    for name in ("cut.png", "empty.tif", "none.tif", "none.geojson"):
        with pytest.raises(DataError, match=name):
            read_nuclei(tmp_path / name, IMAGE, SIZE)
