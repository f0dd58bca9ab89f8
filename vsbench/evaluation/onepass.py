"""One pass over the images: each is decoded once and feeds all metrics."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.data.decode import read_rgb, require_equal_sizes
from vsbench.data.pairs import Pair
from vsbench.metric import Absent, Image, Metric, Sample

CHUNK = 8  # pairs in memory at once
DECODERS = 2  # threads; decoding releases the interpreter lock

Maker = Callable[[Pair, Image, Image], Image]  # (pair, H&E, real IHC) → the image to be judged


def measure(
    pairs: Sequence[Pair],
    make: Maker,
    metrics: Mapping[str, Metric],
    done: Callable[[int], None] | None = None,
) -> tuple[pd.DataFrame, dict[str, NDArray[np.float32]]]:
    """The per-image table (index id; slide, height, width, then the metrics' columns) and the features of all pairs.

    Memory is flat in the number of images but for features and table. Raises DataError naming an image that is
    unreadable or of another size than its partners.
    """
    rows: list[dict[str, object]] = []
    features: dict[str, list[NDArray[np.float32]]] = {}
    with ThreadPoolExecutor(DECODERS) as pool:
        for chunk in _chunks(pairs):
            samples = list(pool.map(lambda pair: read_sample(pair, make), chunk))
            parts: list[dict[str, object]] = [
                {"id": p.id, "slide": p.slide, "height": s.real.shape[0], "width": s.real.shape[1]}
                for p, s in zip(chunk, samples, strict=True)
            ]
            for metric in metrics.values():
                update = metric.update(samples)
                for column, numbers in update.columns.items():
                    for part, number in zip(parts, numbers, strict=True):
                        part[column] = number
                for name, array in update.features.items():
                    features.setdefault(name, []).append(array)
            rows += parts
            if done is not None:
                done(len(rows))
    table = pd.DataFrame(rows).set_index("id")
    return table, {name: np.concatenate(arrays) for name, arrays in features.items()}


def read_sample(pair: Pair, make: Maker) -> Sample:
    """Decode the images of a pair. Raises DataError naming a bad file, or two whose sizes differ."""
    images = {path: read_rgb(path) for path in (pair.he, pair.ihc, pair.truth) if path is not None}
    require_equal_sizes(images)
    he, real = images[pair.he], images[pair.ihc]
    truth = images[pair.truth] if pair.truth is not None else None
    return Sample(pair.id, make(pair, he, real), real, he, truth)


def set_values(
    metrics: Mapping[str, Metric], table: pd.DataFrame, features: dict[str, NDArray[np.float32]]
) -> dict[str, float | Absent]:
    """All set values by name. A metric that gave NaN without a reason is one fault; a value it forgot another."""
    values: dict[str, float | Absent] = {}
    for name, metric in metrics.items():
        finished = metric.finish(table, features)
        declared = [value.name for value in metric.values]
        if sorted(finished) != sorted(declared):
            raise TypeError(f"metric {name} declares {declared} and returned {list(finished)}")
        for key in declared:
            value = finished[key]
            undefined = isinstance(value, float) and np.isnan(value)
            values[key] = Absent("undefined on these images") if undefined else value
    return values


def _chunks(pairs: Sequence[Pair]) -> Iterator[list[Pair]]:
    rest = iter(pairs)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
