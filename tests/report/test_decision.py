"""Which method is best, and which can't be told from it: from the files of evaluated runs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from vsbench import registry
from vsbench.evaluation.compare import compare as compare_runs
from vsbench.evaluation.evaluated import Evaluated
from vsbench.evaluation.intervals import intervals
from vsbench.records.summary import PairFiles, Reading
from vsbench.report.decision import ValueDecision, decide
from vsbench.report.tables import Comparison, EvaluatedRun, compare
from vsbench.stats.features import frechet, kernel_distance
from vsbench.stats.paired import holm
from vsbench.stats.slides import Slides

KNOWN = {v.name: v for metric in registry.load_all("vsbench.metrics")[0].values() for v in metric.values}
SLIDES, PER_SLIDE = 8, 3
N = SLIDES * PER_SLIDE
IDS = [f"{i:03d}" for i in range(N)]
NAMES = [f"slide {i // PER_SLIDE}" for i in range(N)]
REAL = np.random.default_rng(1).gamma(4, 100, N)
Add = Callable[..., EvaluatedRun]


def table(seed: int, worse: float) -> pd.DataFrame:
    """A per-image table in which everything gets worse with ``worse``."""
    rng = np.random.default_rng(seed)
    fake = REAL + rng.normal(0, 40 + 200 * worse, N)
    columns = {"slide": NAMES, "intden": fake, "intden_real": REAL, "iod_mae": rng.gamma(9, 1 / 9, N) * (1 + worse)}
    return pd.DataFrame({"id": IDS, **columns, "r_c": 80 - 20 * worse + rng.normal(0, 5, N)})


def set_values(of: pd.DataFrame) -> dict[str, float]:
    r_p = 100 * float(np.corrcoef(of["intden"], of["intden_real"])[0, 1])
    columns = {name: float(of[name].mean()) for name in ("iod_mae", "r_c", "psnr") if name in of}
    bias = 100 * float(of["intden"].sum() / of["intden_real"].sum() - 1)
    return {**columns, "iod_bias": bias, "r_p": r_p, "r_avg": (columns["r_c"] + r_p) / 2}


@pytest.fixture
def add(tmp_path: Path) -> Add:
    """Writes a run, the table that it is given, and makes its summary."""

    def make(
        row: str,
        of: pd.DataFrame,
        seed: int = 0,
        features: dict[str, np.ndarray] | None = None,
        values: dict[str, float | None] | None = None,
        protocols: dict[str, str] | None = None,
        kind: str = "trained",
        **changes: object,
    ) -> EvaluatedRun:
        folder = tmp_path / row / f"seed-{seed}"
        (folder / "evaluation" / "native").mkdir(parents=True)
        of.to_csv(folder / "evaluation" / "native" / "per_image.csv", index=False)
        if features is not None:
            np.savez(folder / "evaluation" / "native" / "features.npz", **features)
        readings = {
            name: Reading(
                label=KNOWN[name].label,
                unit=KNOWN[name].unit,
                best=KNOWN[name].best,
                protocol=(protocols or {}).get(name, KNOWN[name].protocol or "p"),
                value="inf" if value == np.inf else value,
                reason="undefined" if value is None else None,
            )
            for name, value in (set_values(of) | (values or {})).items()
        }
        pairs = [PairFiles(id=i, he="he", ihc="ihc", fake=None, truth=None) for i in IDS]
        given = {
            "folder": folder, "schema": 1, "kind": kind, "dataset": "mist", "stain": "er", "split": "test",
            "protocol": "native", "row": row, "title": row.title(), "seed": seed if kind == "trained" else None, "n": N,
            "n_slides": SLIDES, "sizes": ["32x32"], "data_digest": "d" * 64, "vsbench": "0", "pairs": pairs,
            "warnings": [], "values": readings,
        }  # fmt: skip
        return EvaluatedRun(**(given | changes))

    return make


def evaluation(run: EvaluatedRun) -> Path:
    return run.summary.parent


def only(*runs: EvaluatedRun) -> Comparison:
    (comparison,) = compare(runs)
    return comparison


def evaluated(run: EvaluatedRun, of: pd.DataFrame) -> Evaluated:
    return Evaluated(run.row, run, of.set_index("id"), {})


def test_limits_of_one_training_are_those_of_its_summary(add: Add) -> None:
    """The same slides, drawn as often by the same seed: one number in two places of a report."""
    of = table(0, 0.1)
    decision = decide(only(add("cut", of)))
    names = ["iod_mae", "r_p", "r_avg", "r_c"]
    values = set_values(of)
    expected = intervals([KNOWN[name] for name in names], of, {}, values)
    for name in names:
        assert decision.values[name].intervals["cut"] == (expected[name]["low"], expected[name]["high"])
        assert decision.values[name].p == {}
        assert decision.values[name].ranks == {}  # one method has none


def test_p_is_that_of_each_pair_with_the_best_corrected_over_the_methods(add: Add) -> None:
    tables = {"cut": table(0, 0.2), "asp": table(1, 0.0), "src": table(2, 0.5), "ppt": table(7, 0.02)}
    runs = {row: add(row, of) for row, of in tables.items()}
    decided = decide(only(*runs.values())).values["r_avg"]
    assert decided.best == "asp"
    others = ["cut", "ppt", "src"]
    single = [
        compare_runs([evaluated(runs["asp"], tables["asp"]), evaluated(runs[o], tables[o])], ["r_avg"]).tests[0]
        for o in others
    ]
    assert decided.p == dict(zip(others, holm([test.comparison.p for test in single]), strict=True))
    assert 0 < decided.p["src"] < 0.05 < decided.p["ppt"]
    assert decided.alike() == {row for row, p in decided.p.items() if p >= 0.05}


def test_a_row_counts_by_the_mean_over_its_seeds_whatever_the_number_of_these(add: Add) -> None:
    tables = [table(0, 0.0), table(1, 0.3), table(2, 0.1), table(3, 0.2), table(4, 0.6)]
    runs = [add("cut", of, seed) for seed, of in enumerate(tables[:2])]
    runs += [add("asp", of, seed) for seed, of in enumerate(tables[2:])]
    decided = decide(only(*runs)).values
    average = tables[0].assign(iod_mae=(tables[0]["iod_mae"] + tables[1]["iod_mae"]) / 2)
    other = tables[2].assign(iod_mae=sum(of["iod_mae"] for of in tables[2:]) / 3)
    alone = decide(only(add("cut-averaged", average), add("asp-averaged", other))).values["iod_mae"]
    # of a mean of images, it is the mean of the images' means
    assert decided["iod_mae"].intervals["cut"] == pytest.approx(alone.intervals["cut-averaged"])
    assert decided["iod_mae"].p["asp"] == pytest.approx(alone.p["asp-averaged"])
    # of R_p it is not: by hand, two and three trainings that change places slide by slide
    r = np.array([set_values(of)["r_p"] for of in tables])
    found = r[:2].mean() - r[2:].mean()
    gaps = []
    for exchange in range(2**SLIDES):
        moved = (exchange >> np.arange(N) // PER_SLIDE & 1).astype(bool)
        gap = 0.0
        for k in range(6):
            a, b = tables[k % 2]["intden"], tables[2 + k % 3]["intden"]
            gap += 100 * np.corrcoef(np.where(moved, b, a), REAL)[0, 1] / 6
            gap -= 100 * np.corrcoef(np.where(moved, a, b), REAL)[0, 1] / 6
        gaps.append(gap)
    assert decided["r_p"].p["asp"] == pytest.approx(np.mean(np.abs(gaps) >= abs(found) - 1e-9), abs=1e-12)


def test_references_have_limits_and_are_neither_tested_nor_ranked(add: Add) -> None:
    runs = [add("cut", table(0, 0.1)), add("asp", table(1, 0.9)), add("oracle", table(2, -0.1), kind="reference")]
    decided = decide(only(*runs)).values["iod_mae"]
    assert decided.best == "cut"
    assert set(decided.p) == {"asp"}
    assert set(decided.ranks) == {"cut", "asp"}
    assert set(decided.intervals) == {"cut", "asp", "oracle"}
    assert decide(only(runs[2])).left_out["iod_mae"] == "no method has it"


def spoil(folder: Path, how: str) -> None:
    file = folder / "per_image.csv"
    if how == "missing":
        file.unlink()
    elif how == "binary":
        file.write_bytes(b"\x00\xff\xfe" * 50)
    elif how == "empty":
        file.write_text("")
    else:
        of = pd.read_csv(file, dtype={"id": str})
        changed = {
            "short": of.iloc[1:],
            "doubled": pd.concat([of.iloc[:1], of.iloc[:-1]]),
            "other slides": of.assign(slide=of["slide"].iloc[::-1].to_numpy()),
            "text": of.assign(iod_mae="high"),
            "half a pair": of.drop(columns="intden_real"),
            "no slides": of.drop(columns="slide"),
        }
        changed[how].to_csv(file, index=False)


@pytest.mark.parametrize(
    "how",
    ["missing", "binary", "empty", "short", "doubled", "other slides", "text", "half a pair", "no slides"],
)
def test_a_row_whose_table_is_damaged_is_left_out_and_said(add: Add, how: str) -> None:
    runs = [
        add("asp", table(0, 0.1)),
        add("cut", table(1, 0.2)),
        add("cut", table(2, 0.2), 1),
        add("src", table(3, 0.3)),
    ]
    spoil(evaluation(runs[2]), how)  # one of two seeds: what is left of the row would be another number
    decision = decide(only(*runs))
    (note,) = decision.notes
    assert note.startswith("without Cut: ")
    assert "evaluate again" in note
    assert set(decision.values["iod_mae"].p) == {"src"}
    assert "cut" not in decision.values["iod_mae"].intervals


def test_without_any_table_every_score_is_left_out(add: Add) -> None:
    runs = [add("asp", table(0, 0.1)), add("cut", table(1, 0.2))]
    for run in runs:
        spoil(evaluation(run), "missing")
    decision = decide(only(*runs))
    assert decision.values == {}
    assert set(decision.left_out) == {"iod_bias", "iod_mae", "r_c", "r_p", "r_avg"}
    assert "per_image.csv" in decision.left_out["r_p"]


def test_a_table_that_gives_another_number_than_the_summary_decides_nothing(add: Add) -> None:
    stale = add("cut", table(1, 0.2), values={"r_c": 79.0})
    decision = decide(only(add("asp", table(0, 0.1)), stale, add("src", table(2, 0.3))))
    assert set(decision.values["r_c"].p) == {"asp", "src"} - {decision.values["r_c"].best}
    assert "without Cut: " in decision.values["r_c"].caution
    assert "table and its summary differ" in decision.values["r_c"].caution
    assert "cut" in {decision.values["iod_mae"].best, *decision.values["iod_mae"].p}


def test_rows_that_do_not_compare_are_left_out(add: Add) -> None:
    runs = [add("asp", table(0, 0.1)), add("cut", table(1, 0.2)), add("ppt", table(4, 0.2), protocols={"r_c": "old"})]
    runs.append(add("src", table(2, 0.0), data_digest="e" * 64))
    decision = decide(only(*runs))
    assert all(set(v.intervals) <= {"asp", "cut", "ppt"} for v in decision.values.values())
    assert decision.notes == ("without Src: measured on other images",)
    assert "ppt" not in decision.values["r_c"].intervals
    assert "without Ppt: measured by another protocol, old" in decision.values["r_c"].caution


def test_a_seed_without_the_value_does_not_count_and_a_row_without_it_is_not_there(add: Add) -> None:
    runs = [add("asp", table(0, 0.1)), add("cut", table(1, 0.2)), add("cut", table(2, 0.9), 1, values={"r_c": None})]
    runs.append(add("src", table(3, 0.2), values={"r_c": None}))
    decided = decide(only(*runs)).values["r_c"]
    alone = decide(only(runs[0], runs[1])).values["r_c"]
    assert decided.intervals == alone.intervals
    assert decided.p == alone.p


def test_an_infinite_value_decides_nothing_about_others(add: Add) -> None:
    psnr = [np.r_[np.inf, np.full(N - 1, 20.0)], np.linspace(10, 20, N), np.linspace(12, 19, N)]
    tables = [table(i, 0.1).assign(psnr=column) for i, column in enumerate(psnr)]
    runs = [add("asp", tables[0]), add("cut", tables[1]), add("src", tables[2])]
    decided = decide(only(*runs)).values["psnr"]
    assert decided.best == "asp"
    assert all(np.isnan(p) for p in decided.p.values())
    assert decided.alike() == {"cut", "src"}
    assert "asp" not in decided.intervals
    assert "a value is infinite" in decided.caution
    assert sum(decided.ranks["asp"]) == pytest.approx(1)


def test_three_slides_can_show_nothing_and_that_is_said(add: Add) -> None:
    three = [f"s{i // 8}" for i in range(N)]
    runs = [add(row, table(i, 0.4 * i).assign(slide=three)) for i, row in enumerate(("asp", "cut"))]
    decided = decide(only(*runs)).values["iod_mae"]
    assert decided.slides == 3
    assert decided.alike() == {"cut"}
    assert "3 slides can't give a p below 0.25: nothing can be shown" in decided.caution
    assert not decided.can_show
    assert decided.ranks == {}
    assert {decided.standing(key) for key in ("asp", "cut")} == {""}


@pytest.mark.parametrize(("slides", "words"), [("", "slides unknown"), ("the only one", "of one slide")])
def test_images_stand_for_slides_that_are_unknown_or_one_and_that_is_said(add: Add, slides: str, words: str) -> None:
    runs = [add(row, table(i, 0.2 * i).assign(slide=slides)) for i, row in enumerate(("asp", "cut"))]
    decision = decide(only(*runs))
    decided = decision.values["iod_mae"]
    assert (decided.slides, decided.unit, decided.units) == (N, "image", f"{N} images")
    assert words in decision.caution


def test_the_order_of_a_table_and_its_features_does_not_matter(add: Add) -> None:
    """Of the first row's, which gives the slides, and of another's."""
    rng, tables = np.random.default_rng(6), [table(0, 0.1), table(1, 0.2)]
    real = rng.normal(size=(N, 3))
    fakes = [rng.normal(0.3, 1, (N, 3)), rng.normal(0.4, 1, (N, 3))]
    values = [float(frechet(fake, real, Slides(np.arange(N), N))(np.ones((1, N)))[0]) for fake in fakes]
    found = []
    for turned in ((1, 1), (-1, 1), (1, -1)):
        runs = [
            add(
                f"{row}{turned[0]:+}{turned[1]:+}",
                of.iloc[::turn],
                features={"fid_fake": fake[::turn], "fid_real": real[::turn]},
                values={"fid": value},
            )
            for row, of, fake, value, turn in zip(("asp", "cut"), tables, fakes, values, turned, strict=True)
        ]
        decided = decide(only(*runs)).values
        found.append([[*decided[name].p.values(), *decided[name].ranks.values()] for name in ("r_p", "iod_mae")])
        found[-1].append([*decided["fid"].p.values(), *map(list, decided["fid"].intervals.values())])
    for other in found[1:]:
        assert other[:2] == found[0][:2]
        assert np.hstack(other[2]) == pytest.approx(np.hstack(found[0][2]), rel=1e-6)


def test_ranks_follow_the_resampled_slides_and_the_end_that_is_best(add: Add) -> None:
    runs = [add("asp", table(0, 0.0)), add("cut", table(1, 0.3)), add("src", table(2, 1.5))]
    for name in ("iod_mae", "r_c"):  # low is best, high is best
        decided = decide(only(*runs)).values[name]
        assert decided.best == "asp"
        assert decided.ranks["src"][2] > 0.99
        assert 0.6 < decided.ranks["asp"][0] <= 1
        assert decided.ranks["asp"][0] + decided.ranks["cut"][0] == pytest.approx(1)
        assert not decided.seeds_drawn


def test_of_a_value_with_a_sign_the_nearest_to_zero_is_best_and_is_tested_by_its_distance(add: Add) -> None:
    """Alike but for the sign: nothing to be told apart, though the values are far from each other."""
    real = table(0, 0.0)
    doses = {"asp": 0.9, "cut": 1.1, "src": 0.2}
    runs = [add(row, real.assign(intden=dose * real["intden_real"])) for row, dose in doses.items()]
    decided = decide(only(*runs)).values["iod_bias"]
    assert decided.best in {"asp", "cut"}
    assert decided.alike() == {"asp", "cut"} - {decided.best}
    assert decided.p["src"] < 0.05
    assert decided.ranks["src"] == (0.0, 0.0, 1.0)


def test_trainings_are_drawn_where_each_method_has_three(add: Add) -> None:
    """Seeds far apart, slides alike: over slides the order is sure, over trainings it is not."""
    exact = table(0, 0.0)
    runs = []
    for row, levels in {"asp": (1.0, 4.0, 1.0), "cut": (2.6, 2.7, 2.65)}.items():
        noise = 0.01 * np.random.default_rng(5).normal(size=N)
        runs += [add(row, exact.assign(iod_mae=level + noise), seed) for seed, level in enumerate(levels)]
    two = decide(only(*(run for run in runs if run.seed != 2))).values["iod_mae"]
    assert two.ranks["asp"] == (1.0, 0.0)
    three = decide(only(*runs)).values["iod_mae"]
    assert three.seeds_drawn
    # the mean of three drawn from (1, 1, 4) is 1, 2, 3 or 4: 7 of 27 draws are worse than about 2.6
    assert three.ranks["asp"][0] == pytest.approx(20 / 27, abs=0.02)
    assert three.intervals["asp"][1] - three.intervals["asp"][0] < 0.1  # limits are over slides alone


def test_a_distance_of_features_is_decided_from_features(add: Add) -> None:
    rng, of = np.random.default_rng(2), table(0, 0.0)
    real = rng.normal(size=(N, 5))
    runs = []
    for row, shift in (("asp", 0.5), ("cut", 0.5), ("src", 3.0)):
        fake = (real + rng.normal(0, 0.7, (N, 5)) + shift).astype(np.float32)
        value = frechet(fake, real, Slides(np.arange(N), N))(np.ones((1, N)))[0]
        features = {"fid_fake": fake, "fid_real": real.astype(np.float32)}
        runs.append(add(row, of, features=features, values={"fid": float(value), "kid": None}))
    decided = decide(only(*runs)).values["fid"]
    assert decided.best == "asp"
    assert decided.p["src"] < 0.05 < decided.p["cut"]
    assert decided.ranks["src"] == (0.0, 0.0, 1.0)
    for run in runs:
        low, high = decided.intervals[run.row]
        assert low < run.values["fid"].value < high
    np.savez(evaluation(runs[1]) / "features.npz", fid_fake=real + 9, fid_real=real)
    (evaluation(runs[2]) / "features.npz").unlink()
    later = decide(only(*runs)).values["fid"]
    assert set(later.intervals) == {"asp"}
    assert "Cut: " in later.caution
    assert "features and its summary differ" in later.caution
    assert "Src: the features fid were not kept" in later.caution
    (evaluation(runs[0]) / "features.npz").write_bytes(b"PK\x03\x04 torn")
    assert "damaged" in decide(only(*runs)).left_out["fid"]


def test_kid_is_resampled_about_the_value_that_is_printed(add: Add) -> None:
    """What is printed is a mean over random subsets, and so a little off the value of all images."""
    rng, of, runs = np.random.default_rng(2), table(0, 0.0), []
    real = rng.normal(size=(N, 5)).astype(np.float32)
    for row, shift in (("asp", 0.5), ("cut", 0.5), ("src", 3.0)):
        fake = (real + rng.normal(0, 0.7, (N, 5)) + shift).astype(np.float32)
        value = 0.1 + kernel_distance(fake, real, Slides(np.arange(N), N))(np.ones((1, N)))[0]
        runs.append(add(row, of, features={"fid_fake": fake, "fid_real": real}, values={"kid": float(value)}))
    decided = decide(only(*runs)).values["kid"]
    assert decided.resamples == 2000
    assert decided.p["src"] < 0.05 < decided.p[next(iter({"asp", "cut"} - {decided.best}))]
    for run in runs:
        low, high = decided.intervals[run.row]
        assert low < run.values["kid"].value < high


def test_counts_are_not_decided_and_unknown_values_say_so(add: Add) -> None:
    run = add("asp", table(0, 0.1), values={"r_c_undefined": 0.0})
    strange = replace_value(run, "my_own", 3.0)
    decision = decide(only(strange))
    assert "r_c_undefined" not in decision.values | decision.left_out
    assert decision.left_out["my_own"] == "no metric of this name is installed"


def replace_value(run: EvaluatedRun, name: str, value: float) -> EvaluatedRun:
    reading = Reading(label=name, unit="1", best="low", protocol="p", value=value)
    return run.model_copy(update={"values": {**run.values, name: reading}})


@pytest.mark.parametrize(("methods", "some"), [(2, 0.05), (4, 0.08), (14, 0.18)])
def test_against_the_best_seen_the_best_in_truth_is_seldom_called_worse(methods: int, some: float) -> None:
    """The numbers in the module's docstring: all methods alike, so that any of them is the best in truth."""
    rng, repeats = np.random.default_rng(8), 4000
    excluded = np.zeros((repeats, methods), bool)
    for means, out in zip(rng.normal(size=(repeats, methods)), excluded, strict=True):
        others = np.arange(methods) != means.argmax()
        p = 2 * norm.sf((means.max() - means[others]) / np.sqrt(2))
        out[others] = np.array(holm(p.tolist())) < 0.05
    assert excluded.mean() < 0.03
    assert excluded.any(axis=1).mean() == pytest.approx(some, abs=0.02)


def test_no_p_is_no_difference_shown() -> None:
    one = ValueDecision("v", "a", {"b": 0.05, "c": float("nan"), "d": 0.049}, {}, {}, 9)
    assert one.alike() == {"b", "c"}


def test_the_same_files_give_the_same_decision(add: Add) -> None:
    comparison = only(
        *(add("asp", table(i, 0.1), i) for i in range(3)), *(add("cut", table(9 + i, 0.2), i) for i in range(3))
    )
    first, again, other = decide(comparison), decide(comparison), decide(comparison, seed=1)
    assert first.values == again.values
    assert first.values["r_p"].intervals != other.values["r_p"].intervals
