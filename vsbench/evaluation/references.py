"""Rows that need no trained network and keep everyone honest: what copying, colour, retrieval and chance are worth.

A metric that ranks one of these above trained methods tells something about the metric.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vsbench.data.decode import read_rgb, read_size, require_equal_sizes
from vsbench.data.pairs import Pair
from vsbench.errors import DataError, UsageError
from vsbench.evaluation.onepass import Maker
from vsbench.files import digest
from vsbench.metric import Image
from vsbench.names import checked_name
from vsbench.stain import transfer
from vsbench.stain.density import SCANNER_EOSIN, SCANNER_HAEMATOXYLIN, optical_density, stain_matrix

State = dict[str, Any]

MACENKO_PIXELS = 1_000_000  # of the training IHC, an equal share from each image
SHUFFLE = "shuffled-1"  # names the order of the shuffled row: another name, another order
SCALES = (4, 8, 16, 32)  # pixels of the H&E to one of the image that retrieval looks at
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, eq=False)
class Colours:
    """What rows learn from the pixels of the training IHC: their ``mean`` RGB (3,), mean and deviation in Reinhard's
    colour space (3,), and for Macenko's stains some ``pixels`` (N, 3) uint8, an equal share from each image.
    """

    mean: NDArray[np.float64]
    reinhard_mean: NDArray[np.float64]
    reinhard_deviation: NDArray[np.float64]
    pixels: NDArray[np.uint8]


@dataclass(eq=False)
class Training:
    """The training pairs of a data set, for all rows: what they learn from the IHC takes one reading of each."""

    pairs: Sequence[Pair]

    @cached_property
    def colours(self) -> Colours:
        """Of at least one pair. Raises DataError naming an image that can't be read."""
        total, count, pixels = np.zeros(3), 0, []
        share = max(1, MACENKO_PIXELS // len(self.pairs))

        def read() -> Iterator[Image]:
            nonlocal total, count
            for pair in self.pairs:
                image = read_rgb(pair.ihc)
                total += image.sum(axis=(0, 1), dtype=np.float64)
                count += image.shape[0] * image.shape[1]
                pixels.append(transfer.every_nth_pixel(image, share))
                yield image

        mean, deviation = transfer.mean_and_deviation(read())
        return Colours(total / count, mean, deviation, np.concatenate(pixels))


@dataclass(frozen=True)
class ReferenceRow:
    """A row of the table, by the ``name`` of its folder and the ``title`` in print.

    ``fit(train, test)``: what it learns from the pairs, as JSON; {} if nothing. ``train`` has pairs where
    ``needs_train``. Raises DataError with the reason where the row does not exist for these images.

    ``maker(state, test)``: what stands in for the generated image, given what ``fit`` returned; ``form`` is its type.

    Both read one image at a time, and keep none.

    ``exists(test)``: whether the data set is one that can have it at all; where not, nobody need be told.
    """

    name: str
    title: str
    needs_train: bool
    fit: Callable[[Training, Sequence[Pair]], State]
    maker: Callable[[State, Sequence[Pair]], Maker]
    form: type[BaseModel]
    exists: Callable[[Sequence[Pair]], bool] = bool

    def fits(self, state: Any) -> bool:
        """Whether a state that was read from a file is of the form that ``fit`` returns."""
        try:
            self.form.model_validate(state)
        except ValidationError:
            return False
        return True


Three = Annotated[list[float], Field(min_length=3, max_length=3)]
Two = Annotated[list[float], Field(min_length=2, max_length=2)]


class Nothing(BaseModel):
    """Of a row that learns nothing."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Colour(Nothing):
    """RGB, 0 to 255."""

    mean_colour: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]


class Spread(Nothing):
    """Of the three axes of Reinhard's colour space."""

    mean: Three
    deviation: Three


class Stains(Nothing):
    """Macenko's two, and the ids of the H&E that have none."""

    vectors: Annotated[list[Three], Field(min_length=2, max_length=2)]
    reach: Two
    unchanged: list[str]


class Nearest(Nothing):
    """Pair id → IHC file, relative to the folder of the pair's."""

    nearest: dict[str, str]


class Given(Nothing):
    """Pair id → the id of the pair whose IHC it gets."""

    given: dict[str, str]


def descriptor(he: Image) -> NDArray[np.float64]:
    """(16,) what retrieval knows of a (H, W, 3) H&E image: how much of either stain, and how it is spread.

    Quantiles of the amounts of haematoxylin and of eosin at a quarter of the size, and their standard deviation at an
    eighth, a sixteenth and a thirty-second: the texture that is coarser than that.
    """
    unmix = np.linalg.pinv(stain_matrix(SCANNER_HAEMATOXYLIN, SCANNER_EOSIN))
    picture = Picture.fromarray(he)
    amounts = [optical_density(np.asarray(picture.reduce(scale))).reshape(-1, 3) @ unmix for scale in SCALES]
    finest, *coarser = amounts
    return np.concatenate([np.quantile(finest, QUANTILES, axis=0).ravel(), *(a.std(axis=0) for a in coarser)])


def _nothing(train: Training, test: Sequence[Pair]) -> State:
    return {}


def _real_ihc(state: State, test: Sequence[Pair]) -> Maker:
    return lambda pair, he, real: real


def _has_best(test: Sequence[Pair]) -> bool:
    return all(pair.best is not None for pair in test)


def _best(state: State, test: Sequence[Pair]) -> Maker:
    return _reader({pair.id: pair.best for pair in test if pair.best is not None})


def _he(state: State, test: Sequence[Pair]) -> Maker:
    return lambda pair, he, real: he


def _fit_mean_colour(train: Training, test: Sequence[Pair]) -> State:
    return {"mean_colour": np.rint(train.colours.mean).astype(int).tolist()}


def _mean_colour(state: State, test: Sequence[Pair]) -> Maker:
    colour = np.array(state["mean_colour"], dtype=np.uint8)
    return lambda pair, he, real: np.broadcast_to(colour, real.shape)


def _fit_reinhard(train: Training, test: Sequence[Pair]) -> State:
    colours = train.colours
    return {"mean": colours.reinhard_mean.tolist(), "deviation": colours.reinhard_deviation.tolist()}


def _reinhard(state: State, test: Sequence[Pair]) -> Maker:
    mean, deviation = np.array(state["mean"]), np.array(state["deviation"])
    return lambda pair, he, real: transfer.reinhard(he, mean, deviation)


def _fit_macenko(train: Training, test: Sequence[Pair]) -> State:
    """The stains of the training IHC, and the ids of the H&E that have no two stains and stay as they are."""
    stains = transfer.find_stains(transfer.pixel_density(train.colours.pixels))
    if stains is None:
        raise DataError(f"{train.pairs[0].ihc.parent}: no two stains in the training IHC, so no Macenko row")
    unchanged = [p.id for p, he in _he_of(test) if transfer.find_stains(transfer.pixel_density(he)) is None]
    return {"vectors": stains.vectors.tolist(), "reach": stains.reach.tolist(), "unchanged": unchanged}


def _macenko(state: State, test: Sequence[Pair]) -> Maker:
    stains = transfer.Stains(np.array(state["vectors"]), np.array(state["reach"]))
    return lambda pair, he, real: transfer.macenko(he, stains)


def _fit_nearest(train: Training, test: Sequence[Pair]) -> State:
    """For each test H&E the IHC of the training H&E of its size with the nearest descriptor, the first of equals.

    Descriptors are scaled to unit variance over the training images. Paths are relative to the folder of the test IHC,
    so that they hold where the data are moved.
    """
    rows: list[NDArray[np.float64]] = []
    by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, pair in enumerate(train.pairs):
        he = read_rgb(pair.he)
        rows.append(descriptor(he))
        by_size[he.shape].append(index)
    known = np.stack(rows)
    deviation = known.std(axis=0)
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    nearest = {}
    for pair, he in _he_of(test):
        choice = by_size[he.shape]
        if not choice:
            raise DataError(f"{pair.he}: no training image is {he.shape[0]}×{he.shape[1]} pixels, so none is retrieved")
        distance = np.square((known[choice] - descriptor(he)) * scale).sum(axis=1)
        found = train.pairs[choice[int(distance.argmin())]]
        nearest[pair.id] = Path(os.path.relpath(found.ihc, pair.ihc.parent)).as_posix()
    return {"nearest": nearest}


def _nearest(state: State, test: Sequence[Pair]) -> Maker:
    folder, nearest = {p.id: p.ihc.parent for p in test}, state["nearest"]
    found = {own: folder[own] / file for own, file in nearest.items() if own in folder}
    return _reader({own: Path(os.path.normpath(file)) for own, file in found.items()})


def _fit_shuffled(train: Training, test: Sequence[Pair]) -> State:
    """Whose IHC each test pair gets: of its size, never its own, and of its own slide only where it can't be helped.

    Tiles of one size stand in a circle, slide by slide, in an order that names alone decide. Each takes the image that
    is as many places on as the largest slide has tiles: so far from home is another slide, if there is one.
    """
    by_size: dict[tuple[int, int], list[Pair]] = defaultdict(list)
    for pair in test:
        with suppress(DataError):  # as in ``_he_of``
            by_size[read_size(pair.ihc)].append(pair)
    given: dict[str, str] = {}
    for (height, width), pairs in by_size.items():
        if len(pairs) == 1:
            raise DataError(f"{pairs[0].ihc}: no other test IHC is {height}×{width} pixels, so none can be exchanged")
        circle = sorted(pairs, key=lambda p: (digest([SHUFFLE, p.slide or ""]), digest([SHUFFLE, p.id])))
        largest = max(Counter(p.slide for p in pairs).values())
        step = largest if largest < len(pairs) else 1
        given |= {p.id: circle[(place + step) % len(circle)].id for place, p in enumerate(circle)}
    return {"given": given}


def _shuffled(state: State, test: Sequence[Pair]) -> Maker:
    ihc = {p.id: p.ihc for p in test}
    return _reader({own: ihc[other] for own, other in state["given"].items() if other in ihc})


def _he_of(test: Iterable[Pair]) -> Iterator[tuple[Pair, Image]]:
    """Test pairs and their H&E. One that can't be read is passed over: the evaluation names it when it gets there."""
    for pair in test:
        try:
            he = read_rgb(pair.he)
        except DataError:
            continue
        yield pair, he


def _reader(files: dict[str, Path]) -> Maker:
    """An image from another file; DataError where there is none for the pair, or it is not of its size."""

    def read(pair: Pair, he: Image, real: Image) -> Image:
        if pair.id not in files:
            raise DataError(f"{pair.he}: nothing was found to stand for it; remove the row's folder and evaluate again")
        image = read_rgb(files[pair.id])
        require_equal_sizes({pair.ihc: real, files[pair.id]: image})
        return image

    return read


REFERENCES = {
    row.name: row
    for row in (
        ReferenceRow("real-ihc", "Real IHC (adjacent section)", False, _nothing, _real_ihc, Nothing),
        ReferenceRow("best", "Best possible prediction", False, _nothing, _best, Nothing, _has_best),
        ReferenceRow("he", "H&E unchanged", False, _nothing, _he, Nothing),
        ReferenceRow("mean-colour", "Mean colour of the training IHC", True, _fit_mean_colour, _mean_colour, Colour),
        ReferenceRow("reinhard", "Reinhard stain transfer", True, _fit_reinhard, _reinhard, Spread),
        ReferenceRow("macenko", "Macenko stain transfer", True, _fit_macenko, _macenko, Stains),
        ReferenceRow("nearest", "IHC of the nearest training H&E", True, _fit_nearest, _nearest, Nearest),
        ReferenceRow("shuffled", "Real IHC of another tile", False, _fit_shuffled, _shuffled, Given),
    )
}

OURS = {"he": "H&E", "ihc": "IHC"}  # the two sides of a pair


def checked_row_name(name: str, option: str) -> str:
    """A user's name for a row, if it can be a folder and is not taken by a row of ours, however spelt; UsageError."""
    plain = _letters(checked_name(name, option))
    taken = OURS | {reference.name: reference.title for reference in REFERENCES.values()}
    for reserved, title in taken.items():
        if plain in (_letters(reserved), _letters(title)):
            raise UsageError(f"{option} {name}: the name of a row that is always there ({title}); choose another")
    return checked_name(name, option)


def _letters(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum())
