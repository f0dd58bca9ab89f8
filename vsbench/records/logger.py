"""``loggers/<tool>.json``: how far a training was told to the log of a tool, so that a resumed one goes on in it."""

from typing import ClassVar, Literal

from pydantic import Field

from vsbench.records.artefact import Artefact, Count, Text


class LoggerState(Artefact):
    """``id``: of the run in that tool. ``step``: up to it all is told, and is not told again."""

    mend: ClassVar[str] = "remove it: a resumed training then begins a new log there"

    schema_: Literal[1] = Field(default=1, alias="schema")
    id: Text
    step: Count
