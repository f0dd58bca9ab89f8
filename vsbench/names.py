"""Names from outside: the one gate for those that become part of a path, and how any text is shown in one line."""

import re
import reprlib
import unicodedata
from pathlib import Path

from vsbench.errors import UsageError

NAME = re.compile(r"\w[\w.+-]*")
LONGEST = 100  # characters, and twice as many bytes: a file system takes 255, and a name is joined with others
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # on Windows no files
# control characters with line feeds and the ends of lines that Unicode has, what turns the direction of writing, and
# lone surrogates: bytes of a file name that are no UTF-8
_UNSEEN = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
UNSEEN = re.compile(f"[{_UNSEEN}]")
UNSEEN_IN_JSON = re.compile(f"[{_UNSEEN}]".replace(r"\x00-\x1f", ""))  # which JSON escapes, or has between its values


def checked_name(name: str, option: str) -> str:
    """``name``, composed (NFC), if it can be a file or folder on every system, and nothing but one.

    ``option``: where it was given, for the message: ``--stain``, or a file that was read. Raises UsageError.
    """
    composed = unicodedata.normalize("NFC", name)
    if not NAME.fullmatch(composed):
        raise UsageError(
            f"{option} {brief(name)}: use letters, digits, '.', '_', '+' and '-', beginning with a letter or digit"
        )
    if len(composed) > LONGEST or len(composed.encode()) > 2 * LONGEST:
        raise UsageError(f"{option} {brief(name)}: too long for a folder; {LONGEST} letters are the most")
    if composed.endswith(".") or DEVICES.fullmatch(composed):
        raise UsageError(f"{option} {brief(name)}: no name for a folder on every system; choose another")
    return composed


def named_after(folder: Path) -> str | None:
    """A folder's own last name, what no name may hold left out; None where nothing of it can be one."""
    try:
        return checked_name(re.sub(r"[^\w.+-]+", "-", folder.name).strip("-."), "folder")
    except UsageError:
        return None


class _Brief(reprlib.Repr):
    """Lists and texts by their beginnings; no number is written out that Python would take long for, or refuse to."""

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() <= 3 * LONGEST else f"a number of more than {LONGEST * 9 // 10} digits"


_BRIEF = _Brief()
_BRIEF.maxlevel, _BRIEF.maxstring, _BRIEF.maxother = 3, LONGEST // 2, LONGEST


def in_utf8(name: str) -> bool:
    """Whether a file's name is text, as tables and records hold it: on most systems it may be any bytes."""
    return not any("\ud800" <= sign <= "\udfff" for sign in name)


def brief(value: object) -> str:
    """A value from outside as it stands in a message: as Python writes it, and its beginning alone where it is long."""
    if isinstance(value, str):
        return repr(value) if len(value) <= LONGEST else f"{value[: LONGEST // 2]!r}…"
    text = _BRIEF.repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}…"


def said(error: object) -> str:
    """What an error says, in one line, and its beginning alone where it is long; of the system's errors the reason."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = " ".join(text[: 10 * LONGEST].split())
    return (line if len(line) <= 2 * LONGEST else f"{line[: 2 * LONGEST]}…") or type(error).__name__


def shown(text: str) -> str:
    r"""``text`` with what a terminal would act on escaped: ``\n``, ``\x1b``, ``\u202e``. The rest stays as it is."""
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape", "backslashreplace").decode(), text)


def shown_json(text: str) -> str:
    r"""JSON with the same escaped where JSON allows them raw; the values it holds stay what they are."""
    return UNSEEN_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
