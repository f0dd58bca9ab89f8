"""Nuclei outlined elsewhere, as StarDist, Cellpose, CellViT and QuPath write them: label images, or GeoJSON.

A label image (PNG or TIFF, one grey channel of 8 to 32 bits) has the number of a nucleus in its pixels, and 0 between
nuclei. In GeoJSON each polygon is a nucleus, in pixels of the image. Where it holds detections or cells, as QuPath
calls them, only these are nuclei, and of a cell it is the outline of its nucleus.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon

from vsbench.data.decode import read_labels, require_one_size
from vsbench.errors import DataError, unreadable
from vsbench.files import read_json
from vsbench.names import said

GEOJSON = frozenset({".geojson", ".json"})
ENDINGS = frozenset({".png", ".tif", ".tiff"}) | GEOJSON
LARGEST = 1 << 28  # bytes of a GeoJSON file
FARTHEST = 1e7  # pixels from the image's corner to that of a polygon
WORK = 1 << 30  # corners of a ring times pixels of the box around it, in all of an image: half a minute
PLACES = 16  # of one number, from where an image that has no other is a mask and no labels
OF_QUPATH = ("detection", "cell")

Ring = NDArray[np.float64]  # (C, 2): x and y of its corners


def read_nuclei(file: Path, image: Path, size: tuple[int, int]) -> NDArray[np.integer]:
    """(H, W) numbers of nuclei, 0 between them, of an image of ``size`` (height, width).

    Where polygons overlap, the later one has the pixels. Raises DataError naming a file that can't be read or is
    damaged, of another size than the image, too large, or not what it should be.
    """
    if file.suffix.lower() in GEOJSON:
        return _drawn(file, size)
    labels = read_labels(file)
    require_one_size({image: size, file: (labels.shape[0], labels.shape[1])})
    if labels.min() < 0:
        raise DataError(f"{file}: negative numbers of nuclei; between nuclei belongs 0")
    inside = labels > 0
    if labels[inside].min(initial=labels.max()) == labels.max() and (places := ndimage.label(inside)[1]) >= PLACES:
        raise DataError(f"{file}: one number in {places} places, a mask; give each nucleus a number of its own")
    return labels


def _drawn(file: Path, size: tuple[int, int]) -> NDArray[np.int32]:
    height, width = size
    labels, inside = np.zeros(size, np.int32), np.zeros(size, np.bool_)
    polygons = list(_polygons(file))
    if sum(_work(ring, size) for rings in polygons for ring in rings) > WORK:
        raise DataError(f"{file}: more or larger polygons than an image has nuclei; cut it into tiles")
    for number, (outline, *holes) in enumerate(polygons, start=1):
        if (outline.max(axis=0) < 0).any() or (outline.min(axis=0) >= (width, height)).any():
            raise DataError(
                f"{file}: polygon {number} lies outside of the image of {height}×{width} pixels; "
                "coordinates must be pixels of this image, not of a slide"
            )
        rows, columns = polygon(outline[:, 1], outline[:, 0], size)
        inside[rows, columns] = True
        for hole in holes:
            inside[polygon(hole[:, 1], hole[:, 0], size)] = False
        kept = inside[rows, columns]
        labels[rows[kept], columns[kept]] = number
        inside[rows, columns] = False
    return labels


def _work(ring: Ring, size: tuple[int, int]) -> int:
    """Corners times pixels of the box around them in the image."""
    low, high = (np.clip(corner, 0, size[::-1]) for corner in (ring.min(axis=0), ring.max(axis=0)))
    return len(ring) * int((high - low + 1).prod())


def _polygons(file: Path) -> Iterator[list[Ring]]:
    """The rings of each nucleus, the outer one first."""
    try:
        content = read_json(file, LARGEST)
        features = content["features"] if isinstance(content, dict) and "features" in content else content
        features = [features] if isinstance(features, dict) else features
        if not isinstance(features, list) or not all(isinstance(one, dict) for one in features):
            raise ValueError("no features")
        theirs = [one for one in features if _kind(one) in OF_QUPATH]
        for place, one in enumerate(theirs or features, start=1):
            geometry = one.get("nucleusGeometry") or one.get("geometry") or one
            kind, coordinates = geometry.get("type"), geometry.get("coordinates")
            if kind not in ("Polygon", "MultiPolygon"):
                raise ValueError(f"feature {place} is a {str(kind)[:40]}, no polygon")
            for rings in [coordinates] if kind == "Polygon" else coordinates:
                yield [_ring(ring) for ring in rings or [[]]]
    except OSError as error:
        raise unreadable(file, error) from None
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(f"{file}: no GeoJSON of nuclei ({said(error)}); export them as polygons") from None


def _kind(feature: dict[str, Any]) -> object:
    properties = feature.get("properties")
    return properties.get("objectType") if isinstance(properties, dict) else None


def _ring(corners: object) -> Ring:
    ring = np.asarray(corners, np.float64)
    if ring.ndim != 2 or ring.shape[1] < 2 or len(ring) < 3:
        raise ValueError("a polygon that has no three corners of two numbers")
    if not (np.abs(ring) < FARTHEST).all():
        raise ValueError("a corner beyond any image")
    return ring[:, :2]
