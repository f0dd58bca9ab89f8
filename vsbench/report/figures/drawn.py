"""What a figure leaves on disk."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Drawn:
    """A figure as ``<stem>.pdf``, ``.png`` and its data ``.csv``.

    ``caption`` is plain text with the mathematics that ``notation.heading`` knows. ``missing``: what is not in the
    figure and why, one sentence each.
    """

    stem: Path
    caption: str
    missing: tuple[str, ...] = ()

    def file(self, suffix: str) -> Path:
        """The file of one kind: ``pdf``, ``png`` or ``csv``."""
        return self.stem.with_name(f"{self.stem.name}.{suffix}")

    @property
    def kind(self) -> str:
        """``scatter``, ``images``: what the name of its files begins with."""
        return self.stem.name.partition("-")[0]

    @property
    def files(self) -> list[Path]:
        """All three files."""
        return [self.file(suffix) for suffix in ("pdf", "png", "csv")]
