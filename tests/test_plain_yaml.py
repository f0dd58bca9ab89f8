"""YAML and JSON from outside: read at once and bounded, or refused in one short line, wherever they are read."""

import json
import os
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from vsbench.config import parse_settings, read_settings
from vsbench.data import root
from vsbench.data.manifest import NAME, Manifest
from vsbench.engine.request import Request
from vsbench.errors import UsageError, UserError
from vsbench.files import read_json
from vsbench.names import brief, said
from vsbench.plain_yaml import DEEPEST, LONGEST, MOST, parse_yaml
from vsbench.reader_study.draw import read_key
from vsbench.records.images import Stamp
from vsbench.records.run import read_record
from vsbench.records.study import StudyRecord
from vsbench.records.summary import Summary
from vsbench.report.published import load

SHORT = 600  # characters of a message, the path in it left away
NINES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]\n" for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BAD = {
    "a number for a key": "1: 2",
    "no key": "null: 1",
    "a truth for a key": "yes: 1",
    "a list for a key": "? [a, b]\n: 1",
    "a key twice": "steps: 1\nsteps: 2",
    "a key twice, below": "a: {b: 1, b: 2}",
    "lists in lists": "steps: " + "[" * 3000 + "]" * 3000,
    "mappings in mappings": "{a: " * 3000,
    "lists by lines": "- " * 3000,
    "keys in keys": "? " * 3000,
    "5000 digits": "steps: " + "9" * 5000,
    "as many in base 16": "steps: 0x" + "f" * 5000,
    "a sum of sixties": "steps: " + "1:" * 5000 + "1",
    "a fraction": "lr: 0." + "1" * 5000,
    "no digits": "steps: 0x_",
    "infinity": "lr: .inf",
    "no number": "lr: .nan",
    "aliases of aliases": NINES,
    "a long text many times": f"a: &a {'x' * 90_000}\nb: [{', '.join(['*a'] * 2000)}]",
    "a list in itself": "a: &a [*a]",
    "an alias of nothing": "a: *b",
    "a tag of Python's": "a: !!python/object/apply:os.system [x]",
    "a tag": "a: !!set {b}",
    "merged": "<<: {a: 1}",
    "two documents": "a: 1\n---\nb: 2",
    "an escape beyond Unicode": 'a: "\\Uffffffff"',
    "half a character": 'a: "\\ud800"',
    "a directive": f"%YAML {'9' * 5000}.1\n---\na: 1",
    "not closed": "a: [1",
    "a control character": "a: \x07",
    "too many": "- 1\n" * (MOST + 1),
    "too long": "#" * (LONGEST + 1),
    "a long name": f"a: *{'x' * 100_000}",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_what_is_no_plain_yaml_is_refused_in_one_short_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_yaml(text)
    assert len(str(caught.value)) < SHORT
    assert "\n" not in str(caught.value)
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    for read in (lambda: read_settings(file, f"--config {file}"), lambda: Request.from_yaml(text)):
        with pytest.raises(UsageError) as usage:
            read()
        assert len(str(usage.value).replace(str(file), "")) < SHORT
    given = parse_settings([f"key={text}"])["key"]  # on the command line what is no YAML is text
    assert given == text


def test_what_is_plain_is_read_as_before() -> None:
    text = "a: [1, -2.5, .5, true, null, ~]\n'1': '2'\nd: 2026-01-01\ne: &e {f: g}\nh: *e\ni: |\n  x\n  y\n"
    assert parse_yaml(text) == {
        "a": [1, -2.5, 0.5, True, None, None],
        "1": "2",
        "d": "2026-01-01",
        "e": {"f": "g"},
        "h": {"f": "g"},
        "i": "x\ny\n",
    }
    assert parse_yaml("") is parse_yaml("# nothing") is parse_yaml("---\n...") is None
    assert parse_yaml("\ufeffa: 1") == {"a": 1}  # as an editor may begin a file
    deepest = "[" * DEEPEST + "]" * DEEPEST
    assert json.dumps(parse_yaml(deepest)) == deepest


def test_the_line_that_is_wrong_is_named() -> None:
    for text, line in (("a: 1\n2: 3", 2), ("a: 1\n\nb: [", 3), ("a: 1\na: 2", 2), ("a:\n - x\n - !t y", 3)):
        with pytest.raises(ValueError, match=f"^line {line}: "):
            parse_yaml(text)


