"""How a command uses processors and memory: set before torch is imported, which is when its libraries ask.

What the user has set stays. No number of a result follows from it, but for the threads, which sum in another order.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

# A thread that waits for its next piece of work keeps its core busy meanwhile: in libgomp (torch on Linux) for many
# milliseconds, in Intel's and LLVM's OpenMP for 200. Beside other work that takes most of the time. This is short
# enough there, and long enough for the next piece to come where nothing else runs.
SPINS = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"}  # turns, and ms
WAITING = (*SPINS, "OMP_WAIT_POLICY")
THREADS = "OMP_NUM_THREADS"
# glibc gives memory back after each use, and is given it page by page at the next
MALLOC = {"M_MMAP_THRESHOLD": (-3, 32 << 20), "M_TRIM_THRESHOLD": (-1, (1 << 31) - 1)}  # bytes, the most it takes
OWN_CGROUP, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")

chosen: dict[str, str] = {}  # what was set here, by name


def settle() -> None:
    """Set what the user has not; for the beginning of a program that has not imported torch yet."""
    own: dict[str, str] = {}
    if "torch" not in sys.modules:
        if not any(name in os.environ for name in WAITING):
            own |= SPINS
        if THREADS not in os.environ and (allowed := processors()) < _affinity():  # which OpenMP sees itself
            own[THREADS] = str(allowed)
    os.environ.update(own)
    chosen.update(own | _keep_memory())


def share_threads(processes: int) -> None:
    """Have this process and those that it is about to start beside it share the threads, where they were set here.

    Where nothing was set, Lightning Fabric divides the affinity's.
    """
    if THREADS in chosen:
        import torch

        threads = max(1, int(chosen[THREADS]) // processes)
        os.environ[THREADS] = chosen[THREADS] = str(threads)
        torch.set_num_threads(threads)


def processors() -> int:
    """How many processors this process may use at once: those of its affinity, and of its cgroup's quota."""
    return max(1, int(min([_affinity(), *_quotas()])))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas() -> Iterator[float]:
    """Processors that the process's cgroup and those above it may use, where they are bounded (Linux)."""
    for line in _words(OWN_CGROUP, "\n"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            top = CGROUPS
        elif "cpu" in controllers.split(","):
            top = CGROUPS / "cpu"
        else:
            continue
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(top):
                used = _words(folder / "cpu.max") or [
                    *_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us"),
                ]  # fmt: skip
                if len(used) == 2 and used[0] not in ("max", "-1"):
                    yield int(used[0]) / int(used[1])


def _words(file: Path, separator: str | None = None) -> list[str]:
    """What a file of the system says; nothing where it is not there."""
    try:
        return file.read_text(encoding="utf-8").strip().split(separator)
    except OSError:
        return []


def _keep_memory() -> dict[str, str]:
    """Have glibc's malloc keep what is freed; what was set, nothing elsewhere or where the user has set something."""
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return {}
    try:
        if not (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc"):
            return {}
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, ValueError, OSError):  # Windows, macOS, musl
        return {}
    return {name: str(value) for name, (option, value) in MALLOC.items() if mallopt(option, value)}
