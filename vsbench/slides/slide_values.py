"""The values of generated slides: those of images where these can be read as a stream, and the hot spots.

Each slide is a line of the table. Of masks there is no best shift and no distance of outlines: these compare what lies
within an image, and a slide's sixteenth part is no shift that a section could have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import SIDES, Absent, Metric, Value
from vsbench.metrics._correlation import pearson
from vsbench.metrics._masks import overlap_of
from vsbench.metrics.agreement import Agreement, agreement_of_pair
from vsbench.metrics.dab import MIN_IMAGES, DabDensity, dose_of_pair
from vsbench.metrics.dab_balanced import PROTOCOL, BalancedDensity
from vsbench.metrics.masks import AREA, declared, means
from vsbench.metrics.places import GRIDS, STANDS, UNIT
from vsbench.metrics.seams import SeamJump
from vsbench.slides.cells import Numbers, merged
from vsbench.slides.hot_spots import HotSpots, common_factor
from vsbench.slides.judge import BLOCKS, Totals
from vsbench.slides.seams import BESIDE
from vsbench.stain.balanced import level_counts
from vsbench.stain.dab import POSITIVE_LEVEL, density_of

Array = NDArray[np.float64]

PART = 0.25  # of a block that must be tissue
NAN = float("nan")
LIGHT_PIXEL = "own-slide8um"  # of protocols: the light is that of the slide at 8 µm a pixel


class SlideBalanced(Metric):
    """The companions, under the light that the whole slide tells."""

    values = tuple(
        replace(value, protocol=value.protocol.replace(PROTOCOL, PROTOCOL.replace("own-slide", LIGHT_PIXEL)))
        for value in BalancedDensity.values
    )

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """As of images."""
        return BalancedDensity().finish(table, features)


class SlideMasks(Metric):
    """Dice, IoU, sensitivity and specificity of the positive pixels of a slide's tissue."""

    values = tuple(
        replace(value, formula=value.formula.replace("over images", "over slides") + ", of the tissue of both sections")
        for value in declared(AREA)
        if value.unit == "1"
    )

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Means over the slides that have the number."""
        return means(table, self.values)


class SlidePlaces(Metric):
    """Pearson's r of the mean optical densities of DAB of a slide's tissue in n × n blocks."""

    values = tuple(
        Value(
            f"r_block_{n}", rf"$R_\mathrm{{block,{n}}}$", "%", "high",
            f"mean over slides of 100 · Pearson's r of the mean DAB densities of the tissue in {n}×{n} blocks of the "
            f"two slides, of blocks with a share of tissue of {PART} and more",
            f"r_block/fiji-{n}-tissue{PART}", column=f"r_block_{n}", family=STANDS,
        )
        for n in GRIDS
    )  # fmt: skip

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Means over the slides that have the number."""
        none = Absent("no slide has blocks with tissue whose DAB differs, in both its images")
        return {v.name: none if table[v.name].isna().all() else float(table[v.name].mean()) for v in self.values}


class SlideSeams(SeamJump):
    """Jumps at the seams of generated slides, against lines in the same phase of the codec's blocks."""

    values = (
        replace(
            SeamJump.values[0],
            formula="mean over slides of 100 · (J − J_real), J the mean |difference| of neighbouring pixels across the "
            f"seams, over the same {', '.join(map(str, BESIDE))} pixels beside them; J_real of the real slide at these "
            "places; of pixels of the tissue",
            protocol=f"seams/jump-beside{'+'.join(map(str, BESIDE))}-tissue",
        ),
    )


def slide_metrics(factor: int | None = None) -> dict[str, Metric]:
    """By name. ``factor``: of the fields of hot spots."""
    return {
        "dab": DabDensity(),
        "agreement": Agreement(),
        "dab_balanced": SlideBalanced(),
        "masks": SlideMasks(),
        "places": SlidePlaces(),
        "hot_spots": HotSpots(factor),
        "seams": SlideSeams(),
    }


def slide_columns(slides: Sequence[Totals]) -> tuple[list[dict[str, float]], dict[str, Metric]]:
    """The columns of each slide, and the metrics that finish them: fields are of a size that suits all slides."""
    factor = common_factor([totals.fields for totals in slides])
    spots = HotSpots(factor)
    return [_columns(totals) | spots.of_slide(totals.fields) for totals in slides], slide_metrics(factor)


def _columns(totals: Totals) -> dict[str, float]:
    fake, real = (totals.levels[name] for name in SIDES.values())
    made, wanted = (int(counts[: POSITIVE_LEVEL + 1].sum()) for counts in (fake, real))
    common = overlap_of(totals.both, made, wanted, totals.pixels)
    masks = {
        "mask_dice": common.dice, "mask_iou": common.iou, "mask_sensitivity": common.sensitivity,
        "mask_specificity": common.specificity,
    }  # fmt: skip
    jump = NAN
    if totals.jumps is not None:
        jump = 100 * (totals.jumps["fake"].relative - totals.jumps["real"].relative)
    return {
        "tissue_mm2": totals.pixels * totals.pixel**2 * 1e-6,
        **dose_of_pair(density_of(fake), density_of(real)),
        **agreement_of_pair(fake, real),
        **_balanced(totals),
        **masks,
        **{f"r_block_{n}": 100 * block_correlation(totals.blocks, totals.areas, n) for n in GRIDS},
        "seam_jump": jump,
    }


def _balanced(totals: Totals) -> dict[str, float]:
    columns = {}
    for end, name in SIDES.items():
        light = totals.lights[name]
        dose = NAN if light is None else density_of(level_counts(totals.transmitted[name], light)).intden
        columns[f"light{end}"] = NAN if light is None else light.brightness
        columns[f"intden_balanced{end}"] = dose
        columns[f"mean_od_balanced{end}"] = dose / totals.pixels
    return columns | {
        "iod_mae_balanced": abs(columns["mean_od_balanced"] - columns["mean_od_balanced_real"]),
    }


def block_correlation(blocks: Mapping[str, Numbers], areas: Numbers, n: int) -> float:
    """Over n × n blocks, of (BLOCKS, BLOCKS) sums; ``areas``: pixels of each block. NaN: of fewer than three blocks, or
    equal ones.
    """
    tissue, fake, real, area = (
        merged(of, BLOCKS // n) for of in (blocks["tissue"], *(blocks[s] for s in SIDES.values()), areas)
    )
    kept = (tissue >= PART * area) & (tissue > 0)
    if kept.sum() < MIN_IMAGES:
        return NAN
    return pearson(*(UNIT * of[kept] / tissue[kept] for of in (fake, real)))
