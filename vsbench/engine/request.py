"""What is asked of a training, and what that comes to. Nothing is written here, and no image is opened.

A request reads and writes as YAML: it is a line of a study.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from vsbench import registry
from vsbench.bounds import SEED, STEPS, require_whole
from vsbench.data.pairs import Pair, images_of, not_read
from vsbench.dataset import Dataset, data_folder, data_name
from vsbench.engine.checkpoint import chosen_checkpoint
from vsbench.engine.run import Run, group_folder, row_name
from vsbench.engine.step import Execution
from vsbench.engine.validate import HeldOut, hold_out
from vsbench.errors import UsageError
from vsbench.markers import marker
from vsbench.method import Method
from vsbench.names import brief, said
from vsbench.plain_yaml import parse_yaml
from vsbench.records.artefact import first_fault

Select = Literal["last", "best"]
Listing = Callable[[Dataset[Any], Path, str], list[Pair]]  # a data set's training pairs, below a root, of a stain


@dataclass(frozen=True)
class Request:
    """What to train on what. ``options`` are the method's settings, ``dataset_options`` the data set's.

    ``data_name``: what its pairs are called in tables; else the data set's name, or of one's own pairs their folder's.
    ``select``: which checkpoint stands for the run, the last or the best on the slides that validation holds out of the
    training set. They are held out where ``validate_every`` is given, or ``select`` needs them (it is then the steps
    between checkpoints). ``cache_tiles``: where the training tiles are kept decoded. ``start_from``: a run folder, or a
    file of weights, from whose weights the training starts, all networks; its optimizers start afresh.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    method: str
    dataset: str
    stain: str
    preset: str = "paper"
    options: dict[str, Any] = field(default_factory=dict)
    dataset_options: dict[str, Any] = field(default_factory=dict)
    data_root: Path | None = None
    seed: int = 0
    label: str | None = None
    results: Path = Path("results")
    execution: Execution = field(default_factory=Execution)
    select: Select = "last"
    validate_every: int | None = None
    validation_share: float = 0.2
    cache_tiles: Path | None = None
    start_from: Path | None = None
    data_name: str | None = None

    def __post_init__(self) -> None:
        if self.select not in get_args(Select):
            raise UsageError(f"--select {brief(self.select)}: one of {', '.join(get_args(Select))}")
        object.__setattr__(self, "stain", marker(self.stain))  # one marker, one name
        require_whole("--seed", self.seed, 0, SEED)
        if self.validate_every is not None:
            require_whole("--validate-every", self.validate_every, 1, STEPS)
        if not isinstance(self.validation_share, float) or not 0 < self.validation_share < 1:  # as NaN is not
            share = brief(self.validation_share)
            raise UsageError(f"--validation-share {share}: a share of the slides, between 0 and 1")

    @property
    def row(self) -> str:
        """The name of its table row, and of the folder of its runs."""
        return row_name(self.method, self.options.get("variant", ""), self.preset, self.label)

    @property
    def validates(self) -> bool:
        """Whether slides are held out."""
        return self.select == "best" or self.validate_every is not None

    def as_yaml(self) -> str:
        """What differs from a request's defaults, as YAML that ``from_yaml`` reads back to an equal request."""
        given = TypeAdapter(Request).dump_python(self, mode="json", exclude_defaults=True)
        return yaml.safe_dump(given, sort_keys=False, allow_unicode=True)

    @classmethod
    def from_yaml(cls, text: str) -> "Request":
        """Raises UsageError naming the first key that is unknown, missing or of another kind."""
        try:
            return TypeAdapter(cls).validate_python(parse_yaml(text))
        except ValidationError as error:  # first, since it is a ValueError too
            raise UsageError(f"request: {first_fault(error)}") from None
        except ValueError as error:
            raise UsageError(f"request: {said(error)}") from None


@dataclass(frozen=True)
class Resolved:
    """What a request comes to."""

    request: Request
    method_class: type[Method[Any]]
    config: Any
    run: Run
    root: Path
    pairs: HeldOut
    paired: bool  # whether H&E and IHC of a training pair belong together
    splits: tuple[str, ...]  # that the data set has
    weights: Path | None = None  # of which the training starts; None: drawn at random
    data_name: str | None = None  # what the pairs are called; None: as the data set is
    unattainable: str | None = None  # why no real data can have such training pairs, where that is so

    @property
    def row(self) -> str:
        """The name of its table row, which is that of the run's folder."""
        return self.run.folder.parent.name

    @property
    def not_read(self) -> list[str]:
        """What lies beside the training images, in a sentence; none where nothing does."""
        return not_read(images_of([*self.pairs.train, *self.pairs.validation]), self.splits)

    @property
    def set_aside(self) -> list[str]:
        """What of the preset was set aside for what the user set, in a sentence each."""
        request = self.request
        options = {key: value for key, value in request.options.items() if key == "variant"}
        steps = self.method_class.configure(request.preset, options).steps
        if steps is None or self.config.steps is not None:
            return []
        length = f"epochs={self.config.epochs} and decay_epochs={self.config.decay_epochs}"
        return [f"the preset {request.preset}'s steps={steps} are set aside: the training lasts {length}"]

    @property
    def title(self) -> str:
        """The title of its table row: the label where one is given."""
        request, variant = self.request, self.config.variant
        if request.label is not None:
            return request.label
        remarks = [part for part in (variant, "" if request.preset == "paper" else f"{request.preset} preset") if part]
        title = self.method_class.card.title
        return f"{title} ({', '.join(remarks)})" if remarks else title


def list_pairs(dataset: Dataset[Any], root: Path, stain: str) -> list[Pair]:
    """What a training learns from, held out or not. Raises UsageError and DataError."""
    return dataset.training_pairs(root, stain)


def resolve(request: Request, listing: Listing = list_pairs) -> Resolved:
    """Find method, data set and pairs. ``listing``: who looks for the pairs. Raises UsageError and DataError."""
    method_class = registry.load("vsbench.methods", request.method)
    config = method_class.configure(request.preset, request.options)
    dataset = registry.load("vsbench.datasets", request.dataset).from_options(request.dataset_options)
    row = row_name(request.method, config.variant, request.preset, request.label)
    run = Run(group_folder(request.results, request.dataset, request.stain) / row / f"seed-{request.seed}")
    root = data_folder(dataset, request.data_root)
    pairs = listing(dataset, root, request.stain)
    parts = HeldOut(pairs, [])
    if request.validates and dataset.paired:
        parts = hold_out(pairs, request.validation_share, request.seed)
    weights = None if request.start_from is None else _weights(request.start_from)
    name = data_name(dataset, request.data_name, request.data_root)
    return Resolved(
        request, method_class, config, run, root, parts, dataset.paired, dataset.splits, weights, name,
        dataset.unattainable,
    )  # fmt: skip


def _weights(given: Path) -> Path:
    """The weights of a run folder, or the file itself. Raises UsageError where there is neither."""
    if given.is_dir():
        return chosen_checkpoint(Run(given)).weights
    if not given.is_file():
        raise UsageError(f"--from {given}: no run folder and no file; give one of them")
    return given
