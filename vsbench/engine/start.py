"""What is done: train in a run folder, and write down how."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vsbench import ranks, weights
from vsbench.bounds import WORKERS, require_whole
from vsbench.data.augment import TileReader
from vsbench.data.loader import TrainingBatches
from vsbench.data.maps import MappedTiles, pictures_digest
from vsbench.data.pairs import Pair, few, images_of, pairs_digest
from vsbench.data.threads import in_threads
from vsbench.data.tile_cache import TileCache
from vsbench.engine.checkpoint import checkpoints, remove_leftovers, start_from
from vsbench.engine.fit import require_all
from vsbench.engine.lock import locked_by_first
from vsbench.engine.loggers import require_loggers
from vsbench.engine.repetition import repeatable, repetition
from vsbench.engine.request import Request, Resolved, resolve
from vsbench.engine.run import DATA, Run, require_one_row, require_same
from vsbench.engine.step import prepare
from vsbench.engine.surroundings import device_name, environment, git_commit, versions
from vsbench.engine.trainer import Display, Rhythm, Training, plan, train
from vsbench.engine.validate import METRIC, Validation
from vsbench.errors import RunError, UsageError
from vsbench.files import file_digest
from vsbench.method import Method
from vsbench.records.data import TrainingData
from vsbench.records.run import LENGTH, AcceptedData, Continued, HeldOutSlides, Keeping, TrainedRecord

if TYPE_CHECKING:
    from lightning_fabric import Fabric

NAMED = 100  # images in a record, by name


def start(
    request: Request,
    fabric: "Fabric",
    resume: bool,
    workers: int,
    rhythm: Rhythm,
    display: Display,
    accept_data: bool = False,
) -> Run:
    """Train, or return at once where the very same run is finished already.

    ``accept_data``: an unfinished training goes on though its training images have changed since; which, is said and
    recorded. Where their number changes, an epoch has another number of steps: the draws go on with the batch of the
    same number as the new set has it, so images may come once more, or not, in the epoch that was under way. Where
    nothing was trained yet, no checkpoint being there, it simply begins.

    Raises UsageError for unknown names and settings, DataError naming a bad image, RunError where the folder holds
    another run, or an unfinished one and ``resume`` is not set, or another process trains in it, and Interrupted after
    Ctrl-C or SIGTERM, with a checkpoint written.
    """
    require_whole("--workers", workers, 0, WORKERS)
    require_loggers(rhythm.log_to)
    found = resolve(request)
    require_all(found)
    for sentence in found.set_aside:
        display.say(sentence)
    for warning in found.not_read:
        display.say(f"warning: {warning}")
    run = found.run
    training = _training(found, fabric, rhythm)
    _require_one_scale(training.method, str(fabric.strategy.precision.precision))
    data = _data(found.pairs.train)
    record = _record(found, training, data, fabric, rhythm)
    there = _there(run)
    if there is None or not _begun(run, there):
        resume = False
    else:  # what was recorded of earlier starts stays, whatever this one is asked
        record = record.model_copy(update={"continued": there.continued, "accepted_data": there.accepted_data})
        if resume:
            record = _continued(run, there, record, display)
        if resume and accept_data:
            record = _accepted(found, there, record, data, display)
    if record.continued:
        training = replace(training, may_differ=LENGTH)
    require_one_row(run, record)
    if _finished(run, there, record):
        display.say(f"{run.folder}: finished already")
        return run
    if request.cache_tiles is not None:
        training.batches.tile = _cached(request.cache_tiles, training.batches, display)
    with locked_by_first(run.folder, fabric, display.say), repeatable(request.execution):
        resume = _goes_on(run, record, resume)
        fabric.barrier()  # all have looked at the folder before the first one writes to it
        if fabric.is_global_zero:
            remove_leftovers(run.checkpoints)
            run.write_record(record)
            data.write(run.data_file)
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
    method.equip(weights.load)
    if found.weights is not None:
        start_from(found.weights, request.method, method)
    prepare(method, request.execution)
    batches, schedule = plan(
        method, pairs.train, request.seed, fabric.global_rank, fabric.world_size, request.execution.accumulate
    )
    validation = None
    if request.validates:
        every = request.validate_every or rhythm.checkpoint
        validation = Validation(pairs.validation, every, found.run.validation_file)
    return Training(request.method, found.row, method, batches, schedule, found.run, request.execution, validation)


def _require_one_scale(method: Method[Any], precision: str) -> None:
    """Raise UsageError where gradients that are kept from step to step would have loss scales of several steps."""
    groups = [group for optimizer in method.optimizers().values() for group in optimizer.param_groups]
    if precision == "16-mixed" and not all(group.get("cleared", True) for group in groups):
        raise UsageError(
            f"--precision 16-mixed: {type(method).card.title}, as it is set, adds gradients up over steps, each "
            "with its own loss scale; take bf16-mixed or 32"
        )


def _data(pairs: list[Pair]) -> TrainingData:
    """The digests of the training images, each file read once."""
    files = images_of(pairs)
    digests = dict(zip(files, in_threads(file_digest, files), strict=True))
    return TrainingData(files={pair.id: [digests[file] for file in pair.images] for pair in pairs})


def _record(found: Resolved, training: Training, data: TrainingData, fabric: "Fabric", rhythm: Rhythm) -> TrainedRecord:
    """How the training is done, before it is."""
    request, pairs, validation = found.request, found.pairs.train, training.validation
    maps = training.method.maps()
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
        data_name=found.data_name,
        train_pairs=len(pairs),
        train_slides=len({p.slide for p in pairs}) if all(p.slide for p in pairs) else None,
        train_digest=pairs_digest(pairs, dict(_by_file(pairs, data)).__getitem__),
        started_from=None if found.weights is None else file_digest(found.weights),
        pretrained={name: weights.digest(name) for name in training.method.weights_needed()},
        ready_maps=None if maps is None else pictures_digest(maps, pairs),
        started_from_file=None if found.weights is None else str(found.weights.absolute()),
        unattainable=found.unattainable,
        select=request.select,
        validation=held_out,
        checkpoints=Keeping(every=rhythm.checkpoint, keep=rhythm.keep, keep_every=rhythm.keep_every),
        precision=str(fabric.strategy.precision.precision),
        world=fabric.world_size,
        execution=asdict(request.execution),
        repetition=repetition(request.execution, fabric.device),
        device=device_name(fabric.device),
        environment=environment(),
        parameters={name: sum(p.numel() for p in net.parameters()) for name, net in training.method.named_children()},
        versions=versions(),
        git=git_commit(),
        steps=training.schedule.steps,
        wall_time_s=0.0,
        finished=False,
    )


def _cached(folder: Path, batches: TrainingBatches, display: Display) -> TileReader:
    """Tiles from a cache, of which is said how large it becomes. Raises UsageError where there is no room for it."""
    cache, tiles = TileCache.of(batches.pairs, folder), batches.tile
    maps = tiles.names if isinstance(tiles, MappedTiles) else []
    needed = cache.require_room(batches.augmentations.load_sizes, maps)
    display.say(f"{folder}: decoded tiles are kept here, {needed / 2**30:.1f} GiB yet to be written")
    return replace(tiles, read=cache.tile, keep=cache.kept) if isinstance(tiles, MappedTiles) else cache.tile


def _by_file(pairs: list[Pair], data: TrainingData) -> Iterator[tuple[Path, str]]:
    for pair in pairs:
        yield from zip(pair.images, data.files[pair.id], strict=True)


def _accepted(
    found: Resolved, there: TrainedRecord, record: TrainedRecord, data: TrainingData, display: Display
) -> TrainedRecord:
    """The record of a training that goes on with other images, of which is said which they are."""
    run = found.run
    before, after = there.train_digest, record.train_digest
    if there.finished or before is None or after is None or before == after:
        return record
    names = []
    if run.data_file.exists():
        images = {pair.id: [_below(found.root, file) for file in pair.images] for pair in found.pairs.train}
        names = TrainingData.read(run.data_file).changed(data, images) or ["slides"]
    step = _newest(run)
    what = few(names) if names else "which, was not recorded"
    display.say(f"{run.folder}: from step {step} on with other training images: {what}")
    accepted = AcceptedData(step=step, before=before, after=after, files=names[:NAMED])
    return record.model_copy(update={"accepted_data": [*record.accepted_data, accepted]})


def _below(root: Path, file: Path) -> str:
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)


def _continued(run: Run, there: TrainedRecord, record: TrainedRecord, display: Display) -> TrainedRecord:
    """The record of a finished training that is asked for more. Raises UsageError where it is asked for less."""
    before, after = ({key: r.config.get(key) for key in LENGTH} for r in (there, record))
    if not there.finished or before == after or there.steps is None or record.steps is None:
        return record
    if record.steps <= there.steps:
        asked = ", ".join(f"{key} = {value}" for key, value in after.items() if value != before[key])
        raise UsageError(
            f"{run.folder}: {asked} comes to {record.steps} steps, and {there.steps} are done; ask for more"
        )
    display.say(
        f"{run.folder}: from step {there.steps} on to {record.steps}, the learning rate as it would be had that been "
        "asked from the start"
    )
    if others := [file.parent.name for file in sorted(run.folder.parent.glob("*/run.json")) if file != run.record_file]:
        display.say(f"{run.folder.parent}: {few(others)}, until continued alike, will stand in a row of their own")
    continued = [*there.continued, Continued(step=there.steps, before=before, after=after)]
    return record.model_copy(update={"continued": continued})


def _as_before(there: TrainedRecord, record: TrainedRecord) -> TrainedRecord:
    """The record with the length that the folder's training has, where this one continues it."""
    if len(record.continued) == len(there.continued):
        return record
    return record.model_copy(update={"config": record.config | record.continued[-1].before})


