"""Checkpoints: weights as safetensors with the configuration inside, and beside them the training state.

checkpoints/step-000400.state.pt       optimizers, random generators, image pools; written first
checkpoints/step-000400.safetensors    weights; its presence makes the checkpoint complete
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vsbench import __version__, registry
from vsbench.errors import RunError
from vsbench.files import atomic
from vsbench.method import Method

KEEP = 2  # the newest, and the one before it in case the newest was damaged


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on disk."""

    weights: Path

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.weights.stem.removeprefix("step-"))

    @property
    def state(self) -> Path:
        """The training state that belongs to the weights."""
        return self.weights.with_name(f"{self.weights.stem}.state.pt")


def checkpoints(folder: Path) -> list[Checkpoint]:
    """The complete checkpoints of a folder, oldest first."""
    return [Checkpoint(path) for path in sorted(folder.glob("step-*.safetensors"))]


def save_checkpoint(folder: Path, step: int, name: str, method: Method[Any], optimizers: dict[str, Any]) -> Checkpoint:
    """Write a checkpoint and remove all but the newest ``KEEP``."""
    checkpoint = Checkpoint(folder / f"step-{step:08d}.safetensors")
    state = {
        "optimizers": {key: optimizer.state_dict() for key, optimizer in optimizers.items()},
        "method": method.training_state(),
        "random": _random_state(),
    }
    with atomic(checkpoint.state) as temporary:
        torch.save(state, temporary)
    save_weights(checkpoint.weights, name, method)
    for old in checkpoints(folder)[:-KEEP]:
        old.weights.unlink()
        old.state.unlink(missing_ok=True)
    return checkpoint


def load_state(checkpoint: Checkpoint, method: Method[Any], optimizers: dict[str, Any]) -> None:
    """Take weights, optimizers, image pools and random generators back to where they were.

    Raises RunError where a file is damaged or of another configuration.
    """
    load_weights(checkpoint.weights, method)
    try:
        state = torch.load(checkpoint.state, map_location="cpu", weights_only=True)
        for key, optimizer in optimizers.items():
            optimizer.load_state_dict(state["optimizers"][key])
        method.load_training_state(state["method"])
        _restore_random_state(state["random"])
    except Exception as error:
        raise RunError(f"{checkpoint.state}: damaged training state ({type(error).__name__}); remove it") from None


def save_weights(path: Path, name: str, method: Method[Any]) -> None:
    """Write weights with the method's name and configuration inside, atomically."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in method.state_dict().items()}
    metadata = {"vsbench": __version__, "method": name, "config": method.config.model_dump_json()}
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata)


def load_weights(path: Path, method: Method[Any]) -> None:
    """Fill a method with weights. Raises RunError where the file is damaged or holds other tensors."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  not a dict
        method.load_state_dict(tensors)
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path}: damaged weights ({' '.join(str(error).split())})") from None
    except RuntimeError:
        raise RunError(f"{path}: weights of another method or configuration than {type(method).__name__}'s") from None


def load_method(path: Path) -> Method[Any]:
    """The trained method of a weights file, on the CPU, in evaluation mode. RunError where it is no such file."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path}: not a weights file ({' '.join(str(error).split())})") from None
    if "method" not in metadata or "config" not in metadata:
        raise RunError(f"{path}: weights without method and configuration inside; not written by vsbench")
    method_class = registry.load("vsbench.methods", metadata["method"])
    try:
        options = json.loads(metadata["config"])
    except ValueError:
        raise RunError(f"{path}: damaged configuration inside") from None
    method: Method[Any] = method_class(method_class.configure(options=options))
    load_weights(path, method)
    return method.eval()


def _random_state() -> dict[str, Any]:
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002  the global one
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def _restore_random_state(state: dict[str, Any]) -> None:
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
