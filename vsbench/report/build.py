"""The whole report: data, figures, the page and, on request, LaTeX and a bundle."""

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import pandas as pd

from vsbench.cells import neutral_table
from vsbench.errors import RunError, UserError
from vsbench.files import write_json, write_text
from vsbench.report.ablations import write_studies
from vsbench.report.decision import Decision, decide
from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.spread import draw_spreads
from vsbench.report.figures.strata import strata_figure
from vsbench.report.figures.style import width_of
from vsbench.report.gallery import Gallery, complaints, draw_all
from vsbench.report.latex.appendix import appendix
from vsbench.report.latex.comparison import full_tables, main_table
from vsbench.report.latex.decision import decision_latex, shown_values
from vsbench.report.latex.document import Figure, document, figures_in_rows, section
from vsbench.report.latex.literature import literature_tables
from vsbench.report.latex.spread import spread_tables
from vsbench.report.latex.strata import strata_latex
from vsbench.report.light import sentences as of_light
from vsbench.report.notation import escape, heading, slug, without_mend
from vsbench.report.page.write import write_page
from vsbench.report.provenance.bundle import require_bundle, write_bundle
from vsbench.report.provenance.places import Places
from vsbench.report.provenance.records import as_csv, records
from vsbench.report.published import Paper
from vsbench.report.split import Split, split_text, splits
from vsbench.report.spread import Spreads
from vsbench.report.strata import Quality, Strata, checked_quality, strata_table, stratify
from vsbench.report.strata import sentences as order_by_thirds
from vsbench.report.studies import read_studies, set_apart
from vsbench.report.tables import Comparison, among, compare, load_results, problems, renamed, tidy, unevaluated
from vsbench.report.verdict import decision_table, sentences

Warn = Callable[[str], None]
# kinds of figures of the supplement: the decision's table has what two of them tell, and clusters decide nothing
LOOKED_UP = ("ranks", "differences", "features", "strata")
SHEETS = "images"


@dataclass
class Shown:
    """What is shown of one data set and stain; ``missing``: what could not be made of it, and why."""

    decision: Decision
    gallery: Gallery
    splits: list[Split]
    missing: list[str] = field(default_factory=list)
    strata: Strata | None = None

    @property
    def comparison(self) -> Comparison:
        """Its rows and columns."""
        return self.decision.comparison

    @property
    def read_figures(self) -> list[Drawn]:
        """Those of the document, without sheets of images."""
        return [drawn for drawn in self.gallery.drawn if drawn.kind not in (*LOOKED_UP, SHEETS)]

    @property
    def first_sheets(self) -> list[Drawn]:
        """The first sheet of images."""
        return [drawn for drawn in self.gallery.drawn if drawn.kind == SHEETS][:1]

    @property
    def further_figures(self) -> list[Drawn]:
        """Those of the supplement."""
        shown = [*self.read_figures, *self.first_sheets]
        return [drawn for drawn in self.gallery.drawn if drawn not in shown]


