"""Generators as the official codes save them: a state dict of torch, read without running code, its names made ours.

Module for module in their order, which ours share with the official codes (``Method.official_order``): within a module
the tensors go by what they are (weight, bias, singular vectors, running statistics), whatever the modules are called.
"""

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vsbench import registry
from vsbench.data.pairs import few
from vsbench.errors import UsageError, UserError
from vsbench.files import open_regular
from vsbench.method import Method
from vsbench.names import said

# the end of a tensor's name → what it is; spectral norm in torch's old form, its new one, and ours
ROLES = {
    "parametrizations.weight.original": "weight", "parametrizations.weight.0.left": "left",
    "parametrizations.weight.0.right": "right", "parametrizations.weight.0._u": "left",
    "parametrizations.weight.0._v": "right", "weight_orig": "weight", "weight_u": "left", "weight_v": "right",
    "weight": "weight", "bias": "bias", "running_mean": "mean", "running_var": "variance",
    "num_batches_tracked": "batches",
}  # fmt: skip
STATISTICS = ("mean", "variance", "batches")
FILTERS = ("filt", "pad")  # of blurring layers: constants
WRAPPERS = ("state_dict", "net_G", "netG", "G", "generator", "model")  # what files hold the weights under, if not bare
LARGEST = 4 << 30  # bytes

