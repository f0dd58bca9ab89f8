"""Images of 1024² in a second through the networks of the metrics, and through a whole evaluation."""

import time
from functools import partial
from typing import Any

import numpy as np

from benchmarks.gpu import data
from benchmarks.gpu.card import median_seconds
from benchmarks.gpu.parts import Bench, Row, Tell, guarded
from vsbench import registry
from vsbench.evaluation.instrument import Instrument
from vsbench.evaluation.onepass import CHUNK, measure
from vsbench.metric import Image, Sample
from vsbench.metrics._network import NetworkMetric, exact, tensor

FAMILIES = ("fid", "fid_pytorch", "phv", "phv_imagenet", "lpips", "lpips_vgg", "fd_vgg16")
SIDE, ROUNDS = 1024, 3
WHOLE = 8  # pairs that a whole evaluation measures


def run(bench: Bench, tell: Tell) -> None:
    """Family by family, LPIPS's backbone image by image and in batches, then all there is."""
    for name in FAMILIES:
        tell(guarded(bench, {"what": "family", "family": name}, partial(family, bench, name)))
    for batch in (1, 2, CHUNK):
        about = {"what": "lpips backbone", "batch": batch}
        tell(guarded(bench, about, partial(backbone, bench, batch)))
    tell(guarded(bench, {"what": "whole evaluation"}, partial(whole, bench)))


def family(bench: Bench, name: str) -> Row:
    """Pairs in a second through one family's ``update``, a chunk at a time, each image seen the first time."""
    metric = ready(bench, name)
    samples = iter([chunk(bench, number) for number in range(ROUNDS + 1)])
    seconds = median_seconds(bench, lambda: metric.update(next(samples)), ROUNDS, warm=1)
    return {"pairs_per_s": CHUNK / seconds, "images": CHUNK}


def ready(bench: Bench, name: str) -> NetworkMetric:
    """A family with random weights, its network on the device. ModuleNotFoundError where a package is missing."""
    metric: Any = registry.load("vsbench.metrics", name)()
    metric.device = bench.device
    metric.use_random_weights(0)
    if why := metric.unavailable():
        raise ModuleNotFoundError(why)
    return metric


def backbone(bench: Bench, batch: int) -> Row:
    """LPIPS's network alone, on so many images at once."""
    network = ready(bench, "lpips").ready()
    pixels = tensor([sample.fake for sample in chunk(bench, 0)], bench.device)

    def work() -> None:
        for part in pixels.split(batch):
            network.net(network.scaling_layer(part / 127.5 - 1))

    with exact():
        seconds = median_seconds(bench, work, ROUNDS)
    return {"images_per_s": CHUNK / seconds}


def whole(bench: Bench) -> Row:
    """Pairs in a second with all metrics that are always measured, one row, random weights; most of it on CPUs."""
    pairs = data.large_pairs(bench, "png")[: 1 if bench.small else WHOLE]
    instrument = Instrument.build(bench.device, random_seed=0).suited(pairs)
    begun = time.perf_counter()
    measure(pairs, {"he": lambda pair, he, real: he[::-1].copy()}, instrument.metrics)
    seconds = time.perf_counter() - begun
    return {"pairs_per_s": len(pairs) / seconds, "families": len(instrument.metrics)}


def chunk(bench: Bench, number: int) -> list[Sample]:
    """New images of random pixels, which no metric has seen."""
    side = 64 if bench.small else SIDE
    rng = np.random.default_rng(number)
    pixels: list[Image] = list(rng.integers(0, 256, (2 * CHUNK, side, side, 3), dtype=np.uint8))
    return [Sample(f"{number}-{k}", pixels[k], pixels[CHUNK + k], pixels[CHUNK + k]) for k in range(CHUNK)]
