"""Logs of other tools beside log.csv, which stays the record: TensorBoard, Weights & Biases, MLflow.

Nothing leaves the machine unless the user's own settings say so: W&B writes offline where WANDB_MODE is not set, MLflow
into the run folder where MLFLOW_TRACKING_URI is not. No trouble of theirs ends a training: it is said once, and that
log ends. A resumed training goes on in the same log, which first gets what is in log.csv alone; a step that was told is
not told again.
"""

import importlib
import logging
import os
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from vsbench.engine.log import HEAD, rows_of
from vsbench.engine.run import Run
from vsbench.errors import RunError, UsageError
from vsbench.names import brief, said
from vsbench.records.logger import LoggerState

PROJECT = "vsbench"  # what holds all runs, in tools that have such a thing
SHEET = "sheet"
Tell = Callable[[str], None]


class Logger(Protocol):
    """The log of one run in a tool. ``id``: by which the tool finds it again."""

    id: str

    def tell(self, step: int, values: Mapping[str, float], sheet: Path | None) -> None:
        """The numbers of a step, by name, and its sheet, where it has one."""

    def close(self, finished: bool) -> None:
        """All is told, of a training that is finished or stopped."""


class TensorBoard:
    """Its files lie in ``tensorboard/`` of the run folder; what they hold of later steps than ``start`` is hidden."""

    module = "torch.utils.tensorboard"
    forgets = True  # later steps are told again

    def __init__(self, tool: Any, run: Run, id_: str | None, start: int) -> None:
        self.id = id_ or ""
        self.writer = tool.SummaryWriter(str(run.folder / "tensorboard"), purge_step=start + 1)

    def tell(self, step: int, values: Mapping[str, float], sheet: Path | None) -> None:  # noqa: D102 (as Logger has it)
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        if sheet is not None:
            with Image.open(sheet) as image:
                self.writer.add_image(SHEET, np.asarray(image), step, dataformats="HWC")
        self.writer.flush()

    def close(self, finished: bool) -> None:  # noqa: D102
        self.writer.close()


class WandB:
    """Offline it lies in ``wandb/`` of the run folder, for ``wandb sync``."""

    module = "wandb"
    forgets = False

    def __init__(self, tool: Any, run: Run, id_: str | None, start: int) -> None:
        self.tool, self.id = tool, id_ or uuid.uuid4().hex[:8]
        settings = tool.Settings(silent=True, console="off", save_code=False, disable_git=True)
        mode = os.environ.get("WANDB_MODE", "offline")
        with self._left_in_peace():
            self.run = tool.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT), id=self.id, name=_name(run), dir=str(run.folder),
                mode=mode, resume="allow", settings=settings,
            )  # fmt: skip

    def tell(self, step: int, values: Mapping[str, float], sheet: Path | None) -> None:  # noqa: D102
        image = {} if sheet is None else {SHEET: self.tool.Image(str(sheet))}
        with self._left_in_peace():
            self.run.log(dict(values) | image, step=step, commit=True)  # else it is kept until the next step's

    def close(self, finished: bool) -> None:  # noqa: D102
        with self._left_in_peace():
            self.run.finish(exit_code=0 if finished else 1)

    @contextmanager
    def _left_in_peace(self) -> Iterator[None]:
        """Its own process may have been ended, as by what SLURM sends to all of a job: W&B's hook at the program's end
        would then fail once more, and at length.
        """
        try:
            yield
        except BaseException:
            with suppress(Exception):
                self.tool.teardown()  # the hook too
            raise


class MLflow:
    """Without a server of the user's it lies in ``mlflow/`` of the run folder, as files: so with mlflow-skinny too."""

    module = "mlflow"
    forgets = False

    def __init__(self, tool: Any, run: Run, id_: str | None, start: int) -> None:
        logging.getLogger(self.module).setLevel(logging.ERROR)  # hints of a library are not the user's
        here = (run.folder / "mlflow").absolute()
        self.tool = tool
        self.client = tool.MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", here.as_uri()))
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        known = self.client.get_experiment_by_name(name)
        experiment = known.experiment_id if known is not None else self.client.create_experiment(name)
        self.id = id_ or self.client.create_run(experiment, run_name=_name(run)).info.run_id
        self.client.update_run(self.id, "RUNNING")

    def tell(self, step: int, values: Mapping[str, float], sheet: Path | None) -> None:  # noqa: D102
        now = int(1000 * time.time())
        if values:
            self.client.log_batch(self.id, [self.tool.entities.Metric(n, v, now, step) for n, v in values.items()])
        if sheet is not None:
            self.client.log_artifact(self.id, str(sheet), "samples")

    def close(self, finished: bool) -> None:  # noqa: D102
        self.client.set_terminated(self.id, "FINISHED" if finished else "KILLED")


