"""A slide translated as a stream is the slide translated whole; a killed translation goes on; what can't be is said."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vsbench.engine.checkpoint import save_weights
from vsbench.engine.tiles import Tiling
from vsbench.errors import DataError, RunError
from vsbench.method import Batch, Method, MethodConfig, Phase
from vsbench.slides.pyramid import part_folder
from vsbench.slides.reading import open_slide, scaled
from vsbench.slides.seams import slide_seams
from vsbench.slides.translate import Outcome, Settings, scale_for, translate_slide

Make = Callable[..., Any]
CPU = torch.device("cpu")
WIDE = Settings(Tiling(256, 64, 4), batch=2, quality=None)


class Network(Method[MethodConfig]):
    """Any network as a method."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(MethodConfig())
        self.network = network

    @property
    def size_multiple(self) -> int:
        return 4

    def optimizers(self) -> dict[str, Optimizer]:
        return {}

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        yield Phase((), {})

    def translate(self, he: Tensor) -> Tensor:
        return self.network(he)


class Turned(nn.Module):
    """Exchanges red and blue: seen in every pixel, and free of what lies around it."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flip(1)


def normalising(seed: int = 0) -> nn.Module:
    """A network whose output depends on its input's statistics, and on the surroundings."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.InstanceNorm2d(8), nn.Conv2d(8, 3, 3, padding=1), nn.Tanh())


def run(
    network: nn.Module,
    source: Path,
    target: Path,
    settings: Settings = WIDE,
    scale: float = 1.0,
    devices: tuple[torch.device, ...] = (CPU,),
    **more: Any,
) -> Outcome:
    with open_slide(source) as slide:
        return translate_slide(Network(network), slide, target, settings, scale, 0.5 * scale, devices, {}, **more)


@pytest.mark.parametrize("scale", [1.0, 2.0, 1.37])
def test_tissue_is_translated_and_glass_is_white(disc: Path, tmp_path: Path, scale: float) -> None:
    outcome = run(Turned(), disc, tmp_path / "out.ome.tif", scale=scale)
    height, width = round(1100 / scale), round(700 / scale)
    assert (outcome.height, outcome.width, outcome.pixel_size) == (height, width, 0.5 * scale)
    assert outcome.tissue == pytest.approx(np.pi * 0.4**2 * 700 / 1100, abs=0.03)
    with open_slide(tmp_path / "out.ome.tif") as made, open_slide(disc) as slide:
        fake, he = made.region(0, 0, 0, height, width), scaled(slide, scale, 0, 0, height, width)
        assert made.pixel_size == pytest.approx(0.5 * scale)
    assert slide_seams(tmp_path / "out.ome.tif", (height, width)) is not None, "it says where it was stitched"
    y, x = np.mgrid[:height, :width]
    away = np.hypot(y - height / 2, x - width / 2) - 0.4 * 700 / scale  # pixels outside of the disc
    inside, outside = away < -20, away > 120 / scale
    assert np.abs(fake[inside].astype(int) - he[inside][:, ::-1]).max() <= 1
    assert (fake[outside] == 255).all()


def test_tiles_are_not_seen(disc: Path, tmp_path: Path) -> None:
    """With the statistics of the slide's tissue, a network that sees its surroundings makes no seam."""
    for name, tile in (("few", 640), ("many", 128)):  # higher than a strip, and lower
        run(
            normalising(),
            disc,
            tmp_path / f"{name}.tif",
            Settings(Tiling(tile, 32, 4), statistics="sample", quality=None),
        )
    run(normalising(), disc, tmp_path / "own.tif", Settings(Tiling(128, 32, 4), statistics="tile", quality=None))
    middle = {}
    for name in ("few", "many", "own"):
        with open_slide(tmp_path / f"{name}.tif") as slide:
            middle[name] = slide.region(0, 400, 200, 300, 300).astype(float)
    differs = {name: np.abs(middle["few"] - middle[name]).mean() for name in ("many", "own")}
    assert differs["many"] < 0.5 * differs["own"]


