"""The one way to standard output and standard error: nothing that came from outside speaks to the terminal.

File names, metadata and messages of libraries are shown in one line, with control characters escaped.
"""

import io
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from vsbench.files import named
from vsbench.names import shown, shown_json


def say(text: object = "") -> None:
    """One line on standard output."""
    print(f"{shown(str(text))}\n", end="")  # one write: lines of two streams never mix


def note(text: object) -> None:
    """One line on standard error."""
    print(f"{shown(str(text))}\n", end="", file=sys.stderr, flush=True)


def say_json(value: Any) -> None:
    """A value as JSON on standard output, in characters that it can take; what JSON does not know as text."""
    plain = not (sys.stdout.encoding or "").lower().startswith("utf")
    print(shown_json(json.dumps(value, indent=2, ensure_ascii=plain, default=str)))


class _Named(io.TextIOWrapper):
    """Standard output, which an error of writing to it names."""

    def write(self, text: str) -> int:
        with named("standard output"):
            return super().write(text)

    def flush(self) -> None:
        with named("standard output"):
            super().flush()


class _Lasting(io.TextIOWrapper):
    """A stream by which nothing ends: once it can't be written, what it is told goes nowhere.

    For standard error, since a training outlives the terminal it was started from, and the reader of its progress.
    """

    def write(self, text: str) -> int:
        with suppress(OSError):
            super().write(text)
            return len(text)
        close_stream(self)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()
            return
        close_stream(self)


def open_streams() -> None:
    """Standard streams that take any character, and are there: one may be closed, or of a code page."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (open to the end)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
            if stream is not getattr(sys, f"__{name}__"):
                continue  # a capture's, whose file is not ours to close when this wrapper ends
            kind, lines = (_Named, stream.line_buffering) if name == "stdout" else (_Lasting, True)
            # the one beneath stays open, as sys.__stdout__ and sys.__stderr__
            setattr(sys, name, kind(stream.buffer, stream.encoding, stream.errors, line_buffering=lines))


def close_stream(stream: TextIO) -> None:
    """Write what is left to nowhere, so that the interpreter does not try once more at its end."""
    with suppress(OSError, ValueError):  # ValueError: no file behind it, as in tests
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        stream.flush()
