"""Pages of the manual that are made from the code: commands, methods, data sets, metrics.

    python docs/generate.py OUT

Each page is written from what is registered and from the command line's own help, so that nothing is said twice.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from vsbench import registry
from vsbench.cli.app import app
from vsbench.config import config_type


def main() -> None:
    """Write all pages into the folder that is named."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in (("commands", commands), ("methods", methods), ("datasets", datasets), ("metrics", metrics)):
        text = "\n".join(page()) + "\n"
        file = folder / f"{name}.md"
        if not file.is_file() or file.read_text(encoding="utf-8") != text:  # a page that is as it was is not built anew
            file.write_text(text, encoding="utf-8")


def commands() -> Iterator[str]:
    """Every command with its arguments and options, from the help texts."""
    yield "# Commands\n"
    yield from _command(typer.main.get_command(app), "vsbench", 2)


def _command(command: Any, name: str, level: int) -> Iterator[str]:
    """A command and those below it."""
    if hasattr(command, "commands"):
        for below in command.commands.values():
            yield from _command(below, f"{name} {below.name}", level)
        return
    yield f"{'#' * level} {name}\n"
    yield f"{(command.help or '').strip()}\n"
    rows = []
    for parameter in command.params:
        if parameter.name == "help":
            continue
        called = " ".join(f"`{word}`" for word in (*parameter.opts, *parameter.secondary_opts))
        if parameter.param_type_name == "argument":
            called = f"`{(parameter.metavar or parameter.name).upper()}`"
        said = (getattr(parameter, "help", None) or "").strip()
        default = parameter.default
        known = default not in (None, False, (), []) and not callable(default)
        rows.append((called, said, f"`{default}`" if known else ""))
    if rows:
        yield from _table(("", "", "default"), rows)


def methods() -> Iterator[str]:
    """A section for each method: card, variants, presets, suites, settings."""
    loaded, _ = registry.load_all("vsbench.methods")
    yield "# Methods\n"
    yield "Settings are those of the publication; each is a `--set KEY=VALUE` key.\n"
    for name, method in loaded.items():
        card = method.card
        yield f"## {name}\n"
        yield f"**{card.title}.** {(method.__doc__ or '').strip()}\n"
        yield from _table(("", ""), [
            ("publication", card.citation), ("official code", f"{card.origin} ({card.licence})"),
            ("learns from", card.pairing), ("terms", ", ".join(f"`{loss}`" for loss in card.losses)),
            ("parameters", ", ".join(f"{network} {count:,}" for network, count in card.parameters.items())),
            ("took", card.compute),
            ("variants", ", ".join(f"`{v}`" for v in method.variants) or "none"),
            ("presets", ", ".join(f"`{p}`" for p in method.presets)),
            ("suites", ", ".join(f"`{s}`" for s in method.suites) or "none"),
        ])  # fmt: skip
        if card.deviations:
            yield "Deviations from the official code:\n"
            yield from (f"- {deviation}" for deviation in card.deviations)
            yield ""
        fields = config_type(method).model_fields.items()
        settings = [(f"`{key}`", f"`{field.get_default(call_default_factory=True)}`") for key, field in fields]
        yield from _table(("setting", "default"), settings)


def datasets() -> Iterator[str]:
    """A section for each data set: card, counts, options."""
    loaded, _ = registry.load_all("vsbench.datasets")
    yield "# Data sets\n"
    for name, dataset in loaded.items():
        card = dataset.card
        yield f"## {name}\n"
        yield f"**{card.title}.** {card.citation}\n"
        counts = ", ".join(f"{stain} {split}: {count}" for (stain, split), count in card.counts.items())
        size = "any" if card.size is None else f"{card.size[0]}×{card.size[1]}"
        yield from _table(("", ""), [
            ("source", card.url), ("licence", card.licence), ("pairs", card.pairing), ("split by", card.split_unit),
            ("size", size), ("stains", ", ".join(dataset.stains) or "any name"), ("published counts", counts or "none"),
        ])  # fmt: skip
        yield from (f"- {warning}" for warning in (*card.split_warnings, *card.warnings))
        yield ""
        fields = config_type(dataset).model_fields.items()
        options = [(f"`{key}`", f"`{field.get_default(call_default_factory=True)}`") for key, field in fields]
        yield "Options, each `--data KEY=VALUE`:\n"
        yield from _table(("option", "default"), options)


def metrics() -> Iterator[str]:
    """A section for each family: its values with protocol, unit, direction and formula."""
    loaded, _ = registry.load_all("vsbench.metrics")
    yield "# Metrics\n"
    yield "Numbers compare only within one protocol. *Best*: which end of a value is best; zero: nearest to 0.\n"
    for name, metric in loaded.items():
        yield f"## {name}\n"
        yield f"{(metric.__doc__ or '').strip().splitlines()[0]}\n"
        if metric.on_request:
            yield f"Measured on request: `--also {name}`.\n"
        for v in metric.values:
            unit = "" if v.unit == "1" else f" ({v.unit})"
            yield f"`{v.name}`{unit}, best {v.best}; `{v.protocol}`\n: {' '.join(v.formula.split())}\n"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """A table whose cells break no line and no column."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) + " |"
    yield ""


if __name__ == "__main__":
    main()
