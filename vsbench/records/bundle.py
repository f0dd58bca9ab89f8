"""``bundle.json``: what a bundle's generator is and was trained on, and the digests of the files beside it."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from vsbench.records.artefact import Artefact, Count, Digest, Name, Seed, Settings, Text

GENERATOR, TRAINING, SHEET = "generator.safetensors", "training.json", "sheet.png"
CARD, README = "bundle.json", "README.md"
FILES = (GENERATOR, TRAINING, SHEET)  # that a bundle may hold besides its card and README.md: nothing that runs

Version = Annotated[str, Field(pattern=r"^\d+(\.\d+){0,3}$", max_length=20)]


def is_bundle(path: Path) -> bool:
    """Whether a file or folder is meant as a bundle: any zip by its name, and a folder with its card."""
    return (path / CARD).is_file() if path.is_dir() else path.suffix.lower() == ".zip"


class Change(Artefact):
    """A line of a bundle's changelog."""

    version: Version
    says: Text


class BundleCard(Artefact):
    """``weights``: the digest of the tensors with method and settings, which no rewriting of the file changes."""

    mend: ClassVar[str] = "fetch or export the bundle again"

    schema_: Literal[1] = Field(alias="schema")
    name: Name
    version: Version
    changes: list[Change]
    title: Text
    licence: Text | None  # of the weights; None: nobody said
    method: Name
    variant: Annotated[str, Field(pattern=r"^[\w.+-]*$", max_length=100)] | None
    preset: Name | None
    config: Settings
    weights: Digest
    dataset: Name
    dataset_options: Settings
    data_name: Name | None
    data_licence: Text
    stain: Name
    pixel_size: Annotated[float, Field(gt=0, le=1000)] | None  # µm of the images it learnt from
    train_pairs: Count | None
    train_slides: Count | None
    train_digest: Digest | None
    seed: Seed | None
    vsbench: Text
    files: dict[Text, Digest]

    @model_validator(mode="after")
    def _holds_what_a_bundle_holds(self) -> "BundleCard":
        if unknown := [name for name in self.files if name not in FILES]:
            raise ValueError(f"files: {unknown[0][:100]!a} is none of {', '.join(FILES)}")
        if missing := [name for name in (GENERATOR, TRAINING) if name not in self.files]:
            raise ValueError(f"files: no {missing[0]}")
        return self