def build_report(
    results: Path,
    out: Path,
    *,
    latex: bool = False,
    figures: bool = True,
    page: bool = True,
    interval: bool = False,
    papers: Sequence[Paper] = (),
    spreads: Spreads | None = None,
    names: Sequence[str] = (),
    bundle: Path | None = None,
    protocol: str | None = None,
    strata: str | None = None,
    only: Collection[Path] | None = None,
    warn: Warn = warnings.warn,
) -> list[Path]:
    """Write the report of all evaluated runs under ``results`` to the folder ``out``; what was written.

    Always the data: ``summary.csv``, ``decision.csv``, ``provenance.{csv,json}``, what ablation studies gave, and where
    a control was trained on pairs that fit ``split.md``.
    ``figures``: ``figures/``. ``page``: ``index.html`` with ``page/``. ``latex``: ``tables/``, ``main.tex`` with what
    is read, and ``supplement.tex`` with what is looked up; with ``interval`` tables have 95 % limits over slides, not
    deviations over seeds. ``papers``: their numbers stand beside. ``spreads``: how far they and reruns lie apart, for
    the supplement. ``names``: what data sets are called, as ``tables.renamed`` takes them. ``bundle``: a ZIP file of
    all that may be passed on. ``protocol``: which evaluations, where runs have several; else those at the images' own
    size. ``strata``: also ``strata.csv``, and its figures and tables: values by thirds of the pairs, by this quality of
    theirs (``strata.QUALITIES``). ``only``: these run folders alone, and the references beside them.

    ``warn`` is told, one sentence each, what is not comparable, not evaluated or could not be drawn. Raises UserError
    where no run that is in order is evaluated.
    """
    if bundle is not None:
        require_bundle(bundle)  # before minutes of work
    quality = None if strata is None else checked_quality(strata)
    studies = read_studies(results)
    everything = renamed(load_results(results, warn, protocol), names)
    if only is not None:
        everything = among(everything, only)
    if not everything:
        of = "" if protocol is None else f" in the protocol {protocol}"
        raise UserError(f"{results}: no evaluated run{of}; run vsbench evaluate --all first")
    places = Places.of(everything)
    everything = places.cleared(everything)
    runs, own = set_apart(everything, studies)
    if own:
        names = ", ".join(dict.fromkeys(kept.study.suite for kept in studies))
        warn(f"{len(own)} runs belong to ablation studies ({names}): they stand in the studies' tables alone")
    for folder in unevaluated(results):
        if only is None or folder in only:
            warn(f"{folder}: not evaluated, so not in the report; run vsbench evaluate {folder}")
    decisions = [_cleared(decide(comparison), places) for comparison in compare(runs)]
    shown = [_shown(decision, out / "figures" if figures else None, places) for decision in decisions]
    if quality is not None:
        for one in shown:
            _stratify(one, quality, out / "figures" if figures else None)
    comparisons, whole = [one.comparison for one in shown], compare(everything)
    by_name = {one.comparison.name: one.decision for one in shown}
    made = records(whole)
    tables = [decision_table(decision) for decision in decisions]
    parts = {
        "summary.csv": neutral_table(tidy(everything)).to_csv(index=False),
        "decision.csv": neutral_table(pd.concat(tables, ignore_index=True)).to_csv(index=False) if tables else "",
        "provenance.csv": as_csv(made),
    }
    if quality is not None:
        found = [strata_table(one.strata) for one in shown if one.strata is not None]
        parts["strata.csv"] = neutral_table(pd.concat(found, ignore_index=True)).to_csv(index=False) if found else ""
    of_spreads: list[Drawn] = []
    if latex:
        parts |= _tables(shown, by_name, papers, interval, places)
        printed = literature_tables(papers, whole) | (spread_tables(spreads) if spreads else {})
        literature = {f"tables/{name}": text for name, text in printed.items()}
        of_spreads += draw_spreads(spreads, out / "figures") if spreads and figures else []
        supplement = _supplement(shown, list(literature), of_spreads)
        parts |= literature | {
            "main.tex": document("Virtual staining: results", _paper(shown, list(parts))),
            "supplement.tex": document("Virtual staining: all values, and how to repeat them", supplement),
        }
    if told := split_text([split for one in shown for split in one.splits]):
        parts["split.md"] = told
    for name, text in parts.items():
        write_text(out / name, text)
    write_json(out / "provenance.json", made)
    written = [
        *(out / name for name in (*parts, "provenance.json")),
        *(path for drawn in of_spreads for path in drawn.files),
        *(path for one in shown for path in one.gallery.files),
    ]
    for suite in dict.fromkeys(kept.study.suite for kept in studies):
        written += write_studies([kept for kept in studies if kept.study.suite == suite], suite, out, warn)
    if page:
        galleries = {one.comparison.name: one.gallery.drawn for one in shown}
        written += write_page(out, comparisons, by_name, galleries, papers, warn)
    for one in shown:
        alike: dict[str, list[str]] = {}  # a family's values mostly turn the same pairs round
        for value, said in of_light(one.comparison).items():
            alike.setdefault(said, []).append(value)
        turned = [f"{one.comparison.name}: {', '.join(values)}: {said}" for said, values in alike.items()]
        by_thirds = [f"{one.comparison.name}: {said}" for said in (order_by_thirds(one.strata) if one.strata else ())]
        for sentence in (*problems(one.comparison), *turned, *by_thirds, *one.missing, *complaints(one.gallery)):
            warn(sentence)
    if bundle is not None:
        written.append(write_bundle(bundle, written, whole, results, out))
    return list(dict.fromkeys(written))


def _shown(decision: Decision, folder: Path | None, places: Places) -> Shown:
    """Split the distances to the best, and draw the figures where there is a folder for them."""
    comparison, found, missing = decision.comparison, [], []
    try:
        found = splits(comparison)
    except RunError as error:
        why = places.sentence(str(error)).removeprefix(f"{comparison.name}: ")
        missing.append(f"{comparison.name}: no split of distances; {why}")
    gallery = Gallery() if folder is None else draw_all(decision, found, folder, places)
    return Shown(decision, gallery, found, missing)


def _stratify(one: Shown, quality: Quality, folder: Path | None) -> None:
    """Add what is shown by thirds of the pairs, and a figure of it where there is a folder for figures."""
    try:
        one.strata = stratify(one.comparison, quality)
        if folder is not None:
            drawn = strata_figure(one.strata, folder)
            one.gallery = replace(one.gallery, drawn=(*one.gallery.drawn, drawn))
    except RunError as error:
        one.missing.append(f"{one.comparison.name}: nothing by thirds of the pairs; {error}")


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
            tables[_paper_file(dataset)] = main_table(comparisons, decisions, papers, interval)
        except RunError as error:
            members[0].missing.append(places.sentence(str(error)))
        for one in members:
            tables[_full_file(one.comparison)] = full_tables(one.comparison, decisions, interval)
            if one.strata is not None and one.strata.shown:
                tables[_strata_file(one.comparison)] = strata_latex(one.strata)
            if shown_values(one.decision):
                tables[_decision_file(one.comparison)] = decision_latex(one.decision)
    return tables


