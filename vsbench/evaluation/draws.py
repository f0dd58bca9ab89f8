"""Several draws of a method that samples when it translates: the same weights, other translation seeds."""

import copy
import math
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsbench import ranks
from vsbench.data.pairs import Pair
from vsbench.engine.checkpoint import load_method, weights_of
from vsbench.engine.run import Run
from vsbench.engine.translate import translate_image
from vsbench.errors import DataError, RunError, UsageError
from vsbench.evaluation.group import PROTOCOL, Group
from vsbench.evaluation.instrument import Instrument
from vsbench.evaluation.onepass import Maker, OnBad, measure, set_values
from vsbench.evaluation.training import teach
from vsbench.method import Method
from vsbench.metric import Absent, Image
from vsbench.records.draws import Draws
from vsbench.records.run import ImportedRecord, RunRecord, TrainedRecord
from vsbench.records.summary import Summary

if TYPE_CHECKING:
    import torch

SETTING = "translation_seed"  # what a method that samples draws by


def draws_by_seed(record: RunRecord) -> bool:
    """Whether a run's method draws when it translates."""
    return isinstance(record, TrainedRecord | ImportedRecord) and SETTING in record.config


def require_draws(runs: list[Run]) -> None:
    """Raise UsageError where none of the runs draws anything."""
    if not any(draws_by_seed(run.record) for run in runs):
        raise UsageError(f"--draws: none of these methods draws anything when it translates (setting {SETTING})")


def evaluate_draws(
    source: Run,
    place: Run,
    summary: Summary,
    group: Group,
    instrument: Instrument,
    device: "torch.device",
    number: int,
    on_bad: OnBad = "stop",
    done: Callable[[int, int], None] | None = None,
) -> Draws:
    """Translate and measure a run's test split with so many seeds in all, and leave ``draws.json`` beside its summary.

    The run's own seed, which the summary has, comes first, then 0, 1, 2, … without it. Draws that are there are not
    made again. ``source`` has the weights, ``place`` the summary. Raises RunError where a draw has no finite image,
    DataError where an image is bad.
    """
    if summary.fingerprint is None:
        raise RunError(f"{place.folder}: its summary is of an older vsbench; evaluate it again")
    file = place.evaluation(PROTOCOL) / "draws.json"
    method = load_method(weights_of(source)).to(device)
    own: int = getattr(method.config, SETTING)
    seeds = [own, *islice((seed for seed in count() if seed != own), number - 1)]
    found = {own: {name: reading.value for name, reading in summary.values.items()}}
    found |= _there(file, summary.fingerprint)
    todo = [seed for seed in seeds if seed not in found]
    if todo:
        makers = {str(seed): _maker(_drawing(method, seed), device) for seed in todo}
        total = len(todo) * len(group.pairs)
        tell = None if done is None else lambda measured: done(measured, total)
        suited = instrument.suited(group.pairs)
        teach(group, suited.metrics.values())
        for seed, measured in measure(group.pairs, makers, suited.metrics, on_bad, done=tell).items():
            if isinstance(measured, DataError):
                raise measured
            values = set_values(suited.metrics, measured)
            found[int(seed)] = {name: None if isinstance(v, Absent) else float(v) for name, v in values.items()}
    every = sorted({own, *found}, key=lambda seed: (seed != own, seed))
    names = [name for name, reading in summary.values.items() if reading.value is not None]
    draws = Draws(
        schema=1,
        fingerprint=summary.fingerprint,
        seeds=every,
        values={name: [_finite(found[seed].get(name)) for seed in every] for name in names},
    )
    if ranks.rank() == 0 and todo:
        draws.write(file)
    return draws


def _there(file: Path, fingerprint: str) -> dict[int, dict[str, float | None]]:
    """Seed → values of the draws that were made before of the same images, data and protocols."""
    try:
        there = Draws.read(file)
    except RunError:  # none, or damaged: made anew
        return {}
    if there.fingerprint != fingerprint:
        return {}
    return {seed: {name: v[place] for name, v in there.values.items()} for place, seed in enumerate(there.seeds)}


def _drawing(method: Method[Any], seed: int) -> Method[Any]:
    """The same networks, not copied, with another translation seed."""
    other = copy.copy(method)
    other.config = method.config.model_copy(update={SETTING: seed})
    return other


def _maker(method: Method[Any], device: "torch.device") -> Maker:
    def make(pair: Pair, he: Image, real: Image) -> Image:
        try:
            return translate_image(method, he, device)
        except RunError as error:
            raise DataError(f"{pair.he}: {error}") from None

    return make


def _finite(value: float | None) -> float | None:
    """An infinite value has no spread."""
    return value if value is not None and math.isfinite(value) else None
