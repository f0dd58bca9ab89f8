"""What metrics learn from the training split, before they measure the test split."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from vsbench.data.decode import read_rgb
from vsbench.data.pairs import Pair
from vsbench.errors import DataError
from vsbench.evaluation.group import Group
from vsbench.evaluation.known import KnownFeatures
from vsbench.evaluation.onepass import CHUNK
from vsbench.files import digest
from vsbench.markers import marker
from vsbench.metric import Metric, Sample

Done = Callable[[int, int], None]  # (training images read, of how many)


def training_digest(group: Group, metrics: Iterable[Metric]) -> list[str]:
    """What the numbers of these metrics depend on in the training split: nothing, where none of them learns."""
    if not any(metric.needs_training for metric in metrics):
        return []
    labels = [f"{p.id}:{sorted(p.labels.items())}" for p in group.train]
    return [group.train_digest, digest(labels)]


def teach(group: Group, metrics: Iterable[Metric], done: Done | None = None) -> None:
    """Let those metrics learn that need it; features of the real images are kept for later evaluations.

    Pairs of slides that are in the test split as well are left out. Where there is nothing to learn from, or an image
    is bad, a metric is told why.
    """
    learners = [metric for metric in metrics if metric.needs_training]
    if not learners:
        return
    test = {pair.slide for pair in group.pairs if pair.slide is not None}
    pairs = [replace(p, labels={**p.labels, "stain": marker(group.stain)}) for p in group.train if p.slide not in test]
    why = "" if pairs else "no training split here, or none of slides that are not in the test split"
    of = "" if group.size is None else f"-{group.size.protocol}"
    known = KnownFeatures(group.folder / f"train{of}.npz", group.digests)
    for metric in learners:
        try:
            metric.learn(_samples(group, pairs, known, done), why)
        except DataError as error:
            metric.learn((), f"a training image is bad: {error}")
    known.save()


def _samples(group: Group, pairs: Sequence[Pair], known: KnownFeatures, done: Done | None) -> Iterator[list[Sample]]:
    """The real IHC of these pairs, some at a time. Raises DataError for a bad one."""
    for start in range(0, len(pairs), CHUNK):
        some = pairs[start : start + CHUNK]
        samples = [_sample(group, pair) for pair in some]
        for pair, sample in zip(some, samples, strict=True):
            known.give(pair, sample)
        yield samples
        for pair, sample in zip(some, samples, strict=True):
            known.take(pair, sample)
        if done is not None:
            done(start + len(some), len(pairs))


def _sample(group: Group, pair: Pair) -> Sample:
    ihc = read_rgb(pair.ihc)
    if group.size is not None:
        ihc = group.size.bring(pair.ihc, ihc)
    ihc.flags.writeable = False
    return Sample(pair.id, ihc, ihc, ihc, labels=pair.labels)
