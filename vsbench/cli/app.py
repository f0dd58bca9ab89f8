"""The ``vsbench`` command. Starts without torch; each command imports what it needs when it runs."""

import sys
from typing import Annotated

import typer

from vsbench import __version__
from vsbench.cli import (
    ablate,
    audit,
    catalogue,
    compare,
    data,
    demo,
    evaluate,
    measure,
    published,
    reader_study,
    report,
    study,
    train,
    translate,
    weights,
)
from vsbench.errors import UserError

app = typer.Typer(
    name="vsbench",
    help="Benchmark and evaluation suite for virtual staining: H&E → IHC.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(catalogue.methods)
app.command()(catalogue.datasets)
app.command()(catalogue.metrics)
app.command()(catalogue.doctor)
app.command()(train.train)
app.command()(ablate.ablate)
app.command()(translate.translate)
app.command()(measure.measure)
app.command()(evaluate.evaluate)
app.command()(compare.compare)
app.command()(report.report)
app.command()(demo.demo)
app.add_typer(weights.app, name="weights")
data.app.command()(audit.audit)
app.add_typer(data.app, name="data")
app.add_typer(study.app, name="study")
app.add_typer(reader_study.app, name="reader-study")
app.add_typer(published.app, name="published")

_debug = False


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _globals(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback where an error occurs.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    global _debug
    _debug = debug


def main() -> None:
    """Run the command line; errors become one line on standard error and an exit code (2: usage, 1: failure)."""
    try:
        app()
    except UserError as error:
        if _debug:
            raise
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except Exception as error:
        if _debug:
            raise
        _fail(f"{type(error).__name__}: {error}; this is a fault of vsbench: run again with vsbench --debug …", 1)


def _fail(message: str, code: int) -> None:
    print("error:", " ".join(message.split()), file=sys.stderr)
    sys.exit(code)
