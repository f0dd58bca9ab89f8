"""What a benchmark version means: ``python -m benchmarks.version`` records what is new in the present one.

An entry that is recorded and has changed is not overwritten: a changed number is another version
(``vsbench.benchmark``), with a line in the changelog. Recorded are protocols and formulas, how splits are made, rules
of measuring, and every set value that needs no weights of a few made-up pairs.
"""

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vsbench import registry
from vsbench.benchmark import BENCHMARK
from vsbench.data.pairs import Pair
from vsbench.data.splits import by_fold, by_slide
from vsbench.evaluation.group import PROTOCOL, SPLIT
from vsbench.evaluation.onepass import Measured, measure, set_values
from vsbench.evaluation.references import REFERENCES
from vsbench.evaluation.summary import BOOTSTRAP_SEED
from vsbench.files import digest, read_json, write_json
from vsbench.metric import Absent, Metric
from vsbench.stats.bootstrap import LIMITS, RESAMPLES
from vsbench.stats.slides import ENOUGH

FILE = Path(__file__).with_name("versions") / f"{BENCHMARK}.json"
PAIRS, SIDE, GLASS = 6, 176, 40  # pixels, and of the side that glass takes: MS-SSIM and the light need so many
CLOSE = 1e-6  # relative: another machine sums in another order

Entries = dict[str, str | float | None]


def current() -> Entries:
    """All that a version means, as the code has it now; of plug-ins nothing."""
    return {**_protocols(), **_splits(), **_rules(), **_values()}


def changed(recorded: Entries, now: Entries) -> list[str]:
    """The names of recorded entries that are otherwise now, or gone."""
    return [name for name, before in recorded.items() if not _alike(before, now.get(name, "gone"))]


def recorded() -> Entries:
    """The entries of the present version; none before they are written."""
    return read_json(FILE)["entries"] if FILE.exists() else {}


def _alike(before: str | float | None, now: str | float | None) -> bool:
    if isinstance(before, float | int) and isinstance(now, float | int):
        return math.isclose(before, now, rel_tol=CLOSE, abs_tol=1e-9)
    return before == now


def _ours(group: str) -> list[str]:
    return [name for name, entry in registry.entries(group).items() if entry.source == "vsbench"]


def _metrics() -> dict[str, type[Metric]]:
    return {name: registry.load("vsbench.metrics", name) for name in _ours("vsbench.metrics")}


def _protocols() -> Entries:
    found: Entries = {}
    for metric in _metrics().values():
        for value in metric.values:
            found[f"protocol of {value.name}"] = value.protocol
            found[f"formula of {value.name}"] = value.formula
    return found


def _splits() -> Entries:
    slides = [f"S{number:02}" for number in range(20)]
    found: Entries = {
        "split by slides": " ".join(s for s, split in by_slide(slides, 0.8, 0).items() if split == "test"),
        "split by folds": " ".join(f"{s}:{fold}" for s, fold in by_fold(dict.fromkeys(slides, 3), 5, 0).items()),
    }
    for name in _ours("vsbench.datasets"):
        source = registry.load("vsbench.datasets", name).from_options({})
        found[f"split of {name}"] = json.dumps(
            {
                "options": source.config.model_dump(mode="json"),
                "unit": source.card.split_unit,
                "counts": {f"{stain} {split}": count for (stain, split), count in sorted(source.card.counts.items())},
            },
            sort_keys=True,
        )
    return found


def _rules() -> Entries:
    return {
        "rule: split": SPLIT,
        "rule: protocol": PROTOCOL,
        "rule: references": " ".join(REFERENCES),
        "rule: intervals": f"{LIMITS}; {RESAMPLES} resamples, seed {BOOTSTRAP_SEED}; from {ENOUGH} units on",
    }


def _values() -> Entries:
    """Set values of made-up pairs, of all families that need neither weights nor a choice."""
    metrics = {name: metric() for name, metric in _metrics().items()}
    plain = {name: metric for name, metric in metrics.items() if _is_plain(metric)}
    with tempfile.TemporaryDirectory() as place:
        pairs = _pairs(Path(place))
        found = measure(pairs, {"row": lambda pair, he, real: _faded(he, real)}, plain)["row"]
    assert isinstance(found, Measured), found
    values = set_values(plain, found)
    return {f"value of {name}": None if isinstance(v, Absent) else float(f"{v:.9g}") for name, v in values.items()
            if isinstance(v, Absent) or math.isfinite(v)}  # fmt: skip


def _is_plain(metric: Metric) -> bool:
    needs = metric.needs or metric.needs_truth or metric.needs_cells or metric.needs_training
    return not needs and metric.unavailable() is None


def _pairs(place: Path) -> list[Pair]:
    """Blocks of brown on violet tissue beside glass, by a seed: three slides of two, with much DAB and without."""
    found = []
    for number in range(PAIRS):
        rng = np.random.default_rng(number)
        coarse = rng.random((SIDE // 8, SIDE // 8)).repeat(8, 0).repeat(8, 1)
        fine = 0.05 * rng.random((SIDE, SIDE))
        brown = np.where(coarse > (0.2, 0.55, 0.7, 0.95, 0.995, 1)[number], 0.9, 0.05)
        stains = {"he": (0.4 * coarse + fine, 0 * brown), "ihc": (0.25 * coarse + fine, brown)}
        files = {}
        for name, (violet, dab) in stains.items():
            density = violet[..., None] * (0.55, 0.62, 0.38) + dab[..., None] * (0.27, 0.57, 0.78)
            density[:, :GLASS] = 0
            files[name] = place / f"{name}-{number}.png"
            Image.fromarray(np.rint(250 * 10**-density).astype(np.uint8)).save(files[name])
        found.append(
            Pair(
                f"{number}", files["he"], files["ihc"], f"slide {number // 2}", "test", labels={"stain": "ki67"},
                pixel_size=0.5,
            )
        )  # fmt: skip
    return found


def _faded(he: Any, real: Any) -> Any:
    """A generated image: the real one, moved by two pixels and mixed with the H&E, which it is at the top."""
    fake = (0.7 * np.roll(real, 2, axis=0) + 0.3 * he).round().astype(np.uint8)
    fake[: SIDE // 4] = he[: SIDE // 4]
    return fake


def main() -> None:
    """Record what is new; exit code 1 where something recorded has changed."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    before, now = recorded(), current()
    if wrong := changed(before, now):
        print(f"{BENCHMARK}: changed, so another version is due: {', '.join(wrong)}")
        sys.exit(1)
    entries = before | {name: value for name, value in now.items() if name not in before}
    write_json(
        FILE,
        {"version": BENCHMARK, "digest": digest(f"{k}={v}" for k, v in sorted(entries.items())), "entries": entries},
    )
    print(f"{FILE}: {len(entries)} entries, {len(entries) - len(before)} of them new")


if __name__ == "__main__":
    main()
