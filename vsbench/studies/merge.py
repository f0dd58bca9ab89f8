"""Results folders of several machines become one: run folder by run folder, each whole or not at all.

What would stop it is found before anything is written; the folders that are merged are only read. An interrupted merge
goes on when it is asked for again.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vsbench.data.pairs import few
from vsbench.engine.checkpoint import checkpoints, chosen_checkpoint, require_whole
from vsbench.engine.lock import holder_of, locked
from vsbench.engine.run import Run
from vsbench.errors import RunError, UsageError, UserError
from vsbench.evaluation.group import FOLDS
from vsbench.files import TEMPORARY, atomic, file_digest
from vsbench.records.run import ImportedRecord, ReferenceRecord, RunRecord, TrainedRecord
from vsbench.records.study import StudyRecord
from vsbench.records.summary import Summary
from vsbench.report.studies import FOLDER as SUITES

# What is never written in place once it is there, so that two results folders may share the file; the rest is copied
LINKED = ("checkpoints", "images", "samples")
MADE, BEFORE = ".merging/made", ".merging/before"  # below the results: what is half made, what is being replaced
Say = Callable[[str], None]
Verdict = Literal["same", "further", "behind"]  # of a run, beside one of the same name


@dataclass
class Merged:
    """What became of the run folders of all results that were merged."""

    added: list[Path] = field(default_factory=list)
    replaced: list[Path] = field(default_factory=list)  # by a run of the same training that is further
    there: list[Path] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # and why


def merge(sources: Sequence[Path], into: Path, say: Say, copy: bool = False) -> Merged:
    """Bring all run folders of ``sources``, and what ablation studies there are, into the results folder ``into``.

    Checkpoints and images are hard links where the file system allows them, unless ``copy``; each file's digest is that
    of its source, and each checkpoint and table that of its record. Of two runs of one training that is not finished,
    the one that is further stays. Raises UsageError for folders that can't be merged, and RunError naming two different
    runs of one name, or what is damaged, before anything is written.
    """
    for source in sources:
        if not (source / "runs").is_dir() and not (source / FOLDS).is_dir():
            raise UsageError(f"{source}: no results folder of vsbench (no runs in it)")
        one, other = source.resolve(), into.resolve()
        if one == other or one in other.parents or other in one.parents:
            raise UsageError(f"{source} and {into}: one lies in the other; merge into another folder")
    with locked(into, say, "wait for it, or stop it"):
        _finish_replacing(into)
        merged = Merged()
        chosen = _choose(sources, into, merged)
        suites = _suites(sources, into)
        for place, runs in chosen.items():
            target = Run(into / place)
            if target.record_file.exists() and _verdict(runs[0], target) == "same":
                merged.there.append(target.folder)
            else:
                (merged.replaced if target.folder.exists() else merged.added).append(target.folder)
                _bring(runs.pop(0).folder, into, place, copy, lambda made: _require_whole(Run(made)))
            for run in runs:
                _add_parts(run, target, into, copy, say)
        for file, record in suites.items():
            record.write(into / file)
        shutil.rmtree(into / MADE.split("/")[0], ignore_errors=True)
    return merged


def _choose(sources: Sequence[Path], into: Path, merged: Merged) -> dict[Path, list[Run]]:
    """The run for each place below the results: of several of one training the furthest, and after it those that are
    as far, which may have parts of their own. Raises RunError.
    """
    chosen: dict[Path, list[Run]] = {}
    faults: list[str] = []
    for source in sources:
        for place in _places(source):
            run = Run(source / place)
            try:
                record = run.record
                if (f"{record.dataset}-{record.stain}", record.row) != run.folder.parts[-3:-1]:
                    raise RunError(f"{run.record_file}: speaks of another row than its folder; move it back")
                unfinished = isinstance(record, TrainedRecord) and not record.finished
                if unfinished and (holder := holder_of(run.folder)) is not None:
                    merged.left.append(f"{run.folder}: in use by {holder}; merge again when it is done")
                    continue
                there = [Run(into / place)] if (into / place / "run.json").exists() else []
                rival = next(iter(chosen.get(place, there)), None)
                verdict = "further" if rival is None else _verdict(run, rival)
                if verdict == "behind":
                    merged.left.append(f"{run.folder}: {rival.folder if rival else ''} is further with this training")
                elif verdict == "further":
                    chosen[place] = [run]
                else:
                    chosen.setdefault(place, []).append(run)
                _require_one_row(place, record, chosen, into)
            except UserError as error:
                faults.append(str(error))
    if faults:
        raise RunError(few(list(dict.fromkeys(faults))))
    return chosen


def _places(results: Path) -> Iterator[Path]:
    """The run folders of a results folder and its folds, as they lie below it."""
    for runs in ("runs", f"{FOLDS}/*/runs"):
        for file in sorted(results.glob(f"{runs}/*/*/*/run.json")):
            yield file.parent.relative_to(results)


def _verdict(run: Run, rival: Run) -> Verdict:
    """How a run stands to one of the same name. Raises RunError naming both where they are different runs."""
    here, there = run.record, rival.record
    differing = _differences(here, there)
    if not differing and isinstance(here, TrainedRecord) and isinstance(there, TrainedRecord):
        if here.finished != there.finished:
            return "further" if here.finished else "behind"
        if not here.finished:
            steps, others = (max((c.step for c in checkpoints(r.checkpoints)), default=0) for r in (run, rival))
            return "same" if steps == others else "further" if steps > others else "behind"
        one, other = (require_whole(chosen_checkpoint(r)) for r in (run, rival))
        differing = [] if one == other else ["the same training with other weights, as other devices give them"]
    if not differing:
        differing = _other_images(run, rival)
    if differing:
        what = ", ".join(differing)
        raise RunError(
            f"{run.folder} and {rival.folder}: two different runs of one name ({what}); rename one, or leave it"
        )
    return "same"


def _differences(here: RunRecord, there: RunRecord) -> list[str]:
    if here.kind != there.kind:
        return [f"{here.kind} and {there.kind}"]
    if isinstance(here, TrainedRecord) and isinstance(there, TrainedRecord):
        return here.differences(there)
    if isinstance(here, ReferenceRecord) and isinstance(there, ReferenceRecord) and here.made_of != there.made_of:
        return ["made from other images, or by another version"]
    return [] if here.made == there.made else ["made otherwise"]


def _other_images(run: Run, rival: Run) -> list[str]:
    """Whether what was measured of two runs was of different images, as the record of foreign ones does not say."""
    if run.record.kind != "external":
        return []
    for file in sorted(run.folder.glob("evaluation/*/summary.json")):
        other = rival.folder / file.relative_to(run.folder)
        if other.exists() and Summary.read(file).images_digest != Summary.read(other).images_digest:
            return ["other images"]
    return []


def _require_one_row(place: Path, record: RunRecord, chosen: dict[Path, list[Run]], into: Path) -> None:
    """Raise RunError where the row's folder would hold what was made otherwise: its runs differ in the seed alone."""
    beside = {other.name: runs[0].folder for other, runs in chosen.items() if other.parent == place.parent}
    beside = {file.parent.name: file.parent for file in (into / place.parent).glob("*/run.json")} | beside
    for name, folder in sorted(beside.items()):
        if name != place.name and not record.may_stand_beside(Run(folder).record):
            raise RunError(
                f"{place.parent}: {place.name} and {folder} are rows of one name, made otherwise; rename one"
            )


