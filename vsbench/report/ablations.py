"""The report of an ablation study: its table as text, CSV and LaTeX, its figure, and a document that holds both."""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from vsbench.errors import RunError, UserError
from vsbench.files import write_text
from vsbench.report.figures.ablation import ablation
from vsbench.report.figures.style import width_of
from vsbench.report.latex.document import Figure, document, figures_in_rows, section
from vsbench.report.latex.suite import suite_latex
from vsbench.report.notation import escape, heading, prose, slug, stain_name
from vsbench.report.studies import FOLDER, KeptStudy, read_studies
from vsbench.report.suites import SuiteTable, suite_table, write_suite


def suite_report(
    results: Path,
    suite: str,
    out: Path,
    method: str | None = None,
    warn: Callable[[str], None] = warnings.warn,
) -> list[Path]:
    """Report all studies of a suite that ``vsbench ablate`` ran or began, on whatever data sets and stains.

    Writes ``suites/<study>.{csv,md,json,tex}``, ``figures/ablation-<study>.{pdf,png,csv}`` and ``suite-<suite>.tex``
    under ``out``; returns what was written. ``warn`` is told, one sentence each, what is missing. Raises UserError
    where no such study is there, RunError naming a file that is damaged.
    """
    return write_studies(_of_suite(results, suite, method), suite, out, warn)


def write_studies(
    studies: Iterable[KeptStudy], suite: str, out: Path, warn: Callable[[str], None] = warnings.warn
) -> list[Path]:
    """As ``suite_report``, of studies of this suite that have been read."""
    written, body = [], []
    for kept in studies:
        study = kept.study
        table = suite_table(study, kept.rows, kept.record.seeds)
        tex = out / "suites" / f"{slug(study.name)}.tex"
        write_text(tex, suite_latex(table))
        written += [*write_suite(table, out / "suites"), tex]
        body += [section(f"{study.method}, {study.suite}: {study.dataset}, {stain_name(study.stain)}")]
        body += [f"\\input{{suites/{tex.name}}}"]
        for reason, runs in _missing(table).items():
            warn(f"{study.name}: missing ({reason}): {runs}")
        try:
            files, part = _figure(table, out / "figures")
        except RunError as error:
            warn(str(error))
        else:
            written += files
            body.append(part)
        body.append(r"\clearpage")
    whole = out / f"suite-{slug(suite)}.tex"
    write_text(whole, document(f"Ablation study {suite}", body))
    return [*written, whole]


def _of_suite(results: Path, suite: str, method: str | None) -> list[KeptStudy]:
    there = read_studies(results)
    found = [kept for kept in there if kept.study.suite == suite and method in (None, kept.study.method)]
    if not found:
        wanted = suite if method is None else f"{suite} of {method}"
        known = ", ".join(sorted({f"{kept.study.suite} of {kept.study.method}" for kept in there})) or "none"
        raise UserError(
            f"{results / FOLDER}: no study {wanted} (there: {known}); run vsbench ablate {method or 'METHOD'} "
            f"--suite {suite} first"
        )
    return found


def _missing(table: SuiteTable) -> dict[str, str]:
    """Why rows are missing → which: ``odc (seeds 0, 1), cc (seed 1)``."""
    found: dict[str, dict[str, list[str]]] = {}
    for (row, seed), reason in table.missing.items():
        found.setdefault(reason, {}).setdefault(row, []).append(str(seed))
    return {
        reason: ", ".join(f"{row} (seed{'s' * (len(seeds) > 1)} {', '.join(seeds)})" for row, seeds in rows.items())
        for reason, rows in found.items()
    }


def _figure(table: SuiteTable, folder: Path) -> tuple[list[Path], str]:
    """The files of the figure, and the figure in LaTeX."""
    (drawn,) = ablation(table, folder)
    where = f"{escape(table.study.dataset)}, {escape(stain_name(table.study.stain))}"
    without = f" Without {prose('; '.join(drawn.missing))}." if drawn.missing else ""
    caption = f"{where}: {heading(drawn.caption)}{without}"
    one = Figure(f"figures/{drawn.file('pdf').name}", caption, f"fig:{drawn.stem.name}", width_of(drawn.file("png")))
    return drawn.files, "\n".join(figures_in_rows([one]))
