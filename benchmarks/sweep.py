"""Two rows of a study at a time against one after the other, with two power cuts in between.

    OMP_NUM_THREADS=1 python -m benchmarks.sweep [--steps 40]

Four methods × two stains × two seeds on the phantom, evaluated and reported: once with one job at a time, undisturbed;
once with two, where twice the sweep and all its jobs get SIGKILL, which no program hears, and the same command goes on.
Each row must end with the same weights, bit for bit. Exit code 1 where one does not. Minutes on two quiet cores; on a
busy machine the ratio says nothing.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from safetensors.torch import load_file

from benchmarks.kills import plain
from benchmarks.measuring import machine
from vsbench.engine.checkpoint import chosen_checkpoint
from vsbench.engine.run import Run
from vsbench.records.job import JobRecord
from vsbench.studies.executors.local import LocalExecutor
from vsbench.studies.file import Local, read_study
from vsbench.studies.plan import plan

METHODS = ("pix2pix", "cyclegan", "cut", "usigan")
STAINS, SEEDS = ("ki67", "her2"), (0, 1)
DATA = {"size": 128, "slides_train": 2, "slides_test": 2, "tiles_per_slide": 2}
KILLED_AT = (1 / 4, 2 / 3)  # of the undisturbed time of one job, halved
PROGRAM = (sys.executable, "-m", "vsbench", "sweep")


def main() -> None:
    """Print both times, and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    steps = parser.parse_args().steps
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        one, two = (study(home, jobs, steps) for jobs in (1, 2))
        _sweep(one, "--dry-run").wait()  # makes the phantom's tiles, whichever comes first
        begun = time.monotonic()
        _finish(one)
        alone = time.monotonic() - begun
        begun = time.monotonic()
        for share in KILLED_AT:
            running = _sweep(two)
            time.sleep(max(0.0, begun + share * alone / 2 - time.monotonic()))
            print(f"killed {time.monotonic() - begun:.0f} s after its begin: {_power_cut(running, two)}", flush=True)
        _finish(two)
        together = time.monotonic() - begun
        differing = [str(a) for a, b in zip(plan(read_study(one)), plan(read_study(two)), strict=True)
                     if _weights(a.run) != _weights(b.run)]  # fmt: skip
    rows = len(METHODS) * len(STAINS) * len(SEEDS)
    print(f"{rows} rows of {steps} steps: one at a time {alone:.0f} s, two at a time, killed twice, {together:.0f} s")
    print(f"{alone / together:.2f} × as fast; rows whose weights differ: {', '.join(differing) or 'none'}")
    sys.exit(1 if differing else 0)


def study(home: Path, jobs: int, steps: int) -> Path:
    """The study's file, with results of its own."""
    asked = {
        "methods": list(METHODS), "seeds": list(SEEDS), "preset": "cpu", "options": {"steps": steps},
        "datasets": [{"dataset": "phantom", "stains": list(STAINS), "data_root": "data", "options": DATA}],
        "training": {"workers": 1, "checkpoint_every": 5, "log_every": 5}, "results": f"results-{jobs}",
        "executor": {"kind": "local", "jobs": jobs, "device": "cpu"},
    }  # fmt: skip
    file = home / f"study-{jobs}.yaml"
    file.write_text(yaml.safe_dump(asked), encoding="utf-8")
    return file


def _sweep(file: Path, *options: str) -> "subprocess.Popen[bytes]":
    with file.with_suffix(".txt").open("ab") as said:
        return subprocess.Popen([*PROGRAM, file.name, *options], cwd=file.parent, stdout=said, stderr=said)


def _finish(file: Path) -> None:
    if _sweep(file).wait() != 0:
        sys.exit(f"the sweep failed:\n{file.with_suffix('.txt').read_text(encoding='utf-8')}")


def _power_cut(running: "subprocess.Popen[bytes]", file: Path) -> str:
    """Kill the sweep and its jobs; how far the rows were."""
    running.kill()
    running.wait()
    runs = [row.run for row in plan(read_study(file))]
    jobs = [JobRecord.read(run.job_file) for run in runs if run.job_file.is_file()]
    for job, seen in zip(jobs, LocalExecutor(Local()).look(jobs), strict=True):
        if seen.state == "running":
            os.killpg(int(job.id), signal.SIGKILL)  # a session of its own, with the processes that read its images
    begun = [run for run in runs if run.record_file.is_file()]
    done = sum(run.trained.finished for run in begun)
    return f"{done} rows were trained, {len(begun) - done} begun, {len(runs) - len(begun)} not"


def _weights(run: Run) -> object:
    return plain(load_file(chosen_checkpoint(run).weights))


if __name__ == "__main__":
    main()
