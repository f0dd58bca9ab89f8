"""What metrics with a network share: whether it can run here, how images reach it, and exact float32 arithmetic.

Torch is imported inside the functions, so that listing metrics stays fast.
"""

import importlib.util
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vsbench import weights
from vsbench.metric import Image, Sample, Which

if TYPE_CHECKING:
    from torch import Tensor


def absence(package: str, weights_name: str) -> str | None:
    """Why a network of this package with these weights can't run here, in a few words; None if it can."""
    if importlib.util.find_spec(package) is None:
        return f"package {package} missing (pip install vsbench[networks])"
    return weights.absence(weights_name)


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


def features(
    samples: Sequence[Sample],
    which: Which,
    protocol: str,
    compute: "Callable[[Tensor], NDArray[np.float32]]",
    device: str,
) -> NDArray[np.float32]:
    """(n, D) features of one image of each sample; those known under ``protocol`` are taken, the others added.

    ``compute``: (B, 3, H, W) uint8 tensor on the device → (B, D), called for neighbours of one size.
    """
    new = [sample for sample in samples if protocol not in sample.features(which)]
    for run in by_size(new):
        rows = compute(stack([getattr(sample, which) for sample in run], device))
        for sample, row in zip(run, rows, strict=True):
            sample.features(which)[protocol] = row
    return np.stack([sample.features(which)[protocol] for sample in samples])


def by_size(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Runs of neighbouring samples of one image size, in order: only these can share a tensor."""
    for _, run in itertools.groupby(samples, key=lambda sample: sample.real.shape):
        yield list(run)


def stack(images: Sequence[Image], device: str) -> "Tensor":
    """Images of one size, (H, W, 3) uint8 each → (B, 3, H, W) uint8 tensor on the device."""
    import torch

    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().to(device)
