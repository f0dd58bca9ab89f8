"""How often each method has each rank: stacked bars over resamples, for the main values of a decision."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Rectangle

from vsbench.errors import RunError
from vsbench.report.decision import Decision, ValueDecision
from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.names import heading_of, short_names
from vsbench.report.figures.style import COLUMN_WIDTH, GREY, look, new_figure, style, write
from vsbench.report.notation import mathtext, slug
from vsbench.report.verdict import decision_table, main_values, ranked
from vsbench.stats.ranks import rank_summary

CAPTION = (
    "Share of resamples in which a method has each rank, 1 the best; in per cent where there is room. Right: expected "
    "rank, and the central 95 % of ranks. {how}"
)
NAME = 24  # characters
LEFT, RIGHT = 1.22, 2.86  # inches: the ends of the bars
TOP, HEAD, LINE, GAP, KEY = 0.2, 0.17, 0.135, 0.08, 0.28  # inches: heights
READABLE = 0.11  # share from which on its number fits in


def rank_bars(decision: Decision, folder: Path) -> list[Drawn]:
    """Draw ``ranks-<dataset>-<stain>.{pdf,png,csv}``, a panel for each main value.

    Raises RunError where no main value has ranks of two methods or more.
    """
    comparison = decision.comparison
    names = main_values(decision)
    shown = [decision.values[name] for name in names if len(decision.values[name].ranks) > 1]
    if not shown:
        raise RunError(f"{comparison.name}: no ranks of two methods or more")
    missing = tuple(
        f"{name} (no ranks of two methods or more)" for name in names if name not in {v.value for v in shown}
    )
    drawn = Drawn(folder / f"ranks-{slug(comparison.name)}", CAPTION.format(how=_how(shown)), missing)
    heights = [HEAD + LINE * len(value.ranks) + GAP for value in shown]
    colours = _colours(max(len(value.ranks) for value in shown))  # a rank has one colour in all panels
    height = TOP + sum(heights) + KEY
    with style():
        figure = new_figure(COLUMN_WIDTH, height)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, COLUMN_WIDTH), ylim=(0, height))  # so that all that is drawn is in inches
        axes.axis("off")
        title = heading_of(comparison)
        axes.text(COLUMN_WIDTH / 2, height - 0.13, title, fontsize=7, ha="center", parse_math=False)
        top = height - TOP
        for value, own in zip(shown, heights, strict=True):
            _panel(axes, decision, value, top, colours)
            top -= own
        _key(axes, colours)
        write(figure, drawn, decision_table(decision, [value.value for value in shown]))
    return [drawn]


def _panel(axes: Axes, decision: Decision, decided: ValueDecision, top: float, colours: Sequence[str]) -> None:
    label = mathtext(decision.comparison.columns[decided.value].label)
    axes.text(LEFT, top - HEAD + 0.05, label, fontsize=6.5)
    rows = ranked(decision, decided)
    names = short_names([row.title for row in rows], NAME)
    for line, (row, name) in enumerate(zip(rows, names, strict=True)):
        y = top - HEAD - LINE * (line + 0.5)
        axes.plot(LEFT - 0.08, y, **look(decision.comparison, row).marked(3))
        axes.text(LEFT - 0.15, y, name, fontsize=5.5, ha="right", va="center", parse_math=False)
        shares = decided.ranks[row.key]
        start = LEFT
        for share, colour in zip(shares, colours[: len(shares)], strict=True):
            width = share * (RIGHT - LEFT)
            axes.add_artist(Rectangle((start, y - 0.4 * LINE), width, 0.8 * LINE, color=colour, linewidth=0))
            if share >= READABLE:
                ink = "white" if _is_dark(colour) else "black"
                axes.text(start + width / 2, y, f"{100 * share:.0f}", fontsize=5, ha="center", va="center", color=ink)
            start += width
        rank = rank_summary(np.array(shares))
        text = f"{rank.mean:.1f} [{rank.low:.0f}, {rank.high:.0f}]"
        axes.text(RIGHT + 0.06, y, text, fontsize=5.5, va="center", color=GREY)


def _key(axes: Axes, colours: Sequence[str]) -> None:
    """The colours of the ranks."""
    ranks = len(colours)
    width = (RIGHT - LEFT) / ranks
    for place, colour in enumerate(colours):
        axes.add_artist(Rectangle((LEFT + place * width, 0.14), width, 0.1, color=colour, linewidth=0))
        if ranks <= 14 or place in (0, ranks - 1):
            axes.text(LEFT + (place + 0.5) * width, 0.11, str(place + 1), fontsize=5, ha="center", va="top")
    axes.text(LEFT - 0.05, 0.19, "Rank", fontsize=5.5, ha="right", va="center")


def _colours(ranks: int) -> list[str]:
    """Dark for the best to light for the worst: told apart in grey, too."""
    return [to_hex(colour) for colour in colormaps["cividis"](np.linspace(0, 1, ranks))]


def _is_dark(colour: str) -> bool:
    red, green, blue = to_rgb(colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue < 0.5


def _how(shown: list[ValueDecision]) -> str:
    drawn = {value.seeds_drawn for value in shown}
    given = " or ".join(dict.fromkeys(f"{v.resamples} resamples of {v.units}" for v in shown))
    trainings = "trainings are drawn too" if drawn == {True} else "trainings are not drawn, their mean is ranked"
    if len(drawn) > 1:
        trainings = "trainings are drawn too where each method has three or more"
    return f"From {given}; {trainings}."
