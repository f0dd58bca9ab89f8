"""Sheets that show what a method makes while it trains."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vsbench.data.decode import read_rgb
from vsbench.data.pairs import Pair
from vsbench.engine.translate import translate_image
from vsbench.files import atomic
from vsbench.method import Method

GAP = 4  # white pixels between panels


def draw_sheet(path: Path, method: Method[Any], pairs: Sequence[Pair], size: int, device: torch.device) -> None:
    """One row per pair: H&E | generated | real IHC, central squares of at most ``size`` pixels. Nothing random."""
    was_training = method.training
    method.eval()
    rows = []
    for pair in pairs:
        he, ihc = (_centre(read_rgb(file), size) for file in (pair.he, pair.ihc))
        rows.append([he, translate_image(method, he, device), ihc])
    method.train(was_training)
    with atomic(path) as temporary:
        Image.fromarray(_tile(rows)).save(temporary, format="PNG")


def _centre(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    height, width, _ = image.shape
    side = min(size, height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def _tile(rows: list[list[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    side = max(panel.shape[0] for row in rows for panel in row)
    step = side + GAP
    sheet = np.full((len(rows) * step - GAP, len(rows[0]) * step - GAP, 3), 255, dtype=np.uint8)
    for i, row in enumerate(rows):
        for j, panel in enumerate(row):
            height, width, _ = panel.shape
            sheet[i * step : i * step + height, j * step : j * step + width] = panel
    return sheet
