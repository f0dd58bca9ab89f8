"""A study file: a whole comparison as YAML. ``docs/cluster.md`` and ``vsbench sweep --help`` show one.

    methods: [cut, {method: usigan, variant: released}, {method: usigan, options: {tau: 0.1}}]
    datasets:
      - {dataset: mist, stains: [er, her2]}
      - {dataset: folder, stains: [ki67], data_root: pairs, options: {slide: '^([^_]+)_'}, folds: 5}
    seeds: [0, 1, 2]

Each method × data set × stain × fold × seed is a row. Folders and files are named from the study file's own folder.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from vsbench.bounds import CHECKPOINTS, DEVICES, DRAWS, MICRO_BATCHES, NODES, STEPS, WORKERS
from vsbench.config import build_config, read_settings
from vsbench.errors import UsageError
from vsbench.markers import marker
from vsbench.records.artefact import Name, Seed, Settings

HOURS = 24 * 365
Steps = Annotated[int, Field(ge=1, le=STEPS)]
Precision = Annotated[Literal["32", "bf16-mixed", "16-mixed"], BeforeValidator(lambda p: "32" if p == 32 else p)]
Word = Annotated[str, Field(pattern=r"^[^\s'\"`$\\\\]+$", max_length=200)]  # of a command line that a shell reads
Place = Annotated[Path, Field(strict=False)]  # YAML has text
# options of sbatch that a study file has words of its own for, and those that jobs are found and told by
SAID_BY = {
    "time": "hours", "partition": "partition", "account": "account", "qos": "qos", "mem": "memory", "signal": "grace_s",
    "cpus-per-task": "cpus", "gpus-per-node": "gpu", "nodes": "training: nodes", "ntasks-per-node": "training: devices",
    "array": "jobs",
}  # fmt: skip
OURS = ("chdir", "error", "hold", "open-mode", "output", "parsable", "test-only", "wait", "wrap")


class _Part(BaseModel):
    """What all parts have in common: a key that is unknown, or of another kind, is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Training(_Part):
    """How rows are trained: ``vsbench train``'s options of these names, with its own defaults."""

    precision: Precision = "32"
    compile: bool = False
    channels_last: bool = False
    accumulate: int = Field(default=1, ge=1, le=MICRO_BATCHES)
    checkpoint_activations: bool = False
    deterministic: bool = False
    devices: int = Field(default=1, ge=1, le=DEVICES)
    nodes: int = Field(default=1, ge=1, le=NODES)
    workers: int = Field(default=2, ge=0, le=WORKERS)
    cache_tiles: Place | None = None
    log_every: Steps = 50
    sheet_every: Steps = 500
    checkpoint_every: Steps = 5000
    keep: int = Field(default=2, ge=1, le=CHECKPOINTS)
    keep_every: Steps | None = None
    select: Literal["last", "best"] = "last"
    validate_every: Steps | None = None
    validation_share: float = Field(default=0.2, gt=0, lt=1)
    log_to: list[str] = []

    @property
    def world(self) -> int:
        """How many processes share each batch."""
        return self.devices * self.nodes


class MethodEntry(_Part):
    """A row of the tables: a method, or with ``suite`` the rows of one of its ablation studies.

    ``options`` of an entry make it another row: its name says in what it differs, unless ``label`` names it.
    """

    method: Name
    variant: str | None = None
    preset: str | None = None
    options: Settings = {}
    label: Name | None = None
    suite: str | None = None
    start_from: Place | None = None
    training: Settings = {}  # in place of the study's, option by option

    @model_validator(mode="after")
    def _one_way(self) -> "MethodEntry":
        if self.suite is not None and (self.label or self.options or self.start_from):
            raise ValueError("a suite says itself what its rows are called and set; leave label, options, start_from")
        return self


class DatasetEntry(_Part):
    """Stains of a data set. ``folds``: each slide is in the test set of one of so many folds."""

    dataset: Name
    stains: list[Annotated[Name, AfterValidator(marker)]] = Field(min_length=1)
    options: Settings = {}
    data_root: Place | None = None
    data_name: Name | None = None
    folds: int | None = Field(default=None, ge=2, le=1000)

    @model_validator(mode="after")
    def _folds_are_said_once(self) -> "DatasetEntry":
        if self.folds is not None and (said := [key for key in ("split_by", "folds", "fold") if key in self.options]):
            raise ValueError(f"folds says how the data set is split; leave out the option {said[0]}")
        return self


