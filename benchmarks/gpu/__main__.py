"""The GPU put to the test, in eight minutes at most.

    make gpu-check                                          results in benchmarks/gpu/, under the card's name
    python -m benchmarks.gpu [--out FOLDER] [--minutes 8]   the same; --only PART for one part alone

Each part runs in a process of its own with a time box, the more worthwhile first: one that fails, hangs or breaks the
device leaves the others as they are. Results are written after each, as JSON and Markdown. Exit code 3 where there is
no GPU, 1 where a test failed or a part did not end.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.gpu import run as running
from benchmarks.gpu.parts import Bench, write_down
from benchmarks.gpu.plan import STAGES

HOME = Path(__file__).parent
NO_GPU = 3


def main(words: list[str] | None = None) -> int:
    """Run all, or one part as the process that was started for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HOME, help="folder of the results")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--only", action="append", metavar="PART", help="this part alone; repeatable")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(words)
    if given.part:
        part = next(part for stage in STAGES for part in stage if part.name == given.part)
        bench = Bench("cuda", given.rows.parent, time.monotonic() + given.seconds)
        write_down(part, bench, given.rows)
        return 0

    import torch

    if not torch.cuda.is_available():
        print("no GPU that CUDA reaches: nothing was measured", file=sys.stderr)
        return NO_GPU
    known = {part.name for stage in STAGES for part in stage}
    if unknown := set(given.only or ()) - known:
        parser.error(f"no part {', '.join(sorted(unknown))}: there are {', '.join(sorted(known))}")
    given.out.mkdir(parents=True, exist_ok=True)
    stages = [[part for part in stage if not given.only or part.name in given.only] for stage in STAGES]
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        return running.all_parts(stages, Path(folder), given.out, 60 * given.minutes, running.child)


if __name__ == "__main__":
    sys.exit(main())
