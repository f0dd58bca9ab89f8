"""The figures that a report has for each data set and stain, in their order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vsbench.errors import DataError, RunError
from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.scatter import scatter
from vsbench.report.figures.sheets import image_sheets
from vsbench.report.tables import Comparison

Draw = Callable[[Comparison, Path], list[Drawn]]  # raises RunError or DataError where there is nothing to draw
FIGURES: dict[str, Draw] = {
    "scatter": scatter,
    "sheet of images": image_sheets,
}


@dataclass(frozen=True)
class Gallery:
    """The figures of one comparison; ``missing``: those that could not be drawn, and why."""

    drawn: tuple[Drawn, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def files(self) -> list[Path]:
        """The files of all figures."""
        return [path for drawn in self.drawn for path in drawn.files]


def draw_all(comparison: Comparison, folder: Path) -> Gallery:
    """Draw every figure that the results allow; a figure needs what others do without, such as the images."""
    drawn: list[Drawn] = []
    missing: list[str] = []
    for name, draw in FIGURES.items():
        try:
            drawn += draw(comparison, folder)
        except (RunError, DataError) as error:  # results often travel without their images
            missing.append(f"{comparison.name}: no {name}; {error}")
    return Gallery(tuple(drawn), tuple(missing))


def complaints(gallery: Gallery) -> Iterator[str]:
    """One sentence for each figure, or part of one, that is missing."""
    yield from gallery.missing
    for drawn in gallery.drawn:
        yield from (f"{drawn.stem.name}: drawn without {part}" for part in drawn.missing)
