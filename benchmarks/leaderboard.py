"""The phantom's leaderboard: every method, three seeds, two stains, on a cohort that no preset was chosen on.

    OMP_NUM_THREADS=1 python -m benchmarks.leaderboard [--jobs 2] [--minutes 60] [--stain ki67] [--method usigan]

Each row is trained with the preset ``small``, translated and measured in a process of its own, so many at a time. What
a row measured is kept in ``results/leaderboard/rows`` at once: record, summary, per-image values and features, as text
and packed, without a path of the machine, and two of its images. A row that is kept is never run again, here or
elsewhere; one that was killed goes on where it was. When nothing is left to run, or the minutes are over,
``leaderboard.csv`` (values), ``digests.csv`` (of what each was trained and measured on) and the tables and figures of
the report are written from all rows that are kept; the page needs two of these beside it, ``decision.csv`` and
``split-<stain>.{csv,png}``.
"""

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from vsbench import registry
from vsbench.cli.display import TrainingDisplay
from vsbench.cli.options import one_device
from vsbench.data.pairs import Pair
from vsbench.dataset import pairs_of
from vsbench.engine.request import Request, resolve
from vsbench.engine.run import Run
from vsbench.engine.start import start
from vsbench.engine.trainer import Rhythm
from vsbench.evaluation.ablate import Study, chosen, study_rows
from vsbench.evaluation.evaluate import evaluate_references, evaluate_rows
from vsbench.evaluation.group import Group
from vsbench.evaluation.instrument import Instrument
from vsbench.evaluation.onepass import read_pair
from vsbench.evaluation.rows import translated_row
from vsbench.files import atomic, write_text
from vsbench.records.run import TrainedRecord
from vsbench.records.summary import PairFiles, Summary
from vsbench.report.build import build_report

HOME = Path(__file__).parents[1] / "results" / "leaderboard"
DATASET, OPTIONS = "phantom", {"seed": 2026, "slides_test": 12}
STAINS, SEEDS, PRESET = ("ki67", "her2"), (0, 1, 2), "small"
# The control on pairs that fit perfectly, as only a phantom has them: what misalignment costs (report/split.py).
ALIGNED, CONTROL = "aligned", "regression"
PROTOCOL = "native"
COMMAND = (sys.executable, "-m", "benchmarks.leaderboard")
PACKED = ("per_image.csv", "features.npz")  # beside summary.json, which is read as it is
DECIDED = (
    "stain", "value", "method", "title", "seeds", "mean", "sd", "low", "high", "p", "standing", "rank", "rank_low",
    "rank_high", "units", "seeds_drawn", "protocol",
)  # fmt: skip
TRAINING = ["stain", "method", "seed"]
OF_TRAINING = ["steps", "data_digest", "train_digest", "images_digest"]
QUALITY = 90  # of the JPEGs that are looked at; nothing is measured on them


@dataclass(frozen=True)
class Entry:
    """One training: a method as its preset has it, or a row of one of its ablation studies.

    A study's row that is the method itself, or one of another study, is the same training, and is kept once.
    """

    method: str
    stain: str
    seed: int
    variant: str = ""
    suite: str = ""
    row: str = ""

    def request(self, work: Path) -> Request:
        """What is trained."""
        if self.method == ALIGNED:
            return Request(
                CONTROL, DATASET, self.stain, PRESET, {}, {**OPTIONS, "reference": "aligned"}, seed=self.seed,
                label=ALIGNED, results=work,
            )  # fmt: skip
        options = {"variant": self.variant} if self.variant else {}
        if not self.suite:
            return Request(self.method, DATASET, self.stain, PRESET, options, OPTIONS, seed=self.seed, results=work)
        study = Study(self.method, self.suite, DATASET, self.stain, PRESET, options, OPTIONS, results=work)
        (row,) = chosen(study_rows(study), [self.row])
        return replace(row.request, seed=self.seed)

    @property
    def folder(self) -> str:
        """The name of its row: the method's own where it is not a study's."""
        return self.request(HOME).row

    @property
    def kept(self) -> Path:
        """Where its numbers lie in the repository."""
        return HOME / "rows" / self.stain / self.folder / f"seed-{self.seed}"

    @property
    def words(self) -> list[str]:
        """What names it on the command line."""
        return [self.method, self.stain, str(self.seed), self.variant, self.suite, self.row]

    @property
    def is_kept(self) -> bool:
        """Whether they are there; the summary is written last."""
        return (self.kept / "summary.json").is_file()


