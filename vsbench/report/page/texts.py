"""What the page's data are made of: texts named once, numbers that JSON can hold, addresses beside the page."""

import json
import math
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vsbench.report.notation import markup


class Texts:
    """Sentences that many cells share: each is stored once and named by its number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        """The number of a text."""
        return self._numbers.setdefault(" ".join(text.split()), len(self._numbers))

    def all(self) -> list[str | list[tuple[str, str]]]:
        """The texts by number; those with symbols as ``notation.markup`` gives them."""
        labels = {text: markup(text) for text in self._numbers}
        return [label if any(name for name, _ in label) else text for text, label in labels.items()]


def number(value: float | None) -> float | str | None:
    """A number as JSON has it: infinity as the word that JavaScript reads as such."""
    if value is None or math.isfinite(value):
        return value
    return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def written(value: float, places: int) -> str:
    """A number as text with so many decimals; infinity as its sign, and a minus that is no hyphen."""
    text = "∞" if math.isinf(value) else f"{abs(value):.{places}f}"
    return f"−{text}" if value < 0 and text.strip("0.") else text


def address(path: Path, page: Path) -> str:
    """The address of a file in a page that lies in the folder ``page``: relative, so that both may move together."""
    try:
        return quote(Path(os.path.relpath(path, page)).as_posix())
    except ValueError:  # another drive of a Windows computer
        return path.absolute().as_uri()


def embedded(data: Any) -> str:
    """JSON in ASCII that no HTML parser can take for markup, whatever names it holds. NaN is an error."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
