"""Progress on a terminal; plain lines where there is none."""

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console as RichConsole
from rich.console import Group
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from vsbench.cli.output import note
from vsbench.names import shown

if TYPE_CHECKING:
    from rich.progress import Task

    from vsbench.engine.trainer import Progress


class Console(RichConsole):
    """rich's, but every string in it, a table's cells too, is plain text of one line."""

    def __init__(self, stderr: bool = False, quiet: bool = False, wide: bool = True) -> None:
        super().__init__(stderr=stderr, quiet=quiet, markup=False, highlight=False, emoji=False)
        if wide and not self.is_terminal:
            self.width = 250  # a pipe has no edge to wrap at

    def render_str(self, text: str, **how: Any) -> Text:
        """Called by rich for every string, wherever it stands."""
        return super().render_str(shown(text), **how)


def table_and_notes(table: Iterable[str], notes: Iterable[str]) -> Group:
    """Lines that are cut at the terminal's edge, and below them sentences that go on in the next line."""
    return Group(Text("\n".join(map(shown, table)), no_wrap=True, overflow="crop"), *map(Text, map(shown, notes)))


class PlainColumn(TextColumn):
    """A column of a progress bar whose text is no markup, and shown as in a ``Console``."""

    def __init__(self, text_format: str) -> None:
        super().__init__(text_format, markup=False)

    def render(self, task: "Task") -> Text:
        """The text of one task."""
        text = super().render(task)
        text.plain = shown(text.plain)
        return text


class TrainingDisplay:
    """A bar with losses, images/s and the time left; ten plain lines per run where standard error is no terminal."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self.live = self.console.is_terminal and not quiet
        columns = (PlainColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Bar(*columns, PlainColumn("{task.fields[detail]}"), console=self.console, disable=not self.live)
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
            note(f"{title}: step {progress.step}/{progress.steps}  {detail}")
        self.told = tenth % 10

    def count(self, title: str, done: int, total: int, detail: str = "") -> None:
        """Show how a count goes; with a ``detail``, as ten plain lines where there is no terminal."""
        if self.live:
            self.bar.update(self.task, description=title, total=total, completed=done, detail=detail)
        elif detail:
            tenth = 10 * done // total
            if tenth > self.told or done == total:
                note(f"{title} {done}/{total}  {detail}")
            self.told = tenth
