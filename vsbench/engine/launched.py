"""Who started this process: torchrun, SLURM's srun, or nobody, so that Fabric starts the others itself.

Fabric would look for itself, and take a shell in a job, or SLURM's commands alone, for processes of srun.
"""

import os

from lightning_fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from vsbench.errors import UsageError


def launched(devices: int, nodes: int) -> ClusterEnvironment:
    """What Fabric has to know of who starts ``devices`` processes on each of ``nodes`` machines.

    Raises UsageError where another number of processes was started.
    """
    if TorchElasticEnvironment.detect():
        started = int(os.environ["WORLD_SIZE"])
        _require_as_many("torchrun", started, started // int(os.environ["LOCAL_WORLD_SIZE"]), devices, nodes)
        return TorchElasticEnvironment()
    tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", 1))
    if tasks == 1:  # a shell or script in a job, or srun to be in it
        return LightningEnvironment()
    _require_as_many("srun", tasks, int(os.environ.get("SLURM_STEP_NUM_NODES", 1)), devices, nodes)
    os.environ["SLURM_NTASKS_PER_NODE"] = str(devices)  # which srun sets only where it was asked so
    return SLURMEnvironment()


def _require_as_many(who: str, started: int, machines: int, devices: int, nodes: int) -> None:
    if (started, machines) != (devices * nodes, nodes):
        raise UsageError(
            f"--devices {devices} --nodes {nodes}: {who} has started {started} processes on {machines} machines; "
            f"make both the same"
        )
