"""Fuzz of everything that reads a file: ``make fuzz MINUTES=10``, or ``python tests/fuzz --help``.

A case is one file of a whole folder changed, and the folder read, as ``targets.py`` says. It may go well, or end in a
UserError: one line, which names the file or a folder it lies in. All else is a find: another error, a warning of a
library, minutes of time or gigabytes of memory, a process that ends, a file written outside. A find is printed once for
each place in the code, with its case (``--case 7-1234`` does it again) and a copy of the folder as it was read.
"""

import argparse
import contextlib
import faulthandler
import io
import os
import re
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import targets
import torch
from cases import BUSY, Case, set_alarm

from vsbench.names import shown

MEMORY = 2 << 30  # bytes that a case may take
REPOSITORY = Path(__file__).parents[2]


def work(seed: str, first: int, end: float, corpus: Path, options: argparse.Namespace, pipe: int) -> None:
    """Cases from ``first`` on in a process of its own; through the pipe goes the number of each before it begins."""
    faulthandler.enable()
    torch.set_num_threads(1)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 41,) * 2)
    set_alarm()
    number = first
    while time.monotonic() < end and (options.cases is None or number < options.cases):
        os.write(pipe, f"case {number}\n".encode())
        case = Case(seed, number, corpus, options.only)
        faulthandler.dump_traceback_later(
            2 * BUSY * case.target.seconds, exit=True
        )  # where no Python runs to see an alarm
        with tempfile.TemporaryDirectory(dir=corpus.parent, ignore_cleanup_errors=True) as place:
            os.chdir(place)
            what = case.lay(Path(place))
            found = case.find(Path(place))
            os.chdir(corpus)
        if found:
            parts = (str(number), case.kind, str(case.file), what, found)
            line = "\t".join(shown(part) for part in parts)
            os.write(pipe, f"find {line}\n".encode("utf-8", "backslashreplace"))
        faulthandler.cancel_dump_traceback_later()
        number += 1
    os.write(pipe, f"case {number}\n".encode())


def run(options: argparse.Namespace, corpus: Path) -> int:
    """All processes; the number of different finds."""
    end, number, finds = time.monotonic() + 60 * options.minutes, options.first, dict[str, int]()
    done = False
    while not done and time.monotonic() < end:
        out, into = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(out)
            code = 1
            try:
                work(options.seed, number, end, corpus, options, into)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(into)
        with os.fdopen(out, encoding="utf-8") as lines:
            for line in lines:
                kind, _, rest = line.rstrip("\n").partition(" ")
                if kind == "case":
                    number = int(rest)
                else:
                    _tell(rest.split("\t", 4), finds, options, corpus)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        done = status == 0
        if not done:
            case = Case(options.seed, number, corpus, options.only)
            _tell([str(number), case.kind, str(case.file), "", f"the process ended ({status})"], finds, options, corpus)
            number += 1
    print(f"{number - options.first} cases, {len(finds)} finds (seed {options.seed})", flush=True)
    for found, times in finds.items():
        print(f"{times:6} × {found}")
    return len(finds)


def _tell(parts: list[str], finds: dict[str, int], options: argparse.Namespace, corpus: Path) -> None:
    """Print a find, the first of its kind, and keep its folder."""
    number, kind, file, what, found = parts
    place = re.search(r"\([^()]*\)$", found)  # in the code
    key = f"{found.partition(':')[0]} {place[0]}" if place else re.sub(r"'[^']*'|\S*/\S*|\d+", "…", found)[:80]
    finds[key] = finds.get(key, 0) + 1
    if finds[key] > 1:
        return
    kept = options.finds / f"{options.seed}-{number}"
    if not kept.exists():
        kept.mkdir(parents=True)
        Case(options.seed, int(number), corpus, options.only).lay(kept)
    print(f"find {options.seed}-{number} ({kind}): {file} ({what}): {found}; {kept}", flush=True)


def main() -> None:
    """Read the options, make the corpus, and run."""
    parser = argparse.ArgumentParser(description="Fuzz of the readers")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", default=str(int(time.time())), help="cases follow from it and their number")
    parser.add_argument("--case", help="SEED-NUMBER: this one alone")
    parser.add_argument("--cases", type=int, help="at most so many")
    parser.add_argument("--only", action="append", default=[], choices=targets.TARGETS, help="these targets")
    parser.add_argument("--finds", type=Path, default=REPOSITORY / ".fuzz", help="where the folders of finds are kept")
    options = parser.parse_args()
    options.first, options.finds = 0, options.finds.absolute()
    if options.case:
        options.seed, _, number = options.case.rpartition("-")
        options.first, options.cases = int(number), int(number) + 1
    with tempfile.TemporaryDirectory(prefix="vsbench-fuzz-", ignore_cleanup_errors=True) as place:
        os.environ |= {"XDG_CACHE_HOME": f"{place}/cache", "XDG_CONFIG_HOME": f"{place}/config"}
        with contextlib.redirect_stderr(io.StringIO()):
            targets.make(Path(place) / "corpus", options.only)
        sys.exit(1 if run(options, Path(place) / "corpus") else 0)


if __name__ == "__main__":
    main()
