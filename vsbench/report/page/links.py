"""Images that lie elsewhere, beside the page: it names what is below the results, and no path of this machine."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from vsbench.files import ask
from vsbench.report.page.texts import address


def is_beside(file: Path, page: Path, results: Path) -> bool:
    """Whether the way from the folder ``page`` to a file stays in the results, and so names nothing else."""
    home = results.absolute()
    return file.absolute().is_relative_to(home) and page.absolute().is_relative_to(home)


def reach(image: Path, link: Path, page: Path, results: Path) -> str:
    """The address of an image in a page that lies in ``page``: its own, or that of ``link``, which is made then.

    It is a symbolic link, or a copy where there are none; to an image that is gone too, which the page then says.
    """
    if is_beside(image, page, results):
        return address(image, page)
    ask(link)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    try:
        link.symlink_to(os.path.relpath(image.resolve(), link.parent.resolve()))
    except (OSError, ValueError):  # no right to make one, or another drive of a Windows computer
        with suppress(OSError):
            shutil.copyfile(image, link)
    return address(link, page)
