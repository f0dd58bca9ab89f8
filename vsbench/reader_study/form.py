"""A drawn study as a folder to hand out, and its key beside it.

Images are written anew, so that neither name, date nor what a program noted in the file tells the method.
"""

import base64
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from vsbench.data.decode import read_rgb
from vsbench.errors import UsageError
from vsbench.files import named, write_json, write_text
from vsbench.markers import stain_name
from vsbench.reader_study.draw import REAL, Key
from vsbench.reader_study.page import page

GIVEN_AWAY = (
    "the real section gives itself away beside the H&E: it is another section, whose cells are not those of the H&E, "
    "while generated images are; show the H&E, or the real IHC, but not both"
)


def write_study(
    key: Key,
    folder: Path,
    key_file: Path,
    *,
    he: bool = False,
    embed: bool = False,
    warn: Callable[[str], None] = warnings.warn,
) -> list[Path]:
    """Write ``index.html`` and its images to ``folder``, and the key to ``key_file``; returns the form and the key.

    ``he``: each image has its H&E beside it. ``embed``: images lie inside the page, so that it is one file. The folder
    is there as a whole or not at all. ``warn`` is told what unblinds the readers.

    Raises UsageError where the folder or the key is there already, or the key would lie in the folder; DataError for an
    image that can't be read.
    """
    if he and any(item.method == REAL for item in key.items):
        warn(GIVEN_AWAY)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: is there already; name another with --out, or move it away")
    if key_file.exists():
        raise UsageError(f"{key_file}: is there already, and its scores need it; name another with --key")
    if folder.resolve() in key_file.resolve().parents:
        raise UsageError(f"{key_file}: lies in the folder for readers; name a place outside {folder} with --key")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".reader-study-", dir=folder.parent) as place:
        made = Path(place) / "form"
        images = made / "images"
        images.mkdir(parents=True)
        beside: dict[str, str] = {}  # the H&E of a tissue is one file, called after the item that shows it first
        items = []
        for item in key.items:
            if he and item.he not in beside:
                beside[item.he] = _write_image(Path(item.he), images / f"{item.name}-he.png")
            image = _write_image(Path(item.image), images / f"{item.name}.png")
            marker = stain_name(item.stain)
            items.append({"name": item.name, "marker": marker, "image": image, "he": beside.get(item.he)})
        if embed:
            for shown in items:
                shown["image"], shown["he"] = _data_uri(made, shown["image"]), _data_uri(made, shown["he"])
            for path in images.iterdir():
                path.unlink()
            images.rmdir()
        write_text(made / "index.html", page({"study": key.study, "questions": key.questions, "items": items}))
        write_json(key_file, key.model_dump())
        made.replace(folder)
    return [folder / "index.html", key_file]


def _write_image(source: Path, target: Path) -> str:
    """The pixels and nothing else; the address of the image in the page."""
    with named(target):
        Image.fromarray(read_rgb(source)).save(target)
    return f"images/{target.name}"


def _data_uri(folder: Path, image: str | None) -> str | None:
    if image is None:
        return None
    return "data:image/png;base64," + base64.b64encode((folder / image).read_bytes()).decode("ascii")
