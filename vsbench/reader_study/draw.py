"""What readers are to see: images drawn from evaluated runs, and the key that says what each of them is.

All methods of a data set and stain show the same tissue, so that methods are compared on equal ground. Images are drawn
evenly over slides. Those shown twice come once in the first two fifths of the study and once in the last two, and the
same tissue does not come twice in a row where that can be helped.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from vsbench import __version__
from vsbench.bounds import SEED, require_whole
from vsbench.errors import DataError, RunError, UsageError
from vsbench.evaluation.evaluated import read_table
from vsbench.files import digest, file_digest, read_json
from vsbench.names import brief, said
from vsbench.records.artefact import first_fault
from vsbench.records.summary import PairFiles
from vsbench.report.tables import Comparison, EvaluatedRun, compare, load_results

REAL = "Real IHC"  # as a method among the others
EARLY, LATE = 0.4, 0.6  # of the study: the first showing of a repeated image lies before, the second after
QUESTION = "How useful is this image for diagnosis? (1: useless, 5: as a good real section)"


class Item(BaseModel):
    """One showing of one image. ``name`` is all that readers see of it; ``again``: the item of which it is a repeat."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    name: str
    again: str | None = None
    group: str
    stain: str = ""  # before it was recorded there was none
    method: str
    id: str
    slide: str | None
    image: str
    he: str
    digest: str

    @property
    def shows(self) -> tuple[str, str, str]:
        """Which image."""
        return self.group, self.method, self.id

    @property
    def tissue(self) -> tuple[str, str]:
        """What methods have in common."""
        return self.group, self.id


