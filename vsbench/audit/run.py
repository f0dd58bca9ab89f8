"""The audit of a data set: measure every pair once, look for tissue in common, sum up, write."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pandas as pd

from vsbench.audit import duplicates, fingerprints, registration, slides, tiles
from vsbench.audit.duplicates import Duplicate, find_duplicates
from vsbench.audit.light import differ, light_share, slide_lights
from vsbench.audit.mismatched import ALLOWED, Mismatched, mismatched
from vsbench.audit.nuclei import Agreement, count_correlation, nuclei_of_pairs
from vsbench.audit.slides import SlideRow, slide_rows
from vsbench.audit.tiles import Lights, Measured, TileRow, measure, trusted
from vsbench.cells import neutral_table
from vsbench.data.pairs import Pair
from vsbench.data.threads import in_threads
from vsbench.errors import DataError
from vsbench.files import atomic, write_json

Count = Callable[[str, int, int], None]
Job = tuple[Pair, Lights | None]
THRESHOLDS = {
    "blank_tissue_share": tiles.BLANK,
    "shift_share_of_side": tiles.SHIFTED,
    "shift_confidence_least": registration.SURE,
    "mismatched_pairs_allowed": ALLOWED,
    "window_bits": fingerprints.MOST_BITS,
    "window_votes": fingerprints.VOTES,
    "overlap_correlation": duplicates.SAME,
    "slide_robust_z": slides.OUTLYING,
}


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found in one stain. ``unreadable``: one sentence for each pair that could not be measured."""

    stain: str
    pairs: dict[tuple[str, str], Pair]  # by split and id
    tiles: list[TileRow]
    duplicates: list[Duplicate]
    slides: list[SlideRow]
    unreadable: list[str]
    mismatched: Mismatched
    nuclei: dict[tuple[str, str], Agreement]  # by split and id, of some pairs

    @property
    def summary(self) -> dict[str, Any]:
        """All counts, and what Table I of the paper is made of; without NaN. None: unknown, or does not exist."""
        shifts = [row for row in self.tiles if row.sure]
        across, within = ({d.tiles for d in self.duplicates if d.across == wanted} for wanted in (True, False))
        leaking = {tile for pair in across for tile in pair if tile[0] == "test"}
        n_test = sum(row.split == "test" for row in self.tiles)
        return {
            "pairs": dict(Counter(row.split for row in self.tiles)),
            "slides": len(self.slides) or None,
            "slides_shared": sum(slide.shared for slide in self.slides) if self.slides else None,
            "pairs_without_slide": sum(row.slide is None for row in self.tiles),
            "pearson_r": _mean(row.pearson_r for row in self.tiles),
            "pearson_r_by_split": {s: _mean(r.pearson_r for r in self.tiles if r.split == s) for s in self._splits},
            "mutual_information": _mean(row.mutual_information for row in self.tiles),
            "pairs_with_nuclei_counted": len(self.nuclei),
            "nuclei_count_r": count_correlation(list(self.nuclei.values())),
            "nuclei_density_r": _mean(each.density for each in self.nuclei.values()),
            "blank": sum(row.blank for row in self.tiles),
            "tissue_median": median(row.he_tissue for row in self.tiles) if self.tiles else None,
            "registered": len(shifts),
            "shift_median_px": median(_length(row) for row in shifts) if shifts else None,
            "shifted": sum(row.shifted for row in self.tiles),
            "shift_confidence": self.mismatched.level,
            "mismatched_pairs": len(self.mismatched.confidences),
            "mismatched_pairs_reached": self.mismatched.reached,
            "false_alarm_rate": self.mismatched.rate,
            "false_alarm_rate_at_most": self.mismatched.at_most,
            "light_share_of_density": light_share(self.tiles),
            "pairs_without_light": sum(row.ihc_light is None for row in self.tiles),
            "tile_pairs_across_splits": len(across),
            "tile_pairs_within_a_split": len(within),
            "test_pairs_leaking": len(leaking),
            "test_share_leaking": len(leaking) / n_test if n_test else None,
            "slides_drifting": [slide.slide for slide in self.slides if slide.drifts],
            "unreadable": self.unreadable,
        }

    @property
    def _splits(self) -> list[str]:
        return sorted({row.split for row in self.tiles})


