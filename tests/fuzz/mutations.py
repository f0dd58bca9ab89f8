"""What is done to a file: its bytes, the values in it where its format is known, or what lies in its place."""

import copy
import csv
import io
import json
import os
import socket
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from vsbench.engine.checkpoint import _digest

NUMBERS = (0, -1, 1, 2**31, 2**53, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, -1e308, 5e-324, 1e400, float("nan"))
TEXTS = (
    "", " ", "x", "nan", "inf", "-inf", "1e999", "1_000", "0x10", "NA", "None", "true", "١٢", "0" * 5000, "\n", "\0",
    "a\nerror: forged", "\x1b[31m", "\u202e", "\ud800", "é", "e\u0301", "../../../outside", "/dev/zero", "/", ".",
    "=cmd|' /C calc'!A0", "x" * 20_000, "con", "-rf", "{stain}", "%s", "$HOME", "native", "seed-0", "test", "he",
)  # fmt: skip
PLACES = ("fifo", "folder", "loop", "nowhere", "zero", "null", "empty", "socket", "sparse", "missing")
DEEP: tuple[Callable[[], Any], ...] = (lambda: _nested(20), lambda: _nested(900), lambda: [0] * 10_000)
CELLS = (*TEXTS, *map(str, NUMBERS[:-3]), "1e308", "-1e308", '"', '"open', "a,b", "\ufeff", "'=1")
YAML = (
    "? [a, b]\n: 1", "1: 2", "null: 3", "~:", "a: &a [*a]", "<<: {lr: 1}", "lr: !!python/object:os.system x",
    "lr: !!binary aGk=", "lr: 2001-01-01", "lr: 1:30:00", "lr: " + "9" * 5000, "[" * 3000, "{" * 3000, "- a",
    "--- 1\n--- 2", "%YAML 9.9\n---", "lr: *nowhere", "lr: !!float x", "lr: .nan", "lr: .inf", "!!set {a, b}", "\t",
    "lr: |\n  x", "@",
    "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nlr: [*c,*c,*c]",
    "lr: 1e400", "seed: -1", "steps: 1e20", "width: 1000000", "betas: [2, 3]", "taps: [[[0]]]", "lr: {}",
    "variant: []",
)  # fmt: skip


def mutate(file: Path, others: Sequence[Path], rng: Random) -> str:
    """Change what lies at ``file``, once to three times; what was done, in a few words."""
    content = BY_CONTENT.get("".join(file.suffixes[-1:]))
    done = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        kind = rng.choices((content or change_bytes, change_bytes, borrow, replace), (70, 15, 7, 8))[0]
        try:
            done.append(kind(file, rng) if kind is not borrow else borrow(file, rng.choice(others), rng))
        except Exception:  # what was changed before can't be read any more, or what came of it not be written
            if _is_bearable(file):
                done.append(change_bytes(file, rng))
        if not _is_bearable(file):
            break
    return " + ".join(filter(None, done))


def _is_bearable(file: Path) -> bool:
    return file.is_file() and file.stat().st_size < 1 << 24


def change_bytes(file: Path, rng: Random) -> str:
    """Bits turned, pieces cut out, doubled, moved, or numbers written over."""
    content = bytearray(file.read_bytes())
    if not content:
        file.write_bytes(rng.randbytes(8))
        return "bytes for nothing"
    at, length = rng.randrange(len(content)), rng.choice((1, 2, 4, 8, 64, 4096))
    if rng.random() < 0.5:
        at = min(at, int(rng.expovariate(1 / 64)))  # heads matter most
    kind = rng.choice(("bits", "number", "cut", "end", "double", "insert", "text", "zeros"))
    if kind == "bits":
        for _ in range(rng.choice((1, 1, 3, 20))):
            content[rng.randrange(len(content)) if rng.random() < 0.5 else at] ^= 1 << rng.randrange(8)
    elif kind == "number":
        width, order = rng.choice((1, 2, 4, 8)), rng.choice(("big", "little"))
        value = rng.choice((0, 1, 2**7, 2**15, 2**31, 2**63, 2**64 - 1, rng.getrandbits(64))) % 2 ** (8 * width)
        content[at : at + width] = value.to_bytes(width, order)  # type: ignore[arg-type]  # one of the two
    elif kind == "cut":
        del content[at : at + length]
    elif kind == "end":
        del content[at:]
    elif kind == "double":
        content[at:at] = content[at : at + length] * rng.choice((1, 1, 50))
    elif kind == "insert":
        content[at:at] = rng.randbytes(length)
    elif kind == "text":
        content[at:at] = rng.choice(TEXTS).encode("utf-8", "surrogatepass")
    else:
        content[at : at + length] = bytes(min(length, len(content) - at))
    file.write_bytes(content)
    return f"{kind} at {at}"


