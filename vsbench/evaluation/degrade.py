"""Graded, known ways to make a true IHC wrong, or the reference it is judged by.

What concerns the stain is done to the tissue, which is stained anew and seen through the same optics; what a camera or
a network does to an image is done to the image. A grade does more of what the grade before did: to the same cells, by
the same field.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from vsbench.files import digest
from vsbench.metric import Image

GRADES = 5  # grade 0 is the true IHC, against the adjacent real one


class Specimen(Protocol):
    """Tissue that a data set can cut and stain again: what ``specimen(stain, id)`` of the phantom gives."""

    @property
    def cells(self) -> pd.DataFrame:
        """A row per cell, with ``dab`` (its density) and ``positive``."""

    @property
    def full_dab(self) -> float:
        """``dab`` of a fully positive cell."""

    def stained(self, dab: NDArray[np.float64]) -> Image:
        """The IHC of the H&E's section if the cells had this ``dab``: with their own, the truth."""

    def adjacent(self, farther: float) -> Image:
        """The real IHC of a section ``farther``: 0, as in the pair, to 1, as far and distorted as can be."""


@dataclass(frozen=True)
class Case:
    """One image to degrade."""

    specimen: Specimen
    truth: Image
    seed: int
    id: str

    def random(self, purpose: str) -> np.random.Generator:
        """The same for all grades, another for each image and purpose."""
        return np.random.default_rng(int(digest([str(self.seed), self.id, purpose]), 16))

    def share_of_cells(self, purpose: str, share: float) -> NDArray[np.bool_]:
        """(cells,) a random share of them; a larger share holds the smaller."""
        return self.random(purpose).uniform(size=len(self.specimen.cells)) < share


@dataclass(frozen=True)
class Degradation:
    """One way to go wrong. ``apply(case, level)`` gives the degraded image: of the generated IHC, or of the reference.

    ``levels`` has one number for each grade from 1 on, of which ``meaning`` says what it is.
    """

    name: str
    label: str
    meaning: str
    levels: tuple[float, ...]
    apply: Callable[[Case, float], Image]
    of_reference: bool = False

    def __post_init__(self) -> None:
        if len(self.levels) != GRADES:
            raise ValueError(f"{self.name}: {len(self.levels)} levels for {GRADES} grades")


def farther_section(case: Case, level: float) -> Image:
    """The real IHC of a section deeper down and more distorted; the generated image stays the truth."""
    return case.specimen.adjacent(level)


def grey_light(case: Case, level: float) -> Image:
    """The real IHC under a light that lacks the share ``level`` of white; the generated image stays the truth."""
    return _levels((1 - level) * case.specimen.adjacent(0.0).astype(np.float64))


def faint(case: Case, level: float) -> Image:
    """All cells with a share ``level`` of their DAB."""
    return case.specimen.stained(level * _dab(case))


def blurred(case: Case, level: float) -> Image:
    """A Gaussian blur of the light, of standard deviation ``level`` in pixels."""
    return _levels(gaussian_filter(case.truth.astype(np.float64), (level, level, 0)))


def hallucinated(case: Case, level: float) -> Image:
    """A random share ``level`` of the negative cells is fully positive."""
    chosen = case.share_of_cells("hallucinated", level) & ~_positive(case)
    return case.specimen.stained(np.where(chosen, case.specimen.full_dab, _dab(case)))


def missed(case: Case, level: float) -> Image:
    """A random share ``level`` of the positive cells holds no DAB."""
    chosen = case.share_of_cells("missed", level) & _positive(case)
    return case.specimen.stained(np.where(chosen, 0.0, _dab(case)))


def warped(case: Case, level: float) -> Image:
    """A smooth elastic displacement, ``level`` pixels in the root mean square, that keeps a nucleus about as it is.

    Its standard deviation of smoothness is 1/16 of the side. Cubic interpolation: linear would blur as well.
    """
    height, width, _ = case.truth.shape
    rng = case.random("warped")
    white = rng.standard_normal((2, height, width))
    field = gaussian_filter(white, (0, height / 16, width / 16), mode="wrap")
    field *= level / np.sqrt(np.mean(field**2) * 2)  # two components share the square
    places = np.mgrid[:height, :width] + field
    channels = [
        map_coordinates(case.truth[..., channel].astype(np.float64), places, order=3, mode="mirror")
        for channel in range(3)
    ]
    return _levels(np.stack(channels, axis=-1))


def warm(case: Case, level: float) -> Image:
    """A warmer lamp: green light is less by the share ``level``, blue by twice as much."""
    return _levels(case.truth * np.array([1.0, 1 - level, 1 - 2 * level]))


DEGRADATIONS = (
    Degradation(
        "misregistration",
        "misregistered reference",
        "share of the way from the pair's own distance and distortion to the largest that the data set can render",
        (0.2, 0.4, 0.6, 0.8, 1.0),
        farther_section,
        of_reference=True,
    ),
    Degradation(
        "light",
        "grey light on the reference",
        "share of the light that is missing",
        (0.06, 0.12, 0.18, 0.24, 0.3),
        grey_light,
        of_reference=True,
    ),
    Degradation("strength", "faint stain", "factor on the DAB density", (0.8, 0.65, 0.5, 0.35, 0.2), faint),
    Degradation("blur", "blur", "standard deviation in pixels", (0.8, 1.6, 2.4, 3.2, 4.0), blurred),
    Degradation(
        "hallucinated",
        "hallucinated cells",
        "share of the negative cells",
        (0.02, 0.04, 0.06, 0.08, 0.1),
        hallucinated,
    ),
    Degradation("missed", "missed cells", "share of the positive cells", (0.2, 0.4, 0.6, 0.8, 1.0), missed),
    Degradation(
        "warp", "warped content", "root mean square of the displacement in pixels", (1.0, 2.0, 3.0, 4.0, 5.0), warped
    ),
    Degradation(
        "cast",
        "colour cast",
        "share of green light lost; of blue light twice as much",
        (0.003, 0.006, 0.009, 0.012, 0.015),
        warm,
    ),
)


def settings() -> list[dict[str, Any]]:
    """What the degradations do, for a record."""
    return [
        {
            "name": d.name,
            "of": "reference" if d.of_reference else "generated",
            "what": " ".join((d.apply.__doc__ or "").split()),
            "level": d.meaning,
            "levels": list(d.levels),
        }
        for d in DEGRADATIONS
    ]


def _dab(case: Case) -> NDArray[np.float64]:
    return case.specimen.cells["dab"].to_numpy()


def _positive(case: Case) -> NDArray[np.bool_]:
    return case.specimen.cells["positive"].to_numpy()


def _levels(light: NDArray[np.float64]) -> Image:
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)
