"""A method that samples is translated with several seeds, and how far its values spread is kept beside them."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from vsbench.cli.app import app
from vsbench.cli.display import TrainingDisplay
from vsbench.cli.options import make_fabric
from vsbench.engine.checkpoint import load_method, weights_of
from vsbench.engine.request import Request
from vsbench.engine.run import Run
from vsbench.engine.start import start
from vsbench.engine.trainer import Rhythm
from vsbench.engine.translate import translate_image
from vsbench.errors import RunError, UsageError
from vsbench.evaluation import draws as drawing
from vsbench.evaluation.evaluate import Outcome, evaluate_runs
from vsbench.evaluation.instrument import Instrument
from vsbench.records.draws import Draws
from vsbench.stain.dab import measure_density

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "steps": 1, "crop_size": 32, "width": 4, "batch_size": 2, "discriminator_layers": 1, "blocks": 1, "patches": 16,
    "num_timesteps": 3, "taps": (0, 4, 8),
}  # fmt: skip


@dataclass
class Place:
    """A UNSB and a CUT trained for a step on a few pairs."""

    folder: Path

    def run(self, method: str) -> Run:
        return Run(self.folder / f"results/runs/folder-er/{method}+cpu/seed-0")

    def evaluate(self, draws: int, *methods: str) -> Outcome:
        runs = [self.run(method) for method in methods or ("unsb",)]
        outcomes, failures = evaluate_runs(
            runs, self.folder / "own", self.folder / "results", Instrument.build("cpu"), CPU, draws=draws
        )
        assert not failures
        return next(o for o in outcomes if o.summary.row == "unsb+cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("drawn"), np.random.default_rng(0)
    for side in ("he", "ihc"):
        for split, names in (("train", "abc"), ("test", "defg")):
            (folder / "own" / side / split).mkdir(parents=True)
            for name in names:
                pixels = rng.integers(0, 256, (10, 10, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
                Image.fromarray(pixels).save(folder / "own" / side / split / f"{name}.png")
    for method, taps in (("unsb", (0, 4, 8)), ("cut", (0, 4, 8))):
        options = {k: v for k, v in (SMALL | {"taps": taps}).items() if method == "unsb" or k != "num_timesteps"}
        request = Request(method, "folder", "er", "cpu", options, data_root=folder / "own", results=folder / "results")
        start(request, make_fabric("cpu", 1, "32-true"), False, 0, Rhythm(), TrainingDisplay(quiet=True))
    return folder


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Place:
    for name in ("own", "results"):
        shutil.copytree(trained / name, tmp_path / name)
    return Place(tmp_path)


def test_each_draw_is_what_the_method_makes_with_that_seed(place: Place) -> None:
    outcome = place.evaluate(3, "cut", "unsb")
    draws = outcome.draws
    assert draws is not None
    assert draws.seeds == [0, 1, 2]
    assert draws.values["iod_mae"][0] == outcome.summary.values["iod_mae"].value
    method = load_method(weights_of(outcome.run))
    seen = []
    for seed, told in zip(draws.seeds, draws.values["iod_mae"], strict=True):
        method.config = method.config.model_copy(update={"translation_seed": seed})
        errors = []
        for he in sorted((place.folder / "own/he/test").iterdir()):
            made = translate_image(method, np.asarray(Image.open(he)), CPU)
            real = np.asarray(Image.open(place.folder / "own/ihc/test" / he.name))
            errors.append(abs(measure_density(made).intden - measure_density(real).intden) / real[..., 0].size)
        assert told == pytest.approx(np.mean(errors), rel=1e-12)
        seen.append(told)
    assert len(set(seen)) == 3
    assert draws.spread("iod_mae") == pytest.approx((np.mean(seen), np.std(seen, ddof=1)))
    assert draws.spread("psnr") is not None
    assert draws.spread("no such value") is None


def test_no_draw_is_made_twice_and_none_is_kept_of_other_images(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    translate = drawing.translate_image

    def counted(method: Any, he: Any, device: Any) -> Any:
        made.append(method.config.translation_seed)
        return translate(method, he, device)

    monkeypatch.setattr(drawing, "translate_image", counted)
    first = place.evaluate(2)
    assert sorted(made) == [1] * 4
    assert place.evaluate(2).draws == first.draws
    assert place.evaluate(1).draws is None
    assert sorted(made) == [1] * 4
    more = place.evaluate(3).draws
    assert sorted(made) == [1] * 4 + [2] * 4
    assert first.draws is not None
    assert more is not None
    assert [numbers[:2] for numbers in more.values.values()] == list(first.draws.values.values())

    he = place.folder / "own/he/test/d.png"
    Image.fromarray(255 - np.asarray(Image.open(he))).save(he)
    made.clear()
    assert place.evaluate(2).draws != first.draws
    assert sorted(made) == [1] * 4


def test_a_file_of_draws_is_checked(place: Place) -> None:
    outcome = place.evaluate(2)
    file = outcome.run.evaluation("native") / "draws.json"
    assert Draws.read(file) == outcome.draws
    whole = file.read_text()
    for old, new in (('"seeds": [\n    0,\n    1', '"seeds": [\n    1,\n    1'), ('"schema": 1', '"schema": 2')):
        assert old in whole
        file.write_text(whole.replace(old, new))
        with pytest.raises(RunError, match=r"draws\.json"):
            Draws.read(file)
        assert place.evaluate(2).draws == outcome.draws
        assert file.read_text() == whole


def test_the_command(place: Place) -> None:
    data = ["--data-root", str(place.folder / "own"), "--results", str(place.folder / "results"), "--draws", "2"]
    told = CliRunner().invoke(app, ["evaluate", str(place.run("unsb").folder), *data])
    assert told.exit_code == 0, told.output
    assert "2 translation seeds (draws.json): iod_mae " in " ".join(told.output.split())
    for words, why in (
        ([str(place.run("cut").folder)], "none of these methods draws anything"),
        (["--references", "--dataset", "folder", "--stain", "er"], "--draws is about runs"),
    ):
        refused = CliRunner().invoke(app, ["evaluate", *words, *data]).exception
        assert isinstance(refused, UsageError)
        assert why in str(refused)
