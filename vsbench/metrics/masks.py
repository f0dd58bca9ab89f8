"""Does the DAB lie where it lies in the real IHC, pixel by pixel? Overlap of stained areas, distance of their outlines.

What the study that held sixteen models against pathologists has in place of FID and SSIM (Kataria et al.,
arXiv:2511.04615); with that study's own mask: ``masks_hed``. On adjacent sections the pairing is blamed as much as the
method. So each value comes strict, and *best*: at the shift of the real image at which the masks overlap most. That is
the best of up to 1089 shifts and so biased upwards: compare it within its protocol only, never with the strict value.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Best, Metric, Sample, Value, Which
from vsbench.metrics._masks import (
    FINENESS,
    OUTLINE,
    REACH,
    SHIFTS,
    Outlined,
    Searched,
    Shift,
    apart,
    at_shift,
    best_shift,
    overlap,
)
from vsbench.stain.dab import POSITIVE_LEVEL, DabLevels, read_levels

DICE, DISTANCE = "mask_dice", "mask_msd"  # these stand for the others where methods are tested
UNKNOWN = "how many µm a pixel has is not known; give --data pixel_size=µm where the data set takes it"
BEST = "_best"


@dataclass(frozen=True)
class Rule:
    """Which pixels are in a mask. ``end`` of the names of its values, and ``mark`` in their labels."""

    protocol: str
    pixels: str
    end: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Kind:
    """A way to compare masks A, of the generated image, and B. ``unit``: 1, px or µm."""

    label: str
    unit: str
    best: Best
    formula: str
    stands: str  # which of them is tested in its place


AREA = Rule("fiji-0.4065", "pixels with an optical density of DAB of 0.4065 or more, as positive_area")
KINDS = {
    "mask_dice": Kind("Dice", "1", "high", "2 · |A ∩ B| / (|A| + |B|), 1 where both are empty", DICE),
    "mask_iou": Kind("IoU", "1", "high", "|A ∩ B| / |A ∪ B|, 1 where both are empty", DICE),
    "mask_sensitivity": Kind("Mask sensitivity", "1", "high", "|A ∩ B| / |B|, where B is not empty", DICE),
    "mask_specificity": Kind(
        "Mask specificity", "1", "high", "share of the pixels outside of B that are outside of A, if any", DICE
    ),
    "mask_hd95": Kind(
        "HD95", "px", "low", "larger of the 95th percentiles of the distances of A's outline to B's and of B's to A's; "
        "0 where both are empty, the image's diagonal where one is", DISTANCE,
    ),
    "mask_msd": Kind(
        "MSD", "px", "low", "mean of the distances of the points of both outlines to the other outline; "
        "0 where both are empty, the image's diagonal where one is", DISTANCE,
    ),
}  # fmt: skip
# the distances, where the size of a pixel is known
KINDS |= {
    f"{name}_um": replace(kind, label=rf"{kind.label} ($\mu$m)", unit="µm", formula=f"{kind.formula}; times µm a pixel")
    for name, kind in KINDS.items()
    if kind.unit == "px"
}


def declared(rule: Rule, best: bool = False, true: bool = False) -> tuple[Value, ...]:
    """The values of masks by a rule, at the best shift or strict, against the true IHC or the real one."""
    of = f"A, B: {rule.pixels}, in the generated and in the {'true' if true else 'real'} image"
    if best:
        of += (
            f"; inside a margin of 1/{REACH} of the side, at the shift of the real image by up to that margin, in "
            f"steps of 1/{FINENESS} of the side, with the largest Dice (of equal ones the shortest); biased upwards"
        )
    below = ",".join(filter(None, (rule.mark, "true" if true else "")))
    mark = (rf"_\mathrm{{{below}}}" if below else "") + (r"^\mathrm{best}" if best else "")
    start = "true_" if true else ""
    protocol = f"{'true-' if true else ''}masks/{rule.protocol}{f'-{SHIFTS}' if best else ''}"
    ends = {"1": "", "px": f"-{OUTLINE}", "µm": f"-{OUTLINE}-um"}
    return tuple(
        Value(
            name=(own := f"{start}{name}{rule.end}{BEST if best else ''}"),
            label=kind.label + (f"${mark}$" if mark else ""),
            unit=kind.unit,
            best=kind.best,
            formula=f"mean over images; {kind.formula}; {of}",
            protocol=protocol + ends[kind.unit],
            column=own,
            is_share=kind.unit == "1",
            family=f"{start}{kind.stands}",
        )
        for name, kind in KINDS.items()
    )


def stained_area(sample: Sample, which: Which) -> Outlined:
    """Mask of one of a sample's images by ``AREA``."""
    return sample.once(which, _outlined, of=read_levels)


def _outlined(dab: DabLevels) -> Outlined:
    return Outlined(dab.levels <= POSITIVE_LEVEL)


class Masks(Metric):
    """Dice, IoU, sensitivity, specificity, 95 % Hausdorff and mean surface distance of two masks of DAB.

    Outlines are the pixels of a mask with one of four neighbours, or none at the image's edge, outside of it. Two empty
    masks agree in full. An empty one against another overlaps it nowhere and is as far from it as the image allows: a
    method that stains nothing is not spared the mean, as it is where such images have no number. Distances are in
    pixels, and in µm where the data set tells the size of a pixel.
    """

    values = (*declared(AREA), *declared(AREA, best=True))
    outlined = staticmethod(stained_area)
    rule: ClassVar[Rule] = AREA

    def per_image(self, sample: Sample) -> dict[str, float]:
        """The numbers of one pair."""
        fake, real = self.outlined(sample, "fake"), self.outlined(sample, "real")
        shift = best_shift(Searched(fake.mask, inner=True), real.searched)
        strict, best = (compared(fake, real, sample.pixel_size, at) for at in (None, shift))
        end = self.rule.end
        return {f"{n}{end}": v for n, v in strict.items()} | {f"{n}{end}{BEST}": v for n, v in best.items()}

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Means over the images that have the number."""
        return means(table, self.values)


def compared(
    fake: Outlined, real: Outlined, pixel_size: float | None = None, shift: Shift | None = None
) -> dict[str, float]:
    """By the names of ``KINDS``: strict, or inside the margin at a shift. ``pixel_size``: µm; None: unknown."""
    common = overlap(*((fake.mask, real.mask) if shift is None else at_shift(fake.mask, real.mask, shift)))
    distance = apart(fake, real, shift)
    overlaps = (common.dice, common.iou, common.sensitivity, common.specificity)
    distances = np.array([distance.hd95, distance.mean])
    in_um = distances * (np.nan if pixel_size is None else pixel_size)
    return dict(zip(KINDS, (*overlaps, *distances.tolist(), *in_um.tolist()), strict=True))


def means(table: pd.DataFrame, values: tuple[Value, ...]) -> dict[str, float | Absent]:
    """Of the columns of values; sensitivity, specificity and what is in µm may exist for no image."""
    results: dict[str, float | Absent] = {}
    for value in values:
        mean = float(table[value.name].mean())
        why = "no image to compare with is stained" if "sensitivity" in value.name else "all of them is stained"
        if value.unit == "µm":
            why = UNKNOWN
        results[value.name] = Absent(why) if np.isnan(mean) else mean
    return results
