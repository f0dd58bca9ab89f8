"""Spellings of a marker are one, wherever a stain is given; a stain of one's own stays as it is."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vsbench.cli.app import main
from vsbench.config import parse_settings
from vsbench.dataset import Dataset
from vsbench.engine.request import Request
from vsbench.engine.run import find_runs
from vsbench.errors import DataError
from vsbench.evaluation.ablate import Study
from vsbench.evaluation.group import Group
from vsbench.evaluation.validity import ValidityStudy
from vsbench.markers import marker
from vsbench.registry import load
from vsbench.report.notation import stain_name

SPELT = {
    "er": ("er", "ER", "Er", " er "),
    "pr": ("pr", "PR", "PgR", "PGR", "pgr"),
    "her2": ("her2", "HER2", "HER-2", "Her_2", "her 2", "HER2/neu", "HER2neu", "ERBB2", "c-erbB-2"),
    "ki67": ("ki67", "Ki67", "Ki-67", "KI_67", "ki 67", "Ki\u201167", "Ki–67"),
}
EACH = [(name, spelt) for name, spellings in SPELT.items() for spelt in spellings]


def folder(*options: str) -> Dataset[Any]:
    return load("vsbench.datasets", "folder").from_options(parse_settings(list(options)))


def tiles(*folders: Path) -> None:
    for place in folders:
        place.mkdir(parents=True)
        for name in ("S1_a", "S2_b"):
            Image.effect_noise((40, 40), 50).convert("RGB").save(place / f"{name}.png")


@pytest.mark.parametrize(("name", "spelt"), EACH)
def test_each_spelling_is_the_marker(name: str, spelt: str) -> None:
    assert marker(spelt) == name
    assert Request("cut", "folder", spelt).stain == name
    assert Study("cut", "table6", "folder", spelt).stain == name
    assert ValidityStudy("phantom", spelt).stain == name
    assert stain_name(spelt) == stain_name(name) != name


@pytest.mark.parametrize("own", ["cd3", "CD3", "ERG", "p53", "her", "ki6", "ki677", "PRAME", "er-2", "mihc", "HER3"])
def test_a_stain_of_ones_own_stays_as_it_is(own: str) -> None:
    assert marker(own) == Request("cut", "folder", own).stain == stain_name(own) == own


@pytest.mark.parametrize("spelt", ["ER", "er"])
@pytest.mark.parametrize("there", ["ER", "er", "Er"])
def test_folders_are_found_in_their_own_spelling(spelt: str, there: str, tmp_path: Path) -> None:
    tiles(tmp_path / "he/test", tmp_path / "ihc" / there / "test")
    (tmp_path / "ihc/ERG/test").mkdir(parents=True)
    pairs = folder("ihc=ihc/{stain}").pairs(tmp_path, spelt, "test")
    assert [pair.ihc.parent for pair in pairs] == [tmp_path / "ihc" / there / "test"] * 2


def test_lists_are_found_too_and_two_spellings_side_by_side_are_refused(tmp_path: Path) -> None:
    tiles(tmp_path / "he", tmp_path / "Ki-67")
    (tmp_path / "KI67-test.txt").write_text("S1_a\n")
    options = ("ihc={stain}", "split_by=lists", "lists={stain}-{split}.txt")
    assert [pair.id for pair in folder(*options).pairs(tmp_path, "ki67", "test")] == ["S1_a"]
    (tmp_path / "ki_67").mkdir()
    with pytest.raises(DataError, match=r"Ki-67, ki_67 spell one stain"):
        folder(*options).pairs(tmp_path, "ki67", "test")


def test_a_stain_of_ones_own_is_looked_for_as_it_is_written(tmp_path: Path) -> None:
    tiles(tmp_path / "he/test", tmp_path / "CD3/test", tmp_path / "cd3+/test")
    assert len(folder("ihc={stain}").pairs(tmp_path, "CD3", "test")) == 2
    with pytest.raises(DataError):
        folder("ihc={stain}").pairs(tmp_path, "Cd3", "test")


def test_clinical_values_are_of_the_marker_however_it_is_spelt(tmp_path: Path) -> None:
    tiles(tmp_path / "he/test", tmp_path / "ihc/test")
    labels = {Group("folder", {}, spelt, tmp_path, tmp_path).pairs[0].labels["stain"] for spelt in SPELT["ki67"][:4]}
    assert labels == {"ki67"}


def test_the_commands_write_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "test"):
        tiles(tmp_path / "he" / split, tmp_path / "ihc" / split)
    monkeypatch.chdir(tmp_path)
    where = ["--dataset", "folder", "--data-root", str(tmp_path), "--device", "cpu"]
    small = ["--preset", "cpu", "--set", "steps=1", "--set", "crop_size=32", "--set", "downs=3", "--workers", "0"]
    tiles(tmp_path / "made")
    for words in (
        ["train", "pix2pix", *where, *small, "--stain", "Ki-67"],
        ["evaluate", "--images", "made", "--name", "made", *where, "--stain", "KI67"],
        ["evaluate", "--all", "--data-root", str(tmp_path), "--device", "cpu"],
    ):
        monkeypatch.setattr("sys.argv", ["vsbench", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0, capsys.readouterr().err
    assert [path.name for path in (tmp_path / "results/runs").iterdir()] == ["folder-ki67"]
    assert {run.record.stain for run in find_runs(tmp_path / "results")} == {"ki67"}


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("folder", (), True),
        ("folder", ("slide=^S.",), False),
        ("folder", ("slide=^S.", "split_by=slides"), False),
        ("mist", (), True),
        ("mist", ("split_by=slides",), False),
        ("mist", ("split_by=folds",), False),
        ("ihc4bc", (), True),
        ("ihc4bc", ("split_by=slides",), False),
    ],
)
def test_warnings_follow_from_the_options(name: str, options: tuple[str, ...], said: bool) -> None:
    words = {"folder": "no slide is known", "mist": "random over tiles", "ihc4bc": "overlap by half"}[name]
    source = load("vsbench.datasets", name).from_options(parse_settings(list(options)))
    assert any(words in warning for warning in source.warnings) == said
