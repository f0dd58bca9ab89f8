"""Images in overlapping tiles: what they weigh, that nothing is seen of them, and when they are used."""

import json
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.optim import Optimizer

from vsbench.data.seams import Seams
from vsbench.engine import translate
from vsbench.engine.memory import available_memory, bytes_per_pixel
from vsbench.engine.statistics import Statistics, imposing, recording
from vsbench.engine.tiles import Tiling, mosaics, spans, thumbnail
from vsbench.engine.translate import TileStatistics, translate_fitting, translate_image, translate_tiles
from vsbench.errors import RunError, UsageError
from vsbench.method import Batch, Method, MethodConfig, Phase

CPU = torch.device("cpu")
WAYS: tuple[TileStatistics, ...] = ("tile", "image", "sample")
Build = Callable[..., Method[Any]]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


class Network(Method[MethodConfig]):
    """Any network as a method; notes the sizes it is shown, and runs out of memory above ``limit`` pixels."""

    def __init__(self, network: nn.Module, size_multiple: int = 4, limit: float = np.inf) -> None:
        super().__init__(MethodConfig())
        self.network, self.multiple, self.limit = network, size_multiple, limit
        self.shown: list[tuple[int, ...]] = []

    @property
    def size_multiple(self) -> int:
        return self.multiple

    def optimizers(self) -> dict[str, Optimizer]:
        return {}

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        yield Phase((), {})

    def translate(self, he: Tensor) -> Tensor:
        self.shown.append(tuple(he.shape[2:]))
        if he[0, 0].numel() > self.limit:
            raise torch.OutOfMemoryError
        return self.network(he)


def picture(height: int, width: int) -> NDArray[np.uint8]:
    """Noise on a slope, so that its parts differ in mean and variance."""
    rng = np.random.default_rng(height * 1000 + width)
    slope = np.linspace(0, 1, height)[:, None, None] * np.linspace(0.2, 1, width)[:, None]
    return (slope * rng.integers(100, 256, (height, width, 3))).astype(np.uint8)


def normalising() -> nn.Sequential:
    """A convolution and an instance norm, on which everything depends."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"), nn.InstanceNorm2d(3), nn.Tanh())


@pytest.mark.parametrize("length", [1, 7, 31, 32, 33, 63, 64, 100, 257])
@pytest.mark.parametrize(
    "tiling",
    [Tiling(*t) for t in [(32, 8), (32, 0), (32, 1), (32, 16), (32, 28, 4), (48, 13, 16), (8, 3), (64, 20, 32)]],
    ids=str,
)
def test_the_weights_of_a_pixel_add_up_to_one(length: int, tiling: Tiling) -> None:
    tiles = spans(length, tiling)
    padded = tiles[-1].start + len(tiles[-1].pixels)
    assert padded == -(-max(length, 8) // tiling.multiple) * tiling.multiple
    total, seen = np.zeros(padded), np.zeros(padded, int)
    for tile in tiles:
        assert tile.start % tiling.multiple == 0
        assert len(tile.pixels) == len(tile.weights) == min(tiling.size, padded)
        assert tile.weights.min() >= 0
        total[tile.start : tile.start + len(tile.weights)] += tile.weights
        seen[tile.pixels] += 1
    np.testing.assert_allclose(total, 1, rtol=0, atol=1e-6)
    assert seen[:length].all()
    for this, following in pairwise(tiles):
        assert this.start < following.start <= this.start + tiling.size - tiling.overlap


def test_a_tile_weighs_nothing_at_its_border() -> None:
    """Within a quarter of the overlap, and there only; at the border of the image it has all the weight."""
    first, middle, last = spans(80, Tiling(32, 8))
    np.testing.assert_array_equal(np.flatnonzero(middle.weights), np.arange(2, 30))
    assert first.weights[0] == last.weights[-1] == 1


@pytest.mark.parametrize(
    ("size", "overlap", "multiple", "mend"),
    [
        (30, 8, 4, "use 32"),
        (4, 0, 1, "use 8"),
        (-8, 0, 1, "use 8"),
        (32, 32, 4, "less than the tile"),
        (32, -1, 4, "at least 0"),
        (32, 8, 32, "use a tile of 64 or an overlap of at most 0"),
    ],
)
def test_impossible_tiles(size: int, overlap: int, multiple: int, mend: str) -> None:
    with pytest.raises(UsageError, match=mend):
        Tiling(size, overlap, multiple)


@pytest.mark.parametrize("size", [(100, 75), (33, 200), (1, 90), (90, 1), (5, 5), (1, 1), (32, 32)])
@pytest.mark.parametrize("statistics", WAYS)
def test_without_normalisation_tiles_are_the_whole(size: tuple[int, int], statistics: TileStatistics) -> None:
    """When the network sees no further than a quarter of the overlap; it halves and doubles, to notice shifts."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 2, stride=2), nn.ConvTranspose2d(4, 3, 2, stride=2), nn.Conv2d(3, 3, 3, padding=1), nn.Tanh()
    )
    method, he = Network(network, 2), picture(*size)
    tiled = translate_tiles(method, he, CPU, Tiling(32, 16, 2), statistics)
    assert max(map(max, method.shown)) <= 32
    whole = translate_image(method, he, CPU)
    assert np.abs(tiled.astype(int) - whole).max() <= 1  # sums of float32 weights, rounded