READERS: dict[str, Callable[[Path], Any]] = {
    "settings": lambda file: read_settings(file, f"--config {file}"),
    "record": read_record,
    "summary": Summary.read,
    "stamp": Stamp.read,
    "study": StudyRecord.read,
    "key": read_key,
    "paper": lambda file: load(file.rename(file.with_suffix(".csv"))),
    "card": lambda file: load(file.rename(file.with_suffix(".yaml")).with_suffix(".csv")),
    "manifest": lambda file: Manifest(file.rename(file.with_name(NAME)).parent),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_what_is_no_file_is_not_waited_for(read: Callable[[Path], Any], tmp_path: Path) -> None:
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        file = folder / "x.json"
        with closing(socket.socket(socket.AF_UNIX)) as listening:
            if number == 0:
                os.mkfifo(file)
            elif number == 1:
                file.symlink_to("/dev/zero")
            else:
                listening.bind(str(file))
            (folder / "x.yaml").write_text("source: a paper") if read is READERS["paper"] else None
            with pytest.raises(UserError, match="not a file"):
                read(file)


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe{}",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"9" * 5000,
        b'{"schema": ' + b"9" * 5000 + b"}",
        b'{"schema": NaN}',
        b"{" + b'"k": 0,' * 3,
        b"\0" * 100,
        b"",
        b'"' + b"x" * 500_000 + b'"',
    ],
    ids=["utf-16", "lists", "objects", "digits", "digits below", "nan", "cut", "zeros", "empty", "long"],
)
def test_no_content_is_a_fault_of_ours(read: Callable[[Path], Any], content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(content)
    if read is READERS["paper"]:
        (tmp_path / "x.yaml").write_text("source: a paper")
    if read is READERS["settings"] and content in (b"", b'{"schema": NaN}'):  # to YAML nothing, and a text
        assert read(file) in ({}, {"schema": "NaN"})
        return
    with pytest.raises(UserError) as caught:
        read(file)
    assert "x." in str(caught.value) or NAME in str(caught.value)
    assert len(str(caught.value).replace(str(tmp_path), "")) < SHORT


@pytest.mark.parametrize("kind", ["record", "summary", "stamp", "study", "manifest", "key", "settings"])
def test_a_file_larger_than_its_kind_is_not_read(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    with file.open("wb") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(UserError, match="are the most"):
        READERS[kind](file)


def test_json_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    for text, reason in (
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "too many digits"),
        ("[1, -Infinity]", "-Infinity is no number"),
        ("{", "line 1 column 2"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=reason):
            read_json(file)
    file.write_bytes(b"ab\xff")
    with pytest.raises(ValueError, match="no UTF-8 text at byte 2"):
        read_json(file)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("data_root: 5", "data_root: no folder's name, but 5"),
        ("data_root: [a]", "no folder's name"),
        ("data_root: ''", "no folder's name"),
        ("data_root: ~nobody-of-this-name/x", "no such user"),
        ("just text", "expected lines of KEY: VALUE"),
        ("1: 2", "is no text"),
    ],
)
def test_the_settings_file_names_a_folder(
    content: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(root.VARIABLE, raising=False)
    monkeypatch.setattr(root, "settings_file", lambda: tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(UsageError, match=reason) as caught:
        root.find_data_root(None)
    assert str(tmp_path / "config.yaml") in str(caught.value)


def test_a_message_never_writes_out_what_it_was_given() -> None:
    wide: list[Any] = ["x" * 1000] * 1000
    for value in ("x" * 10**6, 10**5000, {"a" * 1000: wide}, [wide] * 1000, [10**5000], b"x" * 10**6, {1, 2}):
        assert len(brief(value)) <= 110
        assert len(said(ValueError(brief(value)))) <= 210
    assert len(said(ValueError("x " * 10**6))) <= 210
    assert said(FileNotFoundError(2, "No such file or directory", "there")) == "No such file or directory"
    assert brief({"a": [1, 2, 0.5, "x"], "b": None}) == "{'a': [1, 2, 0.5, 'x'], 'b': None}"
