"""IHC4BC's label files: tables without a fixed number of columns, a row per image, hundreds of megabytes for a marker.

    0_1010_11_1_2.png, a, 3, 0.41, 0.12        name, verdict, nuclei in the H&E, mean DAB of each nucleus in the IHC

The verdict is ``a`` (the analysis of DAB looks reliable), ``0`` (the label was set to 0 by hand) or ``d`` (discarded:
no such image was published). HER2 has no such analysis: there the second column is the score of the slide, 0/1+ or 3+.

Told by the project page, not seen: whether there is a line of headings, in which unit DAB is, how HER2's two classes
are written, and how the files are called. What does not fit is refused by line. The authors' own cut-off of a positive
nucleus is not published, so no share of positive nuclei follows from a row with ``a`` until someone gives one.
"""

import io
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from vsbench.data.search import stain_of
from vsbench.errors import DataError
from vsbench.files import open_regular

NAME = re.compile(r"[^_]+_(?P<patient>[^_]+)_\d+_\d+_\d+")
IMAGE_ENDING = re.compile(r"\.(png|jpe?g)$", re.IGNORECASE)
# Two classes of three categories: score 2+, the one between, was left out of the data. "1" is class 1 of 0 and 1; a
# file of the scores 0, 1 and 3 is refused at its first 3.
HER2 = {"0": "0", "1+": "0", "0/1+": "0", "1": "2", "3+": "2"}
MEND = "mend the file, or give --data labels=none"


def label_files(place: Path, stain: str) -> list[Path]:
    """The label files of a stain: ``place`` itself if it is a file, else the CSVs below it whose path spells the stain.

    Raises DataError where there is no such place.
    """
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise DataError(f"{place}: no such file or folder of labels; give another, or --data labels=none")
    found = (path for path in place.rglob("*") if path.suffix.lower() == ".csv" and not path.name.startswith("."))
    return sorted(path for path in found if stain_of(path.with_suffix(""), place) == stain)


def read_labels(
    files: Iterable[Path], stain: str, wanted: Collection[str], cutoff: float | None
) -> dict[str, dict[str, str]]:
    """Labels by image name without its ending, for those ``wanted`` that are in the files; other rows are passed over.

    HER2: ``category``, "0" (score 0 or 1+) or "2" (3+). Others: ``verdict``, ``nuclei``, and ``positive_fraction``, in
    [0, 1]: 0 where the verdict is 0; where it is ``a``, the number of nuclei whose mean DAB is ``cutoff`` or more over
    the number of nuclei, at most 1 (the two are of neighbouring sections). Not there where ``cutoff`` is None.

    Raises DataError naming file and line of a name, verdict or number that can't be, and of an image met twice.
    """
    labels: dict[str, dict[str, str]] = {}
    for file in files:
        for line, name, rest in _rows(file):
            if name not in wanted:
                continue
            try:
                if name in labels:
                    raise ValueError("has a label already")
                labels[name] = _her2(rest) if stain == "her2" else _nuclei(rest, cutoff)
            except ValueError as error:
                raise DataError(f"{file}, line {line}: {name} {error}; {MEND}") from None
    return labels


def _rows(file: Path) -> Iterator[tuple[int, str, str]]:
    """(line, image name without its ending, the other columns); a first line that names no image is its heading."""
    try:
        with io.TextIOWrapper(open_regular(file), encoding="utf-8-sig") as lines:
            for number, text in enumerate(lines, start=1):
                first, _, rest = text.strip().partition(",")
                name = IMAGE_ENDING.sub("", first.strip(' "'))
                if NAME.fullmatch(name):
                    yield number, name, rest
                elif number > 1 and text.strip():
                    what = f"{first[:40]!r} names no image; expected the form 0_1010_11_1_2.png"
                    raise DataError(f"{file}, line {number}: {what}; {MEND}")
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}; {MEND}") from None
    except UnicodeDecodeError:
        raise DataError(f"{file}: no UTF-8 text; {MEND}") from None


def _her2(rest: str) -> dict[str, str]:
    score = rest.partition(",")[0].strip(' "')
    if score not in HER2:
        raise ValueError(f"has HER2 score {score[:40]!r}, expected one of {', '.join(HER2)}")
    return {"category": HER2[score]}


def _nuclei(rest: str, cutoff: float | None) -> dict[str, str]:
    verdict, nuclei, densities = (*(part.strip(' "') for part in rest.split(",", 2)), "", "", "")[:3]
    if verdict not in ("a", "0", "d"):
        raise ValueError(f"has verdict {verdict[:40]!r}, expected a, 0 or d")
    if verdict == "d":
        return {"verdict": "d"}
    total = _number(nuclei, "a number of nuclei")
    if not total.is_integer() or total < 0:
        raise ValueError(f"has {nuclei!r} nuclei, expected a whole number")
    labels = {"verdict": verdict, "nuclei": f"{total:.0f}"}
    if verdict == "0":
        return labels | {"positive_fraction": "0"}
    if cutoff is None:
        return labels
    dab = [_number(text, "a DAB value") for part in densities.split(",") if (text := part.strip(' "'))]
    positive = sum(density >= cutoff for density in dab)
    return labels | ({"positive_fraction": f"{min(positive / total, 1):.6g}"} if total else {})


def _number(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise ValueError(f"has {text[:40]!r} for {what}")
    return number
