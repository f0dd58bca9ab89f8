"""``summary.json``: what an evaluation measured, on what, by which protocols."""

import json
import math
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_serializer, field_validator, model_validator

from vsbench.errors import RunError
from vsbench.files import digest, file_digest, json_number
from vsbench.records.artefact import Artefact, Count, Digest, Name, Seed, Settings, Text
from vsbench.records.run import Kind

PER_IMAGE = 1 << 20  # bytes of a file beside a summary, at most; the features of three networks are 60,000
GREATEST = 1e100  # no measurement is greater, and the square of none is infinite


def _word(value: float | None) -> float | str | None:
    return None if value is None else json_number(value)


class Reading(Artefact):
    """One set value. ``value`` is None where it is absent; then ``reason`` says why. Infinity is a word in JSON."""

    label: Text
    unit: Text
    best: Literal["low", "high", "zero"]
    protocol: Text
    value: Annotated[float, Field(allow_inf_nan=True)] | None
    reason: Text | None = None
    formula: Text = ""
    interval: Settings | None = None  # limits over slides, and what must be said of them

    @field_validator("value", mode="before")
    @classmethod
    def _infinity_is_a_word(cls, value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError('not a JSON number; infinity is "inf", an absent value null')
        if isinstance(value, int | float) and not -GREATEST < value < GREATEST:
            raise ValueError("greater than anything that is measured")
        return {"inf": math.inf, "-inf": -math.inf}.get(value, value) if isinstance(value, str) else value

    @field_serializer("value")
    def _word_for_infinity(self, value: float | None) -> float | str | None:
        return _word(value)

    @model_validator(mode="after")
    def _absent_has_a_reason(self) -> "Reading":
        if self.value is None and not self.reason:
            raise ValueError("absent without a reason")
        return self


class PairFiles(Artefact):
    """The images of one test pair, absolute or relative to the run folder; ``fake`` is None for reference rows."""

    id: Text
    he: Text
    ihc: Text
    fake: Text | None
    truth: Text | None


class Limits(Artefact):
    """How the intervals of a summary were made, and of what. What older summaries lack is None: not recorded."""

    resamples: Count
    seed: Seed
    how: Text | None = None
    unit: Literal["slide", "image", "unit"] | None = None  # that were drawn: images where slides are unknown or one
    units: Count | None = None
    enough: Count | None = None  # units from which on the limits mean something


class Summary(Artefact):
    """What an evaluation left of a run; derived from ``per_image.csv`` and ``features.npz`` beside it."""

    mend: ClassVar[str] = "evaluate the run again (vsbench evaluate RUN)"
    largest: ClassVar[int] = 1 << 26  # 60,000 pairs and more

    schema_: Literal[1] = Field(alias="schema")
    kind: Kind
    dataset: Name
    data_name: Name | None = None  # what its pairs are called; None: as the data set is
    stain: Name
    row: Name
    title: Text
    seed: Seed | None
    split: Name
    protocol: Name
    n: Count
    n_slides: Count | None
    sizes: list[Text]
    data_digest: Text
    split_digest: Digest | None = None
    images_digest: Digest | None = None
    fingerprint: Digest | None = None
    vsbench: Text
    benchmark: Text | None = None  # the version that its numbers belong to; None: before there were any
    bootstrap: Limits | None = None
    provenance: Settings | None = None
    warnings: list[Text]
    skipped: dict[str, Text] = {}
    pairs: list[PairFiles]
    values: dict[str, Reading]
    failed: list[Text] = []  # those of ``values`` whose metric failed; they are measured again
    digests: dict[str, Digest] = {}  # of the files it was derived from, by name; none before they were recorded
    values_digest: Digest | None = None  # of ``values``; None before it was recorded

    @property
    def digest_of_values(self) -> str:
        """SHA-256 over the numbers, with what they mean and their limits."""
        return digest(
            json.dumps([name, _word(r.value), r.unit, r.best, r.protocol, r.reason, r.interval], sort_keys=True)
            for name, r in sorted(self.values.items())
        )

    def require_whole(self, folder: Path) -> None:
        """Raise RunError naming what was changed since it was measured: the values here, or a file beside the summary
        that is not what it was derived from.
        """
        if self.values_digest not in (None, self.digest_of_values):
            raise RunError(f"{folder / 'summary.json'}: values damaged or edited since they were measured; {self.mend}")
        for name, recorded in self.digests.items():
            file = folder / Path(name).name
            try:
                size, most = file.stat().st_size, (self.n + 64) * PER_IMAGE
                if size > most:
                    raise RunError(f"{file}: {size:,} bytes, where {self.n} images give {most:,} at most; {self.mend}")
                changed = file_digest(file) != recorded
            except OSError as error:
                raise RunError(f"{file}: cannot be read ({error.strerror}); {self.mend}") from None
            if changed:
                raise RunError(f"{file}: damaged or edited since it was measured; {self.mend}")

    @model_validator(mode="after")
    def _lists_its_pairs(self) -> "Summary":
        if len(self.pairs) != self.n:
            raise ValueError(f"lists {len(self.pairs)} pairs but n is {self.n}")
        return self
