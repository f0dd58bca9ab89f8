"""From a request to a trained run: find the data, open the run folder, train, and write down how it was done."""

import random
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np
import torch

from vsbench import ranks, registry
from vsbench.data.augment import TileReader, read_tile
from vsbench.data.loader import TrainingBatches
from vsbench.data.pairs import Pair, pairs_digest
from vsbench.data.root import cache_folder, find_data_root
from vsbench.data.tile_cache import TileCache
from vsbench.engine.checkpoint import checkpoints, remove_leftovers
from vsbench.engine.lock import locked_by_first
from vsbench.engine.log import summary_writer
from vsbench.engine.record import device_name, git_commit, title_of, versions
from vsbench.engine.run import Run, group_folder, require_same, row_name
from vsbench.engine.step import Execution, prepare
from vsbench.engine.trainer import Progress, Rhythm, plan, train
from vsbench.engine.validate import METRIC, HeldOut, Validation, hold_out
from vsbench.errors import RunError, UsageError
from vsbench.method import Batch, Method, MethodConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from vsbench.dataset import Dataset

Select = Literal["last", "best"]


class Display(Protocol):
    """What shows the progress of a training."""

    def say(self, line: str) -> None:
        """A line that stays."""

    def step(self, title: str, progress: Progress) -> None:
        """How the training goes."""


@dataclass(frozen=True)
class Request:
    """What to train on what. ``options`` are the method's settings, ``dataset_options`` the data set's.

    ``select``: which checkpoint stands for the run, the last or the best on the slides that validation holds out of the
    training set. They are held out where ``validate_every`` is given, or ``select`` needs them (it is then the steps
    between checkpoints). ``cache_tiles``: where the training tiles are kept decoded.
    """

    method: str
    dataset: str
    stain: str
    preset: str = "paper"
    options: dict[str, Any] = field(default_factory=dict)
    dataset_options: dict[str, Any] = field(default_factory=dict)
    data_root: Path | None = None
    seed: int = 0
    label: str | None = None
    results: Path = Path("results")
    execution: Execution = field(default_factory=Execution)
    select: Select = "last"
    validate_every: int | None = None
    validation_share: float = 0.2
    cache_tiles: Path | None = None

    def __post_init__(self) -> None:
        if self.select not in get_args(Select):
            raise UsageError(f"--select {self.select!r}: one of {', '.join(get_args(Select))}")
        if not 0 < self.validation_share < 1:
            raise UsageError(f"--validation-share {self.validation_share}: a share of the slides, between 0 and 1")

    @property
    def validates(self) -> bool:
        """Whether slides are held out."""
        return self.select == "best" or self.validate_every is not None


@dataclass(frozen=True)
class Resolved:
    """What a request comes to, nothing of it written yet."""

    method_class: type[Method[Any]]
    config: Any
    row: str
    run: Run
    root: Path
    pairs: HeldOut


def resolve(request: Request) -> Resolved:
    """Find method, data set and pairs, and see that the settings fit. Raises UsageError and DataError."""
    method_class = registry.load("vsbench.methods", request.method)
    config = method_class.configure(request.preset, request.options)
    dataset = registry.load("vsbench.datasets", request.dataset).from_options(request.dataset_options)
    row = row_name(request.method, config.variant, request.preset, request.label)
    run = Run(group_folder(request.results, request.dataset, request.stain) / row / f"seed-{request.seed}")
    if not dataset.paired:
        require_no_pairs(method_class, config, request.validates)
    root = data_folder(dataset, request.data_root)
    pairs = dataset.pairs(root, request.stain, "train")
    require_fit(method_class, config)
    parts = hold_out(pairs, request.validation_share, request.seed) if request.validates else HeldOut(pairs, [])
    return Resolved(method_class, config, row, run, root, parts)


def data_folder(dataset: "Dataset[Any]", option: Path | None) -> Path:
    """Where a data set's images lie: the data root, or a cache for one that makes its own."""
    if dataset.needs_root:
        return find_data_root(option).resolve()
    return option if option is not None else cache_folder()


