"""Shared fixtures."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
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


class Warm:
    """Command lines in forks of a process that has the heavy libraries (``warm.py``), which a first call starts."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def run(
        self, arguments: list[str], folder: Path, environment: dict[str, str]
    ) -> "subprocess.CompletedProcess[str]":
        """As ``subprocess.run`` with ``capture_output=True, text=True``."""
        if self.process is None:
            self.end, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with other:
                self.process = subprocess.Popen([sys.executable, Path(__file__).with_name("warm.py")], stdin=other)
        request = {"arguments": arguments, "folder": str(folder), "environment": environment}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            socket.send_fds(self.end, [json.dumps(request).encode()], [out.fileno(), err.fileno()])
            code = int(self.end.recv(100))
            for file in (out, err):
                file.seek(0)
            return subprocess.CompletedProcess(arguments, code, *(file.read().decode() for file in (out, err)))

    def close(self) -> None:
        """The process ends, too."""
        if self.process is not None:
            self.end.close()
            self.process.wait()


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """One for each process of pytest."""
    warm = Warm()
    yield warm
    warm.close()


@pytest.fixture
def vsbench(tmp_path: Path, warm: Warm) -> Command:
    """Runs the command line as a user does, in a fresh folder, with settings and caches of its own.

    ``vsbench("evaluate", "--all", VSBENCH_DATA=folder)``; keywords are environment variables.
    """

    def run(*arguments: object, **environment: object) -> "subprocess.CompletedProcess[str]":
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("VSBENCH_")}
        own = {"XDG_CACHE_HOME": tmp_path / "cache", "XDG_CONFIG_HOME": tmp_path / "settings", **environment}
        words, whole = [*map(str, arguments)], inherited | {k: str(v) for k, v in own.items()}
        if hasattr(os, "fork") and all(name.startswith(("VSBENCH_", "XDG_")) for name in environment):
            return warm.run(words, tmp_path, whole)
        return subprocess.run(  # an interpreter, or a library, may read what was given when it starts
            [sys.executable, "-c", "from vsbench.cli.app import main; main()", *words],
            cwd=tmp_path,
            env=whole,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder where weights and encoders go; no others are to be found."""
    folder = tmp_path / "store"
    folder.mkdir()
    monkeypatch.setenv("VSBENCH_WEIGHTS", str(folder))
    for variable in ("XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "nothing"))
    return folder
