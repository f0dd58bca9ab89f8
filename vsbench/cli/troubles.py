"""Troubles that are no fault of vsbench: of disks, rights, memory and names, in one line that says how to mend it."""

import errno
from typing import Any

NAME_IN_MESSAGE = 200  # characters
MENDS = {
    "ENOSPC": "make room on this disk (files or their number), or name a place on another",
    "EDQUOT": "your quota is used up: make room, or name a place on another disk",
    "EFBIG": "the file would be larger than this system or its limits (ulimit -f) allow",
    "EROFS": "nothing can be written there: name a place on another disk (--out, --results)",
    "EACCES": "you lack the right: change it (chmod), or name another place",
    "EPERM": "you lack the right: change it, or name another place",
    "EMFILE": "too many files are open: raise the limit (ulimit -n), or take fewer workers",
    "ENFILE": "too many files are open on this machine: end other programs, or try again later",
    "EAGAIN": "too many processes or threads: end other programs, or take fewer workers",
    "ENAMETOOLONG": "shorten the name, or name another place",
    "EILSEQ": "this disk takes no such name: rename it, or name another place",
    "ELOOP": "a link leads back to itself: remove it",
    "ENOENT": "look whether it was moved away or is a link to nowhere",
    "EEXIST": "move it away, or name another place",
    "ENOTDIR": "a file stands where a folder must be: move it away, or name another place",
    "EISDIR": "a folder stands where a file must be: move it away, or name another place",
    "ENOTEMPTY": "move away what lies there, or name another place",
    "EIO": "the disk can't be read or written: look after it",
    "ESTALE": "the network disk has changed: try again",
    "ENOMEM": "not enough memory; close other programs, or take smaller images or batches",
    "EBUSY": "another program uses it: end that, and try again",
    "ETXTBSY": "another program uses it: end that, and try again",
}
WRITING = (
    "ENOSPC",
    "EDQUOT",
    "EFBIG",
    "EIO",
    "EROFS",
)  # after which many a library's writer fails once more, its own way


def trouble(error: BaseException) -> str | None:
    """Where, what and how to mend it; None where an error is of another kind, such as a fault of ours."""
    if isinstance(error, OSError):
        where = " → ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        return f"{where}: {reason(error)}" if where else reason(error)
    if isinstance(error, MemoryError):
        return MENDS["ENOMEM"]
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop from "):  # of pathlib, until Python 3.13
        return f"{str(error).removeprefix('Symlink loop from ')}: {MENDS['ELOOP']}"
    if (name := _unwritable(error)) is not None:
        return f"{name}: not in UTF-8, so it can't be written down; rename it"
    if isinstance(error, UnicodeEncodeError):
        return f"{_around(error)}: can't be written as {error.encoding}; rename it, or set LC_ALL=C.UTF-8"
    beneath = error.__context__
    while beneath is not None:
        if isinstance(beneath, OSError) and _code(beneath) in WRITING:
            return trouble(beneath)
        beneath = beneath.__context__
    return None


def reason(error: OSError) -> str:
    """What the system says, and how to mend it."""
    what = error.strerror or str(error) or type(error).__name__
    mend = MENDS.get(_code(error))
    return f"{what}; {mend}" if mend else what


def _code(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "")


def _unwritable(error: BaseException) -> str | None:
    """The name that is no text, as those of files may be; None where that is not what is wrong."""
    if isinstance(error, UnicodeEncodeError) and error.encoding == "utf-8":
        return _around(error)
    if hasattr(error, "errors"):  # of pydantic, which is not imported for that
        first: dict[str, Any] = error.errors()[0]
        return str(first["input"])[:NAME_IN_MESSAGE] if first["type"] == "string_unicode" else None
    return None


def _around(error: UnicodeEncodeError) -> str:
    """What stands around the first sign that can't be written, in a text that may be a whole table."""
    before, after = error.object[: error.start], error.object[error.start :]
    for sign in '\n"\0,':
        before, after = before.rpartition(sign)[2], after.partition(sign)[0]
    return (before[-NAME_IN_MESSAGE:] + after)[:NAME_IN_MESSAGE]
