"""What an evaluation costs by the number of images: memory, and time when nothing has changed.

    python -m benchmarks.evaluation_size

Images made elsewhere are evaluated by all metrics that need no weights, 100 pairs and 1,000, each in a process of its
own: peak memory must not grow by more than 5 %. Then the same command again, from the start of the process: it must end
within 5 seconds for 1,000 pairs, having measured nothing. Tiles are 256² PNG; 20 different ones under as many names as
are needed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SMALL, LARGE, DIFFERENT, SIDE = 100, 1000, 20, 256
GROWTH, SECONDS = 1.05, 5.0
SLIDES = 10


def main() -> None:
    """Make the folders, evaluate, evaluate again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder is not None:
        evaluate(arguments.folder)
        return
    from benchmarks.measuring import machine  # what an evaluation itself does not import, it is not to wait for
    from benchmarks.pixel_metrics import make_files

    print(machine())
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make_files(root, DIFFERENT, SIDE)
        peaks = {}
        for pairs in (SMALL, LARGE):
            folder = root / f"{pairs}"
            lay_out(root, folder, pairs)
            begun = time.perf_counter()
            peaks[pairs] = in_a_process(folder)
            seconds = time.perf_counter() - begun
            print(f"{pairs:5} pairs: {seconds:6.1f} s, peak {peaks[pairs] / 2**20:.0f} MiB")
        growth = peaks[LARGE] / peaks[SMALL]
        print(f"peak memory of {LARGE} pairs is {growth:.3f} of that of {SMALL} (goal {GROWTH})")
        time.sleep(2.5)  # files as young as the evaluation are read once more: see vsbench.evaluation.digests
        in_a_process(root / f"{LARGE}")
        begun = time.perf_counter()
        said = subprocess.run(command(root / f"{LARGE}"), capture_output=True, text=True, check=True).stdout
        seconds = time.perf_counter() - begun
        assert "measured" not in said, said
        print(f"again with nothing changed: {seconds:.1f} s for {LARGE} pairs (goal {SECONDS:.0f}), {said.split()[0]}")


def lay_out(images: Path, folder: Path, pairs: int) -> None:
    """A data set ``folder/own`` of ``pairs`` test pairs on ten slides, and images made elsewhere in ``folder/fake``."""
    for part, kind in (("own/he/test", "he"), ("own/ihc/test", "real"), ("fake", "fake")):
        (folder / part).mkdir(parents=True)
        for n in range(pairs):
            os.link(images / kind / f"{n % DIFFERENT}.png", folder / part / f"S{n % SLIDES}_{n:04d}.png")


def command(folder: Path) -> list[str]:
    """Evaluate a folder in a process of its own."""
    return [sys.executable, "-m", "benchmarks.evaluation_size", "--in", str(folder)]


def in_a_process(folder: Path) -> int:
    """Peak memory in bytes of an evaluation."""
    return int(subprocess.run(command(folder), capture_output=True, text=True, check=True).stdout.split()[-1])


def evaluate(folder: Path) -> None:
    """Evaluate, and print what happened and the peak memory."""
    from vsbench.engine.memory import process_peak
    from vsbench.evaluation.evaluate import evaluate_rows
    from vsbench.evaluation.group import Group
    from vsbench.evaluation.instrument import Instrument
    from vsbench.evaluation.rows import external_row

    group = Group("folder", {"slide": r"(S\d+)_"}, "er", folder / "own", folder / "results")
    row = external_row(folder / "fake", "mine", group)
    (outcome,), failures = evaluate_rows(group, [row], Instrument.build("cpu"))
    assert not failures, failures
    print("unchanged" if outcome.cached else "measured", process_peak())


if __name__ == "__main__":
    main()
