"""The phantom: deterministic, and its answer is the one it says it is."""

import os
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.color import rgb2hed
from vsbench.datasets._phantom_tissue import OWN_AND_TISSUE_GRADE  # type: ignore[import-not-found]
from vsbench.datasets.phantom import (  # type: ignore[import-not-found]  # mapped by setuptools, unseen by mypy
    DAB_SCALE,
    MARKERS,
    Phantom,
    PhantomConfig,
    Tile,
    express,
    render_tile,
    take_specimen,
    tile_names,
)

from vsbench.data.decode import read_rgb
from vsbench.data.pairs import pairs_digest
from vsbench.errors import UsageError
from vsbench.evaluation.evaluate import evaluate_rows
from vsbench.evaluation.group import Group
from vsbench.evaluation.instrument import Instrument
from vsbench.evaluation.rows import reference_rows
from vsbench.stain import transfer
from vsbench.stain.balanced import level_counts, read_transmission
from vsbench.stain.dab import density_of, integrated_density, read_levels
from vsbench.stain.density import DAB, HAEMATOXYLIN, SCANNER_EOSIN, SCANNER_HAEMATOXYLIN, optical_density, stain_matrix
from vsbench.stain.light import find_light, light_of_slide

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


DIGESTS = {
    "her2": "83395b3b0b8ea69c3b6a14df622b849fffb2ee655cfd5368166f8182ac2b56af",
    "ki67": "0ef5b45a3d3653d732bb923dc3b6370a700b256f064edd4ca58acf1fc1d5da5f",
    "er": "579cecb072f5e23f0d35b9b7b66febde3d661ec7746ae9acd87672ebe6de26dc",
    "pr": "6500737649387c74c1f5c74625160010323e335fa2b9c01703fb5d9950a87e71",
}


@pytest.mark.parametrize("features", ["", "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX2 FMA3"])
def test_images_are_those_of_every_machine(features: str) -> None:
    """With the arithmetic of this processor, and of one that has less."""
    code = (
        "import warnings; warnings.simplefilter('ignore');"  # features that this processor lacks anyway
        "from hashlib import sha256; from vsbench.datasets.phantom import *;"
        f"tiles = (render_tile(PhantomConfig(size=96), stain, 'T00_00_01') for stain in {list(DIGESTS)});"
        "[print(sha256(b''.join(i.tobytes() for i in (t.he, t.ihc, t.truth, t.best))).hexdigest()) for t in tiles]"
    )
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": features}
    other = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    found = dict(zip(DIGESTS, other.stdout.split(), strict=True))
    assert found == DIGESTS, "images changed: a new VERSION, and new results"


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
    exact = tile(stain, delta=0, misregistration=0, noise=0, jpeg=90)
    np.testing.assert_array_equal(exact.ihc, exact.truth)
    noisy = tile(stain, delta=0, misregistration=0, noise=1.5, jpeg=100)
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
    drawn = np.random.default_rng(0).standard_normal((600, 3, 50))
    tables = []
    for i, (own, tissue, front) in enumerate(drawn):  # tiles of a slide each; all cells of a tile share its grade
        grade = OWN_AND_TISSUE_GRADE * tissue[0] + np.sqrt(1 - OWN_AND_TISSUE_GRADE**2) * own
        tables.append(express(config, "ki67", f"S{i}_0", tumour_cells(grade, tissue[0], front)))
    cells = pd.concat(tables)
    r = np.corrcoef(MARKERS["ki67"].visible(cells), cells["expression"])[0, 1]
    assert 1 - r**2 == pytest.approx(unpredictable, abs=0.03)
    assert cells["expression"].std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("of_slide", "of_tile"), [(0.0, 0.0), (0.2, 0.2), (0.7, 0.1)])
