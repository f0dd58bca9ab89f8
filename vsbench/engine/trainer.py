"""Training: the loop in which each thing happens once."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric

from vsbench.data.augment import Augmentation
from vsbench.data.loader import Augmentations, Draws, TrainingBatches, stream
from vsbench.data.pairs import Pair
from vsbench.engine.checkpoint import Checkpoint, load_state, save_checkpoint
from vsbench.engine.log import TrainingLog
from vsbench.engine.run import Run
from vsbench.engine.samples import draw_sheet
from vsbench.engine.schedule import Schedule
from vsbench.engine.step import broadcast, finite, take_step
from vsbench.method import Batch, Method

SHEET_PAIRS = 3
SHEET_SIZE = 256


@dataclass(frozen=True)
class Rhythm:
    """Every how many steps to log, to draw a sheet and to write a checkpoint."""

    log: int = 50
    sheet: int = 500
    checkpoint: int = 5000


@dataclass(frozen=True)
class Progress:
    """What a progress display may show after a step."""

    step: int
    steps: int
    epoch: int
    images_per_s: float
    losses: dict[str, float]  # means over the steps since the last log row


def train(
    name: str,
    method: Method[Any],
    pairs: list[Pair],
    run: Run,
    fabric: Fabric,
    seed: int,
    resume: Checkpoint | None = None,
    workers: int = 0,
    rhythm: Rhythm | None = None,
    report: Callable[[Progress], None] | None = None,
) -> int:
    """Train to the end of the method's schedule and return the number of steps.

    ``method`` is freshly built on the CPU; ``resume`` takes it, its optimizers and all random generators back to a
    checkpoint, and the batches go on where they were. Raises RunError when a loss is not finite (naming step, term and
    tiles; the last checkpoint stays) or memory is short, DataError naming a bad image.
    """
    rhythm = rhythm or Rhythm()
    config = method.config
    batches, schedule = plan(method, pairs, seed, fabric.global_rank, fabric.world_size)
    fabric.to_device(method)
    plain = method.optimizers()
    start = 0
    if resume is not None:
        load_state(resume, method, plain)
        start = resume.step
    optimizers = {key: fabric.setup_optimizers(optimizer) for key, optimizer in plain.items()}
    if fabric.world_size > 1:
        broadcast(fabric, method)
        if resume is None:  # weights are equal on all ranks, what is drawn at random must not be
            torch.manual_seed(seed + fabric.global_rank)
    log = TrainingLog(run.log_file, method.card.losses, start) if fabric.is_global_zero else None
    method.train()

    since, images = time.monotonic(), 0
    sums: dict[str, float] = {}
    batches_ahead = stream(batches, start, schedule.steps, workers, fabric.device.type == "cuda")
    for step, (he, ihc, ids) in enumerate(batches_ahead, start):
        batch = Batch(fabric.to_device(he), fabric.to_device(ihc), ids)
        rate = config.lr * schedule.factor(step)
        for optimizer in plain.values():
            for group in optimizer.param_groups:
                group["lr"] = rate

        losses = take_step(fabric, method, batch, optimizers)
        for term, value in finite(losses, step, ids).items():
            sums[term] = sums.get(term, 0.0) + value
        images += len(ids) * fabric.world_size

        done = step + 1
        last = done == schedule.steps
        if log is None:
            continue
        if done % rhythm.log == 0 or last:
            steps_since = done % rhythm.log or rhythm.log
            means = {term: total / min(steps_since, done - start) for term, total in sums.items()}
            speed = images / (time.monotonic() - since)
            epoch = step // batches.draws.batches_per_epoch + 1
            log.append(
                {
                    "step": done,
                    "epoch": epoch,
                    "lr": rate,
                    "images_per_s": round(speed, 2),
                    "memory_mb": _memory(fabric),
                }
                | {term: float(f"{mean:.6g}") for term, mean in means.items()}
            )
            if report is not None:
                report(Progress(done, schedule.steps, epoch, speed, means))
            since, images, sums = time.monotonic(), 0, {}
        if done % rhythm.sheet == 0 or last:
            sheet = run.samples / f"step-{done:08d}.png"
            draw_sheet(sheet, method, pairs[:SHEET_PAIRS], SHEET_SIZE, fabric.device)
        if done % rhythm.checkpoint == 0 or last:
            save_checkpoint(run.checkpoints, done, name, method, plain)
    return schedule.steps


def plan(
    method: Method[Any], pairs: list[Pair], seed: int, rank: int = 0, ranks: int = 1
) -> tuple[TrainingBatches, Schedule]:
    """The batches and the schedule of a training; ``batch_size`` is per device."""
    c = method.config
    draws = Draws(len(pairs), c.batch_size * ranks, seed, c.loader == "aligned", c.sampling == "replace")
    schedule = Schedule.of(c, draws.batches_per_epoch)
    constant = Augmentation(c.load_size, c.crop_size, c.flip)
    decay = constant if c.decay_phase == "crop" else Augmentation(c.crop_size, c.crop_size, c.flip)
    augmentations = Augmentations(constant, decay, schedule.decay_from)
    return TrainingBatches(pairs, draws, augmentations, rank, ranks), schedule


def _memory(fabric: Fabric) -> int:
    """Peak memory in MB: of the GPU where there is one, else of the process (0 where the platform does not tell)."""
    if fabric.device.type == "cuda":
        return torch.cuda.max_memory_allocated(fabric.device) // 2**20
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 2**10
