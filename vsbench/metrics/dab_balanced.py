"""The DAB family under the light that there was: is there as much stain as in the real IHC, grey glass left out?

Fiji takes 255 for glass. Where glass is grey, a part of what it measures is light, and a method that copies the light
is rewarded for it. Here each image is held against its own light: that of the glass seen on the real, or on the
generated, images of its slide; of the image itself where slides are unknown. Not both against the real section's: a
method owes the stain, not the lamp, and one that shows white glass would lose its stain under a grey one.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import SIDES, Absent, Metric, Sample, Update, Value, Which
from vsbench.metrics.agreement import concordance_of_densities
from vsbench.metrics.dab import dose, pathology_correlation
from vsbench.stain.balanced import level_counts, read_transmission
from vsbench.stain.dab import density_of
from vsbench.stain.light import RULE, Light, find_light, light_of_slide

SUFFIX = "_balanced"  # of the name of a value of Fiji's: its companion
PROTOCOL = f"fiji-balanced/own-slide-{RULE}"
READ = f"dab-{PROTOCOL}"  # of what is read from one image
LIGHT = 5  # numbers that tell a light; all 0: there is none
UNDER = "under the light of each slide's own glass"


class BalancedDensity(Metric):
    """IoD, R_p and CCC of densities that hold no light: companions of ``iod`` … ``r_p`` and ``ccc``.

    Î_i and I_i are Fiji's integrated densities after division by the light (``vsbench.stain.balanced``), columns
    ``intden_balanced`` and ``intden_balanced_real``; ``mean_od_balanced``, … per pixel. ``light`` and ``light_real``:
    brightness of the light in grey levels. Images of a slide without glass in sight, real or generated, have none of
    the values; ``light_unknown`` counts them.
    """

    values = (
        Value(
            "iod_balanced",
            r"IoD$^\mathrm{bal}$",
            "1e7 OD·px",
            "low",
            f"iod {UNDER}",
            f"iod/{PROTOCOL}",
            family="iod_mae",
        ),
        Value(
            "iod_rel_balanced",
            r"IoD$_\mathrm{rel}^\mathrm{bal}$",
            "1",
            "low",
            f"iod_rel {UNDER}",
            f"iod_rel/{PROTOCOL}",
            family="iod_mae",
        ),
        Value(
            "iod_bias_balanced",
            r"IoD$_\mathrm{bias}^\mathrm{bal}$",
            "%",
            "zero",
            f"iod_bias {UNDER}",
            f"iod_bias/{PROTOCOL}",
            family="iod_mae",
        ),
        Value(
            "iod_mae_balanced",
            r"IoD$_\mathrm{MAE}^\mathrm{bal}$",
            "OD",
            "low",
            f"iod_mae {UNDER}",
            f"iod_mae/{PROTOCOL}",
            column="iod_mae_balanced",
            family="iod_mae",
        ),
        Value("r_p_balanced", r"$R_p^\mathrm{bal}$", "%", "high", f"r_p {UNDER}", f"r_p/{PROTOCOL}", family="r_p"),
        Value("ccc_balanced", r"CCC$^\mathrm{bal}$", "1", "high", f"ccc {UNDER}", f"ccc/{PROTOCOL}", family="iod_mae"),
        Value(
            "light_unknown",
            "Light unknown",
            "images",
            "low",
            "number of pairs without a balanced density: no glass in sight on the slide, real or generated",
            PROTOCOL,
        ),
    )

    def update(self, samples: Sequence[Sample]) -> Update:
        """Light and transmission of each image; what they give waits for the slide's other images."""
        read = {f"_balanced{side}": [_read(sample, which) for sample in samples] for side, which in SIDES.items()}
        return Update({}, {name: np.stack(rows) for name, rows in read.items()})

    def across(
        self, table: pd.DataFrame, features: Mapping[str, NDArray[np.float32]]
    ) -> dict[str, NDArray[np.float64]]:
        """Densities under the light of the slide, and its brightness; NaN where it is unknown."""
        columns: dict[str, NDArray[np.float64]] = {}
        for side in SIDES:
            read = features[f"_balanced{side}"]
            lights = _lights(table["slide"], read)
            densities = [
                density_of(level_counts(row[LIGHT:].astype(np.int64), light)).intden if light else np.nan
                for light, row in zip(lights, read, strict=True)
            ]
            columns[f"light{side}"] = np.array([light.brightness if light else np.nan for light in lights])
            columns[f"intden_balanced{side}"] = np.array(densities)
            columns[f"mean_od_balanced{side}"] = np.array(densities) / (table["height"] * table["width"]).to_numpy()
        return columns | {"iod_mae_balanced": np.abs(columns["mean_od_balanced"] - columns["mean_od_balanced_real"])}

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Set values over the images whose light is known; Absent where it is of none."""
        known = table[table["iod_mae_balanced"].notna()]
        results: dict[str, float | Absent] = {value.name: _unknown(table) for value in self.values}
        if len(known):
            fake, real = (known[f"intden_balanced{side}"].to_numpy() for side in SIDES)
            results = {f"{name}{SUFFIX}": value for name, value in dose(fake, real).items()}
            results["iod_mae_balanced"] = float(known["iod_mae_balanced"].mean())
            results["r_p_balanced"] = pathology_correlation(fake, real)
            results["ccc_balanced"] = concordance_of_densities(
                *(known[f"mean_od_balanced{side}"].to_numpy() for side in SIDES)
            )
        return results | {"light_unknown": float(len(table) - len(known))}


def _read(sample: Sample, which: Which) -> NDArray[np.float32]:
    """(LIGHT + BINS,): the light of one image, and its pixels by transmission."""
    known = sample.features(which)
    if READ not in known:
        light = sample.once(which, find_light)
        told = (*light.colour, light.spread, light.pixels) if light else (0,) * LIGHT
        known[READ] = np.concatenate([told, sample.once(which, read_transmission)]).astype(np.float32)
    return known[READ]


def _lights(slides: pd.Series, read: NDArray[np.float32]) -> list[Light | None]:
    """The light of each image: its slide's, or its own where the slide is unknown."""
    own = [Light(*(float(number) for number in row[:LIGHT])) if row[:LIGHT].any() else None for row in read]
    groups = slides.where(slides.notna(), other=pd.Series(range(len(slides)), index=slides.index))
    found: list[Light | None] = [None] * len(own)
    for places in groups.groupby(groups.to_numpy()).indices.values():
        light = light_of_slide(own[place] for place in places)
        for place in places:
            found[place] = light
    return found


def _unknown(table: pd.DataFrame) -> Absent:
    which = "real" if table["light_real"].isna().all() else "generated"
    return Absent(f"no glass in sight on the {which} images of any slide: the light is not known")
