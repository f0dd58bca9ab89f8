"""Encoders that the user added, each a file with a card: nothing is known of them beforehand, and none is a default.

<weights folder>/encoders/<name>/encoder.bin    the file as it was added
                                 card.json      what its card said, and the file's size and SHA-256
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from vsbench.config import build_config, read_settings
from vsbench.errors import UsageError, UserError
from vsbench.files import digest, file_digest, read_json, write_json
from vsbench.names import brief, checked_name, said
from vsbench.weights.store import WeightsError, mismatch, place, search_folders

FOLDER, FILE, CARD = "encoders", "encoder.bin", "card.json"
OURS = ("dab", "inception", "vgg16")  # features that are there without an encoder, and called so
ADD = "vsbench weights add --encoder FILE --card CARD.yaml"


def _name(name: str) -> str:
    try:
        checked = checked_name(name, "name")
    except UsageError as error:
        raise ValueError(str(error)) from None
    if checked in OURS:
        raise ValueError(f"{', '.join(OURS)} are features of ours: choose another name")
    return checked


def _own_weights(options: dict[str, Any]) -> dict[str, Any]:
    """Weights are those of the file: an architecture that would look for others is none for us."""
    if wrong := [key for key in options if "pretrained" in key or "checkpoint" in key or key == "auto_map"]:
        raise ValueError(f"{wrong[0]}: weights come from the file alone")
    return options


Three = Annotated[list[float], Field(min_length=3, max_length=3)]
Positive = Annotated[float, Field(gt=0)]
Line = Annotated[str, Field(min_length=1, max_length=300)]


class Card(BaseModel):
    """What must be known to bring an image to an encoder, and of the file's terms: the keys of a card file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Annotated[str, AfterValidator(_name)]
    size: int = Field(ge=16, le=4096)  # pixels of either side of its input
    mean: Three  # of red, green and blue in [0, 1]: taken off the input
    std: Annotated[list[Positive], Field(min_length=3, max_length=3)]  # by which it is divided then
    width: int = Field(ge=1, le=65536)  # number of features
    licence: Line
    gated: bool  # whether the file is given out only to those who accepted its terms
    url: Line | None = None
    architecture: str | None = Field(default=None, pattern=r"^(timm|transformers):[\w.-]+$")  # of a safetensors file
    options: Annotated[dict[str, Any], AfterValidator(_own_weights)] = Field(
        default_factory=dict
    )  # of the architecture, beyond its name
    take: Literal["cls", "mean", "pooler"] = "cls"  # with transformers: first token, mean of all, or pooler's output


class Encoder(Card):
    """A card with the file that belongs to it."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    kind: Literal["torchscript", "safetensors"]

    @model_validator(mode="after")
    def _architecture_is_of_tensors(self) -> "Encoder":
        if (self.kind == "safetensors") != (self.architecture is not None):
            raise ValueError(
                "a safetensors file needs architecture (timm:NAME or transformers:TYPE)"
                if self.kind == "safetensors"
                else "architecture is of safetensors files: a TorchScript file brings its own"
            )
        return self

    @property
    def digest(self) -> str:
        """What its features depend on besides the image: file and card. SHA-256."""
        own = (self.size, self.mean, self.std, self.width, self.architecture, sorted(self.options.items()), self.take)
        return digest([self.sha256, repr(own)])


@dataclass(frozen=True)
class Added:
    """An encoder, and where its file lies."""

    encoder: Encoder
    path: Path


def read_card(path: Path) -> Card:
    """The card in a YAML file. Raises UsageError naming what is wrong."""
    try:
        card: Card = build_config(Card, read_settings(path, f"--card {path}"))
    except UsageError as error:
        raise UsageError(str(error) if str(error).startswith("--card") else f"--card {path}: {error}") from None
    return card


def add_encoder(path: Path, card: Card) -> Added:
    """Put an encoder where it is found by its name, by hard link or as a copy; one of the same name is replaced.

    It is built and given two images first: a TorchScript file is a program, and runs. Raises UserError where the file
    is none that is read, does not fit its architecture, or gives other features than the card says; UsageError where
    the card does not fit the kind of file. Then nothing is stored.
    """
    from vsbench.weights.encoder_networks import build, kind_of, require_width

    try:
        kind = kind_of(path)
        found = {"bytes": path.stat().st_size, "sha256": file_digest(path), "kind": kind}
        encoder: Encoder = build_config(Encoder, card.model_dump() | found)
        require_width(build(encoder, path), encoder)
        folder = search_folders()[0] / FOLDER / encoder.name
        place(path.resolve(), folder / FILE, lambda copy: _verify(encoder, copy))
        write_json(folder / CARD, encoder.model_dump(mode="json", by_alias=True))
    except OSError as error:
        raise UserError(
            f"{error.filename or path}: can't be read or written ({error.strerror}); mend that, and add {path} again"
        ) from None
    return Added(encoder, folder / FILE)


def encoder_names() -> list[str]:
    """Those that were added, in alphabetical order. Raises WeightsError as ``search_folders`` does."""
    folders = (folder / FOLDER for folder in search_folders())
    return sorted({card.parent.name for folder in folders for card in folder.glob(f"*/{CARD}")})


def require_encoder(name: str) -> Path:
    """The folder of this encoder: the first in ``search_folders``. Raises UsageError where none was added."""
    if name not in (there := encoder_names()):
        known = f"there are {', '.join(there)}" if there else f"none was added ({ADD})"
        raise UsageError(f"no encoder {brief(name)}: {known}")
    homes = (folder / FOLDER / name for folder in search_folders())
    return next(home for home in homes if (home / CARD).is_file())


def find_encoder(name: str) -> Added:
    """The encoder of this name, its file's size and SHA-256 checked.

    Raises UsageError where there is none, WeightsError where its card or file is not as it was added.
    """
    home = require_encoder(name)
    encoder = _stored(home / CARD)
    _verify(encoder, home / FILE)
    return Added(encoder, home / FILE)


def encoder_status(name: str) -> tuple[Encoder | None, Path, str | None]:
    """(Its card, where that is in order; its file; what is wrong with either). Raises UsageError where it is none."""
    home = require_encoder(name)
    try:
        encoder = _stored(home / CARD)
    except WeightsError as error:
        return None, home / FILE, error.reason
    return encoder, home / FILE, mismatch(home / FILE, encoder.bytes, encoder.sha256)


def encoder_absence(name: str) -> str | None:
    """Why this encoder can't be used here, in a few words; None if it can."""
    from vsbench.weights.encoder_networks import missing_package

    try:
        found = find_encoder(name)
    except WeightsError as error:
        return error.reason
    return missing_package(found.encoder)


def _stored(card: Path) -> Encoder:
    """What a card file holds. Raises WeightsError where it is not as it was written."""
    try:
        encoder: Encoder = build_config(Encoder, read_json(card))
        if encoder.name != card.parent.name:
            raise ValueError(f"it is that of {encoder.name}")
    except (OSError, ValueError, UserError) as error:
        why = f"encoder {card.parent.name}: its card is damaged ({said(error)}); add it again: {ADD}"
        raise WeightsError(f"{card}: {why}", reason=why) from None
    return encoder


def _verify(encoder: Encoder, path: Path) -> None:
    """Raise WeightsError where a file is not the one that was added. A file is read once per process."""
    if wrong := mismatch(path, encoder.bytes, encoder.sha256):
        why = f"encoder {encoder.name}: its file is not the one that was added: {wrong}; add it again: {ADD}"
        raise WeightsError(f"{path}: {why}", reason=why)
