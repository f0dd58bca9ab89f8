"""A generator as one file for others: weights, card, training record, and nothing in it that runs.

README.md                a model card as model hubs read it; the one file that may be edited
bundle.json              the same as data, with the digests of the files below: ``records.bundle.BundleCard``
generator.safetensors    the network that translates, with method and settings inside
training.json            the run's record, without paths of its machine
sheet.png                H&E and what the generator makes of them, where images were given that may be shown

The unpacked folder is a bundle too, whatever else a hub has put into it.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vsbench import __version__, registry
from vsbench.data.archive import Archive, opened
from vsbench.data.pairs import few
from vsbench.engine.checkpoint import inner_digest, load_method, save_translator, weights_of
from vsbench.engine.run import Run
from vsbench.engine.translate import translate_image
from vsbench.errors import DataError, PluginError, RunError, UsageError
from vsbench.exchange.graphs import images_at
from vsbench.exchange.model_card import model_card
from vsbench.files import atomic, file_digest, is_zip_of, require_replaceable, write_json, write_text, write_zip
from vsbench.method import Method
from vsbench.names import brief, checked_name
from vsbench.records.bundle import CARD, FILES, GENERATOR, README, SHEET, TRAINING, BundleCard, Change, is_bundle
from vsbench.records.run import ImportedRecord, TrainedRecord
from vsbench.records.summary import Summary
from vsbench.report.provenance.places import Places

KNOWN = (README, CARD, *FILES)
MARK = b"vsbench generator"  # the comment of the ZIP file: what we wrote, we may replace
SHOWN = 4  # images of a sheet, at most
SIDE = 256  # pixels of each
GAP = 4


@dataclass(frozen=True)
class Bundle:
    """A bundle's card, and the folder in which its files lie as it says."""

    folder: Path
    card: BundleCard

    @property
    def generator(self) -> Path:
        """The weights file of the network that translates."""
        return self.folder / GENERATOR


@dataclass(frozen=True)
class Saying:
    """What a run does not know of itself. ``name``: None for the run's row; ``pixel_size``: in µm."""

    name: str | None = None
    version: str = "1.0"
    changes: str = ""
    licence: str | None = None
    pixel_size: float | None = None


@contextmanager
def open_bundle(path: Path) -> Iterator[Bundle]:
    """A bundle whose files are what its card says, unpacked where it is a zip; gone from there afterwards.

    Raises DataError for a zip that may not be unpacked, or holds anything that no bundle has, and RunError naming the
    file that is missing, damaged or another than the card says.
    """
    if path.is_dir():
        yield _checked(path, path)
        return
    with tempfile.TemporaryDirectory(prefix="vsbench-") as folder:
        with opened(path) as archive:
            _unpack(_inner(archive), Path(folder))
        yield _checked(Path(folder), path)


def write_bundle(run: Run, out: Path, saying: Saying, sheet: Path | None = None) -> Path:
    """Write the bundle of a run, a zip where ``out`` ends so and else a folder; an earlier bundle there is replaced.

    Its changelog is kept. ``sheet``: H&E images that may be shown, and are, with what the generator makes of them.
    Raises UsageError for a name, version or suffix that can't be, RunError where the run has no weights or something
    else lies at ``out``.
    """
    record = run.record
    if not isinstance(record, TrainedRecord | ImportedRecord):
        raise RunError(f"{run.folder}: no weights to export ({record.kind})")
    if isinstance(record, TrainedRecord) and not record.finished:
        raise RunError(f"{run.folder}: training is not finished; go on with --resume")
    earlier = _earlier(out)
    method, places = load_method(weights_of(run)), _places(run, record)
    method.config = method.restored(places.value(method.config.model_dump(mode="json")))
    with tempfile.TemporaryDirectory(prefix="vsbench-") as place:
        folder = Path(place)
        save_translator(folder / GENERATOR, record.method, method)
        write_json(folder / TRAINING, places.value(record.model_dump(mode="json", by_alias=True)))
        if sheet is not None:
            _draw_sheet(method, sheet, folder / SHEET)
        card = _card(record, method, places, saying, earlier, folder)
        card.write(folder / CARD)
        write_text(folder / README, model_card(card, _evaluated(run), sheet is not None))
        files = {name: folder / name for name in KNOWN if (folder / name).is_file()}
        if out.suffix.lower() == ".zip":
            write_zip(out, {name: file.read_bytes() for name, file in files.items()}, MARK)
        else:
            for name in KNOWN:
                if name in files:
                    with atomic(out / name) as temporary:
                        temporary.write_bytes(files[name].read_bytes())
                else:
                    (out / name).unlink(missing_ok=True)  # the sheet of an earlier one
    return out


