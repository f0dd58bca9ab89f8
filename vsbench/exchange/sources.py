"""What a command may be given where a generator is asked for: a run folder, a bundle, or a file of weights."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsbench import registry
from vsbench.dataset import data_folder, data_name
from vsbench.engine.checkpoint import IMPORTED, load_method, weights_of
from vsbench.engine.run import Run, group_folder, require_one_row
from vsbench.errors import RunError, UsageError
from vsbench.exchange.bundle import Bundle, open_bundle
from vsbench.files import atomic
from vsbench.records.bundle import BundleCard, is_bundle
from vsbench.records.run import BundleOrigin, ImportedRecord


@dataclass(frozen=True)
class Pairs:
    """The pairs on which a bundle is to be a row; None: those of the data set and stain that it learnt from."""

    dataset: str | None = None
    stain: str | None = None
    options: dict[str, Any] | None = None
    data_root: Path | None = None
    called: str | None = None


@dataclass(frozen=True)
class Generator:
    """A weights file that translates, and where it comes from; a file alone tells nothing of its training."""

    weights: Path
    run: Run | None = None
    card: BundleCard | None = None

    @property
    def stain(self) -> str | None:
        """What it learnt to make; None where that is not known."""
        return self.card.stain if self.card is not None else self.run.record.stain if self.run is not None else None

    @property
    def pixel_size(self) -> float | None:
        """µm a pixel of the images that it learnt from; None where that is not known."""
        if self.card is not None:
            return self.card.pixel_size
        return self.run.pixel_size if self.run is not None else None


@contextmanager
def generator_of(source: Path) -> Iterator[Generator]:
    """What translates, as long as this holds. Raises RunError, or DataError for a bad zip."""
    if is_bundle(source):
        with open_bundle(source) as bundle:
            yield Generator(bundle.generator, card=bundle.card)
    elif source.is_dir():
        yield Generator(weights_of(Run(source)), Run(source))
    elif not source.exists():
        raise RunError(f"{source}: no such file or folder; give a run folder, a bundle, or a file of weights")
    else:
        yield Generator(source)


def run_at(source: Path, results: Path, pairs: Pairs | None = None) -> Run:
    """The run of a folder; of a bundle the run folder that it has, or gets, below ``results``.

    It lies at ``<results>/runs/<dataset>-<stain>/<name>+bundle-<digest>/bundle/``, so that two bundles never share a
    row, and is from then on a run like any other. Raises UsageError for unknown names and for ``pairs`` of a run, whose
    own are known; RunError and DataError as ``open_bundle`` does.
    """
    if not is_bundle(source):
        if pairs is not None and pairs.dataset is not None:
            raise UsageError(f"{source}: a run belongs to its own pairs; vsbench export makes a bundle, a row anywhere")
        return Run(source)
    with open_bundle(source) as bundle:
        return _take_in(source, bundle, results, pairs or Pairs())


def _take_in(source: Path, bundle: Bundle, results: Path, pairs: Pairs) -> Run:
    card, elsewhere = bundle.card, pairs.dataset is not None
    dataset_name, stain = pairs.dataset or card.dataset, pairs.stain or card.stain
    options = pairs.options if elsewhere or pairs.options else card.dataset_options
    called = pairs.called or (None if elsewhere else card.data_name)
    dataset = registry.load("vsbench.datasets", dataset_name).from_options(options or {})
    method = load_method(bundle.generator)
    if (method.config.model_dump(mode="json"), registry.load("vsbench.methods", card.method)) != (
        card.config, type(method),
    ):  # fmt: skip
        raise RunError(f"{source}: its card names other settings than its generator has; {card.mend}")
    row = f"{card.name[:70]}+bundle-{card.weights[:8]}"
    run = Run(group_folder(results, dataset_name, stain) / row / "bundle")
    record = ImportedRecord(
        schema=2, row=row, title=f"{card.title} (bundle {card.version})", method=card.method, variant=card.variant,
        preset=card.preset, config=card.config, dataset=dataset_name, dataset_options=options or {}, stain=stain,
        data_root=str(data_folder(dataset, pairs.data_root)), data_name=data_name(dataset, called, pairs.data_root),
        origin=source.resolve().name, origin_digest=card.weights,
        parameters={method.translator: sum(p.numel() for p in method.get_submodule(method.translator).parameters())},
        bundle=BundleOrigin(name=card.name, version=card.version, learnt_from=f"{card.dataset}-{card.stain}"),
    )  # fmt: skip
    require_one_row(run, record)
    weights = run.checkpoints / IMPORTED
    if not weights.exists():
        with atomic(weights) as temporary:
            shutil.copyfile(bundle.generator, temporary)
    if not run.record_file.exists() or run.record != record:
        run.write_record(record)
    return run
