"""Does the DAB lie where it lies in the real IHC, pixel by pixel? Overlap of stained areas, distance of their outlines.

What the study that held sixteen models against pathologists has in place of FID and SSIM (Kataria et al.,
arXiv:2511.04615); with that study's own mask: ``masks_hed``. On adjacent sections the pairing is blamed as much as the
method. So each value comes strict, and *best*: at the shift of the real image at which the masks overlap most. That is
the best of up to 1089 shifts and so biased upwards: compare it within its protocol only, never with the strict value.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Best, Image, Metric, Sample, Value
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
from vsbench.stain.dab import POSITIVE_LEVEL, dab8

DICE, DISTANCE = "mask_dice", "mask_msd"  # these stand for the others where methods are tested
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
    """A way to compare masks A, of the generated image, and B."""

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
    return tuple(
        Value(
            name=(own := f"{start}{name}{rule.end}{BEST if best else ''}"),
            label=kind.label + (f"${mark}$" if mark else ""),
            unit=kind.unit,
            best=kind.best,
            formula=f"mean over images; {kind.formula}; {of}",
            protocol=protocol + (f"-{OUTLINE}" if kind.unit == "px" else ""),
            column=own,
            is_share=kind.unit == "1",
            family=f"{start}{kind.stands}",
        )
        for name, kind in KINDS.items()
    )


def stained_area(rgb: Image) -> Outlined:
    """Mask of a (H, W, 3) uint8 RGB image by ``AREA``."""
    return Outlined(dab8(rgb) <= POSITIVE_LEVEL)


class Masks(Metric):
    """Dice, IoU, sensitivity, specificity, 95 % Hausdorff and mean surface distance of two masks of DAB.

    Outlines are the pixels of a mask with one of four neighbours, or none at the image's edge, outside of it. Two empty
    masks agree in full. An empty one against another overlaps it nowhere and is as far from it as the image allows: a
    method that stains nothing is not spared the mean, as it is where such images have no number.
    """

    values = (*declared(AREA), *declared(AREA, best=True))
    outlined = staticmethod(stained_area)
    rule: ClassVar[Rule] = AREA

    def per_image(self, sample: Sample) -> dict[str, float]:
        """The twelve numbers of one pair."""
        fake, real = (sample.once(which, self.outlined) for which in ("fake", "real"))
        shift = best_shift(Searched(fake.mask, inner=True), real.searched)
        strict, best = compared(fake, real), compared(fake, real, shift)
        end = self.rule.end
        return {f"{n}{end}": v for n, v in strict.items()} | {f"{n}{end}{BEST}": v for n, v in best.items()}

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Means over the images that have the number."""
        return means(table, self.values)


def compared(fake: Outlined, real: Outlined, shift: Shift | None = None) -> dict[str, float]:
    """By the names of ``KINDS``: strict, or inside the margin at a shift."""
    common = overlap(*((fake.mask, real.mask) if shift is None else at_shift(fake.mask, real.mask, shift)))
    distance = apart(fake, real, shift)
    numbers = (common.dice, common.iou, common.sensitivity, common.specificity, distance.hd95, distance.mean)
    return dict(zip(KINDS, numbers, strict=True))


def means(table: pd.DataFrame, values: tuple[Value, ...]) -> dict[str, float | Absent]:
    """Of the columns of values; only sensitivity and specificity may exist for no image."""
    results: dict[str, float | Absent] = {}
    for value in values:
        mean = float(table[value.name].mean())
        whole = "no image to compare with is stained" if "sensitivity" in value.name else "all of them is stained"
        results[value.name] = Absent(whole) if np.isnan(mean) else mean
    return results