def entries(methods: list[str], stains: list[str]) -> list[Entry]:
    """All rows: the first seed of every method before the second of any."""
    known = methods or [*(n for n in registry.names("vsbench.methods") if PRESET in _presets(n)), ALIGNED]
    return [Entry(m, stain, seed) for seed in SEEDS for stain in stains or STAINS for m in known]


def _presets(method: str) -> dict[str, object]:
    presets: dict[str, object] = registry.load("vsbench.methods", method).presets
    return presets


def make(entry: Entry, work: Path) -> None:
    """Train, translate, measure and keep a row."""
    device = one_device("cpu")
    with TrainingDisplay(quiet=True) as display:
        run = start(entry.request(work), device, True, 0, Rhythm(log=100, sheet=10**6, checkpoint=200), display)
    group = _group(entry.stain, work)
    row = translated_row(run, group, device.device)
    _, failures = evaluate_rows(group, [row], Instrument.build("cpu"))
    if failures:
        raise SystemExit("; ".join(failures))
    keep(entry, run)


def keep(entry: Entry, run: Run) -> None:
    """Copy what a row measured into the repository, with images named by what they are."""
    folder, kept = run.evaluation(PROTOCOL), entry.kept
    summary = Summary.read(folder / "summary.json")
    summary.require_whole(folder)
    kept.mkdir(parents=True, exist_ok=True)
    run.record.model_copy(update={"data_root": None}).write(kept / "run.json")
    for name in PACKED:
        with atomic(kept / f"{name}.gz") as temporary:
            temporary.write_bytes(gzip.compress((folder / name).read_bytes(), mtime=0))
    for tile in shown_tiles(entry.stain):
        made = Image.open(run.folder / "images" / "test" / f"{tile.id}.png")
        with atomic(kept / f"{tile.id}.jpg") as temporary:
            made.save(temporary, "JPEG", quality=QUALITY)
    pairs = [_named(pair) for pair in summary.pairs]
    summary.model_copy(update={"pairs": pairs}).write(kept / "summary.json")


