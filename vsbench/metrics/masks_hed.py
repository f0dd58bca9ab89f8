"""``masks`` with the mask of the study it comes from: DAB above 0.07 as scikit-image separates H, E and DAB.

On request: the same quantity again. This mask is wider, and eosin, glass that is grey and dark haematoxylin are in it.

Source of the threshold: Kataria et al., arXiv:2511.04615.
"""

from vsbench.metric import Image
from vsbench.metrics._masks import Outlined
from vsbench.metrics.masks import Masks, Rule, declared
from vsbench.stain.hed import dab_amounts

LEAST = 0.07  # of scikit-image's amount of DAB

HED = Rule(f"hed-{LEAST}", f"pixels with more than {LEAST} of DAB by scikit-image's rgb2hed", "_hed", "HED")


def stained_hed(rgb: Image) -> Outlined:
    """Mask of a (H, W, 3) uint8 RGB image by ``HED``."""
    return Outlined(dab_amounts(rgb) > LEAST)


class HedMasks(Masks):
    """The twelve values of ``masks`` on the wider mask; conventions as there."""

    on_request = True
    values = (*declared(HED), *declared(HED, best=True))
    outlined = staticmethod(stained_hed)
    rule = HED
