"""A LaTeX document that holds the tables and figures of a report; needs no more than texlive-latex-recommended."""

from collections.abc import Iterable

from vsbench.report.notation import escape

HEAD = r"""% Compile with: pdflatex main.tex
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
\makeatother
\setcounter{totalnumber}{8}
\setcounter{topnumber}{8}
\setcounter{dbltopnumber}{8}
% a figure at its own size, made smaller where it is wider than the line
\newcommand{\fitted}[1]{\sbox0{\includegraphics{#1}}%
  \ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi}
\begin{document}
"""


def document(title: str, body: Iterable[str]) -> str:
    """The document: a title (any text) and parts that are LaTeX already."""
    return f"{HEAD}\\begin{{center}}\\Large {escape(title)}\\end{{center}}\n" + "\n".join(body) + "\n\\end{document}\n"


def section(title: str) -> str:
    """A heading (any text) without a number."""
    return f"\\section*{{{escape(title)}}}"


def figure(path: str, caption: str, label: str) -> str:
    """A figure float. ``path`` is a harmless file name and ``label`` a harmless name; ``caption`` is LaTeX."""
    return (
        "\\begin{figure}[htbp]\n\\centering\n"
        f"\\fitted{{{path}}}\n\\caption{{{caption}}}\\label{{{label}}}\n\\end{{figure}}\n"
    )