def _suites(sources: Sequence[Path], into: Path) -> dict[Path, StudyRecord]:
    """The records of ablation studies as they will be, by their place: the seeds of all. Raises RunError."""
    found: dict[Path, StudyRecord] = {}
    for results in (into, *sources):
        for file in sorted((results / SUITES).glob("[!.]*.json")):
            place, record = file.relative_to(results), StudyRecord.read(file)
            there = found.setdefault(place, record)
            if there.model_copy(update={"seeds": record.seeds, "own": record.own}) != record:
                raise RunError(f"{file}: another study than {place} elsewhere; rename one")
            both = {"seeds": sorted({*there.seeds, *record.seeds}), "own": sorted({*there.own, *record.own})}
            found[place] = there.model_copy(update=both)
    return found


def _add_parts(run: Run, target: Run, into: Path, copy: bool, say: Say) -> None:
    """Evaluations and images that the same run has here alone."""
    for folder in sorted(run.folder.glob("evaluation/*")):
        own = target.folder / folder.relative_to(run.folder)
        if not own.exists():
            _bring(folder, into, own.relative_to(into), copy, _require_measured)
        elif _digests(folder) != _digests(own):
            say(f"{folder}: measured otherwise than {own}, which stays")
    for folder in sorted(path for path in run.folder.glob("images/*") if path.is_dir()):
        own, stamp = target.images(folder.name), run.stamp(folder.name)
        if not own.exists():
            _bring(folder, into, own.relative_to(into), copy, lambda _: None)
            if stamp.exists():
                _place(stamp, target.stamp(folder.name), copy=True)


