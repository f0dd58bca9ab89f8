"""Which value would have chosen the right method? Asked of the leaderboard, where the truth is known.

    python -m benchmarks.chosen

For each stain and value: Spearman's rank correlation, over methods, of how good the value calls a method (the mean
over its seeds) with its ``cell_auc``, with the limits of 95 % over resampled methods and seeds; the method that the
value puts first; and what that choice costs, the cell AUC of the best method less that of the chosen one. Written to
``results/leaderboard/chosen.csv``. A correlation over some fifteen methods, some of which share most of their code, is
a weak witness: read its limits.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.leaderboard import HOME
from vsbench.files import write_text
from vsbench.metric import penalty

YARDSTICK = "cell_auc"
LEAST = 5  # methods; of fewer a rank correlation says nothing
DRAWS, SEED, LEVEL = 10_000, 0, 0.95

Array = NDArray[np.float64]


def chosen(board: pd.DataFrame) -> pd.DataFrame:
    """A line for each stain and value of ``leaderboard.csv``, the best correlation first; absent values are left out.

    ``rho``, ``low`` and ``high`` are empty where a value has fewer than ``LEAST`` methods or is the same for all.
    """
    lines = []
    for stain, rows in board[board["number"].notna()].groupby("stain", sort=False):
        truth = _by_method(rows[rows["value"] == YARDSTICK])
        for (name, protocol), value in rows.groupby(["value", "protocol"], sort=False):
            if name == YARDSTICK:
                continue
            judged = {m: penalty(v, value["best"].iloc[0]) for m, v in _by_method(value).items() if m in truth}
            methods = list(judged)
            if not methods:
                continue
            said, true = [judged[m] for m in methods], [-truth[m] for m in methods]
            first = methods[int(np.argmin([v.mean() for v in said]))]
            rho, low, high = agreement(said, true) if len(methods) >= LEAST else (np.nan,) * 3
            cost = max(v.mean() for v in truth.values()) - truth[first].mean()
            lines.append(
                {
                    "stain": stain, "value": name, "protocol": protocol, "methods": len(methods),
                    "rho": rho, "low": low, "high": high, "first": first, "cost_cell_auc": cost,
                }
            )  # fmt: skip
    found = pd.DataFrame(lines)
    return found.sort_values(["stain", "rho"], ascending=[True, False], kind="stable", ignore_index=True)


def _by_method(rows: pd.DataFrame) -> dict[str, Array]:
    return {str(method): of["number"].to_numpy(float) for method, of in rows.groupby("method", sort=True)}


def agreement(said: list[Array], true: list[Array]) -> tuple[float, float, float]:
    """Spearman's ρ over methods of the means over seeds, and its limits; each method's numbers, of its seeds.

    Methods are drawn with replacement, and for each its seeds. NaN where one side is the same for all; draws in which
    one is tell nothing and are left out.
    """
    rng = np.random.default_rng(SEED)
    found = _rho(np.array([[v.mean() for v in said]]), np.array([[v.mean() for v in true]]))[0]
    drawn = rng.integers(len(said), size=(DRAWS, len(said)))
    means = []
    for side in (said, true):
        rows = [v[rng.integers(len(v), size=(DRAWS, len(v)))].mean(axis=1) for v in side]
        means.append(np.take_along_axis(np.stack(rows, axis=1), drawn, axis=1))
    draws = _rho(*means)
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
        limits = f"{line['rho']:5.2f} [{line['low']:5.2f}, {line['high']:5.2f}]" if pd.notna(line["rho"]) else "  n/a"
        of = f"{line['methods']} methods, first {line['first']}, costs {line['cost_cell_auc']:.3f}"
        yield f"{line['stain']:5} {line['value']:28} {limits:22} {of}"


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--board", type=Path, default=HOME / "leaderboard.csv")
    given = parser.parse_args()
    found = chosen(pd.read_csv(given.board))
    write_text(given.board.with_name("chosen.csv"), found.to_csv(index=False, lineterminator="\n", float_format="%.4g"))
    print(*lines(found), sep="\n")


if __name__ == "__main__":
    main()
