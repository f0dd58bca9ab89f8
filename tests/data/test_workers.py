"""Processes that work ahead: order, errors, and a wait that always ends."""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from vsbench.bounds import WORKERS
from vsbench.data import workers as room
from vsbench.data.workers import Ahead
from vsbench.errors import DataError, RunError, UsageError


class StoppedError(Exception):
    """Stands for a signal that came while waiting."""


def nothing() -> None:
    pass


def ahead(
    work: Callable[[int], Any], numbers: range, workers: int, waiting: Callable[[], None] = nothing
) -> Ahead[Any]:
    return Ahead(work, numbers, workers, begin=nothing, waiting=waiting, then=lambda made: made)


def square(number: int) -> int:
    return number**2


def bad(kind: type[Exception], number: int) -> int:
    if number == 3:
        raise kind("the third is damaged")
    return number


def killed(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    return number


def stuck(number: int) -> int:
    if number == 3:
        time.sleep(600)
    return number


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
@pytest.mark.parametrize("numbers", [range(0), range(3), range(7, 20)])
def test_results_come_in_order(workers: int, numbers: range) -> None:
    assert list(ahead(square, numbers, workers)) == [number**2 for number in numbers]


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("kind", [DataError, RunError, OSError, MemoryError, ValueError])
def test_an_error_in_a_process_is_the_error_here(workers: int, kind: type[Exception]) -> None:
    """Its kind and its message, without a word on processes; and what came before it came."""
    seen: list[int] = []
    with pytest.raises(kind) as error:
        seen.extend(ahead(partial(bad, kind), range(6), workers))
    assert str(error.value) == "the third is damaged"
    assert seen == [0, 1, 2]


class OddError(Exception):
    """An error that another process can't read."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


def odd(number: int) -> int:
    raise OddError("one", "two")


def test_an_error_that_can_not_be_sent_is_told() -> None:
    with pytest.raises(RuntimeError, match="OddError: one and two"):
        list(ahead(odd, range(2), 1))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_process_that_was_killed_ends_the_wait(workers: int) -> None:
    seen: list[int] = []
    with pytest.raises(RunError, match=r"was killed \(SIGKILL\).*--resume") as error:
        seen.extend(ahead(killed, range(6), workers))
    assert seen == [0, 1, 2]
    assert "\n" not in str(error.value)


def test_a_process_that_sends_nothing_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PATIENCE_S", 0.3)
    monkeypatch.setattr(room, "FAREWELL_S", 0.1)
    with pytest.raises(RunError, match=r"no batch for .* minutes"):
        list(ahead(stuck, range(6), 2))


def test_who_waits_is_asked_and_may_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "FAREWELL_S", 0.1)

    def stop() -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        list(ahead(stuck, range(6), 2, stop))


def test_processes_end_when_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once where they wait for a listener, and killed where they do not come back."""
    monkeypatch.setattr(room, "FAREWELL_S", 1)
    for work in (square, stuck):
        with closing(ahead(work, range(100), 2)) as results:
            processes = list(results.processes)
            assert next(iter(results)) == 0
        assert not any(process.is_alive() for process in processes)


def test_more_processes_than_a_machine_bears_are_refused() -> None:
    with pytest.raises(UsageError, match=f"--workers 3000: {WORKERS} are the most"):
        ahead(square, range(3000), 3000)
