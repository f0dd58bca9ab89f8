"""How much memory tensors take, and how much there is: to know beforehand, since a CPU process that asks for too much
is killed without a word."""

import os
import sys
import weakref
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vsbench.method import Batch, Method

PROBE = 128  # pixels a side, rounded up to what the network needs
RESERVE = 2.5  # convolutions on CPU copy input and output to layouts of their own, which no tensor shows
COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


@lru_cache(maxsize=1)  # asked for every image of a folder
def bytes_per_pixel(method: Method[Any], device: torch.device) -> float:
    """Memory that ``translate`` takes at its peak, per pixel: measured on a small image, times ``RESERVE``."""
    side = -(-PROBE // method.size_multiple) * method.size_multiple
    image = torch.zeros(1, 3, side, side, device=device)
    with torch.inference_mode(), Storages(image.device) as storages:
        method.translate(image)
    return RESERVE * storages.peak / side**2


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


def process_peak() -> int | None:
    """Bytes of main memory that this process had at most since its start; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # macOS counts bytes, others KiB


class Storages(TorchDispatchMode):
    """Counts the bytes of what lives on a device, each storage from its making to its end: ``now``, and at ``peak``.

    ``living``: what is there already. On ``meta`` it takes no memory to find out what a GPU would have to hold.
    ``copied``: shapes of what came there from the CPU or went back, for which a GPU would wait: copies, and tensors
    that no operation made (of a list of numbers), nor are among the living.
    """

    def __init__(self, device: torch.device, living: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()
        self.device = device
        self.sizes: dict[int, int] = {}  # identity of the storage → bytes
        self.now = self.peak = 0
        self.copied: list[tuple[int, ...]] = []
        for tensor in living:
            self._count(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        self.copied += [tuple(x.shape) for x in given if x.device == self.device and _storage(x) not in self.sizes]
        result = func(*args, **(kwargs or {}))
        made = [x for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        if func in COPIES and len({x.device for x in (*given, *made)}) > 1:
            self.copied.append(tuple(made[0].shape))
        for tensor in made:
            self._count(tensor)
        return result

    def _count(self, tensor: torch.Tensor) -> None:
        key = _storage(tensor)
        if tensor.device == self.device and key not in self.sizes:
            storage = tensor.untyped_storage()
            self.sizes[key] = storage.nbytes()
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self.sizes.pop(key)


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata  # its identity: addresses on meta are all 0


def tensors_of(method: Method[Any], batch: Batch) -> list[torch.Tensor]:
    """What is on the device before a step: weights, those of frozen networks, and images."""
    networks = (method, *method.frozen.values())
    weights = [tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]
    return [*weights, *(x for x in (batch.he, batch.ihc, batch.maps) if x is not None)]
