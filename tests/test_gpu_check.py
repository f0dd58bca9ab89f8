"""What can be tested of the GPU's test without one: all but the device."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vsbench.checks.devices import WAYS, apart, check_half_precision_trains, first_step
from vsbench.checks.methods import maker
from vsbench.method import Method
from vsbench.registry import load

Row = dict[str, Any]


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In which parts find what others left."""
    return tmp_path_factory.mktemp("bench")


@pytest.fixture
def rows(folder: Path) -> Callable[[Any], list[Row]]:
    """What a part tells on the CPU, in small."""

    def run(part: Any, seconds: float = 600.0) -> list[Row]:
        from benchmarks.gpu.parts import Bench

        told: list[Row] = []
        part(Bench("cpu", folder, time.monotonic() + seconds, small=True), told.append)
        return told

    return run


def numbers(told: list[Row]) -> list[Row]:
    """Those in which nothing failed."""
    failed = [row for row in told if "failed" in row]
    assert not failed, failed
    return told


def test_without_a_gpu_it_says_so_and_exits_3(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.gpu.__main__ import main

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["--out", str(tmp_path / "results")]) == 3
    assert "no GPU" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_its_stages_take_eight_minutes_at_most() -> None:
    from benchmarks.gpu.plan import STAGES

    assert sum(max(part.seconds for part in stage) for stage in STAGES) <= 8 * 60
    names = [part.name for stage in STAGES for part in stage]
    assert len(set(names)) == len(names)


def test_what_a_part_lacks_is_its_own_affair(rows: Callable[[Any], list[Row]]) -> None:
    from benchmarks.gpu.plan import late

    with pytest.raises(ModuleNotFoundError):
        rows(late("nonesuch"))
    assert rows(late("card"))


