"""Numbers beyond all sense are refused by name, on the command line, in a dry run and in a library call alike."""

import math
import subprocess
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from vsbench.cli.app import main
from vsbench.engine.estimate import checkpoints_kept
from vsbench.engine.request import Request
from vsbench.engine.schedule import Schedule
from vsbench.engine.start import start
from vsbench.engine.step import Execution
from vsbench.engine.tiles import Tiling
from vsbench.engine.trainer import Rhythm
from vsbench.errors import UsageError
from vsbench.evaluation.validity import ValidityStudy
from vsbench.method import MethodConfig
from vsbench.reader_study.draw import draw
from vsbench.registry import load, names
from vsbench.stats.bootstrap import resample_counts

Command = Callable[..., "subprocess.CompletedProcess[str]"]
HUGE = 10**22
SEEDS: tuple[Any, ...] = (2**32, -1, HUGE, 10**5000, 1.0, True, "1", math.nan, None)
SHARES: tuple[Any, ...] = (0.0, 1.0, -0.1, math.nan, math.inf, "half")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        *(("--seed", partial(Request, "cut", "folder", "er", seed=value)) for value in SEEDS),
        *(("--validation-share", partial(Request, "cut", "folder", "er", validation_share=value)) for value in SHARES),
        ("--validate-every", lambda: Request("cut", "folder", "er", validate_every=0)),
        ("--validate-every", lambda: Request("cut", "folder", "er", validate_every=HUGE)),
        ("--accumulate", lambda: Execution(accumulate=0)),
        ("--accumulate", lambda: Execution(accumulate=HUGE)),
        ("--log-every", lambda: Rhythm(log=0)),
        ("--sheet-every", lambda: Rhythm(sheet=HUGE)),
        ("--checkpoint-every", lambda: Rhythm(checkpoint=-1)),
        ("--keep", lambda: Rhythm(keep=HUGE)),
        ("--keep-every", lambda: Rhythm(keep_every=0)),
        ("tile", lambda: Tiling(HUGE, 0)),
        ("resamples", lambda: resample_counts(3, HUGE)),
        ("seed", lambda: resample_counts(3, 100, -1)),
        ("--seed", lambda: ValidityStudy("phantom", "ki67", seed=-1)),
        ("--seed", lambda: draw(Path(), seed=2**32)),
        ("epochs=1000000", lambda: Schedule.of(MethodConfig(epochs=10**6), 10_000)),
    ],
)
def test_a_library_call_is_refused_as_the_command_is(name: str, call: Callable[[], Any]) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert str(caught.value).startswith(name)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("--seed", "seed: 4294967296"),
        ("--seed", "seed: -1"),
        ("seed", "seed: 1.5"),
        ("line 4: '.nan'", "validation_share: .nan"),
        ("validation_share", "validation_share: nan"),
        ("--validate-every", "validate_every: 0"),
        ("--accumulate", "execution: {accumulate: 0}"),
        ("--seed", f"seed: {HUGE}"),
    ],
)
def test_a_request_from_yaml_is_looked_at_alike(name: str, line: str) -> None:
    with pytest.raises(UsageError) as caught:
        Request.from_yaml(f"method: cut\ndataset: folder\nstain: er\n{line}\n")
    assert str(caught.value).removeprefix("request: ").startswith(name)


@pytest.mark.parametrize("workers", [257, -1, HUGE])
def test_workers_are_bounded(workers: int) -> None:
    request = Request("cut", "folder", "er")
    with pytest.raises(UsageError, match=r"^--workers"):
        start(request, None, False, workers, Rhythm(), None)  # type: ignore[arg-type]  # it comes first


@pytest.mark.parametrize("method", names("vsbench.methods"))
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("betas", [2, 3]),
        ("betas", [0.5, 1.0]),
        ("betas", [-0.1, 0.9]),
        ("betas", [math.nan, 0.9]),
        ("lr", 10),
        ("lr", 0.0),
        ("lr", "inf"),
        ("lr", "nan"),
        ("lr", 10**400),
        ("width", 10**6),
        ("discriminator_layers", 10**6),
        ("crop_size", 10**6),
        ("load_size", 10**6),
        ("steps", HUGE),
        ("epochs", HUGE),
        ("decay_epochs", HUGE),
        ("batch_size", HUGE),
        ("average", 1.0),
        ("lambda_adversarial", 1e300),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(method: str, option: str, value: object) -> None:
    method_class = load("vsbench.methods", method)
    known = option in method_class.configure().model_dump()  # where a method has no such setting, that is said
    with pytest.raises(UsageError, match=f"^{option}" if known else option):
        method_class.configure("cpu", {option: value})


@pytest.mark.parametrize(
    "wrong",
    [
        ("--seed", "4294967296"),
        ("--workers", "3000"),
        ("--devices", "1000000000"),
        ("--nodes", "1000000000"),
        ("--accumulate", str(HUGE)),
        ("--validation-share", "nan"),
        ("--checkpoint-every", str(HUGE)),
        ("--set", f"steps={HUGE}"),
        ("--set", "betas=[2,3]"),
        ("--set", "width=1000000"),
        ("--set", "lr=1e999"),
        ("--data", "folds=1000000000"),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
def test_the_command_refuses_it_in_a_dry_run_too(
    wrong: tuple[str, str],
    dry: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    given = ["vsbench", "train", "pix2pix", "--dataset", "phantom", "--stain", "ki67", "--preset", "cpu"]
    monkeypatch.setattr("sys.argv", [*given, "--device", "cpu", *wrong, *(["--dry-run"] if dry else [])])
    with pytest.raises(SystemExit) as ended:
        main()
    last = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 2, last
    assert last.startswith("error: ")
    assert (wrong[1].partition("=")[0] if "=" in wrong[1] else wrong[0]) in last
    assert not (tmp_path / "results").exists()


def test_checkpoints_are_counted_without_listing_them() -> None:
    request = Request("cut", "folder", "er")
    for every, keep, keep_every, steps in product((1, 2, 3, 7), (1, 2, 5), (None, 1, 2, 3, 5), (1, 6, 12, 13)):
        rhythm = Rhythm(checkpoint=every, keep=keep, keep_every=keep_every)
        forever = {step for step in range(1, steps + 1) if keep_every and step % keep_every == 0}
        newest = sorted({step for step in range(1, steps) if step % every == 0} | forever | {steps})[-keep:]
        assert checkpoints_kept(request, rhythm, steps) == len(forever | set(newest)), rhythm
    assert checkpoints_kept(request, Rhythm(checkpoint=1, keep_every=3), 10**9) == 333_333_334
