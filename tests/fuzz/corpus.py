"""Whole files to begin with, each kind in a folder of its own, as the suite itself or other programs write them."""

import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vsbench.cli.display import TrainingDisplay
from vsbench.cli.options import make_fabric
from vsbench.data.prepare import prepare
from vsbench.engine.request import Request
from vsbench.engine.run import Run, find_runs
from vsbench.engine.start import start
from vsbench.engine.trainer import Rhythm
from vsbench.evaluation.evaluate import evaluate_images, evaluate_runs
from vsbench.evaluation.group import Group
from vsbench.evaluation.instrument import Instrument
from vsbench.exchange.bundle import Saying, write_bundle
from vsbench.exchange.submissions import make
from vsbench.reader_study.draw import draw
from vsbench.reader_study.form import write_study
from vsbench.registry import load

SIZE = 48
SLIDES = {"slide": r"^(S\d+)_"}
SETTINGS = {"steps": 2, "crop_size": 32, "load_size": 32, "width": 4, "downs": 3, "discriminator_layers": 1}
REPOSITORY = Path(__file__).parents[2]
BEFORE = REPOSITORY / "tests/records/results-0.1.0"
SAVED: dict[str, dict[str, Any]] = {  # options of Pillow by file name
    "plain.png": {},
    "stored.png": {"compress_level": 0},
    "photo.jpg": {"quality": 90},
    "progressive.jpg": {"progressive": True, "subsampling": 0},
    "raw.tif": {},
    "deflated.tif": {"compression": "tiff_deflate"},
    "lzw.tif": {"compression": "tiff_lzw"},
    "jpeg.tif": {"compression": "jpeg"},
    "packed.tif": {"compression": "packbits"},
    "plain.bmp": {},
    "lossless.webp": {"lossless": True},
    "lossy.webp": {},
}


def picture(seed: int, brown: bool) -> Image.Image:
    """Pale ground with nuclei, violet or brown, SIZE² pixels."""
    rng = np.random.default_rng([seed, brown])
    y, x = np.mgrid[:SIZE, :SIZE]
    pixels = np.full((SIZE, SIZE, 3), (236.0, 228.0, 235.0)) + 4 * rng.normal(size=(SIZE, SIZE, 3))
    for _ in range(6):
        cy, cx, radius = rng.integers((0, 0, 3), (SIZE, SIZE, 8))
        pixels[np.hypot(y - cy, x - cx) < radius] = (120, 70, 40) if brown else (110, 70, 150)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def make_pairs(root: Path) -> Path:
    """Four training and six test pairs of three slides, for the data set ``folder``."""
    for split, count in (("train", 4), ("test", 6)):
        for number in range(count):
            for side in ("he", "ihc"):
                file = root / side / split / f"S{number % 3}_x{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                picture(number + 10 * (split == "test"), side == "ihc").save(file)
    return root


def make_images(root: Path) -> Path:
    """One picture in every format that is read, and kinds that are refused."""
    root.mkdir()
    whole = picture(0, True)
    for name, options in SAVED.items():
        whole.save(root / name, **options)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation
    whole.save(root / "turned.jpg", exif=exif)
    whole.save(root / "turned.png", exif=exif)
    clear = whole.convert("RGBA")
    clear.putalpha(200)
    clear.save(root / "alpha.png")
    whole.convert("L").save(root / "grey.png")
    whole.convert("P").save(root / "palette.png")
    whole.save(root / "pages.tif", save_all=True, append_images=[whole])
    return root


