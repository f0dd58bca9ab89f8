"""From a request to a trained run: find the data, open the run folder, train, and write down how it was done."""

import platform
import random
import subprocess
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from vsbench import __version__, registry
from vsbench.data.pairs import Pair, pairs_digest
from vsbench.data.root import cache_folder, find_data_root
from vsbench.engine.checkpoint import Checkpoint, checkpoints, load_state
from vsbench.engine.run import Run, group_folder, require_same, row_name
from vsbench.engine.trainer import Progress, Rhythm, plan, train
from vsbench.errors import RunError, UsageError
from vsbench.method import Batch, Method, MethodConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from vsbench.dataset import Dataset

PACKAGES = ("torch", "torchvision", "lightning-fabric", "numpy", "pillow", "scikit-image", "scipy")


class Display(Protocol):
    """What shows the progress of a training."""

    def say(self, line: str) -> None:
        """A line that stays."""

    def step(self, title: str, progress: Progress) -> None:
        """How the training goes."""


@dataclass(frozen=True)
class Request:
    """What to train on what. ``options`` are the method's settings, ``dataset_options`` the data set's."""

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


def data_folder(dataset: "Dataset[Any]", option: Path | None) -> Path:
    """Where a data set's images lie: the data root, or a cache for one that makes its own."""
    if dataset.needs_root:
        return find_data_root(option).resolve()
    return option if option is not None else cache_folder()


def start(request: Request, fabric: "Fabric", resume: bool, workers: int, rhythm: Rhythm, display: Display) -> Run:
    """Train, or return at once where the very same run is finished already.

    Raises UsageError for unknown names and settings, DataError naming a bad image, RunError where the folder holds
    another run, or an unfinished one and ``resume`` is not set.
    """
    method_class = registry.load("vsbench.methods", request.method)
    config = method_class.configure(request.preset, request.options)
    dataset = registry.load("vsbench.datasets", request.dataset).from_options(request.dataset_options)
    row = row_name(request.method, config.variant, request.preset, request.label)
    run = Run(group_folder(request.results, request.dataset, request.stain) / row / f"seed-{request.seed}")
    root = data_folder(dataset, request.data_root)
    pairs = dataset.pairs(root, request.stain, "train")

    require_fit(method_class, config)
    _seed_everything(request.seed)
    method = method_class(config)
    _, schedule = plan(method, pairs, request.seed, ranks=fabric.world_size)
    record = {
        "kind": "trained",
        "row": row,
        "title": _title(method_class.card.title, config.variant, request.preset, request.label),
        "method": request.method,
        "preset": request.preset,
        "variant": config.variant,
        "config": config.model_dump(mode="json"),
        "seed": request.seed,
        "dataset": request.dataset,
        "dataset_options": request.dataset_options,
        "stain": request.stain,
        "data_root": str(root),
        "train_pairs": len(pairs),
        "train_slides": len({p.slide for p in pairs}) if all(p.slide for p in pairs) else None,
        "train_digest": pairs_digest(pairs),
        "precision": str(fabric.strategy.precision.precision),
        "world": fabric.world_size,
        "device": _device_name(fabric),
        "parameters": {name: sum(p.numel() for p in net.parameters()) for name, net in method.named_children()},
        "versions": _versions(),
        "git": _git_commit(),
        "steps": schedule.steps,
        "wall_time_s": 0.0,
        "finished": False,
    }
    checkpoint, before = _open(run, record, resume, display)
    if checkpoint is not None and checkpoint.step == schedule.steps:
        display.say(f"{run.folder}: finished already")
        return run
    fabric.barrier()  # all have looked at the folder before the first one writes to it
    if fabric.is_global_zero:
        run.write_record(record | {"wall_time_s": before})
    begun = time.monotonic()
    train(
        request.method, method, pairs, run, fabric, request.seed, checkpoint, workers, rhythm,
        lambda progress: display.step(row, progress),
    )  # fmt: skip
    if fabric.is_global_zero:
        spent = round(before + time.monotonic() - begun, 1)
        run.write_record(record | {"wall_time_s": spent, "finished": True})
    return run


def require_fit(method_class: type[Method[Any]], config: MethodConfig) -> None:
    """Go through a training step without memory or arithmetic, to find settings that do not fit together.

    Raises UsageError: a crop that is no multiple of what the networks halve, or too small for a discriminator, layers
    that are not there.
    """
    try:
        with torch.device("meta"):
            method = method_class(config)
            shape = (config.batch_size, 3, config.crop_size, config.crop_size)
            batch = Batch(torch.empty(shape), torch.empty(shape))
        if config.crop_size % method.size_multiple:
            raise ValueError(f"crop_size {config.crop_size} is no multiple of {method.size_multiple}")
        for _ in method.training_step(batch):
            pass
    except (ValueError, RuntimeError) as error:
        title = method_class.card.title
        raise UsageError(f"{title}, crop_size {config.crop_size}: settings that do not fit together: {error}") from None


def _open(run: Run, record: dict[str, Any], resume: bool, display: Display) -> tuple[Checkpoint | None, float]:
    """(the checkpoint to go on from, seconds already spent)."""
    if not run.record_file.exists():
        return None, 0.0
    there = require_same(run, record)
    found = checkpoints(run.checkpoints)
    if there["finished"] and found:
        return found[-1], there["wall_time_s"]
    if not resume:
        step = found[-1].step if found else 0
        raise RunError(f"{run.folder}: unfinished at step {step} of {record['steps']}; add --resume, or remove it")
    for checkpoint in reversed(found):
        problem = _problem(checkpoint, record)
        if problem is None:
            return checkpoint, there["wall_time_s"]
        display.say(f"{problem}; going back to the checkpoint before, or to the start where there is none")
    return None, 0.0


def _problem(checkpoint: Checkpoint, record: dict[str, Any]) -> str | None:
    """Why a checkpoint cannot be used, found by loading it into a throw-away copy of the method."""
    method_class = registry.load("vsbench.methods", record["method"])
    state = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        scratch = method_class(method_class.configure(options=record["config"]))
        load_state(checkpoint, scratch, scratch.optimizers())
    except RunError as error:
        return str(error)
    finally:
        torch.set_rng_state(state[0])
        np.random.set_state(state[1])  # noqa: NPY002
        random.setstate(state[2])
    return None


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  plugins may use the global generator
    torch.manual_seed(seed)


def _title(title: str, variant: str, preset: str, label: str | None) -> str:
    if label is not None:
        return label
    remarks = [part for part in (variant, "" if preset == "paper" else f"{preset} preset") if part]
    return f"{title} ({', '.join(remarks)})" if remarks else title


def _device_name(fabric: "Fabric") -> str:
    if fabric.device.type == "cuda":
        return torch.cuda.get_device_name(fabric.device)
    return f"{fabric.device.type}, {platform.machine()}, {torch.get_num_threads()} threads"


def _versions() -> dict[str, str]:
    found = {"vsbench": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    """The commit of the source tree vsbench runs from, with '+' where files differ from it; None outside one."""
    source = Path(__file__).resolve().parents[2]
    if not (source / ".git").exists():
        return None
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=source, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"], cwd=source, capture_output=True, text=True,
            check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changed else "")


def pairs_of(dataset: "Dataset[Any]", option: Path | None, stain: str, split: str) -> list[Pair]:
    """The pairs of a split, wherever the data set lies."""
    return dataset.pairs(data_folder(dataset, option), stain, split)