def borrow(file: Path, other: Path, rng: Random) -> str:
    """Another file's bytes, whole or spliced in."""
    theirs = other.read_bytes()
    if rng.random() < 0.5:
        file.write_bytes(theirs)
        return f"bytes of {other.name}"
    own = file.read_bytes()
    file.write_bytes(own[: rng.randrange(len(own) + 1)] + theirs[rng.randrange(len(theirs) + 1) :])
    return f"spliced with {other.name}"


def replace(file: Path, rng: Random) -> str:
    """Something that is no such file."""
    kind = rng.choice(PLACES)
    if kind == "sparse":
        os.truncate(file, 1 << 40)
        return kind
    file.unlink()
    if kind == "fifo":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(os.path.relpath(file))
    elif kind == "empty":
        file.touch()
    elif kind != "missing":
        file.symlink_to({"loop": file.name, "nowhere": "not/there", "zero": "/dev/zero", "null": "/dev/null"}[kind])
    return kind


def change_json(file: Path, rng: Random) -> str:
    """One value, key or type."""
    value, what = changed(json.loads(file.read_bytes()), rng)
    file.write_text(json.dumps(value, ensure_ascii=rng.random() < 0.5), encoding="utf-8", errors="surrogatepass")
    return what


def change_yaml(file: Path, rng: Random) -> str:
    """A line taken for another, or added."""
    lines = file.read_text(encoding="utf-8").split("\n")
    at, line = rng.randrange(len(lines)), rng.choice(YAML)
    if rng.random() < 0.3 and ":" in lines[at]:
        line = f"{lines[at].partition(':')[0]}: {rng.choice((*TEXTS, *map(str, NUMBERS[:-3])))}"
    lines[at : at + rng.randrange(2)] = [line]
    file.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
    return f"line {at} {line[:30]!r}"


def change_csv(file: Path, rng: Random) -> str:
    """A cell, a column or a line."""
    rows = list(csv.reader(io.StringIO(file.read_text(encoding="utf-8"))))
    row, column = rng.randrange(len(rows)), rng.randrange(len(rows[0]))
    kind = rng.choice(("cell", "cell", "cell", "column", "gone", "twice", "line gone", "line twice", "order", "more"))
    if kind == "cell":
        rows[row][column] = rng.choice(CELLS)
    elif kind == "column":
        text = rng.choice(CELLS)
        rows[1:] = [[*r[:column], text, *r[column + 1 :]] for r in rows[1:]]
    elif kind == "gone":
        rows = [r[:column] + r[column + 1 :] for r in rows]
    elif kind == "twice":
        rows = [[*r, r[column]] for r in rows]
    elif kind == "line gone":
        del rows[row]
    elif kind == "line twice":
        rows.append(rows[row])
    elif kind == "order":
        rng.shuffle(rows)
    else:
        rows[row].append(rng.choice(CELLS))
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=rng.choice(("\n", "\n", "\r\n"))).writerows(rows)
    file.write_text(out.getvalue(), encoding="utf-8", errors="surrogatepass")
    return f"{kind} {row}, {column}"


def change_arrays(file: Path, rng: Random) -> str:
    """One array of an npz file."""
    with np.load(file) as stored:
        arrays = dict(stored)
    arrays, what = changed(arrays, rng)
    np.savez(file, **{str(key).replace("\0", ""): value for key, value in arrays.items()})
    return what


def change_state(file: Path, rng: Random) -> str:
    """One value of a training state."""
    value, what = changed(torch.load(file, weights_only=True), rng)
    torch.save(value, file)
    return what


