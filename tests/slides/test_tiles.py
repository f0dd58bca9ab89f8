"""Tiles of both slides show the same tissue, wherever it lies; the tree says its µm a pixel; a killed cut goes on."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from vsbench.data.decode import read_rgb
from vsbench.errors import DataError
from vsbench.files import file_digest
from vsbench.slides import tiles as module
from vsbench.slides.pair_list import SlidePair
from vsbench.slides.reading import open_slide
from vsbench.slides.tiles import Cut, CutPair, cut_pairs

Command = Callable[..., "subprocess.CompletedProcess[str]"]
Make = Callable[..., Any]
RGB = NDArray[np.uint8]
CUT = Cut(size=128, stride=128, pixel=0.5)
TURN = np.array([[0.0, -1.0, 600.0], [1.0, 0.0, 0.0], [0, 0, 1]])  # a quarter, from H&E to IHC


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory, write: Make, tissue: Make) -> Path:
    """``he``; ``same``, its colours exchanged, in one frame; ``turned``; ``untold``, without µm; ``other``, smaller;
    ``blank``.
    """
    folder = tmp_path_factory.mktemp("pairs")
    image: RGB = tissue(600, 600)
    write(folder / "he.tif", image)
    write(folder / "same.tif", image[..., ::-1].copy())
    write(folder / "turned.tif", np.rot90(image[..., ::-1], -1).copy())
    write(folder / "untold.tif", image, None)
    write(folder / "other.tif", image[:500])
    write(folder / "blank.tif", np.full_like(image, 244))
    (folder / "turn.txt").write_text(str(TURN.tolist()))
    (folder / "back.txt").write_text(str(np.linalg.inv(TURN).tolist()))
    return folder


def pair_of(folder: Path, ihc: str, name: str = "S", **more: Any) -> SlidePair:
    return SlidePair(folder / "he.tif", folder / ihc, "ki67", "P1", name, "train", **more)


def run(pair: SlidePair, out: Path, cut: Cut = CUT, **options: Any) -> CutPair:
    (done,) = cut_pairs([pair], out, cut, **options)
    if isinstance(done, DataError):
        raise done
    return done


def contents(out: Path) -> dict[str, str]:
    return {file.relative_to(out).as_posix(): file_digest(file) for file in sorted(out.rglob("*")) if file.is_file()}


def test_tiles_in_one_frame_are_the_pixels_of_both(slides: Path, tmp_path: Path) -> None:
    done = run(pair_of(slides, "same.tif"), tmp_path)
    files = sorted((tmp_path / "ki67/he/train").iterdir())
    assert done.tiles["written"] == len(files) > 5
    assert done.tiles["blank"] > 0
    assert sum(done.tiles.values()) == 16
    with open_slide(slides / "he.tif") as he:
        for file in files:
            x, y = (int(part[1:]) for part in file.stem.split("_")[2:])
            tile = read_rgb(file)
            assert np.array_equal(tile, he.region(0, y, x, 128, 128))
            assert np.array_equal(read_rgb(tmp_path / "ki67/ihc/train" / file.name), tile[..., ::-1])


@pytest.mark.parametrize(("name", "direction"), [("turn.txt", "he-to-ihc"), ("back.txt", "ihc-to-he")])
def test_a_turned_section_is_turned_back(slides: Path, tmp_path: Path, name: str, direction: Any) -> None:
    done = run(pair_of(slides, "turned.tif", transform=slides / name), tmp_path, direction=direction)
    assert done.tiles["written"] > 5
    for file in (tmp_path / "ki67/he/train").iterdir():
        off = np.abs(read_rgb(file).astype(int) - read_rgb(tmp_path / "ki67/ihc/train" / file.name)[..., ::-1])
        assert off.max() <= 2


def test_blurred_tiles_are_left_out_and_counted(tmp_path: Path, write: Make, tissue: Make) -> None:
    image: RGB = tissue(600, 600)
    rng = np.random.default_rng(0)
    image = np.clip(image - 30.0 * (rng.random((600, 600, 1)) > 0.8) * (image[..., :1] < 240), 0, 255).astype(np.uint8)
    he = write(tmp_path / "he.tif", image)
    image[256:384, 256:384] = gaussian_filter(image[256:384, 256:384].astype(float), (4, 4, 0)).astype(np.uint8)
    ihc = write(tmp_path / "ihc.tif", image)
    done = run(SlidePair(he, ihc, "er", "P1", "S", "train"), tmp_path / "out")
    assert done.tiles["blurred"] == 1
    assert not list((tmp_path / "out").rglob("*_x000256_y000256.png"))


def test_a_pair_is_cut_once_and_goes_on_after_an_end(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = pair_of(slides, "same.tif")
    run(pair, tmp_path / "whole")
    real, made = module._Sections.tiles, []

    def dies(self: Any, y: int, x: int) -> tuple[RGB, RGB]:
        made.append((y, x))
        if len(made) == 18:  # after what the usual sharpness is measured by, and some tiles
            raise KeyboardInterrupt
        return real(self, y, x)

    with monkeypatch.context() as patch:
        patch.setattr(module._Sections, "tiles", dies)
        with pytest.raises(KeyboardInterrupt):
            run(pair, tmp_path / "cut")
    begun = len(list((tmp_path / "cut").rglob("*.png")))
    assert 0 < begun < len(list((tmp_path / "whole").rglob("*.png")))
    assert not run(pair, tmp_path / "cut").kept
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    monkeypatch.setattr(module, "open_slide", None)  # a pair that is done is not opened
    assert run(pair, tmp_path / "cut").kept


KILLED = """
import os, signal, sys
from pathlib import Path
from vsbench.slides.pair_list import SlidePair
from vsbench.slides.tiles import Cut, cut_pairs

