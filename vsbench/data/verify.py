"""Is a data set on disk what its card says, and every image fit to train on? All faults at once, each by name."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vsbench.data.decode import read_rgb, read_size
from vsbench.data.manifest import Manifest, manifests
from vsbench.data.pairs import NotHere, Pair, images_of, passed_over
from vsbench.data.skeleton import Reader, listed, refused_names
from vsbench.data.threads import in_threads
from vsbench.errors import DataError

Kind = Literal["name", "count", "image", "size", "digest"]
Size = tuple[int, int]
Progress = Callable[[int, int], None]  # done, total
TEST = "test"


class Card(Protocol):
    """What of a data set's card is compared."""

    @property
    def counts(self) -> dict[tuple[str, str], int]:
        """(stain, split) → pairs."""

    @property
    def size(self) -> Size | None:
        """Height and width of every image; None: any."""


class CardedReader(Reader, Protocol):
    """A reader with its card."""

    @property
    def card(self) -> Card:
        """The card."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. ``message``: what, where, how to mend, in a line."""

    kind: Kind
    message: str
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Count:
    """How many pairs of a split there are that can be listed, and how many the card says (None: it does not)."""

    stain: str
    split: str
    pairs: int
    slides: int | None  # None: not known
    expected: int | None


@dataclass
class Findings:
    """What ``verify`` finds.

    ``absent``: stains that nobody asked for by name, and splits that evaluating does not need, with the reason why they
    can't be read. ``passed_over``: what lies beside the images and is not read.
    """

    counts: list[Count] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    passed_over: list[Path] = field(default_factory=list)
    images: int = 0


def verify(
    reader: CardedReader,
    root: Path,
    stains: Sequence[str],
    optional: bool = False,
    fast: bool = False,
    progress: Progress = lambda done, total: None,
) -> Findings:
    """Check all splits of some stains: names, counts, every image, and the digests that ``prepare`` wrote.

    ``optional``: a stain of which nothing can be read is not there, which is no fault as long as one of them is. Nor is
    it one where of a split neither side is there, as long as test pairs are: who evaluates needs no others.
    ``fast``: headers and sizes in place of decoding and digests. One fault never hides another. Nothing is written
    below ``root``.
    """
    findings = Findings()
    pairs: list[Pair] = []
    lost: list[tuple[str, list[Fault]]] = []
    for stain in stains:
        found, gone, faults = _names(reader, root, stain)
        if not any(found.values()):
            lost.append((stain, [*gone.values(), *faults]))
            continue
        if found.get(TEST):
            findings.absent |= {f"{stain} {split}": fault.message for split, fault in gone.items()}
            found = {split: some for split, some in found.items() if split not in gone}
        else:
            faults = [*gone.values(), *faults]
        findings.faults += faults
        findings.counts += [_count(reader, stain, split, some) for split, some in found.items()]
        pairs += [pair for some in found.values() for pair in some]
    for stain, faults in lost:
        if optional and pairs:
            findings.absent[stain] = faults[0].message
        else:
            findings.faults += faults
    findings.faults += _miscounted(findings.counts)
    files = images_of(pairs)
    findings.images = len(files)
    findings.passed_over = passed_over(files, reader.splits)
    recorded = manifests(root)
    sizes: dict[Path, Size] = {}
    for done, (file, size, faults) in enumerate(_checked(files, recorded, fast), start=1):
        if size is not None:
            sizes[file] = size
        findings.faults += faults
        progress(done, len(files))
    if reader.paired:
        findings.faults += [fault for pair in pairs for fault in _missized(pair, sizes)]
    findings.faults += _odd_sizes(sizes, reader.card.size)
    findings.faults += [
        Fault("digest", f"{file}: prepared, but not there any more; run vsbench data prepare again", (file,))
        for manifest in recorded
        for file in manifest.missing({file.parent for file in files})
    ]
    return findings