@pytest.mark.parametrize("settings", [WIDE, Settings(Tiling(128, 16, 4), batch=3)], ids=["lossless", "jpeg"])
def test_killed_it_goes_on_and_ends_with_the_same_bytes(disc: Path, tmp_path: Path, settings: Settings) -> None:
    run(normalising(), disc, tmp_path / "whole" / "s.ome.tif", settings)

    class Killed(BaseException):
        pass

    counts = []
    target = tmp_path / "killed" / "s.ome.tif"
    for after in (1, 4, 9):

        def killed(done: int, total: int, rate: float, after: int = after) -> None:
            counts.append(total)
            if done >= after:
                raise Killed

        with pytest.raises(Killed):
            run(normalising(), disc, target, settings, progress=killed)
        assert not target.exists()
        assert part_folder(target).exists()
    run(normalising(), disc, target, settings)
    assert target.read_bytes() == (tmp_path / "whole" / "s.ome.tif").read_bytes()
    assert not part_folder(target).exists()


def test_strips_that_are_there_are_not_translated_again(disc: Path, tmp_path: Path) -> None:
    tiles = []

    def stop(done: int, total: int, rate: float) -> None:
        tiles.append(total)
        if done == total:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run(Turned(), disc, tmp_path / "s.tif", progress=stop)
    again = run(Turned(), disc, tmp_path / "s.tif")
    assert 0 < again.tiles < tiles[0]


def test_several_devices_make_the_same_slide(disc: Path, tmp_path: Path) -> None:
    run(normalising(), disc, tmp_path / "a" / "s.tif")
    run(normalising(), disc, tmp_path / "b" / "s.tif", devices=(CPU, CPU, CPU))
    assert (tmp_path / "a" / "s.tif").read_bytes() == (tmp_path / "b" / "s.tif").read_bytes()


def test_bfloat16_is_near(disc: Path, tmp_path: Path) -> None:
    images = []
    for name, settings in (("full", WIDE), ("half", Settings(WIDE.tiling, 2, bfloat16=True, quality=None))):
        run(normalising(), disc, tmp_path / f"{name}.tif", settings)
        with open_slide(tmp_path / f"{name}.tif") as slide:
            images.append(slide.region(0, 400, 200, 300, 300).astype(float))
    assert 0 < np.abs(images[0] - images[1]).mean() < 4


def test_a_slide_smaller_than_a_tile_is_translated(tmp_path: Path, write: Make, tissue: Make) -> None:
    source = write(tmp_path / "he.tif", tissue(320, 300))
    outcome = run(Turned(), source, tmp_path / "s.tif", Settings(Tiling(512, 128, 4), quality=None))
    assert (outcome.height, outcome.width, outcome.tiles) == (320, 300, 1)


def test_a_blank_slide_is_refused(tmp_path: Path, write: Make) -> None:
    noise = np.random.default_rng(0).normal(243, 1.5, (600, 500, 3)).astype(np.uint8)
    with pytest.raises(DataError, match="no tissue"):
        run(Turned(), write(tmp_path / "he.tif", noise), tmp_path / "s.tif")
    assert [file.name for file in tmp_path.iterdir()] == ["he.tif"]


def test_too_small_a_disk_is_said_before_anything_is_written(
    disc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10**6))
    with pytest.raises(RunError, match="GB are free"):
        run(Turned(), disc, tmp_path / "s.tif")
    assert not list(tmp_path.iterdir())


def test_what_is_not_finite_makes_no_slide(disc: Path, tmp_path: Path) -> None:
    broken = nn.Conv2d(3, 3, 1)
    nn.init.constant_(broken.bias, float("nan"))  # type: ignore[arg-type]
    with pytest.raises(RunError, match="not finite"):
        run(broken, disc, tmp_path / "s.tif")
    assert not list(tmp_path.iterdir())


