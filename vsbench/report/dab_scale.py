"""The one scale of DAB density in a report: the colours of all its maps, and the words under what they show.

Up to the threshold from which a pixel counts as stained the colours are greys, from there on they burn: where the two
meet is the contour of the positive area. What is denser than the end of the scale has the colour of the end.
"""

from functools import cache

import matplotlib as mpl
import numpy as np
from matplotlib.colors import ListedColormap
from numpy.typing import NDArray

from vsbench.report.notation import signed
from vsbench.stain.dab import POSITIVE_LEVEL, density_table

FULL = 1.0  # optical density (OD) of DAB at the end of the scale
STEPS = 256  # colours of the scale
PALEST, DARKEST_GREY = (1.0, 1.0, 1.0), (0.64, 0.69, 0.76)
BURNING = ("magma_r", 0.3, 1.0)  # the part of a colour map that goes on where the greys end, darker than they


def positive_density() -> float:
    """The optical density of DAB from which a pixel counts as stained."""
    return float(density_table()[POSITIVE_LEVEL])


@cache
def colours() -> NDArray[np.float64]:
    """(STEPS, 3) in [0, 1]: the colours from a density of 0 to ``FULL``, the darker the denser. Read-only."""
    stained = int(np.ceil(positive_density() / FULL * (STEPS - 1)))
    name, start, end = BURNING
    scale = np.empty((STEPS, 3))
    scale[:stained] = np.linspace(PALEST, DARKEST_GREY, stained)
    scale[stained:] = mpl.colormaps[name](np.linspace(start, end, STEPS - stained))[:, :3]
    scale.setflags(write=False)
    return scale


def colour_map() -> ListedColormap:
    """The scale for matplotlib; ``vmin`` is 0, ``vmax`` is ``FULL``."""
    return ListedColormap(colours().tolist())


def mean_density(density: float) -> str:
    """A mean density in words: ``DAB 0.121 OD``."""
    return f"DAB {density:.3f} OD"


def compared(density: float, real: float, other: str = "real") -> str:
    """Both mean densities and their signed difference: ``DAB 0.060, real 0.121 OD: −0.061 (−50 %)``."""
    share = f" ({signed(100 * (density - real) / real, 0)} %)" if real > 0 else ""
    return f"DAB {density:.3f}, {other} {real:.3f} OD: {signed(density - real, 3)}{share}"
