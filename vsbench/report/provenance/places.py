"""Paths of the machine a report was made on, rewritten for others to read: they name people and their projects."""

import os
import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Any

from vsbench.files import read_json
from vsbench.report.notation import escape
from vsbench.report.tables import EvaluatedRun

RULE = (
    "Paths: what lies in the results folder is named from there (runs/...), what lies in a data root is <data>/..., "
    "and of any other absolute path only the last name is left, as <elsewhere>/name."
)
DATA, ELSEWHERE = "<data>", "<elsewhere>"
BREAK = r"(?:\\allowbreak\{\})?"
HOME = "/_/_"  # an absolute path still, and so gone in the next step
# in running text: two names at least, so that a mere stroke is none
_ABSOLUTE = re.compile(
    r"(?<![\w<>~./\\-])(?:[A-Za-z]:[\\/]|/(?=[^\s/]))(?:[^\s/:;,()\"'|<>]+[\\/])+([^\s/\\:;,()\"'|<>]*)"
)
_NAME = r"(?:\\[A-Za-z]+\{\}|\\[_&%$#]|[^\s/:;,()\"'|<>{}\\])"  # of LaTeX: letters, escaped signs, places to break at
_ABSOLUTE_IN_LATEX = re.compile(rf"(?<![\w<>~./\\$}}-])/{BREAK}(?:{_NAME}+/{BREAK})+({_NAME}*)")


class Places:
    """The folders of a report's runs, and how they are written elsewhere."""

    def __init__(self, results: Path, data: Iterable[str] = ()) -> None:
        """``data``: the roots under which images of the data sets were found."""
        roots = {root: DATA for root in data if _is_absolute(root)}
        if len(Path.home().parts) > 1:
            roots.setdefault(str(Path.home()), HOME)  # a home with a blank in its name is a path nonetheless
        roots |= {str(place): "" for place in {results.absolute(), results.resolve()}}
        roots |= {str(results / "runs"): "runs"}  # where the command named the results from where it ran
        innermost_first = sorted(roots.items(), key=lambda item: (-len(item[0]), item))
        self._plain = [(_pattern(root), name) for root, name in innermost_first]
        self._latex = [(_latex_pattern(root), name) for root, name in innermost_first]

    @classmethod
    def of(cls, runs: Sequence[EvaluatedRun]) -> "Places":
        """The places of these runs, one at least, as their records and summaries name them."""
        results = runs[0].folder.parents[3]  # results/runs/<dataset>-<stain>/<row>/<seed>
        recorded = {root for run in runs if (root := _data_root(run)) is not None}
        return cls(results, recorded | {folder for run in runs for folder in _other_folders(run, recorded)})

    def cleared(self, runs: Iterable[EvaluatedRun]) -> list[EvaluatedRun]:
        """The runs with what they say rewritten: warnings, reasons, provenance. Where images lie is known as before."""
        return [run.model_copy(update=self._said_by(run)) for run in runs]

    def _said_by(self, run: EvaluatedRun) -> dict[str, Any]:
        return {
            "warnings": [self.sentence(warning) for warning in run.warnings],
            "skipped": {pair: self.sentence(reason) for pair, reason in run.skipped.items()},
            "provenance": self.value(run.provenance),
            "values": {
                name: reading.model_copy(update={"reason": reading.reason and self.sentence(reading.reason)})
                for name, reading in run.values.items()
            },
        }

    def sentence(self, text: str) -> str:
        """What an error or a warning says: a path that one of its clauses begins with may have blanks in it."""
        clauses = re.split("(: |; )", text)
        return "".join(self.text(clause) if _is_absolute(clause) else self._running(clause) for clause in clauses)

    def value(self, value: Any) -> Any:
        """A JSON value with all its texts rewritten, keys too."""
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def text(self, text: str) -> str:
        """A path, or any text that may hold paths."""
        if "/" not in text and "\\" not in text:
            return text
        known = self._known(text)
        if _is_absolute(known) and "\n" not in known:
            return f"{ELSEWHERE}/{_last(text)}"  # blanks belong to it here; in running text they end a path
        return _ABSOLUTE.sub(rf"{ELSEWHERE}/\1", known)

    def _running(self, text: str) -> str:
        return _ABSOLUTE.sub(rf"{ELSEWHERE}/\1", self._known(text))

    def _known(self, text: str) -> str:
        for pattern, name in self._plain:
            text = pattern.sub(partial(_joined, name), text)
        return text

    def latex(self, text: str) -> str:
        """LaTeX, in which names are escaped and long ones may break anywhere."""
        for pattern, name in self._latex:
            text = pattern.sub(partial(_joined, escape(name)), text)
        return _ABSOLUTE_IN_LATEX.sub(lambda found: f"{escape(ELSEWHERE)}/{found[1]}", text)

    def option(self, value: Any) -> Any:
        """A setting for a command line: inside a data root, a path from there will do."""
        if not isinstance(value, str):
            return value
        rewritten = self.text(value)
        return "." if rewritten == DATA else rewritten.removeprefix(f"{DATA}/")


def _pattern(root: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w<>~.-]){re.escape(root)}(?:[/\\]|(?![\w.-]))")


def _latex_pattern(root: str) -> re.Pattern[str]:
    letters = BREAK.join(re.escape(escape(letter) or " ") for letter in root)
    return re.compile(rf"(?<![\w<>~.-]){letters}{BREAK}(?:/{BREAK}|(?![\w.-]))")


def _joined(name: str, found: re.Match[str]) -> str:
    """What stands for a root and, where one follows, the stroke after it."""
    if found[0].removesuffix(r"\allowbreak{}").endswith(("/", "\\")):
        return f"{name}/" if name else ""
    return name or "."


def _data_root(run: EvaluatedRun) -> str | None:
    """The root that the run's record names."""
    try:
        root = read_json(run.folder / "run.json").get("data_root")
    except (OSError, ValueError, AttributeError):
        return None
    return root if isinstance(root, str) and len(Path(root).parts) > 1 else None


def _other_folders(run: EvaluatedRun, roots: Iterable[str]) -> list[str]:
    """Folders that hold images of the pairs which lie in none of these roots."""
    named = (file for pair in run.pairs for file in (pair.he, pair.ihc, pair.truth) if file is not None)
    parents = {os.path.dirname(file) for file in named}  # noqa: PTH120  # a Path for each of 100,000 files takes a minute
    absolute = {str(Path(parent)) for parent in parents if _is_absolute(parent)}
    folders = sorted(folder for folder in absolute if not any(Path(folder).is_relative_to(root) for root in roots))
    if not folders:
        return []
    shared = Path(os.path.commonpath(folders))
    # one for all, if it tells nothing of where the user keeps other things
    return [str(shared)] if len(shared.parts) > 2 and not Path.home().is_relative_to(shared) else folders


def _is_absolute(text: str) -> bool:
    return Path(text).is_absolute() or PureWindowsPath(text).is_absolute()


def _last(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]
