"""Arrows point one way, listings stay light, and the package list is what is on disk."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vsbench
from vsbench.registry import load_all

ROOT = Path(__file__).parents[1]
FOLDERS = {"vsbench": "vsbench", "vsbench.methods": "methods", "vsbench.datasets": "datasets"}

# From the bottom up. A room (a folder or file of the core) imports from layers below its own only.
LAYERS = (
    ("errors", "files", "precision"),
    ("config", "data", "nn", "registry", "stain", "weights"),
    ("dataset", "losses", "method", "metric"),
    ("engine", "metrics"),
    ("evaluation",),
    ("report",),
    ("checks",),
    ("cli",),
)
# What these import is less than their layer allows: mathematics that someone may want without the rest.
NARROW = {"stain": {"errors"}, "nn": {"precision"}, "losses": {"precision", "stain"}}
# Methods and data sets are written against the contracts, and know nothing that runs them.
PLUGINS = {
    "methods": {"errors", "losses", "method", "nn", "precision", "stain"},
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


def imports(path: Path) -> Iterator[str]:
    """Full names of what a file imports from vsbench, wherever in the file; relative ones keep their dots."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "vsbench")
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if node.level or module.split(".")[0] == "vsbench":
                yield from (f"{module}.{alias.name}" for alias in node.names)


def room(module: str) -> str:
    """The part of vsbench that a module or name belongs to; "" for the package itself (its version)."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and f"vsbench.{parts[1]}" in ROOMS else ""


SOURCES = sources()
ROOMS = {".".join(module.split(".")[:2]) for module in SOURCES}
CORE = {module: path for module, path in SOURCES.items() if room(module) not in ("", *PLUGINS)}
LEVEL = {name: level for level, layer in enumerate(LAYERS) for name in layer}


@pytest.mark.parametrize("module", CORE)
def test_the_core_imports_downwards_only(module: str) -> None:
    here = room(module)
    assert here in LEVEL, f"{here} has no place in LAYERS"
    for name in imports(CORE[module]):
        assert not name.startswith("."), f"{module} imports {name}: the core imports absolutely"
        there = room(name)
        assert there not in PLUGINS, f"{module} imports {name}: only the registry finds methods and data sets"
        if there not in ("", here):
            assert LEVEL[there] < LEVEL[here], f"{module} imports {name}, which is not below it"
            assert there in NARROW.get(here, {there}), f"{module} imports {name}: {here} needs no {there}"


@pytest.mark.parametrize("module", [m for m in SOURCES if room(m) in PLUGINS])
def test_methods_and_data_sets_import_contracts_only(module: str) -> None:
    for name in imports(SOURCES[module]):
        if not name.startswith("."):  # each other, if at all, relatively
            assert room(name) in PLUGINS[room(module)], f"{module} imports {name}"


def test_nothing_but_the_command_line_imports_it() -> None:
    importers = {room(module) for module, path in SOURCES.items() for name in imports(path) if room(name) == "cli"}
    assert importers == {"cli"}


def test_the_package_list_is_what_is_on_disk() -> None:
    """A folder missing from the list imports in the editable install, and is silently absent from the wheel."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^packages = \[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    on_disk = {
        ".".join((package, *path.parent.relative_to(ROOT / folder).parts))
        for package, folder in FOLDERS.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    assert sorted(re.findall(r'"(.+?)"', listed)) == sorted(on_disk)
    assert on_disk <= SOURCES.keys(), f"without __init__.py: {sorted(on_disk - SOURCES.keys())}"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["methods"], ["datasets"], ["metrics", "--json"]])
def test_listing_loads_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from vsbench.cli.app import app\n"
        f"app({arguments!r}, standalone_mode=False)\n"
        f"print('heavy:', *sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    *listing, heavy = ran.stdout.splitlines()
    assert listing
    assert heavy == "heavy:"


def test_short_names_stay_free() -> None:
    """Our folders are vsbench.methods and vsbench.datasets: ``import datasets`` is another well-known library."""
    for group in ("vsbench.methods", "vsbench.datasets"):
        assert load_all(group)[0]
        taken = sys.modules.get(group.partition(".")[2])
        assert taken is None or ROOT not in Path(str(taken.__file__)).parents


def test_the_tests_run_on_this_tree() -> None:
    assert Path(vsbench.__file__).parents[1] == ROOT
