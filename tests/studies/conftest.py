"""Studies of tiny methods on tiny pairs, and executors that cost nothing."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from vsbench.cli.options import make_fabric
from vsbench.engine.start import start
from vsbench.engine.trainer import Progress
from vsbench.errors import UserError
from vsbench.records.job import JobRecord
from vsbench.studies.executor import Seen
from vsbench.studies.executors import local
from vsbench.studies.file import StudyFile, read_study
from vsbench.studies.plan import PlannedRow, plan

SLIDES = {"train": "ab", "test": "cd"}
TINY = {"steps": 2, "crop_size": 32, "load_size": 0, "width": 4, "batch_size": 1}


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory, draw_pairs: Callable[..., Path]) -> Path:
    """Pairs of 40²: four slides, two of them in each split, two tiles of each."""
    names = {split: [f"{slide}_{tile}" for slide in of for tile in (0, 1)] for split, of in SLIDES.items()}
    return draw_pairs(tmp_path_factory.mktemp("own"), (40, 40), least=0, **names)


DATA = {"slide": "^(.)_", "he": "he/{split}", "ihc": "ihc/{split}"}
Write = Callable[..., Path]


@pytest.fixture
def write(own: Path, tmp_path: Path) -> Write:
    """``write(methods=["cut"])``: a study file on the tiny pairs, in an empty folder; keywords replace its parts."""

    def write(name: str = "study.yaml", **parts: Any) -> Path:
        study = {
            "methods": ["regression"],
            "datasets": [{"dataset": "folder", "stains": ["ki67"], "data_root": str(own), "options": DATA}],
            "preset": "cpu", "options": TINY, "training": {"workers": 0, "checkpoint_every": 1, "log_every": 1},
            "executor": {"device": "cpu"}, "evaluation": False, "report": False,
        }  # fmt: skip
        (tmp_path / name).write_text(yaml.safe_dump(study | parts))
        return tmp_path / name

    return write


@pytest.fixture
def study(write: Write) -> Callable[..., tuple[StudyFile, list[PlannedRow]]]:
    """The same, read: the study and its rows."""

    def read(**parts: Any) -> tuple[StudyFile, list[PlannedRow]]:
        found = read_study(write(**parts))
        return found, plan(found)

    return read


class Quiet:
    """A display that shows nothing."""

    def say(self, line: str) -> None: ...

    def step(self, title: str, progress: Progress) -> None: ...


def train(row: PlannedRow) -> None:
    """Train a row in this very process."""
    start(row.request, make_fabric("cpu", 1, "32"), True, 0, row.rhythm, Quiet())


class Here:
    """An executor that trains rows in this process; those in ``bad`` fail. ``begun``: what it was given, in order."""

    name = "here"

    def __init__(self, bad: Sequence[str] = ()) -> None:
        self.bad, self.begun = bad, list[str]()

    def recover(self, rows: Sequence[PlannedRow]) -> None: ...

    def submit(self, rows: Sequence[PlannedRow], under_way: Sequence[JobRecord]) -> list[PlannedRow]:
        row = rows[0]
        self.begun.append(row.name)
        row.run.folder.mkdir(parents=True, exist_ok=True)
        JobRecord(executor=self.name, id="1").write(row.run.job_file)
        with row.run.job_log.open("a") as log:
            log.write("$ vsbench train …\n")
            try:
                if row.name in self.bad:
                    raise UserError("the disk is full of crumbs; sweep them up")
                train(row)
            except UserError as error:
                log.write(f"error: {error}\nwandb: something that a library says at its end\n\n")
        return [row]

    def look(self, jobs: Sequence[JobRecord]) -> list[Seen]:
        return [Seen("gone") for _ in jobs]

    def cancel(self, jobs: Sequence[JobRecord]) -> None: ...

    def leave(self) -> None: ...


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """``program("…")``: what the local executor runs in place of vsbench; ``folder`` is that of the row's run."""

    def replace(source: str) -> None:
        head = (
            "import os, signal, sys, time; from pathlib import Path; words = sys.argv[1:]\n"
            "after = lambda option: words[words.index(option) + 1]\n"
            "label = after('--label') if '--label' in words else words[1] + '+cpu'\n"
            "runs = Path(after('--results'), 'runs', 'folder-' + after('--stain'))\n"
            "folder = runs / label / ('seed-' + after('--seed'))\n"
        )
        monkeypatch.setattr(local, "PROGRAM", (sys.executable, "-S", "-c", head + source))

    return replace


@pytest.fixture
def here() -> type[Here]:
    """The executor that trains in this process: ``here(bad=["cut+cpu"])``."""
    return Here


@pytest.fixture
def train_here() -> Callable[[PlannedRow], None]:
    """Trains a row as ``vsbench train`` does, in this process."""
    return train
