"""The light of each slide of a data set, from the tiles that show glass."""

from collections import defaultdict
from collections.abc import Sequence

from vsbench.audit.tiles import KINDS, Lights, Measured, TileRow
from vsbench.stain.light import Light, light_of_slide

CLOSE = 0.005  # of the brightness: where a tile's own light is so close to its slide's, it stays


def slide_lights(tiles: Sequence[Measured]) -> dict[str, Lights]:
    """By slide. Tiles of unknown slide are left out: they have their own light, or none."""
    of_slide: dict[str, list[Measured]] = defaultdict(list)
    for tile in tiles:
        if tile.pair.slide is not None:
            of_slide[tile.pair.slide].append(tile)
    return {
        slide: {kind: light_of_slide(tile.lights[kind] for tile in own) for kind in KINDS}
        for slide, own in of_slide.items()
    }


def light_share(rows: Sequence[TileRow]) -> float | None:
    """Of the density of DAB in all tiles whose light is known, as Fiji reads it, what the light explains."""
    known = [(row.ihc_light_share, row.ihc_density) for row in rows if row.ihc_light_share is not None]
    total = sum(density for _, density in known)
    return sum(share * density for share, density in known) / total if total > 0 else None


def differ(own: Lights, slide: Lights) -> bool:
    """Whether a tile that was measured under its own light is to be measured again, under its slide's."""
    return any(_differ(own[kind], slide[kind]) for kind in KINDS)


def _differ(own: Light | None, slide: Light | None) -> bool:
    if own is None or slide is None:
        return own is not slide
    return max(abs(a - b) for a, b in zip(own.colour, slide.colour, strict=True)) > CLOSE * slide.brightness
