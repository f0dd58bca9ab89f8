"""Ablation studies: from the suite a method declares to trained runs, each configuration once.

A row's runs lie under the method's own row name, followed by the settings in which it differs from the method with the
user's settings: ``usigan+tau-0.01``. So the method as it is, and what two suites share, is trained once for all.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsbench import registry
from vsbench.dataset import pairs_of
from vsbench.engine.fit import require_fit, require_no_pairs
from vsbench.engine.progress import how_far
from vsbench.engine.request import Request
from vsbench.engine.run import Run, group_folder, row_name
from vsbench.engine.start import start
from vsbench.engine.trainer import Display, Rhythm
from vsbench.errors import RunError, UsageError, UserError
from vsbench.evaluation.evaluate import evaluate_runs
from vsbench.evaluation.group import SPLIT
from vsbench.evaluation.instrument import Instrument
from vsbench.files import digest
from vsbench.markers import marker
from vsbench.method import Method, MethodConfig, Suite, SuiteRow
from vsbench.names import brief

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LONGEST = 100  # characters of a folder's name


@dataclass(frozen=True)
class Study:
    """A suite of a method, on a data set's stain, with the user's own settings."""

    method: str
    suite: str
    dataset: str
    stain: str
    preset: str = "paper"
    options: dict[str, Any] = field(default_factory=dict)
    dataset_options: dict[str, Any] = field(default_factory=dict)
    data_root: Path | None = None
    results: Path = Path("results")

    def __post_init__(self) -> None:
        object.__setattr__(self, "stain", marker(self.stain))  # one marker, one name

    @property
    def name(self) -> str:
        """Of the files of its table: method (with variant and preset), suite, data set and stain."""
        method = row_name(self.method, self.options.get("variant", ""), self.preset, None)
        return f"{method}-{self.suite}-{self.dataset}-{self.stain}"

    @property
    def declared(self) -> Suite:
        """The suite. Raises UsageError for an unknown method or suite, listing the known ones."""
        method_class = registry.load("vsbench.methods", self.method)
        if self.suite not in method_class.suites:
            known = ", ".join(method_class.suites) or "none"
            raise UsageError(f"unknown suite {brief(self.suite)}: the suites of {method_class.card.title} are {known}")
        suite: Suite = method_class.suites[self.suite]
        return suite


@dataclass(frozen=True)
class StudyRow:
    """A row of a study: its configuration, and the request that trains it (with any seed)."""

    declared: SuiteRow
    config: MethodConfig
    differs: dict[str, Any]  # settings in which it differs from the method with the user's settings
    request: Request
    same_as: str | None = None  # the row before it that has the same configuration, and so the same runs

    @property
    def name(self) -> str:
        """Its name in the suite."""
        return self.declared.name

    @property
    def folder(self) -> str:
        """The name of the folder of its runs."""
        return self.request.row

    def run(self, seed: int) -> Run:
        """Where its run with a seed lies."""
        group = group_folder(self.request.results, self.request.dataset, self.request.stain)
        return Run(group / self.folder / f"seed-{seed}")


def study_rows(study: Study) -> list[StudyRow]:
    """The rows of a study in the suite's order. A row's settings win over the preset's.

    Raises UsageError for settings that cannot be, and where the user sets what the suite varies.
    """
    method_class = registry.load("vsbench.methods", study.method)
    suite = study.declared
    if taken := [key for key in suite.varies if key in study.options]:
        raise UsageError(f"--set {taken[0]}: the suite {study.suite} varies it; leave it out, or train it on its own")
    rows: list[StudyRow] = []
    leaders: dict[str, StudyRow] = {}
    for declared in suite.rows:
        row = _row(study, method_class, declared)
        key = row.config.model_copy(update={"variant": ""}).model_dump_json()
        if key in leaders:
            row = replace(row, request=leaders[key].request, same_as=leaders[key].name)
        rows.append(row)
        leaders.setdefault(key, row)
    return rows


def _row(study: Study, method_class: type[Method[Any]], declared: SuiteRow) -> StudyRow:
    try:
        own = own_row(method_class, study.method, study.preset, study.options, declared.overrides, declared.name)
    except UsageError as error:
        raise UsageError(f"row {declared.name} of {study.suite}: {error}") from None
    request = Request(
        study.method, study.dataset, study.stain, study.preset, study.options | declared.overrides,
        study.dataset_options, study.data_root, label=own.label, results=study.results,
    )  # fmt: skip
    return StudyRow(declared, own.config, own.differs, request)


@dataclass(frozen=True)
class OwnRow:
    """A method with some settings of its own, ``differs``; ``label`` names it by them, None where there are none."""

    config: MethodConfig
    differs: dict[str, Any]
    label: str | None


def own_row(
    method_class: type[Method[Any]], name: str, preset: str, options: dict[str, Any], own: dict[str, Any], short: str
) -> OwnRow:
    """A method with ``options``, as all rows have them, and ``own``, which make it another row: ``usigan+tau-0.01``.

    ``short``: what it is called where these are too many for a name. Raises UsageError for settings that cannot be.
    """
    variant = (options | own).get("variant", "")
    as_it_is = method_class.configure(preset, options | {"variant": variant})
    config = method_class.configure(preset, options | own)
    differs = {key: value for key, value in config if value != getattr(as_it_is, key)}
    if not differs:
        return OwnRow(config, differs, None)
    base = row_name(name, config.variant, preset, None)
    label = "+".join([base, *(f"{key}-{_in_a_name(value)}" for key, value in differs.items())])
    if len(label) > LONGEST:
        label = f"{base}+{short}-{digest([label])[:8]}"
    return OwnRow(config, differs, label)


def _in_a_name(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value).removesuffix(".0")
    return re.sub(r"[^\w.+-]+", "_", text).strip("_")


def chosen(rows: Sequence[StudyRow], only: Collection[str]) -> list[StudyRow]:
    """The rows of these names; all where there are none. Raises UsageError naming an unknown one."""
    known = [row.name for row in rows]
    if unknown := [name for name in only if name not in known]:
        raise UsageError(f"--only {unknown[0]}: no such row; the rows are {', '.join(known)}")
    return [row for row in rows if row.name in only or not only]


@dataclass(frozen=True)
class State:
    """How far a run is: ``words`` for the user; ``is_done`` only where it is finished and of this very row."""

    words: str
    is_done: bool = False


def state(row: StudyRow, seed: int) -> State:
    """How far a row's run with a seed is, from its folder alone: no image is looked at."""
    try:
        far = how_far(row.run(seed), replace(row.request, seed=seed), row.config)
    except RunError as error:
        return State(str(error))
    if far.finished:
        return State("done", is_done=True)
    return State(f"unfinished at step {far.step} of {far.steps}" if far.begun else "to do")


