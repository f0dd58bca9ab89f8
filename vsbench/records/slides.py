"""``frames/<pair>.json``: the frame that the slides of a pair were judged in, with how the real one lies in it."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from vsbench.records.artefact import Artefact, Count

FRAMES = "frames"  # folder beside a summary: where each pair's slides lie
Micrometres = Annotated[float, Field(gt=0)]


class SlideFrame(Artefact):
    """``pixel``: µm of the frame's, and of each slide's finest. Beside it, in the same file, the transform that
    ``slides.alignment.read_alignment`` reads, from the frame's pixels to the real slide's finest.
    """

    mend: ClassVar[str] = "evaluate the slides again"
    largest: ClassVar[int] = 1 << 26

    schema_: Literal[1] = Field(alias="schema")
    height: Count
    width: Count
    pixel: Micrometres
    he_pixel: Micrometres
    real_pixel: Micrometres
    generated_pixel: Micrometres
