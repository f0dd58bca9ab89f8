"""Cost against quality: numbers from the run's own record, and what is not recorded is said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vsbench.errors import RunError
from vsbench.report.figures.cost import cost, ticks
from vsbench.report.tables import Comparison, compare, load_results

Tree = Any  # the class in conftest.py, which cannot be imported from here

VALUES = {"iod_mae": 0.05, "r_avg": 50.0}


def only(tree: Tree) -> Comparison:
    (comparison,) = compare(load_results(tree.results))
    return comparison


def change(folder: Path, **fields: object) -> None:
    """Write into the record of a run; a field of value None is removed."""
    path = folder / "run.json"
    record = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({key: value for key, value in record.items() if value is not None}))


def note_speed(folder: Path, device: str, images: int, seconds: float) -> None:
    note = {"weights": "a" * 64, "he": "b" * 64, "device": device, "images": images, "seconds": seconds}
    (folder / "images" / "test.json").write_text(json.dumps(note))


def size(path: Path) -> tuple[int, int]:
    """Width and height of a picture."""
    with Image.open(path) as picture:
        return picture.size


def test_numbers_are_those_of_the_records(tree: Tree, tmp_path: Path) -> None:
    for seed in (0, 3):
        folder = tree.add("cut", VALUES | {"r_avg": 50.0 + seed}, seed=seed)
        change(folder, wall_time_s=100.0 + seed, peak_memory_bytes=2**30, parameters={"a": 5, "b": 7}, precision="16")
        note_speed(folder, "gpu", 20, 4.0)
    tree.add("he", VALUES, kind="reference")
    tree.add("elsewhere", VALUES, kind="external")
    (drawn,) = cost(only(tree), tmp_path)
    table = pd.read_csv(drawn.file("csv"))
    assert table["row"].tolist() == ["cut", "cut"]
    assert table["wall_time_s"].tolist() == [100, 103]
    assert table["r_avg"].tolist() == [50, 53]
    assert set(table["parameters"]) == {12}
    assert set(table["images_per_s"]) == {5}
    assert set(table["peak_memory_bytes"]) == {2**30}
    assert drawn.missing == ()


def test_what_is_not_recorded_is_said_and_takes_no_panel(tree: Tree, tmp_path: Path) -> None:
    folder = tree.add("cut", VALUES)
    (few,) = cost(only(tree), tmp_path / "few")
    assert [part.split(" is ")[0] for part in few.missing] == ["training memory", "the speed of translation"]
    change(folder, peak_memory_bytes=2**30)
    note_speed(folder, "gpu", 20, 4.0)
    (many,) = cost(only(tree), tmp_path / "many")
    assert many.missing == ()
    widths = [size(drawn.file("png"))[0] for drawn in (few, many)]
    assert widths == pytest.approx([3.5 * 300, 7.16 * 300], abs=1)


def test_devices_have_marks_of_their_own_and_the_caption_says_so(tree: Tree, tmp_path: Path) -> None:
    tree.add("asp", VALUES)
    folder = tree.add("cut", VALUES)
    (drawn,) = cost(only(tree), tmp_path)
    assert "Device: cpu, x86_64, 1 threads." in drawn.caption
    before = size(drawn.file("png"))[1]
    change(folder, device="GPU", world=4)
    (drawn,) = cost(only(tree), tmp_path)
    assert "Several devices" in drawn.caption
    assert set(pd.read_csv(drawn.file("csv"))["device"]) == {"cpu, x86_64, 1 threads", "4 × GPU"}
    assert size(drawn.file("png"))[1] > before  # room for the key of the marks


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"finished": False}, "not finished"),
        ({"wall_time_s": 0.0}, "wall_time_s"),
        ({"device": None}, "device"),
        ({"parameters": {"generator": "many"}}, r"parameters\.generator"),
    ],
)
def test_a_training_without_its_cost_is_named(tree: Tree, tmp_path: Path, fields: dict[str, object], says: str) -> None:
    folder = tree.add("cut", VALUES)
    change(folder, **fields)
    with pytest.raises(RunError, match=rf"no trained method.*cut \(.*run\.json.*{says}"):
        cost(only(tree), tmp_path)
    tree.add("asp", VALUES)
    (drawn,) = cost(only(tree), tmp_path)
    assert drawn.missing[0].startswith("cut (")
    assert pd.read_csv(drawn.file("csv"))["row"].tolist() == ["asp"]


@pytest.mark.parametrize(
    ("spoil", "says"), [(lambda path: path.write_text("{"), r"run\.json: damaged"), (Path.unlink, r"no run\.json")]
)
def test_a_record_that_can_not_be_read_is_named(
    tree: Tree, tmp_path: Path, spoil: Callable[[Path], object], says: str
) -> None:
    spoil(tree.add("cut", VALUES) / "run.json")
    with pytest.raises(RunError, match=says):
        cost(only(tree), tmp_path)


def test_a_quality_that_no_method_has_takes_no_panel(tree: Tree, tmp_path: Path) -> None:
    """Absent and infinite values are no points; nor are those of another protocol."""
    tree.add("asp", {"iod_mae": "blank", "r_avg": 40.0})
    tree.add("cut", {"iod_mae": "inf", "r_avg": 50.0})
    tree.add("src", {"iod_mae": "blank", "r_avg": {"value": 60.0, "protocol": "mine"}})
    (drawn,) = cost(only(tree), tmp_path)
    table = pd.read_csv(drawn.file("csv"))
    assert table["iod_mae"].isna().all()
    assert table["r_avg"].tolist()[:2] == [40, 50]
    assert np.isnan(table["r_avg"][2])
    assert size(drawn.file("png"))[1] < 2.5 * 300  # one line of panels


def test_no_method_with_a_quality(tree: Tree, tmp_path: Path) -> None:
    tree.add("cut", {"iod_mae": "blank", "ssim": 0.3})
    with pytest.raises(RunError, match="no trained method"):
        cost(only(tree), tmp_path)


def test_ticks_are_round_and_few() -> None:
    assert ticks(1.5, 60) == [2, 5, 10, 20, 50]
    assert ticks(0.8, 12_000) == pytest.approx([1, 10, 100, 1000, 10_000])
    assert ticks(2.1, 3.9) == pytest.approx([2.4, 2.8, 3.2, 3.6], abs=0.4)
    assert 1 < len(ticks(1e-3, 1e9)) <= 5


def test_hostile_names_are_text_and_files_the_same_twice(tree: Tree, tmp_path: Path) -> None:
    for i in range(7):
        title = ("<b>$x", "50%_a&b \\frac{", "染 " + "long " * 12)[i % 3]
        change(tree.add(f"m{i}", VALUES, title=f"{title}{i}"), device=f"$gpu_{i % 3}", wall_time_s=10.0 + i)
    files = [cost(only(tree), tmp_path / name)[0].files for name in ("one", "two")]
    for one, other in zip(*files, strict=True):
        assert one.read_bytes() == other.read_bytes()
    png = np.asarray(Image.open(files[0][1]).convert("RGB"))
    assert png[:, -3:].min() == 255, "something is cut at the edge"
    assert png[-3:].min() == 255, "something is cut at the foot"
