"""Which value would have chosen the right method? Asked of the leaderboard, where the truth is known.

    python -m benchmarks.chosen

For each stain and value: Spearman's rank correlation, over the methods that can be had on real data, of how good the
value calls a method (the mean over its seeds) with its ``cell_auc``; limits of 95 % over resampled methods, and of each
over its seeds, value and truth of one training together (of one seed each, what another training would change is not
in them; the tiles are the same in all resamples). Where every method has two seeds and more also the method that the
value puts first, and what that choice costs: the cell AUC of the best method less that of the chosen one. Written to
``results/leaderboard/chosen.csv``, drawn in ``chosen.png``, and in three lines for a page in the end: a value whose
limits hold 0 cannot be said to choose right or wrong. A correlation over some fifteen methods, some of which share most
of their code, is a weak witness: read its limits.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.leaderboard import ALIGNED, HOME
from vsbench.files import write_text
from vsbench.markers import stain_name
from vsbench.metric import penalty
from vsbench.report.figures.style import COLUMN_WIDTH, GREY, PALETTE, new_figure, save, style

YARDSTICK = "cell_auc"
CHOOSERS = (  # by which papers choose, and what is near to them; none of them knows the truth
    "r_avg", "fid", "fd_vgg16", "ssim", "psnr", "iod", "iod_mae", "r_p", "ccc", "lpips", "mask_dice_best",
)  # fmt: skip
LEAST = 5  # methods; of fewer a rank correlation says nothing
SEEDS = 2  # of every method, below which none is put first: it could be luck
DRAWS, SEED, LEVEL = 10_000, 0, 0.95
LOOKS = {"right": (PALETTE[0], "o"), "wrong": (PALETTE[3], "X"), "open": (GREY, "D")}  # of what may be said

Array = NDArray[np.float64]


def chosen(board: pd.DataFrame) -> pd.DataFrame:
    """A line for each stain and value of ``leaderboard.csv``, the best correlation first; absent values are left out.

    ``seeds``: the fewest that a method has. ``rho``, ``low`` and ``high`` are empty where a value has fewer than
    ``LEAST`` methods or is the same for all, ``first`` and ``cost_cell_auc`` where a method has fewer than ``SEEDS``.
    """
    lines = []
    known = board[board["number"].notna() & (board["method"] != ALIGNED)]
    for stain, rows in known.groupby("stain", sort=False):
        truth = rows[rows["value"] == YARDSTICK].set_index(["method", "seed"])["number"]
        for (name, protocol), value in rows.groupby(["value", "protocol"], sort=False):
            if name == YARDSTICK:
                continue
            numbers = value.set_index(["method", "seed"])["number"]
            pairs = pd.DataFrame({"said": penalty(numbers, value["best"].iloc[0]), "true": -truth}).dropna()
            by_method = {str(m): of.to_numpy(float) for m, of in pairs.groupby(level="method", sort=True)}
            if not by_method:
                continue
            means = {method: of.mean(axis=0) for method, of in by_method.items()}
            seeds = min(map(len, by_method.values()))
            rho, low, high = agreement(list(by_method.values())) if len(means) >= LEAST else (np.nan,) * 3
            line = {
                "stain": stain, "value": name, "protocol": protocol, "methods": len(means), "seeds": seeds,
                "rho": rho, "low": low, "high": high, "first": "", "cost_cell_auc": np.nan,
            }  # fmt: skip
            if seeds >= SEEDS:
                first = min(means, key=lambda method: means[method][0])
                line |= {"first": first, "cost_cell_auc": means[first][1] - min(of[1] for of in means.values())}
            lines.append(line)
    found = pd.DataFrame(lines)
    return found.sort_values(["stain", "rho"], ascending=[True, False], kind="stable", ignore_index=True)


def agreement(methods: Sequence[Array]) -> tuple[float, float, float]:
    """Spearman's ρ over methods of the means over seeds, and its limits; of each method (seeds, 2): said, and true.

    Methods are drawn with replacement, and of each its seeds. NaN where one side is the same for all; draws in which
    one is tell nothing and are left out.
    """
    rng = np.random.default_rng(SEED)
    found = _rho(*np.array([of.mean(axis=0) for of in methods]).T[:, None])[0]
    drawn = rng.integers(len(methods), size=(DRAWS, len(methods)))
    means = np.stack([of[rng.integers(len(of), size=(DRAWS, len(of)))].mean(axis=1) for of in methods])  # (M, D, 2)
    draws = _rho(*(np.take_along_axis(means[:, :, side].T, drawn, axis=1) for side in (0, 1)))
    draws = draws[~np.isnan(draws)]
    if np.isnan(found) or not len(draws):
        return np.nan, np.nan, np.nan
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(found), float(low), float(high)


def _rho(a: Array, b: Array) -> Array:
    """Spearman's ρ of each row of (N, M) and (N, M); NaN where a row is constant."""
    ranks = [rankdata(x, axis=1) for x in (a, b)]
    ranks = [x - x.mean(axis=1, keepdims=True) for x in ranks]
    scale = np.sqrt((ranks[0] ** 2).sum(axis=1) * (ranks[1] ** 2).sum(axis=1))
    with np.errstate(invalid="ignore"):
        return (ranks[0] * ranks[1]).sum(axis=1) / scale


