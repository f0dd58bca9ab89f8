"""Training: the loop in which each thing happens once."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from vsbench.data.augment import Augmentation
from vsbench.data.loader import Augmentations, Draws, TrainingBatches, stream
from vsbench.data.pairs import Pair
from vsbench.engine.checkpoint import Checkpoint, load_state, save_checkpoint
from vsbench.engine.log import TrainingLog
from vsbench.engine.run import Run
from vsbench.engine.samples import draw_sheet
from vsbench.engine.schedule import Schedule
from vsbench.errors import RunError
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
        _broadcast(fabric, method)
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

        losses = _step(fabric, method, batch, optimizers)
        for term, value in _finite(losses, step, ids).items():
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


def _step(fabric: Fabric, method: Method[Any], batch: Batch, optimizers: dict[str, Any]) -> dict[str, Tensor]:
    """All phases of one training step: gradients, reduction over devices, optimizers. The losses by name."""
    logged: dict[str, Tensor] = {}
    try:
        phases = method.training_step(batch)
        while True:
            with fabric.autocast():  # around each advance: a generator's body runs here, not where it was made
                phase = next(phases, None)
            if phase is None:
                return logged
            driven = [optimizers[name] for name in phase.drives]
            parameters = [p for optimizer in driven for group in optimizer.param_groups for p in group["params"]]
            for optimizer in driven:
                optimizer.zero_grad()
            # inputs: no gradient is made for, or left on, the networks of other phases
            fabric.backward(torch.stack(list(phase.losses.values())).sum(), inputs=parameters)
            _reduce_gradients(fabric, parameters)
            for optimizer in driven:
                optimizer.step()
            logged |= {name: loss.detach() for name, loss in phase.losses.items()}
    except torch.OutOfMemoryError:
        c = method.config
        raise RunError(
            f"out of memory at crop_size {c.crop_size}, batch_size {c.batch_size}, precision "
            f"{fabric.strategy.precision.precision}: lower one of them with --set or --precision"
        ) from None


def _finite(losses: dict[str, Tensor], step: int, ids: tuple[str, ...]) -> dict[str, float]:
    """The losses as numbers, in one transfer. Raises RunError naming the first that is none."""
    numbers = dict(zip(losses, torch.stack([loss.float() for loss in losses.values()]).tolist(), strict=True))
    for term, value in numbers.items():
        if value != value or abs(value) == float("inf"):
            raise RunError(f"step {step + 1}: loss {term} is {value} on {', '.join(ids)}; lower lr or raise precision")
    return numbers


def _reduce_gradients(fabric: Fabric, parameters: list[nn.Parameter]) -> None:
    """Mean of the gradients over all devices, in one message."""
    if fabric.world_size == 1:
        return
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = torch.cat([g.flatten() for g in gradients])
    mean = fabric.all_reduce(flat, reduce_op="mean")
    assert isinstance(mean, Tensor)
    for parameter, part in zip(parameters, mean.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter)


def _broadcast(fabric: Fabric, method: Method[Any]) -> None:
    """All devices start from the first one's weights."""
    with torch.no_grad():
        for tensor in [*method.parameters(), *method.buffers()]:
            tensor.copy_(fabric.broadcast(tensor))


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
