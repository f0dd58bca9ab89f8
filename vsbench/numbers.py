"""Numbers as they are read in a sentence or a narrow table."""

NOISE = 1e-12  # nothing that is measured is smaller: it is what rounding leaves of equal numbers


def digits(value: float, count: int = 4) -> str:
    """A number with so many significant digits; ``0`` for what rounding leaves of nothing, and never ``-0``."""
    return f"{0.0 if abs(value) < NOISE else value:.{count}g}"