def start(request: Request, fabric: "Fabric", resume: bool, workers: int, rhythm: Rhythm, display: Display) -> Run:
    """Train, or return at once where the very same run is finished already.

    Raises UsageError for unknown names and settings, DataError naming a bad image, RunError where the folder holds
    another run, or an unfinished one and ``resume`` is not set, or another process trains in it, and Interrupted after
    Ctrl-C or SIGTERM, with a checkpoint written.
    """
    if rhythm.tensorboard:
        summary_writer()
    found = resolve(request)
    config, run, pairs = found.config, found.run, found.pairs.train
    _seed_everything(request.seed)
    method = found.method_class(config)
    prepare(method, request.execution)
    batches, schedule = plan(
        method, pairs, request.seed, ranks=fabric.world_size, accumulate=request.execution.accumulate
    )
    validation = None
    if request.validates:
        every = request.validate_every or rhythm.checkpoint
        validation = Validation(found.pairs.validation, every, run.validation_file)
    record = {
        "kind": "trained",
        "row": found.row,
        "title": title_of(found.method_class.card.title, config.variant, request.preset, request.label),
        "method": request.method,
        "preset": request.preset,
        "variant": config.variant,
        "config": config.model_dump(mode="json"),
        "seed": request.seed,
        "dataset": request.dataset,
        "dataset_options": request.dataset_options,
        "stain": request.stain,
        "data_root": str(found.root),
        "train_pairs": len(pairs),
        "train_slides": len({p.slide for p in pairs}) if all(p.slide for p in pairs) else None,
        "train_digest": pairs_digest(pairs),
        "select": request.select,
        "validation": _validation_record(request, validation, found.pairs),
        "checkpoints": {"every": rhythm.checkpoint, "keep": rhythm.keep, "keep_every": rhythm.keep_every},
        "precision": str(fabric.strategy.precision.precision),
        "world": fabric.world_size,
        "execution": asdict(request.execution),
        "device": device_name(fabric.device),
        "parameters": {name: sum(p.numel() for p in net.parameters()) for name, net in method.named_children()},
        "versions": versions(),
        "git": git_commit(),
        "steps": schedule.steps,
        "chosen_step": None,
        "wall_time_s": 0.0,
        "peak_memory_bytes": None,
        "finished": False,
    }
    if _finished(run, record):
        display.say(f"{run.folder}: finished already")
        return run
    tile = read_tile if request.cache_tiles is None else _cached(request.cache_tiles, batches, display)
    with locked_by_first(run.folder, fabric, display.say):
        resume = _goes_on(run, record, resume)
        fabric.barrier()  # all have looked at the folder before the first one writes to it
        if fabric.is_global_zero:
            remove_leftovers(run.checkpoints)
            run.write_record(record)
        fabric.barrier()
        spent = train(
            request.method, method, pairs, run, fabric, request.seed, resume, workers, rhythm, request.execution,
            lambda progress: display.step(found.row, progress), validation, display.say, tile,
        )  # fmt: skip
        peaks = [peak for peak in ranks.collect(spent.peak_memory) if peak is not None]
        if fabric.is_global_zero:
            best = validation.best if validation is not None and request.select == "best" else schedule.steps
            record |= {"wall_time_s": round(spent.seconds, 2), "peak_memory_bytes": max(peaks, default=None)}
            run.write_record(record | {"chosen_step": best, "finished": True})
    return run


def _cached(folder: Path, batches: TrainingBatches, display: Display) -> TileReader:
    """Tiles from a cache, of which is said how large it becomes. Raises UsageError where there is no room for it."""
    cache = TileCache.of(batches.pairs, folder)
    needed = cache.require_room(batches.augmentations.load_sizes)
    display.say(f"{folder}: decoded tiles are kept here, {needed / 2**30:.1f} GiB yet to be written")
    return cache.tile


def on_meta(method_class: type[Method[Any]], config: MethodConfig) -> tuple[Method[Any], Batch]:
    """A method and a batch for it that have shapes only: no memory, no arithmetic."""
    with torch.device("meta"):
        shape = (config.batch_size, 3, config.crop_size, config.crop_size)
        return method_class(config), Batch(torch.empty(shape), torch.empty(shape))


def require_no_pairs(method_class: type[Method[Any]], config: MethodConfig, validates: bool) -> None:
    """Raise UsageError where the method, its settings or validation would take unpaired images for pairs."""
    card = method_class.card
    if card.pairing != "unpaired" or config.loader != "unaligned":
        free = [key for key, m in registry.load_all("vsbench.methods")[0].items() if m.card.pairing == "unpaired"]
        wants = f"pairing: {card.pairing}, loader: {config.loader}"
        raise UsageError(
            f"{card.title} learns from pairs here ({wants}), and these training images are none; methods that need "
            f"none, with their usual loader: {', '.join(free)}"
        )
    if validates:
        raise UsageError(
            "validation compares with the IHC of the same tissue, which these training images lack; use --select last "
            "without --validate-every"
        )


def require_fit(method_class: type[Method[Any]], config: MethodConfig) -> None:
    """Go through a training step without memory or arithmetic, to find settings that do not fit together.

    Raises UsageError: a crop that is no multiple of what the networks halve, or too small for a discriminator, layers
    that are not there.
    """
    try:
        method, batch = on_meta(method_class, config)
        if config.crop_size % method.size_multiple:
            raise ValueError(f"crop_size {config.crop_size} is no multiple of {method.size_multiple}")
        for _ in method.training_step(batch):
            pass
    except (ValueError, RuntimeError) as error:
        title = method_class.card.title
        raise UsageError(f"{title}, crop_size {config.crop_size}: settings that do not fit together: {error}") from None


def _finished(run: Run, record: dict[str, Any]) -> bool:
    """Whether the folder holds this very run, and its last checkpoint. Raises RunError where it holds another."""
    if not run.record_file.exists():
        return False
    steps = [checkpoint.step for checkpoint in checkpoints(run.checkpoints)]
    return require_same(run, record)["finished"] and record["steps"] in steps


def _goes_on(run: Run, record: dict[str, Any], resume: bool) -> bool:
    """Whether there is something to go on from. Raises RunError where there is, and ``resume`` is not set."""
    if not run.record_file.exists():
        return False
    if not resume and not require_same(run, record)["finished"]:
        step = max((checkpoint.step for checkpoint in checkpoints(run.checkpoints)), default=0)
        raise RunError(f"{run.folder}: unfinished at step {step} of {record['steps']}; add --resume, or remove it")
    return True


def _validation_record(request: Request, validation: Validation | None, pairs: HeldOut) -> dict[str, Any] | None:
    if validation is None:
        return None
    return {
        "metric": METRIC,
        "every": validation.every,
        "share": request.validation_share,
        "slides": pairs.slides,
        "pairs": len(pairs.validation),
    }


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  plugins may use the global generator
    torch.manual_seed(seed)


def pairs_of(dataset: "Dataset[Any]", option: Path | None, stain: str, split: str) -> list[Pair]:
    """The pairs of a split, wherever the data set lies."""
    return dataset.pairs(data_folder(dataset, option), stain, split)
