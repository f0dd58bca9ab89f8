"""Where the data sets lie: ``--data-root``, else VSBENCH_DATA, else the settings file."""

import os
from pathlib import Path

import platformdirs
import yaml

from vsbench.errors import UsageError

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
        return VARIABLE, Path(value).expanduser()
    file = settings_file()
    if not file.is_file():
        return str(file), None
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: not a YAML file ({' '.join(str(error).split())})") from None
    value = settings.get("data_root") if isinstance(settings, dict) else None
    return str(file), Path(value).expanduser() if value else None
