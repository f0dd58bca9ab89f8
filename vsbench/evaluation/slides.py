"""Whole slides judged: a row as of images, with a line for each slide, from a list of slide pairs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from vsbench import __version__
from vsbench.benchmark import BENCHMARK
from vsbench.data.pairs import Pair, few
from vsbench.engine.run import Run, group_folder, require_one_row
from vsbench.errors import DataError
from vsbench.evaluation import summary as summaries
from vsbench.evaluation.digests import Digests
from vsbench.evaluation.evaluate import Outcome, Tell
from vsbench.evaluation.group import SPLIT
from vsbench.evaluation.instrument import Instrument
from vsbench.evaluation.onepass import Measured, OnBad
from vsbench.evaluation.references import REFERENCES
from vsbench.evaluation.rows import Row, require_same_images
from vsbench.files import digest, write_json
from vsbench.names import checked_name, named_after
from vsbench.records.run import SLIDES, ExternalRecord, ReferenceRecord
from vsbench.records.slides import FRAMES
from vsbench.slides.alignment import Direction
from vsbench.slides.judge import Frame, OpenPair, Totals, add_up, own_pixel
from vsbench.slides.pair_list import SlidePair, pixel_of, read_pair_list
from vsbench.slides.reading import open_slide
from vsbench.slides.slide_values import slide_columns, slide_metrics
from vsbench.stats.slides import ENOUGH

ALIKE = 0.02  # µm a pixel that differ by less are the same
SURE = 0.5  # of the H&E's tissue that must be judged, or it is said


@dataclass
class SlideGroup:
    """The slide pairs of a stain that are judged: ``summary.Tested``. ``pixel``: µm of the frame of each."""

    listed: list[SlidePair]
    results: Path
    direction: Direction
    name: str | None
    splits: bool  # whether the list says which patients are test
    on_bad: OnBad = "stop"
    pairs: list[Pair] = field(init=False)
    digests: Digests = field(init=False)
    pixel: float = field(init=False)
    warnings: list[str] = field(init=False)
    split_digest: str | None = None

    def __post_init__(self) -> None:
        self.pairs = [Pair(p.id, p.he, p.ihc, p.patient, SPLIT, {"stain": p.stain}) for p in self.listed]
        self.digests = Digests(self.results / "digests.json")
        self.pixel = self._one_pixel()
        self.warnings = self._warnings()

    @property
    def stain(self) -> str:
        """Of all of them."""
        return self.listed[0].stain

    @property
    def folder(self) -> Path:
        """The folder of its rows."""
        return group_folder(self.results, SLIDES, self.stain)

    @property
    def protocol(self) -> str:
        """µm a pixel, and how the real slides lie."""
        ways = sorted({"transform" if pair.transform else "frame" for pair in self.listed})
        return f"slides-{self.pixel:.3g}um-{'+'.join(ways)}"

    @property
    def data_digest(self) -> str:
        """SHA-256 over names, patients, what the list says, and the contents of H&E, real slides and transforms."""
        parts: list[str] = [self.direction]
        for pair in self.listed:
            files = [self.digests.of(file) for file in (pair.he, pair.ihc, pair.transform) if file is not None]
            parts += [pair.id, pair.patient, f"{pair.he_mpp} {pair.ihc_mpp}", *files]
        return digest(parts)

    def images_digest(self, files: dict[str, Path]) -> str:
        """SHA-256 over the slides of a row."""
        self.digests.add(files.values())
        return digest(self.digests.of(files[pair.id]) for pair in self.pairs)

    def _one_pixel(self) -> float:
        """µm a pixel of the generated slides. Raises DataError where they differ, or a slide does not tell its own."""
        found: dict[str, float] = {}
        for pair in self.listed:
            assert pair.generated is not None
            try:
                with open_slide(pair.he) as he, open_slide(pair.generated) as made:
                    found[str(pair.generated)] = own_pixel(he, made, pixel_of(he, pair.he_mpp, "he_mpp"))
            except DataError:
                if self.on_bad == "stop" or (pair is self.listed[-1] and not found):
                    raise
        (first, usual), *others = found.items()
        for file, pixel in others:
            if abs(pixel / usual - 1) > ALIKE:
                raise DataError(
                    f"{file}: {pixel:g} µm a pixel, where {first} has {usual:g}; slides of one list are judged at one"
                )
        return usual

    def _warnings(self) -> list[str]:
        found = []
        taken = [pair.id for pair in self.listed if pair.transform is None]
        if taken:
            found.append(f"real slides taken to share the H&E's frame, which is not checked: {few(taken)}")
        if len(taken) < len(self.listed):
            found.append("real slides laid on the H&E by the transforms of the list; how well they fit is not checked")
        trained = [pair.id for pair in self.listed if pair.split == "train"]
        if trained:
            found.append(f"{len(trained)} of {len(self.listed)} slides are of patients that the list has as train")
        if not self.splits:
            found.append("the list has no column split: whether a training saw these patients is not known")
        patients = len({pair.patient for pair in self.listed})
        if patients < ENOUGH:
            found.append(f"only {patients} test patient{'s' * (patients != 1)}: too few to rank methods")
        return found


def evaluate_slides(
    path: Path,
    name: str,
    results: Path,
    direction: Direction = "he-to-ihc",
    data_name: str | None = None,
    on_bad: OnBad = "stop",
    tell: Tell | None = None,
) -> tuple[list[Outcome], list[str]]:
    """Judge the slides in the column ``generated`` of a list as the row ``name``, after that of the H&E itself.

    Returns the outcomes, and a line for each row that a bad slide has ended. Raises DataError where the list is not in
    order, or has no such slide, or pairs of different µm a pixel.
    """
    listed = read_pair_list(path, ratio=0.8, seed=0, splits=False).pairs
    chosen = [pair for pair in listed if pair.generated is not None]
    if not chosen:
        raise DataError(f"{path}: no slide to be judged; write a column generated, with the file of each")
    outcomes, failures = [], []
    for stain in dict.fromkeys(pair.stain for pair in chosen):
        members = [pair for pair in chosen if pair.stain == stain]
        known = any(pair.split for pair in members)
        called = data_name or named_after(path.absolute().parent)
        group = SlideGroup(members, results, direction, called, known, on_bad)
        for row in (_he_row(group), _generated_row(group, path, name)):
            try:
                outcomes.append(_evaluated(group, row, tell))
            except DataError as error:
                failures.append(f"{row.record.title}: {error}")
    return outcomes, failures


def _he_row(group: SlideGroup) -> Row:
    run = Run(group.folder / "he" / "reference")
    record = ReferenceRecord(
        schema=2, row="he", title=REFERENCES["he"].title, dataset=SLIDES, stain=group.stain, data_name=group.name,
        dataset_options={},
    )  # fmt: skip
    files = {pair.id: pair.he for pair in group.pairs}
    return _row(group, run, record, files, ())


def _generated_row(group: SlideGroup, path: Path, name: str) -> Row:
    run = Run(group.folder / checked_name(name, "--name") / "external")
    options = {} if group.direction == "he-to-ihc" else {"transform_maps": group.direction}
    record = ExternalRecord(
        schema=2, row=name, title=name, dataset=SLIDES, stain=group.stain, data_name=group.name,
        dataset_options=options, images=str(path.absolute()),
    )  # fmt: skip
    files = {pair.id: pair.generated for pair in group.listed if pair.generated is not None}
    return _row(group, run, record, files, ("images made elsewhere",))


def _row(
    group: SlideGroup,
    run: Run,
    record: ExternalRecord | ReferenceRecord,
    files: dict[str, Path],
    warnings: tuple[str, ...],
) -> Row:
    require_one_row(run, record)
    if isinstance(record, ExternalRecord):
        require_same_images(run, record, lambda: group.images_digest(files))
    return Row(run, record, _no_image, files, protocol=group.protocol, warnings=warnings)


def _no_image(pair: Pair, *_: object) -> NoReturn:
    raise TypeError(f"{pair.id}: a whole slide is read as a stream")


def _evaluated(group: SlideGroup, row: Row, tell: Tell | None) -> Outcome:
    assert row.files is not None
    instrument = Instrument(slide_metrics())
    images = group.images_digest(row.files)
    fingerprint = digest([row.protocol, repr(group.pixel), __version__, BENCHMARK, group.data_digest, images,
                          *instrument.identity])  # fmt: skip
    group.digests.save()
    there, damaged = summaries.stored(row, fingerprint)
    if there is not None and not (there.skipped and group.on_bad == "stop"):
        return Outcome(row.run, summaries.renamed(row, group, there), cached=True)
    summaries.forget(row)
    found: dict[str, Totals] = {}
    frames: dict[str, dict[str, Any]] = {}
    judged: dict[str, float] = {}
    sizes: dict[str, tuple[int, int]] = {}
    skipped: dict[str, str] = {}
    for pair in group.listed:
        try:
            with OpenPair() as opening:
                opened = opening.frame(pair, row.files[pair.id], group.pixel, group.direction)
                found[pair.id] = add_up(opened, progress=_progress(tell, f"{row.record.title}, {pair.id}: tiles"))
                frames[pair.id] = _frame_json(opened)
                judged[pair.id], sizes[pair.id] = opened.judged, (opened.height, opened.width)
        except DataError as error:
            if group.on_bad == "stop":
                raise
            skipped[pair.id] = str(error)
    if not found:
        raise DataError(f"no slide is left: {next(iter(skipped.values()))}")
    columns, metrics = slide_columns(list(found.values()))
    patients = {pair.id: pair.patient for pair in group.listed}
    table = pd.DataFrame([
        {"id": name, "slide": patients[name], "height": sizes[name][0], "width": sizes[name][1], **values}
        for name, values in zip(found, columns, strict=True)
    ]).set_index("id")  # fmt: skip
    row = replace(row, warnings=(*row.warnings, *_said_of(judged)))
    for name, frame in frames.items():  # for those who look at the slides
        write_json(row.run.evaluation(row.protocol) / FRAMES / f"{name}.json", frame)
    summary = summaries.write(row, group, Instrument(metrics), Measured(table, {}, skipped), fingerprint, images)
    return Outcome(row.run, summary, cached=False, damaged=damaged)


def _said_of(judged: dict[str, float]) -> Sequence[str]:
    """What share of the H&E's tissue was judged, where that is little."""
    return [
        f"{name}: of the H&E's tissue {share:.0%} has tissue of the real section over it: torn, or not aligned"
        for name, share in judged.items()
        if share < SURE
    ]


def _progress(tell: Tell | None, what: str) -> Callable[[int, int], None]:
    return (lambda done, total: None) if tell is None else (lambda done, total: tell(what, done, total))


def _frame_json(opened: Frame) -> dict[str, Any]:
    he, real, generated = opened.he, opened.real, opened.generated
    return {
        "schema": 1, "height": opened.height, "width": opened.width, "pixel": opened.pixel,
        "he_pixel": opened.pixel / he.factor, "real_pixel": opened.pixel / real.factor,
        "generated_pixel": opened.pixel / generated.factor,
        **real.alignment.as_json(),
    }  # fmt: skip