def test_magnification_is_the_trainings(disc: Path, tmp_path: Path, write: Make, tissue: Make) -> None:
    with open_slide(disc) as slide:
        assert scale_for(slide, None, 0.5) == scale_for(slide, None, 0.505) == 1
        assert scale_for(slide, None, 1.0) == pytest.approx(2, rel=1e-3)
        assert scale_for(slide, 0.25, 0.5) == 2
        with pytest.raises(RunError, match="--run-mpp"):
            scale_for(slide, None, None)
        with pytest.raises(DataError, match="too coarse"):
            scale_for(slide, None, 0.2)
    with open_slide(write(tmp_path / "untold.tif", tissue(100, 100), None)) as slide:
        with pytest.raises(DataError, match="--mpp"):
            scale_for(slide, None, 0.5)
        assert scale_for(slide, 0.5, 0.5) == 1


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from vsbench import registry
    from vsbench.config import build_config, config_type

    method = registry.load("vsbench.methods", "regression")
    options = {"width": 4, "downs": 3}
    file = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(file, "regression", method(build_config(config_type(method), options)))
    return file


def test_the_command_writes_slide_and_outlines(vsbench: Make, weights: Path, disc: Path, tmp_path: Path) -> None:
    command = (
        "translate",
        weights,
        disc,
        tmp_path / "s.ome.tif",
        "--run-mpp",
        0.5,
        "--geojson",
        tmp_path / "s.geojson",
    )
    ran = vsbench(*command)
    assert ran.returncode == 0, ran.stderr
    assert "1100×700 pixels of 0.5 µm" in ran.stdout
    assert "tissue: 3" in ran.stderr
    assert json.loads((tmp_path / "s.geojson").read_text())["type"] == "FeatureCollection"
    assert "exists already" in vsbench(*command).stderr


@pytest.mark.parametrize(
    ("source", "out", "options", "code", "says"),
    [
        ("disc.tif", "o.tif", [], 1, "--run-mpp"),
        ("disc.tif", "o.tif", ["--run-mpp", 0.5, "--on-bad", "skip"], 2, "--on-bad skip: not for a slide"),
        ("disc.tif", "o.tif", ["--run-mpp", 0.5, "--tile-statistics", "image"], 2, "not for a slide"),
        ("disc.tif", "o.tif", ["--run-mpp", 0.5, "--tile", 30], 2, "multiple of 8"),
        ("disc.tif", "o.tif", ["--run-mpp", 0.5, "--devices", 3, "--device", "cpu"], 2, "--devices 3"),
        ("disc.tif", "o.png", ["--mpp", 0.5], 2, "--mpp: not for images"),
        ("disc.tif", "o.tif", ["--run-mpp", 0.5, "--tile", 0], 2, "multiple of 8"),
        ("disc.tif", "o.tif", ["--run-mpp", 0.5, "--geojson", "disc.tif", "--overwrite"], 2, "IN or OUT itself"),
        ("disc.tif", "o.tif", ["--run-mpp", 0.5, "--geojson", "o.tif"], 2, "IN or OUT itself"),
        ("disc.tif", "o.tif", ["--run-mpp", 0.5, "--geojson", ".", "--overwrite"], 2, "is a folder"),
        ("disc.tif", "o.tif", ["--run-mpp", 0.5, "--geojson", "disc.tif/o"], 2, "is no folder"),
        ("s.svs", "o.png", [], 2, "s.svs: a whole slide; give OUT a name that ends in .ome.tif"),
        ("disc.tif", "disc.tif", ["--run-mpp", 0.5], 2, "one file"),
        ("none.tif", "o.tif", ["--run-mpp", 0.5], 1, "cannot be read"),
        (".", "o.tif", ["--run-mpp", 0.5], 2, "a folder"),
    ],
)
def test_what_can_not_be_is_one_line(
    vsbench: Make,
    weights: Path,
    disc: Path,
    tmp_path: Path,
    source: str,
    out: str,
    options: list[Any],
    code: int,
    says: str,
) -> None:
    if not (place := tmp_path / "disc.tif").exists():
        place.symlink_to(disc)
    ran: subprocess.CompletedProcess[str] = vsbench("translate", weights, tmp_path / source, tmp_path / out, *options)
    assert ran.returncode == code
    assert says in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir() if file.suffix in (".tif", ".part", ".png")] == ["disc.tif"]
