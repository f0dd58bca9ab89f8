"""``run.json``: what a row of a table was made from. Four kinds, each with what it alone has.

A record answers two questions itself: what this row is (``made``: all but the seed), and what must be equal for a
training to go on in its folder (``differences``).
"""

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, TypeAdapter, ValidationError

from vsbench.errors import RunError
from vsbench.files import digest
from vsbench.names import brief
from vsbench.records.artefact import Artefact, Count, Digest, Name, Seed, Settings, Text, content_of, first_fault

Kind = Literal["trained", "pooled", "imported", "external", "reference"]
SLIDES = "slides"  # what stands for the data set where whole slides were judged


class _Record(Artefact):
    """What every row has."""

    mend: ClassVar[str] = "move the run folder away"

    schema_: Literal[1, 2] = Field(default=1, alias="schema")  # files before 2 name no version
    row: Name
    title: Text
    dataset: Name
    dataset_options: Settings | None = None
    stain: Name
    data_root: Text | None = None  # where the images lay
    data_name: Name | None = None  # what they are called; None: as the data set is

    @property
    def _way(self) -> dict[str, Any]:
        """How the row was made, but for data and seed."""
        return {}

    def is_of(self, kind: str, dataset: str, stain: str, row: str) -> bool:
        """Whether it speaks of the row of these names."""
        return (self.kind, self.dataset, self.stain, self.row) == (kind, dataset, stain, row)  # type: ignore[attr-defined]  # each kind has it

    @property
    def made(self) -> str:
        """What this row is: equal for the seeds of one row, and for nothing else. A digest."""
        way = {"kind": self.kind, "dataset": self.dataset, "options": self.dataset_options or {}, "stain": self.stain}  # type: ignore[attr-defined]  # each kind has it
        return digest([json.dumps(way | self._way, sort_keys=True)])

    def may_stand_beside(self, there: "RunRecord") -> bool:
        """Whether both may lie in the folder of one row."""
        return self.made == there.made


class HeldOutSlides(Artefact):
    """The slides that validation held out of the training set."""

    metric: Text
    every: Count
    share: float = Field(gt=0, lt=1)
    slides: list[Text]
    pairs: Count


class Keeping(Artefact):
    """Which checkpoints were written, and stay."""

    every: Count
    keep: Count
    keep_every: Count | None = None


class AcceptedData(Artefact):
    """Training images that changed under a training, and with which it went on at its user's word."""

    step: Count
    before: Digest
    after: Digest
    files: list[Text]  # some of those that differ, by name


class Continued(Artefact):
    """A finished training that was asked for more. From ``step`` on the rate falls as if ``after`` had held always."""

    step: Count
    before: Settings
    after: Settings


class Environment(Artefact):
    """What the training could use of the machine's processors, and what the command had set for it."""

    processors: Count
    threads: Count  # of torch
    chosen: dict[str, Text]  # variables and settings of malloc that the user had left open


class _OfMethod(_Record):
    """What has a method with its settings."""

    method: Name
    preset: Name | None = None
    variant: Annotated[str, Field(pattern=r"^[\w.+-]*$", max_length=100)] | None = None
    config: Settings
    parameters: dict[str, Count] | None = None


