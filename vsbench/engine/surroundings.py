"""In what surroundings something ran: device, versions, source."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from vsbench import __version__
from vsbench.environment import chosen, processors
from vsbench.records.run import Environment

PACKAGES = ("torch", "torchvision", "lightning-fabric", "numpy", "pillow", "scikit-image", "scipy")


def device_name(device: torch.device) -> str:
    """The GPU's name, or the kind of processor and how many threads of it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {platform.machine()}, {torch.get_num_threads()} threads"


def environment() -> Environment:
    """What this process has of the processors, and what was set for it."""
    return Environment(processors=processors(), threads=torch.get_num_threads(), chosen=dict(chosen))


def peak_memory(device: torch.device) -> int | None:
    """Bytes that tensors took at most on a GPU since ``forget_peak_memory``; None elsewhere.

    A CPU process only knows its peak since it was born, with all that ran in it before: nothing to put on a run.
    """
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def forget_peak_memory(device: torch.device) -> None:
    """Begin anew: a process may train several runs, each with a peak of its own."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on, where installed."""
    found = {"vsbench": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The commit of the source tree vsbench runs from, with '+' where files differ from it; None outside one."""
    source = Path(__file__).resolve().parents[2]
    if not (source / ".git").exists():
        return None
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=source, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"], cwd=source, capture_output=True, text=True,
            check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changed else "")
