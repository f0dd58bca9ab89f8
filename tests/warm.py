"""Runs command lines in forks of a process that has the heavy libraries: seconds saved at each of hundreds.

Nothing of vsbench is imported before the fork. Standard input is a socket, on which come JSON objects. {"arguments",
"folder", "environment", "starts", "file_size"} with the file descriptors of standard output and error is a command: the
exit code goes back, or, if it is only to be started, in a session of its own, the number of the process. {"poll"} with
such a number asks for its exit code, which is null as long as it runs.
"""

import atexit
import gc
import importlib
import json
import os
import resource
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

HEAVY = (
    "lightning_fabric", "matplotlib.pyplot", "pandas", "pydantic", "rich.progress", "safetensors.torch", "scipy.stats",
    "seaborn", "skimage", "torch", "typer", "yaml",
)  # fmt: skip


def work(requests: socket.socket) -> None:
    """Until the other end is closed."""
    while True:
        message, descriptors, *_ = socket.recv_fds(requests, 1 << 20, 2)
        if not message:
            return
        request = json.loads(message)
        requests.sendall(json.dumps(answer(request, descriptors, requests)).encode())


def answer(request: dict[str, Any], descriptors: list[int], requests: socket.socket) -> int | None:
    if "poll" in request:
        ended, status = os.waitpid(request["poll"], os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if ended else None
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        requests.close()
        os._exit(run(request, descriptors))
    for descriptor in descriptors:
        os.close(descriptor)
    return child if request["starts"] else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(request: dict[str, Any], descriptors: list[int]) -> int:
    """The exit code, as ``python -c "from vsbench.cli.app import main; main()" ARGUMENTS`` would have it."""
    if request["starts"]:
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # though these tests may run under nohup
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    for descriptor, standard in zip(descriptors, (1, 2), strict=True):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    encoding = sys.stdout.encoding  # what the streams know is of other files
    sys.stdout = sys.__stdout__ = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", 1, encoding, "backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[1:1] = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.argv = ["-c", *request["arguments"]]
    if request["file_size"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_size"],) * 2)
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
        try:
            stream.flush()
        except OSError:
            code = 120  # as of an interpreter that ends
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    for name in HEAVY:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # forks share these pages
    with socket.socket(fileno=os.dup(0)) as requests:
        work(requests)
