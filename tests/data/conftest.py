"""What the tests of data sets share: a data set by its options, and trees of files that are no images."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from vsbench.config import parse_settings
from vsbench.dataset import Dataset
from vsbench.registry import load


@pytest.fixture(scope="session")
def data_set() -> Callable[..., Dataset[Any]]:
    """``data_set("mist", "split_by=slides")``."""

    def make(name: str, *options: str) -> Dataset[Any]:
        return load("vsbench.datasets", name).from_options(parse_settings(list(options)))

    return make


@pytest.fixture(scope="session")
def write() -> Callable[..., None]:
    """``write(he, ihc, files=["a.png"])``: the same files in all folders; pairs are listed by their names alone."""

    def write(*folders: Path, files: Iterable[str]) -> None:
        for name in files:
            for folder in folders:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(b"tile")

    return write
