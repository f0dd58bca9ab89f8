"""The page of the leaderboard, from what is kept: tables, what would have chosen, the claims, one sheet a stain.

    python -m benchmarks.board_page

writes ``results/leaderboard/README.md``, ``ki67.jpg`` and ``her2.jpg`` from the tables and figures that
``benchmarks.leaderboard``, ``benchmarks.chosen`` and ``benchmarks.claims`` left there, and what the project's README
says of them. Every number is read from these tables; what is said in words is what holds whatever they are. Nothing is
ranked by one seed.
"""

import argparse
import io
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image

from benchmarks import claims
from benchmarks.chosen import CHOOSERS, summary, with_limits
from benchmarks.chosen import SEEDS as LEAST
from benchmarks.leaderboard import ALIGNED, HOME, OPTIONS, SEEDS, STAINS, Entry, entries, shown_tiles, test_pairs
from vsbench import registry
from vsbench.data.decode import read_rgb
from vsbench.data.pairs import Pair
from vsbench.files import atomic, write_text
from vsbench.markers import stain_name
from vsbench.report.groups import TITLES, Group, method_group
from vsbench.report.split import LIMITS
from vsbench.report.verdict import p_text

CELLS = ("cell_auc", "cell_sensitivity", "cell_specificity", "true_mask_dice", "sharpness_ratio")
USUAL = ("iod_bias", "iod_mae", "r_p", "ccc", "r_c", "r_avg", "ssim", "psnr", "lpips", "fid")
SHOWN = (*CELLS, *USUAL)
MEND = re.compile(r" \([^()]*\)$")  # what a reason ends in
COLUMNS = 6  # of a sheet
README = HOME.parents[1] / "README.md"
USUAL_NAMES = {"r_p": "R_p", "r_avg": "R_avg", "ssim": "SSIM", "iod": "IoD", "mask_dice_best": "masks", "fid": "FID"}
BEGIN, END = "<!-- written by benchmarks.board_page -->\n", "<!-- to here -->\n"


def main() -> None:
    """Write page and sheets, and the lines of the README."""
    board = pd.read_csv(HOME / "leaderboard.csv")
    trainings = board.drop_duplicates(["stain", "method", "seed"])
    done = f"{_done(entries([], []))} so far: {trainings['seconds'].sum() / 3600:.1f} hours of one core"
    parts = [HEAD.format(tiles=_tiles(), slides=OPTIONS["slides_test"], seed=OPTIONS["seed"], done=done)]
    parts += [section for stain in STAINS if (board["stain"] == stain).any() for section in _stain(board, stain)]
    for name, title, lines in (
        ("chosen", "Which value would have chosen right", _chosen),
        ("claims", "The papers' claims, in the small", _claims),
    ):
        if (HOME / f"{name}.csv").is_file():
            parts += [f"## {title}\n", *lines(pd.read_csv(HOME / f"{name}.csv"))]
    write_text(HOME / "README.md", "\n".join(parts))
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    write_text(README, f"{before}{BEGIN}{in_readme()}{END}{rest.partition(END)[2]}")


def in_readme() -> str:
    """What the project's README says of the leaderboard: of the first stain, methods that have all seeds."""
    board, found = (pd.read_csv(HOME / f"{name}.csv") for name in ("leaderboard", "chosen"))
    stain = STAINS[0]
    known = board[(board["stain"] == stain) & (board["method"] != ALIGNED) & board["number"].notna()]
    of = known.groupby(["value", "method"])["number"].agg(["mean", "std", "count"])
    of = of[of["count"] == len(SEEDS)]
    count, luck = len(of.loc["cell_auc"]), of.loc["r_p"]["std"]
    said = {line["value"]: with_limits(line) for line in found[found["stain"] == stain].to_dict("records")}
    usual = (f"{label} {said.get(value) or 'n/a'}" for value, label in USUAL_NAMES.items())
    page = "results/leaderboard/README.md"
    lines = (
        f"**Which value would have chosen right?** Over {count} methods trained alike on {stain_name(stain)}, "
        f"{len(SEEDS)} seeds each, Spearman's ρ with the true cells: {', '.join(usual)}.",
        f"The seed alone moves {_title(str(luck.idxmax()))}'s R_p by {luck.max():.0f} points (standard deviation). "
        f"[The leaderboard]({page}): {_done(entries([], []))}; [the papers' own "
        f"claims]({page}#the-papers-claims-in-the-small): {_done(claims.entries([]))}.",
    )
    return "".join(fill(f"- {line}", 120, subsequent_indent="  ", break_on_hyphens=False) + "\n" for line in lines)


