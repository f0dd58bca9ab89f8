"""Less memory for more time: what part of a network computes is made again in the backward pass, not kept for it."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vsbench.nn.norm import same_statistics


def recomputed(part: nn.Module, *inputs: Tensor) -> Tensor:
    """``part(*inputs)``, of which only the inputs are kept for the backward pass.

    The second time dropout draws the same mask, and batch norm leaves its running statistics alone. A part with batch
    norm that is compiled is not recomputed: torch.compile has no way to treat the two times differently.
    """
    tracks = any(isinstance(module, nn.BatchNorm2d) for module in part.modules())
    if not torch.is_grad_enabled() or (tracks and torch.compiler.is_compiling()):
        return part(*inputs)
    if tracks:
        result = checkpoint(
            part, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), same_statistics(part))
        )
    else:
        result = checkpoint(part, *inputs, use_reentrant=False)
    assert isinstance(result, Tensor)
    return result
