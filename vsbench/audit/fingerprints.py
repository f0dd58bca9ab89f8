"""Tiles that show the same tissue, whatever the shift between them: found by hashes, without comparing all images.

A perceptual hash of a whole tile finds its copies, but not a tile that overlaps it by half. So the hash is taken of
small windows around conspicuous points: they are the same points of the tissue in both tiles, wherever the borders lie.
Windows of equal hash vote for the shift between their tiles. A tile of 256² has about 100 windows, or 1.2 kB.

The hash is pHash (the signs of low frequencies of the cosine transform against their median; Zauner 2010), as in
imagehash.phash, of many windows at once.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter

WINDOW = 32  # px: a few cells of a tile reduced to 256
FREQUENCIES = 8  # of each axis: details of 8 px and more, which JPEG and a shift by half a pixel leave alone
APART = 8  # px within which a point is the most conspicuous
CONSPICUOUS = 1.0  # grey levels of the difference of Gaussians; a sensor's noise of 1.5 levels gives 0.2 (one sigma)

# Bits of 63 in which two windows may differ. Of 2 million pairs of windows of unrelated tiles (phantom and BCI) none
# differs in fewer than 10; of the windows of a BCI tile and of its copy shifted by a fraction of a pixel and lightened,
# 6 of 10 differ in 6 or fewer.
MOST_BITS = 8
VOTES = 2  # windows that must agree on the shift: single matches do occur by accident among billions of pairs
AGREE = 2  # px
BANDS, BAND_BITS = 4, 16  # windows are compared where one band of their hashes is equal
COMMON = 512  # neighbours in the order of a band that are compared: what many tiles share, tells none apart
ONES = np.array([bin(value).count("1") for value in range(1 << 16)], dtype=np.uint8)
COSINES = np.cos(np.pi * (2 * np.arange(WINDOW) + 1) * np.arange(FREQUENCIES)[:, None] / (2 * WINDOW)).astype(
    np.float32
)


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Centres (N, 2) of the windows of a tile and their hashes (N,)."""

    points: NDArray[np.int16]
    hashes: NDArray[np.uint64]


class Candidate(NamedTuple):
    """Tiles ``first`` < ``second`` (places in the list): what is at p in the first is at p + (dy, dx) in the second."""

    first: int
    second: int
    dy: int
    dx: int
    votes: int


def fingerprint(grey: NDArray[np.float32]) -> Fingerprint:
    """Of a (H, W) image of grey levels, 0…255. An empty tile has no conspicuous point, and no hash."""
    salience = np.abs(gaussian_filter(grey, 2.0) - gaussian_filter(grey, 4.0))
    peaks = (salience == maximum_filter(salience, 2 * APART + 1)) & (salience > CONSPICUOUS)
    half = WINDOW // 2
    points = np.argwhere(peaks[half:-half, half:-half])  # corners of the windows
    if min(grey.shape) <= WINDOW or len(points) == 0:
        return Fingerprint(np.empty((0, 2), np.int16), np.empty(0, np.uint64))
    windows = sliding_window_view(grey, (WINDOW, WINDOW))[points[:, 0], points[:, 1]]
    waves = (COSINES @ windows @ COSINES.T).reshape(len(points), -1)[:, 1:]  # (N, 63): the mean says nothing
    bits = np.zeros((len(points), FREQUENCIES**2), np.uint8)
    bits[:, 1:] = waves > np.median(waves, axis=1, keepdims=True)
    hashes = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
    return Fingerprint((points + half).astype(np.int16), hashes)


def candidates(prints: list[Fingerprint]) -> list[Candidate]:
    """The pairs of tiles of which ``VOTES`` windows or more agree on a shift, in the order of the list."""
    if not prints:
        return []
    tile = np.repeat(np.arange(len(prints)), [len(p.hashes) for p in prints])
    points = np.concatenate([p.points for p in prints]).astype(np.int64)
    hashes = np.concatenate([p.hashes for p in prints])
    first, second = _equal_windows(tile, hashes)
    pair = tile[first] * len(prints) + tile[second]
    order = np.argsort(pair, kind="stable")
    first, second, pair = first[order], second[order], pair[order]
    _, starts, counts = np.unique(pair, return_index=True, return_counts=True)
    found = []
    for start, count in zip(starts[counts >= VOTES], counts[counts >= VOTES], strict=True):
        here = slice(start, start + count)
        shifts = (points[second[here]] - points[first[here]]).astype(np.float64)  # (N, 2)
        near: NDArray[np.bool_] = np.abs(shifts[:, None] - shifts).max(axis=-1) <= AGREE
        votes = near.sum(axis=1)
        best = int(votes.argmax())
        if votes[best] >= VOTES:
            dy, dx = np.rint(np.median(shifts[near[best]], axis=0)).astype(int)
            tiles = int(tile[first[start]]), int(tile[second[start]])
            found.append(Candidate(*tiles, int(dy), int(dx), int(votes[best])))
    return found


def _equal_windows(tile: NDArray[np.intp], hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places (N,), (N,) in the list of windows of those that are equal but for ``MOST_BITS``, of different tiles."""
    n, known = len(hashes), [np.empty(0, np.int64)]
    for band in range(BANDS):
        key = (hashes >> np.uint64(band * BAND_BITS)).astype(np.uint16)
        order = np.argsort(key, kind="stable")  # so of two windows, that of the earlier tile comes first
        key = key[order]
        alive = np.arange(n)
        for lag in range(1, COMMON + 1):
            alive = alive[alive + lag < n]
            alive = alive[key[alive] == key[alive + lag]]  # a run that ends at one lag has ended at the next
            if len(alive) == 0:
                break
            one, other = order[alive], order[alive + lag]
            differ = ONES[(hashes[one] ^ hashes[other]).view(np.uint16).reshape(-1, 4)].sum(axis=1, dtype=np.uint16)
            same = (differ <= MOST_BITS) & (tile[one] != tile[other])
            known.append(one[same] * n + other[same])
    both = np.unique(np.concatenate(known))  # once, however many bands are equal
    return both // max(n, 1), both % max(n, 1)
