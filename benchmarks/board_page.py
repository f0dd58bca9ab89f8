"""The page of the leaderboard, from what is kept: tables, what would have chosen, the claims, one sheet a stain.

    python -m benchmarks.board_page

writes ``results/leaderboard/README.md``, ``ki67.jpg`` and ``her2.jpg``. Every number in it is read from the tables that
lie beside it; what it says in words is what holds whatever they are.
"""

import io
from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.leaderboard import ALIGNED, HOME, OPTIONS, SEEDS, STAINS, Entry, entries, shown_tiles, test_pairs
from vsbench import registry
from vsbench.data.decode import read_rgb
from vsbench.data.pairs import Pair
from vsbench.files import atomic, write_text
from vsbench.markers import stain_name

SHOWN = (
    "cell_auc", "cell_sensitivity", "cell_specificity", "sharpness_ratio", "true_mask_dice", "iod_bias", "r_p", "ccc",
    "r_c", "r_avg", "ssim", "psnr", "lpips",
)  # fmt: skip
CHOOSERS = ("r_avg", "fid", "fd_vgg16", "ssim", "psnr", "iod", "iod_mae", "r_p", "ccc", "lpips", "mask_dice_best")
COLUMNS = 6  # of a sheet


def main() -> None:
    """Write page and sheets."""
    board = pd.read_csv(HOME / "leaderboard.csv")
    rows = entries([], [])
    done = f"{sum(entry.is_kept for entry in rows)} of {len(rows)} rows are done"
    parts = [HEAD.format(tiles=_tiles(), slides=OPTIONS["slides_test"], seed=OPTIONS["seed"], done=done)]
    parts += [section for stain in STAINS if (board["stain"] == stain).any() for section in _stain(board, stain)]
    for name, title, lines in (
        ("chosen", "Which value would have chosen right", _chosen),
        ("claims", "The papers' claims, in the small", _claims),
    ):
        if (HOME / f"{name}.csv").is_file():
            parts += [f"## {title}\n", *lines(pd.read_csv(HOME / f"{name}.csv"))]
    write_text(HOME / "README.md", "\n".join(parts))


def _tiles() -> int:
    return len(test_pairs(STAINS[0]))


def _stain(board: pd.DataFrame, stain: str) -> Iterator[str]:
    """Table and sheet."""
    rows = board[(board["stain"] == stain) & board["number"].notna()]
    means = rows.pivot_table(index="method", columns="value", values="number", aggfunc="mean", sort=False)
    spread = rows.pivot_table(index="method", columns="value", values="number", aggfunc="std", sort=False)
    seeds = board[board["stain"] == stain].groupby("method")["seed"].nunique()
    shown = [value for value in SHOWN if value in means]
    order = means.sort_values("cell_auc", ascending=False).index
    yield f"## {stain_name(stain)}\n"
    yield f"![H&E, adjacent and true IHC, and every method's first seed, of two test tiles]({stain}.jpg)\n"
    yield "| method | seeds | " + " | ".join(f"`{value}`" for value in shown) + " |"
    yield "|---|---|" + "---|" * len(shown)
    for method in order:
        cells = [_with_spread(float(means[value][method]), spread, method, value) for value in shown]
        yield f"| {method} | {seeds[method]} | " + " | ".join(cells) + " |"
    yield ""
    _sheet(stain, list(order))


def _with_spread(mean: float, spread: pd.DataFrame, method: str, value: str) -> str:
    known = method in spread.index and value in spread
    deviation = float(spread[value][method]) if known else np.nan
    if np.isnan(mean):
        return "n/a"
    return f"{mean:.3g}" if np.isnan(deviation) else f"{mean:.3g} ± {deviation:.2g}"


