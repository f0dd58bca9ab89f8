"""What figures of single images share: the rows whose per-image tables can be used, and what to call their slides."""

import numpy as np

from vsbench import registry
from vsbench.metric import Value
from vsbench.report.resampled import Ground, common_ground
from vsbench.report.tables import Comparison, Row
from vsbench.stats.bootstrap import RESAMPLES
from vsbench.stats.slides import Slides


def declared(*names: str) -> list[Value]:
    """These values as their metrics declare them."""
    known = {v.name: v for metric in registry.load_all("vsbench.metrics")[0].values() for v in metric.values}
    return [known[name] for name in names]


def methods_with_tables(comparison: Comparison, *names: str) -> tuple[list[Row], Ground, tuple[str, ...]]:
    """The methods whose tables can be used, the common ground for these values, and why other methods are not there.

    Raises RunError where no row of the comparison has a table.
    """
    ground = common_ground(comparison, declared(*names), RESAMPLES, seed=0)
    methods = [row for row in comparison.rows if row.is_method]
    missing = tuple(f"{r.title} ({ground.left_out[r.title]})" for r in methods if r.title in ground.left_out)
    return [row for row in methods if row.title not in ground.left_out], ground, missing


def mind(slides: Slides, *cautions: str | None) -> str:
    """A sentence for a caption on what to mind of intervals over these slides, each caution once; or ""."""
    found = list(dict.fromkeys(filter(None, (slides.caution, *cautions))))
    return f" Mind: {'; '.join(found)}." if found else ""


def unit_names(ground: Ground) -> list[str]:
    """What each independent unit is called: its slide, or its image where that stands for a slide."""
    table = next(iter(ground.tables.values()))
    images = ground.slides.unit == "image"
    slide = table["slide"].where(table["slide"].notna() & (not images), table.index.to_series())
    return [str(slide.iloc[place]) for place in np.unique(ground.slides.index, return_index=True)[1]]
