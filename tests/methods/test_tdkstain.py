"""TDKStain: what it asks of a user without Cellpose, and what it makes of tiles."""

import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from scipy import ndimage

from vsbench.cli.options import make_fabric
from vsbench.engine.checkpoint import checkpoints
from vsbench.engine.request import Request
from vsbench.engine.run import Run
from vsbench.engine.start import start
from vsbench.engine.trainer import Progress, Rhythm
from vsbench.errors import DataError, RunError
from vsbench.registry import load
from vsbench.stain.hed import unmixed
from vsbench.stain.nuclei_map import density_map, distance_peaks, haematoxylin_mask

TDKStain = load("vsbench.methods", "tdkstain")
tdkstain = import_module(TDKStain.__module__)
Vsbench = Callable[..., "subprocess.CompletedProcess[str]"]
SMALL = {"crop_size": 32, "steps": 2, "width": 4, "batch_size": 1, "discriminator_layers": 1, "blocks": 1}
HAEMATOXYLIN, DAB = (0.65, 0.70, 0.29), (0.27, 0.57, 0.78)


def tile_with_nuclei(
    places: list[tuple[int, int]], side: int = 96, stain: tuple[float, ...] = HAEMATOXYLIN
) -> NDArray[np.uint8]:
    """White, with round nuclei of 8 pixels across."""
    row, column = np.ogrid[:side, :side]
    density = sum(((row - r) ** 2 + (column - c) ** 2 <= 4.5**2).astype(float) for r, c in places)
    return (255 * 10 ** (-density[..., None] * np.array(stain))).astype(np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three pairs, 40 × 44, for the data set ``folder``."""
    for side in ("he", "ihc"):
        (tmp_path / "data" / side / "train").mkdir(parents=True)
        for name in "abc":
            pixels = np.random.default_rng(ord(name)).integers(60, 256, (40, 44, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / side / "train" / f"{name}.png")
    return tmp_path / "data"


class Silent:
    """A display."""

    def say(self, line: str) -> None: ...

    def step(self, title: str, progress: Progress) -> None: ...


@pytest.fixture
def train(root: Path, tmp_path: Path) -> Callable[..., Run]:
    """``train(nuclei_source="none")``: two small steps."""

    def run(results: str = "results", cache: Path | None = None, **options: object) -> Run:
        request = Request(
            "tdkstain", "folder", "er", "cpu", SMALL | options, data_root=root, results=tmp_path / results,
            cache_tiles=cache,
        )  # fmt: skip
        return start(request, make_fabric("cpu", 1, "32-true"), False, 0, Rhythm(), Silent())

    return run


def test_missing_maps_are_one_line_in_a_dry_run(vsbench: Vsbench, root: Path, tmp_path: Path) -> None:
    where = ("--dataset", "folder", "--stain", "er", "--data-root", root, "--device", "cpu", "--dry-run")
    done = vsbench(
        "train", "tdkstain", "--preset", "cpu", "--set", "nuclei_source=files", "--set", "crop_size=32", *where
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip().count("\n") == 0
    assert "nuclei: no such folder" in done.stderr
    assert "--variant label_free" in done.stderr
    assert not (tmp_path / "results").exists()


def test_missing_maps_stop_a_training_before_its_first_step(train: Callable[..., Run], tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    Image.new("L", (44, 40)).save(maps / "b.png")
    with pytest.raises(DataError, match=r"maps: no ready map named after a, c; .*nuclei_folder.*--variant label_free"):
        train(nuclei_source="files", nuclei_folder=str(maps))
    assert not (tmp_path / "results").exists()


def test_ready_maps_are_part_of_the_run(train: Callable[..., Run], tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    for name in "abc":
        Image.new("L", (44, 40), ord(name)).save(maps / f"{name}.png")
    record = train(nuclei_source="files", nuclei_folder=str(maps)).trained
    assert record.finished
    assert record.ready_maps is not None
    Image.new("L", (44, 40), 9).save(maps / "a.png")
    with pytest.raises(RunError, match=r"holds another run \(ready_maps\)"):
        train(nuclei_source="files", nuclei_folder=str(maps))


def test_a_training_with_cached_maps_ends_with_the_same_weights(train: Callable[..., Run], tmp_path: Path) -> None:
    runs = [train(), *(train(f"cached-{number}", tmp_path / "cache") for number in range(2))]
    assert len(list((tmp_path / "cache").rglob("*.maps"))) == 2  # of three tiles, those that two steps met
    plain, *cached = (load_file(checkpoints(run.checkpoints)[-1].weights) for run in runs)
    for weights in cached:
        assert all(torch.equal(weights[name], tensor) for name, tensor in plain.items())


@pytest.mark.parametrize("variant", ["label_free", "no_nuclei"])
def test_without_maps_it_trains_under_a_name_of_its_own(train: Callable[..., Run], variant: str) -> None:
    run = train(variant=variant)
    assert run.folder.parent.name == f"tdkstain+{variant}+cpu"
    assert run.trained.ready_maps is None
    assert ("estimator" in (run.trained.parameters or {})) == (variant == "label_free")


def test_touching_nuclei_are_parted() -> None:
    places = [(24, 24), (24, 31), (60, 70)]  # the first two overlap
    mask = haematoxylin_mask(unmixed(tile_with_nuclei(places))[..., 0])
    assert ndimage.label(mask)[1] == 2
    found = distance_peaks(mask, 7)
    assert len(found) == 3
    assert np.abs(found - places).max() <= 2


def test_what_is_made_of_a_mirrored_tile_is_mirrored() -> None:
    tile = tile_with_nuclei([(20, 21), (24, 60), (70, 33)])
    config = TDKStain.configure(options={"variant": "label_free"})
    straight, mirrored = (tdkstain.tile_maps(config, t) for t in (tile, np.ascontiguousarray(tile[:, ::-1])))
    assert straight[..., 4].max() == 255
    assert np.array_equal(straight, mirrored[:, ::-1])


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_tile_has_no_nuclei(level: int) -> None:
    """In haematoxylin: grey is DAB by its colours, and then the whole tile is one cell."""
    tile = np.full((40, 40, 3), level, np.uint8)
    assert not haematoxylin_mask(unmixed(tile)[..., 0]).any()
    maps = tdkstain.tile_maps(TDKStain.configure(options={"variant": "label_free"}), tile)
    assert maps[..., 4].any() == maps[..., 0].any() == (level < 255)


def test_the_mask_covers_dab_and_not_haematoxylin() -> None:
    for stain, covered in ((DAB, True), (HAEMATOXYLIN, False)):
        maps = tdkstain.tile_maps(
            TDKStain.configure(options={"variant": "no_nuclei"}), tile_with_nuclei([(48, 48)], stain=stain)
        )
        assert maps.shape[2] == 4
        assert (maps[48, 48, 0] > 200) == covered
        assert maps[5, 5, 0] == 0


def test_a_map_without_points_is_zero_throughout() -> None:
    assert not density_map(np.zeros((0, 2), int), (8, 8)).any()


def test_settings_name_the_maps() -> None:
    """What was kept for other settings is not used; networks and weights change no map."""
    keys = {
        str(options): TDKStain(TDKStain.configure("cpu", options)).maps().key
        for options in ({}, {"dab_threshold": 0.2}, {"mask_blur": 2.0}, {"nuclei_sigma": 5.0}, {"cell_diameter": 33},
                        {"nuclei_diameter": 15}, {"nuclei_source": "none"}, {"nuclei_source": "files"})
    }  # fmt: skip
    assert len(set(keys.values())) == len(keys)
    assert TDKStain(TDKStain.configure("cpu", {"width": 8, "lambda_l1": 3.0})).maps().key == keys["{}"]


def test_without_the_estimator_the_nuclei_term_is_off_too() -> None:
    method = TDKStain(TDKStain.configure("cpu", {"lambda_estimator": 0.0}))
    assert not hasattr(method, "estimator")
    assert method.config.lambda_nuclei > 0
    assert method.maps().channels == 4
    assert TDKStain(TDKStain.configure("cpu", {"nuclei_source": "none", "lambda_membrane": 0.0})).maps() is None
