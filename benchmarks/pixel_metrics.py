"""The pixel metrics in one pass, against the chain of loops over files that people use.

    python -m benchmarks.pixel_metrics

*chain*: SSIM, PSNR, R_c, integrated DAB density, pHash and dHash, each a loop of its own over the pairs, in which both
files are decoded anew (by Pillow, the fastest of the usual readers): scikit-image, SciPy, imagehash, and Fiji's formula
in NumPy as a script has it. *ours*: each file decoded once, in two threads, and all families fed from that. Both must
find the same numbers. *profile*: milliseconds of ours per pair, part by part, in one thread, and those of the balanced
densities and of the families in ``ADDED``, which no chain has; a good part of these is for the real image, once for all
methods. *all families*: processor time of an evaluation of 1000 images by all that are always measured and need
neither weights nor the truth, with the values of the set, and without those in ``ADDED``, in turns. The files are 1024²
PNG of smooth random stains with a little noise: generated, real and H&E of each pair.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import pearsonr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vsbench.data.decode import read_rgb
from vsbench.data.pairs import Pair
from vsbench.evaluation.onepass import Measured, measure, set_values
from vsbench.metric import Metric, Sample
from vsbench.metrics.content import Content
from vsbench.metrics.dab import DabDensity
from vsbench.metrics.dab_balanced import BalancedDensity
from vsbench.metrics.hashes import Hashes
from vsbench.metrics.structure import Structure
from vsbench.registry import load, names
from vsbench.stain.dab import DAB_EXPONENTS

Pixels = NDArray[np.uint8]

SIDE, GOAL, COSTS, IMAGES = 1024, 4.0, 1.3, 1000
FAMILIES: dict[str, Metric] = {"dab": DabDensity(), "content": Content(), "structure": Structure(), "hashes": Hashes()}
ADDED = ("masks", "sharpness")  # families that came when an evaluation was fast already
# what the two ways may differ by, relative to the largest number of a column
EXACT = {"intden": 1e-9, "intden_real": 1e-9, "r_c": 1e-12, "ssim": 1e-12, "psnr": 1e-12, "phash": 0, "dhash": 0}


def main() -> None:
    """Make the files, compare, time and profile."""
    from benchmarks.measuring import Timed, machine, time_rounds  # torch, which nothing else here needs

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder, arguments.pairs, SIDE)
        found = differences(chain(folder), one_pass(folder))
        print("largest differences:", ", ".join(f"{column} {value:.0e}" for column, value in found.items()))
        if any(found[column] > limit for column, limit in EXACT.items()):
            raise SystemExit(f"the two ways differ by more than they may: {EXACT}")
        loops = {name: lambda loop=loop: loop(folder) for name, loop in CHAIN.items()}
        timed = time_rounds({**loops, "ours": lambda: one_pass(folder)}, arguments.rounds)
        sets = {"all families": always(), "without added": always(leave_out=ADDED)}
        passes = {name: partial(one_pass, folder, families) for name, families in sets.items()}
        cost = time_rounds(passes, arguments.rounds, clock=time.process_time)
        rows = {name: repeated(measured(folder, families), IMAGES) for name, families in sets.items()}
        ends = {name: partial(set_values, families, rows[name]) for name, families in sets.items()}
        values = time_rounds(ends, arguments.rounds, clock=time.process_time)
        parts = profile(folder)
    ours = timed["ours"]
    whole = Timed(tuple(sum(timed[name].seconds[n] for name in CHAIN) for n in range(arguments.rounds)))
    for name, variant in {**{name: timed[name] for name in CHAIN}, "chain": whole, "ours": ours}.items():
        print(f"{name:8}{1e3 * variant.median / arguments.pairs:8.1f} ms per pair")
    print(f"ours is {ours.ratio(whole):.1f} times as fast as the chain (goal {GOAL:.0f})")
    evaluation = {
        name: Timed(
            tuple(
                IMAGES / arguments.pairs * a + b for a, b in zip(cost[name].seconds, values[name].seconds, strict=True)
            )
        )
        for name in sets
    }
    for name, variant in evaluation.items():
        of_set = values[name].median
        print(
            f"{name}: {variant.median:.0f} s of processor time for {IMAGES} images, {of_set:.1f} of it for set values"
        )
    ratio = evaluation["without added"].ratio(evaluation["all families"])
    print(f"with {', '.join(ADDED)} it takes {ratio:.2f} times as long (at most {COSTS})")
    print("profile:", ", ".join(f"{part} {milliseconds:.1f} ms" for part, milliseconds in parts.items()))


def chain(folder: Path) -> pd.DataFrame:
    """The per-image table by loops over files."""
    return pd.DataFrame({column: numbers for loop in CHAIN.values() for column, numbers in loop(folder).items()})


def always(leave_out: Sequence[str] = ()) -> dict[str, Metric]:
    """The families that are measured wherever images are: without weights, without what only a phantom knows."""
    found = {name: load("vsbench.metrics", name)() for name in names("vsbench.metrics") if name not in leave_out}
    return {
        name: metric
        for name, metric in found.items()
        if not (metric.on_request or metric.needs or metric.needs_truth or metric.needs_cells)
    }


def one_pass(folder: Path, families: Mapping[str, Metric] = FAMILIES) -> pd.DataFrame:
    """The per-image table by the engine, every file decoded once."""
    return measured(folder, families).table.reset_index()


def measured(folder: Path, families: Mapping[str, Metric]) -> Measured:
    """The same with all that set values are made of."""

    def fake(pair: Pair, he: Pixels, real: Pixels) -> Pixels:
        return read_rgb(folder / "fake" / pair.ihc.name)

    pairs = [
        Pair(real.stem, folder / "he" / real.name, real, None, "test") for real in sorted((folder / "real").iterdir())
    ]
    found = measure(pairs, {"fake": fake}, families)["fake"]
    assert isinstance(found, Measured), found
    return found


def repeated(found: Measured, images: int) -> Measured:
    """The rows again and again, under other names, until there are so many."""
    place = np.arange(images) % len(found.table)
    table = found.table.iloc[place].set_axis([f"{n}" for n in range(images)])
    return Measured(table.rename_axis("id"), {name: array[place] for name, array in found.features.items()})


def read_sample(real: Path) -> Sample:
    """Decode the three files of a pair."""
    fake, he = (read_rgb(real.parents[1] / kind / real.name) for kind in ("fake", "he"))
    return Sample(real.stem, fake, read_rgb(real), he)


def profile(folder: Path) -> dict[str, float]:
    """Milliseconds of processor time of our pass per pair, part by part, one pair after another in this thread."""
    files = sorted((folder / "real").iterdir())
    families = (
        FAMILIES | {"dab_balanced": BalancedDensity()} | {name: load("vsbench.metrics", name)() for name in ADDED}
    )
    seconds = dict.fromkeys(("decode", *families), 0.0)
    for real in files:
        begun = time.process_time()
        sample = read_sample(real)
        seconds["decode"] += time.process_time() - begun
        for name, metric in families.items():
            begun = time.process_time()
            metric.update([sample])
            seconds[name] += time.process_time() - begun
    return {name: 1e3 * spent / len(files) for name, spent in seconds.items()}


def differences(table: pd.DataFrame, other: pd.DataFrame) -> dict[str, float]:
    """By column of ``EXACT``, the largest difference relative to the largest number."""
    return {name: float((table[name] - other[name]).abs().max() / max(table[name].abs().max(), 1)) for name in EXACT}


def decoded(folder: Path, *kinds: str) -> Iterator[tuple[Pixels, ...]]:
    """The images of these kinds, pair by pair, read from their files."""
    for real in sorted((folder / "real").iterdir()):
        yield tuple(np.array(Image.open(folder / kind / real.name)) for kind in kinds)


def loop_ssim(folder: Path) -> dict[str, list[float]]:
    """SSIM by scikit-image."""
    pairs = decoded(folder, "fake", "real")
    return {"ssim": [structural_similarity(*pair, win_size=7, channel_axis=2, data_range=255) for pair in pairs]}


def loop_psnr(folder: Path) -> dict[str, list[float]]:
    """PSNR by scikit-image."""
    return {"psnr": [peak_signal_noise_ratio(*pair, data_range=255) for pair in decoded(folder, "real", "fake")]}


def loop_r_c(folder: Path) -> dict[str, list[float]]:
    """Pearson's r by SciPy of grey pixels, as OpenCV reads a PNG."""

    def grey(image: Pixels) -> NDArray[np.int64]:
        return (image @ np.array([9797, 19234, 3737]) >> 15).ravel()

    pairs = decoded(folder, "fake", "he")
    return {"r_c": [100 * pearsonr(grey(fake), grey(he)).statistic for fake, he in pairs]}


