"""Pretrained weights that metrics and trainings need: known by SHA-256, fetched on the user's word only.

Random ones take their place only where that is asked for.
"""

from vsbench.weights.manifest import MANIFEST, Archive, Weights
from vsbench.weights.store import (
    VARIABLE,
    WeightsError,
    absence,
    cache_folder,
    digest,
    find,
    load,
    present,
    search_folders,
    status,
    verify,
)

__all__ = [
    "MANIFEST",
    "VARIABLE",
    "Archive",
    "Weights",
    "WeightsError",
    "absence",
    "cache_folder",
    "digest",
    "find",
    "load",
    "present",
    "search_folders",
    "status",
    "verify",
]
