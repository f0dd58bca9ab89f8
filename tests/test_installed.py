"""What is tested is what is installed: the tree where that is an editable install, else the wheel."""

import json
import subprocess
import sys
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

from vsbench.registry import CONTRACTS, entries

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def place() -> Path:
    """The folder that the installation says its code lies in."""
    found = distributions(name="vsbench")
    installed = next(one for one in found if Path(str(one.locate_file(""))) != ROOT)  # nor what a build leaves
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    return ROOT if origin.get("dir_info", {}).get("editable") else Path(str(installed.locate_file("vsbench")))


def test_every_module_and_plugin_comes_from_there(place: Path) -> None:
    ours = {name for name in sys.modules if name.partition(".")[0] == "vsbench"}
    ours |= {entry.module for group in CONTRACTS for entry in entries(group).values() if entry.source == "vsbench"}
    origins = {name: Path(str(spec.origin)) for name in ours if (spec := find_spec(name)) and spec.origin}
    assert len(origins) > 50
    assert [(name, file) for name, file in origins.items() if place not in file.parents] == []


@pytest.mark.parametrize("folder", [ROOT, Path.home()], ids=["tree", "elsewhere"])
def test_python_started_anywhere_imports_it_from_there(folder: Path, place: Path) -> None:
    asks = [sys.executable, "-c", "import vsbench; print(vsbench.__file__)"]
    done = subprocess.run(asks, cwd=folder, capture_output=True, text=True, check=True)
    assert place in Path(done.stdout.strip()).parents
