"""A case: one file of a whole folder changed, the folder read, and what is wrong about how that ends."""

import contextlib
import io
import random
import shutil
import signal
import traceback
import warnings
from pathlib import Path

import targets
import typer
from mutations import mutate

from vsbench.errors import UserError

BUSY = 6  # times as long may a case take by the clock
LONGEST = 2000  # characters of a message
OURS = ("vsbench", "methods", "datasets")
REPOSITORY = Path(__file__).parents[2]


class TooLong(BaseException):
    """A case takes longer than its target may."""


class Case:
    """One changed file, in a folder of its own, from the seed and a number."""

    def __init__(self, seed: str, number: int, corpus: Path, only: list[str]) -> None:
        self.name = f"{seed}-{number}"
        self.corpus = corpus
        rng = random.Random(self.name)
        chosen = {name: target for name, target in targets.TARGETS.items() if not only or name in only}
        self.kind = rng.choices(list(chosen), [target.share for target in chosen.values()])[0]
        self.target = chosen[self.kind]
        whole = corpus / self.target.folder
        files = sorted(file.relative_to(whole) for file in whole.glob(self.target.files) if file.is_file())
        self.file = rng.choice(files)
        self.state = rng.getstate()

    def lay(self, place: Path) -> str:
        """Make the folder with its changed file; how it was changed."""
        rng = random.Random()
        rng.setstate(self.state)
        folder = place / self.target.folder
        shutil.copytree(self.corpus / self.target.folder, folder)
        (place / "pairs").symlink_to(self.corpus / "pairs")
        file = folder / self.file
        others = sorted(other for other in self.corpus.rglob("*") if other.is_file())
        alike = [other for other in others if other.suffix == file.suffix]
        what = mutate(file, [*rng.sample(others, 5), *alike], rng)
        if self.target.seal and rng.random() < 0.7:
            targets.seal(folder)
        return what

    def find(self, place: Path) -> str | None:
        """Read the folder; what is wrong about how that ended, or None."""
        before = {file.name for file in place.iterdir()}
        folder, said = place / self.target.folder, io.StringIO()
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(said),
            warnings.catch_warnings(record=True) as caught,
        ):
            warnings.simplefilter("always")
            refused = self._read(folder)
        if isinstance(refused, str):
            return refused
        lines = said.getvalue().splitlines()
        refused += [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        known = {self.file.name, *(parent.name for parent in self.file.parents), self.target.folder} - {""}
        for line in refused:
            if "\n" in line or len(line) > LONGEST:
                return f"a message of {len(line)} characters: {line[:100]!r}"
            if self.target.named and not any(name in line for name in known):
                return f"names no file: {line[:150]!r}"
        if "fault of vsbench" in said.getvalue() or "Traceback" in said.getvalue():
            return f"says {said.getvalue()[-200:]!r}"
        if new := {file.name for file in place.iterdir()} - before:
            return f"written outside of its folder: {', '.join(sorted(new))}"
        for warning in caught:
            return f"{_short(warning.filename)}:{warning.lineno}: {warning.category.__name__}: {warning.message!s:.100}"
        return None

    def _read(self, folder: Path) -> list[str] | str:
        """What was refused; or, as text, what is no refusal."""
        _set_limits(self.target.seconds)
        try:
            self.target.act(folder, folder / self.file)
        except UserError as error:
            return [str(error)]
        except ExceptionGroup as group:
            return [str(error) for error in group.exceptions]
        except OSError as error:  # the command line says these in one line
            return _where(error) if error.filename is None else [str(error.filename)]
        except (Exception, SystemExit, TooLong) as error:
            is_an_end = isinstance(error, SystemExit | typer.Exit) or hasattr(error, "format_message")
            return [] if is_an_end else _where(error)
        finally:
            _set_limits(0)
        return []


def set_alarm() -> None:
    """From now on cases that take too long end."""
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, _too_long)


def _set_limits(seconds: int) -> None:
    """Of the processor; and of the clock, for what waits, on a machine that may be busy with other things."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, BUSY * seconds)


def _too_long(number: int, frame: object) -> None:
    raise TooLong


def _where(error: BaseException) -> str:
    """An error with the innermost place in our code, and the innermost of all."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if any(part in OURS for part in Path(f.filename).parts[-3:-1])]
    places = dict.fromkeys(f"{_short(f.filename)}:{f.lineno}" for f in (*ours[-2:], *frames[-1:]))
    return f"{type(error).__name__}: {' '.join(str(error).split())[:150]} ({' → '.join(places)})"


def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else Path(*path.parts[-3:]))
