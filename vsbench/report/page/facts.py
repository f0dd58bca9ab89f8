"""What a run says of itself, for the panel that opens on a number: digests, versions, commands, files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsbench.report.page.links import is_beside
from vsbench.report.page.texts import Texts, address
from vsbench.report.tables import EvaluatedRun

DIGESTS = {
    "data_digest": "test images",
    "split_digest": "split",
    "train_digest": "training images",
    "images_digest": "generated images",
    "weights_digest": "weights of the run",
}
SAID = {
    "git": "commit",
    "versions": "versions",
    "evaluated_by": "evaluated by vsbench",
    "benchmark": "benchmark",
    "measured_with": "measured with",
    "bootstrap": "intervals",
    "preset": "preset",
    "settings": "settings that differ from it",
    "device": "device",
    "chosen_step": "step",
    "wall_time_s": "training time, s",
    "peak_memory_bytes": "peak memory, bytes",
    "parameters": "parameters",
}


@dataclass(frozen=True)
class Facts:
    """A run's summary, and its record of provenance."""

    run: EvaluatedRun
    record: Mapping[str, Any]

    @property
    def method(self) -> str | None:
        """The registered name of the method that was trained; None for images from elsewhere and references."""
        name = self.record.get("method")
        return name if isinstance(name, str) else None

    def formula(self, value: str) -> str:
        """How a value is computed, as it was when this run was evaluated."""
        return self.run.values[value].formula if value in self.run.values else ""

    def interval(self, value: str) -> tuple[float, float] | None:
        """The 95 % limits of a value of this run alone, over slides."""
        limits = (self.run.values[value].interval if value in self.run.values else None) or {}
        low, high = limits.get("low"), limits.get("high")
        return (float(low), float(high)) if isinstance(low, int | float) and isinstance(high, int | float) else None

    def described(self, out: Path, texts: Texts) -> dict[str, Any]:
        """The run for the page in the folder ``out``: [name, number of the text] pairs, commands, files."""
        run, record = self.run, self.record
        folder = run.summary.parent
        return {
            "name": run.folder.name if run.seed is None else f"seed {run.seed}",
            "digests": [[name, texts(_line(record[key]))] for key, name in DIGESTS.items() if record.get(key)],
            "facts": [[name, texts(_line(record[key]))] for key, name in SAID.items() if record.get(key)],
            "commands": [texts(command) for command in record.get("commands", [])],
            "notes": [texts(note) for note in record.get("notes", [])],
            "files": [
                [path.name, address(path, out)]
                for path in (run.summary, folder / "per_image.csv", run.folder / "run.json")
                if is_beside(path, out, run.folder.parents[3])
            ],
        }


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_line(item)}" for name, item in value.items())
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
