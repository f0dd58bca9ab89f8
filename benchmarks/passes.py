"""What a training step sends through which network, and the bare cost of that: the passes and one backward."""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import ismethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

from vsbench.engine.step import ENTRY_POINTS
from vsbench.method import Batch, Method


@dataclass(frozen=True)
class Pass:
    """One call of a network: what went in by shape, and what was differentiated in it."""

    network: nn.Module
    run: Callable[..., Any]  # the network's method
    arguments: Any  # nested; a tensor's place holds one of its shape
    differentiated: bool
    phase: int


def recorded(method: Method[Any], batch: Batch, take: Callable[[Callable[[], None]], None]) -> list[Pass]:
    """The passes of one step. ``take`` takes it, and calls what it is given whenever a phase is over."""
    passes: list[Pass] = []
    phase = 0
    inside = False  # a network's own calls of its entry points are no passes of their own

    def over() -> None:
        nonlocal phase
        phase += 1

    def watched(network: nn.Module, name: str) -> Callable[..., Any]:
        run = getattr(network, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            nonlocal inside
            if inside:
                return run(*arguments, **keywords)
            passes.append(Pass(network, run, (arguments, keywords), torch.is_grad_enabled(), phase))
            inside = True
            try:
                return run(*arguments, **keywords)
            finally:
                inside = False

        return call

    networks = [*method.children(), *method.frozen.values()]
    kept = [
        (network, name)
        for network in networks
        for name in ("forward", *ENTRY_POINTS)
        if ismethod(getattr(network, name, None))
    ]
    for network, name in kept:
        object.__setattr__(network, name, watched(network, name))
    try:
        take(over)
    finally:
        for network, name in kept:
            object.__delattr__(network, name)
    return [Pass(p.network, p.run, tree_map(_like, p.arguments), p.differentiated, p.phase) for p in passes]


def _like(thing: Any) -> Any:
    if not isinstance(thing, Tensor):
        return thing
    if not thing.is_floating_point():
        return thing.clone()
    return torch.randn_like(thing, requires_grad=thing.requires_grad)


def replay(passes: list[Pass], driven: list[set[int]]) -> None:
    """All passes anew, and the gradients that a step needs of them; no losses, no optimizers.

    ``driven``: for each phase, the identities of the parameters that it moves.
    """
    for each in passes:
        arguments, keywords = each.arguments
        with torch.set_grad_enabled(each.differentiated):
            outputs = each.run(*arguments, **keywords)
        if not each.differentiated:
            continue
        moved = set().union(*driven[each.phase :])
        wanted: list[Tensor] = [p for p in each.network.parameters() if id(p) in moved]
        wanted += [t for t in tree_flatten(each.arguments)[0] if isinstance(t, Tensor) and t.requires_grad]
        ends = [t for t in tree_flatten(outputs)[0] if isinstance(t, Tensor) and t.requires_grad]
        if wanted and ends:
            torch.autograd.grad(ends, wanted, [torch.ones_like(end) for end in ends], allow_unused=True)
