"""``vsbench data audit``: leaks, doubles, blanks, shifts and drift in a data set, on one page."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from vsbench.cli.options import RESULTS, DataOptions, DataRoot, Results, checked_stains
from vsbench.cli.output import note, say, say_json

FILES = ("index.html", "index.md", "tiles.csv", "duplicates.csv", "slides.csv", "summary.json")
Stains = Annotated[
    list[str] | None,
    typer.Option("--stain", callback=checked_stains, help="Stain; repeatable. Else all stains there are."),
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder to write to; else audit/<dataset>[-<stain>] in --results.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


def audit(
    dataset: Annotated[str, typer.Argument(help="Data set: see vsbench datasets.")],
    stain: Stains = None,
    data_root: DataRoot = None,
    data: DataOptions = None,
    results: Results = RESULTS,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Look for slides and tissue shared between splits, doubles, blank tiles, shifted pairs, and staining that drifts.

    Writes index.html (pictures of the worst cases), index.md, tiles.csv, duplicates.csv, slides.csv and summary.json.
    Exit code 0 whatever is found: it is for reading.
    """
    from vsbench import registry
    from vsbench.audit.page import build_page, findings
    from vsbench.audit.run import audit as audit_pairs
    from vsbench.audit.run import write_tables
    from vsbench.cli.display import TrainingDisplay
    from vsbench.cli.options import dataset_options
    from vsbench.data.pairs import images_of, not_read
    from vsbench.data.root import cache_folder, find_data_root
    from vsbench.errors import DataError, UsageError
    from vsbench.files import only_ours, read_json, write_text
    from vsbench.report.provenance.places import Places

    source = registry.load("vsbench.datasets", dataset).from_options(dataset_options(dataset, data, data_root))
    if not source.paired:
        raise UsageError("the audit is about pairs; unpaired folders have none")
    if not (stain or source.stains):
        raise UsageError(f"{dataset} takes any stain: give --stain NAME")
    root = find_data_root(data_root) if source.needs_root else data_root or cache_folder()
    places = Places(results, {str(root.absolute()), str(root.resolve())})  # the page may be passed on
    audits, absent, beside = [], [], list[str]()
    with TrainingDisplay(quiet=as_json) as display:
        for name in dict.fromkeys(stain or source.stains):
            pairs = []
            for split in source.splits:
                try:
                    pairs += source.pairs(root, name, split)
                except DataError as error:
                    absent.append(f"{name} {split} left out: {error}")
            beside += not_read(images_of(pairs), source.splits)
            if pairs:
                found = audit_pairs(pairs, name, display.count)
                audits.append(replace(found, unreadable=list(map(places.sentence, found.unreadable))))
            elif stain:  # asked for by name; of all stains, a download may hold some
                raise DataError(absent[-1])
    if not audits:
        raise DataError(absent[0])
    folder = out or results / "audit" / "-".join([dataset, *dict.fromkeys(stain or [])])
    with nullcontext() if out is None else only_ours(folder, "--out", FILES):
        written = write_tables(audits, dataset, folder)
        told = [*source.warnings, *map(places.sentence, [*absent, *beside])]
        page = build_page(audits, source.card.title, told)
        for name, text in (("index.md", page.markdown()), ("index.html", page.html())):
            write_text(folder / name, text)
            written.append(folder / name)
    if as_json:
        say_json(read_json(folder / "summary.json"))
        return
    for sentence in (*absent, *beside):
        note(f"warning: {sentence}")
    for each in audits:
        for sentence in findings(each):
            say(f"{each.stain}: {sentence}")
    for path in reversed(written):
        say(path)
