"""``job.json``: the last job that was to train a run, beside the run's record."""

import time
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from vsbench.records.artefact import Artefact, Count, Name, Text


def now() -> str:
    """As the records have it: UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


GPU = Annotated[str, Field(pattern=r"^[\w:/.-]+$", max_length=100)]


class JobRecord(Artefact):
    """Who was told to train a run, and what that is called there. How far it is, the other files of the run say.

    It is written when the job is submitted, and again where somebody cancels it; nothing is written at its end: a
    process that was killed could not.
    """

    mend: ClassVar[str] = "remove it if no such job runs; vsbench sweep writes it anew"

    schema_: Literal[1] = Field(default=1, alias="schema")
    executor: Name
    id: Text  # of a local job the number of its process; empty: cancelled before there was one
    node: Text | None = None  # the host where it runs, as far as that is known
    submitted: Text | None = None  # UTC, as 2026-11-30T18:03:05Z
    machine: Text | None = None  # of a local job: where its process's number means something
    began: Count | None = None  # and when its process did, in the system's ticks since its start
    gpus: list[GPU] = []  # and what CUDA_VISIBLE_DEVICES is for it
    cancelled: bool = False
