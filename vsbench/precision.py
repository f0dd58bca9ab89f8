"""Where mixed precision must not reach: similarities near 1, transport plans, optical densities."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(tensor: Tensor) -> AbstractContextManager[object]:
    """Switch autocast off on the tensor's device, and on ``meta``, which has none, a mode that plays its part there."""
    kind = tensor.device.type
    if tensor.is_meta:
        return torch._C.DisableTorchFunction()
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()
