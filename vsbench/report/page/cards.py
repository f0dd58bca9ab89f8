"""The cards of the methods and data sets in the report, from the registry."""

from collections.abc import Iterable
from typing import Any

from vsbench.errors import UserError
from vsbench.registry import load


def method_cards(names: Iterable[str]) -> list[dict[str, Any]]:
    """Cards of registered methods, in their order; one that does not load says why."""
    return [_card("vsbench.methods", name, _method_lines) for name in names]


def dataset_cards(names: Iterable[str]) -> list[dict[str, Any]]:
    """The same of data sets."""
    return [_card("vsbench.datasets", name, _dataset_lines) for name in names]


def _card(group: str, name: str, lines: Any) -> dict[str, Any]:
    try:
        card = load(group, name).card
    except UserError as error:  # made elsewhere, or its plugin is not installed here
        return {"title": name, "lines": [["no card", [str(error)]]]}
    return {"title": card.title, "lines": [[what, texts] for what, texts in lines(card) if texts and all(texts)]}


def _method_lines(card: Any) -> list[tuple[str, list[str]]]:
    return [
        ("Citation", [card.citation]),
        ("Official code", [f"{card.origin} ({card.licence}); written anew here"]),
        ("Training needs", [f"{card.pairing} images"]),
        ("Losses", [", ".join(card.losses)]),
        ("Parameters", [", ".join(f"{name} {count:,}" for name, count in card.parameters.items())]),
        ("Deviations", list(card.deviations)),
        ("Compute stated", [card.compute]),
    ]


def _dataset_lines(card: Any) -> list[tuple[str, list[str]]]:
    return [
        ("Citation", [card.citation]),
        ("Where", [card.url]),
        ("Licence", [card.licence]),
        ("Pairs", [card.pairing]),
        ("Train and test kept apart by", [card.split_unit]),
        ("Size", [f"{card.size[0]} × {card.size[1]} pixels" if card.size else "any"]),
        ("Published pairs", [f"{stain}, {split}: {count:,}" for (stain, split), count in card.counts.items()]),
        ("Warnings", [*card.split_warnings, *card.warnings]),
    ]