def _done(rows: list[Entry]) -> str:
    return f"{sum(entry.is_kept for entry in rows)} of {len(rows)} trainings are done"


def _tiles() -> int:
    return len(test_pairs(STAINS[0]))


def _title(method: str) -> str:
    """What a method is called, with no word of the preset: it is the same for all."""
    return "L1, aligned pairs" if method == ALIGNED else str(registry.load("vsbench.methods", method).card.title)


def _group(method: str) -> Group:
    return "reference" if method == ALIGNED else method_group(method)


def _stain(board: pd.DataFrame, stain: str) -> Iterator[str]:
    """Sheet, tables and what separates each method from the best possible prediction."""
    rows = board[board["stain"] == stain]
    known = rows[rows["number"].notna()]
    seeds = rows.groupby("method")["seed"].nunique()
    auc = known[known["value"] == "cell_auc"].groupby("method")["number"].mean()
    places = list(TITLES)

    def place(method: str) -> tuple[int, bool, float, str]:
        ranked = seeds[method] >= LEAST
        return places.index(_group(method)), not ranked, -auc.get(method, 0.0) if ranked else 0.0, _title(method)

    order = sorted(seeds.index, key=place)
    decided = _decided(stain)
    if any(seeds < LEAST):
        decided = decided.drop(columns="p", errors="ignore")
    yield f"## {stain_name(stain)}\n"
    yield f"![H&E, adjacent and true IHC, and every method's first seed, of two test tiles]({stain}.jpg)\n"
    yield "**The cells, where the truth is known.**\n"
    yield from _table(known, order, seeds, CELLS, decided)
    yield _ranking(seeds[order], decided)
    yield "**What the usual values say of the same images.**\n"
    yield from _table(known, order, seeds, USUAL, pd.DataFrame())
    absent = rows[rows["value"].isin(SHOWN) & ~rows["value"].isin(known["value"])].drop_duplicates("value")
    if len(absent):
        told = (f"`{row.value}` ({MEND.sub('', row.absent)})" for row in _lines(absent))
        yield f"Not measured: {'; '.join(told)}.\n"
    yield from _split(stain)
    _sheet(stain, order)


def _decided(stain: str) -> pd.DataFrame:
    """By method: limits of the mean over slides, and p; empty where there is no table of them."""
    if not (HOME / "decision.csv").is_file():
        return pd.DataFrame()
    found = pd.read_csv(HOME / "decision.csv")
    found = found[found["stain"] == stain]
    return found.assign(method=found["method"].str.partition("+")[0]).set_index("method")


def _table(
    known: pd.DataFrame, order: Sequence[str], seeds: pd.Series, values: Sequence[str], decided: pd.DataFrame
) -> Iterator[str]:
    """Methods under the headings of their groups; means over seeds, ± where there are two and more."""
    shown = [value for value in values if (known["value"] == value).any()]
    units = known.drop_duplicates("value").set_index("value")["unit"]
    heads = [f"`{value}`" + ("" if units[value] == "1" else f" ({units[value]})") for value in shown]
    tests = [head for column, head in (("low", "95 % limits"), ("p", "p")) if column in decided]
    heads = ["method", "seeds", heads[0], *tests, *heads[1:]]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * 2 + "|---:" * (len(heads) - 2) + "|"
    numbers: dict[Any, Any] = known.groupby(["method", "value"])["number"].agg(["mean", "std"]).to_dict("index")
    for group, methods in groupby(order, key=_group):
        yield f"| *{TITLES[group]}* |" + " |" * (len(heads) - 1)
        for method in methods:
            first, *others = (_mean(numbers, method, value) for value in shown)
            cells = [_title(method), str(seeds[method]), first, *_tested(decided, method), *others]
            yield f"| {' | '.join(cells)} |"
    yield ""


