"""Options become validated configurations; mistakes become one line that names the field."""

import difflib
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from vsbench.errors import UsageError


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
    """``model(**options)``; raises UsageError with one line per mistake, naming the option and a near miss."""
    try:
        return model(**options)
    except ValidationError as error:
        raise UsageError("; ".join(_explain(e, model) for e in error.errors())) from None


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """``["lr=1e-4", "taps=[0,4]"]`` → values as YAML reads them (and 1e-4 as a number, which YAML 1.1 does not).

    Raises UsageError for a setting without ``=`` and for a key given twice.
    """
    parsed: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UsageError(f"{setting!r}: expected KEY=VALUE")
        if key in parsed:
            raise UsageError(f"{key}: given twice")
        parsed[key] = _value(text)
    return parsed


def _value(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, dict) and set(value.values()) == {None}:  # {stain} in a path is no mapping
        return text
    if value == text.strip():  # a string that was not quoted
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _explain(error: Any, model: Any) -> str:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        message = error["msg"].removeprefix("Value error, ")
        if not name:  # of several options together
            return message
        given = "" if isinstance(error.get("input"), dict) else f", not {error.get('input')!r}"
        return f"{name}: {message}{given}"
    known = list(model.model_fields)
    near = difflib.get_close_matches(name, known, n=1)
    return f"unknown option {name!r}: " + (f"did you mean {near[0]!r}?" if near else f"one of {', '.join(known)}")
