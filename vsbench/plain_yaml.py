"""YAML from outside, read as plain values: text, numbers, true, false, null, lists, and mappings with text for keys.

Whoever wrote the file, reading it takes little time and memory: how long it is, how deeply nested, and how many values
it has are bounded, each value counted as often as an alias repeats it. What YAML has beyond plain values is refused by
line: tags, keys that are no text or come twice, merged mappings, numbers that are not finite. Dates are text.
"""

import math
from pathlib import Path
from typing import Any

import yaml

from vsbench.files import read_text
from vsbench.names import brief, said

LONGEST = 1 << 18  # bytes of a file
DEEPEST = 20  # lists and mappings in each other
MOST = 10_000  # values; a long text counts as one for each hundred characters
DIGITS = 100  # characters of a number


def read_yaml(path: Path) -> Any:
    """The value that a file holds. Raises OSError where it can't be read, and ValueError as ``parse_yaml`` does."""
    return parse_yaml(read_text(path, LONGEST))


def parse_yaml(text: str) -> Any:
    """The value that a text is as YAML 1.1; of no value, None. Raises ValueError with one line: where, and what."""
    if len(text) > LONGEST:
        raise ValueError(f"longer than {LONGEST:,} characters")
    try:
        document = _Document(text)
    except yaml.reader.ReaderError as error:
        raise ValueError(f"position {error.position}: a character that YAML does not allow") from None
    try:
        return document.value()
    except _Refused:
        raise
    except yaml.MarkedYAMLError as error:
        why = said(error.problem or error.context)
    except (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
        why = said(error)  # PyYAML lets what Python says of a bad escape or directive pass through
    raise ValueError(f"line {document.loader.line + 1}: {why}")


class _Refused(ValueError):
    """What YAML may be, and we do not read."""


class _Document:
    """One document, built from the parser's events, so that nothing is expanded before it is counted."""

    def __init__(self, text: str) -> None:
        self.loader = yaml.SafeLoader(text)
        self.anchors: dict[str, tuple[Any, int]] = {}  # name → (value, how many values it is)
        self.count = 0

    def value(self) -> Any:
        """The document's value. Raises ValueError where there are two."""
        self._next()  # the start of the stream
        value = None
        if not isinstance(self._next(), yaml.StreamEndEvent):  # the start of a document
            value = self._value(self._next(), 0)
            self._next()  # its end
            after = self._next()
            if not isinstance(after, yaml.StreamEndEvent):
                raise _wrong(after, "a second document")
        return value

    def _next(self) -> Any:
        return self.loader.get_event()

    def _value(self, event: Any, depth: int) -> Any:
        if depth > DEEPEST:
            raise _wrong(event, f"nested more than {DEEPEST} deep")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise _wrong(event, f"no value is called &{brief(event.anchor)} before this line")
            value, count = self.anchors[event.anchor]
            self._add(count, event)
            return value
        if event.tag is not None:
            raise _wrong(event, f"the tag {brief(event.tag)}: only plain values are read")
        before = self.count
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
            self._add(1 + len(event.value) // 100, event)
        else:
            self._add(1, event)
            value = self._list(depth) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, self.count - before)
        return value

    def _list(self, depth: int) -> list[Any]:
        values = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            values.append(self._value(event, depth + 1))
        return values

    def _mapping(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._value(event, depth + 1)
            if not isinstance(key, str):
                raise _wrong(event, f"the key {brief(key)} is no text; write it in quotes")
            if key == "<<" and event.style is None:
                raise _wrong(event, "merged mappings (<<) are not read; write the keys out")
            if key in values:
                raise _wrong(event, f"the key {brief(key)} comes twice")
            values[key] = self._value(self._next(), depth + 1)
        return values

    def _scalar(self, event: Any) -> Any:
        """A value by YAML 1.1's rules for what is not quoted."""
        tag = self.loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        kind = tag.rpartition(":")[2]
        node = yaml.ScalarNode(tag, event.value)
        if kind == "null":
            return None
        if kind == "bool":
            return self.loader.construct_yaml_bool(node)
        if kind in ("int", "float"):
            if len(event.value) > DIGITS:
                raise _wrong(event, f"a number of more than {DIGITS} digits")
            try:
                number = getattr(self.loader, f"construct_yaml_{kind}")(node)
            except ValueError:  # 0x_
                number = math.nan
            if not math.isfinite(number):
                raise _wrong(event, f"{brief(event.value)} is no finite number")
            return number
        if any("\ud800" <= letter <= "\udfff" for letter in event.value):
            raise _wrong(event, "half a character (a lone surrogate)")
        return event.value

    def _add(self, count: int, event: Any) -> None:
        self.count += count
        if self.count > MOST:
            raise _wrong(event, f"more than {MOST:,} values, those that aliases repeat counted each time")


def _wrong(event: Any, what: str) -> _Refused:
    return _Refused(f"line {event.start_mark.line + 1}: {what}")
