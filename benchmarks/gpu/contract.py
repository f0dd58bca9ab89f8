"""``tests/gpu`` as they are, each test a row with the numbers that it notes."""

from pathlib import Path
from typing import Any

from benchmarks.gpu.parts import Bench, Tell

TESTS = Path(__file__).parents[2] / "tests" / "gpu"
# whatever the release of a library warns of there is no failure of ours; nor need pytest-xdist be there
OPTIONS = ("-o", "addopts=--import-mode=importlib", "-o", "filterwarnings=default", "-q", "-p", "no:cacheprovider")


def run(file: str, bench: Bench, tell: Tell) -> None:
    """A row for each test of a file, when it is over."""
    import pytest

    place = f"--basetemp={bench.folder / Path(file).stem}"
    code = pytest.main([*OPTIONS, place, str(TESTS / file)], plugins=[Recorder(tell)])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        tell({"test": "pytest", "outcome": "failed", "why": f"pytest ended with {code!r}"})


class Recorder:
    """A plugin of pytest that tells what comes of each test."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Once for each test: its call, or what came in place of it."""
        if report.when == "call" or not report.passed:
            row = {"test": report.nodeid.rpartition("/")[2], "outcome": report.outcome, "s": round(report.duration, 2)}
            self.tell(row | dict(report.user_properties) | why(report))

    def pytest_collectreport(self, report: Any) -> None:
        """A file that can't be read has no tests."""
        if report.failed:
            self.tell({"test": report.nodeid.rpartition("/")[2], "outcome": "failed"} | why(report))


def why(report: Any) -> dict[str, str]:
    """What was wrong, in a line."""
    if report.passed:
        return {}
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    return {"why": " ".join(text.split())[:400]}
