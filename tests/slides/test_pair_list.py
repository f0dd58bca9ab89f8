"""A list of slide pairs is read strictly: what is wrong in it is said with its line."""

from pathlib import Path

import pytest

from vsbench.errors import DataError
from vsbench.slides.pair_list import read_pair_list


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a_he.svs", "a_ki67.svs", "b_he.ome.tif", "b_ki67.svs", "m.txt"):
        (tmp_path / name).touch()
    return tmp_path


def listed(folder: Path, *lines: str) -> Path:
    file = folder / "pairs.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_pairs_are_read_and_patients_split(folder: Path) -> None:
    found = read_pair_list(
        listed(
            folder,
            "HE,IHC,Stain,Patient,he_mpp,transform,scanner",
            "a_he.svs,a_ki67.svs,Ki-67,P_1,0.25,m.txt,x",
            "b_he.ome.tif,b_ki67.svs,ki67,P 2,,,y",
        ),
        ratio=0.5,
        seed=0,
    )
    first, second = found.pairs
    assert (first.stain, first.id, first.he_mpp, first.transform) == ("ki67", "P-1_a-he", 0.25, folder / "m.txt")
    assert (second.stain, second.id, second.he_mpp, second.transform) == ("ki67", "P-2_b-he", None, None)
    assert {first.split, second.split} == {"train", "test"}
    assert found.others == ["scanner"]


HEAD = "he,ihc,stain,patient"
ONE = "a_he.svs,a_ki67.svs,ki67,P1"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["he,ihc,stain", "a_he.svs,a_ki67.svs,ki67"], "pairs.csv: no column patient"),
        ([HEAD], "no pair in it"),
        ([HEAD, "a_he.svs,,ki67,P1"], "line 2: no ihc"),
        ([HEAD, "a_he.svs,gone.svs,ki67,P1"], "line 2: .*gone.svs: no such file"),
        ([HEAD, ONE], "all are P1; write a column split, of train or test"),
        ([HEAD, ONE, ONE], "line 3: the same pair is called P1_a-he too .line 2."),
        ([f"{HEAD},slide", f"{ONE},s", "b_he.ome.tif,b_ki67.svs,ki67,P1,s"], "line 3: another slide is called P1_s"),
        ([f"{HEAD},split", f"{ONE},train", "b_he.ome.tif,b_ki67.svs,ki67,P1,test"], "patient P1 is train and test"),
        ([f"{HEAD},split", f"{ONE},val"], "line 2: split 'val': train or test"),
        ([f"{HEAD},he_mpp", f"{ONE},0"], "line 2: he_mpp '0': µm a pixel"),
        ([HEAD, "a_he.svs,a_ki67.svs,ki67,P 1", "b_he.ome.tif,b_ki67.svs,ki67,P-1"], "have one name in files"),
        ([HEAD, f"{ONE},more"], "line 2: more values than columns"),
        ([HEAD, "a_he.svs,a_ki67.svs,../x,P1"], "line 2: stain '../x'"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, lines: list[str], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read_pair_list(listed(folder, *lines), ratio=0.8, seed=0)
