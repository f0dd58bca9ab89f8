"""Every number of the LaTeX table against plain pandas on the per-image tables: no formula of ours is called here."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from vsbench.evaluation.evaluate import evaluate_images
from vsbench.evaluation.group import Group
from vsbench.evaluation.instrument import Instrument
from vsbench.report.latex.comparison import full_tables
from vsbench.report.tables import compare, load_results

SIDE = 176  # the smallest that MS-SSIM takes
SLIDES = "abcd"
NONE = float("nan")  # a value that does not exist
Table = pd.DataFrame


def pearson(x: "pd.Series[float]", y: "pd.Series[float]") -> float:
    dx, dy = x - x.mean(), y - y.mean()
    scale = np.sqrt((dx**2).sum() * (dy**2).sum())
    return 100 * float((dx * dy).sum() / scale) if scale > 1e-9 * len(x) else NONE


def concordance(t: Table) -> float:
    x, y = t["mean_od"], t["mean_od_real"]
    if np.ptp(x) < 1e-9 or np.ptp(y) < 1e-9:
        return NONE
    joint = ((x - x.mean()) * (y - y.mean())).mean()
    return float(2 * joint / (x.var(ddof=0) + y.var(ddof=0) + (x.mean() - y.mean()) ** 2))


def kappa(t: Table, reference: str) -> float:
    both = t[["category", reference]].dropna()
    counts = pd.crosstab(both["category"], both[reference]).reindex(index=range(3), columns=range(3), fill_value=0)
    weights = np.subtract.outer(np.arange(3), np.arange(3)) ** 2
    chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / max(len(both), 1)
    expected = (weights * chance).sum()
    return 1 - float((weights * counts.to_numpy()).sum() / expected) if expected else NONE


def graded(t: Table) -> Table:
    return t[["positivity_grade", "positivity_grade_real"]].dropna()


def binary_kappa(t: Table, least: int) -> float:
    fake, real = (graded(t)[column] >= least for column in ("positivity_grade", "positivity_grade_real"))
    chance = fake.mean() * real.mean() + (1 - fake.mean()) * (1 - real.mean())
    return float(((fake == real).mean() - chance) / (1 - chance)) if real.nunique() == 2 else NONE


def pooled(t: Table) -> float:
    mean, mean_he = t["grey_mean"].mean(), t["grey_mean_he"].mean()  # images are of one size
    spread = (t["grey_variance"] + (t["grey_mean"] - mean) ** 2).mean()
    spread_he = (t["grey_variance_he"] + (t["grey_mean_he"] - mean_he) ** 2).mean()
    joint = (t["grey_covariance"] + (t["grey_mean"] - mean) * (t["grey_mean_he"] - mean_he)).mean()
    return 100 * float(joint / np.sqrt(spread * spread_he)) if spread > 0 else NONE


def difference(t: Table) -> "pd.Series[float]":
    return t["mean_od"] - t["mean_od_real"]


FORMULAS: dict[str, Callable[[Table], float]] = {
    "iod": lambda t: abs(t["intden"].sum() - t["intden_real"].sum()) / 1e7,
    "iod_rel": lambda t: abs(t["intden"].sum() - t["intden_real"].sum()) / t["intden_real"].sum(),
    "iod_bias": lambda t: 100 * (t["intden"].sum() - t["intden_real"].sum()) / t["intden_real"].sum(),
    "iod_mae": lambda t: ((t["intden"] - t["intden_real"]).abs() / (t["height"] * t["width"])).mean(),
    "r_p": lambda t: pearson(t["intden"], t["intden_real"]),
    "r_avg": lambda t: (t["r_c"].mean() + pearson(t["intden"], t["intden_real"])) / 2,
    "r_c_undefined": lambda t: t["r_c"].isna().sum(),
    "r_c_pooled": pooled,
    "r_c_image_means": lambda t: pearson(t["grey_mean"], t["grey_mean_he"]),
    "ccc": concordance,
    "ba_bias": lambda t: abs(difference(t).mean()),
    "ba_spread": lambda t: 1.959963984540054 * difference(t).std(ddof=1),
    "ba_limit": lambda t: abs(difference(t).mean()) + 1.959963984540054 * difference(t).std(ddof=1),
    "clinical_kappa": lambda t: kappa(t, "category_real"),
    "clinical_undefined": lambda t: t["category_agreement"].isna().sum(),
    "label_kappa": lambda t: kappa(t, "category_label"),
    "r_block_undefined": lambda t: t.filter(regex=r"^r_block_").isna().any(axis=1).sum(),
    "sharpness_ratio": lambda t: 100 * (t["sharpness"].sum() / t["sharpness_real"].sum() - 1),
    "miod_bias": lambda t: 100 * (t["miod"].sum() / t["miod_real"].sum() - 1),
    "fod_bias": lambda t: 100 * (t["fod"].sum() / t["fod_real"].sum() - 1),
    "r_p_dab90": lambda t: pearson(t["dab90"], t["dab90_real"]),
    "r_p_li": lambda t: pearson(t["labelling_index"], t["labelling_index_real"]),
    "r_p_miod": lambda t: pearson(t["miod"], t["miod_real"]),
    "psnr_pooled": lambda t: 10 * np.log10(255**2 / t["mse"].mean()) if t["mse"].any() else np.inf,
    "light_unknown": lambda t: t["iod_mae_balanced"].isna().sum(),
    "psnr_infinite": lambda t: np.isinf(t["psnr"]).sum(),
}
MEANS = {"clinical_accuracy": "category_agreement", "label_accuracy": "label_agreement", "npi_mae": "npi_error"}
MEANS |= {"h_score_mae": "h_score_error"}
for _cut, _least in (("low", 1), ("high", 2)):
    MEANS |= {f"sensitivity_{_cut}": f"detected_{_cut}", f"specificity_{_cut}": f"spared_{_cut}"}
    FORMULAS[f"positivity_kappa_{_cut}"] = lambda t, least=_least: binary_kappa(t, least)
    FORMULAS[f"positives_{_cut}"] = lambda t, least=_least: (graded(t)["positivity_grade_real"] >= least).sum()
    FORMULAS[f"negatives_{_cut}"] = lambda t, least=_least: (graded(t)["positivity_grade_real"] < least).sum()
NETWORKS = (
    "fid",
    "kid",
    "phv_",
    "lpips",
    "fd_",
    "kd_",
    "cosine_",
    "precision_",
    "recall_",
    "density_excess_",
    "coverage_",
)
FEATURES = (*NETWORKS, "truth_", "true_")  # no weights and no truth are here


def balanced(name: str, t: Table) -> float:
    """The value of the same name from the densities under each slide's own light, where there are any."""
    ours = ["height", "width", "intden_balanced", "intden_balanced_real", "mean_od_balanced", "mean_od_balanced_real"]
    known = t[ours].dropna().rename(columns=lambda column: column.replace("_balanced", ""))
    return float(FORMULAS[name](known)) if len(known) else NONE


