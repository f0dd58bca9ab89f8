"""Many files, a few threads, and memory that does not grow with the number of files."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from vsbench.environment import processors

THREADS = min(8, processors())  # decoding and hashing release the interpreter lock
AHEAD = 8 * THREADS  # under way at once

T = TypeVar("T")
R = TypeVar("R")


def in_threads(
    work: Callable[[T], R], items: Iterable[T], threads: int = THREADS, ahead: int = AHEAD
) -> Generator[R, None, None]:
    """``map`` in threads, in the order of the items, so many ``ahead``; what ``work`` raises, the iteration raises."""
    remaining = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        under_way: deque[Future[R]] = deque(pool.submit(work, item) for item in islice(remaining, ahead))
        try:
            while under_way:
                yield under_way.popleft().result()
                under_way.extend(pool.submit(work, item) for item in islice(remaining, 1))
        finally:
            pool.shutdown(cancel_futures=True)
