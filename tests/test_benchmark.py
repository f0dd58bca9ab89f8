"""The benchmark's version: a changed number without another version fails, whatever changed it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vsbench.benchmark import BENCHMARK, VERSIONS, version_said
from vsbench.files import digest, read_json

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def version() -> Iterator[Any]:
    """``benchmarks.version``, which is no part of the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        from benchmarks import version

        yield version


@pytest.fixture(scope="module")
def now(version: Any) -> dict[str, Any]:
    current: dict[str, Any] = version.current()
    return current


def test_no_number_of_this_version_has_changed(version: Any, now: dict[str, Any]) -> None:
    assert version.changed(version.recorded(), now) == [], "raise the version in vsbench/benchmark.py"
    assert now.keys() - version.recorded().keys() == set(), "record what is new: python -m benchmarks.version"


def test_a_change_of_each_kind_is_found(version: Any, now: dict[str, Any]) -> None:
    for name in ("protocol of r_p", "formula of iod", "split of mist", "rule: intervals", "value of ssim"):
        other = now[name] * 1.0001 if isinstance(now[name], float) else f"{now[name]}!"
        assert version.changed(version.recorded(), {**now, name: other}) == [name]
    assert version.changed(version.recorded(), {**now, "value of ssim": now["value of ssim"] * (1 + 1e-9)}) == []
    gone = {name: value for name, value in now.items() if name != "value of psnr"}
    assert version.changed(version.recorded(), gone) == ["value of psnr"]


def test_most_values_are_among_them(version: Any, now: dict[str, Any]) -> None:
    assert sum(isinstance(value, float) for name, value in now.items() if name.startswith("value of")) > 60


def test_every_version_is_kept_and_in_the_changelog(version: Any) -> None:
    for name in VERSIONS:
        file = read_json(version.FILE.with_name(f"{name}.json"))
        assert file["version"] == name
        assert file["digest"] == digest(f"{k}={v}" for k, v in sorted(file["entries"].items()))
    assert version_said(None) == "before vsbench-2026.1"
    assert version_said(BENCHMARK) == BENCHMARK
