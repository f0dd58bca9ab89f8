"""One training step: the phases of a method, their gradients over all devices, and the optimizers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, distributed, nn

from vsbench.bounds import MICRO_BATCHES, require_whole
from vsbench.errors import RunError, UsageError
from vsbench.method import Batch, Method, Phase
from vsbench.names import said
from vsbench.ranks import collect, ranks, sum_over_ranks

# what a network of vsbench.nn is called by besides forward
ENTRY_POINTS = ("forward_with_features", "features", "embed")


@dataclass(frozen=True)
class Execution:
    """How a training is carried out: time and memory, and no other mathematics but for ``accumulate``.

    ``accumulate``: micro-batches of ``batch_size`` in a step, ≥ 1. The mean over them is the larger batch's loss where
    that is a mean over images; what mixes images (batch norm, correlations in a batch) sees one micro-batch at a time.
    """

    compile: bool = False  # torch.compile of the networks
    channels_last: bool = False  # memory format of weights and images
    accumulate: int = 1
    checkpoint_activations: bool = False  # the networks run again in the backward pass, and keep less until then
    deterministic: bool = False  # on a GPU too the same bits each time, at some cost in time; or an error

    def __post_init__(self) -> None:
        require_whole("--accumulate", self.accumulate, 1, MICRO_BATCHES)
        if self.deterministic and self.compile:
            raise UsageError(
                "--deterministic with --compile: torch.compile chooses kernels by how long they take; leave one out"
            )

    @property
    def memory_format(self) -> torch.memory_format:
        """Of weights and images."""
        return torch.channels_last if self.channels_last else torch.contiguous_format


def prepare(method: Method[Any], execution: Execution) -> None:
    """Make a fresh method's networks, the frozen ones too, run as asked; its weights and their names stay.

    Raises UsageError where activations cannot be recomputed: no module of the method has ``recompute``.
    """
    if execution.channels_last:
        method.to(memory_format=torch.channels_last)
    networks = (*method.children(), *method.frozen.values())
    if execution.checkpoint_activations:
        able = [module for network in networks for module in network.modules() if hasattr(module, "recompute")]
        if not able:
            title = type(method).card.title
            raise UsageError(f"--checkpoint-activations: {title} has no network that can recompute; leave it away")
        for module in able:
            module.recompute = True  # type: ignore[assignment]  # a plain attribute
    if execution.compile:
        for network in networks:
            network.compile()
            for name in ENTRY_POINTS:
                if hasattr(network, name):
                    setattr(network, name, torch.compile(getattr(network, name)))


def take_step(
    fabric: Fabric, method: Method[Any], batch: Batch, optimizers: dict[str, Any], execution: Execution
) -> dict[str, Tensor]:
    """All phases of one training step: gradients, reduction over devices, optimizers. The losses by name.

    The micro-batches go from phase to phase in lockstep: all meet the same weights, and the optimizers step once. What
    a later phase needs of each lives until then; to keep that small is what ``checkpoint_activations`` is for. What a
    method does at the start of its step (power iterations of a spectral norm) it does once for each.
    """
    logged: dict[str, Tensor] = {}
    steps = [method.training_step(part) for part in _micro_batches(batch, execution)]
    try:
        while True:
            losses: list[dict[str, Tensor]] = []
            driven: list[Any] = []
            parameters: list[nn.Parameter] = []
            for phase in _advance(fabric, steps):
                if not losses:
                    driven = [optimizers[name] for name in phase.drives]
                    parameters = [
                        p for optimizer in driven for group in optimizer.param_groups for p in group["params"]
                    ]
                    clear_gradients(driven)
                # inputs: no gradient is made for, or left on, the networks of other phases
                fabric.backward(torch.stack(list(phase.losses.values())).sum() / len(steps), inputs=parameters)
                losses.append({name: loss.detach() for name, loss in phase.losses.items()})
            if not losses:
                return logged
            _reduce_gradients(fabric, parameters)
            _move(fabric, driven)
            logged |= {name: torch.stack([part[name] for part in losses]).mean() for name in losses[0]}
    except torch.OutOfMemoryError:
        c = method.config
        raise RunError(
            f"out of memory at crop_size {c.crop_size}, batch_size {c.batch_size}, precision "
            f"{fabric.strategy.precision.precision}: lower one of them with --set or --precision, or add "
            "--checkpoint-activations"
        ) from None
    except RuntimeError as error:
        if not (execution.deterministic and "deterministic" in str(error)):
            raise
        title, what = type(method).card.title, said(str(error).partition(", but ")[0])
        raise RunError(f"--deterministic: {title} cannot: {what}; leave it out") from None


def _move(fabric: Fabric, optimizers: Sequence[Any]) -> None:
    """A step of all optimizers of a phase.

    Half precision (16-mixed) scales losses up, and learns by how much: Fabric would set a new scale after each
    optimizer, by which the gradients of the next one, which have the old one, were divided.
    """
    scaler = getattr(fabric.strategy.precision, "scaler", None)
    if scaler is None:
        for optimizer in optimizers:
            optimizer.step()
        return
    for optimizer in optimizers:
        scaler.step(optimizer.optimizer)
    scaler.update()


def clear_gradients(optimizers: Sequence[Any]) -> None:
    """Forget the gradients of the step before, but those of groups that keep them (``Method.optimizers``)."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            if group.get("cleared", True):
                for parameter in group["params"]:
                    parameter.grad = None


