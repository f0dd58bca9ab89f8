"""Values of neighbourhoods (``vsbench.neighbours``) in a space of features."""

import numpy as np
from numpy.typing import NDArray

from vsbench.metric import Absent, Best, Value
from vsbench.neighbours import MIN_IMAGES, NAMES, NEIGHBOURS, shares


def neighbourhood_values(suffix: str, label: str, space: str, protocol: str, family: str) -> tuple[Value, ...]:
    """The four values in a space of features; ``space`` names it in formulas, ``family`` stands for it in tests."""
    ball = f"ball in {space} from an image to its {NEIGHBOURS}rd nearest other one of its set"

    def value(name: str, title: str, best: Best, formula: str) -> Value:
        return Value(
            f"{name}_{suffix}", f"{title} ({label})", "1", best, formula, f"{name}-k{NEIGHBOURS}/{protocol}",
            is_share=best == "high", family=family,
        )  # fmt: skip

    return (
        value("precision", "Precision", "high", f"share of the generated images inside the {ball} of some real one"),
        value("recall", "Recall", "high", f"share of the real images inside the {ball} of some generated one"),
        value(
            "density_excess",
            "Density excess",
            "zero",
            f"density − 1: mean number of real images inside whose {ball} a generated one lies, over {NEIGHBOURS}, "
            "less the 1 that the real images have; below 0 beside them, above 0 crowded among the commonest",
        ),
        value("coverage", "Coverage", "high", f"share of the real images inside whose {ball} a generated one lies"),
    )


def neighbourhoods(fake: NDArray[np.floating], real: NDArray[np.floating], suffix: str) -> dict[str, float | Absent]:
    """The four values of features (N, D) and (M, D); Absent for few images, or where the real ones are all alike."""
    names = [f"{name}_{suffix}" for name in NAMES]
    if min(len(fake), len(real)) < MIN_IMAGES:
        few = Absent(f"neighbourhoods need at least {MIN_IMAGES} images, here are {min(len(fake), len(real))}")
        return dict.fromkeys(names, few)
    found = shares(fake, real)
    if not found:
        alike = Absent("the real images all have the same features: their neighbourhoods have no extent")
        return dict.fromkeys(names, alike)
    return {name: float(column.mean()) for name, column in zip(names, found.values(), strict=True)}
