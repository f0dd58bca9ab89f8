"""Arrows point one way, listings stay light, and the package list is what is on disk."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import vsbench
from vsbench.registry import load_all

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "vsbench": "vsbench",
    "vsbench.methods": "methods",
    "vsbench.datasets": "datasets",
    "vsbench.published": "results/published",
}

# From the bottom up. A room (a folder or file of the core) imports from layers below its own only.
LAYERS = (
    (
        "benchmark",
        "borders",
        "cells",
        "environment",
        "errors",
        "neighbours",
        "numbers",
        "precision",
        "published",
        "ranks",
        "roc",
    ),
    ("files", "markers", "names"),
    ("bounds", "plain_yaml"),
    ("config",),
    ("data", "nn", "records", "registry", "stain", "weights"),
    ("dataset", "losses", "method", "metric"),
    ("engine", "metrics"),
    ("audit", "slides", "stats"),
    ("evaluation",),
    ("report",),
    ("checks", "exchange", "reader_study", "studies"),
    ("cli",),
    ("__main__",),
)
# What these import is less than their layer allows: mathematics that someone may want without the rest.
NARROW = {
    "records": {"errors", "files", "names"},
    "stain": {"errors"},
    "nn": {"borders", "precision", "ranks"},
    "losses": {"borders", "precision", "ranks", "stain"},
    "stats": {"bounds", "errors", "files", "metric", "neighbours", "numbers", "roc"},
}
# Methods and data sets are written against the contracts, and know nothing that runs them.
PLUGINS = {
    "methods": {"errors", "losses", "method", "nn", "precision", "ranks", "stain"},
    "datasets": {"data", "dataset", "errors", "files", "stain"},
}
HEAVY = ("torch", "torchvision", "lightning_fabric", "matplotlib", "pandas", "scipy", "skimage")


def sources() -> dict[str, Path]:
    """Every module of the distribution by name, from the tree."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join((package, *inside)).removesuffix(".__init__")] = path
    return found


@cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    """All of a module's, which several tests look at."""
    return tuple(ast.walk(ast.parse(source)))


