"""``vsbench measure`` on images that Fiji has measured."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from vsbench.cli.measure import measure
from vsbench.errors import DataError, UserError
from vsbench.evaluation.measure import measure_image

COLUMNS = ["file", "width", "height", "intden", "mean_od", "positive_area"]
app = typer.Typer()
app.command()(measure)


@pytest.fixture
def oracle(shared: Path) -> dict[Path, dict[str, str]]:
    """Two of Fiji's images, with what Fiji said of them."""
    folder = shared / "oracles" / "fiji"
    with (folder / "oracle.csv").open() as file:
        rows = {row["filename"]: row for row in csv.DictReader(file)}
    return {folder / "images" / name: rows[name] for name in ("skimage_ihc.png", "hdab_grid.png")}


@pytest.fixture
def yellow(tmp_path: Path) -> Path:
    """Two pixels of no DAB and six of the densest there is."""
    pixels = np.full((2, 4, 3), (255, 255, 0), np.uint8)
    pixels[0, :2] = 255
    Image.fromarray(pixels).save(tmp_path / "yellow.png")
    return tmp_path / "yellow.png"


def test_json_holds_what_fiji_measured(oracle: dict[Path, dict[str, str]]) -> None:
    result = CliRunner().invoke(app, ["--json", *map(str, oracle)])
    assert result.exit_code == 0
    for found, (path, row) in zip(json.loads(result.stdout), oracle.items(), strict=True):
        assert list(found) == COLUMNS
        assert found["file"] == str(path)
        assert (found["width"], found["height"]) == (int(row["width"]), int(row["height"]))
        assert found["intden"] == pytest.approx(float(row["IntDen"]), rel=1e-9)
        assert found["mean_od"] == pytest.approx(float(row["Mean"]), rel=1e-9)
        assert found["positive_area"] == pytest.approx(float(row["lim_Area"]) / float(row["Area"]), rel=1e-9)


def test_known_pixels(yellow: Path) -> None:
    found = measure_image(yellow)
    assert (found.width, found.height) == (4, 2)
    assert found.intden == pytest.approx(6 * np.log10(510), rel=1e-6)
    assert found.mean_od == pytest.approx(found.intden / 8)
    assert found.positive_area == 6 / 8


def test_csv_holds_the_same_as_json(yellow: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "density.csv"
    result = CliRunner().invoke(app, ["--json", "--csv", str(target), str(yellow), str(yellow)])
    assert result.exit_code == 0
    with target.open() as file:
        rows = list(csv.DictReader(file))
    assert [[float(row[column]) for column in COLUMNS[1:]] for row in rows] == [
        [found[column] for column in COLUMNS[1:]] for found in json.loads(result.stdout)
    ]
    assert [path.name for path in target.parent.iterdir()] == ["density.csv"]


def test_table_names_the_columns(yellow: Path) -> None:
    result = CliRunner().invoke(app, [str(yellow)])
    assert result.exit_code == 0
    header, row = result.stdout.strip().splitlines()
    assert header.split() == COLUMNS
    assert row.split()[1:] == ["4", "2", "16.25", "2.03068", "0.7500"]


def test_bad_images_are_named_and_the_others_measured(yellow: Path, tmp_path: Path) -> None:
    grey, empty = tmp_path / "grey.png", tmp_path / "empty.png"
    Image.new("L", (4, 4)).save(grey)
    empty.touch()
    result = CliRunner().invoke(app, ["--json", str(grey), str(yellow), str(empty)])
    assert [found["file"] for found in json.loads(result.stdout)] == [str(yellow)]
    assert isinstance(result.exception, DataError)
    assert str(empty) in str(result.exception)
    (line,) = result.stderr.splitlines()
    assert str(grey) in line


def test_nothing_is_written_when_nothing_was_measured(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--csv", str(tmp_path / "a.csv"), str(tmp_path / "none.png")])
    assert isinstance(result.exception, DataError)
    assert list(tmp_path.iterdir()) == []


def test_a_csv_file_that_cannot_be_written_is_named(yellow: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--csv", str(tmp_path), str(yellow)])
    assert isinstance(result.exception, UserError)
    assert str(tmp_path) in str(result.exception)


def test_listing_and_measuring_import_no_torch(yellow: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from vsbench import registry; "
        "assert len(registry.load_all('vsbench.metrics')[0]) >= 7; "
        "from vsbench.evaluation.measure import measure_image; measure_image(Path(sys.argv[1])); "
        "print([m for m in ('torch', 'skimage', 'scipy', 'lpips') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(yellow)], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "[]"
