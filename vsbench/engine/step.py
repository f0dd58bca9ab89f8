"""One training step: the phases of a method, their gradients over all devices, and the optimizers."""

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from vsbench.errors import RunError
from vsbench.method import Batch, Method


def take_step(fabric: Fabric, method: Method[Any], batch: Batch, optimizers: dict[str, Any]) -> dict[str, Tensor]:
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


def finite(losses: dict[str, Tensor], step: int, ids: tuple[str, ...]) -> dict[str, float]:
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


def broadcast(fabric: Fabric, method: Method[Any]) -> None:
    """All devices start from the first one's weights."""
    with torch.no_grad():
        for tensor in [*method.parameters(), *method.buffers()]:
            tensor.copy_(fabric.broadcast(tensor))
