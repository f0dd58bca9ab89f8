"""The one way to standard output and standard error: nothing that came from outside speaks to the terminal.

File names, metadata and messages of libraries are shown in one line, with control characters escaped.
"""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from vsbench.names import shown, shown_json


def say(text: object = "") -> None:
    """One line on standard output."""
    print(f"{shown(str(text))}\n", end="")  # one write: lines of two streams never mix


def note(text: object) -> None:
    """One line on standard error; where that can't be written, nothing ends by it."""
    with suppress(OSError):
        print(f"{shown(str(text))}\n", end="", file=sys.stderr, flush=True)


def say_json(value: Any) -> None:
    """A value as JSON on standard output, in characters that it can take; what JSON does not know as text."""
    plain = not (sys.stdout.encoding or "").lower().startswith("utf")
    print(shown_json(json.dumps(value, indent=2, ensure_ascii=plain, default=str)))


def open_streams() -> None:
    """Standard streams that take any character, and are there: one may be closed, or of a code page."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (open to the end)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def close_stream(stream: TextIO) -> None:
    """Write what is left to nowhere, so that the interpreter does not try once more at its end."""
    with suppress(OSError, ValueError):  # ValueError: no file behind it, as in tests
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        stream.flush()
