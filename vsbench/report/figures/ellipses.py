"""Confidence ellipses of R_c and R_p: where a method would lie on other slides."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import chi2, f

from vsbench.errors import RunError
from vsbench.report.figures.perimage import declared, mind
from vsbench.report.resampled import common_ground, draw
from vsbench.report.tables import Comparison
from vsbench.stats.bootstrap import MAX_UNDEFINED, RESAMPLES
from vsbench.stats.moments import Array

LEVEL = 0.95
ENOUGH = 5  # slides; of fewer, ellipses that hold the truth so often would reach across the axes
ROUGH = (
    " Dashed ellipses: spread over {units}, by resampling. So few make them too small to be limits (of 3 slides they "
    "hold the truth in about 60 % of cases): they prove nothing."
)
SOUND = " Ellipses: 95 % confidence over {units}, by resampling; what other seeds would change is not in them."


@dataclass(frozen=True)
class Ellipse:
    """An ellipse about a point: half axes in percent, ``angle`` of the major one in degrees from the R_c axis.

    ``slides`` are those it is over; ``rough``: too few of them to hold the truth in 95 % of cases.
    """

    major: float
    minor: float
    angle: float
    slides: int
    rough: bool

    @property
    def reach(self) -> tuple[float, float]:
        """How far it extends from its centre along R_c and along R_p."""
        cosine, sine = np.cos(np.radians(self.angle)), np.sin(np.radians(self.angle))
        along, across = (
            np.hypot(self.major * cosine, self.minor * sine),
            np.hypot(self.major * sine, self.minor * cosine),
        )
        return float(along), float(across)


@dataclass(frozen=True)
class Ellipses:
    """``of``: by ``Row.key``; ``missing``: why a method has none. ``caption``: what to say of them, or ""."""

    of: Mapping[str, Ellipse] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    caption: str = ""


def ellipses(comparison: Comparison) -> Ellipses:
    """Of the methods that have R_c and R_p on the data of this comparison.

    Slides are drawn as for all intervals of the report, for R_c and R_p alike; of several seeds the mean is resampled.
    """
    values = declared("r_c", "r_p")
    rows = [
        row
        for row in comparison.rows
        if row.is_method
        and all(row.cell(v.name).mean is not None and comparison.difference(row, v.name) is None for v in values)
    ]
    try:
        ground = common_ground(comparison, values, RESAMPLES, seed=0)
    except RunError as error:
        return Ellipses(missing=dict.fromkeys((row.key for row in rows), str(error)))
    slides = ground.slides
    if slides.count < 2:
        return Ellipses(missing=dict.fromkeys((row.key for row in rows), "one image: how images differ is unknown"))
    found: dict[str, Ellipse] = {}
    missing: dict[str, str] = {}
    for row in rows:
        try:
            if row.title in ground.left_out:
                raise RunError(ground.left_out[row.title])
            points = np.stack([draw(row, value, ground).draws.mean(axis=0) for value in values], axis=1)
            found[row.key] = ellipse_of(points, slides.count)
        except RunError as error:
            missing[row.key] = str(error)
    rough = slides.count < ENOUGH
    caption = (ROUGH if rough else SOUND).format(units=slides.counted) + mind(slides)
    return Ellipses(found, missing, caption if found else "")


def ellipse_of(points: Array, slides: int) -> Ellipse:
    """The ellipse of resampled points (R, 2), which vary less than slides do by (S − 1) / S.

    Raises RunError where too many of the points do not exist.
    """
    defined = points[np.isfinite(points).all(axis=1)]
    if (lost := len(points) - len(defined)) > MAX_UNDEFINED * len(points):
        raise RunError(f"{lost} of {len(points)} resamples have no value")
    variances, axes = np.linalg.eigh(np.cov(defined.T) * slides / (slides - 1))
    minor, major = np.sqrt(np.maximum(variances, 0) * covering(slides))
    x, y = axes[:, 1]
    return Ellipse(float(major), float(minor), float(np.degrees(np.arctan2(y, x)) % 180), slides, slides < ENOUGH)


def covering(slides: int) -> float:
    """How far an ellipse reaches, as a squared distance in standard errors.

    Hotelling's T² quantile, for standard errors are themselves estimates, from as many numbers as there are slides. In
    a simulation of 25 images on each of 5, 10 and 30 slides such ellipses held the truth in 98, 95 and 93 % of cases,
    those by the χ² quantile in 79, 85 and 91 %. Below ``ENOUGH`` slides it is the χ² quantile (60 % at 3 slides).
    """
    if slides < ENOUGH:
        return float(chi2.ppf(LEVEL, 2))
    return float(2 * (slides - 1) / (slides - 2) * f.ppf(LEVEL, 2, slides - 2))
