"""Images for the parts that want them, made on CPUs meanwhile: the phantom, and tiles of 1024² put together of it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.gpu.parts import Bench, Row, Tell, guarded
from vsbench import registry
from vsbench.data.decode import read_rgb
from vsbench.data.pairs import Pair
from vsbench.files import write_json

STAIN = "ki67"
PHANTOM, TILES = "phantom.json", "tiles.json"  # there once the images are
KINDS: dict[str, tuple[str, dict[str, Any]]] = {"jpeg": ("jpg", {"quality": 90}), "png": ("png", {})}
LARGE_PAIRS = 12


def options(small: bool) -> dict[str, Any]:
    """Of the phantom's data set: its default cohort, or a few small tiles."""
    return {"size": 64, "slides_train": 1, "slides_test": 1, "tiles_per_slide": 2} if small else {}


def root(bench: Bench) -> Path:
    """Where the phantom's tiles are rendered to."""
    return bench.folder / "phantom"


def phantom(bench: Bench, split: str) -> list[Pair]:
    """The phantom's pairs."""
    dataset = registry.load("vsbench.datasets", "phantom").from_options(options(bench.small))
    return list(dataset.pairs(root(bench), STAIN, split))


def run(bench: Bench, tell: Tell) -> None:
    """Render, then put large tiles together; each is there for others at once."""
    tell(guarded(bench, {"what": "phantom"}, partial(rendered, bench)))
    tell(guarded(bench, {"what": "tiles"}, partial(large_tiles, bench)))


def rendered(bench: Bench) -> Row:
    """Both splits of the phantom."""
    count = len(phantom(bench, "train")) + len(phantom(bench, "test"))
    return done(bench, PHANTOM, {"pairs": count})


def large_tiles(bench: Bench) -> Row:
    """Pairs of 1024² as a scanner's JPEG and as PNG, put together of phantom tiles in other orders."""
    pairs = phantom(bench, "train")
    sources = {which: [read_rgb(getattr(pair, which)) for pair in pairs] for which in ("he", "ihc")}
    across, count = (2, 3) if bench.small else (4, LARGE_PAIRS)
    rng = np.random.default_rng(0)
    for number in range(count):
        chosen = rng.integers(len(pairs), size=across**2)
        for which, tiles in sources.items():
            image = Image.fromarray(mosaic([tiles[place] for place in chosen], across))
            for kind, (suffix, how) in KINDS.items():
                file = bench.folder / "tiles" / kind / which / f"{number:02d}.{suffix}"
                file.parent.mkdir(parents=True, exist_ok=True)
                image.save(file, **how)
    return done(bench, TILES, {"pairs": count, "side": across * len(sources["he"][0])})


def mosaic(tiles: Sequence[NDArray[np.uint8]], across: int) -> NDArray[np.uint8]:
    """Equal squares, so many beside each other."""
    rows = [np.concatenate(tiles[start : start + across], axis=1) for start in range(0, len(tiles), across)]
    return np.concatenate(rows, axis=0)


def large_pairs(bench: Bench, kind: str) -> list[Pair]:
    """The large tiles of a kind, once they are there."""
    bench.wait_for(TILES)
    folder = bench.folder / "tiles" / kind
    return [Pair(he.stem, he, folder / "ihc" / he.name, None, "train") for he in sorted((folder / "he").iterdir())]


def done(bench: Bench, name: str, row: Row) -> Row:
    """Others may begin."""
    write_json(bench.folder / name, row)
    return row
