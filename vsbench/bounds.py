"""How large the numbers of a command or a library call may be: beyond these nothing is meant, and nothing would end."""

from vsbench.errors import UsageError
from vsbench.names import brief

SEED = 2**32 - 1
STEPS = 10**9
WORKERS = 256
DEVICES = 1024  # on a machine
NODES = 4096
MICRO_BATCHES = 4096
CHECKPOINTS = 10_000
RESAMPLES = 100_000
DRAWS = 1000
TILE = 1 << 16  # pixels a side


def require_whole(name: str, value: object, least: int, most: int) -> None:
    """Raise UsageError, beginning with ``name``, unless ``value`` is a whole number from ``least`` to ``most``."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UsageError(f"{name} {brief(value)}: a whole number from {least} to {most:,}")
