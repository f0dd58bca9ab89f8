"""The whole report: CSV, figures and, on request, LaTeX."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from vsbench.errors import DataError, RunError, UserError
from vsbench.files import write_text
from vsbench.report.document import document, figure, section
from vsbench.report.figures import Drawn, scatter
from vsbench.report.latex import full_tables, paper_table
from vsbench.report.notation import escape, prose, slug, stain_name
from vsbench.report.sheets import RULE, image_sheets
from vsbench.report.tables import Comparison, compare, load_results, problems, tidy, unevaluated

SCATTER_CAPTION = (
    r"$R_p$ over $R_c$. Grey lines join points of equal $R_\mathrm{avg}$, which is printed at their end. "
    "Filled marks: methods (triangles: images made elsewhere); open marks: references. "
    "Bars: standard deviation over seeds."
)
SHEET_CAPTION = (
    f"test images. Rows, with slide and id: {prose(RULE)}. Below a tile: its mean optical density of DAB. "
    "Of a method with several seeds the first is shown."
)


@dataclass
class Shown:
    """What is shown of one data set and stain; ``missing``: figures that could not be drawn, and why."""

    comparison: Comparison
    scatters: list[Drawn] = field(default_factory=list)
    sheets: list[Drawn] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[Path]:
        """The files of all figures."""
        return [path for drawn in (*self.scatters, *self.sheets) for path in drawn.files]


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
    shown = [_draw(comparison, out / "figures", figures) for comparison in compare(runs)]
    parts = {"summary.csv": tidy(runs).to_csv(index=False)}
    if latex:
        parts |= _tables(shown)
        parts["main.tex"] = document("Virtual staining: results", _body(shown, list(parts)))
    for name, text in parts.items():
        write_text(out / name, text)
    for one in shown:
        for sentence in (*problems(one.comparison), *one.missing):
            warn(sentence)
        for drawn in (*one.scatters, *one.sheets):
            for row in drawn.missing:
                warn(f"{drawn.stem.name}: drawn without {row}")
    return [*(out / name for name in parts), *(path for one in shown for path in one.files)]


def _draw(comparison: Comparison, folder: Path, wanted: bool) -> Shown:
    shown = Shown(comparison)
    if wanted:
        try:
            shown.scatters.append(scatter(comparison, folder))
        except RunError as error:
            shown.missing.append(str(error))
        try:
            shown.sheets += image_sheets(comparison, folder)
        except (RunError, DataError) as error:  # results often travel without their images
            shown.missing.append(f"{comparison.name}: no sheet of images; {error}")
    return shown


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
            body += [f"{prose(sentence)}.\n" for sentence in one.missing]
            body.append(f"\\input{{{_full_file(one.comparison)}}}")
            body += [_figure(drawn, f"{where}: {SCATTER_CAPTION}") for drawn in one.scatters]
            body += [_figure(drawn, f"{where}: {SHEET_CAPTION}") for drawn in one.sheets]
            body.append(r"\clearpage")
    return body


def _figure(drawn: Drawn, caption: str) -> str:
    without = f" Without {prose('; '.join(drawn.missing))}." if drawn.missing else ""
    return figure(f"figures/{drawn.file('pdf').name}", caption + without, f"fig:{drawn.stem.name}")


def _paper_file(dataset: str) -> str:
    return f"tables/methods-{slug(dataset)}.tex"


def _full_file(comparison: Comparison) -> str:
    return f"tables/all-{slug(comparison.name)}.tex"
