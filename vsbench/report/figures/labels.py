"""Names beside points, placed so that they cover neither each other nor a point."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation
from numpy.typing import NDArray

DISTANCES = (4.0, 7.0, 10.0, 14.0, 18.0, 24.0, 30.0, 38.0, 48.0, 60.0)  # points of paper from the mark
DIRECTIONS = tuple(math.radians(angle) for angle in (0, 180, 90, 270, 45, 135, 315, 225, 20, 160, 200, 340))
POINT_RADIUS = 3.0  # points of paper that a mark covers
# what a place costs, in points of paper that the name would rather stand farther off
COVERS = 1000.0  # the name covers a name or a mark, or leaves the axes
CROSSES_LINE = 10.0  # its line crosses the line of another name
TOUCHES = 3.0  # its line passes over a name or a mark, or it lies on a line; at each of LINE_STEPS places
LINE_STEPS = 12

Array = NDArray[np.float64]  # boxes are (…, 4): left, bottom, right, top; lines (…, 2, 2): two ends; all in pixels


def label_points(axes: Axes, points: Sequence[tuple[float, float]], names: Sequence[str]) -> list[Annotation]:
    """Write each name near its point, with a thin line to it where it stands farther off.

    The limits of the axes must be final. Names keep clear of all points, of each other, and of texts already there, as
    far as there is room. They are placed one after the other at the cheapest of fixed places: deterministic.
    """
    canvas = axes.figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    renderer = canvas.get_renderer()
    scale = axes.figure.dpi / 72
    frame = np.asarray(axes.get_window_extent(renderer).extents)
    marks = axes.transData.transform(np.asarray(points, float).reshape(-1, 2))
    boxes = np.concatenate([marks - POINT_RADIUS * scale, marks + POINT_RADIUS * scale], axis=1)
    there = [text.get_window_extent(renderer).extents for text in axes.texts]
    boxes = np.concatenate([boxes, np.asarray(there).reshape(-1, 4)])
    lines = np.empty((0, 2, 2))
    annotations = []
    for mark, point, name in zip(marks, points, names, strict=True):
        text = axes.annotate(name, point, textcoords="offset points", xytext=(0, 0), fontsize=6, annotation_clip=False)
        text.set(parse_math=False, verticalalignment="bottom", zorder=2)
        extent = text.get_window_extent(renderer)
        distances, places = _places(mark, extent.width, extent.height, scale)
        leaders = np.stack([np.broadcast_to(mark, places[:, :2].shape), np.clip(mark, places[:, :2], places[:, 2:])], 1)
        near = boxes[~_inside(mark, boxes)]  # a line starts in its mark, and in those that overlap it
        covers = _overlap(places[:, None], boxes).any(1) | (places[:, :2] < frame[:2]).any(1)
        covers |= (places[:, 2:] > frame[2:]).any(1)
        touches = _inside(_steps(leaders)[:, :, None], near).sum((1, 2))
        touches += _inside(_steps(lines).reshape(1, -1, 2), places[:, None]).sum(1)
        crossings = _cross(leaders[:, None], lines).sum(1)
        best = int(np.argmin(distances + COVERS * covers + TOUCHES * touches + CROSSES_LINE * crossings))
        boxes = np.concatenate([boxes, places[best : best + 1]])
        x, y = (places[best, :2] - mark) / scale
        text.set_position((float(x), float(y)))
        if distances[best] > DISTANCES[0]:
            lines = np.concatenate([lines, leaders[best : best + 1]])
            ends = axes.transData.inverted().transform(leaders[best])
            axes.plot(ends[:, 0], ends[:, 1], color="0.55", linewidth=0.4, zorder=1, scalex=False, scaley=False)
        annotations.append(text)
    return annotations


def _places(mark: Array, width: float, height: float, scale: float) -> tuple[Array, Array]:
    """(C,) distances in points and (C, 4) boxes of a text of a size whose nearest edge or corner is so far away."""
    distances, boxes = [], []
    for distance in DISTANCES:
        for direction in DIRECTIONS:
            cosine, sine = math.cos(direction), math.sin(direction)
            left = mark[0] + distance * scale * cosine - (0 if cosine > 0.1 else width if cosine < -0.1 else width / 2)
            bottom = mark[1] + distance * scale * sine - height * (1 - sine) / 2
            distances.append(distance)
            boxes.append((left, bottom, left + width, bottom + height))
    return np.asarray(distances), np.asarray(boxes)


def _steps(lines: Array) -> Array:
    """(N, 2, 2) lines → (N, LINE_STEPS, 2) places on them."""
    share = np.linspace(0, 1, LINE_STEPS)[:, None]
    return lines[:, None, 0] + share * (lines[:, None, 1] - lines[:, None, 0])


def _inside(places: Array, boxes: Array) -> NDArray[np.bool_]:
    """Whether places (…, 2) lie in boxes (…, 4), by broadcasting."""
    return np.all((places >= boxes[..., :2]) & (places <= boxes[..., 2:]), axis=-1)


def _overlap(first: Array, second: Array) -> NDArray[np.bool_]:
    """Whether boxes (…, 4) have a common area, by broadcasting."""
    return np.all((first[..., :2] < second[..., 2:]) & (second[..., :2] < first[..., 2:]), axis=-1)


def _cross(first: Array, second: Array) -> NDArray[np.bool_]:
    """Whether lines (…, 2, 2) cross between their ends, by broadcasting."""
    a, b, c, d = first[..., 0, :], first[..., 1, :], second[..., 0, :], second[..., 1, :]
    return (_turn(a, b, c) * _turn(a, b, d) < 0) & (_turn(c, d, a) * _turn(c, d, b) < 0)


def _turn(a: Array, b: Array, c: Array) -> Array:
    """Positive where a → b → c turns left."""
    return (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
