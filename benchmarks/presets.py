"""Does a preset stain the right cells of the phantom? Trained, translated, measured cell by cell, drawn.

    OMP_NUM_THREADS=1 python -m benchmarks.presets METHOD [--set KEY=VALUE]… [--cohort 101] [--every STEPS]

The mean DAB in each true nucleus of the test tiles against the cell's true positivity: the area under the ROC curve,
sensitivity and specificity at the threshold that suits the true IHC best; and the sharpness, the variance of the
Laplacian over that of the real IHC. Settings are chosen on a cohort of their own: the phantom's default one, which
results are reported on, is ``--cohort 0``. A sheet (H&E, generated, true IHC) lies beside the run's images.
"""

import argparse
import importlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import laplace
from scipy.stats import rankdata

from vsbench import registry
from vsbench.cli.display import TrainingDisplay
from vsbench.cli.options import one_device
from vsbench.config import parse_settings
from vsbench.data.decode import read_rgb
from vsbench.data.pairs import Pair
from vsbench.engine.checkpoint import checkpoints, load_method
from vsbench.engine.request import Request, resolve
from vsbench.engine.start import start
from vsbench.engine.trainer import Rhythm
from vsbench.engine.translate import translate_files
from vsbench.stain.dab import DAB_EXPONENTS
from vsbench.stain.density import optical_density

STAIN = "ki67"
SEEN_PATH = 0.3  # of the section's thickness: where a nucleus is thinner it hardly shows
SEEN_PIXELS = 25  # fewer are a sliver of a nucleus
THRESHOLDS = np.linspace(0.01, 0.99, 300)  # quantiles of the true IHC's cells that are tried

RGB = NDArray[np.uint8]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Nuclei:
    """The nuclei of one tile: the pixels (y, x) of each, the row of its cell; which cells are seen and positive."""

    y: NDArray[np.intp]
    x: NDArray[np.intp]
    cell: NDArray[np.intp]
    seen: NDArray[np.bool_]
    positive: NDArray[np.bool_]  # of those that are seen

    def dab(self, rgb: RGB) -> Array:
        """Mean DAB density of each nucleus that is seen."""
        density = optical_density(rgb[self.y, self.x]) @ np.array(DAB_EXPONENTS)
        counts = np.bincount(self.cell, minlength=len(self.seen))[self.seen]
        return np.bincount(self.cell, weights=density, minlength=len(self.seen))[self.seen] / counts


def nuclei_of(dataset: Any, name: str) -> Nuclei:
    """The nuclei in the H&E's section of a tile of the phantom."""
    phantom: Any = importlib.import_module(type(dataset).__module__)
    specimen, border, size = dataset.specimen(STAIN, name), phantom.BORDER, dataset.config.size
    found = specimen.here.nuclei
    y, x = (place - border for place in np.divmod(found.pixel, size + 2 * border))
    keep = (found.path > SEEN_PATH) & (np.minimum(y, x) >= 0) & (np.maximum(y, x) < size)
    seen = np.bincount(found.cell[keep], minlength=len(specimen.cells)) >= SEEN_PIXELS
    return Nuclei(y[keep], x[keep], found.cell[keep], seen, specimen.cells["positive"].to_numpy()[seen])


