"""The fuzz of the readers sees what it is for, and a few seconds of it find nothing."""

import importlib
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from vsbench.errors import DataError

FUZZ = Path(__file__).with_name("fuzz")
CASES = 40


def test_a_few_cases_of_every_reader_find_nothing(tmp_path: Path) -> None:
    options = ["--seed", "of-the-test", "--cases", str(CASES), "--minutes", "5", "--finds", str(tmp_path)]
    done = subprocess.run([sys.executable, str(FUZZ), *options], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{CASES} cases, 0 finds (seed of-the-test)\n"), done.stderr


def _raise(error: Exception) -> None:
    raise error


ENDS: dict[str, Callable[[Path, Path], object]] = {
    "KeyError": lambda folder, file: {}["a"],
    "TooLong": lambda folder, file: time.sleep(20),
    "MemoryError": lambda folder, file: _raise(MemoryError()),
    "a message of": lambda folder, file: _raise(DataError(f"{file}: two\nlines")),
    "names no file": lambda folder, file: _raise(DataError("wrong")),
    "of a library": lambda folder, file: warnings.warn("of a library", stacklevel=1),
    "written outside": lambda folder, file: (folder.parent / "outside").touch(),
    "fault of vsbench": lambda folder, file: print("a fault of vsbench", file=sys.stderr),
    "nothing": lambda folder, file: _raise(DataError(f"{file}: damaged")),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_is_no_refusal_by_name_is_a_find(end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FUZZ))
    cases, targets = (importlib.import_module(name) for name in ("cases", "targets"))
    (tmp_path / "corpus/texts").mkdir(parents=True)
    for name in "abcde":
        (tmp_path / f"corpus/texts/{name}.txt").write_text("text")
    (tmp_path / "place").mkdir()
    monkeypatch.setattr(targets, "TARGETS", {"text": targets.Target("texts", "*.txt", ENDS[end], seconds=1)})
    before = {number: signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGPROF)}
    cases.set_alarm()
    try:
        case = cases.Case("seed", 0, tmp_path / "corpus", [])
        case.lay(tmp_path / "place")
        assert end in (case.find(tmp_path / "place") or "nothing")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