def test_what_is_hidden_is_shared_by_slide_and_tile(of_slide: float, of_tile: float) -> None:
    config = PhantomConfig(unpredictable=1.0, hidden_slide=of_slide, hidden_tile=of_tile)
    tiles = [[express(config, "er", f"S{s}_{i}", tumour_cells(np.zeros(40))) for i in range(5)] for s in range(200)]
    hidden = np.array([[cells["expression"].to_numpy() for cells in slide] for slide in tiles])  # (slide, tile, cell)
    within_tile = hidden.var(axis=2, ddof=1).mean()
    within_slide = hidden.mean(axis=2).var(axis=1, ddof=1).mean() - within_tile / 40
    assert within_tile == pytest.approx(1 - of_slide - of_tile, abs=0.05)
    assert within_slide == pytest.approx(of_tile, abs=0.05)


def test_what_he_shows_is_standard_normal() -> None:
    cells = pd.concat([tile("ki67", f"P{i:02d}_00_00", size=160).cells for i in range(40)])
    cells = cells[cells["type"] == "tumour"]
    for part in ("grade", "tissue_grade", "front"):
        assert cells[part].mean() == pytest.approx(0, abs=0.35), part  # forty tiles, each with its grade
        assert cells[part].std() == pytest.approx(1, abs=0.25), part


@pytest.mark.parametrize("stain", MARKERS)
def test_expected_dab_is_the_mean_over_all_that_he_hides(stain: str) -> None:
    config = PhantomConfig(unpredictable=0.5, batch_effect=0)
    grades = np.linspace(-2, 2, 9)
    tables = [express(config, stain, f"S{i}_0", tumour_cells(grades, grades)) for i in range(600)]
    dab = np.stack([cells["dab"] for cells in tables])  # (tiles, grades)
    expected = tables[0]["dab_expected"].to_numpy()
    error = dab.std(axis=0) / np.sqrt(len(dab))
    assert (np.abs(dab.mean(axis=0) - expected) < 4 * error).all()
    assert (np.sign(np.diff(expected)) == np.sign(MARKERS[stain].grade)).all()


def test_all_is_known_when_nothing_is_unpredictable() -> None:
    known = tile(unpredictable=0, batch_effect=0)
    assert known.dab.max() > 0.1
    np.testing.assert_allclose(known.cells["dab"], known.cells["dab_expected"], rtol=1e-9)
    np.testing.assert_allclose(known.dab, known.dab_expected, rtol=1e-9)


def tumour_cells(
    grade: np.ndarray, tissue_grade: np.ndarray | float = 0.0, front: np.ndarray | float = 0.0
) -> pd.DataFrame:
    columns = {"grade": grade, "tissue_grade": tissue_grade, "front": front}
    return pd.DataFrame({"type": np.zeros(len(grade), dtype=int), **columns})


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
    assert np.corrcoef(true, read)[0, 1] > 0.94  # the background differs with the counterstain
    assert slope == pytest.approx(1, abs=0.2)
    assert 0 < background < 0.06


@pytest.fixture(scope="module")
def real(shared: Path) -> dict[str, list[np.ndarray]]:
    """The real images that are at hand."""
    folders = {
        "he": (shared / "data/cima/he", shared / "data/bci/HE/test"),
        "ihc": (shared / "data/cima/ihc", shared / "data/bci/IHC/test"),
    }
    return {
        kind: [read_rgb(path) for place in places for path in sorted(place.glob("*.png"))]
        for kind, places in folders.items()
    }


@pytest.mark.parametrize("kind", ["he", "ihc"])
@pytest.mark.parametrize("summary", ["colour", "density", "first stain", "second stain", "total DAB"])
def test_a_typical_tile_lies_within_the_range_of_real_images(
    kind: str, summary: str, real: dict[str, list[np.ndarray]], population: dict[str, list[Tile]]
) -> None:
    """Means of colour and density, and the histograms (as quantiles) of both stains' amounts."""
    summarise = SUMMARIES[kind][summary]
    low, high = (limit([summarise(image) for image in real[kind]], axis=0) for limit in (np.min, np.max))
    ours = [getattr(t, kind) for tiles in population.values() for t in tiles]
    typical = np.median([summarise(image) for image in ours], axis=0)
    assert (low <= typical).all(), (typical, low)
    assert (typical <= high).all(), (typical, high)