def _names(reader: Reader, root: Path, stain: str) -> tuple[dict[str, list[Pair]], dict[str, Fault], list[Fault]]:
    """The pairs of each split that can be listed; splits that are not there; what is wrong with the other names."""
    found: dict[str, list[Pair]] = {}
    gone: dict[str, Fault] = {}
    faults: dict[str, Fault] = {}  # by message: a fault of a whole stain is met in each of its splits
    for split in reader.splits:
        found[split] = []
        try:
            found[split] = listed(reader, root, stain, split, root)
        except NotHere as error:
            gone[split] = Fault("name", str(error))
        except DataError as error:
            refused = refused_names(reader, root, stain, split) if root.is_dir() else None
            if refused is None:
                faults.setdefault(str(error), Fault("name", str(error)))
                continue
            names, found[split] = refused
            for paths, message in names:
                faults.setdefault(message, Fault("name", message, tuple(root / path for path in paths)))
    return found, gone, list(faults.values())


def _count(reader: CardedReader, stain: str, split: str, pairs: list[Pair]) -> Count:
    slides = {pair.slide for pair in pairs}
    known = len(slides) if pairs and None not in slides else None
    return Count(stain, split, len(pairs), known, reader.card.counts.get((stain, split)))


def _miscounted(counts: Iterable[Count]) -> Iterator[Fault]:
    """Stains split otherwise than published are well if all their pairs are there."""
    by_stain: dict[str, list[Count]] = {}
    for count in counts:
        by_stain.setdefault(count.stain, []).append(count)
    for stain, some in by_stain.items():
        expected = [count.expected for count in some if count.expected is not None]
        if not expected or sum(expected) == sum(count.pairs for count in some):
            continue
        for count in some:
            if count.expected is not None and count.pairs != count.expected:
                yield Fault(
                    "count",
                    f"{stain} {count.split}: {count.pairs} pairs, the card says {count.expected}; fetch what is "
                    "missing, or say with your results which copy this is",
                )


def _checked(
    files: Sequence[Path], recorded: Sequence[Manifest], fast: bool
) -> Iterator[tuple[Path, Size | None, list[Fault]]]:
    """(file, its size, faults of this file alone) in order, looked at in threads."""

    def look(file: Path) -> tuple[Path, Size | None, list[Fault]]:
        faults = []
        size: Size | None = None
        try:
            if fast:
                size = read_size(file)
            else:
                image = read_rgb(file)
                size = (image.shape[0], image.shape[1])
                if _is_grey(image):
                    faults.append(Fault("image", f"{file}: grey in every pixel; fetch the colour image", (file,)))
        except DataError as error:
            faults.append(Fault("image", str(error), (file,)))
        changes = (manifest.change(file, sizes_only=fast) for manifest in recorded)
        if change := next(filter(None, changes), None):
            faults.append(Fault("digest", f"{file}: {change}; run vsbench data prepare again", (file,)))
        return file, size, faults

    return in_threads(look, files)


def _is_grey(image: NDArray[np.uint8]) -> bool:
    """Whether an RGB image has no colour at all, though it shows something: one of a blank slide is blank, not grey."""
    for part in (image[:1], image):  # nearly always the first row tells already
        if (part != part[..., :1]).any():
            return False
    return bool((image != image[0, 0]).any())


def _missized(pair: Pair, sizes: dict[Path, Size]) -> Iterator[Fault]:
    """The images of a pair have one size, as far as they can be read."""
    known = [(file, sizes[file]) for file in pair.images if file in sizes]
    for file, (height, width) in known[1:]:
        first, size = known[0]
        if size != (height, width):
            yield Fault(
                "size",
                f"{file}: {height}×{width} pixels, but {first} has {size[0]}×{size[1]}; cut both from one frame",
                (file, first),
            )


def _odd_sizes(sizes: dict[Path, Size], expected: Size | None) -> Iterator[Fault]:
    """Images of another size than the card's; where all agree on another, once for all of them."""
    wrong = {file: size for file, size in sizes.items() if expected is not None and size != expected}
    if expected is None or not wrong:
        return
    what = f"the card says {expected[0]}×{expected[1]}; fetch the original images, not a resized copy"
    (height, width), times = Counter(wrong.values()).most_common(1)[0]
    if times == len(sizes) > 1:
        yield Fault("size", f"{next(iter(wrong))} and all others: {height}×{width} pixels, {what}", tuple(wrong))
        return
    for file, (height, width) in wrong.items():
        yield Fault("size", f"{file}: {height}×{width} pixels, {what}", (file,))
