"""GeoJSON as QuPath reads it: outlines of cells and areas, written one by one, in pixels of the finest level."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsbench.files import atomic

COLOURS = {"Positive": [200, 60, 40], "Negative": [70, 90, 190]}  # RGB, as QuPath shows them
Add = Callable[..., None]


@contextmanager
def geojson(file: Path) -> Iterator[Add]:
    """Yield a function that adds one object to a file, which is there when all are: ``add(rings, kind, name, …)``.

    ``rings``: the outline, (N, 2) y and x of its corners, counted from the middle of the first pixel; then those of
    holes. ``kind``: ``detection`` or ``annotation``; ``name``: its class; ``measurements``: numbers by name.
    """
    with atomic(file) as temporary, temporary.open("w", encoding="utf-8") as out:
        out.write('{"type": "FeatureCollection", "features": [')
        count = 0

        def add(
            rings: list[NDArray[Any]], kind: str, name: str, measurements: Mapping[str, float] | None = None
        ) -> None:
            nonlocal count
            out.write((",\n" if count else "\n") + json.dumps(_feature(rings, kind, name, measurements or {})))
            count += 1

        yield add
        out.write("\n]}\n")


def _feature(rings: list[NDArray[Any]], kind: str, name: str, measurements: Mapping[str, float]) -> dict[str, Any]:
    corners = [np.round(ring[:, ::-1].astype(np.float64) + 0.5, 2).tolist() for ring in rings]  # from pixels' corners
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]] for ring in corners]},
        "properties": {
            "objectType": kind,
            "classification": {"name": name, "color": COLOURS.get(name, [120, 120, 120])},
            "measurements": {key: round(float(value), 4) for key, value in measurements.items()},
        },
    }
