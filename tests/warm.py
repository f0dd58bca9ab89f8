"""Runs command lines in forks of a process that has imported the heavy libraries: seconds saved at each of hundreds.

Nothing of vsbench is imported before the fork. Standard input is a socket, on which come a JSON object {"arguments",
"folder", "environment"} with the file descriptors of standard output and error; the exit code goes back.
"""

import atexit
import gc
import importlib
import json
import os
import socket
import sys
import traceback
from pathlib import Path

HEAVY = (
    "lightning_fabric", "matplotlib.pyplot", "pandas", "pydantic", "rich.progress", "safetensors.torch", "scipy.stats",
    "seaborn", "skimage", "torch", "typer", "yaml",
)  # fmt: skip


def work(requests: socket.socket) -> None:
    """Until the other end is closed."""
    while True:
        request, descriptors, *_ = socket.recv_fds(requests, 1 << 20, 2)
        if not request:
            return
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            requests.close()
            os._exit(run(json.loads(request), descriptors))
        for descriptor in descriptors:
            os.close(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        requests.sendall(f"{code}\n".encode())


def run(request: dict[str, object], descriptors: list[int]) -> int:
    """The exit code, as ``python -c "from vsbench.cli.app import main; main()" ARGUMENTS`` would have it."""
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    for descriptor, standard in zip(descriptors, (1, 2), strict=True):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    os.chdir(str(request["folder"]))
    os.environ.clear()
    os.environ.update(request["environment"])  # type: ignore[call-overload]
    sys.argv = ["-c", *request["arguments"]]  # type: ignore[misc]
    code: object = 0
    try:
        from vsbench.cli.app import main

        main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    for name in HEAVY:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # forks share these pages
    with socket.socket(fileno=os.dup(0)) as requests:
        work(requests)
