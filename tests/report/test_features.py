"""The map of features says what its features are, and its numbers are those of the features, not of the map."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from vsbench.errors import DataError, RunError
from vsbench.report.figures import features as module
from vsbench.report.figures.features import DESCRIPTOR, describe, feature_map, separability
from vsbench.report.tables import Comparison, compare, load_results
from vsbench.stain.density import DAB, EOSIN, HAEMATOXYLIN, stain_matrix, transmitted_intensity

Tree = Any  # the class in conftest.py, which cannot be imported from here
VALUES = {"r_c": 60.0, "fid": 40.0}


def only(tree: Tree) -> Comparison:
    (comparison,) = compare(load_results(tree.results))
    return comparison


def table_of(tree: Tree, folder: Path) -> pd.DataFrame:
    (drawn,) = feature_map(only(tree), folder)
    return pd.read_csv(drawn.file("csv"), dtype={"id": str})


def apart(table: pd.DataFrame) -> dict[str, float]:
    """What is said of each method."""
    lines = table[table["kind"] == "generated"]
    return dict(zip(lines["group"], lines["separability_from_real"], strict=True))


def clouds(n: int, shift: float = 0.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    generator = np.random.default_rng(0)
    return generator.normal(size=(n, 4)), generator.normal(size=(n, 4)) + shift


def test_clouds_of_one_kind_are_not_told_apart() -> None:
    assert separability(*clouds(300)) == pytest.approx(50, abs=5)


def test_clouds_far_from_each_other_are_told_apart() -> None:
    assert separability(*clouds(20, shift=50)) == 100


def test_a_copy_is_not_told_apart() -> None:
    """Each image's copy is its nearest of all: as a stranger it would count against, as a partner it does not count."""
    cloud, _ = clouds(30)
    assert separability(cloud, cloud) == 50
    assert separability(cloud, cloud + 1e-9) == pytest.approx(50, abs=10)


def test_separability_is_the_share_counted_one_by_one() -> None:
    first, second = clouds(12, shift=0.8)
    second[3] = second[5] = first[5]
    both = [(0, i, row) for i, row in enumerate(first)] + [(1, i, row) for i, row in enumerate(second)]
    score = 0.0
    for group, pair, row in both:
        others = [(float(np.linalg.norm(row - r)), g) for g, p, r in both if p != pair]
        nearest = min(distance for distance, _ in others)
        groups = {g for distance, g in others if distance == nearest}
        score += 0.5 if len(groups) == 2 else float(groups == {group})
    assert separability(first, second) == pytest.approx(100 * score / 24)


def test_the_descriptor_tells_three_stains_apart() -> None:
    matrix = stain_matrix(HAEMATOXYLIN, EOSIN, DAB)
    for stain in range(3):
        amounts = np.eye(3)[stain] * 0.6
        colour = transmitted_intensity(amounts @ matrix)
        found = describe(np.broadcast_to(np.rint(colour).astype(np.uint8), (64, 64, 3)).copy())
        assert found.shape == (24,)
        assert found[:15].reshape(5, 3) == pytest.approx(np.broadcast_to(amounts, (5, 3)), abs=0.02)
        assert found[15:] == pytest.approx(np.zeros(9), abs=1e-12)


def test_without_a_network_the_descriptor_is_named(tree: Tree, tmp_path: Path) -> None:
    tree.add("cut", VALUES)
    (drawn,) = feature_map(only(tree), tmp_path)
    assert f"{DESCRIPTOR} (vsbench's own descriptor, no network" in drawn.caption
    table = pd.read_csv(drawn.file("csv"), dtype={"id": str})
    assert table["features"].str.contains("no network").all()
    assert table.groupby("group")["id"].agg(list).map(lambda ids: ids == [f"{i:03d}" for i in range(6)]).all()
    assert set(table["group"]) == {"H&E", "Real IHC (adjacent)", "cut"}
    for group, part in (("H&E", "er-he"), ("Real IHC (adjacent)", "er-ihc")):
        assert len(list((tree.images / part).glob("*.png"))) == (table["group"] == group).sum()
    assert f"perplexity {17 / 3:.3g}" in drawn.caption


def test_the_same_results_give_the_same_bytes(tree: Tree, tmp_path: Path) -> None:
    tree.add("cut", VALUES, title=r"$\frac$ 50%_a&b <b>x " + "long " * 12)
    tree.add("elsewhere", VALUES, kind="external")
    files = [feature_map(only(tree), tmp_path / name)[0].files for name in ("one", "two")]
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_a_method_does_not_change_what_is_said_of_another(make_tree: Callable[..., Tree], tmp_path: Path) -> None:
    tree = make_tree(n=12)
    tree.add("cut", VALUES)
    alone = apart(table_of(tree, tmp_path))["cut"]
    for i in range(6):
        folder = tree.add(f"m{i}", VALUES)
        for number, fake in enumerate((folder / "images" / "test").glob("*.png")):  # unlike all that is real
            Image.new("RGB", (32, 32), (20 * number, 250 - 20 * number, 0)).save(fake)
    beside = table_of(tree, tmp_path)
    assert apart(beside)["cut"] == alone
    assert len(apart(beside)) == 7


