"""Ratios measured in one run: rounds in which every variant has its turn, and peak memory in processes of their own."""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Timed:
    """Seconds of a variant, round by round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.seconds)

    def ratio(self, baseline: "Timed") -> float:
        """Median over the rounds of baseline / self, each of one round: how many times as fast as the baseline."""
        return statistics.median(b / s for b, s in zip(baseline.seconds, self.seconds, strict=True))


def time_rounds(
    variants: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Timed]:
    """Each variant once to warm up, then once in every round, so that what disturbs the machine disturbs them all.

    ``clock``: ``time.process_time`` counts the processor time of all threads, whatever else the machine does.
    """
    for run in variants.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            begun = clock()
            run()
            seconds[name].append(clock() - begun)
    return {name: Timed(tuple(values)) for name, values in seconds.items()}


def peak_of(module: str, *arguments: str) -> int:
    """Bytes that ``module`` prints as its last line, run in a process of its own.

    Its allocator gives memory back at once, so that the resident size is what is in use.
    """
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=True, env=environment
    )
    return int(done.stdout.split()[-1])


def peak_above_now(run: Callable[[], object]) -> int:
    """Bytes by which the resident memory of this process rises above its present size while ``run`` works (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def machine() -> str:
    """The machine in a line."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{model}, {torch.get_num_threads()} threads, {memory:.0f} GiB; Python {platform.python_version()}, "
        f"torch {torch.__version__}"
    )


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))
