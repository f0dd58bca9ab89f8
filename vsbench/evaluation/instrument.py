"""The metrics that can be measured here, ready to measure: networks are loaded once for all data sets and rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vsbench import registry
from vsbench.data.pairs import Pair
from vsbench.errors import UsageError, UserError
from vsbench.metric import Metric, require_distinct
from vsbench.names import brief

OnMissing = Literal["n/a", "error"]


def chosen_of(also: Sequence[str]) -> dict[str, str | None]:
    """Family → what was chosen in it, of ``FAMILY`` or ``FAMILY=CHOICE`` each.

    Raises UsageError for an unknown family, and for two choices in one.
    """
    found: dict[str, str | None] = {}
    for words in also:
        family, equals, choice = words.partition("=")
        if family not in registry.names("vsbench.metrics"):
            raise UsageError(f"--also {brief(family)}: no such family; see vsbench metrics")
        if found.setdefault(family, choice if equals else None) != (choice if equals else None):
            raise UsageError(f"--also {brief(words)}: chosen otherwise before; one evaluation takes one")
    return found


def _choose(name: str, metric: Metric, choice: str | None) -> None:
    try:
        metric.choose(choice)
    except UsageError as error:
        words = name if choice is None else f"{name}={choice}"
        raise UsageError(f"--also {brief(words)}: {error}") from None


@dataclass(frozen=True)
class Instrument:
    """``metrics`` by name; ``absent``: (name, metric, reason) of those that can't run; ``broken``: what is faulty."""

    metrics: dict[str, Metric]
    absent: tuple[tuple[str, Metric, str], ...] = ()
    broken: tuple[str, ...] = ()

    @classmethod
    def build(
        cls,
        device: str,
        also: Sequence[str] = (),
        on_missing: OnMissing = "n/a",
        random_seed: int | None = None,
        nuclei: str | None = None,
    ) -> "Instrument":
        """All registered metrics, and those on request that ``also`` names, with or without a choice: ``encoder=uni``.

        ``nuclei``: a digest of those outlined elsewhere, which metrics of nuclei then measure with, requested or not.
        ``random_seed``: networks of random weights in place of the published ones; their values say so. Raises
        UserError, with the mend, where something is missing and ``on_missing`` says so; UsageError where two metrics
        declare the same value or column, or for a choice that there is not.
        """
        asked = chosen_of(also)
        loaded, faults = registry.load_all("vsbench.metrics")
        metrics: dict[str, Metric] = {}
        absent = []
        for name, metric_class in loaded.items():
            metric: Metric = metric_class()
            if nuclei is not None and metric.takes_nuclei:
                metric.use_nuclei(nuclei)
            elif metric.on_request and name not in asked:
                continue
            if name in asked:
                _choose(name, metric, asked[name])
            metric.device = device
            if random_seed is not None:
                metric.use_random_weights(random_seed)
            reason = metric.unavailable()
            if reason is None:
                metrics[name] = metric
            else:
                absent.append((name, metric, reason))
        require_distinct(metrics | {name: metric for name, metric, _ in absent})
        if on_missing == "error" and absent:
            raise UserError("; ".join(f"{name}: {reason}" for name, _, reason in absent))
        return cls(metrics, tuple(absent), tuple(f"metric not measured: {fault}" for fault in faults.values()))

    def suited(self, pairs: Sequence[Pair]) -> "Instrument":
        """Without the metrics that need the true IHC, or its cells, where these are not known: no such thing there."""
        truth = all(pair.truth is not None for pair in pairs)
        cells = all(pair.cells is not None for pair in pairs)

        def suits(metric: Metric) -> bool:
            return (truth or not metric.needs_truth) and (cells or not metric.needs_cells)

        metrics = {name: metric for name, metric in self.metrics.items() if suits(metric)}
        absent = tuple(entry for entry in self.absent if suits(entry[1]))
        return Instrument(metrics, absent, self.broken)

    @property
    def all(self) -> list[Metric]:
        """Those that are measured, then those that are absent."""
        return [*self.metrics.values(), *(metric for _, metric, _ in self.absent)]

    @property
    def provenance(self) -> dict[str, str]:
        """What the numbers rest on: SHA-256 of weights, versions of packages, by name."""
        return {key: value for metric in self.metrics.values() for key, value in metric.provenance().items()}

    @property
    def identity(self) -> list[str]:
        """What the numbers depend on besides images."""
        return [
            *(f"{name}:{v.name}:{v.protocol}" for name, m in self.metrics.items() for v in m.values),
            *(f"{key}:{value}" for key, value in self.provenance.items()),
            *(f"{name}:absent:{reason}" for name, _, reason in self.absent),
            *self.broken,
        ]
