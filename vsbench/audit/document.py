"""A page of headings, paragraphs, tables and pictures, as HTML in one file and as Markdown.

The HTML needs no network and no script; every text is escaped. Pictures are inside it, small; Markdown goes without.
"""

import base64
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from vsbench.data.decode import read_rgb

HEIGHT = 160  # px of a picture
QUALITY = 80  # of its JPEG: about 6 kB an image
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; max-width: 68rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc } h3 { margin-bottom: .3rem }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
.wide { overflow-x: auto }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid #e4e4e4; vertical-align: top }
th { font-weight: 600 } td.number, th.number { text-align: right }
figure { display: inline-block; margin: .6rem 1rem .6rem 0; vertical-align: top; max-width: 24rem }
figure img { height: 160px; margin-right: 3px } figcaption { font-size: .85rem; overflow-wrap: anywhere }
"""
NUMBER = re.compile(r"[−-]?[\d.,]+( ?%)?|n/a|–")
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the page's own."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph, or points of a list."""

    text: str
    points: Sequence[str] = ()


@dataclass(frozen=True)
class Table:
    """Cells are texts; columns of numbers are set to the right in HTML."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """Images side by side, and what is to be seen."""

    images: Sequence[Path]
    caption: str


Block = Heading | Text | Table | Figure


@dataclass
class Page:
    """Blocks in their order."""

    title: str
    blocks: list[Block] = field(default_factory=list)

    def add(self, *blocks: Block) -> None:
        """Append."""
        self.blocks += blocks

    def html(self) -> str:
        """The page as one HTML file. Raises DataError where an image of a figure can't be read."""
        body = "\n".join(_html(block) for block in self.blocks)
        title = html.escape(self.title)
        return (
            f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
        )

    def markdown(self) -> str:
        """The page as Markdown, with the captions of its pictures."""
        return "\n\n".join([f"# {_plain(self.title)}", *map(_markdown, self.blocks)]) + "\n"


def data_uri(path: Path) -> str:
    """A small JPEG of an image file, to stand in the page itself."""
    image = Image.fromarray(read_rgb(path))
    image.thumbnail((2 * HEIGHT, HEIGHT))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _html(block: Block) -> str:
    match block:
        case Heading():
            return f"<h{block.level}>{html.escape(block.text)}</h{block.level}>"
        case Text():
            points = "".join(f"<li>{html.escape(point)}</li>" for point in block.points)
            return (f"<p>{html.escape(block.text)}</p>" if block.text else "") + (
                f"<ul>{points}</ul>" if points else ""
            )
        case Table():
            right = [all(NUMBER.fullmatch(cell) for cell in column) for column in zip(*block.rows, strict=True)]
            right = right or [False] * len(block.head)
            head = _cells("th", block.head, right)
            rows = "\n".join(_cells("td", row, right) for row in block.rows)
            note = f"<p><small>{html.escape(block.note)}</small></p>" if block.note else ""
            return f'<div class="wide"><table>\n<thead>{head}</thead>\n<tbody>\n{rows}\n</tbody></table></div>{note}'
        case Figure():
            images = "".join(f'<img alt="{html.escape(path.name)}" src="{data_uri(path)}">' for path in block.images)
            return f"<figure>{images}<figcaption>{html.escape(block.caption)}</figcaption></figure>"


def _cells(tag: str, texts: Sequence[str], right: Sequence[bool]) -> str:
    opening = {True: f'<{tag} class="number">', False: f"<{tag}>"}
    cells = (f"{opening[number]}{html.escape(text)}</{tag}>" for text, number in zip(texts, right, strict=True))
    return f"<tr>{''.join(cells)}</tr>"


def _markdown(block: Block) -> str:
    match block:
        case Heading():
            return f"{'#' * block.level} {_plain(block.text)}"
        case Text():
            points = "\n".join(f"- {_plain(point)}" for point in block.points)
            return "\n\n".join(part for part in (_plain(block.text), points) if part)
        case Table():
            lines = [block.head, ["---"] * len(block.head), *block.rows]
            table = "\n".join(
                "| " + " | ".join(cell if number == 1 else _plain(cell) for cell in line) + " |"
                for number, line in enumerate(lines)
            )
            return table + (f"\n\n{_plain(block.note)}" if block.note else "")
        case Figure():
            return f"- {_plain(block.caption)}"


def _plain(text: str) -> str:
    """Text that Markdown takes as it is, in one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))
