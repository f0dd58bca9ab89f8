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
from vsbench.names import checked_name


def _checked(name: str) -> str:
    """A name that becomes a folder's passes the gate of all names."""
    try:
        return checked_name(name, "name")
    except UsageError as error:
        raise ValueError(str(error)) from None


def _finite(value: Any) -> Any:
    """JSON knows no NaN; Python's reader does, and a settings value may be one."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a finite number")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _finite(item)
    return value


Name = Annotated[str, AfterValidator(_checked)]
Text = Annotated[str, Field(max_length=10_000)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Settings = Annotated[dict[str, Any], AfterValidator(_finite)]


class Artefact(BaseModel):
    """A model of one file. ``schema_`` is its version; what an older version lacked is None: not recorded."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", populate_by_name=True, allow_inf_nan=False)

    mend: ClassVar[str]  # what to do where the file is not in order

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
        return cls.checked(content_of(file, cls.mend), file)

    def write(self, file: Path) -> None:
        """Write the file, atomically."""
        write_json(file, self.model_dump(mode="json", by_alias=True))


def content_of(file: Path, mend: str) -> Any:
    """What a JSON file holds. Raises RunError where there is none, or it cannot be read."""
    try:
        return read_json(file)
    except FileNotFoundError:
        raise RunError(f"{file}: missing; {mend}") from None
    except (OSError, ValueError, RecursionError) as error:  # unreadable, no UTF-8, no JSON, nested without end
        raise RunError(f"{file}: damaged ({' '.join(str(error).split())[:200]}); {mend}") from None


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong, and where; never the value itself, which may be anything."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])[:200].replace("schema_", "schema")
    why = "unknown" if first["type"] == "union_tag_invalid" else first["msg"].removeprefix("Value error, ")[:200]
    return f"{place or 'kind'}: {why}"
