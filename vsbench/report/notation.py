"""How names, labels and numbers are written in LaTeX and in figures.

Names come from folders and files of others: nothing in them may act as markup. What is written here is ASCII, so that
it compiles with any engine and font encoding; a character without a LaTeX form appears as its code, ``[U+4E2D]``.
"""

import math
import re
import unicodedata
from collections.abc import Iterable

from vsbench.files import digest
from vsbench.markers import stain_name as stain_name  # part of the notation, and known below it, too

# value → decimals in print, where the paper prints that value
DECIMALS = {"fid": 3, "psnr": 2, "iod": 3}
DECIMALS_BY_UNIT = {"%": 2, "1": 4, "OD": 4, "dB": 2}
OTHER_DECIMALS = 3
LEAST_DIGITS = 3  # significant digits of the largest number of a column; small sets have a tiny IoD

BETTER = {"low": "lower is better", "high": "higher is better", "zero": "nearer to zero is better"}

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "{''}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_SIGNS = {
    "·": r"$\cdot$",
    "×": r"$\times$",
    "−": "$-$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "°": r"$^\circ$",
    "½": r"$\frac12$",
    "²": "$^2$",
    "³": "$^3$",
    "–": "--",
    "—": "---",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": r"\dots{}",
    "→": r"$\to$",
    "µ": r"$\mu$",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "œ": r"\oe{}",
    "ø": r"\o{}",
    "ł": r"\l{}",
    "Æ": r"\AE{}",
    "Œ": r"\OE{}",
    "Ø": r"\O{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
}
_GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
_GREEK = dict(zip("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ", _GREEK_NAMES.split(), strict=True))
_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0327": "c",
}
# the mathematics a heading may hold: a symbol with at most one index and one exponent, of letters and digits; ∞
_GROUP = (
    r"(?:[A-Za-z0-9]|\\(?:mathrm|mathit|mathbf)\{[A-Za-z0-9 ,]+\}|\{[A-Za-z0-9 ,]+\}|\{\\mathrm\{[A-Za-z0-9 ,]+\}\})"
)
_MATH = re.compile(
    r"(?:= ?)?(?:[A-Za-z0-9]+|\\infty|\\mu|\\(?:mathrm|mathit|mathbf)\{[A-Za-z0-9 ,]+\})?"
    rf"(?:_{_GROUP})?(?:\^{_GROUP})?"
)


def escape(text: str) -> str:
    """Any text as LaTeX that prints it and does nothing else. White space is one blank each; the result is ASCII."""
    return _join(unicodedata.normalize("NFC", " ".join(text.split())))


def prose(text: str) -> str:
    """``escape`` for running text: long words (digests, paths) may break after a sign or twelve letters."""
    words = unicodedata.normalize("NFC", " ".join(text.split())).split(" ")
    return " ".join(_breakable(word) if len(word) > 16 else _join(word) for word in words)


def without_mend(text: str) -> str:
    """``prose`` of why something is not there, without what to type against it: that is for the terminal."""
    return prose(re.sub(r" \([^()]*\b(?:vsbench|pip) [^()]*\)|; (?:run|give|add|take) [^;()]*$", "", text)).rstrip(".")


def code(text: str) -> str:
    """``prose`` in typewriter type, for protocol ids and digests."""
    return rf"\texttt{{{prose(text)}}}"


def heading(label: str) -> str:
    """A value's label as LaTeX. ``$…$`` stays where it is a plain symbol (``$R_p$``); anything else is escaped."""
    return "".join(f"${piece}$" if math_ else _join(piece) for piece, math_ in _pieces(label))


def mathtext(label: str) -> str:
    """A value's label as matplotlib writes it, under the same rule as ``heading``."""
    return "".join(f"${piece}$" if math_ else piece.replace("$", r"\$") for piece, math_ in _pieces(label))


