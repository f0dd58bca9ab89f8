"""What a part of the test is: rows of numbers, each guarded by itself, written down as soon as it is there."""

import gc
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vsbench.files import json_number

Row = dict[str, Any]  # what was measured, in words and numbers; ``failed``: why it was not
Tell = Callable[[Row], None]
PATIENCE_S = 0.2  # between looks at whether something is there


@dataclass(frozen=True)
class Bench:
    """Where a part runs. ``folder``: what parts leave for each other; ``small``: sizes that a CPU does in a moment.

    ``until``: the end of the part's time, as ``time.monotonic`` has it.
    """

    device: str
    folder: Path
    until: float
    small: bool = False

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()

    def wait_for(self, name: str) -> Path:
        """What another part leaves in the folder, once it is whole. Raises TimeoutError where it does not come."""
        there = self.folder / name
        while not there.exists():
            if self.left <= 0:
                raise TimeoutError(f"{name} was not ready in time")
            time.sleep(PATIENCE_S)
        return there

    def clear(self) -> None:
        """Forget what nobody holds any more, networks in cycles of references too."""
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()

    @property
    def allocated(self) -> int:
        """Bytes of the GPU that tensors hold now."""
        return torch.cuda.memory_allocated() if self.device == "cuda" else 0

    def synchronize(self) -> None:
        """Until the device has done all that it was given."""
        if self.device == "cuda":
            torch.cuda.synchronize()


Run = Callable[[Bench, Tell], None]


@dataclass(frozen=True)
class Part:
    """``run`` tells rows; ``seconds`` are its time box."""

    name: str
    title: str
    seconds: float
    run: Run


def guarded(bench: Bench, about: Row, measure: Callable[[], Row]) -> Row:
    """A row: what it is about, and what is measured, or why that failed; nothing is tried when time is up.

    What breaks the device itself is raised: nothing on it works after that.
    """
    if bench.left <= 0:
        return about | {"failed": "no time was left"}
    try:
        return about | measure()
    except torch.OutOfMemoryError:
        return about | {"failed": "out of memory"}
    except Exception as error:  # the others shall have their turn
        if "CUDA error" in str(error):
            raise
        return about | {"failed": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}"}
    finally:
        bench.clear()


def write_down(part: Part, bench: Bench, file: Path) -> None:
    """Run a part, each row a line of JSON as soon as it is there."""
    begun = time.monotonic()
    with file.open("a", encoding="utf-8") as lines:

        def tell(row: Row) -> None:
            row = row | {"at_s": time.monotonic() - begun}
            lines.write(json.dumps({key: plain(value) for key, value in row.items()}) + "\n")
            lines.flush()

        part.run(bench, tell)


def plain(value: Any) -> Any:
    """As JSON has it, in four digits."""
    return json_number(float(f"{value:.4g}")) if isinstance(value, float) else value


def read_down(file: Path) -> list[Row]:
    """The rows that a part has written, but for one that was cut in the middle."""
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows
