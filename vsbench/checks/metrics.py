"""What every metric must fulfil. Authors of plugins run these on their own: each check takes ``make``, which builds the
metric fresh, ready to measure (with a network, where it needs one).

    for check in metric_checks():
        check(MyMetric)
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.data.seams import Seams
from vsbench.data.true_cells import TrueCells
from vsbench.metric import Absent, Best, Image, Metric, Sample, penalty
from vsbench.metrics.dab import DabDensity
from vsbench.metrics.true_cells import amounts_of_dab
from vsbench.weights import MANIFEST

Make = Callable[[], Metric]
Features = dict[str, NDArray[np.float32]]
Results = dict[str, float | Absent]

SIDE = (40, 48)  # height and width of the images, for metrics that do not need larger ones
ENGINE_COLUMNS = ("slide", "height", "width")  # what the evaluation engine adds to the table


def metric_checks() -> list[Callable[[Make], None]]:
    """All checks, each to be called with ``make``; AssertionError says what is wrong."""
    return [
        check_declaration,
        check_update,
        check_results,
        check_means,
        check_perfect_images,
        check_order,
        check_batch_size,
        check_mixed_sizes,
        check_resampling,
        check_single_image,
        check_constant_images,
        check_unknown_pixel_size,
        check_read_only_images,
        check_leaves_no_trace,
    ]


def check_declaration(make: Make) -> None:
    """Each value says how to read it; needed weights are known."""
    metric = make()
    assert metric.values, "declares no value"
    names = [value.name for value in metric.values]
    assert len(set(names)) == len(names), f"a value is declared twice: {names}"
    for value in metric.values:
        assert value.name.isidentifier(), f"{value.name!r} can't be a column name everywhere"
        for field in ("label", "unit", "formula", "protocol"):
            assert getattr(value, field).strip(), f"{value.name}: empty {field}"
        assert value.best in get_args(Best), f"{value.name}: best is {value.best!r}"
    assert set(metric.needs) <= set(MANIFEST), f"unknown weights: {sorted(set(metric.needs) - set(MANIFEST))}"


def check_update(make: Make) -> None:
    """n numbers per column and n rows of float32 features for n samples; no column that the engine writes."""
    metric = make()
    samples = samples_for(make)
    update = metric.update(samples)
    assert update.columns or update.features, "measures nothing"
    for name, column in update.columns.items():
        assert name not in ENGINE_COLUMNS, f"column {name} belongs to the engine"
        assert len(column) == len(samples), f"{name}: {len(column)} numbers for {len(samples)} samples"
        assert all(isinstance(number, int | float) for number in column), f"{name}: not plain numbers"
    for name, rows in update.features.items():
        assert rows.dtype == np.float32, f"{name}: {rows.dtype} features"
        assert rows.shape[0] == len(samples), f"{name}: {rows.shape[0]} rows for {len(samples)} samples"
        assert np.isfinite(rows).all(), f"{name}: features that are not finite"


def check_results(make: Make) -> None:
    """``finish`` gives exactly the declared values; on ordinary images each is a finite number."""
    for name, result in evaluate(make(), samples_for(make)).items():
        assert not isinstance(result, Absent), f"{name} is absent for ordinary images: {result}"
        assert math.isfinite(result), f"{name} is {result} for ordinary images"


def check_means(make: Make) -> None:
    """A value that names a column is the mean of that column."""
    metric = make()
    table, features = measure(metric, samples_for(make))
    results = numbers(metric.finish(table, features))
    for value in metric.values:
        if value.column is not None:
            np.testing.assert_allclose(results[value.name], np.mean(table[value.column]), rtol=1e-12)


def check_perfect_images(make: Make) -> None:
    """No image beats the perfect one, and noise is worse in every value but for counts; of shares, in some."""
    metric = make()
    samples = samples_for(make)
    real = [with_cells(replace(s, fake=s.real, he=s.real, truth=s.real)) for s in samples]
    perfect = numbers(evaluate(metric, real))
    noise = [replace(s, fake=image) for s, image in zip(real, _noise(samples), strict=True)]
    others = {"unlike": numbers(evaluate(metric, samples)), "noise": numbers(evaluate(metric, noise))}
    for value in metric.values:
        for kind, results in others.items():
            best, other = (penalty(found[value.name], value.best) for found in (perfect, results))
            assert best <= other, f"{value.name}: {kind} {results[value.name]} beats {perfect[value.name]}"
    as_good = [v for v in metric.values if v.unit != "images" and others["noise"][v.name] == perfect[v.name]]
    shares = [v for v in metric.values if v.is_share]
    few = len(as_good) < len(shares) and all(v.is_share for v in as_good)  # all positive: all positives are found
    assert few or not as_good, f"{', '.join(v.name for v in as_good)}: noise is as good as perfect images"


def check_order(make: Make) -> None:
    """The order of the images does not change a value."""
    samples = samples_for(make)
    assert_close(evaluate(make(), samples[::-1]), evaluate(make(), samples))


def check_batch_size(make: Make) -> None:
    """Columns, features and values are the same whatever the batch size."""
    whole, whole_features = measure(make(), samples_for(make), batch_size=5)
    for size in (1, 2):
        table, features = measure(make(), samples_for(make), batch_size=size)
        pd.testing.assert_frame_equal(table, whole, rtol=1e-4, atol=1e-5)
        for name, rows in features.items():
            np.testing.assert_allclose(rows, whole_features[name], rtol=1e-4, atol=1e-4)


def check_mixed_sizes(make: Make) -> None:
    """Samples of unequal sizes may come in one batch, and are measured as one by one."""
    samples = samples_for(make)
    samples[1:3] = [_cropped(sample, 8) for sample in samples[1:3]]
    assert_close(evaluate(make(), samples, batch_size=5), evaluate(make(), samples, batch_size=1))


def check_resampling(make: Make) -> None:
    """Values of a bootstrap sample come from rows alone: equal to those of the same images measured again."""
    metric = make()
    samples = samples_for(make)
    rows = [4, 0, 0, 3, 1, 4]
    table, features = measure(metric, samples)
    drawn = metric.finish(table.iloc[rows], {name: stacked[rows] for name, stacked in features.items()})
    assert_close(drawn, evaluate(make(), [replace(samples[i], id=f"{n}") for n, i in enumerate(rows)]))


def check_single_image(make: Make) -> None:
    """With one image a value is a number that exists for one image, or Absent with the reason."""
    assert_honest(make(), evaluate(make(), samples_for(make)[:1]), blank=False)


def check_constant_images(make: Make) -> None:
    """Blank images, alone and among others: a number, or Absent with the reason; never 0 for no correlation."""
    for level in (255, 200):  # 255: no DAB at all
        blank = np.full_like(samples_for(make)[0].real, level)
        samples = [with_cells(Sample(f"{n}", fake=blank, real=blank, he=blank, truth=blank)) for n in range(4)]
        assert_honest(make(), evaluate(make(), samples))
        assert_honest(make(), evaluate(make(), [replace(s, fake=blank) for s in samples_for(make)]))
        one_blank = samples_for(make)
        one_blank[2] = replace(one_blank[2], fake=blank)
        assert_honest(make(), evaluate(make(), one_blank))


def check_unknown_pixel_size(make: Make) -> None:
    """Where it is not known how many µm a pixel has, a value is what it is with that, or Absent with the reason."""
    known = evaluate(make(), samples_for(make))
    unknown = evaluate(make(), [replace(sample, pixel_size=None) for sample in samples_for(make)])
    assert_honest(make(), unknown, blank=False)
    there = [name for name, result in unknown.items() if not isinstance(result, Absent)]
    assert_close({name: unknown[name] for name in there}, {name: known[name] for name in there})


def check_read_only_images(make: Make) -> None:
    """Measures images that can't be written into, as the evaluation engine gives them."""
    samples = samples_for(make)
    for image in (image for sample in samples for image in _images(sample)):
        image.flags.writeable = False
    try:
        results = evaluate(make(), samples)
    except (ValueError, RuntimeError) as error:
        raise AssertionError(f"does not measure read-only images: {error}") from error
    assert_close(results, evaluate(make(), samples_for(make)))