def make_archives(root: Path, pairs: Path) -> Path:
    """The pairs as every packer leaves them."""
    root.mkdir()
    names = sorted(file for file in pairs.rglob("*") if file.is_file())
    for name, method in (("stored.zip", zipfile.ZIP_STORED), ("deflated.zip", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(root / name, "w", method) as packed:
            for file in names:
                packed.write(file, file.relative_to(pairs))
    modes = {"plain.tar": "w", "pairs.tar.gz": "w:gz", "pairs.tar.bz2": "w:bz2", "pairs.tar.xz": "w:xz"}
    for name, mode in modes.items():
        kind = tarfile.GNU_FORMAT if name.startswith("plain") else tarfile.PAX_FORMAT
        with tarfile.open(root / name, mode, format=kind, pax_headers={"comment": "é"}) as tar:  # type: ignore[call-overload]
            for file in names:
                tar.add(file, file.relative_to(pairs))
    return root


def make_configs(root: Path) -> Path:
    """Settings of a method and a data set, a request, and the settings file."""
    root.mkdir()
    (root / "settings.yaml").write_text("lr: 0.0002\nsteps: 2\nwidth: 4\nbetas: [0.5, 0.999]\n", encoding="utf-8")
    (root / "set.txt").write_text("lr=1e-4\nbetas=[0.5, 0.9]\nslide=^(S1)\nsplit_by=folders\n", encoding="utf-8")
    request = Request("pix2pix", "folder", "ki67", "cpu", dict(SETTINGS), dict(SLIDES), seed=3, label="mine")
    (root / "request.yaml").write_text(request.as_yaml(), encoding="utf-8")
    (root / "user.yaml").write_text("data_root: /somewhere\n", encoding="utf-8")
    (root / "list.txt").write_text("S0_x0\nS1_x1\n", encoding="utf-8")
    published = REPOSITORY / "results/published"
    shutil.copytree(published, root / "published", ignore=shutil.ignore_patterns("__*"))
    return root


def make_prepared(root: Path, archives: Path) -> Path:
    """A data root with a manifest."""
    prepare(load("vsbench.datasets", "folder").from_options({}), "folder", archives / "stored.zip", root, ["ki67"])
    return root


def make_results(root: Path, pairs: Path) -> Path:
    """A training in two seeds, images made elsewhere, the references, a study's record, and a reader study."""
    fabric, quiet = make_fabric("cpu", 1, "32-true"), TrainingDisplay(quiet=True)
    for seed in (0, 1):
        asked = Request(
            "pix2pix", "folder", "ki67", "cpu", dict(SETTINGS), dict(SLIDES), pairs, seed, results=root,
            select="best", validate_every=1, validation_share=0.5,
        )  # fmt: skip
        start(asked, fabric, False, 0, Rhythm(1, 2, 1), quiet)
    whole = Instrument.build("cpu", (), "n/a", 0)
    large = ("fid", "fid_pytorch", "phv_imagenet")  # of these there are smaller ones of the same kind
    instrument = Instrument({name: metric for name, metric in whole.metrics.items() if name not in large})
    _, failures = evaluate_runs(list(find_runs(root)), pairs, root, instrument, fabric.device)
    group = Group("folder", dict(SLIDES), "ki67", pairs, root)
    _, failed = evaluate_images(pairs / "ihc/test", "made", group, instrument)
    if failures or failed:
        raise RuntimeError(f"the corpus can't be made: {[*failures, *failed]}")
    shutil.copytree(BEFORE / "report", root / "report")
    return root


def make_bundles(root: Path, run: Path, pairs: Path) -> Path:
    """A training's bundle as a zip, and unpacked."""
    root.mkdir()
    for name in ("packed.zip", "unpacked"):
        write_bundle(Run(run), root / name, Saying(licence="cc0-1.0", pixel_size=0.5), pairs / "he/test")
    return root


def make_submissions(root: Path, results: Path) -> Path:
    """All evaluated methods, each with its tables."""
    list(make([results], root, by="some-one", doi="10.1234/abc.5", tables=True))
    return root


def make_reader_study(root: Path, results: Path) -> Path:
    """A key, and the scores of two readers."""
    key = draw(results, n=3, repeats=1)
    root.mkdir()
    write_study(key, root / "form", root / "key.json", he=False, embed=False)
    shutil.rmtree(root / "form")
    for reader in ("ann", "bob"):
        lines = [
            f"{key.study},{reader},{item.name},q1,{1 + len(reader + item.name + item.id) % 5}" for item in key.items
        ]
        text = "\n".join(["study,reader,item,question,score", *lines, ""])
        (root / f"{reader}.csv").write_text(text, encoding="utf-8")
    return root