def _sheet(stain: str, order: list[str]) -> None:
    """Two tiles: H&E, the adjacent section, the truth, and what each method made of it with its first seed."""
    tiles = shown_tiles(test_pairs(stain))
    kept = {entry.method: entry for entry in entries([], [stain]) if entry.seed == SEEDS[0] and entry.is_kept}
    methods = [method for method in order if method in kept]
    height = -(-(len(methods) + 3) // COLUMNS)
    figure, axes = plt.subplots(2 * height, COLUMNS, figsize=(2.1 * COLUMNS, 4.6 * height), layout="constrained")
    for block, tile in zip((axes[:height], axes[height:]), tiles, strict=True):
        pictures = _pictures(tile, [kept[method] for method in methods])
        for axis in block.ravel():
            axis.axis("off")
        for axis, (title, picture) in zip(block.ravel(), pictures, strict=False):
            axis.imshow(picture, interpolation="nearest")
            axis.set_title(title, fontsize=9)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=120)
    plt.close(figure)
    with atomic(HOME / f"{stain}.jpg") as temporary:
        Image.open(drawn).convert("RGB").save(temporary, "JPEG", quality=85)


def _pictures(tile: Pair, rows: list[Entry]) -> Iterator[tuple[str, np.ndarray]]:
    assert tile.truth is not None
    for title, file in (("H&E", tile.he), ("adjacent IHC", tile.ihc), ("true IHC", tile.truth)):
        yield title, read_rgb(file)
    for entry in rows:
        own = entry.method != ALIGNED
        title = registry.load("vsbench.methods", entry.method).card.title if own else "L1 on aligned pairs"
        yield title, read_rgb(entry.kept / f"{tile.id}.jpg")


def _lines(table: pd.DataFrame) -> Iterator[Any]:
    """The rows, each with its columns as attributes."""
    yield from table.itertuples()


def _chosen(table: pd.DataFrame) -> Iterator[str]:
    yield "Spearman's ρ over methods of a value with `cell_auc`, its 95 % limits, and the method that it puts first.\n"
    yield "| stain | value | methods | ρ | limits | puts first | costs, of cell AUC |"
    yield "|---|---|---|---|---|---|---|"
    for row in _lines(table[table["value"].isin(CHOOSERS)]):
        limits = "n/a" if np.isnan(row.rho) else f"[{row.low:.2f}, {row.high:.2f}]"
        rho = "n/a" if np.isnan(row.rho) else f"{row.rho:.2f}"
        yield (
            f"| {stain_name(row.stain)} | `{row.value}` | {row.methods} | {rho} | {limits} | {row.first} | "
            f"{row.cost_cell_auc:.3f} |"
        )
    yield ""


def _claims(table: pd.DataFrame) -> Iterator[str]:
    yield "Mean difference that a term makes where all others are equal, Student's 95 % limits over so many differences"
    yield "between trainings; for τ the range of the means and the p of an analysis of variance. Ki67.\n"
    yield "| study | change | value | n | effect | limits | p |"
    yield "|---|---|---|---|---|---|---|"
    for row in _lines(table[table["n"] > 1]):
        limits = "" if np.isnan(row.low) else f"[{row.low:.3g}, {row.high:.3g}]"
        p = "" if np.isnan(row.p) else f"{row.p:.2g}"
        yield f"| {row.study} | {row.change} | `{row.value}` | {row.n} | {row.effect:.3g} | {limits} | {p} |"
    yield ""


HEAD = """# The phantom's leaderboard

    make leaderboard

trains every method with its preset `small`, a few minutes of one core each, on the phantom (synthetic tissue whose true
IHC is known), {tiles} test tiles of {slides} slides, cohort {seed}, which no preset was chosen on; three seeds, two
stains: {done}. A row that is done is data in `rows/`, and is run nowhere again.

**What it shows.** Which of these small networks, after so few steps, stains the right cells, with how much luck
(± sample standard deviation over seeds), and what each metric would have said of it. `cell_auc`: the mean DAB of each
true nucleus of the generated image against its true positivity, .5 for chance; sensitivity and specificity at the
threshold that the true IHC calibrates. **What it can't.** These are not the published networks or trainings, and
synthetic tissue is not tissue: nothing here ranks the methods on patients' slides. All values, with protocol, N,
interval and digests, are in `leaderboard.csv`.
"""


if __name__ == "__main__":
    main()
