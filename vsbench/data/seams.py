"""Where a generated image was stitched from tiles: kept in its PNG file, so that whoever measures it knows."""

import re
from dataclasses import dataclass
from pathlib import Path

from PIL.PngImagePlugin import PngInfo

from vsbench.data.decode import kept_text, read_size

KEY = "vsbench-seams"  # of the text in the file


@dataclass(frozen=True)
class Seams:
    """The rows and columns with which another tile begins to count more, from 1 to the last of the image."""

    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()

    def text(self) -> PngInfo:
        """To be saved with the image."""
        info = PngInfo()
        info.add_text(KEY, f"rows {' '.join(map(str, self.rows))}; columns {' '.join(map(str, self.columns))}")
        return info


def read_seams(file: Path) -> Seams | None:
    """Those that a file tells of; None where it tells of none in our way, or can't be read."""
    text = kept_text(file, KEY)
    found = re.fullmatch(r"rows((?: \d{1,9})*) ?; columns((?: \d{1,9})*) ?", text) if text is not None else None
    if found is None:
        return None
    seams = Seams(*(tuple(int(number) for number in part.split()) for part in found.groups()))
    sides = zip((seams.rows, seams.columns), read_size(file), strict=True)
    inside = all(0 < place < side for places, side in sides for place in places)
    return seams if inside and (seams.rows or seams.columns) else None
