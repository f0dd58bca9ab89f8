"""Slides: which ones are on both sides of a split, and which are stained otherwise than the rest."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import fmean, median

from vsbench.audit.light import light_share
from vsbench.audit.tiles import KINDS, Lights, TileRow

STAINS = ("he_haematoxylin", "he_eosin", "ihc_haematoxylin", "ihc_dab")
TECHNICAL = STAINS[:3]  # DAB differs between patients: that is what it is for
FEWEST = 5  # slides below which it can't be said what is usual

OUTLYING = 3.5  # robust z from which a value is an outlier (Iglewicz & Hoaglin 1993)
# Least standard deviation, as a share of the median: where all slides but one are as good as equal, a difference of a
# hundredth would be an outlier. Content alone changes up to 9 % (phantom slides of equal staining, 3 tiles each).
USUAL = 0.10
TO_SIGMA = 1.4826  # of the median absolute deviation, for normal values


@dataclass(frozen=True)
class SlideRow:
    """A slide: a line of slides.csv. Amounts: mean optical density over the stained pixels of tiles that aren't blank.

    ``splits``: tiles by split, "test:8 train:40"; ``shared``: in more than one. ``z_…``: how many robust standard
    deviations from the median of all slides; None below ``FEWEST`` slides. ``drifts``: one of the technical ones is
    ``OUTLYING``; DAB is not among them. ``he_light``, ``ihc_light``: brightness of the light in grey levels; its
    ``spread``: standard deviation over the glass, as a share of it; ``ihc_light_share``: what it explains of the
    density of DAB as Fiji reads it. None: no tile shows glass.
    """

    stain: str
    slide: str
    tiles: int
    splits: str
    shared: bool
    he_haematoxylin: float | None
    he_eosin: float | None
    ihc_haematoxylin: float | None
    ihc_dab: float | None
    z_he_haematoxylin: float | None
    z_he_eosin: float | None
    z_ihc_haematoxylin: float | None
    z_ihc_dab: float | None
    drifts: bool
    he_light: float | None
    ihc_light: float | None
    ihc_light_spread: float | None
    ihc_light_share: float | None


COLUMNS = [field.name for field in fields(SlideRow)]


def slide_rows(tiles: Sequence[TileRow], lights: Mapping[str, Lights]) -> list[SlideRow]:
    """The slides of the tiles by name; tiles of unknown slide are left out. ``lights`` by slide."""
    by_slide: dict[str, list[TileRow]] = defaultdict(list)
    for tile in tiles:
        if tile.slide is not None:
            by_slide[tile.slide].append(tile)
    names = sorted(by_slide)
    amounts = {stain: [_mean(by_slide[name], stain) for name in names] for stain in STAINS}
    scores = {stain: robust_z(values) for stain, values in amounts.items()}
    rows = []
    for number, name in enumerate(names):
        splits = Counter(tile.split for tile in by_slide[name])
        he_light, ihc_light = (lights.get(name, {}).get(kind) for kind in KINDS)
        z = {stain: scores[stain][number] for stain in STAINS}
        rows.append(
            SlideRow(
                stain=tiles[0].stain,
                slide=name,
                tiles=len(by_slide[name]),
                splits=" ".join(f"{split}:{n}" for split, n in sorted(splits.items())),
                shared=len(splits) > 1,
                **{stain: amounts[stain][number] for stain in STAINS},
                **{f"z_{stain}": z[stain] for stain in STAINS},
                he_light=he_light.brightness if he_light else None,
                ihc_light=ihc_light.brightness if ihc_light else None,
                ihc_light_spread=ihc_light.spread if ihc_light else None,
                ihc_light_share=light_share(by_slide[name]),
                drifts=any(abs(z[stain] or 0.0) >= OUTLYING for stain in TECHNICAL),
            )
        )
    return rows


def robust_z(values: Sequence[float | None]) -> list[float | None]:
    """(value − median) / max(1.4826 · median absolute deviation, ``USUAL`` · median); None where there are too few."""
    known = [value for value in values if value is not None]
    if len(known) < FEWEST:
        return [None] * len(values)
    middle = median(known)
    scale = max(TO_SIGMA * median(abs(value - middle) for value in known), USUAL * middle)
    if scale == 0:
        return [None] * len(values)
    return [None if value is None else (value - middle) / scale for value in values]


def _mean(tiles: Sequence[TileRow], stain: str) -> float | None:
    values = [value for tile in tiles if not tile.blank and (value := getattr(tile, stain)) is not None]
    return fmean(values) if values else None
