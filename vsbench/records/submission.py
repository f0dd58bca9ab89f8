"""A row of results as one JSON file: what anyone may send, and nothing in it that could act where it is shown.

There is no free text: names, numbers, digests and versions, each of its own narrow form. Unknown keys are faults.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator

from vsbench.records.artefact import Artefact, Count, Digest, Name, Seed
from vsbench.records.run import Kind
from vsbench.records.summary import GREATEST

State = Literal["printed", "submitted", "reproduced"]  # as report.reruns.STATES says
Number = Annotated[float, Field(gt=-GREATEST, lt=GREATEST)]
Title = Annotated[str, Field(pattern=r"^[A-Za-z0-9(][A-Za-z0-9 .,()+_-]{0,99}$")]  # of a row, or a device
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+!-]{0,99}$")]
Protocol = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+/@:, ()\[\]-]{0,199}$")]
Size = Annotated[str, Field(pattern=r"^[1-9]\d{0,4}x[1-9]\d{0,4}$")]
Doi = Annotated[str, Field(pattern=r"^10\.\d{4,9}/[A-Za-z0-9._()/:-]{1,100}$")]
Handle = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}$")]  # of whoever sends it
Scalar = bool | int | Number | Word | Literal[""] | None
Setting = Scalar | list[Scalar]
LARGE = 10_000  # entries of a mapping, at most


class _Strict(Artefact):
    model_config = ConfigDict(extra="forbid")
    mend: ClassVar[str] = "make it again (vsbench submit make)"


class Limits95(_Strict):
    """A 95 % interval over so many ``units``."""

    low: Number
    high: Number
    unit: Literal["slide", "image", "unit"]
    units: Count

    @model_validator(mode="after")
    def _in_order(self) -> "Limits95":
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class SubmittedValue(_Strict):
    """A set value of one run."""

    protocol: Protocol
    value: Number
    interval: Limits95 | None = None


class SubmittedRun(_Strict):
    """What was measured of one training. ``table``: the SHA-256 of its per-image table."""

    seed: Seed | None
    n: Annotated[int, Field(ge=1, lt=2**31)]
    table: Digest
    images: Digest | None = None
    weights: Digest | None = None
    values: Annotated[dict[Word, SubmittedValue], Field(min_length=1, max_length=LARGE)]


class Submission(_Strict):
    """A row: one method in one way, its seeds, on the test images of one data set and stain."""

    largest: ClassVar[int] = 1 << 24

    schema_: Literal[1] = Field(alias="schema")
    benchmark: Word
    state: State
    by: Handle | None = None
    doi: Doi | None = None
    kind: Kind
    row: Name
    title: Title
    method: Name | None
    variant: Word | None = None
    preset: Word | None = None
    settings: Annotated[dict[Word, Setting], Field(max_length=LARGE)] = {}
    dataset: Name
    stain: Name
    options: Annotated[dict[Word, Setting], Field(max_length=LARGE)] = {}
    split: Word
    protocol: Word
    sizes: Annotated[list[Size], Field(min_length=1, max_length=LARGE)]
    n_slides: Count | None
    data: Digest  # of the test images
    split_digest: Digest | None
    versions: Annotated[dict[Word, Word], Field(max_length=100)]
    hardware: Title | None = None
    runs: Annotated[list[SubmittedRun], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _of_one_row(self) -> "Submission":
        seeds = [run.seed for run in self.runs]
        if len(set(seeds)) != len(seeds):
            raise ValueError("runs: a seed stands twice")
        if len({run.n for run in self.runs}) > 1:
            raise ValueError("runs: measured on different numbers of images")
        if self.n_slides is not None and not 1 <= self.n_slides <= self.runs[0].n:
            raise ValueError("n_slides: more slides than images, or none")
        protocols: dict[str, str] = {}
        for run in self.runs:
            for name, value in run.values.items():
                if protocols.setdefault(name, value.protocol) != value.protocol:
                    raise ValueError(f"runs: {name} is measured by different protocols")
        return self
