"""``job.log`` of a run: what the jobs that train it say, one after the other. Light: jobs look at it too."""

import os
from pathlib import Path

from vsbench.files import open_regular
from vsbench.names import said

INTERRUPTED = "error: interrupted"  # before its first step: no fault, and nothing is lost
QUEUES_AGAIN = "queues again: "  # what a job says that is to go on by itself
ENDS = ("error: ", "stopped at step ", "stopped: ", QUEUES_AGAIN)  # with which a training, or its job, ends
TAIL = 1 << 14  # bytes that are looked at


def last_line(log: Path) -> str:
    """How the last job ended: its error, else what it said of its end, else the last line that there is.

    A library may have talked on after the former. Empty where nothing was said.
    """
    try:
        with open_regular(log) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            lines = file.read(TAIL).decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    own: list[str] = []
    for line in reversed(lines):
        if line.startswith("$ "):
            break
        own += [line] if line.strip() else []
    errors = (line for line in own if line.startswith("error: ") and line != INTERRUPTED)
    ends = (line for line in own if line.startswith(ENDS))
    return said(next(errors, next(ends, own[0]))) if own else ""
