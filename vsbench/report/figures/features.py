"""H&E, real IHC and generated IHC as clouds of features on one t-SNE map, and how far each cloud is told from the real.

Features are those of a pretrained network where the evaluations stored them; without, a descriptor of our own, which is
named as such.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_limits

from vsbench.data.decode import read_rgb
from vsbench.errors import RunError
from vsbench.evaluation.evaluated import read_features
from vsbench.evaluation.onepass import THREADS
from vsbench.evaluation.references import QUANTILES, SCALES
from vsbench.records.summary import PairFiles
from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.names import heading_of
from vsbench.report.figures.style import PAGE_WIDTH, Look, look, new_figure, reference_look, style, write
from vsbench.report.notation import plain, shorten, slug
from vsbench.report.tables import Comparison, EvaluatedRun, Row
from vsbench.stain.density import DAB, EOSIN, HAEMATOXYLIN, optical_density, stain_matrix

IMAGES, TOTAL, LEAST = 500, 2000, 5  # images of a group at most, of all groups about, of a group at least
PERPLEXITY, SEED = 30, 0
DESCRIPTOR = "stain amounts and texture"
DESCRIBED = (
    f"{DESCRIPTOR} (vsbench's own descriptor, no network: quantiles of haematoxylin, eosin and DAB and their spread at "
    "three coarser sizes; the evaluations hold no network features of H&E, real and generated images)"
)
ACROSS, PANEL, HEAD, TITLE, FOOT = 5, 1.6, 0.2, 0.3, 0.24  # panels side by side, then inches
HE, REAL = "H&E", "Real IHC (adjacent)"
REFERENCES = {"he": "he", "real": "real-ihc"}  # kind → the reference that is drawn so in other figures
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """The images of one kind or method: features (N, D) in the order of the same N pairs."""

    title: str
    kind: str  # he, real or generated
    features: Array
    row: Row | None = None


@dataclass(frozen=True)
class Features:
    """What ``what`` says of the images of some pairs; H&E first, then real IHC, then each method."""

    what: str
    ids: list[str]
    groups: list[Group]
    missing: tuple[str, ...] = ()


def describe(image: NDArray[np.uint8]) -> Array:
    """(24,) how much of haematoxylin, eosin and DAB a (H, W, 3) image has, and how it is spread.

    As ``references.descriptor`` of H&E, with a third stain: quantiles at a quarter of the size, and standard deviations
    at an eighth, a sixteenth and a thirty-second.
    """
    unmix = np.linalg.inv(stain_matrix(HAEMATOXYLIN, EOSIN, DAB))
    picture = Image.fromarray(image)
    amounts = [optical_density(np.asarray(picture.reduce(scale))).reshape(-1, 3) @ unmix for scale in SCALES]
    finest, *coarser = amounts
    return np.concatenate([np.quantile(finest, QUANTILES, axis=0).ravel(), *(a.std(axis=0) for a in coarser)])


def separability(first: Array, second: Array) -> float:
    """How far two groups of features (N, D), in the same order of pairs, are apart: percent, 50 where not at all.

    The share of the images whose nearest neighbour is of their own group. Each looks among the other N − 1 pairs: its
    own partner, which shows the same tissue, does not count. A tie counts half.
    """
    n = len(first)
    both = np.concatenate([first, second])
    distance = cdist(both, both)
    index = np.arange(n)
    for shift_row, shift_column in ((0, 0), (0, n), (n, 0), (n, n)):
        distance[index + shift_row, index + shift_column] = np.inf
    to_first, to_second = distance[:, :n].min(axis=1), distance[:, n:].min(axis=1)
    own = np.concatenate([to_first[:n], to_second[n:]])
    other = np.concatenate([to_second[:n], to_first[n:]])
    return float(100 * np.mean((own < other) + 0.5 * (own == other)))


def feature_map(comparison: Comparison, folder: Path) -> list[Drawn]:
    """Draw ``features-<dataset>-<stain>.{pdf,png,csv}``; the first seed stands for a method with several.

    Raises RunError where no method was measured on the data of this comparison, or images are too few or all alike,
    DataError naming an image that can't be read.
    """
    found = _features(comparison)
    points = np.concatenate([group.features for group in found.groups])
    if not np.ptp(points, axis=0).any():
        raise RunError(f"{comparison.name}: all images have the same features; no map to draw")
    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    places = np.split(_tsne(points, perplexity), len(found.groups))
    real = found.groups[1].features
    apart = [None if g.kind == "real" else separability(g.features, real) for g in found.groups]
    caption = (
        f"t-SNE of {found.what}. {len(found.ids)} test images in each group, evenly spaced in the order of their ids; "
        f"perplexity {perplexity:.3g}, seed {SEED}; one map for all panels. Near points are alike; distances between "
        "clusters, and their sizes, mean little. Numbers: share of the images of a panel's two groups whose nearest "
        "neighbour in feature space, their own pair left out, is of their own group: 50 % not told apart, 100 % wholly "
        f"apart; chance moves each by {50 / math.sqrt(2 * len(found.ids)):.0f} points (standard error, were the images "
        "independent). Of a method with several seeds the first is shown."
    )
    drawn = Drawn(folder / f"features-{slug(comparison.name)}", caption, found.missing)
    with style():
        write(_figure(comparison, found, places, apart), drawn, _table(found, places, apart, perplexity))
    return [drawn]


def _tsne(points: Array, perplexity: float) -> Array:
    """(N, 2); the same for the same input."""
    from sklearn.manifold import TSNE  # takes a second to import

    with threadpool_limits(1):  # on a busy machine its threads wait for each other, twenty times as long
        placed: Array = TSNE(init="pca", perplexity=perplexity, random_state=SEED).fit_transform(
            points.astype(np.float32)
        )
    return placed.astype(np.float64)


def _features(comparison: Comparison) -> Features:
    methods = [row for row in comparison.rows if row.is_method and comparison.same_data(row)]
    if not methods:
        raise RunError(f"{comparison.name}: no method was evaluated; no features to show")
    run = methods[0].runs[0]
    if run.n < LEAST:
        raise RunError(f"{comparison.name}: {run.n} test images; a map of features needs {LEAST} at least")
    count = min(run.n, IMAGES, max(LEAST, TOTAL // (len(methods) + 2)))
    order = sorted(pair.id for pair in run.pairs)
    ids = [order[int((place + 0.5) * run.n / count)] for place in range(count)]
    others = [row for row in comparison.rows if row.is_method and not comparison.same_data(row)]
    left_out = tuple(f"{row.title} (measured on other images)" for row in others)
    stored = _stored(comparison, methods, ids)
    found = stored or _described(methods, ids)
    return Features(found.what, ids, found.groups, found.missing + left_out)


def _stored(comparison: Comparison, methods: Sequence[Row], ids: list[str]) -> Features | None:
    """Features of a network, of those methods that have them; None where H&E, real or all methods have none."""
    he = next((row for row in comparison.rows if row.kind == "reference" and row.key == "he"), None)
    if he is None or not comparison.same_data(he):
        return None
    of_he = read_features(he.runs[0].summary.parent, he.runs[0].n)
    for value in comparison.columns:
        if f"{value}_fake" not in of_he or f"{value}_real" not in of_he:
            continue
        groups = [
            Group(HE, "he", _chosen(of_he[f"{value}_fake"], he.runs[0], ids)),
            Group(REAL, "real", _chosen(of_he[f"{value}_real"], he.runs[0], ids)),
        ]
        missing = []
        for row in methods:
            run = row.runs[0]
            stored = {} if comparison.difference(row, value) else read_features(run.summary.parent, run.n)
            fake = stored.get(f"{value}_fake")
            if fake is None or fake.shape[1] != of_he[f"{value}_real"].shape[1]:
                missing.append(f"{row.title} (no such features stored)")
            else:
                groups.append(Group(row.title, "generated", _chosen(fake, run, ids), row))
        if len(groups) > 2:
            column = comparison.columns[value]
            what = f"the network features behind {plain(column.label)} ({column.protocol})"
            return Features(what, ids, groups, tuple(missing))
    return None


def _chosen(features: NDArray[np.float32], run: EvaluatedRun, ids: Sequence[str]) -> Array:
    places = {pair.id: place for place, pair in enumerate(run.pairs)}
    return features[[places[name] for name in ids]].astype(np.float64)


def _described(methods: Sequence[Row], ids: list[str]) -> Features:
    """Our own descriptor of each image, scaled to unit variance over H&E and real IHC: no method changes another's."""
    first = methods[0].runs[0]
    groups = [
        Group(HE, "he", _describe_all(first, ids, lambda pair: pair.he)),
        Group(REAL, "real", _describe_all(first, ids, lambda pair: pair.ihc)),
        *(Group(row.title, "generated", _describe_all(row.runs[0], ids, lambda p: p.fake), row) for row in methods),
    ]
    deviation = np.concatenate([groups[0].features, groups[1].features]).std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    return Features(DESCRIBED, ids, [Group(g.title, g.kind, g.features / scale, g.row) for g in groups])


