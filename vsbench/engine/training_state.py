"""What a training needs besides weights to go on exactly: optimizers, image pools, random generators.

A state may be of another version, or edited: it is looked at before any of it is taken.
"""

import copy
import random
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from vsbench.method import Method

RATES = ("lr", "initial_lr")  # of an optimizer's group: what the schedule sets
CHANGES = ("params", *RATES)  # and the numbers of parameters


class _Tally(BaseModel):
    """Of the losses since the log's last row."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    steps: int = Field(0, ge=0)
    sums: dict[str, float] = {}


class _Engine(BaseModel):
    """What the engine itself keeps."""

    model_config = ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)

    tally: _Tally = _Tally(steps=0)
    seconds: float = Field(0.0, ge=0)
    peak_memory: int | None = None
    precision: dict[str, Any] = {}
    own: dict[str, Tensor] = {}  # where averaged weights are those of the file


def training_state(method: Method[Any], optimizers: Mapping[str, Any], engine: dict[str, Any]) -> dict[str, Any]:
    """What ``restore`` takes back; ``engine`` is the engine's own."""
    return {
        "optimizers": {key: optimizer.state_dict() for key, optimizer in optimizers.items()},
        "method": method.training_state(),
        "random": _random_state(),
        "engine": engine,
    }


def restore(state: Mapping[str, Any], method: Method[Any], optimizers: Mapping[str, Any]) -> dict[str, Any]:
    """Take optimizers, pools and random generators back to where they were; returns ``engine``.

    Raises an error of any kind where the state is not one of this method's.
    """
    for key, optimizer in optimizers.items():
        _require_of(optimizer, state["optimizers"][key])
    own = _Engine.model_validate(state["engine"]).own
    if own and {key: value.shape for key, value in own.items()} != {
        key: value.shape for key, value in method.named_parameters()
    }:
        raise ValueError("own")
    _restore_random_state(state["random"])
    for key, optimizer in optimizers.items():
        optimizer.load_state_dict(state["optimizers"][key])
    method.load_training_state(state["method"])
    return state["engine"]


def _require_of(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Raise where a state is not this optimizer's: what is wrong with it would show at the next step only, or never."""
    groups = optimizer.param_groups
    for group, there in zip(groups, saved["param_groups"], strict=True):
        if wrong := [key for key in RATES if not isinstance(there.get(key, 0.0), float)]:
            raise ValueError(wrong[0])
        if changed := [key for key in there if key not in CHANGES and key in group and there[key] != group[key]]:
            raise ValueError(changed[0])
    parameters = [parameter for group in groups for parameter in group["params"]]
    needed = _slots(optimizer)
    for number, slots in saved["state"].items():
        shape = parameters[number].shape
        if slots.keys() != needed.keys():
            raise KeyError(*(slots.keys() ^ needed.keys()))
        for name, slot in slots.items():
            if not isinstance(slot, Tensor) or slot.shape != (shape if needed[name].dim() else ()):
                raise ValueError(name)
            if not slot.is_floating_point() or not slot.isfinite().all():
                raise ValueError(name)


def _slots(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What the optimizer keeps, by name, of a parameter of one number that it has moved once."""
    parameter = torch.zeros(1, requires_grad=True)
    parameter.grad = torch.zeros(1)
    fresh = copy.copy(optimizer)
    fresh.state = defaultdict(dict)
    fresh.param_groups = [{**optimizer.param_groups[0], "params": [parameter]}]
    fresh.step()
    return dict(fresh.state[parameter])


def _random_state() -> dict[str, Any]:
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002  the global one
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()  # of this process's device: the other processes' are the same
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def _restore_random_state(state: dict[str, Any]) -> None:
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
