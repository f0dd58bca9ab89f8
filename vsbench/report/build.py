"""The whole report: CSV, figures and, on request, LaTeX."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from vsbench.errors import RunError, UserError
from vsbench.files import write_text
from vsbench.report.document import document, figure, section
from vsbench.report.figures.drawn import Drawn
from vsbench.report.gallery import Gallery, complaints, draw_all
from vsbench.report.latex import full_tables, paper_table
from vsbench.report.notation import escape, heading, prose, slug, stain_name
from vsbench.report.tables import Comparison, compare, load_results, problems, tidy, unevaluated


@dataclass
class Shown:
    """What is shown of one data set and stain; ``missing``: tables that could not be made, and why."""

    comparison: Comparison
    gallery: Gallery
    missing: list[str] = field(default_factory=list)


def build_report(
    results: Path,
    out: Path,
    latex: bool,
    figures: bool = True,
    warn: Callable[[str], None] = warnings.warn,
) -> list[Path]:
    """Write ``summary.csv``, ``figures/`` and (``latex``) ``tables/`` and ``main.tex`` under ``out``; what was written.

    ``warn`` is told, one sentence each, what is not comparable, not evaluated or could not be drawn. Raises UserError
    where no run is evaluated, RunError naming a summary that is damaged.
    """
    runs = load_results(results)
    if not runs:
        raise UserError(f"{results}: no evaluated run; run vsbench evaluate --all first")
    for folder in unevaluated(results):
        warn(f"{folder}: not evaluated, so not in the report; run vsbench evaluate {folder}")
    shown = [Shown(c, draw_all(c, out / "figures") if figures else Gallery()) for c in compare(runs)]
    parts = {"summary.csv": tidy(runs).to_csv(index=False)}
    if latex:
        parts |= _tables(shown)
        parts["main.tex"] = document("Virtual staining: results", _body(shown, list(parts)))
    for name, text in parts.items():
        write_text(out / name, text)
    for one in shown:
        for sentence in (*problems(one.comparison), *one.missing, *complaints(one.gallery)):
            warn(sentence)
    return [*(out / name for name in parts), *(path for one in shown for path in one.gallery.files)]


def _tables(shown: list[Shown]) -> dict[str, str]:
    """The tables by file name."""
    tables = {}
    for dataset, group in groupby(shown, key=lambda one: one.comparison.dataset):
        members = list(group)
        try:
            tables[_paper_file(dataset)] = paper_table([one.comparison for one in members])
        except RunError as error:
            members[0].missing.append(str(error))
        for one in members:
            tables[_full_file(one.comparison)] = full_tables(one.comparison)
    return tables


def _body(shown: list[Shown], files: list[str]) -> list[str]:
    """The parts of the document: per data set the paper's table, then per stain all values and the figures."""
    body = []
    for dataset, group in groupby(shown, key=lambda one: one.comparison.dataset):
        body.append(section(dataset))
        if _paper_file(dataset) in files:
            body.append(f"\\input{{{_paper_file(dataset)}}}")
        for one in group:
            where = f"{escape(dataset)}, {escape(stain_name(one.comparison.stain))}"
            body += [f"{prose(sentence)}.\n" for sentence in (*one.missing, *one.gallery.missing)]
            body.append(f"\\input{{{_full_file(one.comparison)}}}")
            body += [_figure(drawn, where) for drawn in one.gallery.drawn]
            body.append(r"\clearpage")
    return body


def _figure(drawn: Drawn, where: str) -> str:
    without = f" Without {prose('; '.join(drawn.missing))}." if drawn.missing else ""
    return figure(
        f"figures/{drawn.file('pdf').name}", f"{where}: {heading(drawn.caption)}{without}", f"fig:{drawn.stem.name}"
    )


def _paper_file(dataset: str) -> str:
    return f"tables/methods-{slug(dataset)}.tex"


def _full_file(comparison: Comparison) -> str:
    return f"tables/all-{slug(comparison.name)}.tex"
