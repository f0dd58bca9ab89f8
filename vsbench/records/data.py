"""``data.json``: the training images a run learns from, so that it can be said which have changed since."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from vsbench.records.artefact import Artefact, Digest, Text


class TrainingData(Artefact):
    """Of each training pair, by id, the SHA-256 of its files in the order of ``Pair.images``."""

    mend: ClassVar[str] = "remove it: what changed in the training data can then not be said by name"
    largest: ClassVar[int] = 1 << 28  # 600,000 pairs

    files: dict[Text, list[Digest]]

    def changed(self, now: "TrainingData", names: Mapping[str, Sequence[str]]) -> list[str]:
        """Names of what differs in ``now``: a file, of those that ``names`` has by pair, or a pair gone or new."""
        found = [f"{pair} (gone)" for pair in self.files.keys() - now.files.keys()]
        for pair, digests in now.files.items():
            before = self.files.get(pair)
            if before is None:
                found.append(f"{pair} (new)")
            elif len(before) != len(digests):
                found.append(pair)
            else:
                pieces = zip(names[pair], before, digests, strict=True)
                found += [name for name, old, new in pieces if old != new]
        return sorted(found)
