"""``images/<split>.json``: what the generated images beside it were made from, and how long that took."""

import math
from typing import Annotated, ClassVar

from pydantic import Field

from vsbench.records.artefact import Artefact, Count, Digest, Text


class Stamp(Artefact):
    """Images are up to date where ``weights`` and ``he`` are those of today; the rest is their speed."""

    mend: ClassVar[str] = "remove it, and evaluate again"

    weights: Digest  # of the file of weights
    he: Digest  # over ids and contents of the H&E
    device: Text | None = None
    images: Count | None = None  # how many took ``seconds``
    seconds: Annotated[float, Field(ge=0)] | None = None

    @property
    def images_per_s(self) -> float | None:
        """None where it is not recorded, as of images made before it was."""
        rate = self.images / self.seconds if self.images and self.seconds else math.inf
        return rate if math.isfinite(rate) else None  # of a time so short that nobody measured it
