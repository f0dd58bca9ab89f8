"""Numbers as they are read in a sentence or a narrow table, and what rounding leaves of equal ones."""

NOISE = 1e-12  # nothing that is measured is smaller: it is what rounding leaves of equal numbers
ROUNDING = 1e-12  # a variance below this share of the mean square is rounding: the series is constant


def digits(value: float, count: int = 4) -> str:
    """A number with so many significant digits; ``0`` for what rounding leaves of nothing, and never ``-0``."""
    return f"{0.0 if abs(value) < NOISE else value:.{count}g}"
