"""What all tables in LaTeX share: notes under them, numbers below each other, and the float that fits them to the page.

Columns are plain ``r`` ones: siunitx's would not hold a number with marks, spread and note in one cell. Numbers stand
below each other because each cell reserves the room that the widest of its column needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from vsbench.files import digest

MARKS = {1: r"\textbf{%s}", 2: r"\underline{%s}"}  # best and second best
ALIKE = r"\dag"  # not distinguishable from the best


@dataclass
class Footnotes:
    """Letters for notes under a table; equal notes share one."""

    texts: list[str] = field(default_factory=list)

    def letter(self, text: str) -> str:
        """The letter of a note (already LaTeX)."""
        if text not in self.texts:
            self.texts.append(text)
        return _letter(self.texts.index(text))

    def mark(self, text: str) -> str:
        """The raised letter for a note (already LaTeX); it takes no room, so that columns stay aligned."""
        return raised([self.letter(text)])

    def lines(self) -> list[str]:
        """The notes with their letters."""
        return [rf"\textsuperscript{{{_letter(i)}}}\,{text}." for i, text in enumerate(self.texts)]


def raised(signs: Sequence[str]) -> str:
    """Signs and letters (already LaTeX) above the line, taking no room; empty for none."""
    return rf"\rlap{{\textsuperscript{{{','.join(signs)}}}}}" if signs else ""


def room(decimals: int, most: int) -> str:
    """The blank that a number of so many decimals needs, so that its point stands below that of one with ``most``."""
    if decimals >= most:
        return ""
    return rf"\phantom{{{'' if decimals else '.'}{'0' * (most - decimals)}}}"


def centred(text: str, columns: int = 1) -> str:
    """A cell over so many columns; nothing for an empty one."""
    return f"\\multicolumn{{{columns}}}{{c}}{{{text}}}" if text else ""


def headings(groups: Sequence[tuple[str, int]], before: int = 1) -> list[str]:
    """Two lines: headings (LaTeX) over so many columns each, and the rules below; ``before`` columns stay empty."""
    rules, start = [], before + 1
    for _, count in groups:
        rules.append(f"\\cmidrule(lr){{{start}-{start + count - 1}}}")
        start += count
    return [" & ".join([*[""] * before, *(centred(text, count) for text, count in groups)]) + r" \\", "".join(rules)]


def table_float(caption: str, label: str, tabular: Sequence[str], notes: Footnotes, under: Sequence[str]) -> str:
    """A float of one table, its notes and the lines under it; what is wider or higher than the page is made smaller.

    A line may stand under many tables of a document: it is written so that the document prints it where it comes first.
    """
    return "\n".join(
        [
            "% Needs booktabs and graphicx.",
            r"\providecommand{\vsbenchline}[2]{#2\par}\providecommand{\vsbenchlinesend}{}",
            r"\begin{table*}[htbp]",
            r"\sbox2{\begin{minipage}{\linewidth}",
            r"\centering\small\setlength{\tabcolsep}{4pt}",
            f"\\caption{{{caption}}}\\label{{{label}}}",
            r"\sbox0{%",
            *tabular,
            "}%",
            r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
            r"\par\smallskip",
            r"\begin{minipage}{\linewidth}\footnotesize\raggedright",
            *(f"{line}\\par" for line in notes.lines()),
            *(rf"\vsbenchline{{{digest([line])[:12]}}}{{{line}}}" for line in dict.fromkeys(under)),
            r"\vsbenchlinesend",
            r"\end{minipage}",
            r"\end{minipage}}%",
            r"\centering",
            r"\ifdim\dimexpr\ht2+\dp2\relax>0.99\textheight\resizebox*{!}{0.99\textheight}{\usebox2}\else\usebox2\fi",
            r"\end{table*}",
            "",
        ]
    )


def _letter(index: int) -> str:
    letters = ""
    while index >= 0:
        letters, index = chr(97 + index % 26) + letters, index // 26 - 1
    return letters