@pytest.mark.parametrize("kind", ["he", "ihc"])
def test_stain_colours_are_no_stranger_than_real_ones(
    kind: str, real: dict[str, list[np.ndarray]], population: dict[str, list[Tile]]
) -> None:
    """Angles of Macenko's two stain vectors to the mean of the real ones."""

    def vectors(images: list[np.ndarray]) -> np.ndarray:
        found = [transfer.find_stains(transfer.pixel_density(image)) for image in images]
        return np.array([stains.vectors for stains in found if stains is not None])

    of_real = vectors(real[kind])
    mean = of_real.mean(axis=0)
    mean /= np.linalg.norm(mean, axis=-1, keepdims=True)
    ours = vectors([getattr(t, kind) for tiles in population.values() for t in tiles])
    farthest, typical = (np.degrees(np.arccos((v * mean).sum(axis=-1).clip(-1, 1))) for v in (of_real, ours))
    assert (np.median(typical, axis=0) < farthest.max(axis=0)).all()


def amounts(kind: str, stain: int) -> Callable[[np.ndarray], np.ndarray]:
    """Quantiles of the amount of one stain over the pixels of an image."""
    pair = (SCANNER_HAEMATOXYLIN, SCANNER_EOSIN) if kind == "he" else (HAEMATOXYLIN, DAB)
    unmix = np.linalg.pinv(stain_matrix(*pair))[:, stain]
    quantiles = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
    return lambda image: np.quantile(optical_density(image).reshape(-1, 3) @ unmix, quantiles)


SUMMARIES: dict[str, dict[str, Callable[[np.ndarray], np.ndarray]]] = {
    kind: {
        "colour": lambda image: image.mean(axis=(0, 1)),
        "density": lambda image: optical_density(image).mean(axis=(0, 1)),
        "first stain": amounts(kind, 0),
        "second stain": amounts(kind, 1),
        "total DAB": lambda image: np.array([integrated_density(image) / image[..., 0].size]),
    }
    for kind in ("he", "ihc")
}


def test_pairs_are_rendered_once_and_carry_the_truth(tmp_path: Path) -> None:
    data = Phantom(PhantomConfig(**SMALL))
    train, test = (data.pairs(tmp_path, "ki67", split) for split in ("train", "test"))
    assert [pair.id for pair in train] == ["P00_00_00", "P00_00_01", "P01_00_00", "P01_00_01"]
    assert {pair.slide for pair in train}.isdisjoint(pair.slide for pair in test)
    rendered = render_tile(data.config, "ki67", "P01_00_01")
    for kind in ("he", "ihc", "truth", "best"):
        np.testing.assert_array_equal(read_rgb(getattr(train[3], kind)), getattr(rendered, kind))
    beside = train[3].he.parents[1]
    levels = np.asarray(Image.open(beside / "dab/P01_00_01.png"))
    np.testing.assert_allclose(levels / DAB_SCALE, rendered.dab, atol=0.51 / DAB_SCALE)
    cells = pd.read_csv(beside / "cells/P01_00_01.csv")
    assert len(cells) == len(rendered.cells)
    np.testing.assert_allclose(cells["dab"], rendered.cells["dab"], rtol=1e-4)
    assert train[3].labels == rendered.labels
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert len(written) == 5 * (4 + 2)
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


def test_labels_are_what_the_cells_say() -> None:
    for stain, name in (("her2", "P00_00_00"), ("ki67", "T00_00_00"), ("ki67", "P01_00_00")):
        rendered = render_tile(PhantomConfig(), stain, name)
        seen = rendered.cells.query("in_he and type in ('tumour', 'gland')")
        assert float(rendered.labels["positive_fraction"]) == pytest.approx(seen["positive"].mean(), abs=1e-4)
        reached = [level for level in (1, 2, 3) if (seen["intensity"] >= level).mean() > 0.1]
        assert rendered.labels["score"] == str(max(reached, default=0))