def imports(source: str) -> Iterator[str]:
    """Full names of what a module imports of ours, wherever in the file; relative ones keep their dots."""
    for node in nodes(source):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if is_ours(module):
                dot = "" if module.endswith(".") else "."
                yield from (f"{module}{dot}{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            given = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            yield from (name for name in given if isinstance(name, str) and is_ours(name))


def is_ours(name: str) -> bool:
    """Whether a module or name is of this distribution, be it by the short name that its folder must not have."""
    return name.split(".")[0] in ("", "vsbench", *PLUGINS)


def room(module: str) -> str:
    """The part of vsbench that a module or name belongs to; "" for the package itself (its version)."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and f"vsbench.{parts[1]}" in ROOMS else ""


SOURCES = sources()
ROOMS = {".".join(module.split(".")[:2]) for module in SOURCES}
PACKAGES = {module for module, path in SOURCES.items() if path.stem == "__init__"}
CORE = {module: path for module, path in SOURCES.items() if room(module) not in ("", *PLUGINS)}
LEVEL = {name: level for level, layer in enumerate(LAYERS) for name in layer}


def complaints(module: str, source: str) -> list[str]:
    """What is wrong with the imports of a module, of which ``source`` is the text."""
    check = complaint_of_plugin if room(module) in PLUGINS else complaint_of_core
    found = ((name, check(module, name)) for name in imports(source))
    return [f"{module} imports {name}: {wrong}" for name, wrong in found if wrong]


def complaint_of_core(module: str, name: str) -> str:
    here, there = room(module), room(name)
    if name.startswith("."):
        return "the core imports absolutely"
    if there in PLUGINS or not name.startswith("vsbench"):
        return "only the registry finds methods and data sets"
    if there in ("", here):
        return ""
    if LEVEL[there] >= LEVEL[here]:
        return f"{there} is not below {here}"
    return "" if there in NARROW.get(here, {there}) else f"{here} needs no {there}"


def complaint_of_plugin(module: str, name: str) -> str:
    """Each other's private modules relatively; a method that is a folder has the modules of its folder to itself."""
    if name.startswith("."):
        above = len(name) - len(name.lstrip("."))
        inside = above < len(module.split(".")) - 2 + (module in PACKAGES)
        private = above == len(module.split(".")) - 2 + (module in PACKAGES) and name.lstrip(".").startswith("_")
        return "" if inside or private else "private modules beside it only (the core absolutely)"
    return "" if room(name) in PLUGINS[room(module)] else f"{room(module)} are written against the contracts"


def test_every_room_has_its_layer() -> None:
    assert {room(module) for module in CORE} == LEVEL.keys()


def test_imports_point_downwards() -> None:
    """And between methods, or data sets, nowhere but to what is private."""
    found = {module: path.read_text(encoding="utf-8") for module, path in SOURCES.items()}
    assert [line for module, source in found.items() for line in complaints(module, source)] == []


PLANTED = [
    ("vsbench.stain.dab", "from vsbench.metrics.dab import DabDensity"),
    ("vsbench.stain.dab", "def late():\n    from vsbench import metrics"),
    ("vsbench.errors", "import vsbench.files"),
    ("vsbench.nn.unet", "from ..losses import adversarial"),
    ("vsbench.nn.unet", "from vsbench.errors import UserError"),
    ("vsbench.engine.trainer", "import vsbench.cli.display"),
    ("vsbench.report.build", "from vsbench.cli import app"),
    ("vsbench.stats.table", "from vsbench.metrics.dab import DabDensity"),
    ("vsbench.engine.trainer", "from vsbench.methods.cut import CUT"),
    ("vsbench.engine.trainer", "importlib.import_module('vsbench.methods.cut')"),
    ("vsbench.engine.trainer", "from methods.cut import CUT"),
    ("vsbench.methods.cut", "from vsbench.methods import cyclegan"),
    ("vsbench.methods.cut", "from vsbench.engine.trainer import train"),
    ("vsbench.methods.cut", "import datasets"),
    ("vsbench.methods.cut", "from .cyclegan import CycleGAN"),
    ("vsbench.methods.cut", "from . import cyclegan"),
    ("vsbench.methods.cut", "from ..nn import PatchSampler"),
    ("vsbench.methods.folder.heads", "from ..cut import CUT"),
]
GOOD = [
    ("vsbench.engine.trainer", "from vsbench import __version__, registry"),
    ("vsbench.engine.trainer", "from vsbench.engine.log import HEAD"),
    ("vsbench.registry", "importlib.import_module(group)"),
    ("vsbench.methods.cut", "from vsbench.nn import PatchSampler"),
    ("vsbench.datasets.phantom", "from ._phantom_tissue import grow"),
    ("vsbench.datasets.phantom", "from . import _phantom_tissue"),
    ("vsbench.methods.folder.heads", "from .taps import Taps"),
    ("vsbench.methods.folder.heads", "from .._shared import norm"),
]


@pytest.mark.parametrize(("module", "source"), PLANTED)
def test_a_planted_import_is_caught(module: str, source: str) -> None:
    assert len(complaints(module, source)) == 1


@pytest.mark.parametrize(("module", "source"), GOOD)
def test_a_good_import_is_left_alone(module: str, source: str) -> None:
    assert complaints(module, source) == []


def cuda_calls(source: str) -> list[int]:
    """The lines that call ``.cuda()``: the device comes from the arguments."""
    calls = (node for node in nodes(source) if isinstance(node, ast.Call))
    return [call.lineno for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "cuda"]


def test_no_module_sends_anything_to_a_gpu() -> None:
    assert cuda_calls("ones = torch.ones(3)\nfake = net(he).cuda()\nhere = torch.cuda.device_count()") == [2]
    found = {module: cuda_calls(path.read_text(encoding="utf-8")) for module, path in SOURCES.items()}
    assert {module: lines for module, lines in found.items() if lines} == {}


def test_the_package_list_is_what_is_on_disk() -> None:
    """A folder missing from the list imports in the editable install, and is silently absent from the wheel."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^packages = \[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    on_disk = {
        ".".join((package, *path.parent.relative_to(ROOT / folder).parts))
        for package, folder in FOLDERS.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    data_alone = {"vsbench.published.reruns"}
    assert sorted(re.findall(r'"(.+?)"', listed)) == sorted(on_disk | data_alone)
    assert on_disk <= SOURCES.keys(), f"without __init__.py: {sorted(on_disk - SOURCES.keys())}"


def heavy_after(*arguments: str) -> set[str]:
    """What of ``HEAVY`` is imported once a command has run in a process of its own."""
    script = (
        "import sys\n"
        "from vsbench.cli.app import app\n"
        f"app({list(arguments)!r}, standalone_mode=False)\n"
        f"print(*sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    *listing, heavy = ran.stdout.splitlines()
    assert listing
    return set(heavy.split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["methods"], ["datasets"], ["metrics", "--json"]])
def test_listing_loads_nothing_heavy(arguments: list[str]) -> None:
    assert heavy_after(*arguments) == set()


def test_a_card_is_read_from_the_method_itself() -> None:
    """So that nothing heavy above is not for want of looking."""
    assert "torch" in heavy_after("methods", "cut")


def test_short_names_stay_free() -> None:
    """Our folders are vsbench.methods and vsbench.datasets: ``import datasets`` is another well-known library."""
    for group in ("vsbench.methods", "vsbench.datasets"):
        assert load_all(group)[0]
        taken = sys.modules.get(group.partition(".")[2])
        assert taken is None or ROOT not in Path(str(taken.__file__)).parents


def test_the_tests_run_on_this_tree() -> None:
    assert Path(vsbench.__file__).parents[1] == ROOT
