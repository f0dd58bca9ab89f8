"""Does the GPU wait for images? A training step with those that are there already, and with the loader's."""

import time
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.gpu import data
from benchmarks.gpu.card import median_seconds
from benchmarks.gpu.parts import Bench, Row, Tell, guarded
from benchmarks.gpu.steps import COMBINATIONS, begun, config, same_step, timed
from vsbench.checks.devices import AtWork, convolutions
from vsbench.data.augment import Augmentation, TileReader, read_tile
from vsbench.data.loader import Augmentations, Draws, Sampled, TrainingBatches, stream
from vsbench.data.tensors import scaled
from vsbench.data.tile_cache import TileCache
from vsbench.engine.step import finite, take_step
from vsbench.method import Batch, Place

WARM, STEPS = 8, 40
FASTEST = COMBINATIONS[0]
SETTINGS = (  # kind of file, with the tile cache, worker processes
    ("jpeg", False, 4), ("jpeg", False, 2), ("jpeg", True, 2), ("png", False, 8), ("png", True, 2), ("jpeg", False, 8),
)  # fmt: skip


def run(bench: Bench, tell: Tell) -> None:
    """USIGAN's published step in half precision, the one that waits least for arithmetic."""
    with convolutions():
        work, _ = begun(bench, "usigan", FASTEST)
        steps = STEPS // 20 if bench.small else STEPS
        alone = sorted(timed(bench, partial(same_step, work)) for _ in range(steps))[steps // 2]
        tell({"what": "alone", "way": FASTEST.name, "s": alone})
        tell(guarded(bench, {"what": "scaling"}, partial(scaling, bench, work)))
        for kind, cached, workers in SETTINGS:
            about = {"what": "loading", "files": kind, "cache": cached, "workers": workers}
            tell(guarded(bench, about, partial(fed, bench, work, alone, kind, cached, workers)))


def fed(bench: Bench, work: AtWork, alone: float, kind: str, cached: bool, workers: int) -> Row:
    """Seconds of a step that is fed by the loader, and for what share of them nothing was there to do."""
    steps = WARM + (STEPS // 20 if bench.small else STEPS)
    batches = iter(stream(training_batches(bench, kind, cached), 0, steps, workers, bench.device == "cuda"))
    waited = since = 0.0
    for number in range(steps):
        asked = time.perf_counter()
        batch = next(batches)
        if number == WARM:
            waited, since = 0.0, asked
        waited += time.perf_counter() - asked
        step(work, batch)
    bench.synchronize()
    seconds = (time.perf_counter() - since) / (steps - WARM)
    next(batches, None)
    return {"s": seconds, "waits": waited / (steps - WARM) / seconds, "slower": seconds / alone - 1}


def scaling(bench: Bench, work: AtWork) -> Row:
    """Seconds that the training's own process takes to scale a batch that is there, and to hand it to the device."""
    batch, _, side, _ = work.batch.he.shape
    levels = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), dtype=np.uint8)

    def both() -> None:
        for _ in ("he", "ihc"):
            work.fabric.to_device(scaled(levels, bench.device == "cuda"))

    return {"s": median_seconds(bench, both)}


def step(work: AtWork, sampled: Sampled) -> None:
    """One step, as a training takes it."""
    he, ihc, ids = sampled
    batch = Batch.of(work.fabric.to_device(he), work.fabric.to_device(ihc), ids, Place())
    finite(take_step(work.fabric, work.method, batch, work.optimizers, work.execution), 0, ids)


def training_batches(bench: Bench, kind: str, cached: bool) -> TrainingBatches:
    """USIGAN's crops of large tiles; with ``cached``, of tiles that are decoded already, as in later epochs."""
    pairs = data.large_pairs(bench, kind)
    _, settings = config("usigan", bench.small)
    size = settings.load_size if bench.small else 0  # whole tiles are of the published load size
    augmentation = Augmentation(size, settings.crop_size, settings.flip)
    tile: TileReader = read_tile
    if cached:
        cache = TileCache.of(pairs, cache_folder(bench))
        cache.require_room({size})
        for path in (image for pair in pairs for image in (pair.he, pair.ihc)):
            cache.tile(path, size)
        tile = cache.tile
    draws = Draws(len(pairs), settings.batch_size, seed=0)
    return TrainingBatches(pairs, draws, Augmentations(augmentation, augmentation, 0), tile=tile)


def cache_folder(bench: Bench) -> Path:
    """Where tiles are kept decoded."""
    return bench.folder / "cache"
