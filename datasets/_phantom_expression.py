"""The phantom's markers: which cells express an antigen, and how much DAB that makes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ._phantom_tissue import OWN_AND_TISSUE_GRADE, Array

INTENSITY = (0.12, 0.35, 0.7)  # shares of the full density from which a cell is 1+, 2+ and 3+
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(31)  # expectation over a standard normal


@dataclass(frozen=True)
class Marker:
    """How an antigen is expressed. A cell's expression is standard normal; it is positive above its type's ``cut``.

    What H&E shows of it is a weighted sum of three standard normal numbers: the cell's own grade (size and paleness),
    that of the tissue around it, and how near it is to the tumour's front. Weights are relative.
    """

    pattern: str  # "nuclear" or "membrane"
    grade: float
    tissue_grade: float
    front: float
    cut: tuple[float, float, float, float]  # by type, in the order of TYPES
    softness: float  # how gradually the amount rises around the cut
    density: float  # DAB optical density of a fully positive cell, at the usual strength of staining

    def visible(self, cells: pd.DataFrame) -> Array:
        """(N,) standard normal: the part of the expression that follows from morphology."""
        a, b, c = self.grade, self.tissue_grade, self.front
        total = np.sqrt(a**2 + b**2 + 2 * a * b * OWN_AND_TISSUE_GRADE + c**2)
        return (a * cells["grade"] + b * cells["tissue_grade"] + c * cells["front"]).to_numpy() / total


MARKERS = {
    "her2": Marker("membrane", 0.3, 0.9, 0.1, (0.5, 1.3, 6.0, 6.0), softness=0.40, density=0.85),
    "ki67": Marker("nuclear", 0.7, 0.3, 0.5, (0.7, 1.9, 2.6, 2.0), softness=0.20, density=0.90),
    "er": Marker("nuclear", -0.6, -0.5, -0.2, (0.1, 0.4, 3.2, 4.0), softness=0.30, density=0.85),
    "pr": Marker("nuclear", -0.5, -0.5, -0.3, (0.5, 0.5, 3.2, 4.0), softness=0.25, density=0.90),
}


def hidden_part(config: Any, shared: float, region: Array | float, own: Array) -> Array:
    """(N,) standard normal: what H&E does not show of cells' expression, from their slide's, region's and own part."""
    of_slide, of_tile = config.hidden_slide, config.hidden_tile
    return np.sqrt(of_slide) * shared + np.sqrt(of_tile) * region + np.sqrt(1 - of_slide - of_tile) * own


def expressed(config: Any, marker: Marker, cells: pd.DataFrame, hidden: Array) -> pd.DataFrame:
    """Add expression and DAB to a cell table; ``hidden`` (N,) standard normal: what H&E does not show of it."""
    visible = np.sqrt(1 - config.unpredictable) * marker.visible(cells)
    spread = np.sqrt(config.unpredictable)
    cut_of_type = np.array(marker.cut)[cells["type"]]
    expression = visible + spread * hidden

    def amount(expression: Array, cut: Array) -> Array:
        return marker.density * logistic((expression - cut) / marker.softness)

    expected = amount(visible[:, None] + spread * NODES, cut_of_type[:, None]) @ WEIGHTS / WEIGHTS.sum()
    mean_strength = np.exp(config.batch_effect**2 / 2)
    dab = amount(expression, cut_of_type)
    return cells.assign(
        expression=expression,
        positive=expression > cut_of_type,
        intensity=np.digitize(dab / marker.density, INTENSITY),
        dab=dab,
        dab_expected=mean_strength * expected,
    )


def logistic(values: Array) -> Array:
    """Of log odds, their probability."""
    return 1 / (1 + np.exp(-np.asarray(values, dtype=np.float64)))