def check_leaves_no_trace(make: Make) -> None:
    """Images, NumPy's and torch's global random states and gradient mode are as before."""
    import torch

    samples = samples_for(make)
    before = [image.copy() for sample in samples for image in _images(sample)]
    numpy_state, torch_state = _numpy_state(), torch.get_rng_state()
    evaluate(make(), samples)
    after = [image for sample in samples for image in _images(sample)]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)), "changes images in place"
    assert _numpy_state() == numpy_state, "draws from NumPy's global generator"
    assert torch.equal(torch.get_rng_state(), torch_state), "draws from torch's global generator"
    assert torch.is_grad_enabled(), "leaves gradients switched off"


def samples_for(make: Make) -> list[Sample]:
    """``stained_samples`` that are large enough for the metric."""
    return stained_samples(make().min_side)


def stained_samples(min_side: int = 1) -> list[Sample]:
    """Five unequal samples with haematoxylin and DAB, the same in every process; all four images differ.

    They are stitched, small and not square; no side is shorter than ``min_side``. The left quarter shows glass.
    """
    size = (max(SIDE[0], min_side), max(SIDE[1], min_side + 8))
    random = np.random.default_rng(20)
    samples = []
    for n in range(5):
        more = (0.1, 0, 0, 0)  # DAB in the generated image: distances between sets must see a difference in kind
        fake, real, he, truth = (_stained(random, size, amount=0.2 + 0.1 * n + extra) for extra in more)
        seams = Seams(rows=(size[0] // 2,), columns=(size[1] // 2,))
        samples.append(with_cells(Sample(f"slide{n // 2}_{n}", fake, real, he, truth, seams=seams, pixel_size=0.5)))
    return samples


def with_cells(sample: Sample) -> Sample:
    """The same with squares of 5 × 5 pixels as true cells, of which those are positive whose DAB is above 0.4."""
    if sample.truth is None:
        return sample
    height, width, _ = sample.truth.shape
    tops, lefts = np.meshgrid(np.arange(0, height - 5, 7), np.arange(0, width - 5, 7), indexing="ij")
    corners = (tops * width + lefts).ravel()
    square = (np.arange(5)[:, None] * width + np.arange(5)).ravel()
    pixel, cell = (corners[:, None] + square).ravel(), np.repeat(np.arange(len(corners)), len(square))
    cells = TrueCells(pixel, cell, np.zeros(len(corners), np.bool_))
    dab = cells.means(amounts_of_dab(sample.truth, pixel))
    return replace(sample, cells=replace(cells, positive=dab > 0.4))


def measure(metric: Metric, samples: Sequence[Sample], batch_size: int = 5) -> tuple[pd.DataFrame, Features]:
    """Table and features as the evaluation engine makes them; the DAB family stands for the columns of others."""
    columns: dict[str, list[float]] = {}
    parts: dict[str, list[NDArray[np.float32]]] = {}
    for start in range(0, len(samples), batch_size):
        update = metric.update(samples[start : start + batch_size])
        for name, numbers_ in update.columns.items():
            columns.setdefault(name, []).extend(numbers_)
        for name, rows in update.features.items():
            parts.setdefault(name, []).append(rows)
    table = pd.DataFrame(
        {
            "slide": [sample.id.partition("_")[0] for sample in samples],
            "height": [sample.real.shape[0] for sample in samples],
            "width": [sample.real.shape[1] for sample in samples],
            **DabDensity().update(samples).columns,
            **columns,
        },
        index=pd.Index([sample.id for sample in samples], name="id"),
    )
    features = {name: np.concatenate(part) for name, part in parts.items()}
    return table.assign(**metric.across(table, features)), {n: a for n, a in features.items() if not n.startswith("_")}


def evaluate(metric: Metric, samples: Sequence[Sample], batch_size: int = 5) -> Results:
    """Set values of the samples; asserts that they are the declared ones."""
    results = metric.finish(*measure(metric, samples, batch_size))
    declared = [value.name for value in metric.values]
    assert sorted(results) == sorted(declared), f"finish gives {sorted(results)}, declared are {sorted(declared)}"
    return results


def numbers(results: Results) -> dict[str, float]:
    """The results as numbers; asserts that none is absent."""
    for name, result in results.items():
        assert not isinstance(result, Absent), f"{name} is absent: {result}"
    return {name: result for name, result in results.items() if not isinstance(result, Absent)}


def assert_close(results: Results, expected: Results) -> None:
    """Equal but for rounding in float32."""
    np.testing.assert_allclose(list(numbers(results).values()), list(numbers(expected).values()), rtol=1e-4, atol=1e-5)


def assert_honest(metric: Metric, results: Results, blank: bool = True) -> None:
    """No NaN without a reason, no empty reason, no 0 in the place of a high-is-best value that does not exist.

    ``blank``: of images without structure. Of others, a column may have the mean 0 (no image in the right category).
    """
    for value in metric.values:
        result = results[value.name]
        if isinstance(result, Absent):
            assert result.reason.strip(), f"{value.name}: absent without a reason"
            continue
        assert not math.isnan(result), f"{value.name}: NaN; give Absent with the reason"
        counted = value.unit == "images" or value.is_share or (value.column and not blank)
        invented = value.best == "high" and result == 0 and not counted
        assert not invented, f"{value.name}: 0 where it does not exist; give Absent with the reason"


def _stained(random: np.random.Generator, size: tuple[int, int], amount: float) -> Image:
    """Beer–Lambert mixture of the two stains, each unevenly spread; ``amount`` scales DAB."""
    haematoxylin, dab = (random.gamma(2.0, 0.5, size) for _ in range(2))
    density = 0.3 * haematoxylin[..., None] * (0.650, 0.704, 0.286) + amount * dab[..., None] * (0.268, 0.570, 0.776)
    density[:, : size[1] // 4] = 0
    return np.rint(255 * 10**-density).astype(np.uint8)


def _noise(samples: Sequence[Sample]) -> list[Image]:
    """Noise in place of the tissue; glass stays."""
    random = np.random.default_rng(21)
    images = [random.integers(0, 256, sample.real.shape, dtype=np.uint8) for sample in samples]
    for image in images:
        image[:, : image.shape[1] // 4] = 255
    return images


def _cropped(sample: Sample, columns: int) -> Sample:
    fake, real, he, truth = (image[:, :-columns] for image in _images(sample))
    return with_cells(replace(sample, fake=fake, real=real, he=he, truth=truth))


def _numpy_state() -> str:
    return repr(np.random.get_state(legacy=False))  # noqa: NPY002, the generator that others may still use


def _images(sample: Sample) -> Sequence[Image]:
    return list(itertools.chain((sample.fake, sample.real, sample.he), [] if sample.truth is None else [sample.truth]))