class Key(BaseModel):
    """What each item is, in the order of showing. Not for readers. ``study`` ties a form and its scores to the key."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    version: Literal[1] = 1
    study: str
    vsbench: str
    seed: int
    questions: list[str]
    items: list[Item]

    @model_validator(mode="after")
    def _repeats_are_of_items(self) -> "Key":
        if len({item.name for item in self.items}) < len(self.items):
            raise ValueError("two items have one name")
        first = {item.name: item.shows for item in self.items if item.again is None}
        if len(set(first.values())) < len(first):
            raise ValueError("two items show one image, and neither is said to repeat the other")
        for item in self.items:
            if item.again is not None and first.get(item.again) != item.shows:
                raise ValueError(
                    f"item {brief(item.name)} repeats {brief(item.again)}, which is no first showing of it"
                )
        return self


def draw(
    results: Path,
    *,
    n: int = 10,
    repeats: int = 2,
    seed: int = 0,
    real: bool = False,
    data: Sequence[str] = (),
    methods: Sequence[str] = (),
    questions: Sequence[str] = (QUESTION,),
) -> Key:
    """Draw ``n`` images of each method and stain, ``repeats`` of them twice; same arguments, same key.

    ``data``: names as ``mist-er``, all where empty; ``methods``: rows or titles, all where empty. Of a method with
    several seeds the run of the lowest is shown. ``real``: the real IHC is a method too.

    Raises UsageError for an unknown name or more images than there are, RunError for a damaged run or none.
    """
    require_whole("--seed", seed, 0, SEED)
    comparisons = compare(load_results(results))
    if not comparisons:
        raise RunError(f"{results}: no evaluated runs; run vsbench evaluate --all first")
    if not questions or not all(question.strip() for question in questions):
        raise UsageError("--question: there is nothing to ask; give its text")
    if repeats > n:
        raise UsageError(f"--repeats {repeats}: more than the --n {n} images of a method")
    chosen = [comparison for comparison in comparisons if not data or comparison.name in data]
    _require_known("--data", data, [comparison.name for comparison in comparisons])
    rows = [row for comparison in chosen for row in comparison.rows if row.is_method]
    _require_known("--method", methods, [name for row in rows for name in (row.key, row.title)])
    rng = np.random.default_rng(seed)
    places: list[tuple[float, dict[str, str | None]]] = []
    for comparison in chosen:
        shown = _shown(comparison, methods, real)
        slides = _slides(comparison.typical)
        ids = sorted(set.intersection(*({*files} for files in shown.values())))
        if n > len(ids):
            raise UsageError(f"--n {n}: {comparison.name} has {len(ids)} images")
        tissue = _choose(ids, slides, n, rng)
        for method, files in shown.items():
            twice = {tissue[int(number)] for number in rng.choice(n, repeats, replace=False)}
            for pair_id in tissue:
                image, he = files[pair_id]
                made = {
                    "group": comparison.name,
                    "stain": comparison.stain,
                    "method": method,
                    "id": pair_id,
                    "slide": slides.get(pair_id),
                }
                item = made | {"image": str(image), "he": str(he), "digest": _digest(image)}
                at = float(rng.random())
                places.append((at * EARLY if pair_id in twice else at, item))
                if pair_id in twice:
                    places.append((LATE + (1 - LATE) * float(rng.random()), item))
    names = [f"{number:08x}" for number in rng.choice(2**32, len(places), replace=False)]
    items = list(_named(_spread([item for _, item in sorted(places, key=lambda place: place[0])]), names))
    study = digest([__version__, str(seed), *questions, *(item.model_dump_json() for item in items)])[:12]
    return Key(study=study, vsbench=__version__, seed=seed, questions=list(questions), items=items)


def read_key(path: Path) -> Key:
    """The key in a file. Raises DataError, naming the file, where it is missing, damaged or no key."""
    try:
        return Key.model_validate(read_json(path))
    except ValidationError as error:
        raise DataError(f"{path}: no key of a reader study ({first_fault(error)}); name the -key.json file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: can't be read ({said(error)}); name the -key.json file") from None


def _shown(comparison: Comparison, methods: Sequence[str], real: bool) -> dict[str, dict[str, tuple[Path, Path]]]:
    """Method → pair id → image to be scored and its H&E."""
    shown = {}
    for row in comparison.rows:
        wanted = not methods or row.key in methods or row.title in methods
        if row.is_method and wanted and comparison.same_data(row):
            run = row.runs[0]
            shown[row.title] = {pair.id: _files(run, pair, pair.fake) for pair in run.pairs if pair.fake is not None}
    if real:
        if REAL in shown:
            raise UsageError(f"{comparison.name}: a method is called {REAL!r}; leave out --real, or name it otherwise")
        run = comparison.typical
        shown[REAL] = {pair.id: _files(run, pair, pair.ihc) for pair in run.pairs}
    if not shown:
        raise UsageError(f"{comparison.name}: no method to show; name others, or other --data")
    return shown


def _files(run: EvaluatedRun, pair: PairFiles, image: str) -> tuple[Path, Path]:
    return run.folder / image, run.folder / pair.he  # an absolute path stays as it is


def _slides(run: EvaluatedRun) -> dict[str, str | None]:
    """Pair id → slide, None where it is unknown."""
    slides = read_table(run.summary.parent)["slide"]
    return {str(pair): None if pd.isna(slide) else str(slide) for pair, slide in slides.items()}


def _choose(ids: Sequence[str], slides: Mapping[str, str | None], n: int, rng: np.random.Generator) -> list[str]:
    """``n`` of the ids, from as many slides as there are, and evenly from these."""
    turns: Counter[str] = Counter()
    order: list[tuple[int, int, str]] = []
    for number in rng.permutation(len(ids)):
        pair_id = ids[int(number)]
        slide = slides.get(pair_id)
        order.append((0 if slide is None else turns[slide], len(order), pair_id))
        if slide is not None:
            turns[slide] += 1
    return [pair_id for *_, pair_id in sorted(order)[:n]]


def _spread(items: list[dict[str, str | None]]) -> Iterator[dict[str, str | None]]:
    """The items in their order, but the next one first where its tissue is not that of the item before."""
    before = None
    waiting = list(items)
    while waiting:
        free = (number for number, item in enumerate(waiting) if (item["group"], item["id"]) != before)
        item = waiting.pop(next(free, 0))
        before = item["group"], item["id"]
        yield item


def _named(items: Iterator[dict[str, str | None]], names: Sequence[str]) -> Iterator[Item]:
    first: dict[int, str] = {}  # both showings of an image are one dictionary
    for item, name in zip(items, names, strict=True):
        yield Item.model_validate({**item, "name": name, "again": first.get(id(item))})
        first.setdefault(id(item), name)


def _digest(image: Path) -> str:
    try:
        return file_digest(image)
    except OSError as error:
        raise DataError(f"{image}: can't be read ({error.strerror}); evaluate the run again") from None


def _require_known(option: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise UsageError(f"{option} {name}: unknown; one of {', '.join(dict.fromkeys(known))}")
