"""What metrics with a network share: whether it can run here, how images reach it, and exact float32 arithmetic.

Torch is imported inside the functions, so that listing metrics stays fast.
"""

import importlib.metadata
import importlib.util
import itertools
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vsbench import weights
from vsbench.metric import Image, Metric, Sample, Which
from vsbench.weights.seeded import seeded

if TYPE_CHECKING:
    from torch import Tensor


class NetworkMetric(Metric):
    """A family that runs one pretrained network; families with the same one share it.

    ``network``: one that takes the place of the pretrained network. Given none, it is built at the first update.
    """

    package: ClassVar[str]  # which brings the network; its name in imports

    @staticmethod
    @abstractmethod
    def build(tensors: "dict[str, Tensor]") -> Any:
        """The network with these weights. Families that give the same function of a module share what it builds."""

    def __init__(self, network: Any = None) -> None:
        self.given = network

    def unavailable(self) -> str | None:
        """Why the network can't run here; None if it can."""
        if self.given is not None:
            return None
        if importlib.util.find_spec(self.package) is None:
            return f"package {self.package} missing (pip install vsbench[networks])"
        if self.random_seed is not None:
            return None
        return "; ".join(filter(None, map(weights.absence, self.needs))) or None

    def provenance(self) -> dict[str, str]:
        """Digest of the weights (or their seed), and the version of the package that brings the network."""
        version = {self.package: importlib.metadata.version(self.package)}
        return version if self.given is not None else dict(zip(self.needs, self._sources(), strict=True)) | version

    def ready(self) -> Any:
        """The network, on the metric's device and in evaluation mode: BatchNorm takes its running statistics."""
        if self.given is not None:
            return self.given.to(self.device).eval()
        return _built(type(self).build, self.needs, self._sources(), self.random_seed, self.device)

    def _sources(self) -> tuple[str, ...]:
        seed = self.random_seed
        return tuple(weights.digest(name) if seed is None else f"random:{seed}" for name in self.needs)

    def features(
        self,
        samples: Sequence[Sample],
        which: Which,
        protocol: str,
        compute: "Callable[[Tensor], NDArray[np.float32]]",
    ) -> NDArray[np.float32]:
        """(n, D) features of one image of each sample; those known under ``protocol`` are taken, the others added.

        ``compute``: (B, 3, H, W) uint8 tensor on the device → (B, D), called for neighbours of one size.
        """
        if self.given is not None:
            protocol = f"_{protocol}@{id(self.given)}"
        elif self.random_seed is not None:
            protocol += f"@random:{self.random_seed}"
        new = [sample for sample in samples if protocol not in sample.features(which)]
        for run in _by_size(new):
            rows = compute(tensor([getattr(sample, which) for sample in run], self.device))
            for sample, row in zip(run, rows, strict=True):
                sample.features(which)[protocol] = row
        return np.stack([sample.features(which)[protocol] for sample in samples])


@lru_cache(maxsize=8)
def _built(
    build: "Callable[[dict[str, Tensor]], Any]",
    names: tuple[str, ...],
    sources: tuple[str, ...],
    seed: int | None,
    device: str,
) -> Any:
    """A network on a device. ``sources`` tell weights apart: a file that changes gives another network."""
    tensors: dict[str, Tensor] = {}
    for name in names:
        tensors |= weights.load(name) if seed is None else seeded(name, seed)
    return build(tensors).to(device).eval()


@contextmanager
def building() -> Iterator[None]:
    """Build networks of other packages inside: they draw initial weights, which are overwritten, and warn of their age.

    The random state of torch and the warnings of the caller stay as they are.
    """
    import torch

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def exact() -> Iterator[None]:
    """No gradients, and float32 without TF32: features may not depend on the card's habits."""
    import torch

    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def tensor(images: Sequence[Image], device: str) -> "Tensor":
    """Images of one size, (H, W, 3) uint8 each → (B, 3, H, W) uint8 tensor on the device."""
    import torch

    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().to(device)


def _by_size(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Runs of neighbouring samples of one image size, in order: only these can share a tensor."""
    for _, run in itertools.groupby(samples, key=lambda sample: sample.real.shape):
        yield list(run)
