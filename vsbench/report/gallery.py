"""The figures that a report has for each data set and stain, in their order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vsbench.errors import DataError, RunError
from vsbench.report.decision import Decision
from vsbench.report.figures.agreement import agreement
from vsbench.report.figures.cost import cost
from vsbench.report.figures.critical import critical_differences
from vsbench.report.figures.differences import differences
from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.features import feature_map
from vsbench.report.figures.rank_bars import rank_bars
from vsbench.report.figures.scatter import scatter
from vsbench.report.figures.sheets import image_sheets
from vsbench.report.figures.split import split_figure
from vsbench.report.provenance.places import Places
from vsbench.report.split import Split
from vsbench.report.tables import Comparison
from vsbench.stats.slides import counted

Draw = Callable[[Comparison, Path], list[Drawn]]  # raises RunError or DataError where there is nothing to draw
FIGURES: dict[str, Draw] = {
    "scatter": scatter,
    "sheet of images": image_sheets,
    "differences by slide": differences,
    "critical differences": critical_differences,
    "agreement": agreement,
    "features": feature_map,
    "cost": cost,
}
OF_MANY = ("differences by slide", "features")  # they single out a best method, or clusters: nothing of few images is
OF_TILES = ("sheet of images", "features", "cost", "split of distances")  # nothing of slides is read for figures


@dataclass(frozen=True)
class Gallery:
    """The figures of one comparison; ``missing``: those that could not be drawn, and why."""

    drawn: tuple[Drawn, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def files(self) -> list[Path]:
        """The files of all figures."""
        return [path for drawn in self.drawn for path in drawn.files]


def draw_all(decision: Decision, found: Sequence[Split], folder: Path, places: Places) -> Gallery:
    """Draw every figure that the results allow; a figure needs what others do without, such as the images.

    ``found``: how distances to the best are split, as ``split.splits`` has it. ``places``: of this machine, which what
    is said of missing ones does not name.
    """

    def distances(_: Comparison, folder: Path) -> list[Drawn]:
        return split_figure(found, folder)

    def ranks(_: Comparison, folder: Path) -> list[Drawn]:
        return rank_bars(decision, folder)

    drawn: list[Drawn] = []
    missing: list[str] = []
    name = decision.comparison.name
    left_out = OF_TILES if decision.comparison.of_slides else ()
    few = not any(value.can_show for value in decision.values.values())
    for what, draw in {**FIGURES, "split of distances": distances, "ranks": ranks}.items():
        if what in left_out:
            continue
        try:
            if few and what in OF_MANY:
                raise RunError(f"{counted(*decision.comparison.units)} can't show a difference")
            drawn += draw(decision.comparison, folder)
        except (RunError, DataError) as error:  # results often travel without their images
            missing.append(f"{name}: no {what}; {places.sentence(str(error)).removeprefix(f'{name}: ')}")
    drawn = [replace(one, missing=tuple(map(places.sentence, one.missing))) for one in drawn]
    return Gallery(tuple(drawn), tuple(missing))


def complaints(gallery: Gallery) -> Iterator[str]:
    """One sentence for each figure, or part of one, that is missing."""
    yield from gallery.missing
    for drawn in gallery.drawn:
        yield from (f"{drawn.stem.name}: drawn without {part}" for part in drawn.missing)
