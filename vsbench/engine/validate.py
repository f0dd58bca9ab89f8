"""Which checkpoint stands for a run: the last, or the best on slides held out of the training set.

Never on the test set: a checkpoint chosen there would know what it is measured by.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vsbench.data.decode import read_rgb, require_equal_sizes
from vsbench.data.pairs import Pair
from vsbench.data.splits import by_slide
from vsbench.engine.log import kept_rows
from vsbench.engine.translate import translate_image
from vsbench.errors import DataError, UsageError
from vsbench.files import write_text
from vsbench.method import Method
from vsbench.stain.dab import integrated_density

METRIC = "iod_mae"  # mean over the images of |Î − I| / (H·W), in OD: the DAB density's error, in which nothing cancels
HEAD = "step,value,n"


@dataclass(frozen=True)
class HeldOut:
    """Training pairs, and those of the slides that are held out of them."""

    train: list[Pair]
    validation: list[Pair]

    @property
    def slides(self) -> list[str]:
        """The slides held out."""
        return sorted({pair.slide for pair in self.validation if pair.slide is not None})


def hold_out(pairs: list[Pair], share: float, seed: int) -> HeldOut:
    """Hold out ``share`` of the slides, at least one. Raises UsageError where slides are unknown or fewer than two."""
    slides = [pair.slide for pair in pairs if pair.slide is not None]
    if len(slides) < len(pairs):
        raise UsageError(
            "validation holds out whole slides of the training set, but the slides of these pairs are not known, and "
            "tiles of one slide on both sides would flatter it; use --select last without --validate-every"
        )
    try:
        sides = by_slide(slides, 1 - share, seed)
    except DataError as error:
        raise UsageError(f"validation holds out slides of the training set: {error}") from None
    parts: dict[str, list[Pair]] = {"train": [], "test": []}
    for pair in pairs:
        parts[sides[str(pair.slide)]].append(pair)
    return HeldOut(parts["train"], parts["test"])


class Validation:
    """Measures a method on held-out pairs every ``every`` steps, into a table of one row for each time."""

    def __init__(self, pairs: list[Pair], every: int, table: Path) -> None:
        self.pairs = pairs
        self.every = every
        self.table = table
        self.values: dict[int, float] = {}  # by step
        self.real: dict[str, float] = {}  # integrated densities by id, measured once

    def go_on_from(self, step: int) -> None:
        """Begin the table, or take up the one that is there and forget what came after ``step``."""
        rows = (row.split(",") for row in kept_rows(self.table, HEAD.split(","), step))
        self.values = {int(number): float(value) for number, value, _ in rows if value}
        self._write()

    def is_due(self, step: int, steps: int) -> bool:
        """Whether a step of a training of ``steps`` is to be measured, and is not yet."""
        return step > 0 and (step % self.every == 0 or step == steps) and step not in self.values

    def measure(self, step: int, method: Method[Any], device: torch.device) -> float:
        """The mean error of the whole images' DAB density, in OD; added to the table."""
        was_training = method.training
        method.eval()
        errors = [self._error(pair, method, device) for pair in self.pairs]
        method.train(was_training)
        self.values[step] = sum(errors) / len(errors)
        self._write()
        return self.values[step]

    @property
    def best(self) -> int | None:
        """The step of the lowest value, the first of equal ones; None before the first."""
        return min(self.values, key=lambda step: self.values[step], default=None)

    def _error(self, pair: Pair, method: Method[Any], device: torch.device) -> float:
        he = read_rgb(pair.he)
        if pair.id not in self.real:
            ihc = read_rgb(pair.ihc)
            require_equal_sizes({pair.he: he, pair.ihc: ihc})
            self.real[pair.id] = integrated_density(ihc)
        height, width, _ = he.shape
        return abs(integrated_density(translate_image(method, he, device)) - self.real[pair.id]) / (height * width)

    def _write(self) -> None:
        rows = [f"{step},{value!r},{len(self.pairs)}" for step, value in self.values.items()]
        write_text(self.table, "\n".join([HEAD, *rows]) + "\n")