@pytest.mark.parametrize("name", ["cut", "cyclegan", "pix2pix", "usigan"])
@pytest.mark.parametrize("statistics", WAYS)
def test_every_method_in_tiles(build: Build, name: str, statistics: TileStatistics) -> None:
    """It is shown no more than a tile, and left as it was."""
    method, he = build(name).eval(), picture(70, 45)
    before, whole = {k: v.clone() for k, v in method.state_dict().items()}, translate_image(method, he, CPU)
    tiled = translate_tiles(method, he, CPU, Tiling(32, 8, method.size_multiple), statistics)
    assert tiled.shape == he.shape
    assert all(torch.equal(v, before[k]) for k, v in method.state_dict().items())
    np.testing.assert_array_equal(translate_image(method, he, CPU), whole)


def test_recorded_statistics_imposed_change_nothing(build: Build) -> None:
    """Instance norm, and the batch norm that a method switches to the statistics of the image."""
    he = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for name, norms in [("cut", 7), ("pix2pix", 3)]:
        method, known = build(name).eval(), Statistics()
        with torch.inference_mode(), recording(method, known):
            expected = method.translate(he)
        assert len(known.means) == norms
        with torch.inference_mode(), imposing(method, known):
            torch.testing.assert_close(method.translate(he), expected, rtol=0, atol=1e-5)
        with torch.inference_mode(), imposing(method, known):
            part = method.translate(he[..., :16])
        with torch.inference_mode():
            assert not torch.allclose(part, method.translate(he[..., :16]), atol=1e-3)
            assert torch.equal(method.translate(he), expected)


def test_running_statistics_are_left_in_charge(build: Build) -> None:
    method, known = build("pix2pix", test_mode="running_statistics").eval(), Statistics()
    with torch.inference_mode(), recording(method, known):
        method.translate(torch.zeros(1, 3, 32, 32))
    assert known.means == []


def test_statistics_of_parts_pooled_are_those_of_the_whole() -> None:
    network, known, whole = normalising()[1:2], Statistics(), Statistics()
    image = torch.rand(1, 3, 6, 40, generator=torch.Generator().manual_seed(0)).cumsum(3)
    for part in image.chunk(5, 3):
        with recording(network, known):
            network(part)
    with recording(network, whole):
        network(image)
    torch.testing.assert_close(known.means + known.variances, whole.means + whole.variances, rtol=1e-5, atol=0)


def test_a_mosaic_is_made_of_pieces_from_all_over_the_image() -> None:
    height, width = 100, 30  # the width fits into a tile
    he = np.stack([*np.mgrid[:height, :width], np.zeros((height, width))], axis=2).astype(np.uint8)
    made = list(mosaics(he, Tiling(32, 8)))
    assert [mosaic.shape for mosaic in made] == [(32, 30, 3)] * 2
    starts = sorted(int(row) for mosaic in made for row in mosaic[::8, 0, 0])
    assert starts == [0, 13, 26, 39, 52, 65, 78, 92]
    for mosaic in made:
        np.testing.assert_array_equal(np.diff(mosaic[:8, 0, 0].astype(int)), 1)  # at full resolution


def test_a_thumbnail_averages() -> None:
    he = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    small = thumbnail(he, 16)
    assert small.shape == (16, 8, 3)
    np.testing.assert_allclose(small, he.reshape(16, 4, 8, 4, 3).mean((1, 3)), atol=1)


