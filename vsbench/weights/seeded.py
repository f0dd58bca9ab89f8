"""Random weights in the place of published ones, by a seed: only where asked for, to test and to measure speed.

``Metric.use_random_weights`` marks the numbers that come of them.
"""

import math
import re
from typing import TYPE_CHECKING

from vsbench.errors import UsageError
from vsbench.names import said

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

ARCHITECTURES = {  # torchvision's constructor and its arguments
    "inception-2015-12-05": ("inception_v3", {"num_classes": 1008, "aux_logits": False, "init_weights": False}),
    "resnet50-imagenet1k-v1": ("resnet50", {}),
    "resnet50-imagenet1k-v2": ("resnet50", {}),
    "alexnet-imagenet1k-v1": ("alexnet", {}),
    "vgg16-imagenet1k-v1": ("vgg16", {}),
    "vgg19-imagenet1k-v1": ("vgg19", {}),
}
SHAPES = {"dists-v0.1": {"alpha": (1, 1475, 1, 1), "beta": (1, 1475, 1, 1)}}  # of what is no network of torchvision


def seed_of(option: str) -> int:
    """The seed in ``random:SEED``. Raises UsageError for any other text."""
    found = re.fullmatch(r"random:(\d{1,9})", option)
    if found is None:
        raise UsageError(
            f"--weights {said(option)}: expected random:SEED, as in random:0; published weights need no option"
        )
    return int(found[1])


def seeded(name: str, seed: int) -> "dict[str, Tensor]":
    """Tensors of the names and shapes of these weights, float32 on the CPU; the same for a seed everywhere.

    Kernels are normal with variance 2 / fan-in, which keeps activations of order 1; normalisation does nothing. The
    classifiers of AlexNet and VGG, which nothing uses, are left out.
    """
    import torch

    with torch.device("meta"):
        return drawn_like(_like(name), seed)


def drawn_like(shapes: "Mapping[str, Tensor]", seed: int) -> "dict[str, Tensor]":
    """The same of these names and shapes, on whatever device they are."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for key, like in shapes.items():
        if key.startswith("classifier."):
            continue
        if like.ndim > 1:
            spread = math.sqrt(2 / like[0].numel())
            tensors[key] = spread * torch.randn(like.shape, generator=generator, device="cpu")
        elif key.endswith(("bias", "running_mean")):
            tensors[key] = torch.zeros(like.shape, device="cpu")
        else:
            tensors[key] = torch.ones(like.shape, dtype=like.dtype, device="cpu")
    return tensors


def _like(name: str) -> "dict[str, Tensor]":
    import torch
    import torchvision

    if name in SHAPES:
        return {key: torch.empty(shape) for key, shape in SHAPES[name].items()}
    architecture, arguments = ARCHITECTURES[name]
    found: dict[str, Tensor] = getattr(torchvision.models, architecture)(weights=None, **arguments).state_dict()
    return found