TOOLS: dict[str, Any] = {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow}
# where the user has not said otherwise: what tools would send home by themselves, MLflow's logs as plain files, and how
# long W&B may keep what it was told, in seconds: a machine that is taken away loses that
SETTINGS = {
    "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "0.1",
    "WANDB_ERROR_REPORTING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",
}


def require_loggers(names: Sequence[str]) -> None:
    """Raise UsageError for a name that is none of ``TOOLS``, or one whose package is not installed."""
    for name in names:
        if name not in TOOLS:
            raise UsageError(f"--log-to {brief(name)}: one of {', '.join(TOOLS)}")
        _imported(name)


def entries(row: Mapping[str, float]) -> dict[str, float]:
    """A row of log.csv by the names that tools group it by."""
    return {f"{'training' if name in HEAD else 'loss'}/{name}": v for name, v in row.items() if name != HEAD[0]}


class Loggers:
    """The logs of other tools that a training from step ``start`` on is told to; none for no ``names``. log.csv is that
    of the steps until then.
    """

    def __init__(self, names: Sequence[str], run: Run, start: int, say: Tell) -> None:
        self.run, self.say = run, say
        self.open: dict[str, Logger] = {}
        self.told: dict[str, int] = {}  # up to which step
        for name in dict.fromkeys(names):
            with self._spared(name):
                self._begin(name, start)

    def tell(self, step: int, values: Mapping[str, float], sheet: Path | None = None) -> None:
        """What is new at a step; once for each step."""
        for name in list(self.open):
            with self._spared(name):
                self._tell(name, step, values, sheet)

    def close(self, finished: bool) -> None:
        """All is told, of a training that is finished or stopped."""
        for name, logger in list(self.open.items()):
            with self._spared(name):
                logger.close(finished)

    def _tell(self, name: str, step: int, values: Mapping[str, float], sheet: Path | None) -> None:
        before = self.told[name]
        if step <= before:
            return
        self._remember(name, step)  # first: a step is rather left out than told twice
        try:
            self.open[name].tell(step, values, sheet)
        except ConnectionError:  # nobody has heard it
            self._remember(name, before)
            raise

    @contextmanager
    def _spared(self, name: str) -> Iterator[None]:
        """The training is spared what goes wrong in a tool: it is said, and the tool told nothing more."""
        try:
            with _without_hints():
                yield
        except (Exception, SystemExit) as error:  # whatever a tool raises
            self.open.pop(name, None)
            self.say(f"warning: --log-to {name}: {said(error)}; nothing more goes there, log.csv goes on")

    def _begin(self, name: str, start: int) -> None:
        state = None
        if start and self._file(name).exists():
            try:
                state = LoggerState.read(self._file(name))
            except RunError as error:
                self.say(f"warning: {error}")
        tool = TOOLS[name]
        self.open[name] = tool(_imported(name), self.run, state.id if state else None, start)
        told = start if state is None else state.step
        self._remember(name, min(told, start) if tool.forgets else told)
        if told < start:
            for row in rows_of(self.run.log_file):
                sheet = self.run.sheet(int(row[HEAD[0]]))
                self._tell(name, int(row[HEAD[0]]), entries(row), sheet if sheet.exists() else None)

    def _remember(self, name: str, step: int) -> None:
        self.told[name] = step
        LoggerState(id=self.open[name].id, step=step).write(self._file(name))

    def _file(self, name: str) -> Path:
        return self.run.folder / "loggers" / f"{name}.json"


def _imported(name: str) -> Any:
    for variable, value in SETTINGS.items():
        os.environ.setdefault(variable, value)
    try:
        with _without_hints():
            return importlib.import_module(TOOLS[name].module)
    except ImportError:
        raise UsageError(f'--log-to {name}: the package is not installed; pip install "vsbench[{name}]"') from None
    except Exception as error:  # as where its parts do not fit together
        raise UsageError(
            f"--log-to {name}: its package does not load ({said(error)}); mend it, or leave it out"
        ) from None


@contextmanager
def _without_hints() -> Iterator[None]:
    """What a library has to say to its own users is not for ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _name(run: Run) -> str:
    """``mist-er/cut/seed-0``."""
    return "/".join(run.folder.parts[-3:])
