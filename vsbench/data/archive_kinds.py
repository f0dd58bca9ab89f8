"""What a file that should be an archive is, by its first bytes and its name."""

import re
from pathlib import Path

from vsbench.errors import DataError, unreadable

UNPACK = "unpack it with a program that knows it, and give the folder"
AGAIN = "fetch it again"
KINDS = (  # first bytes, what they are, and what helps
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive, which is not read here", UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive, which is not read here", UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed with Zstandard (zst), which is not read here", UNPACK),
    (b"\x04\x22\x4d\x18", "packed with LZ4, which is not read here", UNPACK),
    (b"\x1f\x9d", "packed with compress (Z), which is not read here", UNPACK),
    (b"LZIP", "packed with lzip, which is not read here", UNPACK),
    (b"%PDF", "a PDF", "SOURCE is the folder, zip or tar that you downloaded"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "get it with git lfs pull"),
    (b"\x89PNG", "a PNG image", "SOURCE is a folder, zip or tar of images"),
    (b"\xff\xd8\xff", "a JPEG image", "SOURCE is a folder, zip or tar of images"),
)
PAGE = re.compile(rb"\s*(<!doctype html|<html|<head|<\?xml)", re.IGNORECASE)
ANSWER = re.compile(rb"\s*[{\[]\s*[\"{\]}]")
PART = re.compile(r"\.(\d{3,}|z\d\d|part\d+\.rar|r\d\d|part[a-z]{2}|a[a-z])$", re.IGNORECASE)


def require_archive(path: Path) -> None:
    """Raise DataError naming a file that is known to be something else than a whole zip or tar."""
    if not path.is_file():
        raise DataError(f"{path}: neither a folder nor a regular file; give what you downloaded")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise unreadable(path, error) from None
    if PART.search(path.name) or (path.suffix.lower() == ".zip" and path.with_suffix(".z01").exists()):
        raise DataError(
            f"{path}: a part of a split archive; join all parts in order (zip: zip -s 0; numbered: cat, or copy /b), "
            "or unpack them, and give the result"
        )
    for start, what, mend in KINDS:
        if head.startswith(start):
            raise DataError(f"{path}: {what}; {mend}")
    if not head:
        raise DataError(f"{path}: an empty file; {AGAIN}")
    bare = head.removeprefix(b"\xef\xbb\xbf")
    if PAGE.match(bare):
        raise DataError(f"{path}: a web page (HTML), no archive; sign in or accept the terms there, and {AGAIN}")
    if ANSWER.match(bare):
        raise DataError(f"{path}: a server's answer (JSON), no archive; {AGAIN}")
