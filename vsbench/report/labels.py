"""Names beside points, placed so that they cover neither each other nor a point."""

import itertools
import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

DISTANCES = (4.0, 8.0, 14.0, 22.0, 32.0, 44.0, 58.0, 74.0)  # points from the mark; the first that is free is taken
DIRECTIONS = tuple(math.radians(angle) for angle in (0, 180, 90, 270, 45, 135, 315, 225, 20, 160, 200, 340))
POINT_RADIUS = 3.5  # points of paper that a mark covers


def label_points(axes: Axes, points: Sequence[tuple[float, float]], names: Sequence[str]) -> list[Annotation]:
    """Write each name near its point, with a thin line to it where it must stand farther off.

    The limits of the axes must be final. Names are placed in the given order, each at the nearest place inside the axes
    that is free; where none is, at the one that covers least. Deterministic.
    """
    canvas = axes.figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    renderer = canvas.get_renderer()
    scale = axes.figure.dpi / 72
    frame = axes.get_window_extent(renderer)
    marks = [axes.transData.transform(point) for point in points]
    radius = POINT_RADIUS * scale
    taken = [Bbox.from_extents(x - radius, y - radius, x + radius, y + radius) for x, y in marks]
    annotations = []
    for (x, y), point, name in zip(marks, points, names, strict=True):
        text = axes.annotate(name, point, textcoords="offset points", xytext=(0, 0), fontsize=6, annotation_clip=False)
        text.set(parse_math=False, zorder=2, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.3})
        extent = text.get_window_extent(renderer)
        best: tuple[float, Bbox, tuple[float, float]] | None = None
        for distance, direction in itertools.product(DISTANCES, DIRECTIONS):
            box = _beside(x, y, extent, distance * scale, direction)
            covered = sum(_overlap(box, other) for other in taken) + _outside(box, frame)
            if best is None or covered < best[0]:
                best = (covered, box, (distance, direction))
            if covered == 0:
                break
        assert best is not None
        _, box, (distance, _) = best
        taken.append(box)
        text.set_position(((box.x0 - x) / scale, (box.y0 - y) / scale))
        text.set_verticalalignment("bottom")
        if distance > DISTANCES[1]:
            near = (min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1))
            (x1, y1), (x2, y2) = axes.transData.inverted().transform([(x, y), near])
            axes.plot([x1, x2], [y1, y2], color="0.6", linewidth=0.4, zorder=1, scalex=False, scaley=False)
        annotations.append(text)
    return annotations


def _beside(x: float, y: float, extent: Bbox, distance: float, direction: float) -> Bbox:
    """The box of a text whose nearest edge or corner lies ``distance`` from (x, y) in a direction, in pixels."""
    width, height = extent.width, extent.height
    cosine, sine = math.cos(direction), math.sin(direction)
    left = x + distance * cosine - (0 if cosine > 0.1 else width if cosine < -0.1 else width / 2)
    bottom = y + distance * sine - height * (1 - sine) / 2
    return Bbox.from_bounds(left, bottom, width, height)


def _overlap(first: Bbox, second: Bbox) -> float:
    common = Bbox.intersection(first, second)
    return 0.0 if common is None else float(common.width * common.height)


def _outside(box: Bbox, frame: Bbox) -> float:
    return float(box.width * box.height) - _overlap(box, frame)
