"""Finds methods, data sets and metrics: files in our own folders, and entry points of installed packages.

Listing imports none of them (and so no torch). A plugin that does not load is reported and leaves the rest alone.
In our own folders a file *is* an entry and its name the name; names with a leading underscore are private.
"""

import ast
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract
from pathlib import Path
from types import ModuleType
from typing import Any

from vsbench.errors import PluginError, UsageError
from vsbench.names import brief, said

# group (package of our own, and name of the entry-point group) → the contract its classes fulfil
CONTRACTS = {
    "vsbench.methods": ("vsbench.method", "Method"),
    "vsbench.datasets": ("vsbench.dataset", "Dataset"),
    "vsbench.metrics": ("vsbench.metric", "Metric"),
}


@dataclass(frozen=True)
class Entry:
    """A registered name: where it comes from, and its first line of documentation (empty if unreadable)."""

    name: str
    module: str
    attribute: str | None  # None: the one class in the module that fulfils the contract
    source: str  # "vsbench", or the distribution that brought it
    summary: str


@cache
def entries(group: str) -> dict[str, Entry]:
    """All entries of a group by name, our own first, each part in alphabetical order.

    A plugin whose name is taken already appears as ``<distribution>:<name>``.
    """
    package = importlib.import_module(group)
    found = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda i: i.name):
        if not info.name.startswith("_"):
            module = f"{group}.{info.name}"
            found[info.name] = Entry(info.name, module, None, "vsbench", _summary(package.__path__, info.name))
    for point in sorted(entry_points(group=group), key=lambda p: p.name):
        entry = _plugin(point)
        name = entry.name if entry.name not in found else f"{entry.source}:{entry.name}"
        found[name] = entry
    return found


def names(group: str) -> list[str]:
    """The registered names of a group."""
    return list(entries(group))


def load(group: str, name: str) -> Any:
    """The class registered under ``name``.

    Raises UsageError for an unknown name (listing the known ones), PluginError where the module does not import or
    holds no class that fulfils the contract.
    """
    known = entries(group)
    if name not in known:
        kind = group.rsplit(".", 1)[-1]
        raise UsageError(f"unknown name {brief(name)}: the {kind} are {', '.join(known)}")
    entry = known[name]
    try:
        module = importlib.import_module(entry.module)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{name} (from {entry.source}): importing {entry.module} failed with {type(error).__name__}: "
            f"{said(error)}; mend or uninstall it"
        ) from error
    contract_module, contract_name = CONTRACTS[group]
    contract = getattr(importlib.import_module(contract_module), contract_name)
    found = _only_class(module, contract) if entry.attribute is None else getattr(module, entry.attribute, None)
    if not (isinstance(found, type) and issubclass(found, contract)):
        raise PluginError(f"{name} (from {entry.source}): {entry.module}:{entry.attribute} is no {contract_name}")
    if isabstract(found):
        missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        raise PluginError(f"{name} (from {entry.source}): {found.__name__} in {entry.module} lacks {missing}")
    return found


def load_all(group: str) -> tuple[dict[str, Any], dict[str, PluginError]]:
    """(classes by name, what went wrong by name)."""
    loaded, broken = {}, {}
    for name in entries(group):
        try:
            loaded[name] = load(group, name)
        except PluginError as error:
            broken[name] = error
    return loaded, broken


def _only_class(module: ModuleType, contract: type) -> type:
    classes = [
        c
        for c in vars(module).values()
        if isinstance(c, type) and issubclass(c, contract) and c.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise PluginError(f"{module.__name__}: expected one {contract.__name__} in the file, found {len(classes)}")
    return classes[0]


def _plugin(point: EntryPoint) -> Entry:
    source = point.dist.name if point.dist is not None else "an unnamed package"
    module, _, attribute = point.value.partition(":")
    return Entry(point.name, module.strip(), attribute.partition("[")[0].strip() or None, source, _first_line(module))


def _first_line(module: str) -> str:
    """As ``_summary``, of any module by its full name; imports not even the packages it lies in."""
    top, *inner = module.strip().split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return ""
    if spec is None or spec.origin is None:
        return ""
    here = Path(spec.origin)
    return _summary([str(here.parent.joinpath(*inner[:-1]))], inner[-1]) if inner else _docstring(here)


def _summary(folders: Iterable[str], name: str) -> str:
    """First line of a module's docstring, read without running it; empty where there is none to read."""
    places = [place for folder in folders for place in (Path(folder, f"{name}.py"), Path(folder, name, "__init__.py"))]
    return next((_docstring(place) for place in places if place.is_file()), "")


def _docstring(file: Path) -> str:
    try:
        docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    except (OSError, SyntaxError, ValueError):  # a broken plugin must not break the listing; load() says what is wrong
        return ""
    return docstring.partition("\n")[0]