def _newest(run: Run) -> int:
    """The step of the newest checkpoint; 0 where there is none."""
    return max((checkpoint.step for checkpoint in checkpoints(run.checkpoints)), default=0)


def _there(run: Run) -> TrainedRecord | None:
    """The folder's record, where it has one."""
    return run.trained if run.record_file.exists() else None


def _begun(run: Run, there: TrainedRecord) -> bool:
    """Whether there is a training to go on with: not where it stopped before its first checkpoint."""
    return _newest(run) > 0 or there.finished


def _may_differ(run: Run, there: TrainedRecord, record: TrainedRecord) -> Sequence[str]:
    """What of the data may be another than in the folder: where nothing was trained, or the user accepted it."""
    if not _begun(run, there):
        return (*DATA, "validation")
    accepted = record.accepted_data[-1:]
    return DATA if accepted and accepted[0].before == there.train_digest else ()


def _finished(run: Run, there: TrainedRecord | None, record: TrainedRecord) -> bool:
    """Whether the folder holds this very run, and its last checkpoint. Raises RunError where it holds another."""
    if there is None:
        return False
    require_same(run, there, _as_before(there, record), _may_differ(run, there, record))
    return there.finished and record.steps in [checkpoint.step for checkpoint in checkpoints(run.checkpoints)]


def _goes_on(run: Run, record: TrainedRecord, resume: bool) -> bool:
    """Whether there is something to go on from, as it is now that nobody else trains here. Raises RunError where there
    is, and ``resume`` is not set.
    """
    there = _there(run)
    if there is None or not _begun(run, there):
        return False
    if not resume:
        require_same(run, there, record)
        if not there.finished:
            step = f"step {_newest(run)} of {record.steps}"
            raise RunError(f"{run.folder}: unfinished at {step}; add --resume, or remove it")
    return True
