"""How long a training lasts: what the user sets wins over the preset, which is said, and no two words contradict."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vsbench.cli.app import main
from vsbench.engine.run import Run
from vsbench.errors import UsageError
from vsbench.registry import load, names

METHODS = names("vsbench.methods")


@pytest.mark.parametrize("method", METHODS)
def test_epochs_set_aside_the_steps_of_a_preset(method: str) -> None:
    cls = load("vsbench.methods", method)
    assert cls.configure("cpu").steps is not None
    for options in ({"epochs": 2}, {"decay_epochs": 3}, {"epochs": 2, "decay_epochs": 0}, {"epochs": 2, "steps": None}):
        config = cls.configure("cpu", options)
        assert config.steps is None
        assert {key: getattr(config, key) for key in options} == options
    assert cls.configure("cpu", {"steps": 7}).steps == 7
    assert cls.configure("cpu", {"steps": 7, "decay_epochs": 0}).steps == 7  # no decay, in either unit
    assert cls.configure("cpu", {"decay_epochs": 0}).steps == cls.configure("cpu").steps


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("preset", ["paper", "cpu"])
@pytest.mark.parametrize("options", [{"epochs": 2}, {"decay_epochs": 3}, {"epochs": 2, "decay_epochs": 0}])
def test_steps_and_epochs_at_once_are_an_error(method: str, preset: str, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^steps and (decay_)?epochs: "):
        load("vsbench.methods", method).configure(preset, {"steps": 7, **options})


def test_a_record_that_holds_both_is_read_back() -> None:
    cls = load("vsbench.methods", "pix2pix")
    config = cls.configure("cpu", {"steps": 7})
    assert cls.restored(config.model_dump()) == config


@pytest.mark.parametrize(
    ("line", "settings", "fault"),
    [
        ("steps: 5", ["epochs=2"], "steps and epochs"),
        ("epochs: 5", ["steps=2"], "steps and epochs"),
        ("decay_epochs: 5", ["steps=2"], "steps and decay_epochs"),
        ("", ["epochs=2", "steps=2"], "steps and epochs"),
        ("variant: a", [], "--variant b: the settings say variant='a'"),
    ],
)
def test_a_file_and_the_command_contradict_each_other(
    line: str,
    settings: list[str],
    fault: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "own.yaml").write_text(line)
    given = ["vsbench", "train", "pix2pix", "--dataset", "folder", "--stain", "er", "--preset", "cpu"]
    more = ["--variant", "b"] if "variant" in line else []
    words = [word for setting in settings for word in ("--set", setting)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [*given, "--config", "own.yaml", *words, *more, "--dry-run"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {fault}")


def test_it_is_said(train: Callable[..., Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(tmp_path, "pix2pix", steps=None, epochs=1, decay_epochs=0)
    said = capsys.readouterr().out
    assert "the preset cpu's steps=2000 are set aside: the training lasts epochs=1 and decay_epochs=0" in said
    assert run.trained.steps is not None
    assert run.trained.steps < 100