class TrainedRecord(_OfMethod):
    """A training. What must be equal to go on in its folder is what ``differences`` compares."""

    kind: Literal["trained"] = "trained"
    seed: Seed
    train_pairs: Count | None = None
    train_slides: Count | None = None
    train_digest: Digest | None = None
    accepted_data: list[AcceptedData] = []
    continued: list[Continued] = []
    started_from: Text | None = None  # the digest of the file of weights with which the first step began
    started_from_file: Text | None = None  # where it lay
    pretrained: dict[str, Digest] = {}  # the files of the frozen networks that the training used
    ready_maps: Digest | None = None  # of the ready pictures from which the tiles' maps were made
    unattainable: Text | None = None  # why no real data can have such training pairs, where that is so
    select: Literal["last", "best"] | None = None
    validation: HeldOutSlides | None = None
    checkpoints: Keeping | None = None
    precision: Text | None = None
    world: Count | None = None  # processes
    execution: Settings | None = None
    repetition: Text | None = None  # what training it again on such a device gives: EXACT, or how that may differ
    device: Text | None = None
    environment: Environment | None = None
    versions: dict[str, Text] | None = None
    git: Text | None = None
    steps: Count | None = None
    chosen_step: Count | None = None
    wall_time_s: Annotated[float, Field(ge=0)] | None = None
    peak_memory_bytes: Count | None = None
    finished: bool

    @property
    def _way(self) -> dict[str, Any]:
        held = self.validation  # which slides are held out, and so the training pairs, is the seed's
        return {
            "method": self.method,
            "config": self.config,
            "from": self.started_from,
            "pretrained": self.pretrained,
            "ready_maps": self.ready_maps,
            "select": self.select,
            "validation": None if held is None else [held.metric, held.every, held.share],
            "data": self.train_digest if held is None else None,
            "precision": self.precision,
            "world": self.world,
            "accumulate": (self.execution or {}).get("accumulate"),
        }

    def may_stand_beside(self, there: "RunRecord") -> bool:
        """The seeds of a row are continued one after the other: meanwhile one may be as long as others were before."""
        if not isinstance(there, TrainedRecord):
            return False
        mine, other = (r.model_copy(update={"config": r.config | dict.fromkeys(LENGTH)}).made for r in (self, there))
        return mine == other and any(length in there._lengths for length in self._lengths)

    @property
    def _lengths(self) -> list[Settings]:
        """What was asked of its length: now, and before it was continued."""
        return [{key: self.config.get(key) for key in LENGTH}, *(c.before for c in self.continued)]

    def differences(self, there: "TrainedRecord") -> list[str]:
        """In what the training ``there`` is another than this one; empty where this one may go on from it."""
        found = []
        for key in ("method", "config", "seed", "dataset", "stain", "train_digest", "precision", "world", "select",
                    "validation", "started_from", "pretrained", "ready_maps"):  # fmt: skip
            here, other = getattr(self, key), getattr(there, key)
            if key == "config" and here != other:
                found += [f"{k} = {brief(other.get(k))} there, {brief(v)} here" for k, v in here.items()
                          if other.get(k) != v] or ["config"]  # fmt: skip
            elif here != other:
                found.append(key)
        for key, usual in (("dataset_options", {}), ("execution", LATER)):  # what is not given is as it is by default
            if usual | (getattr(self, key) or {}) != usual | (getattr(there, key) or {}):
                found.append(key)
        return found


class FoldRun(Artefact):
    """The training of one fold. ``folder``: below the results of the row that it is part of."""

    fold: Count
    folder: Text
    made: Digest  # of the training's record


class PooledRecord(_OfMethod):
    """The trainings of one seed on the folds of a data set: each test image is translated by that of its fold."""

    kind: Literal["pooled"] = "pooled"
    seed: Seed
    folds: list[FoldRun] = Field(min_length=2)

    @property
    def _way(self) -> dict[str, Any]:
        return {"method": self.method, "config": self.config, "folds": [fold.made for fold in self.folds]}


class BundleOrigin(Artefact):
    """The bundle that a generator came in."""

    name: Name
    version: Text
    learnt_from: Name  # <dataset>-<stain>


class ImportedRecord(_OfMethod):
    """A generator that others trained, whose weights were read into a method of ours."""

    kind: Literal["imported"] = "imported"
    seed: None = None
    origin: Text  # the file's name, as it was given
    origin_digest: Digest  # of the file; of a bundle that of its weights
    bundle: BundleOrigin | None = None  # None: a file of the method's official code

    @property
    def _way(self) -> dict[str, Any]:
        return {"method": self.method, "config": self.config, "weights": self.origin_digest}


class ExternalRecord(_Record):
    """Images made elsewhere."""

    kind: Literal["external"] = "external"
    seed: None = None
    images: Text | None = None  # the folder they lay in
    suffix: Text | None = None
    resize: Text | None = None

    @property
    def _way(self) -> dict[str, Any]:
        return {"row": self.row, "suffix": self.suffix, "resize": self.resize}


class ReferenceRecord(_Record):
    """A row that needs no training."""

    kind: Literal["reference"] = "reference"
    seed: None = None
    made_of: Digest | None = None
    state: Settings | None = None  # what was fitted to the training split
    state_digest: Digest | None = None  # of its JSON with sorted keys

    @property
    def _way(self) -> dict[str, Any]:
        return {"row": self.row}


RunRecord = TrainedRecord | PooledRecord | ImportedRecord | ExternalRecord | ReferenceRecord
LENGTH = ("steps", "epochs", "decay_epochs")  # the settings in which a training that goes on may be longer
EXACT = "bit for bit"  # how a training repeats
LATER = {"deterministic": False}  # settings of an execution that records of older versions lack
_ANY: TypeAdapter[RunRecord] = TypeAdapter(Annotated[RunRecord, Field(discriminator="kind")])


def read_record(file: Path) -> RunRecord:
    """The record of a run folder. Raises RunError where it is missing or not in order."""
    content = content_of(file, _Record.mend, _Record.largest)
    if not isinstance(content, dict) or not {"kind", "dataset", "stain", "row", "title"} <= content.keys():
        raise RunError(f"{file}: not written by vsbench; move it away")
    try:
        return _ANY.validate_python(content)
    except ValidationError as error:
        raise RunError(f"{file}: {first_fault(error)}; {_Record.mend}") from None