def markup(label: str) -> list[tuple[str, str]]:
    """A value's label for a page, under the same rule as ``heading``: (element, text), element "", i, sub or sup."""
    parts: list[tuple[str, str]] = []
    for piece, math_ in _pieces(label):
        if not math_:
            parts.append(("", piece))
            continue
        for sign, group, symbol in re.findall(rf"(_|\^)({_GROUP})|([^_^]+)", piece):
            text = re.sub(r"\\math[a-z]+|[{}]", "", group or symbol).replace(r"\infty", "∞").replace(r"\mu", "µ")
            letters = "i" if text.isalpha() and "\\" not in symbol else ""
            parts.append(({"_": "sub", "^": "sup"}.get(sign, letters), text))
    return parts


def plain(label: str) -> str:
    """A value's label without markup, for measuring its width."""
    return re.sub(r"\\[a-z]+|[${}_^]", "", label)


def unit(text: str) -> str:
    """A unit as LaTeX: ``1e7 OD·px`` is written with a power of ten; the pure number ``1`` is empty."""
    if text == "1":
        return ""
    return re.sub(r"\b1e(\d+)\b", r"$10^{\1}$", escape(text))


def shorten(text: str, length: int) -> str:
    """The text on one line, cut with an ellipsis where it is longer than ``length`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"


def slug(name: str) -> str:
    """A file name for any name: itself if harmless, else what is harmless of it and six digits of its digest."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_+-]*", name):
        return name
    harmless = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "name"
    return f"{harmless}-{digest([name])[:6]}"


def decimals(name: str, unit_: str, numbers: Iterable[float]) -> int:
    """Decimals for a column of numbers: those of the value or its unit, more where all numbers are small."""
    finite = [abs(number) for number in numbers if math.isfinite(number)]
    if unit_ == "images":  # a count; its mean over seeds need not be whole
        return 0 if all(number.is_integer() for number in finite) else 1
    places = DECIMALS.get(name, DECIMALS_BY_UNIT.get(unit_, OTHER_DECIMALS))
    largest = max(finite, default=0.0)
    if largest == 0:
        return places
    return max(places, min(LEAST_DIGITS - 1 - math.floor(math.log10(largest)), 9))


def number(value: float, places: int) -> str:
    """A number as LaTeX with so many decimals; infinity as its sign, and a minus that is no hyphen."""
    text = r"$\infty$" if math.isinf(value) else f"{abs(value):.{places}f}"
    return f"$-${text}" if value < 0 and text.strip("0.") else text


def signed(value: float, places: int) -> str:
    """A difference as plain text with its sign and so many decimals; what rounds to nothing has none."""
    text = f"{abs(value):.{places}f}"
    return text if not text.strip("0.") else f"{'−' if value < 0 else '+'}{text}"


def _breakable(word: str) -> str:
    return r"\allowbreak{}".join(map(_join, re.findall(r"[^\w]{0,3}\w{1,12}[^\w]?|[^\w]{1,3}", word)))


def _join(text: str) -> str:
    parts = []
    for before, character in zip(" " + text, text, strict=False):
        ligature = before in "-`',!?" and character in "-`',"  # two hyphens are two hyphens, not a dash
        parts.append("{}" * ligature + _character(character))
    return "".join(parts)


def _character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if " " <= character <= "\x7e":
        return character
    if character in _SIGNS:
        return _SIGNS[character]
    if character in _GREEK:
        return f"$\\{_GREEK[character]}$"
    base, *marks = list(unicodedata.normalize("NFD", character))
    if len(marks) == 1 and marks[0] in _ACCENTS and base.isascii() and base.isalpha():
        letter = f"\\{base}" if base in "ij" else base  # these two lose their dot
        return f"\\{_ACCENTS[marks[0]]}{{{letter}}}"
    return f"[U+{ord(character):04X}]"


def _pieces(label: str) -> list[tuple[str, bool]]:
    """(text, is mathematics) pieces of a label; one piece of text where its mathematics is not plain."""
    pieces = " ".join(label.split()).split("$")
    if len(pieces) % 2 == 0 or not all(piece and _MATH.fullmatch(piece) for piece in pieces[1::2]):
        return [(" ".join(label.split()), False)]
    return [(piece, i % 2 == 1) for i, piece in enumerate(pieces) if piece]
