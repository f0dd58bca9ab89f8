"""Who started a process is asked in one place, and said in our words where it does not fit what was asked for."""

import os
from pathlib import Path

import pytest
from lightning_fabric.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment

from vsbench.cli.options import make_fabric
from vsbench.engine.estimate import estimate
from vsbench.engine.launched import launched
from vsbench.engine.request import Request
from vsbench.engine.trainer import Rhythm
from vsbench.errors import UsageError

STEP = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2",
        "SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_NODEID": "0"}  # fmt: skip
TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}
SHELL = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "mine", "SLURM_NTASKS": "4", "SLURM_NNODES": "2"}  # salloc's, sbatch's


@pytest.fixture(autouse=True)
def srun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SLURM's commands are there, of which Fabric tells with a hint that is an error here."""
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    command = tmp_path / "srun"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)


@pytest.mark.parametrize(
    ("variables", "asked", "environment"),
    [
        ({}, (1, 1), LightningEnvironment),
        ({}, (2, 1), LightningEnvironment),
        (SHELL, (1, 1), LightningEnvironment),
        (SHELL, (2, 1), LightningEnvironment),
        (STEP, (2, 2), SLURMEnvironment),
        (STEP | {"SLURM_JOB_NAME": "interactive"}, (2, 2), SLURMEnvironment),
        (STEP | TORCHRUN, (2, 2), TorchElasticEnvironment),
    ],
)
@pytest.mark.filterwarnings("ignore:The `srun` command is available")
def test_who_started_it(
    variables: dict[str, str], asked: tuple[int, int], environment: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell in a job is nobody's process, whatever the job has asked for; in a step of an interactive one it is."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = launched(*asked)
    assert type(found) is environment
    assert found.creates_processes_externally == (environment is not LightningEnvironment)


@pytest.mark.parametrize("variables", [STEP, TORCHRUN])
@pytest.mark.parametrize("asked", [(1, 1), (4, 1), (1, 4)])
def test_another_number_of_processes_is_an_error_in_our_words(
    variables: dict[str, str], asked: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        UsageError, match=r"--devices . --nodes .: \w+ has started 4 processes on 2 machines; make both"
    ):
        make_fabric("cpu", asked[0], "32", asked[1])


def test_no_hint_of_srun_wherever_a_fabric_is_made(data_root: Path, tmp_path: Path) -> None:
    """An estimate makes one of its own. A warning is an error here."""
    options = {"steps": 2, "crop_size": 32, "width": 4, "downs": 3, "discriminator_layers": 1}
    request = Request("pix2pix", "folder", "er", "cpu", options, data_root=data_root, results=tmp_path)
    assert estimate(request, make_fabric("cpu", 1, "32"), Rhythm())["steps"] == 2
