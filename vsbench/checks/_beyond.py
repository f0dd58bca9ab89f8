"""Numbers that no setting may be, for the checks of methods and of data sets."""

import math
from typing import Any


def beyond(value: object) -> list[Any]:
    """What is beyond all sense where a setting is ``value``; none where that is no number, and not of numbers."""
    if isinstance(value, bool):
        return []
    if isinstance(value, int):
        return [10**22]
    if isinstance(value, float):
        return [1e22, math.inf, -math.inf, math.nan]
    if isinstance(value, tuple) and value:
        return [[wrong] * len(value) for wrong in beyond(value[0])]
    return []
