"""The ``vsbench`` command. Starts without torch; each command imports what it needs when it runs."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from vsbench import __version__
from vsbench.cli import (
    ablate,
    audit,
    board,
    catalogue,
    compare,
    data,
    demo,
    evaluate,
    export,
    imports,
    measure,
    merge,
    published,
    reader_study,
    report,
    study,
    submit,
    sweep,
    train,
    translate,
    weights,
)
from vsbench.cli.output import close_stream, note, open_streams, say
from vsbench.cli.troubles import trouble
from vsbench.environment import settle
from vsbench.errors import UserError


class _Commands(TyperGroup):
    """Ctrl-C reaches ``_run``: typer would end with its exit code, and no word."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _Stopped from None


class _Stopped(Exception):
    """By the user."""


app = typer.Typer(
    name="vsbench",
    cls=_Commands,
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
app.command("import")(imports.import_)
app.command()(export.export)
app.command()(translate.translate)
app.command()(measure.measure)
app.command()(merge.merge)
app.command()(evaluate.evaluate)
app.command()(compare.compare)
app.command()(report.report)
app.command()(board.board)
app.command()(demo.demo)
app.add_typer(weights.app, name="weights")
data.app.command()(audit.audit)
app.add_typer(data.app, name="data")
app.add_typer(study.app, name="study")
app.add_typer(sweep.app, name="sweep")
app.add_typer(reader_study.app, name="reader-study")
app.add_typer(published.app, name="published")
app.add_typer(submit.app, name="submit")

MESSAGE = 3000  # characters of a line: its beginning says what is wrong, its end how to mend it

_debug = False


def _version(wanted: bool) -> None:
    if wanted:
        say(__version__)
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
    settle()
    open_streams()
    code = _run()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:  # a full device, or nobody who reads
            close_stream(stream)
            if stream is sys.stdout and code == 0:
                code = 1
                if not isinstance(error, BrokenPipeError):
                    note(f"error: {trouble(error)}")
    sys.exit(code)


def _run() -> int:
    """The exit code; what went wrong is said."""
    try:
        return int(app(standalone_mode=False) or 0)
    except UserError as error:
        if _debug:
            raise
        return _fail(str(error), error.exit_code)
    except typer.Abort:
        return _fail("aborted", 1)
    except (_Stopped, KeyboardInterrupt):
        return _fail("interrupted", 130)
    except BrokenPipeError:
        return 1  # who read standard output has gone: head, or a pager
    except Exception as error:
        if _debug:
            raise
        if (found := trouble(error)) is not None:
            return _fail(found, 1)
        if hasattr(error, "format_message"):  # of typer: the user's own words
            return _usage(error)
        said = " ".join(str(error).split())
        return _fail(f"{type(error).__name__}: {said}; this is a fault of vsbench: run again with vsbench --debug …", 1)


def _usage(error: Any) -> int:
    """What typer would print of a command that can't be understood."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return int(error.exit_code)
    if error.ctx is not None:
        for line in error.ctx.get_usage().splitlines():
            note(line)
        note(f"Try '{error.ctx.command_path} --help' for help.")
    _fail(error.format_message(), error.exit_code)
    return int(error.exit_code)


def _fail(message: str, code: int) -> int:
    if len(message) > MESSAGE:
        message = f"{message[: MESSAGE // 2]} … {message[-MESSAGE // 2 :]}"
    note(f"error: {message}")
    return code
