"""Nuclei found one by one in H&E and IHC alike: what holds more nuclear stain than its surroundings, parted where thin.

Haematoxylin, and a share of DAB, by deconvolution with eosin as the third stain: so brown nuclei are seen, and eosin is
not. DAB counts little, since a brown nucleus is counterstained too, and brown membranes are no nuclei. The density is
smoothed, less its mean nearby, and cut at a share of Otsu's threshold; the distance to the border of what is left has a
peak in each nucleus, from which a watershed parts them.

The constants are pixels of about 0.5 µm, fixed on the phantom's training tiles (benchmarks/nuclei.py). On its test
tiles F1 of centres within 6 pixels is 0.92 in H&E, 0.93 in IHC of Ki67 and 0.90 in IHC of HER2; most of what is missed
lies under or over another nucleus.

On real pairs it is a rougher tool. BCI's three public ones, with the outlines drawn over them: in H&E single nuclei are
outlined well, crowded ones by and large, and a thick dense epithelium is cut into pieces that are no nuclei, as are
folds, pigment and borders of tissue. In a pale IHC a third to a half of the nuclei that the eye sees are missed; where
cytoplasm is brown, pieces of it are taken for nuclei. Below 20× (CIMA's pairs) it finds clumps, not nuclei. So counts
compare images by one rule, and are no cell counts.
"""

import numpy as np
from numpy.typing import NDArray

from vsbench.stain.density import DAB, EOSIN, HAEMATOXYLIN, optical_density, stain_matrix
from vsbench.stain.nuclei_outlined import Nuclei, nuclei_of

DAB_SHARE = 0.2  # of DAB's density that counts as nuclear, beside all of haematoxylin's
SMOOTHING = 0.7  # standard deviation, pixels
NEARBY = 101  # side of the square whose mean is the background, pixels
OTSU_SHARE = 0.4  # of Otsu's threshold above that mean
LEAST = 0.015  # density above that mean; less is no stain
DISTANCE_SMOOTHING = 1.0  # standard deviation, pixels: so that one nucleus has one peak
WINDOW = 5  # side of the square in which a peak is the highest
SMALLEST = 25  # pixels of a nucleus
TRUST = "the detector's own F1 on the phantom's test tiles: 0.92 in H&E, 0.93 in Ki67, 0.90 in HER2"
RULE = (
    f"h+{DAB_SHARE:g}dab-s{SMOOTHING:g}-less{NEARBY}-otsu{OTSU_SHARE:g}-od{LEAST:g}"
    f"-edt{DISTANCE_SMOOTHING:g}-w{WINDOW}-area{SMALLEST}"
)  # for protocols


def detected_nuclei(rgb: NDArray[np.uint8]) -> Nuclei:
    """Of a (H, W, 3) uint8 RGB image, H&E or IHC."""
    from scipy import ndimage  # heavy, and listing metrics does not need it
    from skimage.filters import threshold_otsu
    from skimage.segmentation import watershed

    density = ndimage.gaussian_filter(_nuclear_density(rgb), SMOOTHING)
    above = density - ndimage.uniform_filter(density, NEARBY)
    nuclear = above > max(OTSU_SHARE * threshold_otsu(above), LEAST)
    distance = ndimage.distance_transform_edt(nuclear).astype(np.float32)
    distance = ndimage.gaussian_filter(distance, DISTANCE_SMOOTHING)
    peaks = nuclear & (distance == ndimage.maximum_filter(distance, WINDOW))
    seeds, _ = ndimage.label(peaks, np.ones((3, 3)))
    labels = watershed(-distance, seeds, mask=nuclear)
    large = np.bincount(labels.ravel()) >= SMALLEST
    return nuclei_of(np.where(large[labels], labels, 0))


def _nuclear_density(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W): of haematoxylin, and ``DAB_SHARE`` of that of DAB."""
    haematoxylin, _, dab = np.linalg.inv(stain_matrix(HAEMATOXYLIN, EOSIN, DAB)).T
    by_level = np.outer(haematoxylin + DAB_SHARE * dab, optical_density(np.arange(256))).astype(np.float32)
    red, green, blue = (table[rgb[..., channel]] for channel, table in enumerate(by_level))
    return red + green + blue