def test_her2_ranges_over_all_scores() -> None:
    config = PhantomConfig(size=128)
    scores = {render_tile(config, "her2", f"P{slide:02d}_00_00").labels.get("score") for slide in range(30)}
    assert scores >= {"0", "1", "2", "3"}


def test_faint_membranes_are_broken_and_strong_ones_complete() -> None:
    """Share of the membrane's pixels that hold at least half of what a whole membrane of that strength would."""
    specimen = take_specimen(PhantomConfig(noise=0, batch_effect=0), "her2", "P01_00_00")
    section, full = specimen.here, specimen.full_dab
    on = (section.membrane > 0.9) & (section.epithelium > 0.9) & (section.tissue > 0.9)
    whole = [
        (specimen.dab_map(section, np.full(len(specimen.cells), share * full))[on] > 0.45 * share * full).mean()
        for share in (0.1, 0.4, 0.9)
    ]
    assert whole[0] < 0.6 < whole[1] < whole[2]
    assert whole[2] > 0.95


def test_the_best_prediction_knows_what_he_shows_and_no_more() -> None:
    """It does not change with what is hidden, and is nearer to the truth than the adjacent section is."""
    known = tile("ki67", size=192, unpredictable=0, batch_effect=0, noise=0, jpeg=100)
    difference = known.best.astype(float) - known.truth
    assert np.abs(difference).max() < 6  # glass, which is the slide's own
    usual = tile("ki67", "P00_00_00", size=192)
    error = [np.mean((image.astype(float) - usual.truth) ** 2) for image in (usual.best, usual.ihc)]
    assert error[0] < 0.5 * error[1]


@pytest.mark.parametrize("option", ["deformation", "chromatin", "glands", "lymphocytes", "grade", "epithelium", "jpeg"])
def test_every_knob_of_the_tissue_shows_in_the_he(option: str) -> None:
    values = {"jpeg": (100, 60), "grade": (-1.5, 1.5), "epithelium": (0.2, 0.8)}.get(option, (0.0, 0.9))
    low, high = (tile(**{option: value}) for value in values)
    assert np.abs(low.he.astype(float) - high.he).mean() > 0.3


def test_ducts_have_walls_of_epithelium_around_a_lumen() -> None:
    with_ducts = PhantomConfig(glands=0.9, epithelium=0.5)
    for name in ("P00_00_00", "P01_00_00", "P02_00_00"):
        specimen = take_specimen(with_ducts, "ki67", name)
        _, depth = specimen.tissue.layout.on_plane(2.0, *np.mgrid[28:284, 28:284])
        section = specimen.here
        inner = (slice(4, -4), slice(4, -4))
        lumen, wall = depth > 16, (depth > 3) & (depth < 10)
        assert lumen.any()
        assert section.tissue[inner][lumen].mean() < 0.1
        assert section.epithelium[inner][wall].mean() > 0.85
    assert "gland" not in set(tile(glands=0).cells["type"])


@pytest.mark.parametrize("stain", ["ki67"])
def test_the_card_states_what_the_reference_rows_give(stain: str, tmp_path: Path) -> None:
    """Ceiling and floor of every value that needs no network, as evaluated now."""
    stated = [bound for bound in Phantom.card.bounds if bound.stain == stain]
    group = Group("phantom", {}, stain, tmp_path / "cache", tmp_path)
    stated_rows = ("best", "he", "mean-colour")
    wanted = [row for row in reference_rows(group) if row.record.row in stated_rows]
    outcomes, _ = evaluate_rows(group, wanted, Instrument.build("cpu"))
    rows = {outcome.run.record.row: outcome.summary.values for outcome in outcomes}
    assert {bound.value for bound in stated} <= rows["best"].keys()
    compared = 0
    for bound in stated:
        for row, number in zip(stated_rows, (bound.ceiling, bound.identity, bound.mean_colour), strict=True):
            now = rows[row][bound.value]
            if now.value is not None:
                assert (now.protocol, now.value) == (bound.protocol, pytest.approx(number, rel=1e-4))
                compared += 1
    assert compared > 80
    assert {bound.stain for bound in Phantom.card.bounds} == set(MARKERS)