def restore(entry: Entry, work: Path) -> Run:
    """The run folder of a row that is kept, as far as reports look at it; the pairs are those of this machine."""
    run = resolve(entry.request(work)).run
    folder, kept = run.evaluation(PROTOCOL), entry.kept
    if not (folder / "summary.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kept / "run.json", run.record_file)
        for name in PACKED:
            with atomic(folder / name) as temporary:
                temporary.write_bytes(gzip.decompress((kept / f"{name}.gz").read_bytes()))
        summary = Summary.read(kept / "summary.json")
        here = {pair.id: pair for pair in _group(entry.stain, work).pairs}
        pairs = [_lying(pair, here[pair.id]) for pair in summary.pairs]
        summary.model_copy(update={"pairs": pairs}).write(folder / "summary.json")
    return run


def _named(pair: PairFiles) -> PairFiles:
    """Without the folders of this machine."""
    sides = {side: f"{side}/{pair.id}.png" for side in ("he", "ihc", "truth")}
    return pair.model_copy(update={**sides, "fake": f"images/test/{pair.id}.png"})


def _lying(pair: PairFiles, here: Pair) -> PairFiles:
    """As the images lie on this machine."""
    return pair.model_copy(update={"he": str(here.he), "ihc": str(here.ihc), "truth": str(here.truth)})


def _group(stain: str, work: Path) -> Group:
    return Group(DATASET, OPTIONS, stain, None, work)


def test_pairs(stain: str) -> list[Pair]:
    """The test tiles that all rows of a stain are measured on."""
    dataset = registry.load("vsbench.datasets", DATASET).from_options(OPTIONS)
    return pairs_of(dataset, None, stain, "test")


def shown_tiles(stain: str) -> list[Pair]:
    """The two that are looked at: with the most positive nuclei, and with the median number of them.

    Nuclei are counted for the first row of a stain; a row that is kept shows which two they are.
    """
    pairs = test_pairs(stain)
    rows = [file.parent for file in (HOME / "rows" / stain).glob("*/*/summary.json")]
    known = {file.stem for file in rows[0].glob("*.jpg")} if rows else set()
    some = [pair for pair in pairs if pair.id in known] or pairs
    ranked = sorted(some, key=lambda pair: (_positive(pair), pair.id))
    return [ranked[-1], ranked[0 if known else len(ranked) // 2]]


def _positive(pair: Pair) -> int:
    """Its positive nuclei."""
    cells = read_pair(pair).cells
    assert cells is not None, "the phantom knows its cells"
    return int(np.count_nonzero(cells.positive))


def keep_report(report: Path) -> None:
    """Copy what the page shows of a report: which methods' cells are alike, and the split of distances."""
    decided = pd.read_csv(report / "decision.csv")
    of_cells = decided.loc[decided["value"] == "cell_auc", list(DECIDED)]
    write_text(HOME / "decision.csv", of_cells.to_csv(index=False, lineterminator="\n"))
    for stain, suffix in product(STAINS, ("csv", "png")):
        drawn = report / "figures" / f"split-{DATASET}-{stain}.{suffix}"
        if drawn.is_file():
            shutil.copyfile(drawn, HOME / f"split-{stain}.{suffix}")


def table(kept: list[Entry]) -> pd.DataFrame:
    """One line for each value of each row."""
    lines = []
    for entry in kept:
        summary, record = Summary.read(entry.kept / "summary.json"), Run(entry.kept).record
        assert isinstance(record, TrainedRecord)
        for name, reading in summary.values.items():
            limits = reading.interval or {}
            lines.append(
                {
                    "stain": entry.stain, "method": entry.method, "seed": entry.seed, "value": name,
                    "number": reading.value, "low": limits.get("low"), "high": limits.get("high"),
                    "unit": reading.unit, "best": reading.best, "protocol": reading.protocol, "n": summary.n,
                    "slides": summary.n_slides, "absent": reading.reason, "steps": record.steps,
                    "seconds": record.wall_time_s, "data_digest": summary.data_digest,
                    "train_digest": record.train_digest, "images_digest": summary.images_digest,
                }
            )  # fmt: skip
    return pd.DataFrame(lines)


def keep_table(board: pd.DataFrame) -> None:
    """Write a line for each value, and beside it one for each training: what it was trained and measured on."""
    of_training = board.drop_duplicates(TRAINING)[[*TRAINING, *OF_TRAINING]]
    for name, lines in (("leaderboard", board.drop(columns=OF_TRAINING)), ("digests", of_training)):
        write_text(HOME / f"{name}.csv", lines.to_csv(index=False, lineterminator="\n"))


def run_all(todo: list[Entry], work: Path, jobs: int, end: float) -> None:
    """Run rows in processes of their own until none is left or the time is over; a row that fails is told, and left."""
    waiting, running = list(todo), dict[Entry, subprocess.Popen[bytes]]()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    try:
        while running or (waiting and time.monotonic() < end):
            while waiting and len(running) < jobs and time.monotonic() < end:
                entry = waiting.pop(0)
                command = [*COMMAND, "--work", str(work), "--row", *entry.words]
                running[entry] = subprocess.Popen(command, env=environment)
            for entry in [entry for entry, process in running.items() if process.poll() is not None]:
                code = running.pop(entry).returncode
                ended = "kept" if code == 0 else f"failed ({code})"
                print(f"{entry.stain} {entry.folder} seed {entry.seed}: {ended}", flush=True)
            if running and time.monotonic() > end:
                break
            time.sleep(0.5)
    finally:
        for process in running.values():
            process.terminate()  # with a checkpoint, from which it goes on
            process.wait()


def main() -> None:
    """Run what is missing, then write table and report of what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--method", action="append", default=[])
    parser.add_argument("--stain", action="append", default=[], choices=STAINS)
    parser.add_argument("--work", type=Path, default=HOME / "work")
    parser.add_argument("--row", nargs=6, metavar=("METHOD", "STAIN", "SEED", "VARIANT", "SUITE", "ROW"))
    given = parser.parse_args()
    if given.row:
        method, stain, seed, *study = given.row
        make(Entry(method, stain, int(seed), *study), given.work)
        return
    instrument = Instrument.build("cpu")
    for stain in given.stain or STAINS:
        evaluate_references(_group(stain, given.work), instrument)
    wanted = entries(given.method, given.stain)
    run_all([e for e in wanted if not e.is_kept], given.work, given.jobs, time.monotonic() + 60 * given.minutes)
    kept = [entry for entry in entries([], []) if entry.is_kept]
    print(f"{len(kept)} of {len(entries([], []))} rows are kept")
    if kept:
        for entry in kept:
            restore(entry, given.work)
        keep_table(table(kept))
        build_report(given.work, given.work / "report", latex=True)
        keep_report(given.work / "report")


if __name__ == "__main__":
    main()
