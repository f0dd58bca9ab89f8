"""Where a slide was stitched from tiles: its description says so, for whoever measures it."""

import re
from collections.abc import Sequence
from pathlib import Path

from vsbench.data.seams import FORM, KEY, Seams, seams_within
from vsbench.engine.tiles import Span, joints
from vsbench.slides.reading import package

# Pixels to either side of a seam, where lines are compared with it. Of its own phase, or the codec would be read as a
# seam: JPEG's blocks are 8 pixels wide, those of halved colour 16, and so are lattices that networks draw.
BESIDE = (16, 32, 48)


def seams_said(rows: Sequence[Span], columns: Sequence[Span]) -> str:
    """The description of a slide that is put together from these tiles; "" where it is a single one."""
    if len(rows) == len(columns) == 1:
        return ""
    sides = (joints([span.start for span in of], len(of[0].pixels)) for of in (rows, columns))
    return f"{KEY}: {Seams(*map(tuple, sides)).words}"


def slide_seams(file: Path, size: tuple[int, int]) -> Seams | None:
    """Those that a slide of this height and width tells of; None where it tells of none in our way, or is no TIFF."""
    tifffile = package("tifffile")
    try:
        with tifffile.TiffFile(file) as tiff:
            told = str(tiff.pages[0].description)  # of an OME-TIFF its XML
    except (OSError, ValueError, tifffile.TiffFileError):
        return None
    found = re.search(f"{KEY}: {FORM}", told)
    return None if found is None else seams_within(found, size)