Modules = list[dict[str, Tensor]]  # for each module that has tensors, what they are


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that ``torch.save`` wrote, on the CPU. Nothing in it is run.

    Raises UserError, saying what the file is, where it holds no state dict, and where a tensor is not finite.
    """
    with open_regular(path) as file:
        head = file.read(8)
    size = path.stat().st_size
    if size > LARGEST:
        raise UserError(f"{path}: {size:,} bytes; a generator's file is smaller")
    if not (zipfile.is_zipfile(path) or head.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04"))):
        raise UserError(f"{path}: no file of torch.save, such as latest_net_G.pth; unpack it, if it is an archive")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling damaged bytes raises anything
        kind = type(error).__name__
        raise UserError(f"{path}: can't be read as tensors alone ({kind}: {said(error)})") from None
    while isinstance(found, Mapping) and not _tensors(found):
        inner = [found[key] for key in WRAPPERS if isinstance(found.get(key), Mapping)]
        if len(inner) != 1:
            raise UserError(f"{path}: holds no state dict of one network; save the generator's alone")
        (found,) = inner
    if not isinstance(found, Mapping):
        raise UserError(f"{path}: holds {type(found).__name__}, no state dict")
    tensors = {str(key).removeprefix("module."): value for key, value in found.items() if isinstance(value, Tensor)}
    wrong = [key for key, value in tensors.items() if not value.float().isfinite().all()]
    if wrong:
        raise UserError(f"{path}: not finite (NaN or infinite): {few(wrong)}")
    return tensors


def adopt(path: Path, name: str, method: Method[Any]) -> None:
    """Fill the network of a method that translates with the generator in an official file.

    Raises UserError as ``read_state_dict`` does, and UsageError, saying what the file looks like, where it is of
    another method, width or depth than this one.
    """
    theirs = _modules(_live(read_state_dict(path), type(method)))
    network = method.get_submodule(method.translator)
    ours = _modules(network.state_dict())
    if _shapes(theirs) != _shapes(ours):
        difference = _difference(theirs, ours)
        raise UsageError(f"{path}: not a generator of {name} as it is set ({difference}){_looks(theirs)}")
    names = _named(network.state_dict())
    found = {keys[role]: tensor for module, keys in zip(theirs, names, strict=True) for role, tensor in module.items()
             if role in keys}  # fmt: skip
    network.load_state_dict(found, strict=False)  # what is missing are statistics that nobody kept


def _tensors(found: Mapping[Any, Any]) -> bool:
    return any(isinstance(value, Tensor) for value in found.values())


def _live(tensors: dict[str, Tensor], method_class: type[Method[Any]]) -> dict[str, Tensor]:
    """In the order of our network, without those that the official one holds and never uses."""
    live = [key for key in tensors if not any(re.search(unused, key) for unused in method_class.official_unused)]
    order = [*method_class.official_order, ""]
    return {key: tensors[key] for part in range(len(order)) for key in live if _part(key, order) == part}


def _part(key: str, order: Sequence[str]) -> int:
    return next(number for number, pattern in enumerate(order) if re.match(pattern, key))


def _named(tensors: Mapping[str, Tensor]) -> list[dict[str, str]]:
    """For each module, in order, the names of its tensors by what they are.

    Filters of blurs are left out, and norms that have no weights, whatever statistics they keep.
    """
    modules: dict[str, dict[str, str]] = {}
    for key in tensors:
        if key.rpartition(".")[2] in FILTERS:
            continue
        end = next((end for end in ROLES if key == end or key.endswith(f".{end}")), "")
        modules.setdefault(key.removesuffix(end), {})[ROLES.get(end, "weight")] = key
    return [module for module in modules.values() if module.keys() - set(STATISTICS)]


def _modules(tensors: Mapping[str, Tensor]) -> Modules:
    return [{role: tensors[key] for role, key in module.items()} for module in _named(tensors)]


def _shapes(modules: Modules) -> list[dict[str, tuple[int, ...]]]:
    return [{role: tuple(t.shape) for role, t in m.items() if role not in STATISTICS} for m in modules]


def _difference(theirs: Modules, ours: Modules) -> str:
    """The first that differs, in words."""
    for number, (a, b) in enumerate(zip(_shapes(theirs), _shapes(ours), strict=False)):
        if a == b:
            continue
        if {"left"} & a.keys() != {"left"} & b.keys():
            return "with spectral norm" if "left" in a else "without spectral norm"
        if a.get("weight") != b.get("weight"):
            return f"its layer {number + 1} is {_size(a)}, where {_size(b)} is due"
        return f"its layer {number + 1} has {', '.join(a)}, where {', '.join(b)} are due"
    return f"it has {len(theirs)} layers with weights, not {len(ours)}"


def _size(shapes: dict[str, tuple[int, ...]]) -> str:
    return "×".join(map(str, shapes.get("weight", ()))) or "without a weight"


def _looks(theirs: Modules) -> str:
    """Which methods' generators have these shapes, and with which settings, as the end of a message."""
    found = []
    for name, method_class in registry.load_all("vsbench.methods")[0].items():
        ours = _generator(method_class, {})
        settings = _settings(method_class, theirs, ours)
        if _shapes(_generator(method_class, settings) if settings else ours) == _shapes(theirs):
            found.append(" ".join((name, *(f"--set {key}={str(value).lower()}" for key, value in settings.items()))))
    return f"; it looks like {', or '.join(found) if found else 'that of no method here'}"


def _settings(method_class: type[Method[Any]], theirs: Modules, ours: Modules) -> dict[str, Any]:
    """Of a method's settings those that would come nearest to a file."""
    usual = method_class.configure().model_dump()
    near = {
        "width": theirs[0]["weight"].shape[0] if theirs and "weight" in theirs[0] else None,
        "blocks": usual.get("blocks", 0) + (len(theirs) - len(ours)) // 2,  # two convolutions each
        "spectral_generator": any("left" in module for module in theirs),
    }
    try:
        config = method_class.configure(options={k: v for k, v in near.items() if k in usual and v is not None})
    except UsageError:  # no number of blocks makes it one
        return {}
    return {key: value for key, value in config.model_dump().items() if key in near and value != usual[key]}


def _generator(method_class: type[Method[Any]], settings: dict[str, Any]) -> Modules:
    with torch.device("meta"):
        method = method_class(method_class.configure(options=settings))
    return _modules(method.get_submodule(method.translator).state_dict())
