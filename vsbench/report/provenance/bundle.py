"""A report as one file, for a paper's supplement: tables, figures, their data, and the records behind every number.

The same report gives the same bytes. No image of a data set is inside (their licences), and no path of the machine.
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from textwrap import fill

from vsbench import __version__, registry
from vsbench.errors import PluginError, RunError, UsageError
from vsbench.files import is_zip_of, read_text, require_replaceable, write_zip
from vsbench.names import said
from vsbench.report.provenance.places import RULE, Places
from vsbench.report.provenance.records import as_csv, records
from vsbench.report.tables import Comparison, runs_of

MARK = b"vsbench bundle"  # the comment of the ZIP file: what we wrote, we may replace
TEXTS = (".tex", ".csv", ".json", ".md", ".txt")
LARGEST = 1 << 28  # bytes of a text: a table of a million images
FEW = 20  # names that README.txt gives of one folder
PICTURE = b"/Subtype /Image"  # how a PDF says that pixels follow
LEFT_OUT = r"\emph{(a figure that shows images of a data set, which is left out here)}"
README = """\
Supplement of a report by vsbench {version}, on: {data}.

report/            tables (LaTeX, standalone main.tex), figures (PDF, PNG) and their data (CSV)
report/provenance  .json, .csv: how each run was made, with the commands that repeat it
runs/              of each run in the report: run.json (configuration, seed, versions, digests),
                   evaluation/<protocol>/summary.json (every value) and per_image.csv (what it was derived from),
                   images/<split>.json (weights and H&E that the images were made from)
MANIFEST           SHA-256 of each file; check with: sha256sum -c MANIFEST

{rule}
Files that hold paths therefore differ from those on the machine where the report was made.

Images of data sets and images made from them are not in here. Licences of the data sets:
{licences}
{left_out}"""


def write_bundle(
    path: Path, report_files: Iterable[Path], comparisons: Sequence[Comparison], results: Path, out: Path
) -> Path:
    """Write the bundle to ``path``, a ZIP file, and return it; a bundle that lies there already is replaced.

    ``report_files`` lie under ``out``, the runs of ``comparisons`` under ``results``. Left out of the report, and named
    in README.txt: figures that hold pixels, and pages. Raises UsageError for another suffix than .zip and RunError
    where ``path`` is something else than a bundle, or cannot be written, and where a run's file is damaged.
    """
    require_bundle(path)
    places = Places.of(runs_of(comparisons))
    files, left_out = _report({file.relative_to(out).as_posix(): file for file in report_files}, places)
    if not {"report/provenance.json", "report/provenance.csv"} <= files.keys():
        made = records(comparisons)
        files.setdefault("report/provenance.json", _json(made))
        files.setdefault("report/provenance.csv", as_csv(made).encode())
    for file in _run_files(comparisons):
        try:
            files[file.relative_to(results).as_posix()] = _text(file, places)
        except (OSError, ValueError, csv.Error) as error:
            raise RunError(
                f"{file}: damaged ({said(error)}), so no --bundle; evaluate the run again, or remove it"
            ) from None
    files["README.txt"] = _readme(comparisons, left_out).encode()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files["MANIFEST"] = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()
    try:
        write_zip(path, files, MARK)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from None
    return path


def require_bundle(path: Path) -> None:
    """Raise as ``write_bundle`` does where a bundle can't go to ``path``; to ask before a long report."""
    if path.suffix.lower() != ".zip":
        raise UsageError(f"--bundle {path}: a ZIP file is written; give it a name that ends in .zip")
    require_replaceable(path, is_zip_of(MARK), "--bundle")


def _report(found: Mapping[str, Path], places: Places) -> tuple[dict[str, bytes], list[str]]:
    """(contents by name, names left out) of what the report wrote."""
    kept = {name: _content(file, places) for name, file in found.items()}
    for name in found:  # a figure's PNG shows what its PDF shows; without one, nobody knows what
        if name.endswith(".png") and kept.get(f"{name.removesuffix('.png')}.pdf") is None:
            kept[name] = None
    gone = sorted(name for name, content in kept.items() if content is None)
    files = {f"report/{name}": content for name, content in kept.items() if content is not None}
    for name in files:
        if name.endswith(".tex"):
            for figure in gone:
                files[name] = files[name].replace(f"\\fitted{{{figure}}}".encode(), LEFT_OUT.encode())
    return files, gone


def _content(file: Path, places: Places) -> bytes | None:
    """What goes into the bundle of a file; None where it may show images, or is of a kind that may."""
    if file.suffix in TEXTS:
        return _text(file, places)
    if file.suffix not in (".pdf", ".png"):
        return None
    content = file.read_bytes()
    return None if PICTURE in content else content


def _text(file: Path, places: Places) -> bytes:
    """A text file with its paths rewritten; only where there are any do its bytes change."""
    text = read_text(file, LARGEST)
    if file.suffix == ".tex":
        return places.latex(text).encode()
    if file.suffix == ".json":
        value = json.loads(text)
        rewritten = places.value(value)
        return text.encode() if rewritten == value else _json(rewritten)
    if "/" not in text and "\\" not in text:
        return text.encode()
    if file.suffix == ".csv":
        rows = list(csv.reader(io.StringIO(text, newline="")))
        plain = places.value(rows)
        if plain == rows:
            return text.encode()
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(plain)
        return out.getvalue().encode()
    return places.text(text).encode()


def _run_files(comparisons: Sequence[Comparison]) -> list[Path]:
    runs = [run for comparison in comparisons for row in comparison.rows for run in row.runs]
    wanted = [
        file
        for run in runs
        for file in (
            run.folder / "run.json",
            run.folder / "images" / f"{run.split}.json",
            run.summary,
            run.summary.with_name("per_image.csv"),
        )
    ]
    return [file for file in wanted if os.path.lexists(file)]  # what is there and no file is damaged, not missing


def _readme(comparisons: Sequence[Comparison], left_out: Sequence[str]) -> str:
    licences = {comparison.dataset: _licence(comparison.dataset) for comparison in comparisons}
    listed = ["Left out of the report, since they show such images or may:", *_listed(left_out)] if left_out else []
    return README.format(
        version=__version__,
        data=", ".join(comparison.name for comparison in comparisons),
        rule=fill(RULE, 100),
        licences="\n".join(f"  {name}: {text}" for name, text in licences.items()),
        left_out="".join(f"{line}\n" for line in listed),
    )


def _listed(names: Sequence[str]) -> list[str]:
    """Names by folder; a folder of many (a page has thousands of thumbnails) with their number."""
    folders: dict[str, list[str]] = {}
    for name in names:
        folders.setdefault(str(PurePosixPath(name).parent), []).append(name)
    return [
        line
        for folder, inside in sorted(folders.items())
        for line in (inside if len(inside) <= FEW else [f"{folder}/ ({len(inside)} files)"])
    ]


def _licence(dataset: str) -> str:
    try:
        return registry.load("vsbench.datasets", dataset).card.licence
    except (UsageError, PluginError):
        return "not known here"


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
