"""Kills at random moments: training, evaluation and report are killed and go on, and lose nothing.

    OMP_NUM_THREADS=1 python -m benchmarks.kills [--kills 20] [--seed 0]

Two trainings on the phantom, their evaluation and the report, twice: once undisturbed, once with kills (SIGKILL, which
no program hears), each followed by the same command again. A moment is drawn among the changes of files that the
undisturbed command made, and a little later. At the end every file of the undisturbed results must be there and be the
same: weights and optimizers bit for bit, tables and figures byte by byte, logs and records but for times and speeds. A
few files hold times in between, and are only looked for. Exit code 1 where anything differs or a temporary file stays.
Minutes on one core.
"""

import argparse
import csv
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.measuring import machine
from vsbench.files import TEMPORARY

METHODS = ("pix2pix", "cut")
DATA = ("size=64", "slides_train=2", "slides_test=3", "tiles_per_slide=2")
SETTINGS = ("steps=16", "crop_size=32", "load_size=0", "batch_size=1", "width=4", "discriminator_layers=1")
OFTEN = ("--checkpoint-every", "1", "--log-every", "3", "--sheet-every", "8", "--keep", "3", "--workers", "1")
OF_THE_CLOCK = {"wall_time_s", "seconds", "images", "images_per_s", "memory_mb", "translated_images_per_s"}
OF_THE_FILE = {"weights", "weights_digest"}  # of weights files, whose head has its entries in any order
ONLY_THERE = ("digests.json", ".lock", "index.html", "main.tex", "provenance.csv", "cost-*", "*.state.pt.sha256")
TICK_S = 0.005


@dataclass
class Part:
    """A command that is killed so many times. ``folders``: what is removed where it ended before its kill came."""

    name: str
    arguments: list[str]
    kills: int
    folders: list[str] = field(default_factory=list)
    changes: int = 0  # of files, in an undisturbed run
    working_s: float = 0.0  # from its first written file to its end


def main() -> None:
    """Print a line for each kill, and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        whole, killed = root / "whole", root / "killed"
        todo = parts(root / "data", arguments.kills)
        for part in todo:
            finish(part, whole)
            print(f"{part.name}: undisturbed, {part.changes} changes of files in {part.working_s:.1f} s", flush=True)
        count = 0
        for part in todo:
            for _ in range(part.kills):
                count += 1
                kill(part, killed, rng, f"kill {count:2d} of {arguments.kills}")
            finish(part, killed)
            print(f"{part.name}: goes on to its end", flush=True)
        faults = [*differences(whole, killed), *leftovers(killed)]
    for fault in faults:
        print(f"FAULT {fault}")
    print(f"{count} kills, {len(faults)} faults: {'something was lost' if faults else 'nothing was lost'}")
    sys.exit(1 if faults else 0)


def parts(data: Path, kills: int) -> list[Part]:
    """The commands, and how often each is killed: trainings twice of five, evaluation and report the rest in halves."""
    where = ["--dataset", "phantom", "--stain", "ki67", "--data-root", str(data), "--preset", "cpu", "--device", "cpu"]
    options = [*repeated("--data", DATA), *repeated("--set", SETTINGS), *OFTEN, "--resume"]
    shares = [kills // 5 + kills % 5, kills // 5, 3 * kills // 10, kills - kills // 5 * 2 - kills % 5 - 3 * kills // 10]
    trainings = [
        Part(f"train {method}", ["train", method, *where, *options], share, [f"runs/*/{method}+cpu"])
        for method, share in zip(METHODS, shares, strict=False)
    ]
    evaluation = Part("evaluate", ["evaluate", "--all", "--device", "cpu"], shares[2],
                      ["runs/*/*/*/images", "runs/*/*/*/evaluation"])  # fmt: skip
    return [*trainings, evaluation, Part("report", ["report", "--latex"], shares[3])]


def repeated(option: str, values: tuple[str, ...]) -> list[str]:
    """The option before each value."""
    return [word for value in values for word in (option, value)]


def begin(part: Part, folder: Path) -> "subprocess.Popen[bytes]":
    """Start the command in ``folder``; what it says is kept beside."""
    folder.mkdir(exist_ok=True)
    program = [sys.executable, "-c", "from vsbench.cli.app import main; main()"]
    with folder.with_suffix(".txt").open("ab") as said:
        return subprocess.Popen([*program, *part.arguments], cwd=folder, stdout=said, stderr=said)


def finish(part: Part, folder: Path) -> None:
    """Run the command to its end, and note how much it wrote, and in what time."""
    process, progress = begin(part, folder), Progress(folder)
    while process.poll() is None:
        progress.look()
    if process.returncode != 0:
        sys.exit(f"{part.name} failed:\n{folder.with_suffix('.txt').read_text()}")
    part.changes, part.working_s = progress.changes, time.monotonic() - progress.begun


def kill(part: Part, folder: Path, rng: random.Random, title: str) -> None:
    """Kill the command at a random moment of its work; where it ended before that, it begins anew."""
    share = part.kills if part.name.startswith("train") else 1  # what was trained is not trained again
    while True:
        process, progress = begin(part, folder), Progress(folder)
        after = rng.randrange(max(1, part.changes // share))
        while process.poll() is None and progress.changes <= after:
            progress.look()
        time.sleep(rng.uniform(0, part.working_s / part.changes))
        process.kill()
        if process.wait() == -signal.SIGKILL:
            break
        if process.returncode != 0:
            sys.exit(f"{part.name} failed:\n{folder.with_suffix('.txt').read_text()}")
        for pattern in part.folders:
            for done in (folder / "results").glob(pattern):
                shutil.rmtree(done)
    half = sum(1 for _ in leftovers(folder))
    print(
        f"{title}: {part.name}, after change {after + 1} of {part.changes}: {state(folder)}, {half} half-written",
        flush=True,
    )


class Progress:
    """How many changes of files a command has made in its results."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen = folder, stamps(folder)
        self.changes, self.begun = 0, time.monotonic()

    def look(self) -> None:
        """Count once more, after a moment."""
        time.sleep(TICK_S)
        now = stamps(self.folder)
        if now != self.seen and self.changes == 0:
            self.begun = time.monotonic()
        self.changes += sum(now.get(path) != self.seen.get(path) for path in now.keys() | self.seen.keys())
        self.seen = now


