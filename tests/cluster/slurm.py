"""A SLURM cluster of two nodes on this machine's loopback, for as long as a command runs: SLURM.PY COMMAND…

Of Debian's packages slurm-wlm and munge, as root: the daemons, their configuration, keys, sockets and state lie in a
temporary folder, and nothing else on the machine is touched. The command finds the cluster by SLURM_CONF. The
controller is started anew whenever it ends, as a service manager would. At the end no process is left of it.
"""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

NODES = ("n1", "n2")
GPUS = 4  # of each node
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
PATIENCE_S = 60
CONF = """
ClusterName=vsbench-test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
MinJobAge=3600
ReturnToService=2
KillWait=5
OverTimeLimit=0
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0
SlurmdParameters=config_overrides
GresTypes=gpu
{nodes}
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes={names} Default=YES State=UP PreemptMode=OFF
PartitionName=cheap Nodes={names} State=UP PreemptMode=CANCEL GraceTime=60
PartitionName=urgent Nodes={names} State=UP PreemptMode=OFF PriorityTier=10
"""  # processors are declared that are not there, so that the jobs of a small machine run beside each other
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=4000 Gres=gpu:{gpus}"


def missing() -> str | None:
    """Why there can be no cluster here; None where there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "SLURM's daemons are started as root, on Linux"
    path = os.environ["PATH"] + os.pathsep + "/usr/sbin"
    if absent := [name for name in PROGRAMS if shutil.which(name, path=path) is None]:
        return f"not installed: {', '.join(absent)} (Debian's packages slurm-wlm and munge)"
    return None


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """A cluster whose files lie in ``folder``; the environment in which a command finds it.

    This process adopts what daemons leave behind, and ends it.
    """
    folder.chmod(0o755)
    (folder / "state").mkdir()
    host = socket.gethostname()
    controller, *ports = _free_ports(1 + len(NODES))
    nodes = [NODE.format(name=name, host=host, port=port, gpus=GPUS) for name, port in zip(NODES, ports, strict=True)]
    conf = folder / "slurm.conf"
    conf.write_text(
        CONF.format(folder=folder, host=host, controller=controller, nodes="\n".join(nodes), names=",".join(NODES))
    )
    for number in range(GPUS):
        os.mknod(folder / f"gpu{number}", stat.S_IFCHR | 0o666, os.makedev(1, 3))  # what /dev/null is
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-{GPUS - 1}]\n")
    key = folder / "munge.key"
    key.touch(0o400)
    key.write_bytes(secrets.token_bytes(128))
    own = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "SRUN_"))}
    environment = own | {
        "SLURM_CONF": str(conf),
        "VSBENCH_TEST_CLUSTER": str(folder),
        "PATH": own["PATH"] + os.pathsep + "/usr/sbin",
    }

    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: jobs' processes are orphans of the daemons
    with ExitStack() as stack:
        stack.callback(_end_children)

        def daemon(*command: str) -> "subprocess.Popen[bytes]":
            with (folder / f"{command[0]}.out").open("ab") as output:
                return subprocess.Popen(
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )

        daemon(
            "munged", "--foreground", "--force", "--num-threads=2", f"--key-file={key}",
            f"--socket={folder}/munge.socket", f"--pid-file={folder}/munge.pid", f"--seed-file={folder}/munge.seed",
            f"--log-file={folder}/munge.log",
        )  # fmt: skip
        _wait_for(lambda: (folder / "munge.socket").exists(), folder)
        over = threading.Event()

        def control() -> None:
            while not over.is_set():
                daemon("slurmctld", "-D").wait()
                over.wait(0.5)

        threading.Thread(target=control, daemon=True).start()
        stack.callback(over.set)
        for name in NODES:
            daemon("slurmd", "-D", "-N", name)

        def ready() -> bool:
            asked = subprocess.run(
                ["sinfo", "--noheader", "--Node", "--partition=main", "--format=%T"],
                env=environment,
                capture_output=True,
                text=True,
            )
            return asked.returncode == 0 and asked.stdout.split() == ["idle"] * len(NODES)

        _wait_for(ready, folder)
        yield environment


def _free_ports(number: int) -> list[int]:
    """Ports that are free now; all of them held until the last one is found."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait_for(condition: Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            said = [
                f"{file.name}:\n{file.read_text(errors='replace')[-2000:]}" for file in sorted(folder.glob("*.[ol]*"))
            ]
            raise TimeoutError("the cluster does not start\n" + "\n".join(said))
        time.sleep(0.1)


def _children() -> list[int]:
    """The processes below this one."""
    parents = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(file.parent.name)] = int(file.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found = [os.getpid()]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def _end_children() -> None:
    """Until there are none: a daemon that ends may have made one meanwhile, and its orphans come to this process."""
    while children := _children():
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.05)


def main(command: Sequence[str]) -> int:
    """Run a command in a cluster of its own; its exit code, or 3 where there can be none."""
    if (why := missing()) is not None:
        print(f"no cluster here: {why}", file=sys.stderr)
        return 3
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="vsbench-slurm-") as folder, cluster(Path(folder)) as environment:
        return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
