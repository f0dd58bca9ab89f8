"""What a command sets before torch starts, and that it is the speed alone."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from vsbench import environment
from vsbench.cli.options import make_fabric

Command = Callable[..., "subprocess.CompletedProcess[str]"]
USERS = {"GOMP_SPINCOUNT": "2000", "KMP_BLOCKTIME": "2", "MALLOC_TRIM_THRESHOLD_": "131072"}
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="libgomp and glibc are Linux's")


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process whose user has set nothing, and in which torch is not imported."""
    before = dict(os.environ)
    for name in os.environ:
        if name.startswith(("OMP_", "GOMP_", "KMP_", "MALLOC_", "GLIBC_")):
            monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(environment, "chosen", {})
    monkeypatch.setattr(environment, "_keep_memory", dict)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``cgroup("0::/a/b", {"a/cpu.max": "150000 100000"})``: where the process is, and the system's files."""
    monkeypatch.setattr(environment, "OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(environment, "CGROUPS", tmp_path / "top")
    monkeypatch.setattr(environment, "_affinity", lambda: 8)

    def make(own: str, files: dict[str, str]) -> None:
        (tmp_path / "own").write_text(own + "\n")
        for name, text in files.items():
            file = tmp_path / "top" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")

    return make


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/", {}, 8),
        ("0::/", {"cpu.max": "max 100000"}, 8),
        ("0::/", {"cpu.max": "300000 100000"}, 3),
        ("0::/a/b", {"a/cpu.max": "250000 100000", "a/b/cpu.max": "max 100000"}, 2),  # of the group above
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/", {"cpu.max": "9900000 100000"}, 8),
        ("4:cpu,cpuacct:/a", {"cpu/a/cpu.cfs_quota_us": "400000", "cpu/a/cpu.cfs_period_us": "100000"}, 4),
        ("4:cpu:/host/only", {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        ("4:cpuset:/\n1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
    ],
)
def test_processors_are_those_of_affinity_and_quota(
    cgroup: Callable[..., None], own: str, files: dict[str, str], expected: int
) -> None:
    cgroup(own, files)
    assert environment.processors() == expected


@pytest.mark.usefixtures("fresh")
def test_threads_follow_the_quota_alone(cgroup: Callable[..., None]) -> None:
    cgroup("0::/", {})
    environment.settle()
    assert "OMP_NUM_THREADS" not in os.environ, "OpenMP sees the affinity itself"
    cgroup("0::/", {"cpu.max": "300000 100000"})
    environment.settle()
    assert os.environ["OMP_NUM_THREADS"] == environment.chosen["OMP_NUM_THREADS"] == "3"


@pytest.mark.usefixtures("fresh")
def test_processes_share_what_was_set_and_leave_what_the_user_said(
    cgroup: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", torch)
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    environment.share_threads(2)
    assert (asked, environment.chosen) == ([], {})
    cgroup("0::/", {"cpu.max": "500000 100000"})
    monkeypatch.delitem(sys.modules, "torch")
    environment.settle()
    monkeypatch.setitem(sys.modules, "torch", torch)
    environment.share_threads(2)
    assert (os.environ["OMP_NUM_THREADS"], asked) == ("2", [2])


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("name", environment.WAITING)
def test_how_threads_wait_is_the_users(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "PASSIVE")
    environment.settle()
    assert {key: os.environ.get(key) for key in environment.WAITING} == {
        key: "PASSIVE" if key == name else None for key in environment.WAITING
    }
    assert environment.chosen == {}


@pytest.mark.usefixtures("fresh")
def test_nothing_is_claimed_where_torch_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", torch)
    environment.settle()
    assert environment.chosen == {}


@LINUX
def test_it_is_set_before_torch_reads_it(vsbench: Command) -> None:
    done = vsbench("doctor", OMP_DISPLAY_ENV="verbose", COLUMNS=400)
    assert "GOMP_SPINCOUNT = '10000'" in done.stderr, "what torch's OpenMP says it goes by"
    assert "GOMP_SPINCOUNT=10000" in done.stdout
    assert "M_TRIM_THRESHOLD" in done.stdout
    left = vsbench("doctor", OMP_DISPLAY_ENV="verbose", COLUMNS=400, **USERS)
    assert "GOMP_SPINCOUNT = '2000'" in left.stderr
    assert "vsbench has set nothing" in left.stdout


@LINUX
def test_weights_are_the_same_bit_for_bit_and_the_record_says_what_was_set(vsbench: Command, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for side in ("he", "ihc"):
        for split in ("train", "test"):
            (tmp_path / side / split).mkdir(parents=True)
            for name in "abcd":
                pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / side / split / f"{name}.png")
    found: dict[str, tuple[dict[str, torch.Tensor], dict[str, Any]]] = {}
    for results, users in (("ours", {}), ("theirs", USERS)):
        done = vsbench(
            "train", "cut", "--dataset", "folder", "--stain", "er", "--data-root", tmp_path, "--preset", "cpu",
            "--device", "cpu", "--workers", "0", "--set", "steps=2", "--set", "crop_size=32", "--set", "width=4",
            "--results", results, OMP_NUM_THREADS=2, **users,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        folder = tmp_path / results / "runs/folder-er/cut+cpu/seed-0"
        (file,) = folder.glob("checkpoints/*.safetensors")
        found[results] = load_file(file), json.loads((folder / "run.json").read_text())["environment"]
    weights = found["theirs"][0]
    assert weights
    assert all(torch.equal(tensor, weights[name]) for name, tensor in found["ours"][0].items())
    assert found["theirs"][1]["chosen"] == {}
    assert found["ours"][1] == {
        "processors": environment.processors(), "threads": 2,
        "chosen": {
            **environment.SPINS, **{name: str(value) for name, (_, value) in environment.MALLOC.items()}
        },
    }  # fmt: skip


def test_slurms_commands_alone_are_no_reason_for_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fabric warns wherever it finds ``srun``; a warning is an error here."""
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    make_fabric("cpu", 1, "32-true")
