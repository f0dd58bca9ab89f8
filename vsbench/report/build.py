"""The whole report: data, figures, the page and, on request, LaTeX and a bundle."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import pandas as pd

from vsbench.cells import neutral_table
from vsbench.errors import RunError, UserError
from vsbench.files import write_json, write_text
from vsbench.report.ablations import suite_report
from vsbench.report.decision import Decision, decide
from vsbench.report.figures.drawn import Drawn
from vsbench.report.gallery import Gallery, complaints, draw_all
from vsbench.report.latex.appendix import appendix
from vsbench.report.latex.comparison import full_tables, paper_table
from vsbench.report.latex.decision import decision_latex
from vsbench.report.latex.document import document, figure, section
from vsbench.report.latex.literature import literature_tables
from vsbench.report.light import sentences
from vsbench.report.notation import escape, heading, prose, slug, stain_name
from vsbench.report.page.write import write_page
from vsbench.report.provenance.bundle import require_bundle, write_bundle
from vsbench.report.provenance.places import Places
from vsbench.report.provenance.records import as_csv, records
from vsbench.report.published import Paper
from vsbench.report.studies import read_studies, set_apart
from vsbench.report.tables import Comparison, compare, load_results, problems, tidy, unevaluated
from vsbench.report.verdict import decision_table

Warn = Callable[[str], None]


@dataclass
class Shown:
    """What is shown of one data set and stain; ``missing``: tables that could not be made, and why."""

    decision: Decision
    gallery: Gallery
    missing: list[str] = field(default_factory=list)

    @property
    def comparison(self) -> Comparison:
        """Its rows and columns."""
        return self.decision.comparison


def build_report(
    results: Path,
    out: Path,
    *,
    latex: bool = False,
    figures: bool = True,
    page: bool = True,
    interval: bool = False,
    papers: Sequence[Paper] = (),
    bundle: Path | None = None,
    protocol: str | None = None,
    warn: Warn = warnings.warn,
) -> list[Path]:
    """Write the report of all evaluated runs under ``results`` to the folder ``out``; what was written.

    Always the data: ``summary.csv``, ``decision.csv``, ``provenance.{csv,json}``, and what ablation studies gave.
    ``figures``: ``figures/``. ``page``: ``index.html`` with ``page/``. ``latex``: ``tables/`` and ``main.tex``;
    with ``interval`` it has 95 % limits over slides in place of deviations over seeds. ``papers``: their numbers
    stand beside. ``bundle``: a ZIP file of all that may be passed on. ``protocol``: which evaluations, where runs have
    several; else those at the images' own size.

    ``warn`` is told, one sentence each, what is not comparable, not evaluated or could not be drawn. Raises UserError
    where no run that is in order is evaluated.
    """
    if bundle is not None:
        require_bundle(bundle)  # before minutes of work
    studies = read_studies(results)
    everything = load_results(results, warn, protocol)
    if not everything:
        of = "" if protocol is None else f" in the protocol {protocol}"
        raise UserError(f"{results}: no evaluated run{of}; run vsbench evaluate --all first")
    places = Places.of(everything)
    everything = places.cleared(everything)
    runs, own = set_apart(everything, studies)
    if own:
        names = ", ".join(dict.fromkeys(study.suite for study in studies))
        warn(f"{len(own)} runs belong to ablation studies ({names}): they stand in the studies' tables alone")
    for folder in unevaluated(results):
        warn(f"{folder}: not evaluated, so not in the report; run vsbench evaluate {folder}")
    decisions = [_cleared(decide(comparison), places) for comparison in compare(runs)]
    shown = [Shown(d, draw_all(d, out / "figures", places) if figures else Gallery()) for d in decisions]
    comparisons, whole = [one.comparison for one in shown], compare(everything)
    by_name = {one.comparison.name: one.decision for one in shown}
    made = records(whole)
    tables = [decision_table(decision) for decision in decisions]
    parts = {
        "summary.csv": neutral_table(tidy(everything)).to_csv(index=False),
        "decision.csv": neutral_table(pd.concat(tables, ignore_index=True)).to_csv(index=False) if tables else "",
        "provenance.csv": as_csv(made),
    }
    if latex:
        parts |= _tables(shown, by_name, papers, interval, places)
        literature = {f"tables/{name}": text for name, text in literature_tables(papers, whole).items()}
        body = [*_body(shown, list(parts)), *_literature(papers, list(literature)), appendix(comparisons)]
        parts |= literature | {"main.tex": document("Virtual staining: results", body)}
    for name, text in parts.items():
        write_text(out / name, text)
    write_json(out / "provenance.json", made)
    written = [
        *(out / name for name in (*parts, "provenance.json")),
        *(path for one in shown for path in one.gallery.files),
    ]
    for suite in dict.fromkeys(study.suite for study in studies):
        written += suite_report(results, suite, out, warn=warn)
    if page:
        galleries = {one.comparison.name: one.gallery.drawn for one in shown}
        written += write_page(out, comparisons, by_name, galleries, papers, warn)
    for one in shown:
        turned = [f"{one.comparison.name}: {value}: {said}" for value, said in sentences(one.comparison).items()]
        for sentence in (*problems(one.comparison), *turned, *one.missing, *complaints(one.gallery)):
            warn(sentence)
    if bundle is not None:
        written.append(write_bundle(bundle, written, whole, results, out))
    return list(dict.fromkeys(written))


def _cleared(decision: Decision, places: Places) -> Decision:
    """The decision, with no path of this machine in its reasons."""
    return replace(
        decision,
        values={
            name: replace(value, caution=places.sentence(value.caution)) for name, value in decision.values.items()
        },
        left_out={name: places.sentence(why) for name, why in decision.left_out.items()},
        notes=tuple(map(places.sentence, decision.notes)),
    )


def _tables(
    shown: Sequence[Shown], decisions: Mapping[str, Decision], papers: Sequence[Paper], interval: bool, places: Places
) -> dict[str, str]:
    """The tables by file name."""
    tables = {}
    for dataset, group in groupby(shown, key=lambda one: one.comparison.dataset):
        members = list(group)
        try:
            comparisons = [one.comparison for one in members]
            tables[_paper_file(dataset)] = paper_table(comparisons, decisions, papers, interval)
        except RunError as error:
            members[0].missing.append(places.sentence(str(error)))
        for one in members:
            tables[_full_file(one.comparison)] = full_tables(one.comparison, decisions, papers, interval)
            try:
                tables[_decision_file(one.comparison)] = decision_latex(one.decision)
            except RunError as error:
                one.missing.append(places.sentence(str(error)))
    return tables


def _body(shown: Sequence[Shown], files: Sequence[str]) -> list[str]:
    """The parts of the document: per data set the paper's table, then per stain all values and the figures."""
    body = []
    for dataset, group in groupby(shown, key=lambda one: one.comparison.dataset):
        body.append(section(dataset))
        if _paper_file(dataset) in files:
            body.append(f"\\input{{{_paper_file(dataset)}}}")
        for one in group:
            where = f"{escape(dataset)}, {escape(stain_name(one.comparison.stain))}"
            body += [f"{prose(sentence)}.\n" for sentence in (*one.missing, *one.gallery.missing)]
            tables = (_decision_file(one.comparison), _full_file(one.comparison))
            body += [f"\\input{{{name}}}" for name in tables if name in files]
            body += [_figure(drawn, where) for drawn in one.gallery.drawn]
            body.append(r"\clearpage")
    return body


def _literature(papers: Sequence[Paper], files: Sequence[str]) -> list[str]:
    if not papers:
        return []
    return [section("As printed in the literature"), *(f"\\input{{{name}}}" for name in files), r"\clearpage"]


def _figure(drawn: Drawn, where: str) -> str:
    without = f" Without {prose('; '.join(drawn.missing))}." if drawn.missing else ""
    caption = f"{where}: {heading(drawn.caption)}{without}"
    return figure(f"figures/{drawn.file('pdf').name}", caption, f"fig:{drawn.stem.name}")


def _paper_file(dataset: str) -> str:
    return f"tables/methods-{slug(dataset)}.tex"


def _full_file(comparison: Comparison) -> str:
    return f"tables/all-{slug(comparison.name)}.tex"


def _decision_file(comparison: Comparison) -> str:
    return f"tables/decision-{slug(comparison.name)}.tex"
