"""Images brought to another size: by a rule that is stated, and never to another aspect ratio."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from vsbench.bounds import require_whole
from vsbench.data.decode import MAX_SIDE
from vsbench.errors import DataError, UsageError
from vsbench.metric import Image
from vsbench.names import brief

RULES = {
    "bicubic": Pillow.Resampling.BICUBIC,
    "box": Pillow.Resampling.BOX,
    "lanczos": Pillow.Resampling.LANCZOS,
    "nearest": Pillow.Resampling.NEAREST,
}
SIZE = re.compile(r"([1-9][0-9]{0,3})(?:[x×]([1-9][0-9]{0,3}))?")
PROTOCOL = re.compile(rf"(?:resize|size-([1-9][0-9]{{0,3}})x([1-9][0-9]{{0,3}}))-({'|'.join(RULES)})")


@dataclass(frozen=True)
class CommonSize:
    """The one size at which all images of an evaluation are measured, real and generated, and how they get there."""

    height: int
    width: int
    rule: str

    def __post_init__(self) -> None:
        for side in (self.height, self.width):
            require_whole("--size", side, 1, MAX_SIDE)
        checked_rule(self.rule)

    @classmethod
    def parse(cls, size: str, rule: str | None) -> "CommonSize":
        """Of ``--size HEIGHTxWIDTH``, or one number for a square, and ``--resize``. Raises UsageError."""
        sides = SIZE.fullmatch(size)
        if sides is None:
            raise UsageError(f"--size {brief(size)}: HEIGHTxWIDTH in pixels, or one number for a square; 1 to 9999")
        if rule is None:
            raise UsageError(f"--size {size}: say by which rule, --resize {'|'.join(RULES)}")
        return cls(int(sides[1]), int(sides[2] or sides[1]), rule)

    @property
    def protocol(self) -> str:
        """The protocol of an evaluation at this size, and the name of its folder."""
        return f"size-{self.height}x{self.width}-{self.rule}"

    @property
    def said(self) -> str:
        """What must be said beside every number."""
        return f"all images, real and generated, are measured at {self.height}×{self.width}, by Pillow's {self.rule}"

    def bring(self, file: Path, image: Image) -> Image:
        """(H, W, 3) uint8 at this size; ``file`` is what an error names. Raises DataError for another aspect ratio."""
        if not _same_aspect(image, (self.height, self.width)):
            height, width, _ = image.shape
            raise DataError(
                f"{file}: {height}×{width} pixels: --size {self.height}x{self.width} would change the aspect ratio; "
                "give a size that all images can have, or crop this one"
            )
        return resize(image, (self.height, self.width), self.rule)


def brought_to(protocol: str, real: tuple[int, int]) -> CommonSize | None:
    """The size at which an evaluation's images were measured, of which the real IHC is stored at ``real`` (height,
    width); None where that was the size they are stored at.
    """
    if (found := PROTOCOL.fullmatch(protocol)) is None:
        return None
    height, width, rule = found.groups()
    return CommonSize(*(real if height is None else (int(height), int(width))), rule)


def options_of(protocol: str) -> list[str]:
    """The options of ``vsbench evaluate`` that ask for an evaluation's protocol."""
    if (found := PROTOCOL.fullmatch(protocol)) is None:
        return []
    height, width, rule = found.groups()
    return [*([] if height is None else ["--size", f"{height}x{width}"]), "--resize", rule]


def checked_rule(rule: str) -> str:
    """``rule`` if there is a resize rule of that name. Raises UsageError."""
    if rule not in RULES:
        raise UsageError(f"--resize {brief(rule)}: no such rule; one of {', '.join(RULES)}")
    return rule


def resize(image: Image, size: tuple[int, int], rule: str) -> Image:
    """(H, W, 3) uint8 to ``size`` (height, width), as Pillow does: all rules but "nearest" smooth before they shrink.

    An image of that size is returned as it is. Raises UsageError for an unknown rule.
    """
    method = RULES[checked_rule(rule)]
    if image.shape[:2] == size:
        return image
    height, width = size
    return np.array(Pillow.fromarray(image).resize((width, height), method))


def require_aspect(file: Path, image: Image, real: tuple[int, int], rule: str) -> None:
    """Raise DataError, naming ``file``, where ``--resize`` to the real IHC's size would change the aspect ratio."""
    if not _same_aspect(image, real):
        height, width, _ = image.shape
        raise DataError(
            f"{file}: {height}×{width} pixels, but the real IHC has {real[0]}×{real[1]}: --resize {rule} would change "
            "the aspect ratio; crop or make it anew in the aspect ratio of the real IHC"
        )


def _same_aspect(image: Image, size: tuple[int, int]) -> bool:
    """Whether one scale, with sides in whole pixels, leads to that size (height, width)."""
    (height, width), (new_height, new_width) = image.shape[:2], size
    longest = max(height, width, new_height, new_width)
    return abs(height * new_width - width * new_height) < longest  # a pixel of the smaller image's shorter side
