"""A page from its parts, which lie beside this file, and its data, embedded as JSON: one file."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from vsbench import __version__
from vsbench.benchmark import BENCHMARK
from vsbench.report.page.texts import embedded


def assembled(
    template: str, scripts: Sequence[str], data: Mapping[str, Any], after: Mapping[str, Any] | None = None, **more: str
) -> str:
    """The page of ``template``, whose ``[[name]]`` are parts, with ``scripts`` as one, in this order.

    ``data`` is read as the page is; what comes ``after`` the script may be large: the table is there before it.
    """
    style, script = _part("page.css"), "\n".join(_part(f"{name}.js") for name in scripts)
    parts = {
        **{name: _part(f"{name}.html").rstrip() for name in ("head", "leaderboard", "panel")},
        "style": style,
        "script": script,
        "style-digest": _digest(style),
        "script-digest": _digest(script),
        "version": __version__,
        "benchmark": BENCHMARK,
        "data": _blocks(data),
        "figures": _blocks(after or {}),
        **more,
    }
    page = re.sub(r"\[\[(head|leaderboard|panel)\]\]", lambda found: parts[found[1]], _part(f"{template}.html"))
    return re.sub(r"\[\[([a-z-]+)\]\]", lambda found: parts[found[1]], page)


def _blocks(data: Mapping[str, Any]) -> str:
    return "\n".join(
        f'<script type="application/json" id="data-{name}">{embedded(value)}</script>' for name, value in data.items()
    )


def _part(name: str) -> str:
    return files("vsbench.report.page").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """What the content security policy names a style or script by: nothing else runs."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