class Evaluation(_Part):
    """``vsbench evaluate``'s options of these names."""

    also: list[str] = []
    on_missing: Literal["n/a", "error"] = "n/a"
    on_bad: Literal["stop", "skip"] = "stop"
    draws: int = Field(default=1, ge=1, le=DRAWS)


class Report(_Part):
    """``vsbench report``'s options of these names."""

    latex: bool = True
    interval: bool = False
    figures: bool = True
    html: bool = True
    strata: str | None = None


class Local(_Part):
    """Processes of this machine, so many at a time: each with GPUs of its own, where there are any, and its
    share of the threads.
    """

    kind: Literal["local"] = "local"
    jobs: int | None = Field(default=None, ge=1, le=DEVICES)  # None: as many as there are GPUs, else one
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"


class Slurm(_Part):
    """Jobs of a SLURM cluster, each with a task for each of a training's devices.

    ``hours``: after which a job makes room, and queues again until its row is done. ``memory``: of a node, as SLURM has
    it (64G). ``cpus``: of a task; else one for each worker and one more. ``gpu``: the kind, where the cluster has
    several. ``grace_s``: how long before the end a job is told, enough for a step and a checkpoint. ``jobs``: of an
    array's jobs. ``setup``: lines of shell before each job. ``options``: further ones of sbatch.
    """

    kind: Literal["slurm"]
    hours: float = Field(gt=0, le=HOURS)
    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    device: Literal["cuda", "cpu"] = "cuda"
    gpu: Word | None = None
    cpus: int | None = Field(default=None, ge=1, le=WORKERS)
    memory: Annotated[str, Field(pattern=r"^[1-9]\d{0,8}[KMGT]?$")] | None = None
    grace_s: int = Field(default=120, ge=1, le=3600)
    jobs: int | None = Field(default=None, ge=1, le=DEVICES)
    setup: list[str] = []
    options: dict[Annotated[str, Field(pattern=r"^[a-z][a-z-]*$")], Word | int | Literal[True]] = {}

    @model_validator(mode="after")
    def _options_are_further_ones(self) -> "Slurm":
        for option in self.options:
            if option in SAID_BY:
                raise ValueError(f"options: {option}: the study file has {SAID_BY[option]} for that")
            if option in OURS:
                raise ValueError(f"options: {option}: rows are found and told by what vsbench sets there; leave it out")
        return self


def _as_entry(given: Any) -> Any:
    return {"method": given} if isinstance(given, str) else given


def _kind(given: Any) -> Any:
    return given.get("kind", "local") if isinstance(given, dict) else getattr(given, "kind", None)


Executor = Annotated[Annotated[Local, Tag("local")] | Annotated[Slurm, Tag("slurm")], Discriminator(_kind)]
Method = Annotated[MethodEntry, BeforeValidator(_as_entry)]


class StudyFile(_Part):
    """A comparison: its rows, how they are trained and by whom, and what is made of them in the end."""

    methods: list[Method] = Field(min_length=1)
    datasets: list[DatasetEntry] = Field(min_length=1)
    seeds: list[Seed] = Field(default=[0], min_length=1)
    preset: str = "paper"
    options: Settings = {}  # settings of all rows, which the name of none tells
    training: Training = Training()
    results: Place = Path("results")
    executor: Executor = Local()
    evaluation: Evaluation | Literal[False] = Evaluation()
    report: Report | Literal[False] = Report()


def read_study(file: Path) -> StudyFile:
    """A study file, its folders and files as they are named from here.

    Raises UsageError in one line: a file that can't be read or is no YAML, keys and values that can't be.
    """
    content = read_settings(file, str(file))
    try:
        study: StudyFile = build_config(StudyFile, content)
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None
    return _from_here(study, file.parent)


def _from_here(part: Any, folder: Path) -> Any:
    """The same with each path below ``folder``, unless it is absolute."""
    if isinstance(part, Path):
        return folder / part.expanduser()
    if isinstance(part, list):
        return [_from_here(one, folder) for one in part]
    if isinstance(part, BaseModel):
        return part.model_copy(update={key: _from_here(value, folder) for key, value in part})
    return part
