"""How much memory a translation takes, and how much there is: to know beforehand, since a CPU process that asks for too
much is killed without a word."""

import os
import weakref
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vsbench.method import Method

PROBE = 128  # pixels a side, rounded up to what the network needs
RESERVE = 2.5  # convolutions on CPU copy input and output to layouts of their own, which no tensor shows


@lru_cache(maxsize=1)  # asked for every image of a folder
def bytes_per_pixel(method: Method[Any], device: torch.device) -> float:
    """Memory that ``translate`` takes at its peak, per pixel: measured on a small image, times ``RESERVE``."""
    side = -(-PROBE // method.size_multiple) * method.size_multiple
    image = torch.zeros(1, 3, side, side, device=device)
    with torch.inference_mode(), _Peak() as peak:
        method.translate(image)
    return RESERVE * peak.highest / side**2


def available_memory() -> int | None:
    """Bytes of main memory that a process may still take; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


class _Peak(TorchDispatchMode):
    """Counts the bytes of tensors that are alive, from their making to their end."""

    def __init__(self) -> None:
        super().__init__()
        self.living: dict[int, int] = {}  # address of the storage → bytes
        self.highest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        self.highest = max(self.highest, sum(self.living.values()))
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        address = storage.data_ptr()
        if storage.nbytes() and address not in self.living:
            self.living[address] = storage.nbytes()
            weakref.finalize(storage, self.living.pop, address, None)
