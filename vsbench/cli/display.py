"""Progress on a terminal; plain lines where there is none."""

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

if TYPE_CHECKING:
    from vsbench.engine.trainer import Progress


class TrainingDisplay:
    """A bar with losses, images/s and the time left; ten plain lines per run where standard error is no terminal."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, markup=False, highlight=False, quiet=quiet)
        self.live = self.console.is_terminal and not quiet
        columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Bar(*columns, TextColumn("{task.fields[detail]}"), console=self.console, disable=not self.live)
        self.task = self.bar.add_task("", total=None, detail="")
        self.told = 0

    def __enter__(self) -> "TrainingDisplay":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def say(self, line: str) -> None:
        """A line that stays."""
        self.console.print(line)

    def step(self, title: str, progress: "Progress") -> None:
        """Show how a training goes."""
        losses = "  ".join(f"{name} {value:.3g}" for name, value in progress.losses.items())
        detail = f"{progress.images_per_s:.1f} images/s  {losses}"
        if self.live:
            self.bar.update(self.task, description=title, total=progress.steps, completed=progress.step, detail=detail)
            return
        tenth = 10 * progress.step // progress.steps
        if tenth > self.told or progress.step == progress.steps:
            print(f"{title}: step {progress.step}/{progress.steps}  {detail}", file=sys.stderr, flush=True)
        self.told = tenth % 10

    def count(self, title: str, done: int, total: int) -> None:
        """Show how a count goes."""
        if self.live:
            self.bar.update(self.task, description=title, total=total, completed=done, detail="")
