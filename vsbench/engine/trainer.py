"""Training: the loop in which each thing happens once."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric

from vsbench.bounds import CHECKPOINTS, STEPS, require_whole
from vsbench.data.augment import Augmentation, read_tile
from vsbench.data.loader import Augmentations, Draws, Sampled, TrainingBatches, stream
from vsbench.data.maps import MappedTiles, ready_pictures
from vsbench.data.pairs import Pair
from vsbench.data.workers import Ahead
from vsbench.engine.average import WeightAverage, averaged
from vsbench.engine.checkpoint import prune, restore_newest, save_checkpoint
from vsbench.engine.interrupt import Interrupt, Interrupted, sheltered
from vsbench.engine.log import Tally, TrainingLog
from vsbench.engine.loggers import Loggers, entries
from vsbench.engine.memory import process_peak
from vsbench.engine.run import Run
from vsbench.engine.samples import draw_sheet
from vsbench.engine.schedule import Schedule
from vsbench.engine.step import Execution, broadcast, finite, take_step
from vsbench.engine.surroundings import forget_peak_memory, peak_memory
from vsbench.engine.validate import METRIC, Validation
from vsbench.errors import RunError, UserError
from vsbench.method import Batch, Method

SHEET_PAIRS = 3
SHEET_SIZE = 256


@dataclass(frozen=True)
class Rhythm:
    """Every how many steps to log, to draw a sheet and to write a checkpoint; and which checkpoints stay."""

    log: int = 50
    sheet: int = 500
    checkpoint: int = 5000
    keep: int = 2  # the newest, and the one before it in case the newest gets damaged
    keep_every: int | None = None  # checkpoints of these steps are written, and stay
    log_to: tuple[str, ...] = ()  # the tools of ``loggers.TOOLS`` that are told what is logged, too

    def __post_init__(self) -> None:
        for name in ("log", "sheet", "checkpoint"):
            require_whole(f"--{name}-every", getattr(self, name), 1, STEPS)
        require_whole("--keep", self.keep, 1, CHECKPOINTS)
        if self.keep_every is not None:
            require_whole("--keep-every", self.keep_every, 1, STEPS)

    def writes_checkpoint(self, step: int) -> bool:
        """Whether a checkpoint is due after a step."""
        return step % self.checkpoint == 0 or (self.keep_every is not None and step % self.keep_every == 0)


@dataclass(frozen=True)
class Progress:
    """What a progress display may show after a step."""

    step: int
    steps: int
    epoch: int
    images_per_s: float
    losses: dict[str, float]  # means over the steps since the last log row


@dataclass(frozen=True)
class Spent:
    """What a training took, the parts before a resume included."""

    seconds: float
    peak_memory: int | None  # bytes of this process's GPU; None elsewhere


class Display(Protocol):
    """What shows the progress of a training."""

    def say(self, line: str) -> None:
        """A line that stays."""

    def step(self, title: str, progress: Progress) -> None:
        """How the training goes."""


@dataclass(frozen=True)
class Training:
    """What is trained on what. ``method`` is freshly built, on the CPU; ``title``: of the progress shown."""

    name: str  # of the method
    title: str
    method: Method[Any]
    batches: TrainingBatches
    schedule: Schedule
    run: Run
    execution: Execution
    validation: Validation | None
    may_differ: Sequence[str] = ()  # settings in which a checkpoint to go on from may be another


def train(
    training: Training, fabric: Fabric, rhythm: Rhythm, display: Display, resume: bool = False, workers: int = 0
) -> Spent:
    """Train to the end of the method's schedule and return what it took.

    ``resume`` takes the method, its optimizers and all random generators back to the newest checkpoint that is whole,
    and the batches go on where they were. Raises RunError when a loss is not finite (naming step, term and tiles; the
    last checkpoint stays) or memory is short, DataError naming a bad image, with a checkpoint of the last step that was
    done (where several processes train: if the first one meets it), OSError for troubles of the machine, with one too
    where it can be written, and Interrupted after Ctrl-C, SIGTERM or SIGHUP, when the running step is done and a
    checkpoint of it written.
    """
    method, run, validation = training.method, training.run, training.validation
    name, batches, schedule = training.name, training.batches, training.schedule
    config, pairs, execution = method.config, training.batches.pairs, training.execution
    forget_peak_memory(fabric.device)
    fabric.to_device(method)
    plain = method.optimizers()
    start, kept = (
        restore_newest(run.checkpoints, name, method, plain, display.say, training.may_differ) if resume else (0, {})
    )
    precision = fabric.strategy.precision
    if kept.get("precision"):
        precision.load_state_dict(kept["precision"])
    tally, before = Tally(**kept.get("tally", {})), Spent(kept.get("seconds", 0.0), kept.get("peak_memory"))
    optimizers = {key: fabric.setup_optimizers(optimizer) for key, optimizer in plain.items()}
    average = WeightAverage(method, config.average) if config.average > 0 else None
    if average is not None and kept.get("own"):
        average.go_on(method, kept["own"])
    if fabric.world_size > 1:
        broadcast(method)  # random numbers are equal on all ranks too: vsbench.ranks
    log = None  # what is written, the first of several processes writes
    if fabric.is_global_zero:
        log = TrainingLog(run.log_file, method.card.losses, start)
        if validation is not None:
            validation.go_on_from(start)
            if validation.is_due(start, schedule.steps):  # it stopped at a bad image, before it was measured
                with averaged(average, method):
                    validation.measure(start, method, fabric.device)
    method.train()

    begun = since = time.monotonic()
    images, done, saved = 0, start, start
    whole = True  # whether weights, optimizers and averages are those of a step that is done

    def save(step: int) -> None:
        kept = {"tally": tally.state(), "precision": precision.state_dict(), **asdict(_spent(before, begun, fabric))}
        with averaged(average, method) as own:
            save_checkpoint(run.checkpoints, step, name, method, plain, kept | {"own": own})
        best = validation.best if validation is not None else None
        prune(run.checkpoints, step, rhythm.keep, rhythm.keep_every, best)

    def stop_waiting() -> None:
        """A signal is heard while no batch comes. Not of several processes: all must stop after the same step."""
        if interrupt.number and fabric.world_size == 1:
            raise Interrupted(_stopped(done, schedule.steps), interrupt.number)

    def ahead() -> Ahead[Sampled]:
        return stream(batches, start, schedule.steps, workers, fabric.device.type == "cuda", stop_waiting)

    with Interrupt() as interrupt, sheltered(ahead) as batches_ahead:
        # here, for a tool that takes seconds to begin may take Ctrl-C for its own
        loggers = Loggers(rhythm.log_to if fabric.is_global_zero else (), run, start, display.say)
        try:
            for step, (he, ihc, ids) in enumerate(batches_ahead, start):
                batch = Batch.of(fabric.to_device(he), fabric.to_device(ihc), ids, schedule.place(step))
                rate = config.lr * schedule.factor(step) * method.rate_factor(batch.place)
                for optimizer in plain.values():
                    for group in optimizer.param_groups:
                        if group.get("scheduled", True):
                            group["lr"] = rate * group.get("rate_share", 1.0)

                whole = False
                losses = take_step(fabric, method, batch, optimizers, execution)
                tally.add(finite(losses, step, ids))
                images += len(ids) * fabric.world_size

                done = step + 1
                if average is not None:
                    average.update(method, done)
                whole = True
                last = done == schedule.steps
                stop = interrupt.agreed(fabric)
                if log is not None:
                    told: dict[str, float] = {}
                    sheet = None
                    if done % rhythm.log == 0 or last:
                        now = time.monotonic()
                        epoch = step // batches.draws.batches_per_epoch + 1
                        progress = Progress(done, schedule.steps, epoch, images / (now - since), tally.means)
                        row = _row(progress, rate, fabric)
                        log.append(row)
                        told |= entries(row)
                        display.step(training.title, progress)
                        since, images, tally = now, 0, Tally()
                    if done % rhythm.sheet == 0 or last:
                        sheet = run.sheet(done)
                        with averaged(average, method):
                            draw_sheet(sheet, method, pairs[:SHEET_PAIRS], SHEET_SIZE, fabric.device)
                    measured = validation is not None and validation.is_due(done, schedule.steps)
                    if validation is not None and measured:
                        with averaged(average, method):
                            told[f"validation/{METRIC}"] = validation.measure(done, method, fabric.device)
                    if told or sheet is not None:
                        loggers.tell(done, told, sheet)
                    if rhythm.writes_checkpoint(done) or measured or stop or last:
                        saved = done
                        save(done)
                if stop and not last:
                    fabric.barrier()  # none ends before the checkpoint is there
                    raise Interrupted(_stopped(done, schedule.steps), stop)
        except (UserError, OSError, Interrupted) as error:
            if log is not None and whole and done > saved:
                with suppress(*([RunError] if isinstance(error, OSError) else [])):  # the first trouble is to be said
                    save(done)
                    if not isinstance(error, Interrupted):
                        display.say(_stopped(done, schedule.steps))
            raise
        finally:
            loggers.close(finished=done == schedule.steps)
    return _spent(before, begun, fabric)


def draw(
    method: Method[Any], pairs: list[Pair], seed: int, ranks: int = 1, accumulate: int = 1
) -> tuple[Draws, Schedule]:
    """Which pairs each step sees, and for how many steps; ``batch_size`` is per device and micro-batch."""
    c = method.config
    draws = Draws(
        len(pairs), c.batch_size * accumulate * ranks, seed, c.loader == "aligned", c.sampling == "replace",
        ihc_tiles=len({pair.ihc for pair in pairs}),
    )  # fmt: skip
    return draws, Schedule.of(c, draws.batches_per_epoch)


def plan(
    method: Method[Any],
    pairs: list[Pair],
    seed: int,
    rank: int = 0,
    ranks: int = 1,
    accumulate: int = 1,
) -> tuple[TrainingBatches, Schedule]:
    """The batches and the schedule of a training. Raises DataError where ready maps of the tiles are not there."""
    c = method.config
    draws, schedule = draw(method, pairs, seed, ranks, accumulate)
    constant = Augmentation(c.load_size, c.crop_size, c.flip, method.changes())
    decay = constant if c.decay_phase == "crop" else replace(constant, load_size=c.crop_size)
    augmentations = Augmentations(constant, decay, schedule.decay_from)
    maps = method.maps()
    tile = read_tile if maps is None else MappedTiles(read_tile, maps, ready_pictures(maps, pairs))
    return TrainingBatches(pairs, draws, augmentations, rank, ranks, tile), schedule


def _stopped(done: int, steps: int) -> str:
    return f"stopped at step {done} of {steps}, checkpoint written" if done else f"stopped before step 1 of {steps}"


def _spent(before: Spent, begun: float, fabric: Fabric) -> Spent:
    """What was taken until now: ``before`` a resume, and since ``begun``."""
    peaks = [peak for peak in (before.peak_memory, peak_memory(fabric.device)) if peak is not None]
    return Spent(before.seconds + time.monotonic() - begun, max(peaks, default=None))


def _row(progress: Progress, rate: float, fabric: Fabric) -> dict[str, float | int]:
    """A row of the log."""
    return {
        "step": progress.step,
        "epoch": progress.epoch,
        "lr": rate,
        "images_per_s": round(progress.images_per_s, 2),
        "memory_mb": _memory(fabric),
    } | {term: float(f"{mean:.6g}") for term, mean in progress.losses.items()}


def _memory(fabric: Fabric) -> int:
    """Peak memory in MB: of the GPU where there is one, else of the process (0 where the platform does not tell)."""
    if fabric.device.type == "cuda":
        return torch.cuda.max_memory_allocated(fabric.device) // 2**20
    return (process_peak() or 0) // 2**20
