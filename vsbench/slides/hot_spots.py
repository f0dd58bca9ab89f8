"""Are the hot spots those of the real slide? The most positive fields, as guidelines for Ki67 have them counted.

Fields lie side by side, from the slide's corner. A field counts where at least half of it is tissue that is judged, and
is as positive as the share of that tissue with a DAB density of 0.4065 or more: area, not nuclei.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Metric, Value
from vsbench.slides.cells import Numbers, merged

Array = NDArray[np.float64]

HOT = 10  # fields
ENOUGH = 2 * HOT  # fields of a slide: of fewer the ten would be most of it
FINEST = 0.25  # mm a side of the smallest field
FACTORS = (4, 2, 1)  # of that: fields of 1, 0.25 and 0.0625 mm²
FULL = 0.5  # of a field that must be tissue
COLUMNS = ("hotspot_overlap", "hotspot_rank", "hotspot_error", "hotspot_fields")


@dataclass(frozen=True, eq=False)
class FieldSums:
    """Pixels of a slide in the smallest fields, (R, C) each: of tissue, and positive ones in both images.

    ``whole``: pixels of a field that is not cut off at the border.
    """

    tissue: Numbers
    fake: Numbers
    real: Numbers
    whole: float

    def fields(self, factor: int) -> tuple[Array, Array]:
        """(N,) positive shares of the generated and the real slide, of fields so many times as wide with tissue."""
        tissue, fake, real = (merged(sums, factor) for sums in (self.tissue, self.fake, self.real))
        full = tissue >= FULL * self.whole * factor**2
        return fake[full] / tissue[full], real[full] / tissue[full]


class HotSpots(Metric):
    """Overlap, rank correlation and error of hot spots.

    Columns as the values, and ``hotspot_fields``: how many fields there are.
    """

    def __init__(self, factor: int | None) -> None:
        """``factor``: of the fields that all slides have enough of; None: of none."""
        self.factor = factor
        side = FINEST * (factor or FACTORS[-1])
        field = f"{side**2:g} mm²"
        rule = f"hotspots/{HOT}x{side**2:g}mm2-half-tissue-area0.4065"
        self.values = (
            Value(
                "hotspot_overlap", "Hot spot overlap", "%", "high",
                f"mean over slides of the share of the real slide's {HOT} most positive fields of {field} that are "
                f"among the generated one's; of equal fields, each by its chance to be among them: a blank slide has "
                f"what chance gives, {HOT} / fields", rule, column="hotspot_overlap", is_share=True,
            ),
            Value(
                "hotspot_rank", r"Hot spot $\rho$", "%", "high",
                f"mean over slides of 100 · Spearman's ρ of the positive shares of all fields of {field}", rule,
                column="hotspot_rank", family="hotspot_overlap",
            ),
            Value(
                "hotspot_error", "Hot spot error", "%", "low",
                f"mean over slides of |difference of the mean positive shares in each slide's own {HOT} most positive "
                f"fields of {field}|, in percentage points", rule, column="hotspot_error", family="hotspot_overlap",
            ),
        )  # fmt: skip

    def of_slide(self, sums: FieldSums) -> dict[str, float]:
        """The columns of a slide; NaN where it has too few fields, or all are alike."""
        if self.factor is None:
            return {**dict.fromkeys(COLUMNS, float("nan")), "hotspot_fields": float(len(sums.fields(FACTORS[-1])[0]))}
        return hot_spots(*sums.fields(self.factor))

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Means over the slides that have the number."""
        least = int(table["hotspot_fields"].min())
        few = Absent(
            f"a slide has {least} fields of {FINEST**2:g} mm² with tissue, where {ENOUGH} are the least for "
            f"{HOT} hot spots"
        )
        same = Absent("all fields of a slide are equally positive")
        none = few if self.factor is None else same
        return {v.name: none if table[v.name].isna().all() else float(table[v.name].mean()) for v in self.values}


def common_factor(slides: Sequence[FieldSums]) -> int | None:
    """Of the largest fields that every slide has enough of."""
    return next((f for f in FACTORS if all(len(sums.fields(f)[0]) >= ENOUGH for sums in slides)), None)


def hot_spots(fake: Array, real: Array) -> dict[str, float]:
    """Of (N,) positive shares of fields, N ≥ ``HOT``."""
    from scipy import stats  # heavy, and listings do not need it

    hot = [_chances(shares) for shares in (fake, real)]
    alike = min(np.ptp(fake), np.ptp(real)) == 0
    doses = [float(shares @ chance) / HOT for shares, chance in zip((fake, real), hot, strict=True)]
    return {
        "hotspot_overlap": 100 * float(hot[0] @ hot[1]) / HOT,
        "hotspot_rank": float("nan") if alike else 100 * float(stats.spearmanr(fake, real).statistic),
        "hotspot_error": 100 * abs(doses[0] - doses[1]),
        "hotspot_fields": float(len(fake)),
    }


def _chances(shares: Array) -> Array:
    """(N,): of each field, the chance to be among the ``HOT`` most positive where equal ones are drawn by lot."""
    last = np.sort(shares)[-HOT]
    above, equal = shares > last, shares == last
    return above + equal * ((HOT - above.sum()) / equal.sum())
