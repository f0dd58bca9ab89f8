"""``draws.json``: the values of one run translated with several translation seeds."""

from statistics import fmean, stdev
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from vsbench.records.artefact import Artefact, Digest, Seed

Draw = Annotated[float, Field(allow_inf_nan=False)] | None


class Draws(Artefact):
    """What a method that samples makes of the same H&E, weights unchanged: how far its values depend on the draw.

    ``values``: name → one number for each of ``seeds``, whose first is the run's own; None where it is absent.
    ``fingerprint``: of the summary beside it, to which these draws belong.
    """

    mend: ClassVar[str] = "remove it, and evaluate with --draws again"

    schema_: Literal[1] = Field(alias="schema")
    fingerprint: Digest
    seeds: list[Seed]
    values: dict[str, list[Draw]]

    @model_validator(mode="after")
    def _one_number_for_each_seed(self) -> "Draws":
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("a seed stands twice")
        if wrong := [name for name, numbers in self.values.items() if len(numbers) != len(self.seeds)]:
            raise ValueError(f"{wrong[0]}: not one number for each of {len(self.seeds)} seeds")
        return self

    def spread(self, name: str) -> tuple[float, float] | None:
        """(Mean, standard deviation with n - 1) over the seeds; None where a draw has none, or is alone."""
        numbers = [number for number in self.values.get(name, []) if number is not None]
        if len(numbers) < max(2, len(self.seeds)):
            return None
        return fmean(numbers), stdev(numbers)
