"""What tiles cost on real histology: a trained method with instance norm, in tiles and whole."""

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vsbench.cli.options import make_fabric
from vsbench.data.decode import read_rgb
from vsbench.engine.checkpoint import checkpoints, load_method
from vsbench.engine.request import Request
from vsbench.engine.start import start
from vsbench.engine.tiles import Tiling, spans
from vsbench.engine.trainer import Rhythm
from vsbench.engine.translate import TileStatistics, translate_image, translate_tiles
from vsbench.method import Method

CPU = torch.device("cpu")
SIDE, TILE = 384, 96
WAYS: tuple[TileStatistics, ...] = ("tile", "image", "sample")


class Silence:
    def say(self, line: str) -> None: ...

    def step(self, title: str, progress: object) -> None: ...


@pytest.fixture(scope="module")
def trained(shared: Path, tiny: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Method[Any]:
    """A small CUT after 60 steps on three real pairs."""
    root = tmp_path_factory.mktemp("bci")
    for side in ("HE", "IHC"):
        for split in ("train", "test"):
            (root / side / split).mkdir(parents=True)
            for file in (shared / "data" / "bci" / side / "test").iterdir():
                shutil.copyfile(file, root / side / split / file.name.replace("_test_", f"_{split}_"))
    options = tiny("cut", steps=60, batch_size=1, crop_size=64, width=8, lr=1e-3)
    request = Request("cut", "bci", "her2", "cpu", options, data_root=root, results=root)
    run = start(request, make_fabric("cpu", 1, "32-true"), False, 0, Rhythm(100, 1000, 1000), Silence())
    return load_method(checkpoints(run.checkpoints)[-1].weights).eval()


def seams(image: NDArray[np.float64], whole: NDArray[np.float64], tiling: Tiling) -> float:
    """Mean |jump in the image − jump in the whole| in the middle of what two tiles share, in levels."""
    jumps = []
    for axis in (0, 1):
        tiles = spans(SIDE, tiling)
        for this, following in pairwise(tiles):
            middle = (this.start + tiling.size + following.start) // 2
            excess = np.diff(np.take(image - whole, [middle - 1, middle], axis), axis=axis)
            jumps.append(np.abs(excess).mean())
    return float(np.mean(jumps))


def test_what_tiles_cost(trained: Method[Any], shared: Path, record_property: Callable[[str, object], None]) -> None:
    """Sampled statistics come nearest to the whole image; reduced four times it has statistics of another texture."""
    source = sorted((shared / "data" / "bci" / "HE" / "test").iterdir())[1]
    he = np.ascontiguousarray(read_rgb(source)[:SIDE, :SIDE])
    whole = translate_image(trained, he, CPU).astype(float)
    gap: dict[tuple[TileStatistics, int], float] = {}
    seam: dict[tuple[TileStatistics, int], float] = {}
    print(f"\n{source.name}, {SIDE}² in tiles of {TILE}, 8-bit levels: mean |Δ|, max |Δ|, seams")
    for overlap in (0, TILE // 4):
        for way in WAYS:
            tiling = Tiling(TILE, overlap, trained.size_multiple)
            tiled = translate_tiles(trained, he, CPU, tiling, way).astype(float)
            gap[way, overlap], seam[way, overlap] = np.abs(tiled - whole).mean(), seams(tiled, whole, tiling)
            line = f"{gap[way, overlap]:.2f} {np.abs(tiled - whole).max():.0f} {seam[way, overlap]:.2f}"
            record_property(f"{way}, overlap {overlap}", line)
            print(f"{way:8} overlap {overlap:3}: {line}")
    assert whole.std() > 5
    for overlap in (0, TILE // 4):
        assert 1.2 * gap["sample", overlap] < gap["tile", overlap]
        assert 1.2 * gap["sample", overlap] < gap["image", overlap]
    for way in WAYS:
        assert 2 * seam[way, TILE // 4] < seam[way, 0]
    assert 1.2 * seam["sample", TILE // 4] < min(seam["tile", TILE // 4], seam["image", TILE // 4])
