"""Names of a download's files: those that may be unpacked, and can be written on any system."""

import unicodedata
from pathlib import Path, PurePosixPath

from vsbench.errors import DataError
from vsbench.names import brief, in_utf8

MAX_ENTRIES = 2_000_000  # the largest set we know of holds 186,000 images
MAX_DEPTH = 32  # folders; the deepest set we have met has six
MAX_PART = 255 - 32  # bytes of a part: file systems take 255, and a temporary file's name is a little longer
MAX_PATH = 1024  # bytes below the destination: macOS takes no more in all
BY_SYSTEMS = "__MACOSX"  # a folder that macOS adds to zips, with a shadow of every file


def unwritable(name: str) -> str | None:
    """Why a file of this name, with "/", can't be written; None where it can."""
    if not in_utf8(name):
        return "its name is not in UTF-8"
    encoded = name.encode()
    parts = encoded.split(b"/")
    if len(parts) > MAX_DEPTH:
        return f"{len(parts) - 1:,} folders deep, more than {MAX_DEPTH - 1}"
    if (longest := max(map(len, parts))) > MAX_PART or len(encoded) > MAX_PATH:
        return f"its name is too long ({longest:,} bytes in one part, {len(encoded):,} in all)"
    return None


def refused(path: Path, name: str, reason: str) -> DataError:
    """The error for an entry of an archive: in one line, however long the name."""
    return DataError(f"{path}: {brief(name)}: {reason}; nothing is unpacked: make the archive again without it")


class Names:
    """Names of an archive as they come; raises DataError for one that may not be unpacked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[str, str] = {}
        self.folders: dict[str, str] = {}
        self.count = 0

    def safe(self, name: str, is_folder: bool) -> str | None:
        """The name in its plain form; None for a folder, and for what systems add."""
        self.count += 1
        if self.count > MAX_ENTRIES:
            raise DataError(f"{self.path}: more than {MAX_ENTRIES:,} entries; unpack it, and give the folder")
        parts = PurePosixPath(name).parts
        if name.startswith("/") or "\0" in name or ":" in name.split("/")[0] or ".." in parts:
            raise refused(self.path, name, "it would leave the destination")
        if not parts or BY_SYSTEMS in parts:
            return None
        plain = "/".join(parts)
        if reason := unwritable(plain):
            raise refused(self.path, name, reason)
        key = one_form(plain)
        if not is_folder and (key in self.files or key in self.folders):
            raise refused(self.path, name, f"{self.files.get(key) or self.folders[key]!r} has the same name")
        for depth in range(1, len(parts) + is_folder):
            above = "/".join(parts[:depth])
            if one_form(above) in self.files:
                raise refused(self.path, name, f"{above!r} is a file and a folder")
            self.folders[one_form(above)] = above
        if is_folder:
            return None
        self.files[key] = plain
        return plain


def one_form(name: str) -> str:
    """Names that are one file on some file systems, which ignore case or Unicode form, are equal in this form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