def _describe_all(run: EvaluatedRun, ids: Sequence[str], which: Callable[[PairFiles], str | None]) -> Array:
    files = {pair.id: which(pair) for pair in run.pairs}

    def one(name: str) -> Array:
        file = files.get(name)
        if file is None:
            raise RunError(f"{run.summary}: pair {name} has no such image; evaluate the run again")
        return describe(read_rgb(run.folder / file))

    with ThreadPoolExecutor(THREADS) as pool:
        return np.stack(list(pool.map(one, ids)))


def _figure(comparison: Comparison, found: Features, places: list[Array], apart: list[float | None]) -> Figure:
    """A panel for H&E and real IHC, then one per method beside the real IHC; H&E stays in the back."""
    (_, of_he, _), (_, of_real, _), *methods = shown = list(zip(found.groups, places, apart, strict=True))
    panels = [shown[0], *methods]
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    side = min(PANEL, PAGE_WIDTH / across)
    height = HEAD + down * (side + TITLE) + FOOT
    figure = new_figure(across * side, height)
    low, high = np.concatenate(places).min(axis=0), np.concatenate(places).max(axis=0)
    margin = 0.05 * (high - low)
    faint = replace(reference_look("he"), colour="0.85")
    for number, (group, at, told) in enumerate(panels):
        column, line = number % across, number // across
        bottom = height - HEAD - (line + 1) * (side + TITLE)
        axes = figure.add_axes((column / across + 0.01, bottom / height, 1 / across - 0.02, (side - 0.04) / height))
        axes.set(xlim=(low[0] - margin[0], high[0] + margin[0]), ylim=(low[1] - margin[1], high[1] + margin[1]))
        axes.set(xticks=[], yticks=[])  # t-SNE has no units
        if group.kind != "he":
            _dots(axes, faint, of_he)
        _dots(axes, _look(comparison, found.groups[1]), of_real)
        _dots(axes, _look(comparison, group), at)
        name = "H&E" if group.kind == "he" else shorten(group.title, int(18 * side))
        axes.set_title(f"{name}\n{told:.0f} %", fontsize=6, pad=2, parse_math=False, linespacing=1.1)
        sns.despine(ax=axes, top=False, right=False)
    what = DESCRIPTOR if found.what == DESCRIBED else "network features"
    title = f"{heading_of(comparison, 20)}: t-SNE of {what}"
    figure.text(0.01, 1 - 0.03 / height, title, ha="left", va="top", fontsize=7, parse_math=False)
    handles = [Line2D([], [], **_look(comparison, group).marked(3.5)) for group in found.groups[:2]]
    figure.legend(
        handles, ["H&E", "real IHC"], loc="lower left", ncols=3, frameon=False, fontsize=6, borderpad=0.2,
        handletextpad=0.2, columnspacing=1,
    )  # fmt: skip
    return figure


def _look(comparison: Comparison, group: Group) -> Look:
    return look(comparison, group.row) if group.row else reference_look(REFERENCES[group.kind])


def _dots(axes: Axes, own: Look, at: Array) -> None:
    axes.plot(at[:, 0], at[:, 1], **own.marked(3.2 if len(at) <= 60 else 2.2 if len(at) <= 200 else 1.5))


def _table(found: Features, places: list[Array], apart: list[float | None], perplexity: float) -> pd.DataFrame:
    """One line per image of each group."""
    records = [
        {
            "group": group.title,
            "kind": group.kind,
            "row": group.row.key if group.row else None,
            "seed": group.row.runs[0].seed if group.row else None,
            "id": name,
            "x": x,
            "y": y,
            "separability_from_real": told,
            "features": found.what,
            "images": len(found.ids),
            "perplexity": perplexity,
            "tsne_seed": SEED,
        }
        for group, at, told in zip(found.groups, places, apart, strict=True)
        for name, (x, y) in zip(found.ids, at, strict=True)
    ]
    return pd.DataFrame(records).astype({"seed": "Int64"})
