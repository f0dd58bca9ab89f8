"""A JSON file of a results folder: written and read in one place, and checked whenever it is read.

A results folder may come from elsewhere, or be damaged or edited: so names, ranges and digests are looked at, and what
is wrong is said with the file and the place in it.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from vsbench.errors import RunError, UsageError
from vsbench.files import read_json, write_json
from vsbench.names import checked_name, said

DEEPEST = 50  # lists and mappings in each other, in settings


def _checked(name: str) -> str:
    """A name that becomes a folder's passes the gate of all names."""
    try:
        return checked_name(name, "name")
    except UsageError as error:
        raise ValueError(str(error)) from None


def _plain(value: Any) -> Any:
    """What can be written again as UTF-8 JSON, and be gone through: JSON's 1e999 is infinite, its "\\ud800" no text."""
    _require_plain(value, 0)
    return value


def _require_plain(value: Any, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError(f"nested more than {DEEPEST} deep")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a finite number")
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError("half a character (a lone surrogate)")
    if isinstance(value, dict):
        for key, item in value.items():
            _require_plain(key, depth + 1)
            _require_plain(item, depth + 1)
    for item in value if isinstance(value, list) else ():
        _require_plain(item, depth + 1)


Name = Annotated[str, AfterValidator(_checked)]
Text = Annotated[str, Field(max_length=10_000)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Settings = Annotated[dict[str, Any], AfterValidator(_plain)]


class Artefact(BaseModel):
    """A model of one file. ``schema_`` is its version; what an older version lacked is None: not recorded."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", populate_by_name=True, allow_inf_nan=False)

    mend: ClassVar[str]  # what to do where the file is not in order
    largest: ClassVar[int] = 1 << 22  # bytes of a file that is read

    @classmethod
    def checked(cls, content: Any, file: Path) -> Self:
        """The model of what a file holds. Raises RunError naming the file, the first place that is wrong, the mend."""
        if not isinstance(content, Mapping):
            raise RunError(f"{file}: no JSON object; {cls.mend}")
        try:
            return cls.model_validate(dict(content))
        except ValidationError as error:
            raise RunError(f"{file}: {first_fault(error)}; {cls.mend}") from None

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read and check a file. Raises RunError where it is missing, unreadable or not in order."""
        return cls.checked(content_of(file, cls.mend, cls.largest), file)

    def write(self, file: Path) -> None:
        """Write the file, atomically."""
        write_json(file, self.model_dump(mode="json", by_alias=True))


def content_of(file: Path, mend: str, largest: int) -> Any:
    """What a JSON file holds. Raises RunError where there is none, or it cannot be read."""
    try:
        return read_json(file, largest)
    except FileNotFoundError:
        raise RunError(f"{file}: missing; {mend}") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{file}: damaged ({said(error)}); {mend}") from None


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong, and where; never the value itself, which may be anything."""
    return all_faults(error)[0]


def all_faults(error: ValidationError) -> list[str]:
    """All that is wrong, one line each."""
    found = []
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        place = ".".join(str(part) for part in fault["loc"]).replace("schema_", "schema")
        why = "unknown" if fault["type"] == "union_tag_invalid" else said(fault["msg"].removeprefix("Value error, "))
        found.append(f"{said(place) if place else 'kind'}: {why}")
    return found
