"""Weights of the user's own, under the name that a method asks for: nothing is known of them beforehand.

<weights folder>/own/<name>/weights.bin    the file as it was added
                             card.json      its size and SHA-256
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from vsbench.config import build_config
from vsbench.errors import UsageError, UserError
from vsbench.files import file_digest, read_json, write_json
from vsbench.names import checked_name, said
from vsbench.weights.manifest import MANIFEST
from vsbench.weights.store import WeightsError, mismatch, place, search_folders

FOLDER, FILE, CARD = "own", "weights.bin", "card.json"
ADD = "vsbench weights add --own {}=FILE"


class OwnCard(BaseModel):
    """What is known of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


@dataclass(frozen=True)
class Own:
    """A file that the user added under a name, and what is wrong with it, if anything."""

    name: str
    card: OwnCard | None
    path: Path
    wrong: str | None


def add_own(name: str, path: Path) -> Path:
    """Put a file of tensors where it is found under this name, by hard link or as a copy; one there is replaced.

    Nothing in it is run. Raises UsageError for a name that is none, or one of the weights that are known, and UserError
    where the file holds no tensors by name, or can't be read or stored.
    """
    if checked_name(name, "--own") in MANIFEST:
        raise UsageError(f"--own {name}: published weights, known by their bytes: vsbench weights add FILE")
    try:
        _tensors(path)
        card = OwnCard(bytes=path.stat().st_size, sha256=file_digest(path))
        folder = search_folders()[0] / FOLDER / name
        place(path.resolve(), folder / FILE, lambda copy: _require(copy, card))
        write_json(folder / CARD, card.model_dump())
    except OSError as error:
        raise UserError(
            f"{error.filename or path}: can't be read or written ({error.strerror}); mend that, and add {path} again"
        ) from None
    return folder / FILE


def own_names() -> list[str]:
    """Those that were added, in alphabetical order. Raises WeightsError as ``search_folders`` does."""
    folders = (folder / FOLDER for folder in search_folders())
    return sorted({card.parent.name for folder in folders for card in folder.glob(f"*/{CARD}")})


def own_status(name: str) -> Own | None:
    """The file of this name in the first of ``search_folders`` that has one; None where none has."""
    for folder in (search / FOLDER / name for search in search_folders()):
        if (folder / CARD).is_file():
            try:
                card: OwnCard = build_config(OwnCard, read_json(folder / CARD))
            except (OSError, ValueError, UserError) as error:
                return Own(name, None, folder / FILE, f"its card is damaged ({said(error)})")
            return Own(name, card, folder / FILE, mismatch(folder / FILE, card.bytes, card.sha256))
    return None


def find_own(name: str) -> tuple[Path, str]:
    """(file, SHA-256) of the weights of this name. Raises WeightsError where there are none, or not as they were."""
    own, add = own_status(name), ADD.format(name)
    if own is None:
        raise WeightsError(
            f"weights {name} not found: no published file is known, one of yours is wanted: {add}",
            reason=f"weights {name} missing ({add})",
        )
    if own.wrong or own.card is None:
        raise WeightsError(
            f"{own.path}: not the weights {name} that were added: {own.wrong}; add them again: {add}",
            reason=f"weights {name} are not as they were added",
        )
    return own.path, own.card.sha256


def _require(path: Path, card: OwnCard) -> None:
    if wrong := mismatch(path, card.bytes, card.sha256):
        raise UserError(f"{path}: changed while it was added: {wrong}; add it again")


def _tensors(path: Path) -> None:
    """Raise UserError where a file holds no tensors by name."""
    import torch

    if not path.is_file():
        raise UserError(f"{path}: no such file, or not a regular one")
    try:
        found = torch.load(path, map_location="meta", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # unpickling damaged bytes raises anything
        raise UserError(f"{path}: can't be read as tensors alone ({said(error)})") from None
    if not isinstance(found, dict) or not found or not all(isinstance(t, torch.Tensor) for t in found.values()):
        raise UserError(f"{path}: holds no tensors by name; save the network's state_dict alone")
