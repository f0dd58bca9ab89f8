"""A run folder from a generator that others trained with a method's official code."""

from pathlib import Path
from typing import Any

import torch

from vsbench import registry
from vsbench.dataset import data_folder, data_name
from vsbench.engine.checkpoint import IMPORTED, save_translator
from vsbench.engine.run import Run, group_folder, require_one_row, row_name
from vsbench.errors import RunError
from vsbench.exchange.official import adopt
from vsbench.files import file_digest
from vsbench.method import Method
from vsbench.records.run import ImportedRecord


def import_generator(
    file: Path,
    method_name: str,
    dataset_name: str,
    stain: str,
    options: dict[str, Any],
    dataset_options: dict[str, Any],
    data_root: Path | None = None,
    label: str | None = None,
    results: Path = Path("results"),
    called: str | None = None,
) -> Run:
    """Write ``<results>/runs/<dataset>-<stain>/<row>/imported/`` and return it; the very same there already is left.

    The row is called METHOD[+VARIANT]+imported, or ``label``, and the pairs ``called``. Raises UsageError for unknown
    names and settings, and where the file holds another network than these settings have, UserError where it can't be
    read, RunError where the folder holds something else.
    """
    method_class = registry.load("vsbench.methods", method_name)
    dataset = registry.load("vsbench.datasets", dataset_name).from_options(dataset_options)
    config = method_class.configure(options=options)
    row = row_name(method_name, config.variant, "imported", label)
    run = Run(group_folder(results, dataset_name, stain) / row / "imported")
    torch.manual_seed(0)  # of networks that are not in the file and are not kept
    method: Method[Any] = method_class(config)
    adopt(file, method_name, method)
    remarks = ", ".join(part for part in (config.variant, "imported") if part)
    network = method.get_submodule(method.translator)
    record = ImportedRecord(
        schema=2, row=row, title=label or f"{method_class.card.title} ({remarks})", method=method_name,
        variant=config.variant, config=config.model_dump(mode="json"), dataset=dataset_name,
        dataset_options=dataset_options, stain=stain, data_root=str(data_folder(dataset, data_root)),
        data_name=data_name(dataset, called, data_root),
        origin=file.name, origin_digest=file_digest(file),
        parameters={method.translator: sum(p.numel() for p in network.parameters())},
    )  # fmt: skip
    require_one_row(run, record)
    weights = run.checkpoints / IMPORTED
    if run.record_file.exists():
        if run.record.made != record.made:
            raise RunError(f"{run.folder}: holds another import; choose another --label")
        if weights.exists():
            return run
    save_translator(weights, method_name, method)
    run.write_record(record)
    return run