@dataclass(frozen=True)
class Truth:
    """What is known of the test tiles of a cohort."""

    pairs: list[Pair]
    nuclei: list[Nuclei]
    positive: NDArray[np.bool_]
    threshold: float
    sharpness: float  # of the real IHC

    @classmethod
    def of(cls, dataset: Any, root: Path) -> "Truth":
        """Render what is missing, and read."""
        pairs = dataset.pairs(root, STAIN, "test")
        nuclei = [nuclei_of(dataset, pair.id) for pair in pairs]
        positive = np.concatenate([each.positive for each in nuclei])
        true = np.concatenate([n.dab(read_rgb(pair.truth)) for n, pair in zip(nuclei, pairs, strict=True)])
        candidates = np.quantile(true, THRESHOLDS)
        youden = [(true[positive] > t).mean() + (true[~positive] <= t).mean() for t in candidates]
        real = float(np.mean([sharpness(read_rgb(pair.ihc)) for pair in pairs]))
        return cls(pairs, nuclei, positive, float(candidates[np.argmax(youden)]), real)

    def measured(self, images: Path) -> dict[str, float]:
        """What a folder of generated images is like, by name."""
        fakes = [read_rgb(images / f"{pair.id}.png") for pair in self.pairs]
        dab = np.concatenate([n.dab(fake) for n, fake in zip(self.nuclei, fakes, strict=True)])
        hit, passed = dab[self.positive] > self.threshold, dab[~self.positive] <= self.threshold
        return {
            "cell AUC": area(dab, self.positive),
            "sensitivity": float(hit.mean()),
            "specificity": float(passed.mean()),
            "sharpness": float(np.mean([sharpness(fake) for fake in fakes])) / self.sharpness,
        }

    def draw(self, images: Path, file: Path) -> None:
        """Four tiles from all over the cohort: H&E, generated, true IHC."""
        rows = []
        for pair in self.pairs[:: max(1, len(self.pairs) // 4)][:4]:
            assert pair.truth is not None
            rows.append(np.concatenate([read_rgb(f) for f in (pair.he, images / f"{pair.id}.png", pair.truth)], axis=0))
        Image.fromarray(np.concatenate(rows, axis=1)).save(file)


def sharpness(rgb: RGB) -> float:
    """Variance of the Laplacian of the mean of the channels."""
    return float(laplace(rgb.mean(axis=2)).var())


def area(value: Array, positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: how often a positive cell has more than a negative one."""
    n1, n0 = positive.sum(), (~positive).sum()
    return float((rankdata(value)[positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def curve(request: Request, every: int | None) -> Iterator[str]:
    """Train; a line for each checkpoint, the last alone without ``every``."""
    found, fabric = resolve(request), one_device("cpu")
    begun = time.process_time()
    with TrainingDisplay(quiet=True) as display:
        run = start(request, fabric, True, 0, Rhythm(sheet=10**6, keep=1, keep_every=every), display)
    seconds = time.process_time() - begun
    dataset = registry.load("vsbench.datasets", request.dataset).from_options(request.dataset_options)
    truth = Truth.of(dataset, found.root)
    for checkpoint in checkpoints(run.checkpoints):
        images = run.folder / "images" / f"step-{checkpoint.step}"
        images.mkdir(parents=True, exist_ok=True)
        files = [(pair.he, images / f"{pair.id}.png") for pair in truth.pairs]
        translate_files(load_method(checkpoint.weights), files, fabric.device)
        truth.draw(images, run.folder / f"step-{checkpoint.step:06d}.png")
        values = ", ".join(f"{name} {value:.3f}" for name, value in truth.measured(images).items())
        yield f"{request.label or request.method}, step {checkpoint.step}: {values}"
    yield f"{request.label or request.method}: {seconds:.0f} s of processor time, {run.folder}"


def main() -> None:
    """Print the lines."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("method")
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="setting of the method")
    parser.add_argument("--cohort", type=int, default=101, help="seed of the phantom; results are reported on 0")
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    parser.add_argument("--label", help="name of the run; one for each choice of settings")
    parser.add_argument("--every", type=int, metavar="STEPS", help="measure these steps, too")
    parser.add_argument("--results", type=Path, default=Path("results/presets"))
    given = parser.parse_args()
    request = Request(
        given.method, "phantom", STAIN, given.preset, parse_settings(given.set), {"seed": given.cohort},
        seed=given.seed, label=given.label, results=given.results / f"cohort-{given.cohort}",
        cache_tiles=given.results / "tiles",
    )  # fmt: skip
    for line in curve(request, given.every):
        print(line, flush=True)


if __name__ == "__main__":
    main()