def _mean(numbers: dict[Any, Any], method: str, value: str) -> str:
    if (method, value) not in numbers:
        return "n/a"
    mean, deviation = (numbers[method, value][part] for part in ("mean", "std"))
    return f"{mean:.3g}" if np.isnan(deviation) else f"{mean:.3g} ± {deviation:.2g}"


def _tested(decided: pd.DataFrame, method: str) -> Iterator[str]:
    """Limits and p, as far as the table has these."""
    of: Any = decided.to_dict("index").get(method)
    if "low" in decided:
        yield "" if of is None or np.isnan(of["low"]) else f"[{of['low']:.3f}, {of['high']:.3f}]"
    if "p" in decided:
        yield "" if of is None else "best" if of["standing"] == "best" else p_text(of["p"])


def _ranking(seeds: pd.Series, decided: pd.DataFrame) -> str:
    """By what the methods stand in order, and what was tested."""
    limits = f" Limits: of this mean, {int(decided['units'].iloc[0])} slides resampled." if len(decided) else ""
    few = [_title(method) for method in seeds.index if seeds[method] < LEAST]
    if len(few) == len(seeds):
        return f"Every method has one seed so far, and nothing is ranked by one: by name in each group.{limits}\n"
    said = f"Means over seeds ± their sample standard deviation, the best `cell_auc` of a group first.{limits}"
    if few:
        said += f" Of one seed, so last and not ranked: {', '.join(few)}. No test before every method has more."
    elif len(decided):
        said += (
            " p: against the method with the best mean, images exchanged slide by slide, corrected by Holm over "
            f"{int(decided['p'].notna().sum())} tests; at .05 or more not distinguishable from the best. What another "
            "training would change is not in limits and p: the ± tells it."
        )
    return f"{said}\n"


def _split(stain: str) -> Iterator[str]:
    """The figure, and a sentence for each method."""
    if not (HOME / f"split-{stain}.csv").is_file():
        return
    found = pd.read_csv(HOME / f"split-{stain}.csv")
    yield f"**What misalignment costs, and what the method.** {LIMITS} A method stands "
    yield f"in its group by this number, which ranks nothing where it is of one training. More: `split-{stain}.csv`.\n"
    yield f"![Distance of each method to the best possible prediction, split](split-{stain}.png)\n"
    for row in _lines(found[found["value"] == "cell_auc"]):
        yield f"- {row.sentence}"
    yield ""


def _sheet(stain: str, order: list[str]) -> None:
    """Two tiles: H&E, the adjacent section, the truth, and what each method made of it with its first seed."""
    tiles = shown_tiles(stain)
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
        yield _title(entry.method), read_rgb(entry.kept / f"{tile.id}.jpg")


def _lines(table: pd.DataFrame) -> Iterator[Any]:
    """The rows, each with its columns as attributes."""
    yield from table.itertuples()


