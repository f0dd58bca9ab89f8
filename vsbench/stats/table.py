"""The set values of a per-image table as statistics that can be resampled."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vsbench.metric import Value
from vsbench.stats import moments
from vsbench.stats.categories import grade_kappas, kappas, positivity_kappas
from vsbench.stats.moments import Array, Pooled, joined, mean, transformed
from vsbench.stats.slides import Slides

# value → column, beside the same with _real
EXCESSES = {"sharpness_ratio": "sharpness", "miod_bias": "miod", "fod_bias": "fod"}  # 100 · (Σ / Σ real − 1)
SERIES = {"r_p_dab90": "dab90", "r_p_li": "labelling_index", "r_p_miod": "miod"}  # 100 · Pearson's r over images
NORMAL_95 = 1.96  # standard deviations on either side of the mean, in the limits of agreement


def table_statistics(table: pd.DataFrame, values: Sequence[Value], slides: Slides) -> dict[str, Pooled]:
    """By name, those of ``values`` that are functions of the per-image table.

    These are the means of a column, and the values below, known by name. ``table``: one row per image, in the order of
    ``slides``. Left out: values whose columns are not there, those of features (``stats.features``), and
    numbers of images, which have no interval.
    """
    found = {
        value.name: mean(table[value.column], slides, value.name)
        for value in values
        if value.column is not None and value.column in table
    }
    found |= _density(table, slides) | _agreement(table, slides) | _content(table, slides) | kappas(table, slides)
    found |= _balanced(table, slides) | positivity_kappas(table, slides) | grade_kappas(table, slides)
    found |= {name: _excess(table, column, slides, name) for name, column in EXCESSES.items() if column in table}
    found |= {name: _correlation(table, column, slides, name) for name, column in SERIES.items() if column in table}
    if "mse" in table:
        found["psnr_pooled"] = transformed(mean(table["mse"], slides, "psnr_pooled"), _decibels)
    return {value.name: found[value.name] for value in values if value.name in found}


def judged(statistic: Pooled, value: Value) -> Pooled:
    """What methods are tested by: a value, or how far it is from zero where that is best."""
    return transformed(statistic, np.abs) if value.best == "zero" else statistic


def _density(table: pd.DataFrame, slides: Slides) -> dict[str, Pooled]:
    if "intden" not in table:
        return {}
    found = _dose(table["intden"], table["intden_real"], slides)
    if "r_c" in table:
        r_c = mean(table["r_c"], slides)
        found["r_avg"] = joined(r_c, found["r_p"], "r_avg", lambda content, pathology: (content + pathology) / 2)
    return found


def _excess(table: pd.DataFrame, column: str, slides: Slides, name: str) -> Pooled:
    return transformed(moments.relative_gap(table[column], table[f"{column}_real"], slides, name), _percent)


def _correlation(table: pd.DataFrame, column: str, slides: Slides, name: str) -> Pooled:
    return transformed(moments.pearson(table[column], table[f"{column}_real"], slides, name), _percent)


def _balanced(table: pd.DataFrame, slides: Slides) -> dict[str, Pooled]:
    """As ``_density``; images whose light is not known are left out."""
    if "intden_balanced" not in table:
        return {}
    found = _dose(table["intden_balanced"], table["intden_balanced_real"], slides, "_balanced")
    means = table["mean_od_balanced"], table["mean_od_balanced_real"]
    return found | {"ccc_balanced": moments.concordance(*means, slides, "ccc_balanced")}


def _dose(fake: pd.Series, real: pd.Series, slides: Slides, end: str = "") -> dict[str, Pooled]:
    """Of integrated densities, by names with this end."""
    return {
        f"iod{end}": transformed(moments.total_gap(fake, real, slides, f"iod{end}"), lambda gap: 1e-7 * gap),
        f"iod_rel{end}": transformed(moments.relative_gap(fake, real, slides, f"iod_rel{end}"), np.abs),
        f"iod_bias{end}": transformed(moments.relative_gap(fake, real, slides, f"iod_bias{end}"), _percent),
        f"r_p{end}": transformed(moments.pearson(fake, real, slides, f"r_p{end}"), _percent),
    }


def _agreement(table: pd.DataFrame, slides: Slides) -> dict[str, Pooled]:
    if "mean_od" not in table:
        return {}
    pair = table["mean_od"], table["mean_od_real"]
    bias = moments.agreement_bias(*pair, slides, "ba_bias")
    spread = transformed(moments.agreement_spread(*pair, slides, "ba_spread"), lambda sd: NORMAL_95 * sd)
    return {
        "ccc": moments.concordance(*pair, slides, "ccc"),
        "ba_bias": bias,
        "ba_spread": spread,
        "ba_limit": joined(bias, spread, "ba_limit", np.add),
    }


def _content(table: pd.DataFrame, slides: Slides) -> dict[str, Pooled]:
    if "grey_mean" not in table:
        return {}
    means = table["grey_mean"], table["grey_mean_he"]
    pixels = moments.pearson_of_pixels(
        means,
        (table["grey_variance"], table["grey_variance_he"], table["grey_covariance"]),
        table["height"] * table["width"],
        slides,
        "r_c_pooled",
    )
    return {
        "r_c_pooled": transformed(pixels, _percent),
        "r_c_image_means": transformed(moments.pearson(*means, slides, "r_c_image_means"), _percent),
    }


def _percent(r: Array) -> Array:
    return 100 * r


def _decibels(error: Array) -> Array:
    """PSNR of mean squared errors of 8-bit images; infinite for none."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255**2 / error)
