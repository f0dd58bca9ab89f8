"""Which nuclei of one image are those of another."""

import numpy as np

from vsbench.stain.nuclei_outlined import Nuclei

RADIUS = 6.0  # pixels between the centres of one nucleus in two images: 3 µm, as in HoVer-Net's detection F1


def matched(first: Nuclei, second: Nuclei, radius: float = RADIUS) -> int:
    """The most pairs of one nucleus each, no nucleus twice, whose centres lie within ``radius`` pixels."""
    if not first.count or not second.count:
        return 0
    from scipy.sparse.csgraph import maximum_bipartite_matching  # heavy, and listing metrics does not need it
    from scipy.spatial import cKDTree

    near = cKDTree(first.centres).sparse_distance_matrix(cKDTree(second.centres), radius, output_type="coo_matrix")
    near.data[:] = 1  # which pairs are near: a distance of 0 would count as none
    return int(np.count_nonzero(maximum_bipartite_matching(near.tocsr()) >= 0))


def detection_f1(first: Nuclei, second: Nuclei) -> float:
    """2 · matched / (nuclei of both), in [0, 1]; NaN where neither image has a nucleus."""
    both = first.count + second.count
    return 2 * matched(first, second) / both if both else float("nan")
