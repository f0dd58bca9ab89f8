"""Does a preset stain the right cells of the phantom? Trained, translated, measured cell by cell, drawn.

    OMP_NUM_THREADS=1 python -m benchmarks.presets METHOD [--set KEY=VALUE]… [--cohort 101] [--every STEPS]

The mean DAB in each true nucleus of the test tiles against the cell's true positivity: the area under the ROC curve,
sensitivity and specificity at the threshold that suits the true IHC best; and the sharpness, over that of the real IHC
(``vsbench.metrics.sharpness``). Settings are chosen on a cohort of their own: the phantom's default one, which
results are reported on, is ``--cohort 0``. A sheet (H&E, generated, true IHC) lies beside the run's images.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

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
from vsbench.evaluation.onepass import read_pair
from vsbench.metric import Absent
from vsbench.metrics.sharpness import Sharpness
from vsbench.metrics.true_cells import TrueCellStain

STAIN = "ki67"
SHOWN = {"cell AUC": "cell_auc", "sensitivity": "cell_sensitivity", "specificity": "cell_specificity"}


@dataclass(frozen=True)
class Judge:
    """The test tiles of a cohort."""

    pairs: list[Pair]

    def measured(self, images: Path) -> dict[str, float]:
        """What a folder of generated images is like, by name."""
        cells, sharpness = TrueCellStain(), Sharpness()
        updates, columns = [], []
        for pair in self.pairs:
            sample = read_pair(pair).judging(read_rgb(images / f"{pair.id}.png"))
            updates.append(cells.update([sample]).features)
            columns.append(sharpness.per_image(sample))
        stacked = {name: np.concatenate([each[name] for each in updates]) for name in updates[0]}
        values = cells.finish(pd.DataFrame(), stacked)
        numbers = {shown: value for shown, name in SHOWN.items() if not isinstance(value := values[name], Absent)}
        more = sharpness.finish(pd.DataFrame(columns), {})["sharpness_ratio"]
        return numbers if isinstance(more, Absent) else numbers | {"sharpness": 1 + more / 100}

    def draw(self, images: Path, file: Path) -> None:
        """Four tiles from all over the cohort: H&E, generated, true IHC."""
        rows = []
        for pair in self.pairs[:: max(1, len(self.pairs) // 4)][:4]:
            assert pair.truth is not None
            rows.append(np.concatenate([read_rgb(f) for f in (pair.he, images / f"{pair.id}.png", pair.truth)], axis=0))
        Image.fromarray(np.concatenate(rows, axis=1)).save(file)


def curve(request: Request, every: int | None) -> Iterator[str]:
    """Train; a line for each checkpoint, the last alone without ``every``."""
    found, fabric = resolve(request), one_device("cpu")
    begun = time.process_time()
    with TrainingDisplay(quiet=True) as display:
        run = start(request, fabric, True, 0, Rhythm(sheet=10**6, keep=1, keep_every=every), display)
    seconds = time.process_time() - begun
    dataset = registry.load("vsbench.datasets", request.dataset).from_options(request.dataset_options)
    judge = Judge(dataset.pairs(found.root, STAIN, "test"))
    for checkpoint in checkpoints(run.checkpoints):
        images = run.folder / "images" / f"step-{checkpoint.step}"
        images.mkdir(parents=True, exist_ok=True)
        files = [(pair.he, images / f"{pair.id}.png") for pair in judge.pairs]
        translate_files(load_method(checkpoint.weights), files, fabric.device)
        judge.draw(images, run.folder / f"step-{checkpoint.step:06d}.png")
        values = ", ".join(f"{name} {value:.3f}" for name, value in judge.measured(images).items())
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
