"""Two minutes of USIGAN at its published widths on the phantom: does it learn there, and how soon?

Widths, depth and patches are the published ones; weights of the losses and the rest are those of the ``cpu`` preset,
which was chosen for so few steps (results/examples/phantom/presets.md): at the published weight of L_tcyc PatchNCE
stays at chance for longer. The phantom's default cohort, no crop seen in training is in the test tiles.
"""

import csv
import time
from functools import partial
from typing import Any

import torch

from benchmarks.gpu import data
from benchmarks.gpu.parts import Bench, Row, Tell, guarded
from benchmarks.presets import Judge
from vsbench.cli.options import make_fabric
from vsbench.engine.checkpoint import Checkpoint, checkpoints, load_method
from vsbench.engine.request import Request
from vsbench.engine.run import Run
from vsbench.engine.start import start
from vsbench.engine.step import Execution
from vsbench.engine.trainer import Progress, Rhythm
from vsbench.engine.translate import translate_files

PUBLISHED = {
    "width": 64, "blocks": 6, "discriminator_width": 64, "discriminator_layers": 5, "taps": (0, 4, 8, 12, 16),
    "patches": 256,
}  # fmt: skip
SETTINGS: dict[str, Any] = PUBLISHED | {"crop_size": 128, "batch_size": 8, "lr": 4e-4}
TINY: dict[str, Any] = {
    "width": 4, "blocks": 1, "discriminator_width": 4, "discriminator_layers": 1, "taps": (0, 4), "patches": 8,
    "crop_size": 32, "batch_size": 1, "lr": 4e-4,
}  # fmt: skip
PROBE, MOST, SHARE = 30, 6000, 0.8  # steps; of the time that is left, for training; the rest is for measuring
POINTS = 6  # checkpoints that are measured
WORKERS = 8


def run(bench: Bench, tell: Tell) -> None:
    """How fast it is, then as many steps as there is time for, then what it learned."""
    bench.wait_for(data.PHANTOM)
    speed = guarded(bench, {"what": "speed"}, partial(probe, bench))
    tell(speed)
    if "failed" in speed:
        return
    steps = POINTS if bench.small else min(MOST, int(SHARE * bench.left / speed["s"]))
    tell(guarded(bench, {"what": "training", "steps": steps}, partial(trained, bench, steps)))
    for row in curve(bench, steps):
        tell(row)
    judge = Judge(data.phantom(bench, "test"))
    for checkpoint in checkpoints(folder(bench, steps).checkpoints):
        tell(guarded(bench, {"what": "checkpoint", "step": checkpoint.step}, partial(judged, bench, judge, checkpoint)))


class Silent:
    """A display that shows nothing."""

    def say(self, line: str) -> None:
        """Nothing."""

    def step(self, title: str, progress: Progress) -> None:
        """Nothing."""


def request(bench: Bench, steps: int) -> Request:
    """What is trained."""
    options = (TINY if bench.small else SETTINGS) | {"steps": steps}
    return Request(
        "usigan", "phantom", data.STAIN, "cpu", options, data.options(bench.small), data.root(bench),
        label=f"steps-{steps}", results=bench.folder / "learning", execution=Execution(channels_last=True),
    )  # fmt: skip


def train(bench: Bench, steps: int) -> Run:
    """Through the same door as ``vsbench train``, in half precision."""
    fabric = make_fabric(bench.device, 1, "bf16-mixed")
    every = max(1, steps // POINTS)
    rhythm = Rhythm(log=max(1, steps // 100), sheet=10**6, checkpoint=10**6, keep_every=every)
    return start(request(bench, steps), fabric, False, 0 if bench.small else WORKERS, rhythm, Silent())


def folder(bench: Bench, steps: int) -> Run:
    """Where it went."""
    return Run(next((bench.folder / "learning").glob(f"runs/*/steps-{steps}/seed-0")))


def probe(bench: Bench) -> Row:
    """Seconds of a step, start and end of a training left aside."""
    few, more = (1, 2) if bench.small else (PROBE, 4 * PROBE)
    taken = []
    for steps in (few, more):
        begun = time.perf_counter()
        train(bench, steps)
        taken.append(time.perf_counter() - begun)
    return {"s": max(1e-4, (taken[1] - taken[0]) / (more - few)), "start_s": taken[0]}


def trained(bench: Bench, steps: int) -> Row:
    """The training itself."""
    record = train(bench, steps).trained
    settings = {key: record.config[key] for key in (TINY if bench.small else SETTINGS)}
    return {"wall_s": record.wall_time_s, "bytes": record.peak_memory_bytes, "repetition": record.repetition} | settings


def curve(bench: Bench, steps: int) -> list[Row]:
    """The losses, about every hundredth of the way."""
    with folder(bench, steps).log_file.open(encoding="utf-8", newline="") as file:
        return [
            {"what": "losses"} | {key: float(value) for key, value in line.items() if value}
            for line in csv.DictReader(file)
        ]


def judged(bench: Bench, judge: Judge, checkpoint: Checkpoint) -> Row:
    """Whether the right cells are stained, on the test tiles."""
    images = bench.folder / f"learning-{checkpoint.step}"
    images.mkdir()
    files = [(pair.he, images / f"{pair.id}.png") for pair in judge.pairs]
    translate_files(load_method(checkpoint.weights), files, torch.device(bench.device))
    return dict(judge.measured(images))
