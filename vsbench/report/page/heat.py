"""The DAB map of an image as an SVG filter: the browser makes it of the image it shows, so that no map is stored.

A canvas would be barred from reading images beside a page that was opened as a file; a filter is not. It takes the
densities of the three colours, adds them up by Fiji's "H DAB" exponents as ``vsbench.stain.dab`` does, and colours the
sum. Browsers keep 8 bits between two steps, so the map is to be looked at, not measured.
"""

import numpy as np

from vsbench.report.dab_scale import FULL, colours
from vsbench.stain.dab import DAB_EXPONENTS

REACH = 1.6  # optical density of one colour that 8 bits stand for: more would make the steps coarser


def dab_filter() -> str:
    """The ``<filter id="dab">`` element; nothing in it comes from data."""
    density = np.clip(-np.log10((np.arange(256) + 1) / 255) / REACH, 0, 1)  # as Fiji: it adds 1
    table = " ".join(f"{value:.4f}".rstrip("0").rstrip(".") for value in density)
    weights = " ".join(f"{exponent * REACH / FULL:.6f}" for exponent in DAB_EXPONENTS)
    row = f"{weights} 0 0"
    return "".join([
        '<filter id="dab" color-interpolation-filters="sRGB" x="0" y="0" width="1" height="1">',
        "<feComponentTransfer>",
        *(f'<feFunc{channel} type="table" tableValues="{table}"/>' for channel in "RGB"),
        "</feComponentTransfer>",
        f'<feColorMatrix values="{row} {row} {row} 0 0 0 1 0"/>',
        "<feComponentTransfer>",
        *(
            f'<feFunc{channel} type="discrete" tableValues="{" ".join(f"{value:.3f}" for value in values)}"/>'
            for channel, values in zip("RGB", colours().T, strict=True)
        ),
        "</feComponentTransfer>",
        "</filter>",
    ])  # fmt: skip