def _paper(shown: Sequence[Shown], files: Sequence[str]) -> list[str]:
    """What is read: per data set the main table, then per stain what is decided, and its figures."""
    body, said = [], _Said()
    for dataset, group in groupby(shown, key=lambda one: one.comparison.dataset):
        members = list(group)
        if len({one.comparison.dataset for one in shown}) > 1:
            body.append(section(", ".join(dict.fromkeys(one.comparison.title for one in members))))
        if _paper_file(dataset) in files:
            body.append(f"\\input{{{_paper_file(dataset)}}}")
        for one in members:
            if _decision_file(one.comparison) in files:
                body.append(f"\\input{{{_decision_file(one.comparison)}}}")
            elif not any(value.p for value in one.decision.values.values()):  # else the main table says it
                body.append(rf"\textbf{{{escape(one.comparison.where)}.}} {_in_words(one.decision)}" + "\n")
        body.append(r"\clearpage")  # else tables would drift behind the figures
        drawn = [(figure, one.comparison) for one in members for figure in one.read_figures]
        sheets = [(figure, one.comparison) for one in members for figure in one.first_sheets]  # whole pages: at the end
        body += figures_in_rows([said.figure(*figure) for figure in (*drawn, *sheets)])
        body.append(r"\clearpage")
    return body


def _in_words(decision: Decision) -> str:
    """The sentences of a decision, one that holds for several values once."""
    found: dict[str, list[str]] = {}
    for sentence in sentences(decision):
        label, _, says = sentence.partition(": ")
        found.setdefault(says, []).append(label)
    return " ".join(heading(f"{', '.join(labels)}: {says}") for says, labels in found.items())


def _supplement(shown: Sequence[Shown], literature: Sequence[str], spreads: Sequence[Drawn]) -> list[str]:
    """What is looked up: all values and the further figures, the tables of papers, and how to repeat every row."""
    body, said = [section("All values")], _Said()
    for one in shown:
        body.append(f"\\input{{{_full_file(one.comparison)}}}")
        if one.strata is not None and one.strata.shown:
            body.append(f"\\input{{{_strata_file(one.comparison)}}}")
        body += figures_in_rows([said.figure(drawn, one.comparison) for drawn in one.further_figures])
    if literature:
        body += [r"\clearpage", section("As printed in the literature"), *(f"\\input{{{name}}}" for name in literature)]
        body += figures_in_rows([_as_figure(drawn, heading(drawn.caption)) for drawn in spreads])
    return [*body, r"\clearpage", appendix([one.comparison for one in shown])]


def _as_figure(drawn: Drawn, caption: str) -> Figure:
    """A figure of the document; ``caption`` is LaTeX."""
    path = f"figures/{drawn.file('pdf').name}"
    return Figure(path, caption, f"fig:{drawn.stem.name}", width_of(drawn.file("png")))


class _Said:
    """What captions have explained before: a reader is told once how a kind of figure is read."""

    def __init__(self) -> None:
        self.figures = 0
        self.first: dict[tuple[str, str], int] = {}  # kind of figure and sentence → number of the figure that says it

    def figure(self, drawn: Drawn, comparison: Comparison) -> Figure:
        """The next figure, with a caption that refers to the first of its kind for the sentences that stand there."""
        self.figures += 1
        told = [(drawn.kind, sentence.rstrip(".")) for sentence in drawn.caption.split(". ")]
        before = [self.first[sentence] for sentence in told if sentence in self.first]
        caption = " ".join(f"{heading(sentence[1])}." for sentence in told if sentence not in self.first)
        if before:  # its number, not a reference: that would need a second run of LaTeX
            caption = f"as figure~{before[0]}. {caption}".rstrip()
        absent = [(drawn.kind, part) for part in drawn.missing]
        if new := [without_mend(part) for kind, part in absent if (kind, part) not in self.first]:
            caption += f" Without {'; '.join(new)}."
        for sentence in (*told, *absent):
            self.first.setdefault(sentence, self.figures)
        return _as_figure(drawn, f"{escape(comparison.where)}: {caption}")


def _paper_file(dataset: str) -> str:
    return f"tables/methods-{slug(dataset)}.tex"


def _full_file(comparison: Comparison) -> str:
    return f"tables/all-{slug(comparison.name)}.tex"


def _strata_file(comparison: Comparison) -> str:
    return f"tables/strata-{slug(comparison.name)}.tex"


def _decision_file(comparison: Comparison) -> str:
    return f"tables/decision-{slug(comparison.name)}.tex"
