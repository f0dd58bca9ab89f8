"""Options become validated configurations; mistakes become one line that names the field."""

import difflib
import re
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from vsbench.errors import UsageError
from vsbench.names import brief, said
from vsbench.plain_yaml import parse_yaml, read_yaml

FAULTS = 5  # that a message lists
EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", re.ASCII)  # a number, though not in YAML 1.1


def config_type(cls: type) -> Any:
    """The configuration class ``C`` of a class declared as ``class X(Contract[C])``; else the contract's own bound."""
    for ancestor in cls.__mro__:
        for base in getattr(ancestor, "__orig_bases__", ()):
            for argument in get_args(base):
                found = argument if isinstance(argument, type) else getattr(argument, "__bound__", None)
                if isinstance(found, type) and issubclass(found, BaseModel):
                    return found
    raise TypeError(f"{cls.__name__} names no configuration: write class {cls.__name__}(Contract[Config])")


def build_config(model: Any, options: dict[str, Any]) -> Any:
    """``model(**options)``; raises UsageError in one line that names the options that are wrong, and near misses."""
    try:
        return model.model_validate(options)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        more = [f"and {len(faults) - FAULTS} more"] if len(faults) > FAULTS else []
        raise UsageError("; ".join([_explain(e, model) for e in faults[:FAULTS]] + more)) from None


def read_settings(path: Path, where: str) -> dict[str, Any]:
    """The lines KEY: VALUE of a YAML file; none of an empty one. Raises UsageError, beginning with ``where``."""
    try:
        settings = read_yaml(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{where}: {said(error)}") from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise UsageError(f"{where}: expected lines of KEY: VALUE")
    return settings


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """``["lr=1e-4", "taps=[0,4]"]`` → values as YAML reads them (and 1e-4 as a number, which YAML 1.1 does not).

    Raises UsageError for a setting without ``=`` and for a key given twice.
    """
    parsed: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UsageError(f"{brief(setting)}: expected KEY=VALUE")
        if key in parsed:
            raise UsageError(f"{said(key)}: given twice")
        parsed[key] = _value(text)
    return parsed


def _value(text: str) -> Any:
    try:
        value = parse_yaml(text)
    except ValueError:
        return text
    if isinstance(value, dict) and value and all(v is None for v in value.values()):  # {stain} in a path is no mapping
        return text
    if value == text.strip() and EXPONENT.fullmatch(value):  # a string that was not quoted
        return float(value)
    return value


def _explain(error: Any, model: Any) -> str:
    name = said(".".join(str(part) for part in error["loc"])) if error["loc"] else ""
    if error["type"] != "extra_forbidden":
        message = said(error["msg"].removeprefix("Value error, "))
        if not name:  # of several options together
            return message
        given = "" if isinstance(error.get("input"), dict) else f", not {brief(error.get('input'))}"
        return f"{name}: {message}{given}"
    known = list(model.model_fields)
    near = difflib.get_close_matches(name, known, n=1)
    return f"unknown option {brief(name)}: " + (f"did you mean {near[0]!r}?" if near else f"one of {', '.join(known)}")