def stamps(folder: Path) -> dict[Path, int]:
    """Of all files, when each was changed."""
    found = {}
    for path in (folder / "results").rglob("*"):
        try:
            found[path] = path.stat().st_mtime_ns
        except FileNotFoundError:  # a temporary one
            continue
    return found


def state(folder: Path) -> str:
    """How far all is."""
    steps = [max((int(file.stem[5:]) for file in run.glob("step-*.safetensors")), default=0)
             for run in sorted((folder / "results").glob("runs/*/*/seed-0/checkpoints"))]  # fmt: skip
    rows = sum(1 for _ in (folder / "results").glob("runs/*/*/*/evaluation/native/summary.json"))
    pages = sum(1 for file in (folder / "results/report").rglob("*") if file.is_file())
    return f"checkpoints of steps {steps}, {rows} rows evaluated, {pages} files of the report"


def leftovers(folder: Path) -> Iterator[str]:
    """Temporary files."""
    for file in (folder / "results").rglob(".*"):
        if TEMPORARY.fullmatch(file.name):
            yield f"{file.relative_to(folder)}: half-written, and stays"


def differences(whole: Path, killed: Path) -> Iterator[str]:
    """In what the results are not those of the undisturbed commands."""
    expected, found = ({file.relative_to(folder) for file in folder.rglob("*") if file.is_file()} for folder in
                       (whole / "results", killed / "results"))  # fmt: skip
    for name in sorted(expected ^ found):
        if not TEMPORARY.fullmatch(name.name):
            yield f"{name}: {'lost' if name in expected else 'not there undisturbed'}"
    compared = [name for name in sorted(expected & found) if not any(name.match(pattern) for pattern in ONLY_THERE)]
    for name in compared:
        if content(whole / "results" / name) != content(killed / "results" / name):
            yield f"{name}: differs"
    print(f"{len(compared)} files compared, {len(expected & found) - len(compared)} that hold times looked for")


def content(file: Path) -> Any:
    """What a file holds, but for times and speeds."""
    if file.suffix == ".safetensors":
        return plain(load_file(file))
    if file.suffix == ".pt":
        state = torch.load(file, weights_only=True)
        return plain({key: value for key, value in state.items() if key != "engine"} | {"own": state["engine"]["own"]})
    if file.suffix == ".json":
        return without_clock(json.loads(file.read_text(encoding="utf-8")))
    if file.name == "log.csv":
        with file.open(encoding="utf-8", newline="") as table:
            return [without_clock(row) for row in csv.DictReader(table)]
    return file.read_bytes()


def plain(value: Any) -> Any:
    """Bytes in place of tensors, so that == compares bit for bit."""
    if isinstance(value, torch.Tensor):
        return (
            str(value.dtype),
            tuple(value.shape),
            value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(),
        )
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def without_clock(value: Any) -> Any:
    """JSON without what is of the clock and of the machine's moment."""
    if isinstance(value, dict):
        left_out = OF_THE_CLOCK | OF_THE_FILE
        return {key: without_clock(item) for key, item in value.items() if key not in left_out}
    return [without_clock(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
