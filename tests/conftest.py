"""Shared fixtures."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

# Two test processes share the machine's cores; torch's own threads would only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

# variables that are read when a command needs them, and not when the interpreter or a library starts
LATER = ("COLUMNS", "PYTHONPATH", "TORCH_HOME", "VSBENCH_", "XDG_")
BLOCK = 4  # pixels of one colour along each side, in random images
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of oracles and sample pairs beside the repository; tests that need it skip where it is missing."""
    folder = Path(__file__).parents[1].parent / "shared"
    if not (folder / "oracles").is_dir():
        pytest.skip("needs the folder ../shared (oracles and sample pairs), which is not here")
    return folder


@pytest.fixture(scope="session")
def draw_pairs() -> Callable[..., Path]:
    """``draw_pairs(folder, (40, 36), train="ab", test=["c"])``: pairs of such names for the data set ``folder``.

    Random colours in blocks, from ``least`` to 255, of height and width that ``BLOCK`` divides; returns the folder.
    """
    import numpy as np
    from PIL import Image

    def draw(folder: Path, size: tuple[int, int], least: int = 60, **names: Sequence[str]) -> Path:
        rng, (height, width) = np.random.default_rng(0), size
        for side in ("he", "ihc"):
            for split, own in names.items():
                (folder / side / split).mkdir(parents=True)
                for name in own:
                    blocks = rng.integers(least, 256, (height // BLOCK, width // BLOCK, 3), dtype=np.uint8)
                    pixels = blocks.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
                    Image.fromarray(pixels).save(folder / side / split / f"{name}.png")
        return folder

    return draw


def in_an_interpreter(
    arguments: list[str], folder: Path, environment: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    """A command line in an interpreter of its own."""
    command = [sys.executable, "-c", "from vsbench.cli.app import main; main()", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


class Started:
    """A command line in a process, and a session, of its own; like ``subprocess.Popen``."""

    def __init__(self, warm: "Warm", pid: int) -> None:
        self.warm, self.pid = warm, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        if self.returncode is None:
            self.returncode = self.warm.ask({"poll": self.pid})
        return self.returncode

    def wait(self, patience_s: float = 120) -> int:
        """The exit code when it has ended. TimeoutError where it takes longer."""
        deadline = time.monotonic() + patience_s
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {self.pid} runs on after {patience_s} s")
            time.sleep(0.005)
        return code

    def kill(self) -> None:
        """With a signal that it does not see."""
        os.kill(self.pid, signal.SIGKILL)


class Warm:
    """Command lines in forks of a process that has the heavy libraries (``warm.py``), which a first call starts."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> int | None:
        """What ``warm.py`` answers."""
        if self.process is None:
            self.end, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with other:
                self.process = subprocess.Popen([sys.executable, Path(__file__).with_name("warm.py")], stdin=other)
        socket.send_fds(self.end, [json.dumps(request).encode()], descriptors)
        found: int | None = json.loads(self.end.recv(100))
        return found

    def run(
        self, arguments: list[str], folder: Path, environment: dict[str, str]
    ) -> "subprocess.CompletedProcess[str]":
        """As ``subprocess.run`` with ``capture_output=True, text=True``."""
        if not hasattr(os, "fork"):
            return in_an_interpreter(arguments, folder, environment)
        request = {"arguments": arguments, "folder": str(folder), "environment": environment}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            code = self.ask(request | {"starts": False, "file_size": None}, [out.fileno(), err.fileno()])
            assert code is not None
            for file in (out, err):
                file.seek(0)
            return subprocess.CompletedProcess(arguments, code, *(file.read().decode() for file in (out, err)))

    def start(self, arguments: list[str], out: int, err: int, file_size: int | None = None) -> Started:
        """A command that runs here, with this environment. ``out``, ``err``: descriptors; ``file_size``: the most bytes
        of a file that it may write.
        """
        request = {"arguments": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ)}
        pid = self.ask(request | {"starts": True, "file_size": file_size}, [out, err])
        assert pid is not None
        return Started(self, pid)

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
        warmed = all(name.startswith(LATER) for name in environment)
        return (warm.run if warmed else in_an_interpreter)(words, tmp_path, whole)

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
