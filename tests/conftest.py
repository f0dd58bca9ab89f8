"""Shared fixtures."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of oracles and sample pairs beside the repository; tests that need it skip where it is missing."""
    folder = Path(__file__).parents[1].parent / "shared"
    if not (folder / "oracles").is_dir():
        pytest.skip("needs the folder ../shared (oracles and sample pairs), which is not here")
    return folder
