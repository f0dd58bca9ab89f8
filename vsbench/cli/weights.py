"""``vsbench weights``: which pretrained weights are here, and how to get the others. Nothing is fetched unasked."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsbench.cli.output import note, say, say_json

if TYPE_CHECKING:
    from vsbench.weights import Weights
    from vsbench.weights.fetch import Progress

app = typer.Typer(help="Pretrained weights that metrics and trainings need, known by digest.", no_args_is_help=True)
Names = Annotated[list[str], typer.Argument(help="Weights, as vsbench weights list names them.", metavar="NAME…")]


@app.command("list")
def list_weights(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the weights, and which are here.

    With --json also file names, bytes, SHA-256, origin and where the file lies.
    """
    from vsbench.weights import MANIFEST
    from vsbench.weights.encoders import encoder_names
    from vsbench.weights.own import own_names

    rows = [*(_row(weights) for weights in MANIFEST.values()), *map(_encoder_row, encoder_names())]
    rows += map(_own_row, own_names())
    if as_json:
        say_json(rows)
        return
    _print_table(rows)


@app.command()
def add(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files of weights, under any name.", metavar="FILE…")
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(
            "--encoder", metavar="FILE", help="An encoder of yours, TorchScript or safetensors; needs --card."
        ),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option("--card", metavar="CARD.yaml", help="name, size, mean, std, width, licence, gated of --encoder."),
    ] = None,
    own: Annotated[
        list[str] | None,
        typer.Option(
            "--own", metavar="NAME=FILE", help="A file of yours, under the name that a method asks for (its card says)."
        ),
    ] = None,
) -> None:
    """Put files where they are found.

    They are recognised by their bytes, whatever their names. A file that is none of the weights is named, with what it
    is if it is easily taken for one; the others are added all the same.

    An encoder for vsbench evaluate --also encoder=NAME comes with a card. A TorchScript file is a program: it runs here
    once, to see that the card is right, and whenever it measures, with all that you may do. Add only what you trust.
    """
    from vsbench.errors import UsageError, UserError
    from vsbench.names import brief
    from vsbench.weights.own import add_own
    from vsbench.weights.recognise import add as add_file

    if (encoder is None) != (card is None):
        raise UsageError("--encoder FILE and --card CARD.yaml belong together")
    if not files and encoder is None and not own:
        raise UsageError("nothing to add: give FILE…, --encoder FILE --card CARD.yaml, or --own NAME=FILE")
    failures: list[UserError] = []
    for given in own or []:
        name, equals, called = given.partition("=")
        if not equals:
            raise UsageError(f"--own {brief(given)}: expected NAME=FILE")
        try:
            say(f"{name}: {add_own(name, Path(called))}")
        except UserError as error:
            failures.append(error)
    for file in files or []:
        try:
            weights, path = add_file(file)
            say(f"{weights.name}: {path}")
        except UserError as error:
            failures.append(error)
    if encoder is not None and card is not None:
        try:
            _add_encoder(encoder, card)
        except UserError as error:
            failures.append(error)
    for failure in failures[:-1]:
        note(f"error: {failure}")
    if failures:
        raise failures[-1]  # printed like the others, and the exit code is its own


def _add_encoder(file: Path, card: Path) -> None:
    from vsbench.weights.encoder_networks import kind_of
    from vsbench.weights.encoders import add_encoder, read_card

    read = read_card(card)
    if kind_of(file) == "torchscript":
        say(f"{file}: a TorchScript file is a program: it runs now, and whenever it measures, with all that you may do")
    added = add_encoder(file, read)
    terms = f"{'gated, ' if read.gated else ''}{read.licence}"
    say(f"encoder {read.name}: {added.path} ({terms}); vsbench evaluate --also encoder={read.name}")


@app.command()
def fetch(
    names: Names,
    yes: Annotated[bool, typer.Option("--yes", help="Download without asking; needed outside a terminal.")] = False,
) -> None:
    """Download weights, on your word.

    It first shows where from, how many bytes and under which licence. A download that stops goes on from there next
    time. The bytes are kept only if their SHA-256 is the one published.
    """
    from vsbench.errors import UsageError
    from vsbench.names import brief
    from vsbench.weights import MANIFEST, status
    from vsbench.weights import fetch as fetching

    for name in names:
        if name not in MANIFEST:
            raise UsageError(f"no weights named {brief(name)}: one of {', '.join(MANIFEST)}")
    wanted = []
    for name in dict.fromkeys(names):
        weights = MANIFEST[name]
        here, wrong = status(weights)
        if here is not None and wrong is None:
            say(f"{name}: {here} (already here)")
            continue
        wanted.append(weights)
        say(f"{name}, for {', '.join(weights.users)}")
        say(f"  from     {weights.url}")
        say(f"  bytes    {(weights.archive or weights).size:,}")
        say(f"  licence  {weights.licence}")
    if not wanted:
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"nothing fetched: no terminal to ask at; vsbench weights fetch --yes {' '.join(names)}")
        typer.confirm("Download?", abort=True)
    for weights in wanted:
        with _bar(weights.name) as progress:
            path = fetching.fetch(weights, progress)
        say(f"{weights.name}: {path}")