@dataclass(frozen=True)
class SeedDone:
    """All rows of a study have been trained and evaluated with a seed, but for those in ``failed``."""

    seed: int
    failed: frozenset[Path]  # run folders
    failures: tuple[str, ...]  # one line each


def run_study(
    rows: Sequence[StudyRow], seeds: Sequence[int], fabric: "Fabric", workers: int, rhythm: Rhythm, display: Display
) -> Iterator[SeedDone]:
    """Train and evaluate each configuration of ``rows``, all of them with one seed before the next.

    What is finished is left alone, and what is not goes on. What fails for one row leaves the others going.
    """
    once: dict[str, StudyRow] = {}
    for row in rows:
        once.setdefault(row.folder, row)
    for seed in seeds:
        runs, failures = [], []
        for row in once.values():
            display.say(f"row {row.name}, seed {seed}: {row.folder}")
            try:
                runs.append(start(replace(row.request, seed=seed), fabric, True, workers, rhythm, display))
            except UserError as error:
                failures.append(f"row {row.name}, seed {seed}: {error}")
        display.say(f"evaluating seed {seed}")
        request = rows[0].request
        instrument = Instrument.build(str(fabric.device))
        outcomes, unmeasured = evaluate_runs(runs, request.data_root, request.results, instrument, fabric.device)
        measured = {outcome.run.folder for outcome in outcomes}
        failed = frozenset(row.run(seed).folder for row in once.values()) - measured
        yield SeedDone(seed, failed, (*failures, *unmeasured))


def require_ready(study: Study, rows: Sequence[StudyRow]) -> None:
    """Find now, not after days of training, what would stop a row or its evaluation.

    Raises UserError where training or test pairs are not in order, UsageError where settings do not fit together.
    """
    source = registry.load("vsbench.datasets", study.dataset).from_options(study.dataset_options)
    for split in ("train", SPLIT):
        pairs_of(source, study.data_root, study.stain, split)
    method = registry.load("vsbench.methods", study.method)
    for row in rows:
        try:
            require_fit(method, row.config)
            if not source.paired:
                require_no_pairs(method, row.config, validates=False)
        except UsageError as error:
            raise UsageError(f"row {row.name} of {study.suite}: {error}") from None