def test_each_part_of_it_runs_on_a_cpu(
    rows: Callable[[Any], list[Row]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order: parts leave images for others; then the page is made of all they told."""
    from benchmarks.gpu import card, data, evaluation, learning, loader, page, steps

    monkeypatch.setattr(steps, "COMBINATIONS", [steps.COMBINATIONS[0], steps.COMBINATIONS[2]])
    monkeypatch.setattr(steps, "OTHERS", [])
    monkeypatch.setattr(loader, "SETTINGS", [("jpeg", False, 0), ("png", True, 0)])
    monkeypatch.setattr(evaluation, "FAMILIES", ["lpips"])
    parts = {
        "card": card.run, "data": data.run, "estimates": steps.estimates, "usigan": steps.usigan,
        "loader": loader.run, "evaluation": evaluation.run, "learning": learning.run,
    }  # fmt: skip
    told = {name: numbers(rows(part)) for name, part in parts.items()}
    assert {row["kind"] for row in told["card"] if row["what"] == "product"} == set(card.KINDS)
    assert [row["method"] for row in told["usigan"]] == ["usigan", "usigan"]
    assert told["estimates"][0]["estimated_bytes"] > 0
    assert told["estimates"][0]["flops"] > 0
    assert all(0 <= row["waits"] <= 1 for row in told["loader"] if row["what"] == "loading")
    assert [row["step"] for row in told["learning"] if row["what"] == "checkpoint"] == [1, 2, 3, 4, 5, 6]
    text = page.page([page.Ended(name, name, "done", 1.0, rows, "") for name, rows in told.items()])
    for word in ("× plain", "GPU waits", "cell AUC", "g_tcyc", "LPIPS's backbone", "TFLOP/s"):
        assert word in text, word


def test_what_fails_leaves_the_rows_beside_it(folder: Path) -> None:
    from benchmarks.gpu.parts import Bench, guarded

    def fails() -> Row:
        raise ModuleNotFoundError("package lpips missing\nand more")

    bench = Bench("cpu", folder, time.monotonic() + 60)
    assert guarded(bench, {"what": "a"}, fails) == {
        "what": "a", "failed": "ModuleNotFoundError: package lpips missing",
    }  # fmt: skip
    assert guarded(bench, {"what": "b"}, lambda: {"s": 1.0}) == {"what": "b", "s": 1.0}
    late = replace(bench, until=time.monotonic())
    assert guarded(late, {"what": "c"}, lambda: {"s": 1.0}) == {"what": "c", "failed": "no time was left"}

    def broken() -> Row:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal"):
        guarded(bench, {"what": "d"}, broken)


SCRIPT = """
import json, sys, time
name, rows = sys.argv[1:]
with open(rows, "a") as file:
    file.write(json.dumps({"what": "card", "name": "Card 9000", "versions": {}, "git": None, "machine": "m"}) + "\\n")
    file.flush()
    if name == "breaks":
        raise SystemExit("it broke")
    if name == "hangs":
        time.sleep(60)
    file.write('{"what": "cut in the mid')
"""


def test_a_part_that_breaks_or_hangs_costs_the_others_nothing(tmp_path: Path) -> None:
    """And what each had told by then is kept, with the end of what it printed."""
    from benchmarks.gpu.parts import Part
    from benchmarks.gpu.run import all_parts

    def nothing(bench: Any, tell: Any) -> None: ...

    def command(part: Part, seconds: float, file: Path) -> list[str]:
        return [sys.executable, "-c", SCRIPT, part.name, str(file)]

    stages = [[Part("breaks", "B", 30, nothing), Part("hangs", "H", 2, nothing)], [Part("sound", "S", 30, nothing)]]
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    assert all_parts(stages, work, out, 60, command) == 1
    found = {part["name"]: part for part in json.loads((out / "card-9000.json").read_text())["parts"]}
    assert {name: part["how"] for name, part in found.items()} == {
        "breaks": "failed (exit code 1)", "hangs": "stopped at its time's end", "sound": "done",
    }  # fmt: skip
    assert all(len(part["rows"]) == 1 for part in found.values())
    assert "it broke" in found["breaks"]["said"]
    text = (out / "card-9000.md").read_text()
    assert "stopped" in text
    assert "it broke" in text


def test_where_time_is_up_a_part_is_not_begun(tmp_path: Path) -> None:
    from benchmarks.gpu.parts import Part
    from benchmarks.gpu.run import all_parts

    def never(*_: Any) -> list[str]:
        raise AssertionError

    assert all_parts([[Part("one", "One", 30, lambda bench, tell: None)]], tmp_path, tmp_path, 1.0, never) == 1
    assert "not begun" in (tmp_path / "unknown-card.md").read_text()


def test_tests_of_the_gpu_are_rows_with_the_numbers_they_note(tmp_path: Path) -> None:
    from benchmarks.gpu import contract, page
    from benchmarks.gpu.parts import Bench

    file = tmp_path / "test_told.py"
    file.write_text(
        "def test_it_is_the_cpus(record_property):\n    record_property('losses', 0.5)\n"
        "    record_property('worst', 'd_real')\n    record_property('gradients', 0.25)\n\n"
        "def test_memory(record_property):\n    record_property('taken', 2**30)\n"
        "    record_property('estimated', 2**31)\n    assert False, 'too far'\n"
    )
    told: list[Row] = []
    contract.run(str(file), Bench("cpu", tmp_path, time.monotonic() + 60), told.append)
    assert [(row["outcome"], row.get("losses")) for row in told] == [("passed", 0.5), ("failed", None)]
    assert "too far" in told[1]["why"]
    ended = page.Ended("first-step", "First steps", "done", 1.0, told, "")
    assert not ended.well
    assert "**0.50**" in page.page([ended])


def method_named(name: str) -> Callable[..., Method[Any]]:
    return maker(load("vsbench.methods", name))


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    """The CPU's first step of a method that draws positions."""
    return first_step(method_named("cut"), "cpu", WAYS[0], 1)


def test_a_first_step_in_another_way_is_near_and_a_wrong_one_is_not(expected: dict[str, Tensor]) -> None:
    ways = {way.name: way for way in WAYS}
    for name in ("channels last", "bf16-mixed"):
        found = apart(method_named("cut"), "cpu", ways[name], 1, expected)
        found.require(ways[name])
        assert found.losses > 0
    wrong = {name: tensor.clone() for name, tensor in expected.items()}
    wrong["g_nce"] *= 1.01
    with pytest.raises(AssertionError, match=r"g_nce is off by 9\.9e-03"):
        apart(method_named("cut"), "cpu", WAYS[0], 1, wrong).require(WAYS[0])
    wrong = {name: tensor.clone() for name, tensor in expected.items()}
    wrong["gradient of generator"][::7] = 0
    with pytest.raises(AssertionError, match="gradients off"):
        apart(method_named("cut"), "cpu", WAYS[0], 1, wrong).require(WAYS[0])
    wrong["g_nce"] *= torch.nan
    with pytest.raises(AssertionError, match="g_nce is off by inf"):
        apart(method_named("cut"), "cpu", WAYS[0], 1, wrong).require(WAYS[0])


def test_recomputed_dropout_draws_the_same_carried_numbers() -> None:
    """Pix2Pix drops, and what is recomputed runs in a thread of autograd."""
    make, recomputed = method_named("pyramidp2p"), next(way for way in WAYS if way.name == "recomputed")
    found = apart(make, "cpu", recomputed, 2)
    assert (found.losses, found.gradients) == (0, 0)


def test_half_precision_that_stands_still_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsbench.checks.devices.STEPS", 2)
    check_half_precision_trains(method_named("regression"), "cpu", "bf16-mixed")
    with pytest.raises(AssertionError, match="have moved"):
        check_half_precision_trains(lambda: method_named("regression")(lr=1e-30), "cpu", "bf16-mixed")