def loop_iod(folder: Path) -> dict[str, list[float]]:
    """Integrated DAB density by Fiji's formula, pixel by pixel in float64."""

    def density(image: Pixels) -> float:
        transmitted = 255 * np.prod(((image + 1.0) / 255) ** DAB_EXPONENTS, axis=2)
        level = np.floor(np.minimum(255, transmitted) + 0.5)
        level[level == 0] = 0.5
        return float((0.434294481 * np.log(255 / level)).astype(np.float32).sum(dtype=np.float64))

    rows = [(density(fake), density(real)) for fake, real in decoded(folder, "fake", "real")]
    return {"intden": [fake for fake, _ in rows], "intden_real": [real for _, real in rows]}


def loop_hash(name: str, folder: Path) -> dict[str, list[float]]:
    """Distance of two hashes by imagehash."""
    hashed = getattr(imagehash, name)
    files = [(folder / "fake" / real.name, real) for real in sorted((folder / "real").iterdir())]
    return {name: [float(hashed(Image.open(fake)) - hashed(Image.open(real))) for fake, real in files]}


CHAIN: dict[str, Callable[[Path], dict[str, list[float]]]] = {
    "ssim": loop_ssim,
    "psnr": loop_psnr,
    "r_c": loop_r_c,
    "iod": loop_iod,
    "phash": partial(loop_hash, "phash"),
    "dhash": partial(loop_hash, "dhash"),
}


def make_files(folder: Path, pairs: int, side: int) -> None:
    """PNG files ``<kind>/<n>.png`` of haematoxylin and DAB in smooth random amounts, the same in every run."""
    random = np.random.default_rng(0)
    for kind in ("fake", "real", "he"):
        (folder / kind).mkdir()
    for n in range(pairs):
        for kind, dab in (("fake", 0.25), ("real", 0.3), ("he", 0.05)):
            nuclei, stain = (field(random, side) for _ in range(2))
            density = 0.3 * nuclei[..., None] * (0.650, 0.704, 0.286) + dab * stain[..., None] * (0.268, 0.570, 0.776)
            noise = random.normal(0, 1.5, (side, side, 3))
            image = np.clip(np.rint(245 * 10**-density + noise), 0, 255).astype(np.uint8)
            Image.fromarray(image).save(folder / kind / f"{n}.png")


def field(random: np.random.Generator, side: int) -> NDArray[np.float64]:
    """(side, side) amounts of 0 and more, in spots of some ten pixels; mean about 0.4."""
    smooth = gaussian_filter(random.normal(size=(side, side)), 5, mode="wrap")
    return np.maximum(smooth / smooth.std(), 0)


if __name__ == "__main__":
    main()
