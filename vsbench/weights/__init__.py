"""Pretrained weights that metrics need: known by SHA-256, fetched on the user's word only, random only if asked for."""

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