@app.command()
def verify() -> None:
    """Check the files that are here.

    All of them, in every folder that is searched, against the published size and SHA-256.
    """
    from vsbench.weights import MANIFEST, WeightsError, present
    from vsbench.weights import verify as verify_file
    from vsbench.weights.encoders import encoder_names, find_encoder
    from vsbench.weights.own import find_own, own_names

    failures, files = [], 0
    named: dict[str, tuple[list[str], Callable[[str], Path]]] = {
        "encoder": (encoder_names(), lambda name: find_encoder(name).path),
        "own": (own_names(), lambda name: find_own(name)[0]),
    }
    for kind, name, find in ((kind, name, find) for kind, (names, find) in named.items() for name in names):
        files += 1
        try:
            say(f"ok   {kind} {name}: {find(name)}")
        except WeightsError as error:
            failures.append(error)
            say(f"bad  {kind} {name}")
    for weights in MANIFEST.values():
        for path in present(weights):
            files += 1
            try:
                verify_file(weights, path)
                say(f"ok   {weights.name}: {path}")
            except WeightsError as error:
                failures.append(error)
                say(f"bad  {weights.name}: {path}")
    if not files:
        say("no weights are here; vsbench weights list says which there are")
    for failure in failures[:-1]:
        note(f"error: {failure}")
    if failures:
        raise failures[-1]


def _row(weights: "Weights") -> dict[str, Any]:
    """A line of the list; ``state`` is here, missing, or what is wrong with the file that is here."""
    from vsbench.weights import status

    path, wrong = status(weights)
    return {
        "name": weights.name,
        "state": "missing" if path is None else wrong or "here",
        "path": None if path is None else str(path),
        "metrics": list(weights.metrics),
        "methods": list(weights.methods),
        "stands_for": weights.stands_for,
        "files": list(weights.files),
        "bytes": weights.size,
        "sha256": weights.sha256,
        "url": weights.url,
        "download_bytes": (weights.archive or weights).size,
        "licence": weights.licence,
    }


def _encoder_row(name: str) -> dict[str, Any]:
    """The line of an encoder: the same keys, and whether it is gated."""
    from vsbench.weights.encoders import encoder_status

    encoder, path, wrong = encoder_status(name)
    licence = "" if encoder is None else encoder.licence
    return {
        "name": f"encoder {name}",
        "state": wrong or "here",
        "path": str(path),
        "metrics": [f"encoder={name}"],
        "methods": [],
        "stands_for": None,
        "files": [path.name],
        "bytes": None if encoder is None else encoder.bytes,
        "sha256": None if encoder is None else encoder.sha256,
        "url": None if encoder is None else encoder.url,
        "download_bytes": None,
        "licence": f"{licence} (gated)" if encoder is not None and encoder.gated else licence,
        "gated": None if encoder is None else encoder.gated,
    }


def _own_row(name: str) -> dict[str, Any]:
    """The line of a file of the user's own: the same keys."""
    from vsbench.weights.own import own_status

    own = own_status(name)
    assert own is not None
    return {
        "name": f"own {name}",
        "state": own.wrong or "here",
        "path": str(own.path),
        "metrics": [],
        "methods": [name],
        "stands_for": None,
        "files": [own.path.name],
        "bytes": None if own.card is None else own.card.bytes,
        "sha256": None if own.card is None else own.card.sha256,
        "url": None,
        "download_bytes": None,
        "licence": "",
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from vsbench.cli.display import Console

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("name", "state", "for", "download", "licence"):
        table.add_column(column, overflow="fold", justify="right" if column == "download" else "left")
    for row in rows:
        size = "" if row["download_bytes"] is None else f"{row['download_bytes'] / 1e6:.0f} MB"
        use = ", ".join((*row["metrics"], *row["methods"]))
        if row["stands_for"]:
            use += f" (in place of {row['stands_for']})"
        table.add_row(row["name"], row["state"], use, size, row["licence"])
    console = Console()
    console.print(table)


@contextmanager
def _bar(title: str) -> "Iterator[Progress]":
    """A progress bar on standard error where that is a terminal; nothing elsewhere."""
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    from vsbench.cli.display import Console, PlainColumn

    console = Console(stderr=True)
    columns = (PlainColumn("{task.description}"), BarColumn(20), DownloadColumn(), TransferSpeedColumn())
    with Bar(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
