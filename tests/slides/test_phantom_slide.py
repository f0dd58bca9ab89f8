"""The phantom as a slide: one specimen whatever the window, in a known pose, with its cells."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from vsbench import registry
from vsbench.errors import RunError
from vsbench.slides.phantom import write_phantom_slide
from vsbench.slides.pyramid import part_folder
from vsbench.slides.reading import open_slide

Make = Callable[..., Any]
QUIET = {"noise": 0.0, "delta": 0.0}  # the adjacent section is the same one
POSES = {
    "turned": {"rotation": 140.0, "shift": (12.0, -9.0), "scale": 0.95, "bend": 5.0},
    "mirrored": {"rotation": 20.0, "mirrored": True},
}


def specimen(stain: str = "ki67", side: int = 512, pose: dict[str, Any] | None = None, **options: Any) -> Any:
    phantom = registry.load("vsbench.datasets", "phantom").from_options(QUIET | options)
    return phantom.slide(stain, "S00", side, pose or {})


@pytest.fixture(scope="module")
def plain() -> Any:
    return specimen()


def test_a_pixel_is_the_same_in_any_window(plain: Any) -> None:
    for kind in ("he", "ihc", "truth"):
        whole = plain.window(kind, 150, 180, 160, 140)
        np.testing.assert_array_equal(plain.window(kind, 190, 200, 70, 90), whole[40:110, 20:110])


def test_the_squares_that_cells_are_placed_by_are_not_seen() -> None:
    """No gap, no crowd and no step across their border: it differs from the lines around it as these do."""
    he = specimen(side=1400).window("he", 412, 700, 200, 200).mean(axis=(1, 2))
    steps = np.abs(np.diff(he))
    assert steps[98:102].max() <= steps.max()
    assert he[95:105].mean() == pytest.approx(he.mean(), abs=2.5 * he.std())


def test_cells_keep_their_distance_across_squares() -> None:
    from scipy.spatial import cKDTree

    one = specimen(side=1400)
    cells = [one._cells(1, j) for j in (0, 1)]
    points = np.concatenate([table[["z", "y", "x"]].to_numpy() for table in cells])
    nearest = cKDTree(points).query(points, k=2)[0][:, 1]
    assert nearest.min() > 7.3  # of two lymphocytes or duct cells


@pytest.mark.parametrize("pose", POSES.values(), ids=POSES.keys())
def test_the_adjacent_section_lies_where_its_pose_says(plain: Any, pose: dict[str, Any]) -> None:
    posed = specimen(pose=pose)
    truth = plain.window("truth", 0, 0, 512, 512)
    shown = posed.window("ihc", 156, 156, 200, 200).astype(float)
    y, x = posed.pose.at(*np.mgrid[156:356, 156:356])
    wanted = np.stack([map_coordinates(truth[..., c].astype(float), [y, x], order=1) for c in range(3)], axis=-1)
    assert np.abs(shown - wanted).mean() < 3
    assert np.corrcoef(shown.ravel(), wanted.ravel())[0, 1] > 0.98


def test_the_he_is_of_no_stain_and_no_pose(plain: Any) -> None:
    other = specimen("her2", pose=POSES["turned"])
    window = (200, 200, 100, 100)
    np.testing.assert_array_equal(plain.window("he", *window), other.window("he", *window))
    assert not np.array_equal(plain.window("truth", *window), other.window("truth", *window))


def test_another_name_is_another_specimen(plain: Any) -> None:
    phantom = registry.load("vsbench.datasets", "phantom").from_options(QUIET)
    other = phantom.slide("ki67", "S01", 512, {})
    window = (200, 200, 100, 100)
    assert np.abs(plain.window("he", *window).astype(int) - other.window("he", *window)).mean() > 10


def test_positive_cells_are_brown_in_the_truth(plain: Any) -> None:
    truth = plain.window("truth", 0, 0, 512, 512).astype(float)
    blue = {True: [], False: []}
    for outline, kind, positive in plain.outlines():
        y, x = np.rint(outline.mean(axis=0)).astype(int)
        if kind == "tumour" and 0 <= y < 512 and 0 <= x < 512 and np.ptp(outline[:, 0]) > 10:
            blue[positive].append(truth[y, x, 2] - truth[y, x, 0])
    assert min(map(len, blue.values())) > 5
    assert np.median(blue[True]) < -30 < 0 < np.median(blue[False])


def test_files_hold_all_that_is_known_and_a_killed_writer_goes_on(tmp_path: Path) -> None:
    plan = {"of": "a test"}

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        write_phantom_slide(specimen(), tmp_path / "a", 0.5, plan, progress=stop)
    assert part_folder(tmp_path / "a" / "S00-he.ome.tif").exists()
    with pytest.raises(RunError, match="another slide of this name"):
        write_phantom_slide(specimen(), tmp_path / "a", 0.5, {"of": "another"})
    files = write_phantom_slide(specimen(), tmp_path / "a", 0.5, plan)
    assert sorted(tmp_path.joinpath("a").iterdir()) == sorted(files)
    again = write_phantom_slide(specimen(), tmp_path / "b", 0.5, plan)
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in again]
    with open_slide(files[0]) as slide:
        assert (slide.levels[0].height, slide.pixel_size) == (512, 0.5)
    cells = json.loads((tmp_path / "a" / "S00-cells.geojson").read_text())["features"]
    assert {cell["properties"]["classification"]["name"] for cell in cells} == {"Positive", "Negative"}
    with (tmp_path / "a" / "S00-landmarks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 400
    assert all(row["he_y"] == row["ihc_y"] and row["he_x"] == row["ihc_x"] for row in rows)  # the plain pose


def test_the_command_refuses_what_the_phantom_is_not(vsbench: Make, tmp_path: Path) -> None:
    for options, says in ((("--stain", "p53"), "her2"), (("--ending", ".svs"), ".ome.tif"), (("--size", 9), "512")):
        ran = vsbench("data", "phantom-slide", tmp_path / "out", *options)
        assert ran.returncode == 2
        assert says in ran.stderr
    assert not (tmp_path / "out").exists()