he, ihc, out, files = *map(Path, sys.argv[1:4]), int(sys.argv[4])

def fsync(number, real=os.fsync):
    global files
    files -= 1
    if files < 0:  # written, and not yet in its place
        os.kill(os.getpid(), signal.SIGKILL)
    real(number)

os.fsync = fsync
list(cut_pairs([SlidePair(he, ihc, "ki67", "P1", "S", "train")], out, Cut(128, 128, 0.5)))
"""


def test_killed_for_good_it_goes_on_and_leaves_the_same_files(slides: Path, tmp_path: Path) -> None:
    pair = pair_of(slides, "same.tif")
    run(pair, tmp_path / "whole")
    for files in (1, 8, 11):  # before the pair is begun, and after the first half of a tile's two
        there = [str(place) for place in (pair.he, pair.ihc, tmp_path / "cut", files)]
        ended = subprocess.run([sys.executable, "-c", KILLED, *there], check=False).returncode
        assert ended == -signal.SIGKILL
        assert any(file.name.startswith(".") for file in (tmp_path / "cut").rglob("*"))
    assert len(list((tmp_path / "cut").rglob("he/*/P1*.png"))) > 2
    run(pair, tmp_path / "cut")
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("ihc", "more", "cut", "reason"),
    [
        ("untold.tif", {}, CUT, "untold.tif: does not tell how many µm a pixel has; write it into a column ihc_mpp"),
        ("other.tif", {}, CUT, "other.tif: 250×300 µm, where .*he.tif has 300×300: not of one frame; add --register"),
        ("same.tif", {}, Cut(128, 128, 0.25), "0.5 µm a pixel, coarser than tiles of 0.25; give --mpp"),
        ("same.tif", {}, Cut(1024, 1024, 0.5), "600×600 pixels of 0.5 µm, smaller than a tile of 1024"),
        ("same.tif", {"ihc_mpp": 0.25}, CUT, "not of one frame"),
        ("blank.tif", {}, CUT, "blank.tif: no tissue is found on it: a blank slide"),
    ],
)
def test_a_pair_that_cannot_be_cut_leaves_no_tile(
    slides: Path, tmp_path: Path, ihc: str, more: dict[str, Any], cut: Cut, reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        run(pair_of(slides, ihc, **more), tmp_path, cut)
    assert not list(tmp_path.rglob("*")), "it may be cut otherwise the next time"


def test_of_a_slide_that_is_damaged_somewhere_no_tile_is_kept(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(pair_of(slides, "same.tif", "T"), tmp_path)
    before, real, made = contents(tmp_path), module._Sections.tiles, []

    def damaged(self: Any, y: int, x: int) -> tuple[RGB, RGB]:
        made.append((y, x))
        if len(made) == 18:
            assert list(tmp_path.rglob("P1_S_*.png"))
            raise DataError("damaged")
        return real(self, y, x)

    monkeypatch.setattr(module._Sections, "tiles", damaged)
    with pytest.raises(DataError, match="damaged"):
        run(pair_of(slides, "same.tif"), tmp_path)
    assert contents(tmp_path) == before


def test_what_is_cut_already_needs_no_room(slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = pair_of(slides, "same.tif")
    run(pair, tmp_path)
    (tmp_path / "ki67/slides/P1_S.json").write_text(
        json.dumps(
            {k: v for k, v in json.loads((tmp_path / "ki67/slides/P1_S.json").read_text()).items() if k != "tiles"}
        )
    )
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=400_000))
    assert run(pair, tmp_path).tiles["written"] > 5
    with pytest.raises(DataError, match=r"some [\d,]+ bytes are needed, 400,000 are free; make room"):
        run(pair_of(slides, "same.tif", "T"), tmp_path)
    assert not list(tmp_path.rglob("P1_T*"))
    with pytest.raises(DataError, match="make room"):
        run(pair, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_another_cut_is_not_mixed_in(slides: Path, tmp_path: Path) -> None:
    run(pair_of(slides, "same.tif"), tmp_path)
    before = contents(tmp_path)
    with pytest.raises(DataError, match=r"cut.json: of tiles cut otherwise lies there; give another OUT"):
        run(pair_of(slides, "same.tif"), tmp_path, Cut(64, 64, 0.5))
    with pytest.raises(DataError, match=r"P1_S.json: of another pair, or one aligned otherwise, lies there"):
        run(pair_of(slides, "turned.tif", transform=slides / "turn.txt"), tmp_path)
    assert contents(tmp_path) == before


def test_the_command_makes_a_data_set_that_knows_its_pixels(vsbench: Command, slides: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(
        "he,ihc,stain,patient,slide\n"
        + "".join(f"{slides}/he.tif,{slides}/same.tif,Ki-67,P{n},S\n" for n in range(2))
        + f"{slides}/he.tif,{slides}/other.tif,Ki-67,P1,T\n"
    )
    ran = vsbench("data", "tiles", "pairs.csv", "OUT", "--size", 128, "--ratio", 0.5)
    assert ran.returncode == 1
    refused, error = ran.stderr.splitlines()
    assert refused.startswith(f"left out: {slides}/other.tif: 250×300 µm")
    assert error == "error: pairs.csv: 1 of 3 pairs left out; mend them, and run the same again"
    place = ("--stain", "ki67", "--data-root", "OUT/ki67")
    verified = vsbench("data", "verify", "folder", *place, "--json")
    report = json.loads(verified.stdout)
    assert (verified.returncode, report["faults"]) == (0, [])
    assert [count["slides"] for count in report["counts"]] == [1, 1]
    train = ("train", "regression", "--dataset", "folder", *place, "--preset", "cpu", "--set", "steps=1")
    ran = vsbench(*train, "--set", "crop_size=64", "--set", "batch_size=1")
    assert ran.returncode == 0, ran.stderr
    (record,) = tmp_path.rglob("run.json")
    assert json.loads(record.read_text())["dataset_options"] == {"slide": "^([^_]+)_", "pixel_size": 0.5}
    file = next((tmp_path / "OUT/ki67/he/train").iterdir())
    Image.fromarray(np.zeros((128, 128, 3), np.uint8)).save(file)
    again = vsbench("data", "verify", "folder", *place)
    assert "125 bytes, prepared with" in again.stdout
    assert vsbench("data", "tiles", "pairs.csv", "OUT", "--size", 128, "--ratio", 0.5).returncode == 1
    assert vsbench("data", "verify", "folder", *place).returncode == 0
    (tmp_path / "OUT/ki67/vsbench-data.json").write_text("{}")
    broken = vsbench("data", "verify", "folder", *place)
    assert broken.returncode == 1
    assert "vsbench-data.json: no options that can be read" in broken.stderr
