"""What a row of a table is made of: trained runs, images made elsewhere, and references that need no training."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsbench import __version__, ranks
from vsbench.data.pairs import few, not_read
from vsbench.data.seams import read_seams
from vsbench.engine.checkpoint import load_method, weights_of
from vsbench.engine.run import Run, require_one_row
from vsbench.engine.surroundings import device_name
from vsbench.engine.translate import Stopwatch, translate_files, translate_image
from vsbench.errors import DataError, RunError, UsageError, UserError
from vsbench.evaluation.group import PROTOCOL, SPLIT, Group
from vsbench.evaluation.onepass import FindSeams, Maker
from vsbench.evaluation.outside import find, foreign_inputs, lossy_warning, reader, resize_warning, stored_sizes
from vsbench.evaluation.references import REFERENCES, ReferenceRow, Training
from vsbench.files import digest, file_digest
from vsbench.names import checked_name
from vsbench.records.images import Stamp
from vsbench.records.run import ExternalRecord, ImportedRecord, ReferenceRecord, RunRecord, TrainedRecord
from vsbench.records.summary import Summary

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Row:
    """The images to be judged in one row.

    ``files``: pair id → file, where the images are files; ``made_of`` identifies them where they are not.
    """

    run: Run
    record: RunRecord
    make: Maker
    files: dict[str, Path] | None = None
    made_of: str = ""
    protocol: str = PROTOCOL
    warnings: tuple[str, ...] = ()
    seams: FindSeams | None = None  # None: nothing of it is stitched


def reference_rows(group: Group) -> list[Row]:
    """The rows that need no training; those made from the training split only where it is here.

    One that does not exist for these images is left out, and the group's warnings say why.
    """
    rows, train = [], Training(group.train)
    for reference in REFERENCES.values():
        if (group.train or not reference.needs_train) and reference.exists(group.pairs):
            try:
                rows.append(_reference_row(group, reference, train))
            except DataError as error:
                group.warnings.append(f"no row {reference.title!r}: {error}")
    return rows


def _reference_row(group: Group, row: ReferenceRow, train: Training) -> Row:
    run = Run(group.folder / row.name / "reference")
    made_of = digest([row.name, __version__, group.data_digest, group.train_digest if row.needs_train else ""])
    state = _fitted_before(run, row, made_of)
    if state is None:
        state = row.fit(train, group.pairs)
    record = ReferenceRecord(
        schema=2, row=row.name, title=row.title, made_of=made_of, state=state, state_digest=_digest_of(state),
        dataset=group.dataset, dataset_options=group.options, stain=group.stain, data_name=group.name,
    )  # fmt: skip
    write_record(run, record)
    unchanged = state.get("unchanged", [])
    warnings = (f"{len(unchanged)} H&E images are as they were: {few(unchanged)}",) if unchanged else ()
    return Row(run, record, row.maker(state, group.pairs), made_of=made_of, protocol=group.protocol, warnings=warnings)


def _fitted_before(run: Run, row: ReferenceRow, made_of: str) -> dict[str, Any] | None:
    """What a reference fitted to the same images; None where it has not, or its record is not in order."""
    try:
        there = run.record
    except RunError:  # made anew
        return None
    if not isinstance(there, ReferenceRecord) or there.made_of != made_of or not row.fits(there.state):
        return None
    return there.state if there.state_digest == _digest_of(there.state) else None


def _digest_of(state: dict[str, Any] | None) -> str:
    return digest([json.dumps(state, sort_keys=True)])


def translated_row(
    run: Run,
    group: Group,
    device: "torch.device",
    done: Callable[[Path], None] | None = None,
    elsewhere: bool = False,
) -> Row:
    """Translate the test split where images are missing or outdated; several ranks share the work.

    ``elsewhere``: the run is only read, and all that is made of it goes to a folder of its own in the group's results.
    Raises RunError where the run is an unfinished training, or none and no imported generator.
    """
    record = run.record
    if not isinstance(record, TrainedRecord | ImportedRecord):
        raise RunError(f"{run.folder}: no weights to translate with ({record.kind})")
    if isinstance(record, TrainedRecord) and not record.finished:
        raise RunError(f"{run.folder}: training is not finished; go on with --resume, or remove the folder")
    weights = weights_of(run)
    if elsewhere:
        run = taken_over(run, record, group)
    files = {p.id: run.images(SPLIT) / f"{p.id}.png" for p in group.pairs}
    try:
        weights_digest = file_digest(weights)
    except OSError as trouble:
        raise RunError(f"{weights}: cannot be read ({trouble.strerror}); put it back, or train again") from None
    made_from = Stamp(weights=weights_digest, he=group.he_digest)
    stamp = run.stamp(SPLIT)
    if ranks.rank() == 0 and not _up_to_date(stamp, made_from):
        for old in run.images(SPLIT).glob("*.png"):
            old.unlink()
        made_from.write(stamp)
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
    small = record.preset is not None and record.preset != "paper"
    warnings = [f"{record.preset} preset: not the published configuration"] if small else []
    if isinstance(record, ImportedRecord):
        warnings.append(f"trained elsewhere: the generator {record.origin}, SHA-256 {record.origin_digest[:12]}…")
        if record.bundle is not None and record.bundle.learnt_from != f"{group.dataset}-{group.stain}":
            warnings.append(f"learnt from {record.bundle.learnt_from}, not from pairs of this data set and stain")
    elif record.unattainable:
        warnings.insert(0, record.unattainable)
    return Row(run, record, reader(files), files, protocol=group.protocol, warnings=tuple(warnings))


def taken_over(run: Run, record: RunRecord, group: Group) -> Run:
    """A folder in the group's results with the run's record. RunError where that holds another run."""
    place = Run(group.folder / record.row / run.folder.name)
    if place.record_file.exists() and place.record != record:
        raise RunError(f"{place.folder}: holds another run than {run.folder}; give another --out")
    require_one_row(place, record)
    write_record(place, record)
    return place


def _up_to_date(stamp: Path, made_from: Stamp) -> bool:
    """Whether the images there are of these weights and H&E. A stamp that is not in order says nothing of them."""
    try:
        there = Stamp.read(stamp)
    except RunError:
        return False
    return (there.weights, there.he) == (made_from.weights, made_from.he)


def _note_speed(stamp: Path, device: str, watches: Sequence[Stopwatch]) -> None:
    """Add to what the images are made from the ``seconds`` that so many ``images`` took on one device of a kind.

    Several devices that share the work add up both. Beside those of the same kind from before an interruption, since
    nothing is translated twice; another kind begins anew.
    """
    there = Stamp.read(stamp)
    same = there.device == device
    seconds = (there.seconds or 0.0) * same + sum(watch.seconds for watch in watches)
    images = (there.images or 0) * same + sum(watch.images for watch in watches)
    there.model_copy(update={"seconds": round(seconds, 4), "images": images, "device": device}).write(stamp)


def external_row(folder: Path, name: str, group: Group, suffix: str | None = None, resize: str | None = None) -> Row:
    """Images made elsewhere: one per test pair, with its stem; ``suffix``: what follows the stem. ``resize``: the rule
    that brings them to the size of the real IHC, where the group has no size at which all are measured. Nothing is
    written: a row of which nothing could be measured leaves nothing behind.

    Raises DataError listing stems that are missing or too many.
    """
    found = find(folder, [p.id for p in group.pairs], suffix=suffix)
    run = Run(group.folder / checked_name(name, "--name") / "external")
    if group.size is not None and resize is None:
        resize = _rule_before(run)
    record = ExternalRecord(
        schema=2, row=name, title=name, dataset=group.dataset, stain=group.stain, dataset_options=group.options,
        data_name=group.name,
        data_root=None if group.data_root is None else str(group.data_root.resolve()), images=str(folder.resolve()),
        suffix=suffix, resize=resize,
    )  # fmt: skip
    files = found.files.values()
    require_one_row(run, record)
    require_same_images(run, record, lambda: group.images_digest(found.files))
    warnings = ["images made elsewhere", *filter(None, [found.rule]), *foreign_inputs(found, group.pairs)]
    warnings += [*lossy_warning(files), *not_read(files)]
    protocol = group.protocol
    if group.size is not None:
        warnings.append(stored_sizes(files))
    elif resize is not None:
        warnings.append(resize_warning(files, resize))
        protocol = f"resize-{resize}"
    make = reader(found.files, resize, group.size)
    stored = group.size is None and resize is None  # at another size the seams are in other places, and smoothed
    seams = (lambda pair: read_seams(found.files[pair.id])) if stored else None
    return Row(run, record, make, dict(found.files), "", protocol, tuple(warnings), seams)


def require_same_images(run: Run, record: ExternalRecord, images: Callable[[], str]) -> None:
    """Raise UsageError where the row of images made elsewhere has been measured of others than these.

    ``images``: gives their digest. Where they lie as before they are the row's, though they have changed; elsewhere
    they are where they are the same.
    """
    there = _external_before(run)
    if there is None or (there.images, there.suffix) == (record.images, record.suffix):
        return
    measured = set()
    for file in run.folder.glob("evaluation/*/summary.json"):
        try:
            measured.add(Summary.read(file).images_digest)
        except RunError:  # measured again, of whatever images
            continue
    if measured and images() not in measured:
        which = "" if there.suffix is None else f", *{there.suffix}"
        raise UsageError(
            f"{run.folder}: the row {record.row} holds other images ({there.images}{which}); choose another --name, "
            "or move the folder away"
        )


def _rule_before(run: Run) -> str | None:
    """The rule by which a row of images is brought to the size of the real IHC, where nobody asks for that now."""
    there = _external_before(run)
    return None if there is None else there.resize


def _external_before(run: Run) -> ExternalRecord | None:
    try:
        there = run.record
    except RunError:
        return None
    return there if isinstance(there, ExternalRecord) else None


def write_record(run: Run, record: RunRecord) -> None:
    """Write a record that is not there yet: finished results may lie where nothing can be written."""
    if ranks.rank() == 0 and not _is_there(run, record):
        run.write_record(record)


def _is_there(run: Run, record: RunRecord) -> bool:
    try:
        return run.record == record
    except RunError:
        return False
