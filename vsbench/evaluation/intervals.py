"""How certain is each set value of a row: intervals over slides, ready for the summary."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Value
from vsbench.stats.bootstrap import RESAMPLES, Interval, bootstrap, bootstrap_all, resample_counts
from vsbench.stats.distances import DISTANCES
from vsbench.stats.slides import Slides, group
from vsbench.stats.table import table_statistics


def intervals(
    values: Sequence[Value],
    table: pd.DataFrame,
    features: Mapping[str, NDArray[np.float32]],
    set_values: Mapping[str, float | Absent],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """The 95 % interval of each of ``values`` by name, ready for JSON.

    Keys: ``low``, ``high`` (None where there is no interval, and ``reason`` says why, else None); where there is one
    also ``level``, ``kind``, ``resamples``, ``units`` (how many were drawn), ``unit`` (slide or image), ``excluded``
    (images without a number) and ``caution`` (what to mind, or None). ``table``: with the column ``slide``, in the
    order of ``features``. Values of features take some hundreds of ``resamples`` at most: N = 1000 images cost the
    Fréchet distance 11 s of one core.
    """
    if not len(table):
        return {value.name: _without("there is no image") for value in values}
    slides = group(table["slide"], warn=lambda text: None)  # the text comes with each interval
    counts = resample_counts(slides.count, resamples, seed)
    found = bootstrap_all(table_statistics(table, values, slides), counts)
    result = {}
    for value in values:
        estimate = set_values.get(value.name, Absent("not measured"))
        distance = DISTANCES.get(value.name)
        if isinstance(estimate, Absent):
            result[value.name] = _without(estimate.reason)
        elif value.name in found:
            result[value.name] = _json(found[value.name], slides)
        elif distance is None:
            result[value.name] = _without(reason_without(value))
        elif (absence := distance.absence(features)) is not None:
            result[value.name] = _without(absence)
        else:
            statistic = distance.of(features, slides)
            interval = bootstrap(statistic, counts[: distance.resamples], kind=distance.kind)
            # KID is a mean over random subsets, its statistic that of all images: the same but for the draw
            result[value.name] = _json(interval, slides, moved=estimate - interval.estimate)
    return result


def reason_without(value: Value) -> str:
    """Why a value that follows neither from the table nor from features has no interval."""
    if value.unit == "images":
        return "a number of images"
    return "neither a function of the per-image table nor a distance of features that can be resampled"


def _without(reason: str) -> dict[str, Any]:
    return {"low": None, "high": None, "reason": reason}


def _json(interval: Interval, slides: Slides, moved: float = 0.0) -> dict[str, Any]:
    if not np.isfinite([interval.low, interval.high]).all():
        return _without(interval.caution or "the limits do not exist")
    record = asdict(interval)
    del record["estimate"]
    record["unit"] = slides.unit
    record["low"] += moved
    record["high"] += moved
    record["caution"] = "; ".join(text for text in (slides.caution, interval.caution) if text) or None
    return record | {"reason": None}
