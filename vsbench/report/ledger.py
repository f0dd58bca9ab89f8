"""The ledger: what papers printed and what others ran again, as it ships with vsbench, and a user's own on top.

It is ``results/published`` of the repository: papers, and in ``reruns/`` the rest. A user's folder looks the same.
"""

import importlib.resources
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vsbench.errors import UserError
from vsbench.records.reruns import Remark
from vsbench.report.published import Paper, load_all
from vsbench.report.reruns import FOLDER, Reruns, load_remarks, load_reruns

One = TypeVar("One", Paper, Reruns)
Warn = Callable[[str], None]


@dataclass(frozen=True)
class Ledger:
    """Papers and sources of reruns, each by name; ``remarks``: what is said of the numbers of a data set."""

    papers: tuple[Paper, ...]
    reruns: tuple[Reruns, ...]
    remarks: tuple[Remark, ...]


def shipped() -> Path:
    """The folder of the ledger that ships with vsbench."""
    return Path(str(importlib.resources.files("vsbench.published")))


def has_numbers(folder: Path) -> bool:
    """Whether a folder holds numbers of papers or reruns."""
    return any(folder.glob("*.csv")) or any((folder / FOLDER).glob("*.csv"))


def read_ledger(own: Path | None = None, warn: Warn = warnings.warn) -> Ledger:
    """What ships with vsbench, and on top what the folder ``own`` holds.

    Of one name the own one counts; where it says something else, ``warn`` is told. Raises UserError where ``own`` holds
    no numbers, or a file is not as it must be.
    """
    if own is not None and not has_numbers(own):
        raise UserError(f"{own}: no published numbers (*.csv) here; leave it out for those that ship with vsbench")
    folders = [shipped()] if own is None else [shipped(), own]
    remarks = [remark for folder in folders for remark in load_remarks(folder / FOLDER)]
    return Ledger(
        _on_top([(folder, load_all(folder)) for folder in folders], warn),
        _on_top([(folder / FOLDER, load_reruns(folder / FOLDER)) for folder in folders], warn),
        tuple(remark for i, remark in enumerate(remarks) if remark not in remarks[:i]),
    )


def _on_top(layers: Iterable[tuple[Path, list[One]]], warn: Warn) -> tuple[One, ...]:
    found: dict[str, One] = {}
    for folder, ones in layers:
        for one in ones:
            if found.setdefault(one.name, one) != one:
                warn(f"{folder / one.name}.csv stands in the place of the {one.name} that ships with vsbench")
                found[one.name] = one
    return tuple(found[name] for name in sorted(found))
