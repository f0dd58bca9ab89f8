"""Shared fixtures."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# Two test processes share the machine's cores; torch's own threads would only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of oracles and sample pairs beside the repository; tests that need it skip where it is missing."""
    folder = Path(__file__).parents[1].parent / "shared"
    if not (folder / "oracles").is_dir():
        pytest.skip("needs the folder ../shared (oracles and sample pairs), which is not here")
    return folder


@pytest.fixture
def vsbench(tmp_path: Path) -> Command:
    """Runs the command line as a user does, in a fresh folder, with settings and caches of its own.

    ``vsbench("evaluate", "--all", VSBENCH_DATA=folder)``; keywords are environment variables.
    """

    def run(*arguments: object, **environment: object) -> "subprocess.CompletedProcess[str]":
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("VSBENCH_")}
        own = {"XDG_CACHE_HOME": tmp_path / "cache", "XDG_CONFIG_HOME": tmp_path / "settings", **environment}
        return subprocess.run(
            [sys.executable, "-c", "from vsbench.cli.app import main; main()", *map(str, arguments)],
            cwd=tmp_path,
            env=inherited | {k: str(v) for k, v in own.items()},
            capture_output=True,
            text=True,
            check=False,
        )

    return run
