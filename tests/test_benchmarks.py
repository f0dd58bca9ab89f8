"""What the benchmarks compare computes the same."""

import copy
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from PIL import Image

from vsbench.checks._training import stained_batch, step
from vsbench.checks.methods import maker
from vsbench.data.decode import read_rgb
from vsbench.evaluation.ablate import Study, study_rows
from vsbench.files import write_text
from vsbench.method import Batch
from vsbench.registry import load

SMALL = {
    "width": 8, "blocks": 2, "taps": (0, 4, 8, 12), "discriminator_width": 4, "discriminator_layers": 2, "patches": 64,
    "load_size": 64, "crop_size": 32,
}  # fmt: skip


def test_every_benchmark_looks_at_its_arguments() -> None:
    """So that ``--help`` tells what it does and does nothing, and a misspelt option is refused."""
    sources = {file: file.read_text() for file in (Path(__file__).parents[1] / "benchmarks").rglob("*.py")}
    programs = [file for file, source in sources.items() if "__main__" in source or file.name == "__main__.py"]
    assert len(programs) > 20
    assert [file for file in programs if ".parse_args(" not in sources[file]] == []


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-6), (torch.float32, 1e-3)],
    ids=["float64", "float32"],
)
@pytest.mark.parametrize("images", [1, 2])
def test_sharing_activations_changes_no_loss_and_no_gradient(
    monkeypatch: pytest.MonkeyPatch, images: int, dtype: torch.dtype, tolerance: float
) -> None:
    """The plain step of the benchmark, twelve encoder passes, against the method's own."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks.plain_usigan import plain_step

    torch.manual_seed(0)
    usigan: Any = load("vsbench.methods", "usigan")
    ours = usigan(usigan.configure(options=SMALL)).to(dtype)
    plain = copy.deepcopy(ours)
    plain.training_step = lambda batch: plain_step(plain, batch)
    he, ihc = (torch.rand(images, 3, 32, 32, dtype=dtype) * 2 - 1 for _ in range(2))
    found = []
    for method in (ours, plain):
        torch.manual_seed(1)
        found.append(step(method, method.optimizers(), Batch(he, ihc)))
    assert list(found[0]) == list(found[1]) == list(usigan.card.losses)
    for name, loss in found[1].items():
        torch.testing.assert_close(found[0][name], loss, rtol=tolerance, atol=tolerance * 1e-3, msg=name)
    for network in ("generator", "discriminator", "heads"):
        gradients = [
            torch.cat([p.grad.flatten() for p in getattr(method, network).parameters()]) for method in (ours, plain)
        ]
        assert (gradients[0] - gradients[1]).norm() < 10 * tolerance * gradients[1].norm(), network


@pytest.mark.parametrize("name", ["cut", "flsesim"])
def test_a_floor_runs_whatever_a_networks_layers_are_called(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The layers of F-LSeSim's VGG lie in ``features``, by which other networks are called."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks.method_steps import floor

    method = maker(load("vsbench.methods", name))(width=4)
    floor(method, stained_batch(method))()


def test_the_true_ihc_stains_the_right_cells_and_glass_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What ``benchmarks.presets`` measures of images that are known: the truth, the best that H&E allows, and glass."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks.presets import Judge

    dataset = load("vsbench.datasets", "phantom").from_options({"slides_test": 1, "tiles_per_slide": 2, "size": 192})
    judge = Judge(dataset.pairs(tmp_path, "ki67", "test"))
    found = {}
    for name in ("truth", "best", "glass"):
        images = tmp_path / name
        images.mkdir()
        for pair in judge.pairs:
            image = np.full((192, 192, 3), 255, np.uint8) if name == "glass" else read_rgb(getattr(pair, name))
            Image.fromarray(image).save(images / f"{pair.id}.png")
        found[name] = judge.measured(images)
    assert found["truth"]["cell AUC"] > 0.99
    assert min(found["truth"]["sensitivity"], found["truth"]["specificity"]) > 0.95
    assert 0.8 < found["best"]["cell AUC"] < found["truth"]["cell AUC"]
    assert 0.5 < found["truth"]["sharpness"] < 2
    assert found["glass"] == {"cell AUC": 0.5, "sensitivity": 0, "specificity": 1, "sharpness": 0}


def test_what_would_have_chosen_right_is_ranked_as_scipy_ranks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks.chosen import chosen

    rng = np.random.default_rng(0)
    methods = [f"m{number}" for number in range(9)]
    truth = dict(zip(methods, rng.uniform(0.5, 0.9, (9, 3)), strict=True))
    told = {"as_true": (1.0, "high"), "turned": (-1.0, "low"), "bias": (0.4, "zero"), "noise": (0.0, "high")}
    noise = rng.normal(size=(9, 3))
    lines = []
    for method, values in truth.items():
        for seed, auc in enumerate(values):
            place = methods.index(method)
            numbers = {"cell_auc": auc, "still": 1.0} | {
                name: noise[place, seed] if share == 0 else share * (auc - 1) for name, (share, _) in told.items()
            }
            bests = {"cell_auc": "high", "still": "low"} | {name: best for name, (_, best) in told.items()}
            lines += [
                {"stain": "ki67", "method": method, "seed": seed, "value": name, "number": number, "protocol": "p",
                 "best": bests[name]} for name, number in numbers.items()
            ]  # fmt: skip
    lines.append({**lines[0], "value": "absent", "number": np.nan})
    found = chosen(pd.DataFrame(lines)).set_index("value")
    means = {method: values.mean() for method, values in truth.items()}
    best = max(means, key=lambda m: means[m])
    for name in ("as_true", "turned", "bias"):
        assert found.loc[name, "rho"] == pytest.approx(1.0)
        assert (found.loc[name, "first"], found.loc[name, "cost_cell_auc"]) == (best, 0.0)
    expected = scipy.stats.spearmanr(noise.mean(axis=1), list(means.values())).statistic
    assert found.loc["noise", "rho"] == pytest.approx(expected)
    assert -1 <= found.loc["noise", "low"] < expected < found.loc["noise", "high"] <= 1
    first = methods[int(noise.mean(axis=1).argmax())]
    assert found.loc["noise", "cost_cell_auc"] == pytest.approx(means[best] - means[first])
    assert np.isnan(found.loc["still", "rho"])
    assert "absent" not in found.index
    few = pd.DataFrame([line for line in lines if line["method"] in methods[:4]])
    assert chosen(few)["rho"].isna().all()
    # one training less, and the perfect chooser is none of a board that one method has one seed of
    uneven = pd.DataFrame([line for line in lines if line["method"] != "m3" or line["seed"] == 0])
    found = chosen(uneven).set_index("value")
    assert (found["seeds"] == 1).all()
    assert (found["first"] == "").all()
    assert found["cost_cell_auc"].isna().all()
    assert found.loc["as_true", "rho"] == pytest.approx(1.0)
    # value and truth of one training go together: seeds that differ alike leave a perfect correlation perfect
    assert found.loc["as_true", "low"] == pytest.approx(1.0)
    # what nobody can choose is not among the methods
    aligned = [line | {"method": "aligned"} for line in lines if line["method"] == "m0"]
    assert (chosen(pd.DataFrame([*lines, *aligned]))["methods"] == 9).all()


def test_what_would_have_chosen_is_told_in_three_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks.chosen import draw, summary

    limits = {"r_p": (0.7, 0.1, 0.9), "ssim": (-0.6, -0.9, -0.2), "iod": (0.3, -0.4, 0.8), "ccc": (np.nan,) * 3}
    found = pd.DataFrame(
        [
            {"stain": "ki67", "value": name, "methods": 17, "seeds": 3, "rho": rho, "low": low, "high": high}
            for name, (rho, low, high) in limits.items()
        ]
    )
    right, wrong, open_ = summary(found)
    assert "17 methods of 3 seeds" in right
    assert right.endswith("right: `r_p` (Ki67 0.70 [0.10, 0.90]).")
    assert wrong.endswith("wrong: `ssim` (Ki67 −0.60 [−0.90, −0.20]).")
    assert "said: `iod` (Ki67 0.30 [−0.40, 0.80]), `ccc` (Ki67 n/a)." in open_
    assert "Not measured: `r_avg`, `fid`" in open_
    draw(found, tmp_path / "chosen.png")
    assert read_rgb(tmp_path / "chosen.png").shape[1] > 1000


def test_what_r_avg_does_not_see_is_of_the_rows_that_have_both_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks as SciPy's; a value of fewer methods is held against these alone, and seeds that lack it don't count."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks.unseen import lines, unseen

    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(16, 4)), columns=["cell_auc", "r_avg", "mask_dice", "nuclei_share_mae"])
    table = table.assign(method=[f"m{n // 2}" for n in range(16)], seed=[n % 2 for n in range(16)], stain="ki67")
    table.loc[:3, "nuclei_share_mae"] = np.nan  # two methods
    table.loc[5, "nuclei_share_mae"] = np.nan  # a seed
    board = table.melt(["stain", "method", "seed"], var_name="value", value_name="number")
    board["best"] = np.where(board["value"] == "nuclei_share_mae", "low", "high")
    found = unseen(board).set_index("value")
    for name, turned in (("mask_dice", 1), ("nuclei_share_mae", -1)):
        own = table.dropna(subset=[name]).groupby("method")[["cell_auc", "r_avg", name]].mean()
        assert found.loc[name, "methods"] == len(own)
        for beside, other in (("truth", "cell_auc"), ("r_avg", "r_avg")):
            expected = turned * scipy.stats.spearmanr(own[name], own[other]).statistic
            assert found.loc[name, f"rho_{beside}"] == pytest.approx(expected)
        places = own[[name, "r_avg"]].mul([turned, 1]).rank(ascending=False)
        assert places.loc[found.loc[name, "method"]].tolist() == found.loc[name, ["at", "r_avg_at"]].tolist()
        assert (places[name] - places["r_avg"]).abs().max() == abs(found.loc[name, "at"] - found.loc[name, "r_avg_at"])
    assert found.loc["r_avg", "rho_r_avg"] == pytest.approx(1)
    assert len(list(lines(found.reset_index()))) == 2 + len(found)


def test_a_row_of_the_leaderboard_is_kept_without_a_path_and_restored_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks import board_page, leaderboard
    from vsbench.data.pairs import Pair
    from vsbench.engine.request import Request

    options = {"seed": 5, "slides_train": 1, "slides_test": 2, "tiles_per_slide": 2, "size": 96}

    def request(entry: leaderboard.Entry, work: Path) -> Request:
        few = {"steps": 2, "crop_size": 64, "width": 4}
        return Request(entry.method, "phantom", entry.stain, "cpu", few, options, seed=entry.seed, results=work)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(leaderboard, "HOME", tmp_path / "board")
    monkeypatch.setattr(leaderboard, "OPTIONS", options)
    monkeypatch.setattr(leaderboard.Entry, "request", request)
    entry = leaderboard.Entry("pix2pix", "ki67", 0)
    assert not entry.is_kept
    leaderboard.make(entry, tmp_path / "work")
    assert entry.is_kept
    kept = {file.name: file.read_bytes() for file in entry.kept.iterdir()}
    tiles = {f"{pair.id}.jpg" for pair in leaderboard.shown_tiles("ki67")}
    assert len(tiles) == 2
    assert set(kept) == {"run.json", "summary.json", *tiles, *(f"{name}.gz" for name in leaderboard.PACKED)}
    for name, content in kept.items():
        text = gzip.decompress(content) if name.endswith(".gz") else content
        for place in (tmp_path, Path.home(), Path(__file__).parents[1]):
            assert str(place).encode() not in text, name
    counted: set[str] = set()

    def count(pair: Pair) -> int:
        counted.add(f"{pair.id}.jpg")
        return 1

    with monkeypatch.context() as patched:
        patched.setattr(leaderboard, "_positive", count)
        assert {f"{pair.id}.jpg" for pair in leaderboard.shown_tiles("ki67")} == tiles
    assert counted == tiles, "the first row of a stain has told which two they are"
    run = leaderboard.restore(entry, tmp_path / "elsewhere")
    again = run.evaluation(leaderboard.PROTOCOL)
    made = next((tmp_path / "work").rglob("per_image.csv"))
    assert (again / "per_image.csv").read_bytes() == made.read_bytes()
    table = leaderboard.table([entry]).set_index("value")
    assert 0 <= table.loc["cell_auc", "number"] <= 1
    assert (table["n"] == 4).all()
    assert (table["slides"] == 2).all()
    write_text(leaderboard.HOME / "leaderboard.csv", leaderboard.table([entry]).to_csv(index=False))
    monkeypatch.setattr(board_page, "HOME", leaderboard.HOME)
    monkeypatch.setattr(board_page, "in_readme", lambda: "- said\n")
    monkeypatch.setattr(board_page, "README", readme := tmp_path / "README.md")
    readme.write_text(f"before\n{board_page.BEGIN}- old\n{board_page.END}after\n")
    monkeypatch.setattr(board_page, "entries", lambda methods, stains: [entry] if stains == ["ki67"] else [])
    board_page.main()
    assert readme.read_text() == f"before\n{board_page.BEGIN}- said\n{board_page.END}after\n"
    page = (leaderboard.HOME / "README.md").read_text()
    assert f"| Pix2Pix | 1 | {table.loc['cell_auc', 'number']:.3g} |" in page
    assert "HER2" not in page
    assert read_rgb(leaderboard.HOME / "ki67.jpg").shape[1] > 1000


def test_the_page_ranks_nothing_by_one_seed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks import board_page

    monkeypatch.setattr(board_page, "HOME", tmp_path)
    monkeypatch.setattr(board_page, "README", tmp_path / "read")
    monkeypatch.setattr(board_page, "in_readme", str)
    (tmp_path / "read").write_text(board_page.BEGIN + board_page.END)
    monkeypatch.setattr(board_page, "entries", lambda methods, stains: [])
    monkeypatch.setattr(board_page, "_sheet", lambda stain, order: None)
    monkeypatch.setattr(board_page, "_tiles", lambda: 96)
    seeds = {"cut": (0.6, 0.7), "monce": (0.9,), "src": (0.7, 0.8), "aligned": (0.9, 0.9), "asp": (0.4, 0.5)}

    def page(**more: tuple[float, ...]) -> list[str]:
        lines = [
            {"stain": "ki67", "method": method, "seed": seed, "value": value, "number": number, "unit": "1",
             "seconds": 60.0, "absent": None}
            for method, numbers in (seeds | more).items() for seed, number in enumerate(numbers)
            for value in ("cell_auc", "ssim")
        ]  # fmt: skip
        decided = [
            {"stain": "ki67", "value": "cell_auc", "method": f"{method}+small", "low": 0.1, "high": 0.9, "units": 12,
             "p": np.nan if method == "src" else 0.25, "standing": "best" if method == "src" else "alike"}
            for method in seeds if method != "aligned"
        ]  # fmt: skip
        write_text(tmp_path / "leaderboard.csv", pd.DataFrame(lines).to_csv(index=False))
        write_text(tmp_path / "decision.csv", pd.DataFrame(decided).to_csv(index=False))
        board_page.main()
        cells, usual = (tmp_path / "README.md").read_text().split("**What the usual values say")
        assert usual.count("| ASP | 2 |") == 1
        return cells.splitlines()

    found = page()
    assert [line.split(" | ")[:3] for line in found if line.startswith("| ")][1:] == [
        ["| *learn from weak pairs*", "|", "|"], ["| ASP", "2", "0.45 ± 0.071"],
        ["| *learn unpaired*", "|", "|"], ["| SRC", "2", "0.75 ± 0.071"], ["| CUT", "2", "0.65 ± 0.071"],
        ["| MoNCE", "1", "0.9"],
        ["| *references*", "|", "|"], ["| L1, aligned pairs", "2", "0.9 ± 0"],
    ]  # fmt: skip
    (said,) = [line for line in found if "not ranked: MoNCE." in line]
    assert "12 slides" in said
    assert not any(" p |" in line for line in found), "no test while a method has one seed"
    found = page(monce=(0.9, 0.8))
    assert [line.split(" | ")[-1] for line in found if line.startswith(("| SRC", "| CUT", "| L1"))] == [
        "best |", "0.25 |", " |",
    ]  # fmt: skip
    assert any("corrected by Holm over 3 tests" in line for line in found)


def test_the_leaderboard_asks_for_values_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks import board_page, chosen, claims
    from vsbench.report.printed import declared

    assert {*claims.VALUES, *board_page.SHOWN, *chosen.CHOOSERS} <= declared().keys()


def test_the_readme_says_what_the_leaderboard_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks import board_page

    assert f"{board_page.BEGIN}{board_page.in_readme()}{board_page.END}" in board_page.README.read_text(
        encoding="utf-8"
    )


def test_a_terms_effect_is_what_it_adds_beside_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks import claims

    adds = {"odc": 7.0, "cc": -3.0, "tcyc": 0.0}
    by_luck = {0: 1.0, 1: -1.0}  # of a seed, alike in every row, so in no difference
    rows = [row.name for row in study_rows(Study("usigan", "table6", "phantom", "ki67", "small"))]
    sums = {row: sum(adds.get(term, 0.0) for term in row.split("+")) for row in rows}
    found = {row: {seed: {"r_p": of + luck} for seed, luck in by_luck.items()} for row, of in sums.items()}
    found["odc"][0]["r_p"] += 0.5  # limits of no width would hold nothing
    table = pd.DataFrame(claims.Claim("usigan", "", "table6", found).lines())
    r_p = table[table["value"] == "r_p"].set_index("change")
    assert r_p["n"].tolist() == [8, 8, 8]
    assert r_p["effect"].to_dict() == pytest.approx({"+ odc": 7 + 0.5 / 8, "+ cc": -3 - 0.5 / 8, "+ tcyc": -0.5 / 8})
    assert [claims.verdict(line) for line in r_p.to_dict("records")] == ["raises it", "lowers it", "can't say"]
    assert r_p.loc["+ odc", "printed"] == pytest.approx((39.36 + 6.36 + 30.28 + 13.22) / 4)  # Table VI, by hand
    assert table[table["value"] == "ssim"]["n"].eq(0).all()


def test_what_papers_say_of_themselves_is_answered_or_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from benchmarks import claims

    monkeypatch.setattr(claims.Entry, "is_kept", False)
    table = pd.DataFrame([line for claim in claims.read() for line in claim.lines()])
    assert len(said := list(claims.answers(table))) == len(claims.QUESTIONS)
    assert all("too few runs yet" in sentence for sentence in said)
    of = (table["study"] == "usigan table8") & (table["value"] == "r_p")
    table.loc[of, ["n", "effect", "p"]] = [12, 3.0, 0.2]
    of = (table["study"] == "simgan claim") & (table["change"] == "+ cc") & (table["value"] == "r_p")
    table.loc[of, ["n", "effect", "low", "high"]] = [6, -3.0, -5.0, -1.0]
    tau, correlations = (next(s for s in claims.answers(table) if words in s) for words in ("τ matter to R_p", "batch"))
    assert "`usigan`: a range of 3 p 0.2, can't say; `usigan+released`: too few" in tau
    assert "Not printed for these rows. Here, `simgan`: −3 [−5, −1], lowers it." in correlations
