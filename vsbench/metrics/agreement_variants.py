"""What else papers mean by R_p or Pearson-R, and mIOD and FOD: for comparison with their numbers, and never with ours.

Ours, USIGAN's eq. 22, is ``r_p``: the integrated DAB density of each image, correlated over images. Below are four more
meanings, and one that goes by the name of an optical density but holds haematoxylin too. Three are correlations of a
number per image over the images; two are of the pixels within an image, which an adjacent section hardly shares.
"""

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.markers import marker
from vsbench.metric import SIDES, Absent, Image, Metric, Sample, Value
from vsbench.metrics._correlation import pearson
from vsbench.metrics._grey import summed_grey
from vsbench.metrics.clinical import NPI, THRESHOLDS, nuclear_score
from vsbench.metrics.content import grey_correlation
from vsbench.metrics.dab import MIN_IMAGES, Series
from vsbench.stain.dab import density_table, read_levels
from vsbench.stain.hed import FLOOR, STAINS, dab_amounts

ALPHA = 1.8  # of FOD
CALIBRATION = 10 ** -(math.e ** (1 / ALPHA))  # added to the grey level, so that FOD is at most e
LUMA = (0.2125, 0.7154, 0.0721)
DENSEST = 0.1  # of the pixels
NAN = float("nan")
SERIES = {"r_p_dab90": "dab90", "r_p_li": "labelling_index", "r_p_miod": "miod"}  # value → column, of both images
BIASES = {"miod_bias": "miod", "fod_bias": "fod"}
NOT_AT_HAND = "their texts, and so how they average it, were not at hand"


