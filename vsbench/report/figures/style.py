"""One look for all figures: a journal's column widths, small sans-serif type, colours safe for colour-blind readers.

Figures are drawn on their own canvas: importing or calling this changes no backend and no global setting of matplotlib.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from vsbench.cells import neutral_table
from vsbench.files import atomic, write_text
from vsbench.report.figures.drawn import Drawn
from vsbench.report.tables import Comparison, Row

COLUMN_WIDTH = 3.5  # inches: one column of a two-column journal
PAGE_WIDTH = 7.16
DPI = 300
PALETTE = tuple(sns.color_palette("colorblind").as_hex())
GREY = "#6b6b6b"
# of methods: no two alike for colour-blind readers, none too pale for white paper
COLOURS = (*(PALETTE[place] for place in (0, 3, 2, 4, 1, 9)), "#222222")
MARKS = "osD^vPX<*>"  # of methods: told apart in grey, at the size of a dot
FILLS = ("full", "left", "bottom", "top")  # of the marks of the first methods, and of those after them
# of references, which are open and grey
REFERENCE_MARKS = {
    "real-ihc": "*", "best": "P", "he": "s", "mean-colour": "o", "reinhard": "^", "macenko": "v", "nearest": "D",
    "shuffled": "X", "aligned": "h",
}  # fmt: skip
OTHER_REFERENCE = "p"  # one of a plugin


@dataclass(frozen=True)
class Look:
    """The colour and mark of a row: the same in all figures of a report, no other method's, and told apart in grey.

    ``fill``: how much of the mark is filled (matplotlib's ``fillstyle``); ``none`` for references.
    """

    colour: str
    mark: str
    fill: str

    def marked(self, size: float = 4.5) -> dict[str, Any]:
        """The mark of so many points, for ``plot`` and ``errorbar``; without a line."""
        return {
            "marker": self.mark, "color": self.colour, "linestyle": "none", "markersize": size, "fillstyle": self.fill,
            "markerfacecoloralt": "white", "markeredgecolor": self.colour, "markeredgewidth": 0.15 * size,
            **({"markerfacecolor": "white"} if self.fill == "none" else {}),
        }  # fmt: skip


def look(comparison: Comparison, row: Row) -> Look:
    """How a row is drawn, by its place among all methods of the report; references have one mark each, always."""
    if not row.is_method:
        return reference_look(row.runs[0].row)
    return method_look(comparison.methods.index(row.key))


def method_look(place: int) -> Look:
    """How the method of this place is drawn, counted from 0."""
    fill = FILLS[place // len(MARKS) % len(FILLS)]
    return Look(COLOURS[place % len(COLOURS)], MARKS[place % len(MARKS)], fill)


def reference_look(row: str) -> Look:
    """How the reference of this name is drawn."""
    return Look(GREY, REFERENCE_MARKS.get(row, OTHER_REFERENCE), "none")


@contextmanager
def style() -> Iterator[None]:
    """The settings of all figures, taken back at the end."""
    settings = {
        **sns.axes_style("ticks"),
        **sns.plotting_context("paper", font_scale=0.8),
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same figure on every machine
        "font.size": 7,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "pdf.fonttype": 42,  # TrueType: journals refuse type 3
        "image.composite_image": False,  # images side by side stay images of their own
        "savefig.bbox": None,
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # drawn as a box, which is visible
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, with a canvas of its own."""
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure atomically, PDF or PNG by the suffix. The same figure gives the same bytes: no dates inside."""
    metadata = {"Creator": "vsbench", "Producer": None, "CreationDate": None} if path.suffix == ".pdf" else {}
    content = BytesIO()  # on a full disk matplotlib's own writer of PDF ends in an error of its own
    figure.savefig(content, format=path.suffix[1:], dpi=DPI, metadata=metadata or {"Software": None})
    with atomic(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def write(figure: Figure, drawn: Drawn, table: pd.DataFrame) -> None:
    """Write a figure as PDF and PNG, and its data as CSV."""
    for suffix in ("pdf", "png"):
        save(figure, drawn.file(suffix))
    write_text(drawn.file("csv"), neutral_table(table).to_csv(index=False, lineterminator="\n"))


def width_of(png: Path) -> float:
    """How wide a figure is that was written here, in inches."""
    with Image.open(png) as image:
        return image.width / DPI