def expected(name: str, t: Table) -> float:
    """A value from the per-image table, NaN where it does not exist."""
    if name.startswith(FEATURES):
        return NONE
    if name.endswith("_balanced"):
        return balanced(name.removesuffix("_balanced"), t)
    return float(FORMULAS[name](t) if name in FORMULAS else t[MEANS.get(name, name)].mean())


def picture(seed: int, *stain: int) -> NDArray[np.uint8]:
    """(SIDE, SIDE, 3): a pale ground with blots in the colour of a stain, more of them for a larger seed."""
    rng = np.random.default_rng([seed, *stain])
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    image = np.full((SIDE, SIDE, 3), 235.0) + 4 * rng.normal(size=(SIDE, SIDE, 3))
    for _ in range(4 + 3 * seed):
        cx, cy, radius = *rng.random(2), 0.02 + 0.05 * rng.random()
        image[np.hypot(x - cx, y - cy) < radius] = stain
    return np.clip(image, 0, 255).astype(np.uint8)


def save(path: Path, image: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four slides of two pairs, really evaluated: references, two methods made elsewhere, and these as two seeds."""
    folder = tmp_path_factory.mktemp("recomputed")
    rng = np.random.default_rng(0)
    for split, numbers in (("train", range(20, 23)), ("test", range(8))):
        for i in numbers:
            name = f"{SLIDES[i // 2 % 4]}_{i}.png"
            save(folder / f"own/he/{split}/{name}", picture(i, 110, 70, 150))
            save(folder / f"own/ihc/{split}/{name}", picture(i, 120, 70, 40))
    for i, path in enumerate(sorted((folder / "own/ihc/test").iterdir())):
        real = np.asarray(Image.open(path))
        save(folder / "pale" / path.name, np.clip(real.astype(int) + 8 * i, 0, 255).astype(np.uint8))
        save(folder / "shifted" / path.name, np.roll(real, rng.integers(1, 9), axis=(0, 1)))
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("VSBENCH_DATA", "VSBENCH_WEIGHTS", "TORCH_HOME"):
            patch.delenv(variable, raising=False)
        for variable in ("XDG_CACHE_HOME", "HOME"):
            patch.setenv(variable, str(folder / "nothing"))
        for name in ("pale", "shifted"):
            group = Group("folder", {"slide": "^."}, "er", folder / "own", folder / "results")
            _, failures = evaluate_images(folder / name, name, group, Instrument.build("cpu"))
            assert not failures
    runs = folder / "results/runs/folder-er"
    for seed, name in enumerate(("pale", "shifted")):
        shutil.copytree(runs / name / "external/evaluation", runs / f"trained/seed-{seed}/evaluation")
        path = next((runs / f"trained/seed-{seed}").rglob("summary.json"))
        changes = {"kind": "trained", "row": "trained", "title": "Trained", "seed": seed}
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder / "results"


def recomputed(results: Path) -> tuple[list[str], dict[str, pd.DataFrame]]:
    """The values in their order, and by title a row of numbers per seed."""
    values: list[str] = []
    rows: dict[str, list[dict[str, float]]] = {}
    for path in sorted((results / "runs").rglob("summary.json")):
        summary, table = json.loads(path.read_text()), pd.read_csv(path.parent / "per_image.csv")
        values = values or list(summary["values"])
        assert set(values) == set(summary["values"])
        rows.setdefault(summary["title"], []).append({name: expected(name, table) for name in values})
    return values, {title: pd.DataFrame(lines) for title, lines in rows.items()}


def taken(tex: str, command: str) -> tuple[str, str]:
    """A cell without ``\\command{…}``, and what stood in it; braces may be nested."""
    before, found, rest = tex.partition(f"\\{command}{{")
    if not found:
        return tex, ""
    depth = end = 1
    while depth:
        depth += {"{": 1, "}": -1}.get(rest[end - 1], 0)
        end += 1
    return before + rest[end - 1 :], rest[: end - 2]


def printed(tex: str) -> dict[str, list[tuple[str, str]]]:
    """Title → (number, standard deviation) as printed, value by value, over all parts of the table."""
    columns: dict[str, list[tuple[str, str]]] = {}
    for part in tex.split(r"\begin{tabular}")[1:]:
        head, body = part.split(r"\bottomrule")[0].split("\\midrule\n")
        stacked = re.findall(r"shortstack\[l\]\{(.*?)\}\}(?= &| \\)", head)
        titles = [title.replace("\\\\", " ").replace(r"\&", "&") for title in stacked]
        for line in body.strip().split("\n"):
            _, *cells = (cell.strip() for cell in re.split(r"(?<!\\)&", line.removesuffix(r"\\")))
            for title, cell in zip(titles, cells, strict=True):
                bare, beside = taken(cell, "rlap")
                bare = taken(bare, "phantom")[0]
                bare = re.sub(r"\\(?:textbf|underline)\{([^{}]*)\}", r"\1", bare)
                sd = re.search(r"\$\\pm\$\\,([\d.]+)", beside)
                number = bare.replace("$-$", "-").replace(r"$\infty$", "inf")
                columns.setdefault(title, []).append((number, sd[1] if sd else ""))
    return columns


def agrees(text: str, number: float) -> bool:
    """Whether a printed number is this one, rounded to the digits in print; ``--`` is a number that does not exist."""
    if text in ("--", "inf") or not np.isfinite(number):
        return (text == "--") == bool(np.isnan(number)) and (text == "inf") == bool(np.isinf(number))
    return float(text) == float(f"{number:.{len(text.partition('.')[2])}f}")


def test_every_number_of_the_table_is_what_pandas_gives(results: Path) -> None:
    values, rows = recomputed(results)
    table = printed(full_tables(compare(load_results(results))[0]))
    assert set(table) == set(rows)
    values = [name for name in values if any(found[name].notna().any() for found in rows.values())]
    numbers = spreads = 0
    for title, cells in table.items():
        assert len(cells) == len(values)
        for name, (number, sd) in zip(values, cells, strict=True):
            found: Any = rows[title][name]
            assert agrees(number, found.mean()), f"{title}, {name}: {number} in print, {found.mean()} by pandas"
            has_spread = len(found) > 1 and np.isfinite(found).all()
            assert bool(sd) == has_spread, f"{title}, {name}"
            assert not sd or agrees(sd, found.std(ddof=1)), f"{title}, {name}: ± {sd}, {found.std(ddof=1)} by pandas"
            numbers, spreads = numbers + (number != "--"), spreads + has_spread
    assert numbers > 200  # so many were compared, and no table was empty
    assert spreads > 20


@pytest.mark.parametrize("name", ["iod_rel", "iod_bias", "r_p", "ba_spread", "ccc", "r_c_image_means"])
def test_a_wrong_formula_would_be_seen(results: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    formula = FORMULAS[name]
    monkeypatch.setitem(FORMULAS, name, lambda t: 1.01 * formula(t) + 0.001)
    with pytest.raises(AssertionError, match=f"{name}: "):
        test_every_number_of_the_table_is_what_pandas_gives(results)