def _chosen(table: pd.DataFrame) -> Iterator[str]:
    yield "![Spearman's rank correlation of each value with the cell AUC, and its limits](chosen.png)\n"
    yield from (f"- {line}" for line in summary(table))
    yield "\nLimits: methods are drawn with replacement, and of each its seeds, not the tiles. Each value is judged"
    yield "alone: of twenty that say nothing one would seem to. `L1, aligned pairs` is left out: nobody can choose it."
    if (table["seeds"] < LEAST).any():
        yield "Where a method has one seed, what another training would change is not in the limits, and none is first."
    yield "\n| stain | value | methods | seeds | ρ | puts first | costs, of cell AUC |"
    yield "|---|---|---|---|---|---|---|"
    for row in table[table["value"].isin(CHOOSERS)].to_dict("records"):
        told = pd.notna(row["cost_cell_auc"])
        first, cost = (_title(row["first"]), f"{row['cost_cell_auc']:.3f}") if told else ("", "")
        yield (
            f"| {stain_name(row['stain'])} | `{row['value']}` | {row['methods']} | {row['seeds']} | "
            f"{with_limits(row) or 'n/a'} | {first} | {cost} |"
        )
    yield ""


def _claims(table: pd.DataFrame) -> Iterator[str]:
    """What the papers say of themselves, and what each term does; of too few differences nothing is told."""
    told = table[table["n"] >= claims.LEAST]
    if not len(told):
        yield "Not run yet: `claims.csv` has a line for each study, term and value, and no numbers.\n"
        return
    yield "Mean difference that a term makes where all others are equal, Student's 95 % limits over so many differences"
    yield "between trainings; for τ the range of the means, and the p of an analysis of variance. Ki67. Printed: the"
    yield "same of the paper's rows, on MIST ER. `usigan` is what the paper's equations say, `usigan+released` what the"
    yield f"official code computes. {_done(claims.entries([]))} so far.\n"
    yield from (f"- {line}" for line in claims.answers(table))
    by_luck = f"of {len(told)} that say nothing some {len(told) / 20:.0f} would seem to"
    yield f"\nEach is judged alone: {by_luck}.\n"
    yield "| study | change | value | n | effect | limits | p | so | printed |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in told.to_dict("records"):
        what = f"{row['study']} | {row['change']} | `{row['value']}` | {row['n']} | {row['effect']:.3g}"
        limits = "" if np.isnan(row["low"]) else f"[{row['low']:.3g}, {row['high']:.3g}]"
        p = "" if np.isnan(row["p"]) else f"{row['p']:.2g}"
        printed = f"{row['printed']:.3g}" if row["printed_n"] else ""
        yield f"| {what} | {limits} | {p} | {claims.verdict(row)} | {printed} |"
    yield ""


HEAD = """# The phantom's leaderboard

    make leaderboard

trains every method with its preset `small`, a few minutes of one core each, on the phantom (synthetic tissue whose true
IHC is known), {tiles} test tiles of {slides} slides, cohort {seed}, which no preset was chosen on; three seeds, two
stains. **{done}.** A training that is done is data in `rows/`, and is run nowhere again.

One after the other it calls `python -m benchmarks.leaderboard` (`leaderboard.csv`, `digests.csv`, `decision.csv`,
`split-*`), `benchmarks.chosen` (`chosen.*`), `benchmarks.claims` (`claims.csv`) and `benchmarks.board_page` (this
page); with `--minutes 0` the first and the third train nothing, and write what the rows say that are there.

**What it shows.** Which of these small networks, after so few steps, stains the right cells, with how much luck
(± sample standard deviation over seeds), and what each metric would have said of it. `cell_auc`: the mean DAB of each
true nucleus of the generated image against its true positivity, .5 for chance; sensitivity and specificity at the
threshold that the true IHC calibrates. `sharpness_ratio`: 0 is as sharp as the real IHC. *L1, aligned pairs* is the
control's training on pairs that fit, which no real data has.

**What it can't.** These are not the published networks or trainings, and synthetic tissue is not tissue: nothing here
ranks the methods on patients' slides. All were given the same frame, which was tuned to none; a method that needs more
steps than it has is behind for that alone. Two stains of one phantom are not two tissues. All values, with protocol, N
and interval, are in `leaderboard.csv`, the digests of what each training was trained and measured on in `digests.csv`.
"""


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
