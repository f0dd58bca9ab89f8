"""``masks`` with the mask of the study it comes from: DAB above 0.07 as scikit-image separates H, E and DAB.

On request: the same quantity again. 0.07 is an optical density of 0.42, so nearly that of ``masks``; but eosin is
separated as a stain of its own, which Fiji's "H DAB" takes for DAB in part.

Source of the threshold: Kataria et al., arXiv:2511.04615.
"""

from vsbench.metric import Image, Sample, Which
from vsbench.metrics._masks import Outlined
from vsbench.metrics.masks import Masks, Rule, declared
from vsbench.stain.hed import dab_amounts

LEAST = 0.07  # of scikit-image's amount of DAB

HED = Rule(f"hed-{LEAST}", f"pixels with more than {LEAST} of DAB by scikit-image's rgb2hed", "_hed", "HED")


def stained_hed(sample: Sample, which: Which) -> Outlined:
    """Mask of one of a sample's images by ``HED``."""
    return sample.once(which, _outlined)


def _outlined(rgb: Image) -> Outlined:
    return Outlined(dab_amounts(rgb) > LEAST)


class HedMasks(Masks):
    """The values of ``masks`` by this mask; conventions as there."""

    on_request = True
    values = (*declared(HED), *declared(HED, best=True))
    outlined = staticmethod(stained_hed)
    rule = HED
