"""Where a generated image was stitched from tiles: kept in its PNG file, or slide, for whoever measures it."""

import re
from dataclasses import dataclass
from pathlib import Path

from PIL.PngImagePlugin import PngInfo

from vsbench.data.decode import kept_text, read_size

KEY = "vsbench-seams"  # of the text in the file
FORM = r"rows((?: \d{1,9})*) ?; columns((?: \d{1,9})*) ?"


@dataclass(frozen=True)
class Seams:
    """The rows and columns with which another tile begins to count more, from 1 to the last of the image."""

    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()

    @property
    def words(self) -> str:
        """As they are kept in a file."""
        return f"rows {' '.join(map(str, self.rows))}; columns {' '.join(map(str, self.columns))}"

    def text(self) -> PngInfo:
        """To be saved with the image."""
        info = PngInfo()
        info.add_text(KEY, self.words)
        return info


def read_seams(file: Path) -> Seams | None:
    """Those that a file tells of; None where it tells of none in our way, or can't be read."""
    text = kept_text(file, KEY)
    found = re.fullmatch(FORM, text) if text is not None else None
    return None if found is None else seams_within(found, read_size(file))


def seams_within(found: re.Match[str], size: tuple[int, int]) -> Seams | None:
    """Those of a text in the ``FORM``, where they lie in an image of this height and width."""
    seams = Seams(*(tuple(int(number) for number in part.split()) for part in found.groups()))
    sides = zip((seams.rows, seams.columns), size, strict=True)
    inside = all(0 < place < side for places, side in sides for place in places)
    return seams if inside and (seams.rows or seams.columns) else None
