"""Signals while training: the running step is finished, and a checkpoint written, before it stops."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import FrameType, TracebackType
from typing import Any, Protocol, TypeVar

import torch
from lightning_fabric import Fabric
from torch import distributed

HANGUP = getattr(signal, "SIGHUP", None)  # None on Windows
# Ctrl-C; a scheduler that wants the machine back; a terminal or a connection that was closed
SIGNALS = (signal.SIGINT, signal.SIGTERM, *filter(None, [HANGUP]))


class Closable(Protocol):
    """What has an end."""

    def close(self) -> None:
        """End it."""


T = TypeVar("T", bound=Closable)


class Interrupted(KeyboardInterrupt):  # what goes on after an error must not go on after this
    """A training stopped on request, with its checkpoint written."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + number  # as shells count


class Interrupt:
    """Notes a request to stop while entered; the second one acts as it did before, for those who cannot wait.

    Handlers can be set in the main thread only: in another one nothing is noted. A closed terminal is not heard where
    the program was started not to hear it (nohup).
    """

    def __init__(self) -> None:
        self.number = 0  # of the signal that came
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            heard = [n for n in SIGNALS if n != HANGUP or signal.getsignal(n) != signal.SIG_IGN]
            self.before = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def agreed(self, fabric: Fabric) -> int:
        """The signal that came to any of the processes, 0 for none: the same answer in all of them.

        One message of four bytes, for all must stop after the same step.
        """
        if fabric.world_size == 1:
            return self.number
        number = torch.tensor(self.number, dtype=torch.int32, device=fabric.device)
        distributed.all_reduce(number, distributed.ReduceOp.MAX)
        return int(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}


@contextmanager
def sheltered(make: Callable[[], T]) -> Iterator[T]:
    """What ``make`` gives, the processes it starts not getting these signals; here they come a little later.

    For the processes that prepare batches: Ctrl-C and schedulers signal all processes of a job, and the step before the
    checkpoint needs them alive. They end when it is closed, at the end of this, or with this process.
    """
    block = getattr(signal, "pthread_sigmask", None)  # None on Windows
    before = block(signal.SIG_BLOCK, SIGNALS) if block else ()
    try:
        made = make()
    finally:
        if block:
            block(signal.SIG_SETMASK, before)
    with closing(made):
        yield made
