"""Features of real images from earlier evaluations: the reference side is worked out once, for all methods."""

from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsbench import __version__, ranks
from vsbench.data.arrays import read_arrays
from vsbench.data.pairs import Pair
from vsbench.evaluation.digests import Digests
from vsbench.files import atomic
from vsbench.metric import Sample

Rows = dict[str, dict[str, NDArray[np.float32]]]  # protocol → SHA-256 of the image → (D,) features


class KnownFeatures:
    """Feature vectors by protocol and SHA-256 of the image, in one file per data set and stain.

    Made by another version of vsbench, or damaged, the file is passed over and written anew.
    """

    def __init__(self, file: Path, digests: Digests) -> None:
        self.file, self.digests = file, digests
        self.rows: Rows = {}
        self.new: Rows = {}  # of them, what the file lacks
        with suppress(OSError, ValueError, KeyError, TypeError):
            stored = read_arrays(file)
            if stored["version"].item() == __version__:
                self.rows = {p: _rows(stored, number) for number, p in enumerate(stored["protocols"].tolist())}

    def give(self, pair: Pair, sample: Sample) -> None:
        """Put what is known of the pair's real image into the sample."""
        image = self.digests.of(pair.ihc)
        known = {protocol: rows[image] for protocol, rows in self.rows.items() if image in rows}
        sample.features("real").update(known)

    def take(self, pair: Pair, sample: Sample) -> None:
        """Keep what has been worked out of the pair's real image."""
        image = self.digests.of(pair.ihc)
        for protocol, row in sample.features("real").items():
            row.flags.writeable = False
            if not protocol.startswith("_") and image not in self.rows.get(protocol, {}):
                for rows in (self.rows, self.new):
                    rows.setdefault(protocol, {})[image] = row

    def save(self) -> None:
        """Write the file where there is something new. Of several ranks the first writes what all have worked out."""
        every = ranks.collect(self.new)
        self.new = {}
        for protocol, rows in (item for new in every for item in new.items()):
            self.rows.setdefault(protocol, {}).update(rows)
        if ranks.rank() == 0 and any(every):
            self._write()

    def _write(self) -> None:
        protocols = sorted(self.rows)
        arrays: dict[str, NDArray[np.generic]] = {"version": np.array(__version__), "protocols": np.array(protocols)}
        for number, protocol in enumerate(protocols):
            images = sorted(rows := self.rows[protocol])  # the file is the same, whoever worked them out
            arrays[f"images_{number}"] = np.array(images)
            arrays[f"features_{number}"] = np.stack([rows[image] for image in images])
        with atomic(self.file) as temporary, temporary.open("wb") as out:
            np.savez(out, allow_pickle=False, **arrays)


def _rows(stored: dict[str, NDArray[np.generic]], number: int) -> dict[str, NDArray[np.float32]]:
    """Features of one protocol by image. Raises ValueError where they are none."""
    images, rows = stored[f"images_{number}"], stored[f"features_{number}"]
    if images.dtype.kind != "U" or rows.dtype != np.float32 or rows.ndim != 2 or not np.isfinite(rows).all():
        raise ValueError("no features by image")
    rows.flags.writeable = False  # all rows of an evaluation see them
    return dict(zip(images.tolist(), rows, strict=True))