def test_grey_and_uneven_light_is_of_the_ihc_alone_and_of_the_whole_slide() -> None:
    names = ("T00_00_00", "T00_00_01", "T01_00_00")
    usual = [render_tile(PhantomConfig(size=96, noise=0, jpeg=100), "ki67", name) for name in names]
    grey = [render_tile(PhantomConfig(size=96, noise=0, jpeg=100, dim=0.4), "ki67", name) for name in names]
    shares = []
    for before, after in zip(usual, grey, strict=True):
        assert np.array_equal(before.he, after.he)
        assert np.array_equal(before.best, after.best)
        assert np.array_equal(before.dab, after.dab)
        shares += [after.ihc.mean() / before.ihc.mean(), after.truth.mean() / before.truth.mean()]
    assert shares[:4] == pytest.approx([shares[0]] * 4, abs=0.003)  # two tiles of a slide
    assert shares[4:] == pytest.approx([shares[4]] * 2, abs=0.003)
    assert abs(shares[0] - shares[4]) > 0.02
    assert all(0.6 <= share <= 0.8 for share in shares)
    uneven = tile("ki67", names[0], noise=0, jpeg=100, vignette=0.2).ihc / usual[0].ihc
    assert uneven[:4, :4].mean() == pytest.approx(0.8, abs=0.03)
    assert uneven[46:50, 46:50].mean() == pytest.approx(1, abs=0.01)


def test_balanced_densities_are_those_under_white_light() -> None:
    """Within 2 %, where Fiji's rise by half; JPEG, which stores glass in whole steps of colour, is on."""
    found = []
    for dim in (0.0, 0.4):
        images = [render_tile(PhantomConfig(dim=dim), "ki67", f"T00_00_0{i}").ihc for i in range(3)]
        light = light_of_slide(map(find_light, images))
        assert light is not None
        balanced = [density_of(level_counts(read_transmission(image), light)).mean for image in images]
        found.append((np.mean(balanced), np.mean([density_of(read_levels(image).counts).mean for image in images])))
    assert found[1][0] == pytest.approx(found[0][0], rel=0.02)
    assert found[1][1] > 1.4 * found[0][1]


def test_options_that_came_later_move_no_folder_while_they_are_off() -> None:
    known = PhantomConfig(slides_test=3, tiles_per_slide=4, slides_train=1)
    assert str(Phantom(known).folder(Path())) == "phantom-e8edfd52b4b6"  # as it was named before there were any
    others = {Phantom(PhantomConfig(**{name: 0.1})).folder(Path()) for name in ("dim", "vignette")}
    assert len({Phantom(PhantomConfig()).folder(Path()), *others}) == 3


def test_aligned_pairs_are_given_to_trainings_alone(tmp_path: Path) -> None:
    """The same images in the same folder; what is evaluated stays as it is, and what is trained is marked."""
    plain, aligned = (Phantom.from_options(SMALL | options) for options in ({}, {"reference": "aligned"}))
    assert plain.folder(tmp_path) == aligned.folder(tmp_path)
    assert plain.pairs(tmp_path, "ki67", "test") == aligned.pairs(tmp_path, "ki67", "test")
    assert plain.pairs(tmp_path, "ki67", "train") == aligned.pairs(tmp_path, "ki67", "train")
    taught = aligned.training_pairs(tmp_path, "ki67")
    assert [pair.ihc for pair in taught] == [pair.truth for pair in plain.training_pairs(tmp_path, "ki67")]
    assert all("/ihc/" in pair.ihc.as_posix() for pair in plain.training_pairs(tmp_path, "ki67"))
    assert plain.unattainable is None
    assert "not attainable" in str(aligned.unattainable)