def lines(found: pd.DataFrame) -> Iterator[str]:
    """The table as text."""
    for line in found.to_dict("records"):
        first = f", first {line['first']}, costs {line['cost_cell_auc']:.3f}" if line["first"] else ""
        of = f"{line['methods']} methods, {line['seeds']} seeds or more{first}"
        yield f"{line['stain']:5} {line['value']:28} {with_limits(line) or 'n/a':22} {of}"


def with_limits(line: dict[Any, Any]) -> str:
    """``0.71 [0.09, 0.98]``; "" where there is no correlation."""
    if pd.isna(line["rho"]):
        return ""
    return "{rho:.2f} [{low:.2f}, {high:.2f}]".format(**line).replace("-", "−")


def verdict(line: dict[Any, Any]) -> str:
    """What may be said of a value: ``right``, ``wrong``, or ``open`` where its limits hold 0 or it has none."""
    return "right" if line["low"] > 0 else "wrong" if line["high"] < 0 else "open"


def summary(found: pd.DataFrame) -> list[str]:
    """Three lines for a page: which of ``CHOOSERS`` would have chosen right, which wrong, and of which it is open.

    A stain of which fewer than ``LEAST`` methods are done is not in them.
    """
    found = _choosers(found)
    if found.empty:
        return [f"Fewer than {LEAST} methods of each stain are done, so nothing can be said."]
    judged = found.to_dict("records")
    texts: dict[str, dict[str, list[str]]] = {kind: {} for kind in LOOKS}
    for line in judged:
        text = f"{stain_name(line['stain'])} {with_limits(line) or 'n/a'}"
        texts[verdict(line)].setdefault(line["value"], []).append(text)
    said = {
        kind: ", ".join(f"`{value}` ({', '.join(of)})" for value, of in own.items()) or "none"
        for kind, own in texts.items()
    }
    absent = [f"`{name}`" for name in CHOOSERS if name not in {line["value"] for line in judged}]
    counts = []
    for stain, of in found.groupby("stain", sort=False):
        methods, seeds = int(of["methods"].max()), int(of["seeds"].min())
        trainings = "one seed" if seeds == 1 else f"{seeds} seeds"
        counts.append(f"{methods} methods of {trainings} or more on {stain_name(str(stain))}")
    return [
        f"Spearman's ρ with `{YARDSTICK}` over {' and '.join(counts)}, 95 % limits. Would have chosen right: "
        f"{said['right']}.",
        f"Would have chosen wrong: {said['wrong']}.",
        f"Limits hold 0, so nothing can be said: {said['open']}."
        + (f" Not measured: {', '.join(absent)}." if absent else ""),
    ]


def _choosers(found: pd.DataFrame) -> pd.DataFrame:
    """The lines of ``CHOOSERS`` on stains of which enough methods are done."""
    return found[found["value"].isin(CHOOSERS) & (found["methods"] >= LEAST)]


def draw(found: pd.DataFrame, file: Path) -> None:
    """A panel for each stain: ρ and its limits of each of ``CHOOSERS`` that was measured, grey where they hold 0."""
    stains = list(dict.fromkeys(_choosers(found)["stain"])) or list(dict.fromkeys(found["stain"]))
    with style():
        figure = new_figure(COLUMN_WIDTH * max(1, len(stains)), 2.3)
        axes = figure.subplots(1, len(stains), squeeze=False)[0]
        figure.subplots_adjust(left=0.34 / len(stains), right=0.98, bottom=0.18, top=0.92, wspace=0.5)
        for panel, stain in zip(axes, stains, strict=True):
            own = found[(found["stain"] == stain) & found["value"].isin(CHOOSERS) & found["rho"].notna()]
            for y, line in enumerate(own.to_dict("records")):
                kind = verdict(line)
                colour, mark = LOOKS[kind]
                panel.plot([line["low"], line["high"]], [y, y], color=colour, linewidth=1)
                filled = "white" if kind == "open" else colour
                panel.plot(line["rho"], y, mark, color=colour, markerfacecolor=filled, markersize=4)
            panel.axvline(0, color="0.6", linewidth=0.6)
            panel.set(xlim=(-1, 1), yticks=range(len(own)), yticklabels=own["value"], title=stain_name(stain))
            panel.set_xlabel(r"Spearman's $\rho$ with the cell AUC")
            panel.invert_yaxis()
        save(figure, file)


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--board", type=Path, default=HOME / "leaderboard.csv")
    given = parser.parse_args()
    found = chosen(pd.read_csv(given.board))
    write_text(given.board.with_name("chosen.csv"), found.to_csv(index=False, lineterminator="\n", float_format="%.4g"))
    draw(found, given.board.with_name("chosen.png"))
    print(*lines(found), "", *summary(found), sep="\n")


if __name__ == "__main__":
    main()
