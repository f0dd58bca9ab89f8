"""IHC4BC's label files, made up in the form its project page tells of."""

from pathlib import Path

import pytest

from vsbench.config import parse_settings
from vsbench.data.pairs import Pair
from vsbench.errors import DataError
from vsbench.registry import load

NAMES = [f"{i}_{1000 + i}_1_0_{i}" for i in range(4)]
ROWS = [
    "0_1000_1_0_0.png,a,4,0.1,0.3,0.5,0.29",
    "1_1001_1_0_1.png,0,7,0.6,0.6",
    "2_1002_1_0_2.jpg, a, 2, 0.3, 0.4, 0.5,,",
    "3_1003_1_0_3,d,5",
    "9_1009_1_0_9.png,nonsense of an image that is not here",
]


def repack(root: Path, rows: list[str], file: str = "Labels/ER.csv", stain: str = "ER") -> Path:
    for side in ("valA", "valB"):
        folder = root / "IHC4BC_data" / stain / side
        folder.mkdir(parents=True)
        for name in NAMES:
            (folder / f"{name}.jpg").write_bytes(b"tile")
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text("".join(f"{row}\n" for row in rows))
    return root


def pairs(root: Path, *options: str, stain: str = "er", split: str = "test") -> list[Pair]:
    return load("vsbench.datasets", "ihc4bc").from_options(parse_settings(list(options))).pairs(root, stain, split)


def labels(root: Path, *options: str, stain: str = "er") -> list[dict[str, str]]:
    return [pair.labels for pair in pairs(root, *options, stain=stain)]


def test_without_a_cutoff_only_what_the_file_says(tmp_path: Path) -> None:
    assert labels(repack(tmp_path, ROWS), "labels=Labels") == [
        {"verdict": "a", "nuclei": "4"},
        {"verdict": "0", "nuclei": "7", "positive_fraction": "0"},
        {"verdict": "a", "nuclei": "2"},
        {"verdict": "d"},
    ]


def test_with_a_cutoff_the_share_of_the_nuclei_at_or_above_it(tmp_path: Path) -> None:
    found = labels(repack(tmp_path, ["name,verdict,nuclei", *ROWS]), "labels=Labels/ER.csv", "label_cutoff=0.3")
    assert [label.get("positive_fraction") for label in found] == ["0.5", "0", "1", None]


def test_no_share_where_no_nucleus_was_counted(tmp_path: Path) -> None:
    found = labels(repack(tmp_path, [f"{NAMES[0]},a,0,0.5"]), "labels=Labels", "label_cutoff=0.3")
    assert found == [{"verdict": "a", "nuclei": "0"}, {}, {}, {}]


def test_her2_has_two_categories_of_three(tmp_path: Path) -> None:
    rows = [f"{name}.png,{score}" for name, score in zip(NAMES, ("0", "1+", "1", "3+"), strict=True)]
    found = labels(repack(tmp_path, rows, "Labels/her2.csv", "HER2"), "labels=Labels", stain="her2")
    assert found == [{"category": category} for category in ("0", "0", "2", "2")]


def test_labels_beside_the_images_are_found(tmp_path: Path) -> None:
    home = tmp_path / "IHC4BC_Compressed"
    for side in ("HandE", "IHC"):
        for name in NAMES:
            folder = home / "Images" / side / "ER" / f"Patient_{name}"
            folder.mkdir(parents=True)
            (folder / f"{name}.jpg").write_bytes(b"tile")
    (home / "Labels" / "Ki67").mkdir(parents=True)
    (home / "Labels" / "Ki67" / "all.csv").write_text("not of this stain\nnot read\n")
    assert all(pair.labels == {} for pair in pairs(tmp_path))
    (home / "Labels" / "ER").mkdir()
    (home / "Labels" / "ER" / "all.csv").write_text("\n".join(ROWS))
    for root in (tmp_path, home):
        both = pairs(root) + pairs(root, split="train")
        assert sorted(pair.labels["verdict"] for pair in both) == ["0", "a", "a", "d"]
        assert all(pair.labels == {} for pair in pairs(root, "labels=none"))


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (f"{NAMES[1]},x,7", r"has verdict 'x', expected a, 0 or d"),
        (f"{NAMES[1]}", r"has verdict '', expected a, 0 or d"),
        (f"{NAMES[1]},a", r"has '' for a number of nuclei"),
        (f"{NAMES[1]},a,seven", r"has 'seven' for a number of nuclei"),
        (f"{NAMES[1]},a,-1", r"has '-1' nuclei, expected a whole number"),
        (f"{NAMES[1]},a,1.5", r"has '1.5' nuclei, expected a whole number"),
        (f"{NAMES[1]},a,2,0.1,O.3", r"has 'O.3' for a DAB value"),
        (f"{NAMES[1]},a,2,0.1,nan", r"has 'nan' for a DAB value"),
        (f"{NAMES[0]}.jpg,a,4", r"has a label already"),
        ("tumour.png,a,4", r"'tumour.png' names no image; expected the form 0_1010_11_1_2.png"),
    ],
)
def test_a_row_that_cannot_be_is_named(row: str, complaint: str, tmp_path: Path) -> None:
    root = repack(tmp_path, [ROWS[0], row])
    with pytest.raises(DataError, match=rf"Labels/ER\.csv, line 2: .*{complaint}; mend .*labels=none$") as error:
        pairs(root, "labels=Labels", "label_cutoff=0.3")
    assert "\n" not in str(error.value)


def test_a_her2_score_that_cannot_be_is_named(tmp_path: Path) -> None:
    root = repack(tmp_path, [f"{NAMES[0]},2+"], "Labels/HER2.csv", "HER2")
    with pytest.raises(
        DataError, match=r"HER2\.csv, line 1: 0_1000_1_0_0 has HER2 score '2\+', expected one of 0, 1\+"
    ):
        pairs(root, "labels=Labels", stain="her2")


def test_labels_that_are_not_where_they_should_be(tmp_path: Path) -> None:
    root = repack(tmp_path, ROWS, "Labels/PR.csv")
    (root / "empty").mkdir()
    for place, complaint in (
        ("missing", "missing: no such file or folder of labels"),
        ("empty", "empty: no .csv below has er in its path"),
        ("Labels", "Labels: no .csv below has er in its path"),
    ):
        with pytest.raises(DataError, match=complaint):
            pairs(root, f"labels={place}")
    (root / "Labels/ER.csv").write_text("8_1008_1_0_0,a,3\n")
    with pytest.raises(DataError, match=r"ER\.csv: names none of the 4 images, such as 0_1000_1_0_0"):
        pairs(root, "labels=Labels")
    (root / "Labels/ER.csv").write_bytes(b"0_1000_1_0_0,\xff\xfe\n")
    with pytest.raises(DataError, match=r"ER\.csv: no UTF-8 text"):
        pairs(root, "labels=Labels")
