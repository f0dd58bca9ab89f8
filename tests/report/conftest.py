"""Results trees as an evaluation leaves them, made from nothing: small images, chosen numbers."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from vsbench.engine.step import Execution
from vsbench.evaluation.ablate import StudyRow
from vsbench.stain.dab import integrated_density

VALUES = {  # name: label, unit, best, protocol
    "iod": ("IoD", "1e7 OD·px", "low", "iod/fiji"),
    "iod_bias": (r"IoD$_\mathrm{bias}$", "%", "zero", "iod_bias/fiji"),
    "iod_mae": (r"IoD$_\mathrm{MAE}$", "OD", "low", "iod_mae/fiji"),
    "iod_bias_balanced": (r"IoD$_\mathrm{bias}^\mathrm{bal}$", "%", "zero", "iod_bias/balanced"),
    "iod_mae_balanced": (r"IoD$_\mathrm{MAE}^\mathrm{bal}$", "OD", "low", "iod_mae/balanced"),
    "r_p_balanced": (r"$R_p^\mathrm{bal}$", "%", "high", "r_p/balanced"),
    "r_p": ("$R_p$", "%", "high", "r_p/iod-fiji"),
    "r_c": ("$R_c$", "%", "high", "r_c/gray-mean"),
    "r_avg": (r"$R_\mathrm{avg}$", "%", "high", "r_avg"),
    "r_c_undefined": ("$R_c$ undefined", "images", "low", "r_c/gray-mean"),
    "fid": ("FID", "1", "low", "fid/torch-fidelity"),
    "phv_avg": (r"$\mathrm{PHV}_\mathrm{avg}$", "1", "low", "phv/released"),
    "ccc": ("CCC", "1", "high", "ccc/mean-od-fiji"),
    "truth_mae": (r"MAE$_\mathrm{true}$", "1", "low", "truth_mae"),
    "ssim": ("SSIM", "1", "high", "ssim/skimage-rgb-uniform7"),
    "psnr": ("PSNR", "dB", "high", "psnr/skimage-rgb-255"),
}


class Tree:
    """Writes runs under ``results/runs``; pairs are small pictures with nuclei, more of them in later ones."""

    def __init__(self, root: Path, n: int = 6, size: int = 32, slides: int = 3) -> None:
        self.results = root / "results"
        self.images = root / "images"
        self.n, self.size, self.slides = n, size, slides

    def add(
        self,
        row: str,
        values: dict[str, Any],
        *,
        dataset: str = "mist",
        stain: str = "er",
        title: str | None = None,
        seed: int | None = 0,
        kind: str = "trained",
        **changes: Any,
    ) -> Path:
        """One run. A value is a number, "inf", a reason (text) where absent, or a dict that replaces fields."""
        leaf = {"trained": f"seed-{seed}", "reference": "reference", "external": "external"}[kind]
        folder = self.results / "runs" / f"{dataset}-{stain}" / row / leaf
        evaluation = folder / "evaluation" / "native"
        evaluation.mkdir(parents=True)
        pairs, table = [], []
        for i in range(self.n):
            files = {part: self._image(f"{stain}-{part}", i) for part in ("he", "ihc", "truth")}
            fake = None
            if kind != "reference":
                fake = folder / "images" / "test" / f"{i:03d}.png"
                fake.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(self.picture(i, f"{row}{seed}{stain}")).save(fake)
            pairs.append(
                {"id": f"{i:03d}", "he": str(files["he"]), "ihc": str(files["ihc"]), "truth": str(files["truth"])}
                | {"fake": None if fake is None else str(fake.relative_to(folder))}
            )
            real = np.asarray(Image.open(files["ihc"]))
            line = {"id": f"{i:03d}", "slide": f"slide {i % self.slides}", "height": self.size, "width": self.size}
            table.append(line | {"intden_real": integrated_density(real)})
        measured = per_image(pd.DataFrame(table), values, f"{row}{seed}")
        measured.to_csv(evaluation / "per_image.csv", index=False)
        summary = {
            "schema": 1,
            "kind": kind,
            "dataset": dataset,
            "stain": stain,
            "split": "test",
            "row": row,
            "title": title or row,
            "seed": seed if kind == "trained" else None,
            "protocol": "native",
            "n": self.n,
            "n_slides": self.slides,
            "sizes": [f"{self.size}x{self.size}"],
            "data_digest": f"{hash_of(dataset + stain)}",
            "images_digest": "0" * 64,
            "vsbench": "0.1.0",
            "pairs": pairs,
            "warnings": ["slides are shared by train and test"],
            "values": {name: reading(name, value) for name, value in values.items()},
        }
        (evaluation / "summary.json").write_text(json.dumps(summary | changes), encoding="utf-8")
        cost = {"finished": True, "device": "cpu, x86_64, 1 threads", "world": 1, "steps": 4, "wall_time_s": 100.0}
        cost |= {"parameters": {"generator": 1000, "discriminator": 500}, "peak_memory_bytes": None}
        record = {"kind": kind, "dataset": dataset, "stain": stain, "row": row, "title": summary["title"]}
        training = {"method": "cut", "config": {}, "seed": seed}
        record |= cost | training if kind == "trained" else {}
        (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
        return folder

    def add_row(self, row: StudyRow, values: dict[str, Any], *, seed: int, **changes: Any) -> Path:
        """A finished and evaluated run of a row of an ablation study of USIGAN."""
        folder = self.add(row.folder, values, seed=seed, **changes)
        record = {
            "kind": "trained", "row": row.folder, "title": row.folder, "method": "usigan", "seed": seed,
            "config": row.config.model_dump(mode="json"), "dataset": "mist", "dataset_options": {}, "stain": "er",
            "steps": 4, "finished": True, "select": "last", "execution": asdict(Execution()),
        }  # fmt: skip
        (folder / "run.json").write_text(json.dumps(record))
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "step-00000004.safetensors").touch()
        return folder

    def also_in(self, folder: Path, protocol: str) -> Path:
        """The evaluation of a run in another protocol beside the one it has, with the same numbers."""
        there = folder / "evaluation" / protocol
        shutil.copytree(folder / "evaluation/native", there)
        summary = json.loads((there / "summary.json").read_text(encoding="utf-8")) | {"protocol": protocol}
        for value in summary["values"].values():
            value["protocol"] += f"+{protocol}"
        (there / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
        return there

    def picture(self, index: int, part: str) -> NDArray[np.uint8]:
        """(size, size, 3): pale ground with nuclei; brown for IHC, violet for H&E."""
        generator = np.random.default_rng([index, *part.encode()])
        y, x = np.mgrid[: self.size, : self.size] / self.size
        picture = np.full((self.size, self.size, 3), (236, 228, 235), float)
        picture += 6 * generator.normal(size=picture.shape)
        for _ in range(4 + 3 * index):
            cx, cy, radius = *generator.random(2), 0.03 + 0.05 * generator.random()
            brown = (120, 70, 40) if "-he" not in part else (110, 70, 150)
            picture[np.hypot(x - cx, y - cy) < radius] = np.array(brown) + 12 * generator.normal(size=3)
        return np.clip(picture, 0, 255).astype(np.uint8)

    def _image(self, part: str, index: int) -> Path:
        path = self.images / part / f"{index:03d}.png"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(self.picture(index, part)).save(path)
        return path


def per_image(table: pd.DataFrame, values: dict[str, Any], key: str) -> pd.DataFrame:
    """The table of a run with columns that give its ``values`` of R_p, R_c, IoD_MAE and SSIM, as far as it has these.

    Without a value a column is left out, but for densities, which no value need be known of.
    """
    generator = np.random.default_rng([*key.encode()])
    real, pixels = table["intden_real"].to_numpy(), table["height"] * table["width"]
    r = values["r_p"] / 100 if isinstance(values.get("r_p"), float) else 0.5
    own, other = (real - real.mean()) / (real.std() or 1.0), generator.normal(size=len(real))
    other -= other.mean() + own * (own * other).mean()
    other *= np.sqrt(1 - r * r) / (other.std() or 1.0)
    fake = real.mean() * (1.1 + 0.2 * (r * own + other))
    table = table.assign(intden=fake, mean_od=fake / pixels, mean_od_real=real / pixels)
    for name in ("r_c", "iod_mae", "ssim"):
        if isinstance(value := values.get(name), float):
            noise = generator.normal(size=len(table))
            table[name] = value * (1 + 0.1 * (noise - noise.mean()))
    return table


def hash_of(text: str) -> str:
    """64 hexadecimal digits."""
    return (text.encode().hex() * 64)[:64]


def reading(name: str, value: Any) -> dict[str, Any]:
    """The entry of one value in a summary."""
    label, unit, best, protocol = VALUES[name]
    entry = {
        "label": label,
        "unit": unit,
        "best": best,
        "protocol": protocol,
        "formula": "",
        "value": None,
        "reason": None,
    }
    if isinstance(value, dict):
        return entry | value
    if isinstance(value, str) and value != "inf":
        return entry | {"reason": value}
    return entry | {"value": value}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """An empty results tree."""
    return Tree(tmp_path)


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[..., Tree]:
    """A results tree with other pictures."""
    return lambda **options: Tree(tmp_path, **options)
