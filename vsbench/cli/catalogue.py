"""``vsbench methods``, ``datasets``, ``metrics``: what is registered. ``vsbench doctor``: what works here."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from vsbench import environment, registry
from vsbench.cli.display import Console
from vsbench.cli.output import say, say_json
from vsbench.names import shown
from vsbench.numbers import digits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vsbench.dataset import Bound
    from vsbench.method import Suite

Name = Annotated[str | None, typer.Argument(help="Show the card of this one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def methods(name: Name = None, as_json: AsJson = False) -> None:
    """List the methods, or show one's card, variants, ablation suites and settings."""
    if name is None:
        _list("vsbench.methods", as_json)
        return
    method = registry.load("vsbench.methods", name)
    from vsbench.config import config_type

    settings = {}
    for key, field in config_type(method).model_fields.items():
        settings[key] = field.get_default(call_default_factory=True)
    suites = {key: dataclasses.asdict(suite) if as_json else _lines(suite) for key, suite in method.suites.items()}
    _show({"name": name, **dataclasses.asdict(method.card)}, as_json, {
        "variants": method.variants, "presets": method.presets, "suites": suites, "settings": settings,
    })  # fmt: skip


def datasets(name: Name = None, as_json: AsJson = False) -> None:
    """List the data sets, or show one's card, stains and options."""
    if name is None:
        _list("vsbench.datasets", as_json)
        return
    dataset = registry.load("vsbench.datasets", name)
    from vsbench.config import config_type

    card = dataclasses.asdict(dataset.card)
    card["counts"] = {f"{stain} {split}": count for (stain, split), count in dataset.card.counts.items()}
    if not as_json:
        del card["bounds"]
    options = {}
    for key, field in config_type(dataset).model_fields.items():
        options[key] = field.get_default(call_default_factory=True)
    stains = ", ".join(dataset.stains) or "any name"
    _show({"name": name, **card, "stains": stains, "splits": ", ".join(dataset.splits)}, as_json, {
        "options": options,
    })  # fmt: skip
    if dataset.card.bounds and not as_json:
        _print_bounds(dataset.card.bounds)


def metrics(name: Name = None, as_json: AsJson = False) -> None:
    """List the metric families, or show one's values with protocols, units and formulas."""
    if name is None:
        _list("vsbench.metrics", as_json)
        return
    metric = registry.load("vsbench.metrics", name)
    missing = metric().unavailable()
    values = {v.name: dataclasses.asdict(v) for v in metric.values}
    when = "on request: vsbench evaluate --also" if metric.on_request else "always"
    card = {"name": name, "measured": when, "available": missing is None, "missing": missing or ""}
    _show(card, as_json, {"values": values})


def doctor() -> None:
    """Say what works here and what is missing, with the mend."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import torch

    from vsbench import __version__
    from vsbench.data.root import find_data_root
    from vsbench.errors import UserError

    table = _table("", "state", "detail")
    table.add_row("vsbench", "ok", f"{__version__} on Python {platform.python_version()}, {platform.system()}")
    extras = {
        "networks": ("torch", "torchvision", "torch-fidelity", "lpips", "lightning-fabric", "scikit-image"),
        "slides": ("openslide-python", "tifffile", "imagecodecs"),
    }
    for extra, packages in extras.items():
        for package in packages:
            try:
                table.add_row(package, "ok", version(package))
            except PackageNotFoundError:
                table.add_row(package, "missing", f'pip install "vsbench[{extra}]"')
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("Apple MPS")
    table.add_row("devices", "ok", ", ".join([f"CPU ({torch.get_num_threads()} threads)", *devices]))
    own = ", ".join(f"{name}={value}" for name, value in environment.chosen.items()) or "nothing"
    table.add_row("processors", "ok", f"{environment.processors()} may be used; vsbench has set {own}")
    try:
        table.add_row("data root", "ok", str(find_data_root(None)))
    except UserError as error:
        table.add_row("data root", "missing", str(error))
    for group in registry.CONTRACTS:
        kind = group.rpartition(".")[2]
        loaded, broken = registry.load_all(group)
        table.add_row(kind, "ok", ", ".join(loaded))
        for name, fault in broken.items():
            table.add_row(f"{kind}: {name}", "broken", str(fault))
        if group == "vsbench.metrics":
            for name, metric in loaded.items():
                if reason := metric().unavailable():
                    table.add_row(f"metric {name}", "n/a", reason)
    _console().print(table)


def _lines(suite: "Suite") -> list[str]:
    """The title of an ablation suite, its rows and its notes, a line each."""
    rows = []
    for row in suite.rows:
        overrides = ", ".join(f"{key}={value}" for key, value in row.overrides.items()) or "the method as it is"
        rows.append(f"{row.name}: {overrides} ({row.published})")
    return [suite.title, *rows, *suite.notes]


def _list(group: str, as_json: bool) -> None:
    found = registry.entries(group).values()
    if as_json:
        rows = [{"name": e.name, "from": e.source, "summary": e.summary} for e in found]
        say_json(rows)
        return
    table = _table("name", "from", "")
    for entry in found:
        table.add_row(entry.name, entry.source, entry.summary)
    _console().print(table)


def _show(card: dict[str, Any], as_json: bool, more: dict[str, dict[str, Any]]) -> None:
    if as_json:
        say_json(card | more)
        return
    table = _table("", "")
    for key, value in card.items():
        table.add_row(key, _text(value))
    for title, entries in more.items():
        for key, value in entries.items():
            table.add_row(f"{title}: {key}", _text(value))
    _console().print(table)


def _print_bounds(bounds: "Sequence[Bound]") -> None:
    """Ceiling and floor of each value that has them."""
    table = _table("stain", "value", "best possible", "H&E unchanged", "mean colour", "protocol")
    for bound in bounds:
        numbers = (bound.ceiling, bound.identity, bound.mean_colour)
        if any(number is not None for number in numbers):
            cells = ("n/a" if number is None else digits(number) for number in numbers)
            table.add_row(bound.stain, bound.value, *cells, bound.protocol)
    say()
    say("With the default options, the best possible prediction scores, and what needs no method:")
    _console().print(table)


def _text(value: Any) -> str | Text:
    if isinstance(value, tuple | list) and all(isinstance(v, str) for v in value):
        return _lined(value)
    if isinstance(value, dict):
        return _lined(f"{k} = {v}" for k, v in value.items())
    return "" if value is None else str(value)


def _lined(lines: "Iterable[str]") -> Text:
    return Text("\n".join(map(shown, lines)))  # no string, whose line feeds would be shown as such


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _console() -> Console:
    return Console(wide=False)
