"""What a row of a table is made of: trained runs, images made elsewhere, and references that need no training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsbench import __version__, ranks
from vsbench.data.pairs import few
from vsbench.engine.checkpoint import chosen_checkpoint, load_method
from vsbench.engine.record import device_name
from vsbench.engine.run import Run, checked_name
from vsbench.engine.translate import Stopwatch, translate_files, translate_image
from vsbench.errors import DataError, RunError, UserError
from vsbench.evaluation.group import SPLIT, Group
from vsbench.evaluation.onepass import Maker
from vsbench.evaluation.outside import find, foreign_inputs, reader, resize_warning
from vsbench.evaluation.references import REFERENCES, ReferenceRow
from vsbench.files import digest, file_digest, read_json, write_json

if TYPE_CHECKING:
    import torch

PROTOCOL = "native"  # stored size, no resize, all pairs of the split


@dataclass(frozen=True)
class Row:
    """The images to be judged in one row.

    ``files``: pair id → file, where the images are files; ``made_of`` identifies them where they are not.
    """

    run: Run
    record: dict[str, Any]
    make: Maker
    files: dict[str, Path] | None = None
    made_of: str = ""
    protocol: str = PROTOCOL
    warnings: tuple[str, ...] = ()


def reference_rows(group: Group) -> list[Row]:
    """The rows that need no training; those made from the training split only where it is here.

    One that does not exist for these images is left out, and the group's warnings say why.
    """
    rows = []
    for reference in REFERENCES.values():
        if (group.train or not reference.needs_train) and reference.exists(group.pairs):
            try:
                rows.append(_reference_row(group, reference))
            except DataError as error:
                group.warnings.append(f"no row {reference.title!r}: {error}")
    return rows


def _reference_row(group: Group, row: ReferenceRow) -> Row:
    run = Run(group.folder / row.name / "reference")
    made_of = digest([row.name, __version__, group.data_digest, group.train_digest if row.needs_train else ""])
    record: dict[str, Any] = {
        "kind": "reference", "row": row.name, "title": row.title, "seed": None, "made_of": made_of,
        "dataset": group.dataset, "dataset_options": group.options, "stain": group.stain,
    }  # fmt: skip
    state = None
    if run.record_file.is_file() and (there := run.record).get("made_of") == made_of:
        state = there.get("state")
    if state is None:
        state = row.fit(group.train, group.pairs)
    record["state"] = state
    _write_record(run, record)
    unchanged = state.get("unchanged", [])
    warnings = (f"{len(unchanged)} H&E images are as they were: {few(unchanged)}",) if unchanged else ()
    return Row(run, record, row.maker(state, group.pairs), made_of=made_of, warnings=warnings)


def trained_row(run: Run, group: Group, device: "torch.device", done: Callable[[Path], None] | None = None) -> Row:
    """Translate the test split where images are missing or outdated; several ranks share the work.

    Raises RunError where the run is unfinished.
    """
    record = run.record
    if not record["finished"]:
        raise RunError(f"{run.folder}: training is not finished; go on with --resume, or remove the folder")
    weights = chosen_checkpoint(run).weights
    files = {p.id: run.images(SPLIT) / f"{p.id}.png" for p in group.pairs}
    made_from = {"weights": file_digest(weights), "he": group.he_digest}
    stamp = run.folder / "images" / f"{SPLIT}.json"
    if ranks.rank() == 0 and (not stamp.is_file() or not made_from.items() <= read_json(stamp).items()):
        for old in run.images(SPLIT).glob("*.png"):
            old.unlink()
        write_json(stamp, made_from)
    ranks.collect(None)  # what is outdated is gone before any rank looks
    missing = [(p.he, files[p.id]) for p in group.pairs if not files[p.id].is_file()]
    ranks.collect(None)  # all have looked before any writes
    mine, error, watch = missing[ranks.rank() :: ranks.ranks()], None, Stopwatch()
    try:
        if mine:
            translate_files(load_method(weights), mine, device, done, watch.timed(translate_image))
    except UserError as found:
        error = found
    for told in ranks.collect(error):
        if told is not None:
            raise told
    watches = ranks.collect(watch)
    if ranks.rank() == 0 and any(watch.images for watch in watches):
        _note_speed(stamp, device_name(device), watches)
    warnings = () if record["preset"] == "paper" else (f"{record['preset']} preset: not the published configuration",)
    return Row(run, record, reader(files), files, warnings=warnings)


def _note_speed(stamp: Path, device: str, watches: Sequence[Stopwatch]) -> None:
    """Add to what the images are made from the ``seconds`` that so many ``images`` took on one device of a kind.

    Several devices that share the work add up both. Beside those of the same kind from before an interruption, since
    nothing is translated twice; another kind begins anew.
    """
    there = read_json(stamp)
    before = there if there.get("device") == device else {"seconds": 0.0, "images": 0}
    seconds = before["seconds"] + sum(watch.seconds for watch in watches)
    images = before["images"] + sum(watch.images for watch in watches)
    write_json(stamp, there | {"seconds": round(seconds, 4), "images": images, "device": device})


def external_row(folder: Path, name: str, group: Group, suffix: str | None = None, resize: str | None = None) -> Row:
    """Images made elsewhere: one per test pair, with its stem; ``suffix``: what follows the stem.

    Raises DataError listing stems that are missing or too many.
    """
    found = find(folder, [p.id for p in group.pairs], suffix=suffix)
    run = Run(group.folder / checked_name(name, "--name") / "external")
    record: dict[str, Any] = {
        "kind": "external", "row": name, "title": name, "seed": None, "dataset": group.dataset, "stain": group.stain,
        "dataset_options": group.options, "images": str(folder.resolve()), "suffix": suffix, "resize": resize,
    }  # fmt: skip
    _write_record(run, record)
    warnings = ["images made elsewhere", *filter(None, [found.rule]), *foreign_inputs(found, group.pairs)]
    if resize is not None:
        warnings.append(resize_warning(found.files.values(), resize))
    protocol = PROTOCOL if resize is None else f"resize-{resize}"
    return Row(run, record, reader(found.files, resize), dict(found.files), "", protocol, tuple(warnings))


def _write_record(run: Run, record: dict[str, Any]) -> None:
    if ranks.rank() == 0:
        run.write_record(record)
