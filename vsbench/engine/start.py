"""What is done: train in a run folder, and write down how."""

import random
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vsbench import ranks
from vsbench.data.augment import TileReader
from vsbench.data.loader import TrainingBatches
from vsbench.data.pairs import pairs_digest
from vsbench.data.tile_cache import TileCache
from vsbench.engine.checkpoint import checkpoints, remove_leftovers
from vsbench.engine.fit import require_all
from vsbench.engine.lock import locked_by_first
from vsbench.engine.log import summary_writer
from vsbench.engine.request import Request, Resolved, resolve
from vsbench.engine.run import Run, require_one_row, require_same
from vsbench.engine.step import prepare
from vsbench.engine.surroundings import device_name, git_commit, versions
from vsbench.engine.trainer import Display, Rhythm, Training, plan, train
from vsbench.engine.validate import METRIC, Validation
from vsbench.errors import RunError
from vsbench.method import Method
from vsbench.records.run import HeldOutSlides, Keeping, TrainedRecord

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def start(request: Request, fabric: "Fabric", resume: bool, workers: int, rhythm: Rhythm, display: Display) -> Run:
    """Train, or return at once where the very same run is finished already.

    Raises UsageError for unknown names and settings, DataError naming a bad image, RunError where the folder holds
    another run, or an unfinished one and ``resume`` is not set, or another process trains in it, and Interrupted after
    Ctrl-C or SIGTERM, with a checkpoint written.
    """
    if rhythm.tensorboard:
        summary_writer()
    found = resolve(request)
    require_all(found)
    run = found.run
    training = _training(found, fabric, rhythm)
    record = _record(found, training, fabric, rhythm)
    require_one_row(run, record)
    if _finished(run, record):
        display.say(f"{run.folder}: finished already")
        return run
    if request.cache_tiles is not None:
        training.batches.tile = _cached(request.cache_tiles, training.batches, display)
    with locked_by_first(run.folder, fabric, display.say):
        resume = _goes_on(run, record, resume)
        fabric.barrier()  # all have looked at the folder before the first one writes to it
        if fabric.is_global_zero:
            remove_leftovers(run.checkpoints)
            run.write_record(record)
        fabric.barrier()
        spent = train(training, fabric, rhythm, display, resume, workers)
        peaks = [peak for peak in ranks.collect(spent.peak_memory) if peak is not None]
        if fabric.is_global_zero:
            validation = training.validation
            best = validation.best if validation is not None and request.select == "best" else training.schedule.steps
            took = {"wall_time_s": round(spent.seconds, 2), "peak_memory_bytes": max(peaks, default=None)}
            run.write_record(record.model_copy(update={**took, "chosen_step": best, "finished": True}))
    return run


def _training(found: Resolved, fabric: "Fabric", rhythm: Rhythm) -> Training:
    """The method, its batches and its schedule, built from the seed."""
    request, pairs = found.request, found.pairs
    random.seed(request.seed)
    np.random.seed(request.seed)  # noqa: NPY002  plugins may use the global generator
    torch.manual_seed(request.seed)
    method: Method[Any] = found.method_class(found.config)
    prepare(method, request.execution)
    batches, schedule = plan(
        method, pairs.train, request.seed, fabric.global_rank, fabric.world_size, request.execution.accumulate
    )
    validation = None
    if request.validates:
        every = request.validate_every or rhythm.checkpoint
        validation = Validation(pairs.validation, every, found.run.validation_file)
    return Training(request.method, found.row, method, batches, schedule, found.run, request.execution, validation)


def _record(found: Resolved, training: Training, fabric: "Fabric", rhythm: Rhythm) -> TrainedRecord:
    """How the training is done, before it is."""
    request, pairs, validation = found.request, found.pairs.train, training.validation
    held_out = None
    if validation is not None:
        held_out = HeldOutSlides(
            metric=METRIC, every=validation.every, share=request.validation_share, slides=found.pairs.slides,
            pairs=len(found.pairs.validation),
        )  # fmt: skip
    return TrainedRecord(
        schema=2,
        row=found.row,
        title=found.title,
        method=request.method,
        preset=request.preset,
        variant=found.config.variant,
        config=found.config.model_dump(mode="json"),
        seed=request.seed,
        dataset=request.dataset,
        dataset_options=request.dataset_options,
        stain=request.stain,
        data_root=str(found.root),
        train_pairs=len(pairs),
        train_slides=len({p.slide for p in pairs}) if all(p.slide for p in pairs) else None,
        train_digest=pairs_digest(pairs),
        select=request.select,
        validation=held_out,
        checkpoints=Keeping(every=rhythm.checkpoint, keep=rhythm.keep, keep_every=rhythm.keep_every),
        precision=str(fabric.strategy.precision.precision),
        world=fabric.world_size,
        execution=asdict(request.execution),
        device=device_name(fabric.device),
        parameters={name: sum(p.numel() for p in net.parameters()) for name, net in training.method.named_children()},
        versions=versions(),
        git=git_commit(),
        steps=training.schedule.steps,
        wall_time_s=0.0,
        finished=False,
    )


def _cached(folder: Path, batches: TrainingBatches, display: Display) -> TileReader:
    """Tiles from a cache, of which is said how large it becomes. Raises UsageError where there is no room for it."""
    cache = TileCache.of(batches.pairs, folder)
    needed = cache.require_room(batches.augmentations.load_sizes)
    display.say(f"{folder}: decoded tiles are kept here, {needed / 2**30:.1f} GiB yet to be written")
    return cache.tile


def _finished(run: Run, record: TrainedRecord) -> bool:
    """Whether the folder holds this very run, and its last checkpoint. Raises RunError where it holds another."""
    if not run.record_file.exists():
        return False
    steps = [checkpoint.step for checkpoint in checkpoints(run.checkpoints)]
    return require_same(run, record).finished and record.steps in steps


def _goes_on(run: Run, record: TrainedRecord, resume: bool) -> bool:
    """Whether there is something to go on from. Raises RunError where there is, and ``resume`` is not set."""
    if not run.record_file.exists():
        return False
    if not resume and not require_same(run, record).finished:
        step = max((checkpoint.step for checkpoint in checkpoints(run.checkpoints)), default=0)
        raise RunError(f"{run.folder}: unfinished at step {step} of {record.steps}; add --resume, or remove it")
    return True
