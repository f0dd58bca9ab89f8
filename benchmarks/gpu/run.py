"""Parts in processes of their own, each in its time box, and what came of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu.page import Ended, page, slug
from benchmarks.gpu.parts import PATIENCE_S, Part, read_down
from vsbench.environment import processors
from vsbench.files import write_json, write_text

ROOT = Path(__file__).parents[2]
LEAST_S = 5.0  # less is not worth beginning with
FAREWELL_S = 3.0
TAIL = 1500  # characters of what a part that failed has printed

Command = Callable[[Part, float, Path], list[str]]


def child(part: Part, seconds: float, rows: Path) -> list[str]:
    """The command of the process that runs a part."""
    return [
        sys.executable, "-m", "benchmarks.gpu", "--part", part.name, "--seconds", f"{seconds:.1f}", "--rows", str(rows),
    ]  # fmt: skip


@dataclass
class Started:
    """A part under way."""

    part: Part
    process: "subprocess.Popen[bytes]"
    rows: Path
    log: Path
    begun: float
    box: float

    def ended(self, stopped: bool) -> Ended:
        """What came of it, now that its process is gone."""
        code = self.process.wait()
        said = self.log.read_text(encoding="utf-8", errors="replace")[-TAIL:]
        how = "stopped at its time's end" if stopped else "done" if code == 0 else f"failed (exit code {code})"
        took = round(time.monotonic() - self.begun, 1)
        return Ended(self.part.name, self.part.title, how, took, read_down(self.rows), "" if how == "done" else said)


def all_parts(stages: Sequence[Sequence[Part]], folder: Path, out: Path, seconds: float, command: Command) -> int:
    """Stage by stage within ``seconds``, the results in ``out`` after each part; 0 where all went well, else 1."""
    order = [part.name for stage in stages for part in stage]
    begun, done = time.monotonic(), list[Ended]()
    for stage in filter(None, stages):
        for ended in at_once(stage, folder, seconds - (time.monotonic() - begun), command):
            done = sorted([*done, ended], key=lambda each: order.index(each.name))
            name = slug(done)
            write_json(out / f"{name}.json", {"parts": [each.as_json for each in done]})
            write_text(out / f"{name}.md", page(done))
            print(f"{ended.name}: {ended.how}, {ended.seconds:.0f} s, {len(ended.rows)} rows", flush=True)
    print(out / f"{slug(done)}.md")
    return 0 if all(ended.well for ended in done) else 1


def at_once(stage: Sequence[Part], folder: Path, left: float, command: Command) -> Iterator[Ended]:
    """The parts of a stage as they end, each by itself or when its time is up."""
    if left < LEAST_S:
        yield from (Ended(part.name, part.title, "not begun: no time was left", 0.0, [], "") for part in stage)
        return
    threads = max(1, processors() // len(stage))
    running = [begin(part, folder, min(part.seconds, left), command, threads) for part in stage]
    try:
        while running:
            for each in list(running):
                over = time.monotonic() - each.begun > each.box
                if over:
                    stop(each.process)
                if over or each.process.poll() is not None:
                    running.remove(each)
                    yield each.ended(over)
            time.sleep(PATIENCE_S)
    finally:  # whoever is interrupted leaves nobody on the GPU
        for each in running:
            stop(each.process)


def begin(part: Part, folder: Path, seconds: float, command: Command, threads: int) -> Started:
    """Start a part's process, which plans with a little less than it has."""
    rows, log = folder / f"{part.name}.jsonl", folder / f"{part.name}.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            command(part, seconds - FAREWELL_S, rows), cwd=ROOT, stdout=said, stderr=subprocess.STDOUT,
            start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": f"{threads}"},
        )  # fmt: skip
    return Started(part, process, rows, log, time.monotonic(), seconds)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End it, and all that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None or number == signal.SIGKILL:
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                return
        try:
            process.wait(FAREWELL_S)
        except subprocess.TimeoutExpired:
            continue
