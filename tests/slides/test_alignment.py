"""A transform is read however a tool prints it, and leads the same way."""

from pathlib import Path

import numpy as np
import pytest

from vsbench.errors import DataError
from vsbench.files import write_json
from vsbench.slides.alignment import Alignment, read_alignment, same_frame

MATRIX = np.array([[0.5, -1.2, 300.25], [1.2, 0.5, -40.0], [0, 0, 1]])
QUPATH = "0.5, -1.2, 300.25,\n1.2, 0.5, -40.0"
NUMPY = "array([[ 5.00e-01, -1.2,  300.25],\n [1.2, .5, -40.],\n [0., 0., 1.]], dtype=float64)"
PLACES = np.array([[0.0, 0.0], [100.0, 20.0]])


@pytest.mark.parametrize("text", [QUPATH, NUMPY, f"[{QUPATH}]", '{"matrix": [[0.5, -1.2, 300.25], [1.2, 0.5, -40]]}'])
def test_a_matrix_is_read_as_tools_print_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "matrix.txt"
    file.write_text(text)
    there = read_alignment(file)
    assert np.allclose(there(PLACES), PLACES @ MATRIX[:2, :2].T + MATRIX[:2, 2])
    assert np.allclose(read_alignment(file, "ihc-to-he")(there(PLACES)), PLACES)


def test_the_file_knows_its_direction_better_than_the_option(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"matrix": MATRIX.tolist(), "maps": "he-to-ihc"})
    assert np.allclose(read_alignment(tmp_path / "a.json", "ihc-to-he").matrix, MATRIX)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 2 3 4", "4 numbers, where 3×3 or 2×3"),
        ("1 0 0\n2 0 0\n0 0 1", "turns an area into a line"),
        ("1 0 0 0 1 0 0.1 0 1", "its last row is"),
        ("rotation 1 0 0 0 1 0", "words among the numbers: 'rotation'"),
        ('{"rows": []}', "matrix"),
        ('{"matrix": [[1, 0, 0], [0, 1, 0]], "maps": "up"}', "maps 'up'"),
        ('{"matrix": [[1, 0, 0], [0, 1, 0]], "bending": [[1, 2]], "spacing": [1, 1]}', "no grid"),
        ("", "0 numbers"),
    ],
)
def test_what_is_no_transform_is_said(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "matrix.txt"
    file.write_text(text)
    with pytest.raises(DataError, match=reason) as error:
        read_alignment(file)
    assert str(error.value).startswith(f"{file}: no transform")


def test_a_bent_alignment_comes_back_from_its_file(tmp_path: Path) -> None:
    bending = np.random.default_rng(0).normal(0, 5, (4, 3, 2))
    alignment = Alignment(MATRIX, bending, (50.0, 40.0))
    write_json(tmp_path / "a.json", alignment.as_json())
    assert np.allclose(read_alignment(tmp_path / "a.json")(PLACES), alignment(PLACES), atol=1e-3)
    node = np.array([50.0, 80.0])
    assert np.allclose(alignment(node), node @ MATRIX[:2, :2].T + MATRIX[:2, 2] + bending[2, 1])


def test_finer_pixels_show_the_same_places() -> None:
    alignment = Alignment(MATRIX, np.random.default_rng(0).normal(0, 5, (4, 3, 2)), (50.0, 40.0))
    assert np.allclose(alignment.scaled(4, 8)(4 * PLACES), 8 * alignment(PLACES))
    assert np.allclose(same_frame(0.5, 0.25)(PLACES), 2 * PLACES)
    assert Alignment(np.diag([-1.0, 1, 1])).mirrored
    assert not alignment.mirrored
