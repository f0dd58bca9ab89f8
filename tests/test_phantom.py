"""The phantom: deterministic, and its answer is the one it says it is."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from skimage.color import rgb2hed
from vsbench.datasets.phantom import (  # type: ignore[import-not-found]  # mapped by setuptools, unseen by mypy
    MARKERS,
    Phantom,
    PhantomConfig,
    Tile,
    express,
    render_tile,
    tile_names,
)

from vsbench.data.decode import read_rgb
from vsbench.data.pairs import pairs_digest
from vsbench.errors import UsageError
from vsbench.stain.dab import integrated_density
from vsbench.stain.density import optical_density

SMALL = {"size": 96, "slides_train": 2, "slides_test": 1, "tiles_per_slide": 2}


def tile(stain: str = "ki67", name: str = "P00_00_00", **options: float) -> Tile:
    return render_tile(PhantomConfig(**{"size": 96, **options}), stain, name)


def images_digest(rendered: Tile) -> str:
    return sha256(b"".join(image.tobytes() for image in (rendered.he, rendered.ihc, rendered.truth))).hexdigest()


@pytest.fixture(scope="module")
def population() -> dict[str, list[Tile]]:
    """Nine full-size tiles per stain, one of each slide of the default configuration."""
    config = PhantomConfig()
    names = (tile_names(config, "train") + tile_names(config, "test"))[1::8]
    return {stain: [render_tile(config, stain, name) for name in names] for stain in ("ki67", "her2")}


def test_same_seed_same_bytes_in_another_process() -> None:
    code = (
        "from hashlib import sha256; from vsbench.datasets.phantom import *;"
        "t = render_tile(PhantomConfig(size=96), 'her2', 'T00_00_01');"
        "print(sha256(t.he.tobytes() + t.ihc.tobytes() + t.truth.tobytes()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    other = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == images_digest(tile("her2", "T00_00_01"))


def test_seed_slide_and_tile_each_make_another_image() -> None:
    variants = [tile(), tile(seed=1), tile(name="P01_00_00"), tile(name="P00_00_01"), tile(name="T00_00_00")]
    assert len({images_digest(v) for v in variants}) == len(variants)


def test_he_depends_on_neither_stain_nor_second_section() -> None:
    he = tile().he
    for other in (tile("her2"), tile(delta=12), tile(misregistration=0), tile(unpredictable=0.9)):
        np.testing.assert_array_equal(other.he, he)
    np.testing.assert_array_equal(tile(delta=12, misregistration=0).truth, tile().truth)


@pytest.mark.parametrize("stain", MARKERS)
def test_same_section_gives_the_truth(stain: str) -> None:
    exact = tile(stain, delta=0, misregistration=0, noise=0)
    np.testing.assert_array_equal(exact.ihc, exact.truth)
    noisy = tile(stain, delta=0, misregistration=0, noise=1.5)
    difference = noisy.ihc.astype(float) - noisy.truth.astype(float)
    assert difference.std() == pytest.approx(1.5 * np.sqrt(2), rel=0.1)  # two independent noises


def test_sections_grow_unlike_with_distance() -> None:
    error = [
        np.mean((other.ihc.astype(float) - other.truth) ** 2)
        for other in (tile(delta=delta, misregistration=0) for delta in (0, 2, 5, 12))
    ]
    assert error == sorted(error)


@pytest.mark.parametrize("sections", [{"delta": 5, "misregistration": 0}, {"delta": 0, "misregistration": 3}])
def test_many_nuclei_persist_but_not_in_place(sections: dict[str, float]) -> None:
    cells = tile("ki67", "P00_00_00", size=256, **sections).cells
    large = cells[cells["type"] == "tumour"]
    persisting = (large["in_he"] & large["in_ihc"]).sum() / large["in_he"].sum()
    assert 0.4 < persisting < 0.9 if sections["delta"] else persisting > 0.9


def test_he_is_aligned_with_the_truth_more_than_with_the_adjacent_section(population: dict[str, list[Tile]]) -> None:
    for rendered in population["her2"]:  # DAB hides no nucleus of a membrane marker
        he, ihc, truth = (rgb2hed(image)[..., 0].ravel() for image in (rendered.he, rendered.ihc, rendered.truth))
        assert np.corrcoef(he, truth)[0, 1] > np.corrcoef(he, ihc)[0, 1] + 0.1


@pytest.mark.parametrize("unpredictable", [0.0, 0.25, 0.6])
def test_unpredictable_share_of_the_variance(unpredictable: float) -> None:
    config = PhantomConfig(unpredictable=unpredictable)
    grade = np.random.default_rng(0).standard_normal((300, 50))
    cells = pd.concat([express(config, "ki67", f"tile {i}", tumour_cells(row)) for i, row in enumerate(grade)])
    r = np.corrcoef(cells["grade"], cells["expression"])[0, 1]
    assert 1 - r**2 == pytest.approx(unpredictable, abs=0.03)
    assert cells["expression"].std() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("stain", MARKERS)
def test_expected_dab_is_the_mean_over_all_that_he_hides(stain: str) -> None:
    config = PhantomConfig(unpredictable=0.5, batch_effect=0)
    tables = [express(config, stain, f"tile {i}", tumour_cells(np.linspace(-2, 2, 9))) for i in range(600)]
    dab = np.stack([cells["dab"] for cells in tables])  # (tiles, grades)
    expected = tables[0]["dab_expected"].to_numpy()
    error = dab.std(axis=0) / np.sqrt(len(dab))
    assert (np.abs(dab.mean(axis=0) - expected) < 4 * error).all()
    assert (np.sign(np.diff(expected)) == MARKERS[stain].grade).all()


def test_all_is_known_when_nothing_is_unpredictable() -> None:
    known = tile(unpredictable=0, batch_effect=0)
    assert known.dab.max() > 0.1
    np.testing.assert_allclose(known.cells["dab"], known.cells["dab_expected"], rtol=1e-9)
    np.testing.assert_allclose(known.dab, known.dab_expected, rtol=1e-9)


def tumour_cells(grade: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"type": np.zeros(len(grade), dtype=int), "grade": grade})


def test_positive_cells_are_seen_in_morphology(population: dict[str, list[Tile]]) -> None:
    cells = pd.concat([rendered.cells for rendered in population["ki67"]])
    share = cells.groupby("type")["positive"].mean()
    assert share["tumour"] > 5 * share["lymphocyte"]
    assert share["tumour"] > 5 * share["fibroblast"]
    tumour = cells[cells["type"] == "tumour"]
    size, chromatin = tumour.groupby("positive")[["long", "chromatin"]].mean().to_numpy().T
    assert size[1] > 1.05 * size[0]  # large
    assert chromatin[1] < 0.9 * chromatin[0]  # and pale


def test_dab_lies_in_nuclei_or_at_their_rim(population: dict[str, list[Tile]]) -> None:
    def inside_and_around(rendered: Tile) -> tuple[float, float]:
        density = rendered.dab
        inside, around = [], []
        angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        cells = rendered.cells
        middle = cells["z"].between(-1, 5) & cells["y"].between(14, 241) & cells["x"].between(14, 241)
        for cell in cells[middle & cells["positive"] & (cells["type"] == "tumour")].itertuples():
            inside.append(density[round(cell.y), round(cell.x)])
            y = np.rint(cell.y + 1.3 * cell.long * np.sin(angle)).astype(int)
            x = np.rint(cell.x + 1.3 * cell.long * np.cos(angle)).astype(int)
            around.append(density[y, x].mean())
        return float(np.mean(inside)), float(np.mean(around))

    positive = [i for i, t in enumerate(population["ki67"]) if (t.cells["positive"]).mean() > 0.1]
    assert positive
    for index in positive:
        inside, around = inside_and_around(population["ki67"][index])
        assert inside > 2 * around
    positive = [i for i, t in enumerate(population["her2"]) if (t.cells["positive"]).mean() > 0.1]
    assert positive
    for index in positive:
        inside, around = inside_and_around(population["her2"][index])
        assert around > 2 * inside


@pytest.mark.parametrize("stain", ["ki67", "her2"])
def test_total_dab_varies_and_is_largely_predictable(stain: str, population: dict[str, list[Tile]]) -> None:
    total = np.array([rendered.dab.mean() for rendered in population[stain]])
    expected = np.array([rendered.dab_expected.mean() for rendered in population[stain]])
    assert np.quantile(total, 0.9) > 5 * np.quantile(total, 0.1)
    assert 0.75 < np.corrcoef(total, expected)[0, 1] < 0.997  # 1 were all of it predictable


@pytest.mark.parametrize("stain", ["ki67", "her2"])
def test_fiji_reads_the_true_dab_from_the_true_image(stain: str, population: dict[str, list[Tile]]) -> None:
    """Read off the 8-bit picture, through another implementation: the same order of tiles, on top of a background."""
    true = [rendered.dab.mean() for rendered in population[stain]]
    read = [integrated_density(rendered.truth) / rendered.truth[..., 0].size for rendered in population[stain]]
    slope, background = np.polyfit(true, read, 1)
    assert np.corrcoef(true, read)[0, 1] > 0.97
    assert slope == pytest.approx(1, abs=0.2)
    assert 0 < background < 0.06


def test_colours_in_the_range_of_real_images(shared: Path, population: dict[str, list[Tile]]) -> None:
    folders = {
        "he": (shared / "data/cima/he", shared / "data/bci/HE/test"),
        "ihc": (shared / "data/cima/ihc", shared / "data/bci/IHC/test"),
    }
    rendered = [t for tiles in population.values() for t in tiles]
    for kind, places in folders.items():
        real = [read_rgb(path) for place in places for path in sorted(place.glob("*.png"))]
        phantom = [getattr(t, kind) for t in rendered]
        for summary in (colour_mean, density_mean):
            low, high = (limit([summary(image) for image in real], axis=0) for limit in (np.min, np.max))
            typical = np.median([summary(image) for image in phantom], axis=0)
            assert (low <= typical).all(), (kind, summary.__name__, typical, low)
            assert (typical <= high).all(), (kind, summary.__name__, typical, high)
        if kind == "ihc":
            dab = [integrated_density(image) / image[..., 0].size for image in real]
            ours = [integrated_density(image) / image[..., 0].size for image in phantom]
            assert min(dab) < np.median(ours) < max(dab)


def colour_mean(image: np.ndarray) -> np.ndarray:
    return image.mean(axis=(0, 1))


def density_mean(image: np.ndarray) -> np.ndarray:
    return optical_density(image).mean(axis=(0, 1))


def test_pairs_are_rendered_once_and_carry_the_truth(tmp_path: Path) -> None:
    data = Phantom(PhantomConfig(**SMALL))
    train, test = (data.pairs(tmp_path, "ki67", split) for split in ("train", "test"))
    assert [pair.id for pair in train] == ["P00_00_00", "P00_00_01", "P01_00_00", "P01_00_01"]
    assert {pair.slide for pair in train}.isdisjoint(pair.slide for pair in test)
    rendered = render_tile(data.config, "ki67", "P01_00_01")
    for path, image in ((train[3].he, rendered.he), (train[3].ihc, rendered.ihc), (train[3].truth, rendered.truth)):
        assert path is not None
        np.testing.assert_array_equal(read_rgb(path), image)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert len(written) == 3 * (4 + 2)
    digest = pairs_digest(train)
    train[0].ihc.unlink()  # what is missing comes back the same, and nothing else is touched
    assert pairs_digest(data.pairs(tmp_path, "ki67", "train")) == digest
    again = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png") if path.name != train[0].ihc.name}
    assert again == {path: time for path, time in written.items() if path.name != train[0].ihc.name}


def test_another_configuration_gets_another_folder(tmp_path: Path) -> None:
    folders = [Phantom(PhantomConfig(**SMALL, seed=seed)).folder(tmp_path) for seed in (0, 1)]
    assert folders[0] != folders[1]
    assert folders[0] == Phantom(PhantomConfig(**SMALL)).folder(tmp_path)


def test_impossible_options_are_refused_by_name() -> None:
    for option, value in {"unpredictable": 1.5, "delta": -1, "size": 8, "slides": 3}.items():
        with pytest.raises(UsageError, match=option):
            Phantom.from_options({option: value})
