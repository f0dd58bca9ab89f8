"""Pretrained weights that metrics need: known by SHA-256, supplied by the user, never downloaded here, never random."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from vsbench.errors import UserError
from vsbench.files import file_digest

if TYPE_CHECKING:  # looking for weights imports no torch
    from torch import Tensor

VARIABLE = "VSBENCH_WEIGHTS"


class WeightsError(UserError):
    """A weights file is missing, or is not the file it should be. ``reason`` says it in a few words, for a table."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Weights:
    """One file of pretrained weights: a plain dictionary of tensors, saved by torch."""

    name: str
    files: tuple[str, ...]  # the names under which these same bytes are published
    size: int  # bytes
    sha256: str
    published: str  # where the user gets it
    metrics: tuple[str, ...]  # the families that need it


MANIFEST = {
    weights.name: weights
    for weights in (
        Weights(
            name="inception-2015-12-05",
            files=("pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth"),
            size=95_628_359,
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            published="https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights",
            metrics=("fid",),
        ),
        Weights(  # V2 (11ad3fa6) has the same shapes and other features: with it PHV would be another metric
            name="resnet50-imagenet1k-v1",
            files=("resnet50-0676ba61.pth",),
            size=102_530_333,
            sha256="0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
            published="https://download.pytorch.org/models/resnet50-0676ba61.pth",
            metrics=("phv",),
        ),
        Weights(
            name="alexnet-imagenet1k-v1",
            files=("alexnet-owt-7be5be79.pth",),
            size=244_408_911,
            sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            published="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            metrics=("lpips",),
        ),
    )
}


def find(name: str) -> Path:
    """The file of these weights, its size and SHA-256 checked: the first of that file name in ``search_folders``.

    Raises WeightsError where there is none, or where the first one found holds other bytes.
    """
    weights = MANIFEST[name]
    for folder in search_folders():
        for file in weights.files:
            if (folder / file).is_file():
                verify(weights, folder / file)
                return folder / file
    raise WeightsError(
        f"weights {name} not found: get {weights.files[0]} ({weights.size:,} bytes, SHA-256 {weights.sha256}) from "
        f"{weights.published} and put it into ${VARIABLE} or {cache_folder()}",
        reason=f"weights {name} missing (put {weights.files[0]} into ${VARIABLE})",
    )


def absence(name: str) -> str | None:
    """Why these weights can't be used here, in a few words; None if they can."""
    try:
        find(name)
    except WeightsError as error:
        return error.reason
    return None


def load(name: str) -> "dict[str, Tensor]":
    """The tensors of these weights by name, on the CPU. Raises WeightsError as ``find`` does."""
    import torch

    tensors: dict[str, Tensor] = torch.load(find(name), map_location="cpu", weights_only=True)
    return tensors


def search_folders() -> list[Path]:
    """Where weights are looked for, in this order: ``$VSBENCH_WEIGHTS`` (if set), our cache, torch hub's cache.

    Raises WeightsError where the variable names no folder.
    """
    folders = [cache_folder(), _torch_hub()]
    if supplied := os.environ.get(VARIABLE):
        if not Path(supplied).is_dir():
            message = f"${VARIABLE} is {supplied!r}, which is no folder; make it, or unset the variable"
            raise WeightsError(message, reason=f"${VARIABLE} names no folder")
        folders.insert(0, Path(supplied))
    return folders


def cache_folder() -> Path:
    """The platform's usual place for files like these; it need not exist."""
    return platformdirs.user_cache_path("vsbench") / "weights"


def verify(weights: Weights, path: Path) -> None:
    """Raise WeightsError where ``path`` does not hold these weights. A file is read once per process."""
    state = path.stat()
    if state.st_size != weights.size:
        found = f"{state.st_size:,} bytes instead of {weights.size:,}"
    elif (digest := _digest(path.resolve(), state.st_size, state.st_mtime_ns)) != weights.sha256:
        found = f"SHA-256 {digest} instead of {weights.sha256}"
    else:
        return
    raise WeightsError(
        f"{path}: not the weights {weights.name}: {found}; replace it by the file from {weights.published}",
        reason=f"{path} is not the file of weights {weights.name}",
    )


@cache
def _digest(path: Path, _size: int, _modified_ns: int) -> str:  # a file that changes gets a new key
    return file_digest(path)


def _torch_hub() -> Path:
    """Where torch.hub keeps checkpoints, by torch's own rules, without importing it."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or str(Path(caches) / "torch")
    return Path(os.path.expandvars(home)).expanduser() / "hub" / "checkpoints"
