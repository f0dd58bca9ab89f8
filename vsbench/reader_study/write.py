"""The findings of a reader study as files: CSV for programs, and a page to read."""

from pathlib import Path

import pandas as pd

from vsbench.audit.document import Heading, Page, Table, Text
from vsbench.cells import neutral_table
from vsbench.files import write_text
from vsbench.reader_study.agreement import SCORES
from vsbench.reader_study.analyse import Findings
from vsbench.report.figures.readers import readers

METHOD = (
    "Means are over the first showing of each image; second showings serve the agreement within readers alone.",
    "Kappa: Cohen's, with quadratic weights, of two readers, or of a reader's first and second look. Alpha: "
    "Krippendorff's, ordinal, of all readers. Both are over the images of all methods together: the more the methods "
    "differ, the higher they are.",
    "Differences are of the mean score over readers, first less second, on the same tissue. Slides are drawn for the "
    "95 % intervals and exchanged for p, not readers: both hold for other tissue under these readers, and say nothing "
    "on other readers. The least and greatest difference that a single reader saw stand beside them.",
    "Holm's correction is over the pairs of methods of one data set and question. A difference that is not shown does "
    "not mean that methods are equal. Scores are ranks: their means take the steps of the scale for equal.",
)


def write_findings(findings: Findings, scores: pd.DataFrame, folder: Path) -> list[Path]:
    """Write a page (index.md, index.html), means.csv, agreement.csv, differences.csv, scores.csv, and the heat maps.

    Heat maps are ``heatmap-<n>.{pdf,png,csv}``, one of each question, numbered as in means.csv.
    """
    tables = {
        "means": findings.means,
        "agreement": findings.agreement,
        "differences": findings.differences,
        "scores": scores,
    }
    page = build_page(findings)
    texts = {"index.md": page.markdown(), "index.html": page.html()}
    texts |= {f"{name}.csv": neutral_table(table).to_csv(index=False) for name, table in tables.items()}
    for name, text in texts.items():
        write_text(folder / name, text)
    drawn = readers(findings.means, folder, (SCORES[0], SCORES[-1]))
    return [folder / name for name in texts] + [file for figure in drawn for file in figure.files]


def build_page(findings: Findings) -> Page:
    """Means, differences, agreement and how they were found; empty tables are left out."""
    page = Page("Reader study")
    if findings.notes:
        page.add(Text("Mind:", findings.notes))
    sections = {
        "Mean scores (1–5)": (findings.means, "all: the mean over readers. low, high: its 95 % interval."),
        "Differences between methods": (findings.differences, "low, high: 95 % interval."),
        "Agreement": (findings.agreement, "1 at best, 0 by chance. low, high: 95 % interval. n: images."),
    }
    for title, (table, note) in sections.items():
        if len(table):
            rows = [[_text(column, cell) for column, cell in row.items()] for row in table.to_dict("records")]
            page.add(Heading(title), Table([str(column) for column in table.columns], rows, note))
    page.add(Heading("How it was done"), Text("", METHOD))
    return page


def _text(column: object, cell: object) -> str:
    if not isinstance(cell, float):
        return str(cell)
    if pd.isna(cell):
        return "n/a"
    return f"{cell:.4f}" if column in ("p", "p_holm") else f"{cell:.2f}"
