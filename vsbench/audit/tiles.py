"""One pair at a time: what it holds, how well its two sections fit, and by what its tiles will be recognised.

Everything but the paired rate is measured on the images reduced to at most ``SIDE`` by averaging whole blocks of
pixels: nuclei and tissue are larger than a block, and registration and hashes look at nothing finer.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vsbench.audit.fingerprints import Fingerprint, fingerprint
from vsbench.audit.registration import residual_shift
from vsbench.data.decode import read_rgb, require_equal_sizes
from vsbench.data.pairs import Pair
from vsbench.metrics._grey import mutual_information, summed_grey
from vsbench.metrics.content import grey_correlation
from vsbench.stain.balanced import level_counts, read_transmission
from vsbench.stain.dab import density_of
from vsbench.stain.density import (
    DAB,
    HAEMATOXYLIN,
    SCANNER_EOSIN,
    SCANNER_HAEMATOXYLIN,
    optical_density,
    stain_matrix,
)
from vsbench.stain.light import WHITE, Light, find_light
from vsbench.stain.transfer import STAINED

Kind = Literal["he", "ihc"]
KINDS: tuple[Kind, ...] = ("he", "ihc")
Lights = Mapping[Kind, Light | None]
COLOURS = {"he": stain_matrix(SCANNER_HAEMATOXYLIN, SCANNER_EOSIN), "ihc": stain_matrix(HAEMATOXYLIN, DAB)}

SIDE = 256
BLANK = 0.05  # tissue share below which a tile is called blank: the rule of thumb of the field, no measured optimum
# Shifts beyond this share of the side put another nucleus in the place of each: 32 px of 1024, 8 µm at 0.25 µm/px.
SHIFTED = 1 / 32


@dataclass(frozen=True)
class TileRow:
    """A pair in numbers: a line of tiles.csv. None: unknown, or does not exist for these images.

    ``he_light``, ``ihc_light``: brightness, in grey levels, of the light that the slide's glass shows, or the tile's
    own where the slide is unknown; None: no glass is in sight, and the light is taken for white. ``ihc_density``: mean
    density of DAB as Fiji reads it; ``ihc_light_share``: of that, what the light explains.

    ``he_tissue``, ``ihc_tissue``: share of the pixels that hold stain, under that light. Amounts of stain: mean optical
    density of these pixels. ``pearson_r``: of the grey levels of H&E and IHC, every pixel, as in Table I of the USIGAN
    paper (as a fraction): their normalised cross-correlation. ``mutual_information``: of the same levels, in bits.
    ``he_nuclei``, ``ihc_nuclei``, ``nuclei_density_r``: as ``audit.nuclei`` finds them, of some pairs. ``shift_y``,
    ``shift_x``: pixels by which the IHC lies below and right of the H&E; trust where ``sure``.
    """

    stain: str
    split: str
    id: str
    slide: str | None
    height: int
    width: int
    he_tissue: float
    ihc_tissue: float
    blank: bool
    pearson_r: float | None
    mutual_information: float | None
    he_nuclei: int | None
    ihc_nuclei: int | None
    nuclei_density_r: float | None
    shift_y: int | None
    shift_x: int | None
    confidence: float | None
    sure: bool
    shifted: bool
    he_haematoxylin: float | None
    he_eosin: float | None
    ihc_haematoxylin: float | None
    ihc_dab: float | None
    he_light: float | None
    ihc_light: float | None
    ihc_density: float
    ihc_light_share: float | None


COLUMNS = [field.name for field in fields(TileRow)]


@dataclass(frozen=True, eq=False)
class Measured:
    """A pair, its numbers, and what its images are recognised by; no pixel is kept. ``lights``: its own."""

    pair: Pair
    row: TileRow
    factor: int  # pixels of the file per pixel of the reduced image
    prints: dict[Kind, Fingerprint]
    digests: dict[Kind, bytes]  # of the pixels, whatever the file's format
    lights: Lights


def measure(pair: Pair, stain: str, lights: Lights | None = None) -> Measured:
    """Read and measure a pair, under the ``lights`` of its slide where these are known, else under its own.

    Raises DataError, naming the file, where an image can't be read or sizes differ.
    """
    images: dict[Kind, NDArray[np.uint8]] = {"he": read_rgb(pair.he), "ihc": read_rgb(pair.ihc)}
    require_equal_sizes({pair.he: images["he"], pair.ihc: images["ihc"]})
    height, width = images["he"].shape[:2]
    factor = reduction(height, width)
    small = {kind: reduced(image, factor) for kind, image in images.items()}
    own: Lights = {kind: find_light(image) for kind, image in images.items()}
    under = {kind: (lights or own)[kind] for kind in KINDS}
    stained = {kind: find_stain(image, kind, under[kind]) for kind, image in small.items()}
    shift = residual_shift(stained["he"].landmarks, stained["ihc"].landmarks)
    dy, dx = (factor * shift.dy, factor * shift.dx) if shift else (None, None)
    he, ihc = stained["he"].mean_amounts, stained["ihc"].mean_amounts
    share = {kind: float(stained[kind].tissue.mean()) for kind in KINDS}
    density, light_share = dab_density(images["ihc"], under["ihc"])
    grey = {kind: summed_grey(images[kind]) for kind in KINDS}
    r = grey_correlation(grey["ihc"], grey["he"])
    row = TileRow(
        stain=stain,
        split=pair.split,
        id=pair.id,
        slide=pair.slide,
        height=height,
        width=width,
        he_tissue=share["he"],
        ihc_tissue=share["ihc"],
        blank=min(share.values()) < BLANK,
        pearson_r=None if math.isnan(r) else r,
        mutual_information=None if math.isnan(r) else mutual_information(grey["he"].levels, grey["ihc"].levels),
        he_nuclei=None,  # until they are looked for
        ihc_nuclei=None,
        nuclei_density_r=None,
        shift_y=dy,
        shift_x=dx,
        confidence=shift.confidence if shift else None,
        sure=False,  # until it is known how often unrelated tiles are as alike: ``trusted``
        shifted=False,
        he_haematoxylin=he[0],
        he_eosin=he[1],
        ihc_haematoxylin=ihc[0],
        ihc_dab=ihc[1],
        he_light=_brightness(under["he"]),
        ihc_light=_brightness(under["ihc"]),
        ihc_density=density,
        ihc_light_share=light_share,
    )
    prints = {kind: fingerprint(grey_levels(small[kind])) for kind in KINDS}
    digests = {kind: hashlib.blake2b(images[kind].tobytes(), digest_size=16).digest() for kind in KINDS}
    return Measured(pair, row, factor, prints, digests, own)


def trusted(row: TileRow, level: float) -> TileRow:
    """The pair as it is where a shift is trusted from this confidence on."""
    sure = row.confidence is not None and row.confidence >= level
    length = math.hypot(row.shift_y or 0, row.shift_x or 0)
    return replace(row, sure=sure, shifted=sure and length > SHIFTED * min(row.height, row.width))


def dab_density(image: NDArray[np.uint8], light: Light | None) -> tuple[float, float | None]:
    """Mean density of DAB as Fiji reads it, and the share of it that the light explains; None where it is unknown."""
    transmission = read_transmission(image)
    density = density_of(level_counts(transmission, WHITE)).mean
    if light is None or density == 0:
        return density, None
    return density, 1 - density_of(level_counts(transmission, light)).mean / density


@dataclass(frozen=True, eq=False)
class Stained:
    """What stain a reduced image holds, as optical density.

    ``amounts`` (H, W, 2): haematoxylin, then eosin or DAB; ``total`` (H, W): sum of the channels; ``tissue`` (H, W).
    """

    amounts: NDArray[np.float64]
    total: NDArray[np.float64]
    tissue: NDArray[np.bool_]

    @property
    def landmarks(self) -> list[NDArray[np.float64]]:
        """The maps (H, W) that both sections of a pair have in common."""
        return [self.amounts[..., 0], self.total]

    @property
    def mean_amounts(self) -> tuple[float | None, float | None]:
        """Of the pixels that hold stain; None where none does."""
        if not self.tissue.any():
            return None, None
        first, second = self.amounts[self.tissue].mean(axis=0)
        return float(first), float(second)


def find_stain(image: NDArray[np.uint8], kind: Kind, light: Light | None = None) -> Stained:
    """Of a (H, W, 3) RGB image under a light, white where it is unknown."""
    density = optical_density(image, (light or WHITE).colour)
    amounts = np.clip(density @ np.linalg.pinv(COLOURS[kind]), 0, None)
    return Stained(amounts, density.sum(axis=-1), density.max(axis=-1) >= STAINED)


def _brightness(light: Light | None) -> float | None:
    return None if light is None else light.brightness


def reduction(height: int, width: int) -> int:
    """The factor that brings an image to ``SIDE`` or less."""
    return max(1, math.ceil(max(height, width) / SIDE))


def reduced(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """(H, W, 3) → (⌈H/factor⌉, ⌈W/factor⌉, 3): the means of blocks of pixels."""
    return np.asarray(Image.fromarray(image).reduce(factor)) if factor > 1 else image


def grey_levels(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 RGB → (H, W), 0…255."""
    return image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
