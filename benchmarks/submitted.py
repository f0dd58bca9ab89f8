"""The leaderboard's rows as submissions: what ``results/leaderboard/rows`` holds, in ``results/submitted``.

    python -m benchmarks.submitted

Each row is written as ``vsbench submit make --state reproduced`` does, its seeds together, and checked as ``vsbench
submit check`` does, with the per-image tables, which stay where they are kept. The control on pairs that fit perfectly
is no method, and none of them. Run it again when rows come: the file of a row that has not changed comes out as it was.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.leaderboard import HOME, entries, restore
from vsbench.exchange.submissions import check, make
from vsbench.files import atomic

SUBMITTED = HOME.parent / "submitted"


def main() -> None:
    """Write the rows that are kept; what is wrong with one of them ends it before any is written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=SUBMITTED)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vsbench-") as place:
        results, made = Path(place) / "results", Path(place) / "made"
        for entry in entries([], []):
            if entry.is_kept:
                restore(entry, results)
        files = list(make([results], made, state="reproduced", tables=True))
        faults = [fault for file in files for fault in check(file)[1]]
        if faults:
            sys.exit("\n".join(faults).replace(f"{made}/", ""))
        for file in files:
            with atomic(given.out / file.name) as temporary:
                shutil.copyfile(file, temporary)
    print(f"{len(files)} rows in {given.out}, each checked with its per-image tables")


if __name__ == "__main__":
    main()
