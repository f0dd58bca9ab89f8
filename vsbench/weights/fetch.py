"""Weights from where they are published: over HTTPS, resumed where it stopped, and kept only if the bytes agree."""

import os
import re
import shutil
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from vsbench.errors import UserError
from vsbench.weights.manifest import Weights
from vsbench.weights.store import mismatch, search_folders, unpack

BLOCK = 1 << 20  # bytes
TIMEOUT = 30  # seconds without a byte
Progress = Callable[[int, int], None]  # bytes here so far, bytes in all


def fetch(weights: Weights, progress: Progress, schemes: tuple[str, ...] = ("https",)) -> Path:
    """Download these weights into the first of ``search_folders``, whatever lies there under their name.

    What arrives is kept beside as ``….part``, so that the next call goes on from there; it gets its name once size and
    SHA-256 agree, and is removed if they do not. ``schemes``: those that URL and redirects may have. Raises UserError
    where the network, the server, the disk or the bytes are not as they must be.
    """
    folder = search_folders()[0]
    target = folder / weights.files[0]
    published = weights.archive or weights
    part = folder / f"{weights.archive.file if weights.archive else target.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        have = part.stat().st_size if part.exists() else 0
        if have > published.size:  # from another file: nothing to go on from
            part.unlink()
            have = 0
        _need_room(folder, published.size - have + (weights.size if weights.archive else 0))
        if have < published.size:
            _download(weights.url, part, published.size, progress, schemes)
        if wrong := mismatch(part, published.size, published.sha256):
            part.unlink()
            raise UserError(
                f"{weights.url}: not the weights {weights.name}: {wrong}; it is not kept: fetch again, or get the file "
                "elsewhere and run vsbench weights add FILE"
            )
        if weights.archive:
            unpack(weights, part)
            part.unlink()
        else:
            with part.open("rb") as written:
                os.fsync(written.fileno())
            part.replace(target)
    except OSError as error:
        raise UserError(
            f"{part}: can't be written ({error.strerror}); make room or set another folder in $VSBENCH_WEIGHTS, and "
            "fetch again: what has arrived is kept"
        ) from None
    return target


def _need_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(f"{folder}: {free:,} bytes free of {needed:,} needed; make room, and fetch again")


def _download(url: str, part: Path, size: int, progress: Progress, schemes: tuple[str, ...]) -> None:
    """Bring ``part`` from what it has to ``size`` bytes. A server that can't go on from there starts anew."""
    have = part.stat().st_size if part.exists() else 0
    with _open(url, have, part, schemes) as answer:
        start, total = _extent(answer)
        if start not in (0, have) or total not in (None, size):
            part.unlink(missing_ok=True)
            raise UserError(
                f"{url}: the server has another file ({total} bytes instead of {size}) or sends other bytes of it than "
                "asked for; get it elsewhere and run vsbench weights add FILE"
            )
        with part.open("ab" if start else "wb") as file:
            _copy(answer, file, url, start, size, progress)


def _copy(answer: HTTPResponse, file: IO[bytes], url: str, done: int, size: int, progress: Progress) -> None:
    why = "the server closed the connection"
    while done < size:
        try:
            block = answer.read1(min(BLOCK, size - done))
        except (OSError, HTTPException) as error:
            block, why = b"", str(error) or type(error).__name__
        if not block:
            raise UserError(f"{url}: cut off after {done:,} of {size:,} bytes ({why}); fetch again to go on from there")
        file.write(block)
        done += len(block)
        progress(done, size)


def _open(url: str, have: int, part: Path, schemes: tuple[str, ...]) -> Any:
    """The server's answer for the bytes from ``have`` on. Raises UserError where it has none."""
    headers = {"User-Agent": "vsbench", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    redirects = _GuardedRedirects(schemes)
    redirects.check(url)
    elsewhere = "get the file elsewhere and run vsbench weights add FILE"
    try:
        return build_opener(redirects).open(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416:  # nothing from there on: what we have is part of another file
            part.unlink(missing_ok=True)
        raise UserError(f"{url}: HTTP {error.code} {error.reason}; {elsewhere}") from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"{url}: can't be reached ({reason}); fetch again when online, or {elsewhere}") from None


def _extent(answer: HTTPResponse) -> tuple[int, int | None]:
    """The first byte that the answer holds, and the size of the whole file where the server tells it."""
    if answer.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if found is None:
            return -1, None
        return int(found[1]), None if found[2] == "*" else int(found[2])
    length = answer.headers.get("Content-Length")
    return 0, int(length) if length and length.isdigit() else None


class _GuardedRedirects(HTTPRedirectHandler):
    """Follows redirects to URLs of the allowed schemes only."""

    def __init__(self, schemes: tuple[str, ...]) -> None:
        self.schemes = schemes

    def check(self, url: str) -> None:
        """Raise UserError where the URL has another scheme."""
        if urlsplit(url).scheme not in self.schemes:
            raise UserError(f"{url}: not {' or '.join(self.schemes)}, so not followed; run vsbench weights add FILE")

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """As its parent, after a look at the scheme."""
        try:
            self.check(newurl)
        except UserError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)