def test_generated_images_that_are_the_real_ones_are_not_told_apart(tree: Tree, tmp_path: Path) -> None:
    folder = tree.add("cut", VALUES, title="H&E")  # a title that another group has too
    for fake in (folder / "images" / "test").glob("*.png"):
        fake.write_bytes((tree.images / "er-ihc" / fake.name).read_bytes())
    table = table_of(tree, tmp_path)
    assert apart(table) == {"H&E": 50}
    assert set(table.loc[table["kind"] == "he", "separability_from_real"]) == {100}


def test_images_are_evenly_spaced_where_they_are_many(
    make_tree: Callable[..., Tree], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree(n=20)
    tree.add("cut", VALUES)
    monkeypatch.setattr(module, "TOTAL", 30)
    assert table_of(tree, tmp_path)["id"].unique().tolist() == [f"{i:03d}" for i in range(1, 20, 2)]
    monkeypatch.setattr(module, "IMAGES", 5)
    assert len(table_of(tree, tmp_path)) == 15


def store(folder: Path, fake: NDArray[np.float64], real: NDArray[np.float64]) -> None:
    arrays = {"fid_fake": fake.astype(np.float32), "fid_real": real.astype(np.float32)}
    np.savez(folder / "evaluation" / "native" / "features.npz", **arrays)


def test_stored_features_are_used_and_named(tree: Tree, tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    he, real, fake = generator.normal(size=(3, 6, 8))
    store(tree.add("he", VALUES, kind="reference"), he, real)
    store(tree.add("cut", VALUES), fake, real)
    store(tree.add("copy", VALUES), real, real)
    tree.add("without", VALUES)
    store(tree.add("odd", VALUES | {"fid": {"value": 1.0, "protocol": "fid/other"}}), fake, real)
    (drawn,) = feature_map(only(tree), tmp_path)
    assert drawn.caption.startswith("t-SNE of the network features behind FID (fid/torch-fidelity).")
    assert sorted(drawn.missing) == ["odd (no such features stored)", "without (no such features stored)"]
    table = pd.read_csv(drawn.file("csv"))
    told = {name: float(value) for name, value in apart(table).items()}
    f32 = [array.astype(np.float32).astype(float) for array in (fake, real)]
    assert told == {"copy": 50, "cut": pytest.approx(separability(*f32))}


def test_features_without_those_of_the_he_are_not_used(tree: Tree, tmp_path: Path) -> None:
    tree.add("he", VALUES, kind="reference")
    store(tree.add("cut", VALUES), *np.random.default_rng(1).normal(size=(2, 6, 8)))
    assert DESCRIPTOR in feature_map(only(tree), tmp_path)[0].caption


@pytest.mark.parametrize("spoilt", ["text", "short", "nan"])
def test_damaged_features_are_named(tree: Tree, tmp_path: Path, spoilt: str) -> None:
    he, real = np.random.default_rng(1).normal(size=(2, 6, 8))
    folder = tree.add("he", VALUES, kind="reference")
    tree.add("cut", VALUES)
    if spoilt == "nan":
        he[2, 3] = np.nan
    store(folder, *((he[:5], real) if spoilt == "short" else (he, real)))
    file = folder / "evaluation" / "native" / "features.npz"
    if spoilt == "text":
        file.write_text("nothing of the kind")
    with pytest.raises(RunError, match=r"he/reference/evaluation/native/features\.npz: .*evaluate again"):
        feature_map(only(tree), tmp_path)


def test_rows_on_other_images_are_left_out(tree: Tree, tmp_path: Path) -> None:
    for name in ("cut", "asp"):
        tree.add(name, VALUES)
    tree.add("elsewhere", VALUES, data_digest="f" * 64)
    (drawn,) = feature_map(only(tree), tmp_path)
    assert drawn.missing == ("elsewhere (measured on other images)",)


def test_what_can_not_be_drawn_is_said(make_tree: Callable[..., Tree], tmp_path: Path) -> None:
    tree = make_tree(n=4)
    tree.add("he", VALUES, kind="reference")
    with pytest.raises(RunError, match="no method was evaluated"):
        feature_map(only(tree), tmp_path)
    folder = tree.add("cut", VALUES)
    with pytest.raises(RunError, match="4 test images; a map of features needs 5"):
        feature_map(only(tree), tmp_path)
    next((folder / "images" / "test").glob("*.png")).unlink()
    tree.n = 6
    folder = tree.add("cut", VALUES, stain="pr")
    next((folder / "images" / "test").glob("*.png")).unlink()
    (_, comparison) = compare(load_results(tree.results))
    with pytest.raises(DataError, match="no such file"):
        feature_map(comparison, tmp_path)


def test_images_all_alike_have_no_map(tree: Tree, tmp_path: Path) -> None:
    tree.add("cut", VALUES)
    for file in (*tree.images.rglob("*.png"), *tree.results.rglob("*.png")):
        Image.new("RGB", (32, 32), (200, 180, 190)).save(file)
    with pytest.raises(RunError, match="all images have the same features"):
        feature_map(only(tree), tmp_path)
