"""Options that a tree of pairs carries with it, so that nobody has to say again what who made it knew."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsbench.errors import DataError
from vsbench.files import read_json, write_json
from vsbench.names import said

NAME = "vsbench-data.json"
SCHEMA = 1


def write_carried(home: Path, options: Mapping[str, Any]) -> None:
    """Write the options of the data set into its folder."""
    write_json(home / NAME, {"schema": SCHEMA, "options": dict(options)})


def read_carried(home: Path) -> dict[str, Any]:
    """The options that the folder carries; none where it carries none. Raises DataError where they can't be read."""
    file = home / NAME
    if not file.exists():
        return {}
    try:
        content: Any = read_json(file)
        if content["schema"] != SCHEMA:
            raise ValueError("of another version")
        return {str(key): value for key, value in content["options"].items()}
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise DataError(f"{file}: no options that can be read ({said(error)}); move it away") from None