def _card(
    record: TrainedRecord | ImportedRecord,
    method: Method[Any],
    places: Places,
    saying: Saying,
    earlier: Sequence[Change],
    folder: Path,
) -> BundleCard:
    dataset = known_dataset(record.dataset, record.dataset_options or {})
    name = record.row if saying.name is None else checked_name(saying.name, "--name")
    others = [change for change in earlier if change.version != saying.version]
    content = {
        "schema": 1,
        "name": name,
        "version": saying.version,
        "changes": [{"version": saying.version, "says": saying.changes or ("changed" if others else "first version")},
                    *(change.model_dump() for change in others)],
        "title": record.title,
        "licence": saying.licence,
        **{key: getattr(record, key) for key in
           ("method", "variant", "preset", "dataset", "data_name", "stain", "seed")},
        "config": method.config.model_dump(mode="json"),
        "weights": inner_digest(folder / GENERATOR),
        "dataset_options": places.value(record.dataset_options or {}),
        "data_licence": dataset.card.licence if dataset is not None else "not known here",
        "pixel_size": saying.pixel_size or (dataset.pixel_size if dataset is not None else None),
        **{key: getattr(record, key, None) for key in ("train_pairs", "train_slides", "train_digest")},
        "vsbench": __version__,
        "files": {name: file_digest(folder / name) for name in FILES if (folder / name).is_file()},
    }  # fmt: skip
    try:
        return BundleCard.checked(content, Path(CARD))
    except RunError as error:  # what the user said is the only thing in it that may be wrong
        raise UsageError(str(error).removeprefix(f"{CARD}: ").removesuffix(f"; {BundleCard.mend}")) from None


def known_dataset(name: str, options: dict[str, Any]) -> Any:
    """The data set of a record; None where its plug-in is not installed here, or has no such options any more."""
    try:
        return registry.load("vsbench.datasets", name).from_options(options)
    except (UsageError, PluginError):
        return None


def _places(run: Run, record: TrainedRecord | ImportedRecord) -> Places:
    """How paths of this machine are written in a bundle."""
    above = run.folder.absolute().parents  # <results>/runs/<dataset>-<stain>/<row>/, if it was not moved
    return Places(above[min(3, len(above) - 1)], [record.data_root] if record.data_root else [])


def _evaluated(run: Run) -> Summary | None:
    """What was measured of the run at its images' own size; None where nothing was, or it is not in order."""
    try:
        summary = Summary.read(run.evaluation("native") / "summary.json")
        summary.require_whole(run.evaluation("native"))
    except RunError:
        return None
    return summary


def _earlier(out: Path) -> list[Change]:
    """The changelog of the bundle that lies there. Raises as ``write_bundle`` does where something else does."""
    if out.suffix and out.suffix.lower() != ".zip" and not out.is_dir():
        raise UsageError(
            f"{out}: a bundle is a zip or a folder; give a name that ends in .zip, or one without an ending"
        )
    if out.is_dir():
        if any(out.iterdir()) and not is_bundle(out):
            raise RunError(f"{out}: a folder with something else in it; give another OUT")
    else:
        require_replaceable(out, is_zip_of(MARK), "OUT")
    if not (is_bundle(out) and out.exists()):
        return []
    with open_bundle(out) as bundle:
        return bundle.card.changes


def _draw_sheet(method: Method[Any], images: Path, target: Path) -> None:
    """The middle of some H&E images above what the generator makes of each."""
    shown = list(islice(images_at(images), SHOWN))
    sheet = np.full((2 * SIDE + GAP, len(shown) * (SIDE + GAP) - GAP, 3), 255, np.uint8)
    for place, he in enumerate(shown):
        top, left = (max(0, (side - 2 * SIDE) // 2) for side in he.shape[:2])
        he = he[top : top + 2 * SIDE, left : left + 2 * SIDE]
        fake = translate_image(method, he, torch.device("cpu"))
        for row, image in enumerate((he, fake)):
            small = Image.fromarray(np.ascontiguousarray(image)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            y, x = row * (SIDE + GAP), place * (SIDE + GAP)
            sheet[y : y + SIDE, x : x + SIDE] = np.asarray(small)
    with atomic(target) as temporary:
        Image.fromarray(sheet).save(temporary, format="PNG")


def _inner(archive: Archive) -> Archive:
    """The bundle's files, which desktops and hubs put into a single top folder."""
    tops = {name.partition("/")[0] for name in archive.entries}
    return archive.below(tops.pop()) if CARD not in archive.entries and len(tops) == 1 else archive


def _unpack(archive: Archive, folder: Path) -> None:
    if CARD not in archive.entries:
        raise DataError(f"{archive.path}: no bundle (no {CARD}); a run is exported by vsbench export RUN FILE.zip")
    if unknown := [name for name in archive.entries if name not in KNOWN]:
        raise DataError(
            f"{archive.path}: holds {few([brief(name) for name in unknown])}, which no bundle does; it is not opened"
        )
    for name in archive.entries:
        with (folder / name).open("wb") as file:
            file.writelines(archive.blocks(name))


def _checked(folder: Path, given: Path) -> Bundle:
    """``given``: what the user named, for messages."""
    try:
        card = BundleCard.read(folder / CARD)
        for name, recorded in card.files.items():
            if file_digest(folder / name) != recorded:
                raise RunError(f"{name}: not the file that its card names; {BundleCard.mend}")
        if inner_digest(folder / GENERATOR) != card.weights:
            raise RunError(f"{GENERATOR}: not the weights that its card names; {BundleCard.mend}")
    except OSError as error:
        name = Path(str(error.filename)).name
        raise RunError(f"{given}: {name}: cannot be read ({error.strerror}); {BundleCard.mend}") from None
    except RunError as error:
        raise RunError(f"{given}: {str(error).replace(f'{folder}/', '')}") from None
    return Bundle(folder, card)
