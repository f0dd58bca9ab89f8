"""The command line that trains a row: ``vsbench train``, as a user would type it."""

import shlex
from collections.abc import Mapping
from typing import Any

from vsbench.errors import UsageError
from vsbench.names import brief
from vsbench.report.provenance.commands import setting
from vsbench.studies.file import Training
from vsbench.studies.plan import PlannedRow


def train_words(row: PlannedRow, device: str = "auto") -> list[str]:
    """The words after ``vsbench``, so that the row's run folder is the very one that typing them makes.

    Raises UsageError for a setting that no command line can say.
    """
    r = row.request
    words = ["train", r.method, "--dataset", r.dataset, "--stain", r.stain, "--seed", str(r.seed)]
    for option, value in (
        ("--preset", r.preset if r.preset != "paper" else None),
        ("--label", r.label),
        ("--data-root", r.data_root),
        ("--data-name", r.data_name),
        ("--from", r.start_from),
        ("--device", device if device != "auto" else None),
        ("--results", r.results),
    ):
        words += [] if value is None else [option, str(value)]
    words += _settings("--set", r.options) + _settings("--data", r.dataset_options)
    return [*words, *_training_words(row.training), "--resume"]


def train_line(row: PlannedRow, device: str = "auto") -> str:
    """The same as one line of shell, ``vsbench`` included."""
    return shlex.join(["vsbench", *train_words(row, device)])


def _settings(option: str, settings: Mapping[str, Any]) -> list[str]:
    words = []
    for key, value in settings.items():
        text = setting(key, value)
        if text is None:
            raise UsageError(f"{key}: {brief(value)} can't be written on a command line; choose another value")
        words += [option, text]
    return words


def _training_words(training: Training) -> list[str]:
    """Those of ``training``'s options that differ from what ``vsbench train`` does by itself."""
    words: list[str] = []
    for key, value in training:
        option, usual = f"--{key.replace('_', '-')}", Training.model_fields[key].get_default(call_default_factory=True)
        if value == usual:
            continue
        if isinstance(value, list):
            words += [word for one in value for word in (option, str(one))]
        else:
            words += [option] if value is True else [option, str(value)]
    return words
