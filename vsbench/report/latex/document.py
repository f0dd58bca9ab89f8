"""A LaTeX document that holds the tables and figures of a report; needs no more than texlive-latex-recommended."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vsbench.report.notation import escape

HALF = 5.0  # inches: figures as wide as this stand side by side, a little smaller than they are
HEAD = r"""% Compile with pdflatex.
\documentclass[10pt,a4paper]{article}
\usepackage[margin=2cm]{geometry}
\IfFileExists{lmodern.sty}{\usepackage[T1]{fontenc}\usepackage{lmodern}}{}
\usepackage{booktabs}
\usepackage{array}
\usepackage{longtable}
\usepackage{graphicx}
\setlength{\parindent}{0pt}
\setlength{\parskip}{4pt}
\setlength{\abovecaptionskip}{4pt}
\setlength{\belowcaptionskip}{4pt}
% tables and figures stay near their heading, several on a page
\renewcommand{\topfraction}{0.95}
\renewcommand{\bottomfraction}{0.95}
\renewcommand{\textfraction}{0.05}
\renewcommand{\floatpagefraction}{0.7}
\makeatletter
\setlength{\@fptop}{0pt}
\setlength{\@fpsep}{16pt}
\long\def\@makecaption#1#2{\vskip\abovecaptionskip{\footnotesize#1: #2\par}\vskip\belowcaptionskip}
\makeatother
\setcounter{totalnumber}{8}
\setcounter{topnumber}{8}
\setcounter{dbltopnumber}{8}
% a figure at its own size, made smaller where it is wider than the line
\newcommand{\fitted}[1]{\sbox0{\includegraphics{#1}}%
  \ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi}
% a line under a table is printed where it comes first
\newif\ifvsbenchelsewhere
\newcommand{\vsbenchline}[2]{\ifcsname vsbench@#1\endcsname\global\vsbenchelsewheretrue
  \else\global\expandafter\let\csname vsbench@#1\endcsname\relax#2\par\fi}
\newcommand{\vsbenchlinesend}{\ifvsbenchelsewhere What else must be minded stands under the tables before.\par\fi
  \global\vsbenchelsewherefalse}
\begin{document}
"""


def document(title: str, body: Iterable[str]) -> str:
    """The document: a title (any text) and parts that are LaTeX already."""
    return f"{HEAD}{{\\centering\\Large {escape(title)}\\par}}\n" + "\n".join(body) + "\n\\end{document}\n"


def section(title: str) -> str:
    """A heading (any text) without a number."""
    return f"\\section*{{{escape(title)}}}"


@dataclass(frozen=True)
class Figure:
    """``path`` is a harmless file name and ``label`` a harmless name; ``caption`` is LaTeX; ``width`` in inches."""

    path: str
    caption: str
    label: str
    width: float


def figures_in_rows(figures: Sequence[Figure]) -> list[str]:
    """Floats of figures: two that are narrow stand side by side, in their order."""
    rows: list[list[Figure]] = []
    for figure in figures:
        if rows and len(rows[-1]) == 1 and max(figure.width, rows[-1][0].width) <= HALF:
            rows[-1].append(figure)
        else:
            rows.append([figure])
    return [_float(row) for row in rows]


def _float(row: Sequence[Figure]) -> str:
    share = 1.0 if len(row) == 1 else 0.485
    boxes = [
        f"\\begin{{minipage}}[t]{{{share}\\linewidth}}\\centering\n\\fitted{{{one.path}}}\n"
        f"\\caption{{{one.caption}}}\\label{{{one.label}}}\n\\end{{minipage}}"
        for one in row
    ]
    return "\\begin{figure}[htbp]\n" + "\\hfill\n".join(boxes) + "\n\\end{figure}\n"