def test_memory_does_not_grow_with_the_rows_of_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is rounded to 8 bits at a time is the height of one tile at most."""
    heights: list[int] = []

    def to_images(strip: Tensor) -> list[NDArray[np.uint8]]:
        heights.append(strip.untyped_storage().nbytes() // (4 * 3 * 40))
        return list(np.zeros((1, strip.shape[2], strip.shape[3], 3), np.uint8))

    monkeypatch.setattr(translate, "to_images", to_images)
    translate_tiles(Network(nn.Identity()), picture(400, 40), CPU, Tiling(32, 8, 4))
    assert len(heights) == 17
    assert max(heights) == 32


def test_who_asks_is_told_where_tiles_were_joined() -> None:
    """In the middle of what two of them share."""
    told: list[Seams] = []
    translate_tiles(Network(nn.Identity()), picture(72, 48), CPU, Tiling(32, 8, 4), stitched=told.append)
    starts = [[span.start for span in spans(length, Tiling(32, 8, 4))] for length in (72, 48)]
    middle = [tuple((this + 32 + following) // 2 for this, following in pairwise(of)) for of in starts]
    assert told == [Seams(*middle)]
    translate_tiles(Network(nn.Identity()), picture(32, 20), CPU, Tiling(32, 8, 4), stitched=told.append)
    assert len(told) == 1  # one tile is no seam


@pytest.mark.parametrize("free", [10**12, None])
def test_what_fits_is_translated_whole(monkeypatch: pytest.MonkeyPatch, free: int | None) -> None:
    monkeypatch.setattr(translate, "available_memory", lambda: free)
    method, he, said = Network(normalising()), picture(300, 280), list[str]()
    image = translate_fitting(method, he, CPU, say=said.append)
    assert said == []
    assert method.shown[-1] == (300, 280)
    np.testing.assert_array_equal(image, translate_image(method, he, CPU))


def test_what_does_not_fit_is_cut_into_the_largest_tiles_that_do(monkeypatch: pytest.MonkeyPatch) -> None:
    method, he, said = Network(normalising()), picture(1100, 8), list[str]()
    monkeypatch.setattr(translate, "bytes_per_pixel", lambda method, device: 1000.0)
    monkeypatch.setattr(translate, "available_memory", lambda: 513**2 * 1000)
    monkeypatch.setattr(translate, "AUTOMATIC_TILES", (2048, 1024, 512, 256))
    small = translate_fitting(method, he, CPU, say=said.append)
    assert said == []  # long, but few pixels
    np.testing.assert_array_equal(small, translate_image(method, he, CPU))
    monkeypatch.setattr(translate, "available_memory", lambda: 1000)
    translate_fitting(method, he, CPU, say=said.append)
    assert len(said) == 1
    assert "1100×8 pixels: about 0.0 GB at once" in said[0]
    assert "tiles of 256 pixels with an overlap of 64, normalised by statistics of: sample" in said[0]


def test_when_memory_runs_out_smaller_tiles_are_tried() -> None:
    method, said = Network(normalising(), limit=300**2), list[str]()
    image = translate_fitting(method, picture(600, 520), CPU, "tile", said.append)
    assert [line.split("in tiles of ")[1].split()[0] for line in said] == ["512", "256"]
    assert all("more than memory holds" in line for line in said)
    np.testing.assert_array_equal(image, translate_tiles(method, picture(600, 520), CPU, Tiling(256, 64, 4), "tile"))
    with pytest.raises(RunError, match="tiles of 256 pixels; take smaller"):
        translate_fitting(Network(normalising(), limit=200**2), picture(600, 520), CPU, say=said.append)
    with pytest.raises(RunError, match="--tile cuts"):
        translate_image(method, picture(600, 520), CPU)


def test_memory_is_estimated_from_the_tensors_that_are_alive() -> None:
    """The image and two of 16 channels at a time, whatever the depth."""
    free = available_memory()
    assert free is None or free > 2**20
    counted = []
    for depth in (2, 6):
        network = nn.Sequential(nn.Conv2d(3, 16, 1), *[nn.Conv2d(16, 16, 1) for _ in range(depth)], nn.Conv2d(16, 3, 1))
        counted.append(bytes_per_pixel(Network(network), CPU))
    assert counted[0] == pytest.approx(2.5 * 4 * 35, rel=0.01)
    assert counted[1] == counted[0]


def test_the_command(vsbench: Command, data_root: Path, tiny: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    settings = [word for key, value in tiny("cut").items() for word in ("--set", f"{key}={json.dumps(value)}")]
    trained = vsbench(
        "train", "cut", "--dataset", "folder", "--stain", "er", "--preset", "cpu", *settings, "--data-root", data_root
    )
    assert trained.returncode == 0, trained.stderr
    (weights,) = (tmp_path / "results").rglob("*.safetensors")
    he, out = tmp_path / "he.png", tmp_path / "ihc.png"
    Image.fromarray(picture(50, 90)).save(he)
    made = []
    for options in [(), ("--tile", 32, "--overlap", 12), ("--tile", 32, "--tile-statistics", "tile")]:
        done = vsbench("translate", weights, he, out, "--overwrite", *options)
        assert done.returncode == 0, done.stderr
        with Image.open(out) as image:
            assert image.size == (90, 50)
            made.append(np.asarray(image).tobytes())
    assert len(set(made)) == 3
    for options in [("--tile", 30), ("--overlap", 8)]:
        refused = vsbench("translate", weights, he, out, "--overwrite", *options)
        assert (refused.returncode, refused.stdout) == (2, "")
    assert "Traceback" not in refused.stderr
