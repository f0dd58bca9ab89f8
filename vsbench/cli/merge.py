"""``vsbench merge FROM… INTO``: results folders of several machines become one."""

from pathlib import Path
from typing import Annotated

import typer

from vsbench.cli.output import note, say


def merge(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Results folders, which are only read, and last the one they go into.", metavar="FROM… INTO"
        ),
    ],
    copy: Annotated[bool, typer.Option("--copy", help="Copy all files, where hard links would do.")] = False,
) -> None:
    """Bring the runs of several results folders into one.

    Two different runs of one name are an error that names them, before anything is written. Give the same command again
    after an interruption, or when there is more.
    """
    from vsbench.errors import UsageError
    from vsbench.studies.merge import merge as bring_together

    *sources, into = folders
    if not sources:
        raise UsageError("merge: name two folders or more, the one they go into last")
    merged = bring_together(sources, into, note, copy)
    for line in merged.left:
        note(f"left: {line}")
    say(
        f"{into}: {len(merged.added)} runs added, {len(merged.replaced)} replaced by further ones, "
        f"{len(merged.there)} there already, {len(merged.left)} left"
    )
