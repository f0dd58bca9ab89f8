"""What do masks and nuclei say of the methods that R_avg does not? Asked of the leaderboard, where the truth is known.

    python -m benchmarks.unseen [--images results/leaderboard/work]

For each stain and value: Spearman's rank correlation, over the methods that can be had on real data, of how good the
value calls a method (the mean over the seeds that have it) with how good its ``cell_auc`` and its R_avg do, with the
limits of 95 % over resampled methods and seeds; and the method whose place by the two differs most. Written to
``results/leaderboard/unseen.csv``.

The board's rows hold no nuclei, which are measured on request. With ``--images`` those of all rows whose translated
images lie there are measured, and kept in ``results/leaderboard/nuclei.csv``; a row that is in it stays as it is.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from benchmarks.chosen import LEAST, YARDSTICK, agreement
from benchmarks.leaderboard import ALIGNED, DATASET, HOME, STAINS, Entry, entries, table, test_pairs
from vsbench.data.decode import read_rgb
from vsbench.data.pairs import Pair
from vsbench.errors import DataError
from vsbench.evaluation.onepass import measure, set_values
from vsbench.files import write_text
from vsbench.metric import Absent, Image, Metric, penalty
from vsbench.metrics.nuclei import NucleiKept

OTHER = "r_avg"
VALUES = (
    "mask_dice", "mask_dice_best", "mask_sensitivity", "mask_specificity", "mask_msd", "mask_hd95", "nuclei_f1",
    "nuclei_count_error", "nuclei_share_mae", "nuclei_h_score_mae", "nuclei_kappa",
)  # fmt: skip
NUCLEI = HOME / "nuclei.csv"
KEY = ["stain", "method", "seed"]


def images_of(entry: Entry, work: Path) -> Path:
    """Where the translated test images of a row lie, if they do."""
    return work / "runs" / f"{DATASET}-{entry.stain}" / entry.folder / f"seed-{entry.seed}" / "images" / "test"


def nuclei(stain: str, rows: dict[Entry, Path]) -> Iterator[dict[str, object]]:
    """A line for each value of the nuclei of rows of a stain, by the folders of their images."""
    metrics: dict[str, Metric] = {"nuclei": NucleiKept()}
    pairs = [replace(pair, labels={**pair.labels, "stain": stain}) for pair in test_pairs(stain)]
    makers = {images.as_posix(): partial(_made, images) for images in rows.values()}
    found = measure(pairs, makers, metrics)
    for entry, images in rows.items():
        row = found[images.as_posix()]
        if isinstance(row, DataError):
            raise row
        numbers = set_values(metrics, row)
        for value in metrics["nuclei"].values:
            number = numbers[value.name]
            yield {
                "stain": stain, "method": entry.method, "seed": entry.seed, "value": value.name,
                "number": None if isinstance(number, Absent) else number, "best": value.best,
                "protocol": value.protocol,
            }  # fmt: skip


def _made(images: Path, pair: Pair, he: Image, real: Image) -> Image:
    made: Image = read_rgb(images / f"{pair.id}.png")
    return made


def unseen(board: pd.DataFrame) -> pd.DataFrame:
    """A line for each stain and value of the board's lines, R_avg's own first; values of too few methods are left out.

    ``at`` and ``r_avg_at``: the places of ``method``, 1 the best, of the value's ``methods``.
    """
    lines = []
    known = board[board["number"].notna() & (board["method"] != ALIGNED)]
    for stain, rows in known.groupby("stain", sort=False):
        best = rows.drop_duplicates("value").set_index("value")["best"]
        wide = rows.pivot(index=["method", "seed"], columns="value", values="number")
        for name in (value for value in (OTHER, *VALUES) if value in wide):
            three = [name, YARDSTICK, OTHER]
            there = wide[list(dict.fromkeys(three))].dropna()
            methods = there.index.unique("method").tolist()
            if len(methods) < LEAST:
                continue
            judged = np.stack([penalty(there[of].to_numpy(float), best[of]) for of in three], axis=1)
            by_method = [judged[of] for of in there.groupby("method").indices.values()]  # (seeds, 3) each
            means = np.array([of.mean(axis=0) for of in by_method])
            places, others = (rankdata(means[:, side], method="min").astype(int) for side in (0, 2))
            apart = int(abs(places - others).argmax())
            line = {"stain": stain, "value": name, "methods": len(methods)}
            for side, beside in ((1, "truth"), (2, OTHER)):
                rho, low, high = agreement([of[:, [0, side]] for of in by_method])
                line |= {f"rho_{beside}": rho, f"low_{beside}": low, f"high_{beside}": high}
            lines.append(line | {"method": methods[apart], "at": places[apart], f"{OTHER}_at": others[apart]})
    return pd.DataFrame(lines)


def lines(found: pd.DataFrame) -> Iterator[str]:
    """The table as Markdown."""
    yield "| stain | value | methods | ρ with cell AUC | ρ with R_avg | most apart: place by it, and by R_avg |"
    yield "|---|---|---|---|---|---|"
    for line in found.to_dict("records"):
        rhos = (
            "{:.2f} [{:.2f}, {:.2f}]".format(*(line[f"{end}_{beside}"] for end in ("rho", "low", "high")))
            for beside in ("truth", OTHER)
        )
        gap = "" if line["value"] == OTHER else f"{line['method']}: {line['at']}, {line[f'{OTHER}_at']}"
        yield f"| {line['stain']} | `{line['value']}` | {line['methods']} | {' | '.join(rhos)} | {gap} |"


def main() -> None:
    """Measure what is asked for, then print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path)
    given = parser.parse_args()
    kept = [entry for entry in entries([], []) if entry.is_kept]
    known = pd.read_csv(NUCLEI) if NUCLEI.exists() else pd.DataFrame(columns=KEY)
    there = set(known[KEY].itertuples(index=False, name=None))
    for stain in STAINS if given.images else ():
        new = [e for e in kept if e.stain == stain and (stain, e.method, e.seed) not in there]
        rows = {entry: images for entry in new if (images := images_of(entry, given.images)).is_dir()}
        if rows:
            known = pd.DataFrame([*known.to_dict("records"), *nuclei(stain, rows)])
            write_text(NUCLEI, known.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    found = unseen(pd.concat([table(kept), known], ignore_index=True))
    write_text(HOME / "unseen.csv", found.to_csv(index=False, lineterminator="\n", float_format="%.4g"))
    print(*lines(found), sep="\n")


if __name__ == "__main__":
    main()
