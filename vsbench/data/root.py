"""Where the data sets lie: ``--data-root``, else VSBENCH_DATA, else the settings file."""

import os
from pathlib import Path

import platformdirs

from vsbench.config import read_settings
from vsbench.errors import UsageError
from vsbench.names import brief

VARIABLE = "VSBENCH_DATA"


def settings_file() -> Path:
    """The user's settings: a YAML file with ``data_root: FOLDER``."""
    return Path(platformdirs.user_config_dir("vsbench", appauthor=False)) / "config.yaml"


def find_data_root(option: Path | None) -> Path:
    """The folder that holds the data sets.

    Raises UsageError where none is set (saying how to) or where the folder does not exist.
    """
    source, root = _configured(option)
    if root is None:
        raise UsageError(f"no data root: give --data-root FOLDER, set {VARIABLE}, or write data_root: to {source}")
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder (data root from {source})")
    return root


def cache_folder() -> Path:
    """Where data sets that make their own images keep them."""
    return Path(platformdirs.user_cache_dir("vsbench", appauthor=False))


def _configured(option: Path | None) -> tuple[str, Path | None]:
    if option is not None:
        return "--data-root", option
    if value := os.environ.get(VARIABLE):
        return VARIABLE, _folder(value, VARIABLE)
    file = settings_file()
    if not file.exists():
        return str(file), None
    value = read_settings(file, str(file)).get("data_root")
    return str(file), None if value is None else _folder(value, f"{file}: data_root")


def _folder(value: object, where: str) -> Path:
    """The folder that a setting names, ``~`` being the user's own. Raises UsageError where it names none."""
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{where}: no folder's name, but {brief(value)}")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise UsageError(f"{where}: {brief(value)}: no such user; write the whole path") from None
