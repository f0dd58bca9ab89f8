"""Processes that work ahead, and a wait for them that always ends.

Each sends what it made through a pipe of its own. So they take nothing of the memory that processes share as files
(/dev/shm, 64 MB in a container), which once it is full lets whoever uses it wait for ever; and it costs no more time.
(Python's ``ProcessPoolExecutor`` and ``multiprocessing.Pool`` can't begin there: the locks of their queues are
semaphores, which are files in /dev/shm too. Nor do they tell what killed a process, or notice one that sends nothing.)
"""

import pickle
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from vsbench.bounds import WORKERS
from vsbench.errors import RunError, UsageError

TICK_S = 0.25  # between looks at whether those who wait still want to
PATIENCE_S = 600.0  # without anything from a process that lives: its disk does not answer
FAREWELL_S = 2.0  # for processes to end what they are at
T = TypeVar("T")


class Ahead(Generic[T]):
    """``then(work(number))`` of each number, in order; ``work`` is done ahead of time in so many processes (0: none).

    What ``work`` raises there is raised here, as it is. ``begin`` is called in each process first. ``waiting`` is
    called four times a second while the next one is not there, and may raise. The processes start at once; ``close``
    ends them.

    Raises UsageError for more than ``WORKERS``, and RunError where a process ended on its own, or sends nothing.
    """

    def __init__(
        self,
        work: Callable[[int], Any],
        numbers: range,
        workers: int,
        *,
        begin: Callable[[], None],
        waiting: Callable[[], None],
        then: Callable[[Any], T],
    ) -> None:
        if workers > WORKERS:
            raise UsageError(f"--workers {workers}: {WORKERS} are the most; about one for each core is enough")
        self.work, self.numbers, self.waiting, self.then = work, numbers, waiting, then
        self.processes: list[Process] = []
        self.pipes: list[Connection] = []
        try:
            for place in range(min(workers, len(numbers))):
                here, there = Pipe()
                self.pipes.append(here)
                process = Process(
                    target=_work, args=(work, numbers[place::workers], begin, there, self.pipes), daemon=True
                )
                process.start()
                self.processes.append(process)
                there.close()  # it ends with the process alone
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[T]:
        try:
            for place, number in enumerate(self.numbers):
                made = self._received(place % len(self.processes)) if self.processes else self.work(number)
                yield self.then(made)
        finally:
            self.close()

    def close(self) -> None:
        """End the processes: by themselves where they can, since nobody listens any more."""
        for pipe in self.pipes:
            pipe.close()
        deadline = time.monotonic() + FAREWELL_S
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
            process.kill()
            process.join()
        self.pipes, self.processes = [], []

    def _received(self, place: int) -> Any:
        pipe, process = self.pipes[place], self.processes[place]
        since = time.monotonic()
        while not wait([pipe, process.sentinel], TICK_S):
            self.waiting()
            if time.monotonic() - since > PATIENCE_S:
                raise RunError(
                    f"no batch for {PATIENCE_S / 60:.0f} minutes, though the process that prepares it lives: does the "
                    "disk with the training images answer? The same command with --resume goes on"
                )
        try:
            made, error = pipe.recv()
        except (EOFError, OSError):  # nothing, or not all of it
            process.join()
            raise RunError(f"a process that prepares batches {_ended(process)}") from None
        if error is not None:
            raise error
        return made


def _ended(process: Process) -> str:
    code = process.exitcode or 0
    mend = "the same command with --resume goes on, with fewer --workers where memory is short"
    if code >= 0:
        return f"ended with code {code}; {mend}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed ({name}); {mend}"


def _work(
    work: Callable[[int], Any], numbers: range, begin: Callable[[], None], pipe: Connection, others: list[Connection]
) -> None:
    """What a process does. ``others``: the ends of those who listen, its own and those of processes before it."""
    for other in others:  # where they are inherited: a pipe breaks when the last who holds its end is gone
        other.close()
    begin()
    try:
        for number in numbers:
            try:
                made = work(number)
            except Exception as error:
                pipe.send((None, _portable(error)))
                return
            pipe.send((made, None))
    except ConnectionError:  # nobody listens any more
        return


def _portable(error: Exception) -> Exception:
    """The error as another process gets it: itself where that can be, with a note of where it came from."""
    error.add_note("".join(traceback.format_tb(error.__traceback__)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
