"""A study file becomes rows, and each row the very command line, request and run folder of ``vsbench train``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vsbench.cli.app import app
from vsbench.data.carried import write_carried
from vsbench.engine import start as engine
from vsbench.engine.request import Request, resolve
from vsbench.errors import UsageError
from vsbench.evaluation.ablate import Study, study_rows
from vsbench.studies.command import train_words
from vsbench.studies.file import StudyFile, read_study
from vsbench.studies.plan import PlannedRow, plan, suites

Read = Callable[..., tuple[StudyFile, list[PlannedRow]]]
Write = Callable[..., Path]


def test_rows_are_all_of_a_seed_before_the_next(study: Read, own: Path) -> None:
    data = {"dataset": "folder", "stains": ["ki67", "ER"], "data_root": str(own), "options": {"slide": "^(.)_"}}
    _, rows = study(methods=["pix2pix", "regression"], datasets=[data], seeds=[3, 1])
    found = [(row.request.seed, row.request.stain, row.request.method) for row in rows]
    methods = ("pix2pix", "regression")
    assert found == [(seed, stain, method) for seed in (3, 1) for stain in ("ki67", "er") for method in methods]


@pytest.mark.parametrize("more", [{}, {"folds": 2}])
def test_rows_have_the_options_that_their_images_carry(study: Read, tmp_path: Path, more: dict[str, Any]) -> None:
    """As ``vsbench train`` takes them, so that the run it makes is the row's."""
    write_carried(tmp_path / "tiles", {"slide": "^([^_]+)_", "pixel_size": 0.5})
    data = {"dataset": "folder", "stains": ["ki67"], "data_root": str(tmp_path / "tiles")}
    _, (row, *_) = study(datasets=[data | {"options": {"pixel_size": 0.25}} | more])
    assert row.request.dataset_options.items() >= {"slide": "^([^_]+)_", "pixel_size": 0.25}.items()


def test_suites_have_the_options_that_their_images_carry(study: Read, tmp_path: Path) -> None:
    write_carried(tmp_path / "tiles", {"pixel_size": 0.5})
    data = {"dataset": "folder", "stains": ["ki67"], "data_root": str(tmp_path / "tiles")}
    told, _ = study(methods=[{"method": "usigan", "suite": "table6"}], datasets=[data], options={})
    (found,) = suites(told)
    assert found.dataset_options == {"pixel_size": 0.5}


ENTRIES: list[dict[str, Any]] = [
    {"method": "regression"},
    {"method": "regression", "options": {"lr": "1e-2", "average": 0.5}, "training": {"select": "best", "keep": 3}},
    {"method": "regression", "label": "a+b", "options": {"betas": [0.1, 0.2]}},
    {"method": "cut", "variant": "fast", "preset": "paper"},
    {"method": "regression", "label": "run", "training": {
        "accumulate": 2, "channels_last": True, "deterministic": True, "log_to": ["x", "y"], "validate_every": 7,
        "keep_every": 9, "cache_tiles": "a b",
    }},
]  # fmt: skip


@pytest.mark.parametrize("folds", [None, 2])
def test_words_of_a_row_are_read_back_to_its_request(
    study: Read, own: Path, monkeypatch: pytest.MonkeyPatch, folds: int | None
) -> None:
    """So a row is what typing them trains; its run folder is where ``resolve`` puts that."""
    options = {"slide": "^(.)_", "he": "he/{split}", "ihc": "ihc/{split}"}
    data = {"dataset": "folder", "stains": ["ki67"], "data_root": str(own), "options": options, "folds": folds}
    _, rows = study(methods=ENTRIES, datasets=[data | {"data_name": "ours"}], seeds=[4])
    given: list[Any] = []

    def note(request: Request, fabric: Any, resume: bool, workers: int, rhythm: Any, display: Any, accept: bool) -> Any:
        given.append((request, resume, workers, rhythm))
        return resolve(request).run

    monkeypatch.setattr(engine, "start", note)
    for row in rows:
        app(train_words(row, "cpu"), standalone_mode=False)
        request, resume, workers, rhythm = given.pop()
        assert (request, resume, workers, rhythm) == (row.request, True, 0, row.rhythm)
        assert resolve(request).run == row.run
        assert resolve(request).config == row.config
    assert len({row.run.folder for row in rows}) == len(rows) == len(ENTRIES) * (folds or 1)


