"""``report/suites/<name>.json``: an ablation study as it was asked for."""

from typing import ClassVar, Literal

from pydantic import Field

from vsbench.records.artefact import Artefact, Name, Seed, Settings


class StudyRecord(Artefact):
    """``own``: the folders of those rows that are not the method as the user set it."""

    mend: ClassVar[str] = "give the same vsbench ablate again: what is trained is not trained twice"

    schema_: Literal[1] = Field(alias="schema")
    method: Name
    suite: Name
    dataset: Name
    stain: Name
    preset: Name
    options: Settings
    dataset_options: Settings
    seeds: list[Seed]
    own: list[Name]