def _bring(source: Path, into: Path, place: Path, copy: bool, require: Callable[[Path], None]) -> None:
    """Make a folder at ``into / place`` of what is in ``source``, whole or not at all: ``require`` looks at it before.

    What an interrupted merge had made of it is gone on with.
    """
    target, made, before = into / place, into / MADE / place, into / BEFORE / place
    wanted = {file.relative_to(source) for file in _files(source, source.parents[len(place.parts) - 1])}
    for file in [file for file in made.rglob("*") if file.is_file() and file.relative_to(made) not in wanted]:
        file.unlink()
    for name in sorted(wanted):
        _place(source / name, made / name, copy or (place / name).parts[place.parts.index("runs") + 4] not in LINKED)
    made.mkdir(parents=True, exist_ok=True)
    require(made)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        before.parent.mkdir(parents=True, exist_ok=True)
        target.rename(before)
    made.rename(target)
    shutil.rmtree(before, ignore_errors=True)


def _finish_replacing(into: Path) -> None:
    """Where a merge was killed between two names, what was to be replaced has none: it gets its own back."""
    for file in sorted((into / BEFORE).rglob("run.json")):
        place = file.parent.relative_to(into / BEFORE)
        if not (into / place).exists():
            file.parent.rename(into / place)
    shutil.rmtree(into / BEFORE, ignore_errors=True)


def _files(folder: Path, results: Path) -> Iterator[Path]:
    """The files of a run folder, but for what a process left half-written, holds it by, or is known by on its machine.

    Links that lead out of its results are passed over; one within them, as to SLURM's log of a job, is what is there.
    """
    for file in sorted(folder.rglob("*")):
        if file.name in (".lock", "job.json") or TEMPORARY.fullmatch(file.name):
            continue
        if file.is_file() and file.resolve().is_relative_to(results.resolve()):
            yield file


def _place(source: Path, target: Path, copy: bool) -> None:
    """A hard link or a copy, whose digest is the source's. RunError where it is not."""
    if target.exists():
        if target.samefile(source) or file_digest(target) == file_digest(source):
            return
        target.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    if not copy:
        try:
            target.hardlink_to(source.resolve())
            return
        except OSError:  # another disk, or one without hard links
            pass
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)
        if file_digest(temporary) != file_digest(source):
            raise RunError(f"{target}: not what was read from {source}; see to the disks, and merge again")


def _require_whole(run: Run) -> None:
    """Raise RunError where a checkpoint or a table is not what its record says."""
    if isinstance(run.record, TrainedRecord | ImportedRecord):
        for checkpoint in checkpoints(run.checkpoints):
            require_whole(checkpoint)
    for folder in sorted(run.folder.glob("evaluation/*")):
        _require_measured(folder)


def _require_measured(folder: Path) -> None:
    if (folder / "summary.json").exists():
        Summary.read(folder / "summary.json").require_whole(folder)


def _digests(evaluation: Path) -> dict[str, str]:
    file = evaluation / "summary.json"
    return dict(Summary.read(file).digests) if file.exists() else {}