def test_an_entrys_own_settings_name_its_row_as_an_ablation_does(study: Read) -> None:
    _, rows = study(methods=["regression", {"method": "regression", "options": {"lr": 0.5}}])
    assert [row.name for row in rows] == ["regression+cpu", "regression+cpu+lr-0.5"]


def test_a_suites_rows_share_the_runs_that_ablate_makes(study: Read, own: Path) -> None:
    small = {"steps": 2, "crop_size": 32, "load_size": 0}
    found, rows = study(methods=["usigan", {"method": "usigan", "suite": "table8"}], options=small)
    suite = Study("usigan", "table8", "folder", "ki67", "cpu", small, {"slide": "^(.)_"}, own, found.results)
    folders = {row.run(0).folder for row in study_rows(suite)}
    assert {row.run.folder for row in rows} == folders | {rows[0].run.folder}


def test_places_are_named_from_the_files_own_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"dataset": "folder", "stains": ["ki67"], "data_root": "pairs"}
    file = write(datasets=[entry], results="out", training={"cache_tiles": "/fast/tiles"})
    monkeypatch.chdir(tmp_path.parent)
    study = read_study(Path(file.relative_to(tmp_path.parent)))
    here = Path(tmp_path.name)
    assert (study.results, study.datasets[0].data_root) == (here / "out", here / "pairs")
    assert study.training.cache_tiles == Path("/fast/tiles")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"method": ["cut"]}, "unknown option 'method': did you mean 'methods'"),
    ({"methods": []}, "methods: List should have at least 1 item"),
    ({"methods": ["kut"]}, "unknown name 'kut': the methods are"),
    ({"methods": [{"method": "cut", "option": {}}]}, "methods.0"),
    ({"methods": [{"method": "cut", "variant": "slow"}]}, "cut: unknown variant 'slow'"),
    ({"options": {"widht": 3}}, "regression: unknown option 'widht': did you mean 'width'"),
    ({"methods": [{"method": "regression", "options": {"lr": -1}}]}, "regression: lr"),
    ({"methods": ["regression", {"method": "regression", "label": "regression+cpu", "options": {"lr": 0.3}}]}, "twice"),
    ({"methods": [{"method": "cut", "suite": "table6"}]}, "unknown suite 'table6'"),
    ({"methods": [{"method": "usigan", "suite": "table6", "label": "mine"}]}, "a suite says itself"),
    ({"seeds": [1, 1]}, "seeds: 1 comes twice"),
    ({"seeds": [-1]}, "seeds.0"),
    ({"seeds": [True]}, "seeds.0"),
    ({"training": {"worker": 1}}, "training.worker"),
    ({"training": {"precision": "64"}}, "training.precision"),
    ({"training": {"validation_share": float("nan")}}, "no finite number"),
    ({"datasets": [{"dataset": "folder", "stains": ["ki67"], "folds": 1}]}, "datasets.0.folds"),
    ({"datasets": [{"dataset": "folder", "stains": ["../x"]}]}, "datasets.0.stains.0"),
    ({"datasets": [{"dataset": "folder", "stains": ["er"], "folds": 3, "options": {"fold": 1}}]}, "leave out the opt"),
    ({"executor": {"kind": "cloud"}}, "executor"),
    ({"executor": {"jobs": 0}}, "executor"),
    ({"evaluation": {"also": "nuclei"}}, "evaluation"),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "said"), WRONG)
def test_what_cannot_be_is_named(write: Write, parts: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as error:
        plan(read_study(write(**parts)))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_rows_are_bounded(write: Write) -> None:
    with pytest.raises(UsageError, match=r"a whole number from 1 to 10,000"):
        plan(read_study(write(seeds=list(range(3000)), methods=["cut", "cyclegan", "regression", "pix2pix"],
                              options={"steps": 2})))  # fmt: skip


def test_no_file_and_no_yaml(write: Write, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml"):
        read_study(tmp_path / "none.yaml")
    write().write_text("methods: [*a]")
    with pytest.raises(UsageError, match=r"study\.yaml: .*line 1"):
        read_study(tmp_path / "study.yaml")
