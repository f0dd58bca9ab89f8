"""Several processes that share each batch: rank r of R holds the images [r·b, (r + 1)·b) of the combined batch.

All ranks hold the same weights and draw the same random numbers; the engine averages their gradients. Then the mean of
a loss over images needs nothing from here. What looks at several images at once (correlations in a batch, batch norm)
or draws something for each image (dropout, image pools) does, so that R processes train like one with all images. In a
single process all this is the identity.
"""

from typing import Any

import torch
from torch import Tensor, distributed


def ranks() -> int:
    """How many processes share a batch."""
    return distributed.get_world_size() if _together() else 1


def rank() -> int:
    """Which of them this one is."""
    return distributed.get_rank() if _together() else 0


def share(combined: Tensor) -> Tensor:
    """This rank's part (b, …) of a tensor (R·b, …) that is the same on all ranks."""
    return combined.chunk(ranks())[rank()] if _together() else combined


def gather(part: Tensor) -> Tensor:
    """This rank's (b, …) → (R·b, …) of all ranks in order.

    For what all ranks compute alike from it, a loss ℓ. The gradient flows into this rank's own part, R times as large:
    with x_r made by rank r, dℓ/dw = Σ_r (∂ℓ/∂x_r)(∂x_r/∂w). Rank r has its own term of the sum only, and the engine's
    mean over ranks divides by R; both together leave the sum, exactly.
    """
    return _Gather.apply(part) if _together() else part


def sum_over_ranks(part: Tensor) -> Tensor:
    """Σ of equally shaped tensors over all ranks, for what each rank goes on from in its own way.

    So the gradient is the sum over ranks as well. All ranks must go forward and back through these sums in one order.
    """
    return _Sum.apply(part) if _together() else part


def collect(thing: Any) -> list[Any]:
    """What each rank has to say, in order: anything that can be pickled, so for rare occasions."""
    said = [thing] * ranks()
    if _together():
        distributed.all_gather_object(said, thing)
    return said


def leave() -> None:
    """Part from the other processes; for the end of the program, and nothing to do where there are none.

    Fabric sees to it on GPUs only: where gloo's threads outlive the interpreter, they abort a finished process.
    """
    if _together():
        distributed.destroy_process_group()


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, part: Tensor) -> Tensor:
        context.size = len(part)
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(ranks())]
        distributed.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return ranks() * gradient.narrow(0, rank() * context.size, context.size)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, part: Tensor) -> Tensor:
        return _summed(part)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(part: Tensor) -> Tensor:
    total = part.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total