def change_tensors(file: Path, rng: Random) -> str:
    """One tensor, or the method and settings inside, under a digest that holds."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    tensors: dict[str, Any] = load_file(file)
    if rng.random() < 0.5:
        key = rng.choice(sorted(metadata))
        if key == "config":
            config, what = changed(json.loads(metadata[key]), rng)
            metadata[key] = json.dumps(config)
        else:
            metadata[key], what = rng.choice(TEXTS[:-1]), key
    else:
        tensors, what = changed(tensors, rng)
    metadata["digest"] = _digest(tensors, metadata)
    save_file(tensors, file, metadata)
    return what


def change_zip(file: Path, rng: Random) -> str:
    """One entry: what is in it, its name, one more, one less, or one twice."""
    with zipfile.ZipFile(file) as packed:
        entries, comment = [(name, packed.read(name)) for name in packed.namelist()], packed.comment
    at = rng.randrange(len(entries))
    name, content = entries[at]
    kind = rng.choice(("inside", "inside", "inside", "inside", "name", "more", "gone", "twice"))
    what = f"{kind} {name}"
    if kind == "inside":
        with tempfile.TemporaryDirectory() as place:
            inner = Path(place, f"inner{Path(name).suffix}")
            inner.write_bytes(content)
            what += f" {BY_CONTENT.get(inner.suffix, change_bytes)(inner, rng)}"
            entries[at] = (name, inner.read_bytes())
    elif kind == "name":
        entries[at] = (rng.choice((*TEXTS, f"{name}/", f"top/{name}", f"../{name}", name.upper())), content)
    elif kind == "more":
        entries.insert(at, (rng.choice((*TEXTS, "run.py", "generator.pt", f"{name}/inside")), rng.randbytes(8)))
    elif kind == "gone":
        del entries[at]
    else:
        entries.append((name, content))
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", rng.choice((0, zipfile.ZIP_DEFLATED))) as packed:
        warnings.simplefilter("ignore")  # of a name that is there twice
        packed.comment = comment
        for name, content in entries:
            packed.writestr(name, content)
    file.write_bytes(out.getvalue())
    return what


def changed(value: Any, rng: Random) -> tuple[Any, str]:
    """A copy of nested dictionaries and lists with one place changed, and which."""
    value = copy.deepcopy(value)
    places = list(_places(value, ""))
    if not places:
        return _other(value, value, rng), "all"
    holder, key, name = rng.choice(places)
    kind = rng.choice(("other", "other", "other", "gone", "named", "swapped"))
    if kind == "gone":
        del holder[key]
    elif kind == "named" and isinstance(holder, dict):
        holder[rng.choice((*TEXTS, *holder))] = holder.pop(key)
    elif kind == "swapped":
        holder[key] = copy.deepcopy(rng.choice(places)[0])
    else:
        holder[key] = _other(holder[key], value, rng)
    return value, f"{kind} {name[:60]}"


def _places(value: Any, name: str) -> Iterator[tuple[Any, Any, str]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key, f"{name}.{key}"
        yield from _places(item, f"{name}.{key}")


def _other(old: Any, whole: Any, rng: Random) -> Any:
    if isinstance(old, np.ndarray) and rng.random() < 0.9:
        return _other_array(old, rng)
    if isinstance(old, torch.Tensor) and rng.random() < 0.9:
        return torch.from_numpy(np.array(_other_array(old.numpy(), rng)))
    if isinstance(old, str) and rng.random() < 0.5:
        return rng.choice(TEXTS)
    if isinstance(old, int | float) and rng.random() < 0.5:
        return rng.choice(NUMBERS)
    makers = (lambda: rng.choice(NUMBERS), lambda: rng.choice(TEXTS), *DEEP, lambda: None, lambda: True, list, dict)
    return rng.choice(makers)()


def _other_array(old: np.ndarray[Any, Any], rng: Random) -> np.ndarray[Any, Any]:
    new = np.array(old)
    kind = rng.randrange(8)
    if kind == 0 and new.size and new.dtype.kind in "fiu":
        new.flat[rng.randrange(new.size)] = rng.choice((0, 1, np.nan, np.inf)) if new.dtype.kind == "f" else 1
    elif kind == 1 and new.dtype.kind in "fiu":
        with np.errstate(all="ignore"):
            new = new.astype(rng.choice(("f2", "f8", "i8", "u1", "?", "c8")))
    elif kind == 2:
        new = new[..., None]
    elif kind == 3:
        new = new.reshape(-1)
    elif kind == 4:
        new = new[:0]
    elif kind == 5 and new.ndim:
        new = new[:-1]
    elif kind == 6 and new.dtype.kind == "f":
        new = np.full_like(new, rng.choice((0.0, 1e30, np.nan, np.inf)))
    else:
        new = np.array(rng.choice((0, 1.5, 1)))
    return new


def _nested(levels: int) -> Any:
    value: Any = 0
    for number in range(levels):
        value = [value] if number % 2 else {"x": value}
    return value


BY_CONTENT: dict[str, Callable[[Path, Random], str]] = {
    ".json": change_json,
    ".csv": change_csv,
    ".yaml": change_yaml,
    ".npz": change_arrays,
    ".pt": change_state,
    ".safetensors": change_tensors,
    ".zip": change_zip,
}