def _micro_batches(batch: Batch, execution: Execution) -> list[Batch]:
    """A step's images in pieces that follow each other."""
    batch = batch.each(lambda x: x.contiguous(memory_format=execution.memory_format))
    size = len(batch.he.chunk(execution.accumulate)[0])
    parts = [slice(start, start + size) for start in range(0, len(batch.he), size)]

    def cut(part: slice) -> Batch:
        return replace(batch.each(lambda x: x[part]), ids=batch.ids[part])

    return [cut(part) for part in parts]


def _advance(fabric: Fabric, steps: list[Iterator[Phase]]) -> Iterator[Phase]:
    """The next phase of each micro-batch, made when it is asked for; nothing where the steps are over."""
    first: tuple[Any, ...] = ()
    for number, step in enumerate(steps):
        with fabric.autocast():  # around each advance: a generator's body runs here, not where it was made
            phase = next(step, None)
        kind = () if phase is None else (phase.drives, *phase.losses)
        first = first if number else kind
        assert kind == first, f"the phases of a step depend on its images: {first} for some, {kind} for others"
        if phase is not None:
            yield phase


def finite(losses: dict[str, Tensor], step: int, ids: tuple[str, ...]) -> dict[str, float]:
    """The losses as numbers, means over all devices, in one message and one transfer.

    Raises RunError on all devices, naming the first loss that is no finite number on one of them, and its tiles.
    """
    own = torch.stack([loss.float() for loss in losses.values()])
    means = sum_over_ranks(own / ranks()).tolist()
    if all(map(isfinite, means)):
        return dict(zip(losses, means, strict=True))
    for values, tiles in collect((own.tolist(), ids)):
        for term, value in zip(losses, values, strict=True):
            if not isfinite(value):
                raise RunError(
                    f"step {step + 1}: loss {term} is {value} on {', '.join(tiles)}; lower lr or raise precision"
                )
    raise AssertionError(f"losses {own.tolist()} have the mean {means}")


def _reduce_gradients(fabric: Fabric, parameters: list[nn.Parameter]) -> None:
    """Mean of the gradients over all devices, in one message; each stays laid out in memory as its parameter is."""
    if fabric.world_size == 1:
        return
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = torch.cat([g.flatten() for g in gradients])
    mean = fabric.all_reduce(flat, reduce_op="mean")
    assert isinstance(mean, Tensor)
    for parameter, own, part in zip(parameters, gradients, mean.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = own.copy_(part.view_as(own))


def broadcast(method: Method[Any]) -> None:
    """All devices start from the first one's weights."""
    for tensor in [*method.parameters(), *method.buffers()]:
        message = tensor.detach().contiguous()  # a tensor, not an object, which each process would put on the first GPU
        distributed.broadcast(message, 0)
        tensor.detach().copy_(message)