def audit(pairs: Iterable[Pair], stain: str, count: Count | None = None) -> Audit:
    """Audit the pairs of a stain, of all splits that are to be held against each other.

    Images are read once; once more those of tiles that show another light than their slide, or none, those of
    candidates for duplicates, and those of some tiles whose partners are exchanged. In memory stay some 3 kB for each
    pair. ``count`` is told what is going on, how much of it is done, and of how much. Pairs that can't be read are left
    out and named: ``vsbench data verify`` says what is wrong with them.
    """
    pairs = list(pairs)
    unreadable: list[str] = []

    def told(what: str) -> Callable[[int, int], None]:
        return lambda done, total: count(f"{stain}: {what}", done, total) if count else None

    def all_of(jobs: Sequence[Job], what: str) -> list[Measured]:
        found = []
        for done, result in enumerate(in_threads(attempt, jobs), start=1):
            if isinstance(result, str):
                unreadable.append(result)
            else:
                found.append(result)
            told(what)(done, len(jobs))
        return found

    def attempt(job: Job) -> Measured | str:
        try:
            return measure(job[0], stain, job[1])
        except DataError as error:
            return str(error)

    measured = all_of([(pair, None) for pair in pairs], "measuring pairs")
    lights = slide_lights(measured)
    apart = [each for each in measured if each.pair.slide in lights and differ(each.lights, lights[each.pair.slide])]
    again = all_of([(each.pair, lights[str(each.pair.slide)]) for each in apart], "measuring under the slide's light")
    under = {(each.pair.split, each.pair.id): each for each in again}
    measured = [under.get((each.pair.split, each.pair.id), each) for each in measured]
    alike = find_duplicates(measured, told("confirming duplicates"))
    null = mismatched(measured, {frozenset(each.tiles) for each in alike}, told("registering mismatched pairs"))
    nuclei = nuclei_of_pairs(measured, told("counting nuclei"))
    rows = [_counted(trusted(each.row, null.level), nuclei) for each in measured]
    return Audit(
        stain,
        {(each.pair.split, each.pair.id): each.pair for each in measured},
        rows,
        alike,
        slide_rows(rows, lights),
        unreadable,
        null,
        nuclei,
    )


def write_tables(audits: Sequence[Audit], dataset: str, folder: Path) -> list[Path]:
    """tiles.csv, duplicates.csv, slides.csv (all stains) and summary.json; empty tables have their heading."""
    written = []
    for name, columns in (("tiles", tiles.COLUMNS), ("duplicates", duplicates.COLUMNS), ("slides", slides.COLUMNS)):
        rows = [astuple(row) for each in audits for row in getattr(each, name)]
        path = folder / f"{name}.csv"
        with atomic(path) as temporary:
            neutral_table(pd.DataFrame(rows, columns=columns)).to_csv(temporary, index=False, float_format="%.6g")
        written.append(path)
    path = folder / "summary.json"
    stains = {each.stain: each.summary for each in audits}
    write_json(path, {"dataset": dataset, "thresholds": THRESHOLDS, "stains": stains})
    return [*written, path]


def _counted(row: TileRow, nuclei: dict[tuple[str, str], Agreement]) -> TileRow:
    found = nuclei.get((row.split, row.id))
    if found is None:
        return row
    return replace(row, he_nuclei=found.he, ihc_nuclei=found.ihc, nuclei_density_r=found.density)


def _length(row: TileRow) -> float:
    return float(((row.shift_y or 0) ** 2 + (row.shift_x or 0) ** 2) ** 0.5)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
