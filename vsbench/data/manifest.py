"""What ``prepare`` put where: sizes, digests and sources, beside the images they speak of."""

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vsbench.data.member_names import unwritable
from vsbench.errors import DataError
from vsbench.files import file_digest, read_json, write_json
from vsbench.names import brief, said

NAME = "vsbench-manifest.json"
SCHEMA = 1
LARGEST = 1 << 28  # bytes: of a million files


@dataclass(frozen=True)
class Record:
    """A file that was prepared. ``source``: where it came from, ``archive: name`` for one out of an archive."""

    size: int
    sha256: str
    source: str


class Manifest:
    """Records by path below ``home``, with "/". Raises DataError where the file on disk is no manifest of ours."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.files: dict[str, Record] = {}
        path = home / NAME
        if path.exists():
            try:
                content: Any = read_json(path, LARGEST)
                if content["schema"] != SCHEMA:
                    raise ValueError(f"schema {brief(content['schema'])}")
                self.files = {name: _checked(name, Record(**record)) for name, record in content["files"].items()}
            except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
                raise DataError(f"{path}: no manifest that can be read ({said(error)}); move it away") from None

    def save(self) -> None:
        """Write it, atomically."""
        files = {name: asdict(record) for name, record in sorted(self.files.items())}
        write_json(self.home / NAME, {"schema": SCHEMA, "files": files})

    def change(self, file: Path, sizes_only: bool) -> str | None:
        """How a file that can be read differs from its record; None where it does not, or has none."""
        try:
            record = self.files.get(file.relative_to(self.home).as_posix())
            if record is None:
                return None
            if (size := file.stat().st_size) != record.size:
                return f"{size:,} bytes, prepared with {record.size:,}"
            if not sizes_only and file_digest(file) != record.sha256:
                return "other bytes than prepared"
        except (OSError, ValueError):  # another place; or unreadable, which the decoder says already
            return None
        return None

    def missing(self, folders: Collection[Path]) -> Iterator[Path]:
        """Files with a record, right in one of these folders, that are not there."""
        paths = (self.home / name for name in self.files)
        return (path for path in paths if path.parent in folders and not path.is_file())


def _checked(name: str, record: Record) -> Record:
    """The record, where it may be one of ours: files are looked for, and made, under these names."""
    types = (type(record.size), type(record.sha256), type(record.source))
    if types != (int, str, str) or name.startswith("/") or ".." in name.split("/") or unwritable(name):
        raise ValueError(f"an entry that prepare does not write: {brief(name)}")
    return record


def manifests(root: Path) -> list[Manifest]:
    """Those of a data root and of the folders right in it."""
    if not root.is_dir():
        return []
    homes = [root, *sorted(child for child in root.iterdir() if child.is_dir())]
    return [Manifest(home) for home in homes if (home / NAME).exists()]