class AgreementVariants(Metric):
    """R_p read in five other ways, and mean optical densities as in PSPStain and PGVMS.

    Columns, each also with ``_real`` of the real image: ``dab90`` (OD), mean DAB density of the densest tenth of the
    pixels; ``labelling_index`` (%), nuclear area with DAB; ``miod`` (OD), mean optical density of all channels;
    ``fod``, mean focal optical density. ``r_p_grey`` and ``r_p_channels`` (%): Pearson's r of their pixels.

    Label read: ``stain``. Markers that do not stain nuclei have no labelling index.
    """

    on_request = True  # to read other papers by, and slow
    values = (
        Value(
            "r_p_dab90",
            r"$R_p^\mathrm{P90}$",
            "%",
            "high",
            "100 · Pearson's r of the N pairs of mean DAB densities of the densest tenth of the pixels. Means it: "
            "UNIStainNet (its own separation of DAB; here Fiji's)",
            "r_p/dab-p90-fiji",
            family="r_p",
        ),
        Value(
            "r_p_grey",
            r"$R_p^\mathrm{grey}$",
            "%",
            "high",
            "mean over i of 100 · Pearson's r of the grey pixels of generated image i and of its real IHC, grey as in "
            "r_c. Means it: USIGAN's released script, but of the H&E (r_c); its Table I perhaps, of H&E and IHC",
            "r_p/gray-mean",
            column="r_p_grey",
            family="ncc",  # the same number, there as a fraction
        ),
        Value(
            "r_p_channels",
            r"$R_p^\mathrm{RGB}$",
            "%",
            "high",
            "mean over i and channels of 100 · Pearson's r of the pixels of one channel of the two images. Means it: "
            "no paper whose text was at hand",
            "r_p/rgb-mean",
            column="r_p_channels",
            family="ncc",
        ),
        Value(
            "r_p_li",
            r"$R_p^\mathrm{LI}$",
            "%",
            "high",
            "100 · Pearson's r of the N pairs of labelling indices, by nuclear area. Means it: Ji et al., J Med "
            "Imaging 11 (2024) 047501, for Ki67 (their way to the index was not at hand)",
            f"r_p/{NPI}",
            family="r_p",
        ),
        Value(
            "r_p_miod",
            r"$R_p^\mathrm{mIOD}$",
            "%",
            "high",
            "100 · Pearson's r of the N pairs of mean optical densities over all pixels and channels, −log10(v / 255), "
            "v at least 1: haematoxylin counts as DAB does. Means it: UNIStainNet",
            "r_p/miod",
            family="r_p",
        ),
        Value(
            "miod_bias",
            r"mIOD$_\mathrm{bias}$",
            "%",
            "zero",
            "100 · (Σ mIOD / Σ mIOD_real − 1), mIOD the mean optical density of an image as in r_p_miod. PSPStain and "
            f"PGVMS report an mIOD; {NOT_AT_HAND}",
            "miod_bias/rgb",
        ),
        Value(
            "fod_bias",
            r"FOD$_\mathrm{bias}$",
            "%",
            "zero",
            "100 · (Σ FOD / Σ FOD_real − 1), FOD the mean over pixels of max(0, log10(1 / (g + κ)))^1.8, g the luma of "
            f"the image with its DAB alone, κ = 10^(−e^(1/1.8)). PSPStain and PGVMS report an FOD; {NOT_AT_HAND}; the "
            "formula is that of PSPStain's loss, of intensities in [0, 1]",
            f"fod_bias/pspstain-a{ALPHA}-intensity",
            family="iod_mae",
        ),
    )

    def per_image(self, sample: Sample) -> dict[str, float]:
        """Of one pair; NaN where a number does not exist."""
        columns: dict[str, float] = {}
        stain = sample.labels.get("stain")
        nuclear = stain is None or marker(stain) in THRESHOLDS
        for end, which in SIDES.items():
            score = nuclear_score(sample, which) if nuclear else None
            columns |= {
                f"dab90{end}": densest(sample.once(which, read_levels).counts),
                f"labelling_index{end}": score.positive if score else NAN,
                f"miod{end}": sample.once(which, mean_optical_density),
                f"fod{end}": sample.once(which, focal_optical_density),
            }
        channels = [pearson(_channel(sample.fake, n), _channel(sample.real, n)) for n in range(3)]
        columns["r_p_channels"] = 100 * float(np.mean(channels))
        columns["r_p_grey"] = 100 * grey_correlation(sample.once("fake", summed_grey), sample.once("real", summed_grey))
        return columns

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Set values; Absent where they do not exist."""
        found: dict[str, float | Absent] = {}
        for value, column in SERIES.items():
            found[value] = _correlation(*(table[f"{column}{end}"] for end in SIDES))
        for value, column in BIASES.items():
            fake, real = (float(table[f"{column}{end}"].sum()) for end in SIDES)
            found[value] = 100 * (fake / real - 1) if real > 0 else Absent("the real images have no density at all")
        for value in ("r_p_grey", "r_p_channels"):
            none = Absent("in every pair an image is constant, or one of its channels is")
            found[value] = none if table[value].isna().all() else float(table[value].mean())
        return found


def densest(counts: NDArray[np.int64]) -> float:
    """Mean OD of DAB of the densest tenth of an image's pixels, from how many have each DAB level, (256,)."""
    wanted = DENSEST * counts.sum()
    taken = np.diff(np.minimum(np.cumsum(counts), wanted), prepend=0.0)  # density falls from level to level
    return float(taken @ density_table().astype(np.float64) / wanted)


def mean_optical_density(rgb: Image) -> float:
    """Mean over pixels and channels of −log10(v / 255), v at least 1, of a (H, W, 3) uint8 RGB image."""
    density = -np.log10(np.maximum(np.arange(256), 1) / 255)
    return float(np.bincount(rgb.reshape(-1), minlength=256) @ density / rgb.size)


def focal_optical_density(rgb: Image) -> float:
    """Mean FOD of a (H, W, 3) uint8 RGB image read as intensities in [0, 1].

    Source: PSPStain (MICCAI 2024), its loss as released; after USIGAN eqs. 12–13.
    """
    dab = np.maximum(dab_amounts(rgb), 0)
    grey = sum(weight * np.exp(math.log(FLOOR) * stain * dab) for weight, stain in zip(LUMA, STAINS[2], strict=True))
    return float((np.maximum(-np.log10(grey + CALIBRATION), 0) ** ALPHA).mean())


def _channel(image: Image, n: int) -> Series:
    return image[..., n].reshape(-1).astype(np.float64)


def _correlation(fake: pd.Series, real: pd.Series) -> float | Absent:
    both = (fake + real).notna()
    if both.sum() < MIN_IMAGES:
        return Absent(
            f"a correlation over images needs at least {MIN_IMAGES} that have the number, here are {both.sum()}"
        )
    r = pearson(fake[both].to_numpy(), real[both].to_numpy())
    if np.isnan(r):
        which = "generated" if fake[both].nunique() == 1 else "real"
        return Absent(f"the {which} images all have the same number")
    return 100 * r
