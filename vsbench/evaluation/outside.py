"""Images made elsewhere: which file belongs to which test pair, and of what size. Nothing is guessed in silence."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vsbench.data.decode import lossy_kind, read_rgb, read_size, require_equal_sizes
from vsbench.data.pairs import SUFFIXES, Pair, few, images_by_stem
from vsbench.data.threads import in_threads
from vsbench.errors import DataError, UsageError
from vsbench.evaluation.onepass import Maker
from vsbench.evaluation.sizes import RULES, CommonSize, checked_rule, require_aspect, resize
from vsbench.metric import Image

# What the test scripts of the CycleGAN family call the generated image, and its input beside it: pix2pix and CycleGAN
# write <id>_fake_B.png, and <id>_fake.png with --model test; CUT and its heirs write fake_B/<id>.png.
INPUT_OF = {"fake_B": "real_A", "fake": "real"}
REAL = ("real_A", "real_B", "real")  # one of these beside them makes a folder of such names a result folder
THEIR_CAP = 50  # these scripts stop after so many images unless they are told otherwise

Files = dict[str, Path]
SAME = 15.0  # grey levels between two files, on average: JPEG and half the size make 7 of one H&E, other tissue 30


@dataclass(frozen=True)
class Found:
    """The generated image of each pair id; how they were found, a line for the summary, "" if simply by their stems;
    and, in a result folder, the images they were made from."""

    files: Files
    rule: str
    inputs: Files


def find(folder: Path, ids: Collection[str], *, suffix: str | None = None) -> Found:
    """One image file per id, whose stem is the id, or the id and ``suffix``; an id with "/" lies in a sub-folder.

    Without ``suffix``, result folders of the CycleGAN family are recognised, in ``folder`` or in ``folder/images``:
    ``<id>_fake_B`` beside ``<id>_real_A``, ``<id>_fake`` beside ``<id>_real``, ``fake_B/<id>`` beside ``real_A/<id>``.
    Files named after a result, such as ``<id>_rec_A``, are then left out.

    Raises UsageError for a suffix that no file has, naming those that are there. DataError names stems that are
    missing, too many or doubled, and a folder that is missing or holds no image.
    """
    if not folder.exists():
        raise DataError(f"{folder}: no such folder; give the folder of the generated images")
    nested = any("/" in name for name in ids)
    if not nested and not _holds_images(folder) and (folder / "images").is_dir():
        folder = folder / "images"
    if suffix:
        return _with_suffix(folder, images_by_stem(folder, nested), ids, suffix)
    if (layout := _cut_layout(folder)) is not None:
        files, inputs, rule = layout
    else:
        stems = images_by_stem(folder, nested)
        files, inputs, rule = stems, {}, ""
        if stems.keys() != set(ids) and (layout := _cyclegan_layout(folder, stems)) is not None:
            files, inputs, rule = layout
    wanted = rule or "one image per H&E of the test split, of the same stem"
    _require_each(folder, files, ids, wanted + _mend(files, ids))
    return Found(files, rule, inputs)


def foreign_inputs(found: Found, pairs: Sequence[Pair]) -> list[str]:
    """A warning where the inputs in a result folder are not the H&E of the pairs: its outputs show other tissue then.

    Looks at the first, the middle and the last pair, which costs next to nothing.
    """
    known = [pair for pair in pairs if pair.id in found.inputs]
    chosen = [known[n] for n in sorted({0, len(known) // 2, len(known) - 1})] if known else []
    unlike = [pair.id for pair in chosen if _difference(read_rgb(pair.he), read_rgb(found.inputs[pair.id])) > SAME]
    return [f"the inputs beside the generated images are not this data set's H&E: {few(unlike)}"] if unlike else []


def reader(files: Mapping[str, Path], rule: str | None = None, common: CommonSize | None = None) -> Maker:
    """Reads the generated image of a pair and brings it to the size of the real IHC by a resize rule, or, with
    ``common``, from the size it is stored at to the one that all images are brought to.

    Without either, an image of another size raises DataError with both sizes; with one, an image of another aspect
    ratio does, since that would squeeze the tissue.
    """
    if rule is not None:
        checked_rule(rule)

    def read(pair: Pair, he: Image, real: Image) -> Image:
        file = files[pair.id]
        fake = read_rgb(file)
        if common is not None:
            return common.bring(file, fake)
        if rule is not None:
            size = (real.shape[0], real.shape[1])
            require_aspect(file, fake, size, rule)
            return resize(fake, size, rule)
        try:
            require_equal_sizes({pair.ihc: real, file: fake})
        except DataError as error:
            rules = "|".join(RULES)
            raise DataError(f"{error}, or say --resize {rules}, with --size for all rows") from None
        return fake

    return read


def resize_warning(files: Iterable[Path], rule: str) -> str:
    """What the summary says of images that were brought to another size: from which sizes, read from their headers."""
    return f"{stored_sizes(files)}; resized to the real IHC by Pillow's {rule} where that differs"


def stored_sizes(files: Iterable[Path]) -> str:
    """The sizes of image files by their headers, and how many have each; a bad file is told where it is measured."""
    counts = Counter[tuple[int, int]]()
    for file in files:
        with suppress(DataError):
            counts[read_size(file)] += 1
    return "stored at " + ", ".join(f"{height}×{width} ({n})" for (height, width), n in sorted(counts.items()))


def lossy_warning(files: Iterable[Path]) -> list[str]:
    """What the summary says of images in formats that change the pixels; nothing where there is none."""
    kinds: dict[str, list[str]] = {}
    for file, kind in zip(files := list(files), in_threads(lossy_kind, files), strict=True):
        if kind is not None:
            kinds.setdefault(kind, []).append(file.name)
    return [
        f"{len(names)} of {len(files)} images are {kind}, which changes the stain that is measured; save them as PNG: "
        f"{few(names)}"
        for kind, names in kinds.items()
    ]


def _with_suffix(folder: Path, stems: Files, ids: Collection[str], suffix: str) -> Found:
    files, _ = _ending(stems, suffix)
    if not files:
        raise UsageError(f"--suffix {suffix}: no image in {folder} has it; {_what_is_there(stems, ids)}")
    rule = f"*{suffix} of {len(stems)} files"
    _require_each(folder, files, ids, rule)
    return Found(files, rule, {})


def _cut_layout(folder: Path) -> tuple[Files, Files, str] | None:
    """(results, their inputs, rule) of ``fake_B/<id>`` beside ``real_A/<id>``; None if the folder is not like that."""
    if _holds_images(folder):
        return None
    for label, of in INPUT_OF.items():
        if (folder / label).is_dir() and any((folder / real).is_dir() for real in REAL):
            inputs = images_by_stem(folder / of) if (folder / of).is_dir() else {}
            return images_by_stem(folder / label), inputs, f"CUT result folder: {label}/ of {folder.name}/"
    return None


def _cyclegan_layout(folder: Path, stems: Files) -> tuple[Files, Files, str] | None:
    """(results, their inputs, rule) of ``<id>_fake_B`` beside ``<id>_real_A``; None if the folder is not like that.

    DataError names files that go with no result: leaving those out would be a guess.
    """
    for label, of in INPUT_OF.items():
        files, rest = _ending(stems, f"_{label}")
        if files and any(name.endswith(tuple(f"_{real}" for real in REAL)) for name in rest):
            if strange := sorted(name for name in rest if not _named_after(name, files)):
                mend = f"move it away, or say --suffix _{label}"
                raise DataError(f"{folder}: goes with no *_{label} image: {few(strange)}; {mend}")
            return files, _ending(rest, f"_{of}")[0], f"CycleGAN result folder: *_{label} of {len(stems)} files"
    return None


def _holds_images(folder: Path) -> bool:
    """Whether an image lies in the folder itself; hidden files are passed over, as they are everywhere."""
    return folder.is_dir() and any(
        path.suffix.lower() in SUFFIXES and not path.name.startswith(".") for path in folder.iterdir()
    )


def _ending(stems: Files, suffix: str) -> tuple[Files, Files]:
    """(files whose stem ends so, by what comes before; the rest by stem)."""
    ending = {name.removesuffix(suffix): path for name, path in stems.items() if name.endswith(suffix)}
    return ending, {name: path for name, path in stems.items() if not name.endswith(suffix)}


def _named_after(name: str, files: Files) -> bool:
    """Whether a stem is the name of a result and a label: "7_rec_A" goes with "7"."""
    parts = name.split("_")
    return any("_".join(parts[:n]) in files for n in range(1, len(parts)))


def _require_each(folder: Path, files: Files, ids: Collection[str], mend: str) -> None:
    missing, strange = sorted(set(ids) - files.keys()), sorted(files.keys() - set(ids))
    if missing and not strange and len(files) == THEIR_CAP:
        mend += f"; test scripts of the CycleGAN family stop at {THEIR_CAP} images without --num_test"
    for problem, stems in (("is missing", missing), ("belongs to no test pair", strange)):
        if stems:
            raise DataError(f"{folder}: {problem}: {few(stems)}; {mend}")


def _suffixes(stems: Iterable[str], ids: Collection[str]) -> Counter[str]:
    """What follows an id in the stems, and how often; the longest id that fits counts."""
    known, found = set(ids), Counter[str]()
    for stem in stems:
        cut = next((n for n in range(len(stem), 0, -1) if stem[:n] in known), None)
        if cut is not None:
            found[stem[cut:]] += 1
    return found


def _what_is_there(stems: Files, ids: Collection[str]) -> str:
    found = _suffixes(stems, ids)
    if not found:
        return f"no image there has a name that begins with a test pair's: {few(sorted(stems))}"
    endings = [f"{rest or 'nothing'} ({n})" for rest, n in found.most_common()]
    return f"after the names of test pairs come {few(endings)}"


def _mend(stems: Files, ids: Collection[str]) -> str:
    """The option that would find an image for each id, where there is one."""
    complete = [rest for rest, n in _suffixes(stems, ids).items() if rest and n == len(ids)]
    return f"; try --suffix {complete[0]}" if len(complete) == 1 else ""


def _difference(first: Image, second: Image) -> float:
    """Mean absolute difference in grey levels, of the larger image brought to the size of the smaller."""
    small, large = sorted((first, second), key=lambda image: image.shape[0] * image.shape[1])
    shrunk = resize(large, (small.shape[0], small.shape[1]), "box")
    return float(np.abs(shrunk.astype(np.int16) - small).mean())
