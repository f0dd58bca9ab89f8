"""The DAB map that Chromium makes of an image is the density that is measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vsbench.report.dab_scale import FULL, STEPS, colours
from vsbench.report.page.heat import dab_filter
from vsbench.stain.dab import optical_density_dab


def test_the_map_shows_the_density_that_is_measured(
    browser: Any, tmp_path: Path, make_picture: Callable[..., Any]
) -> None:
    """Mean and greatest difference to Fiji's density, of pixels of a screenshot turned back by the colour map."""
    rgb = make_picture(64)
    Image.fromarray(rgb).save(tmp_path / "ihc.png")
    html = '<!doctype html><style>body{{margin:0}}img{{display:block;filter:url(#dab)}}</style><img src="ihc.png">{}'
    svg = f'<svg width="0" height="0" style="position:absolute">{dab_filter()}</svg>'
    (tmp_path / "map.html").write_text(html.format(svg))
    browser.open(tmp_path / "map.html", 64, 64)
    shown = np.asarray(Image.open(browser.screenshot(tmp_path / "shot.png")).convert("RGB"), float) / 255
    steps = np.linspace(0, 1, 501)
    scale = np.stack([np.interp(steps, np.linspace(0, 1, STEPS), channel) for channel in colours().T], axis=1)
    density = FULL * steps[np.abs(shown[:, :, None] - scale).sum(axis=-1).argmin(axis=-1)]
    gap = np.abs(density - np.clip(optical_density_dab(rgb), 0, FULL))
    assert optical_density_dab(rgb).max() > 0.6, "there is stain to be seen"
    assert gap.mean() < 0.008
    assert gap.max() < 0.03
