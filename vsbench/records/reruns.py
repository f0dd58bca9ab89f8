"""What stands beside the numbers that others reran: where they come from, and what authors say of their own rows."""

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from vsbench.records.artefact import Artefact, Text

STRICT = ConfigDict(extra="forbid")  # written by hand: a misspelt key is told


class RerunCard(Artefact):
    """``NAME.yaml`` beside ``NAME.csv``.

    ``same``: method as printed → name under which the ledger has it. ``protocols``: metric, or all, → how it was
    measured, as far as it is known. ``unknown``: what is not.
    """

    model_config = STRICT
    mend: ClassVar[str] = "mend it"

    schema_: Literal[1] = Field(alias="schema")
    source: Text
    licence: Text = ""
    same: dict[Text, Text] = {}
    protocols: dict[Text, Text] = {}
    unknown: list[Text] = []


class Remark(Artefact):
    """What someone who knows says of the numbers of a data set: of all, or of ``methods``, by the ledger's names."""

    model_config = STRICT

    dataset: Text
    methods: list[Text] = []
    says: Text
    source: Text


class Remarks(Artefact):
    """``remarks.yaml``."""

    model_config = STRICT
    mend: ClassVar[str] = "mend it"

    schema_: Literal[1] = Field(alias="schema")
    remarks: list[Remark]
