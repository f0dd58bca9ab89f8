"""What logs of other tools are told: what log.csv has, each step once, and no trouble of theirs ends a training."""

import csv
import signal
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vsbench.engine.interrupt import Interrupted
from vsbench.engine.loggers import TOOLS, require_loggers
from vsbench.engine.run import Run
from vsbench.errors import UsageError

Train = Callable[..., Run]
StoppedError = Exception  # the power cut of conftest.py


class Tools:
    """Stands for the three packages: what they are told, by tool, as (name, step, value), the sheets among it."""

    def __init__(self) -> None:
        self.told: dict[str, list[tuple[str, int, Any]]] = {name: [] for name in TOOLS}
        self.begun: dict[str, list[Any]] = {name: [] for name in TOOLS}
        self.ended: dict[str, list[Any]] = {name: [] for name in TOOLS}  # how
        self.full = ""  # the tool that can take nothing more
        self.trouble: BaseException = OSError(28, "No space left on device")

    def tell(self, tool: str, step: int, values: dict[str, Any]) -> None:
        if tool == self.full:
            raise self.trouble
        self.told[tool] += [(name, step, value) for name, value in values.items()]

    def end(self, tool: str, how: Any) -> None:
        self.ended[tool].append(how)

    def modules(self) -> dict[str, Any]:
        """The packages by the names they are imported by."""
        tools = self

        class SummaryWriter:
            def __init__(self, folder: str, purge_step: int) -> None:
                tools.begun["tensorboard"].append((Path(folder).name, purge_step))

            def add_scalar(self, name: str, value: float, step: int) -> None:
                tools.tell("tensorboard", step, {name: value})

            def add_image(self, name: str, pixels: Any, step: int, dataformats: str) -> None:
                assert (pixels.ndim, dataformats) == (3, "HWC")
                tools.tell("tensorboard", step, {name: "pixels"})

            def flush(self) -> None:
                pass

            def close(self) -> None:
                tools.end("tensorboard", None)

        class WandBRun:
            def log(self, values: dict[str, Any], step: int, commit: bool) -> None:
                assert commit, "else it waits for the next step's"
                tools.tell("wandb", step, values)

            def finish(self, exit_code: int) -> None:
                tools.end("wandb", exit_code)

        def init(**asked: Any) -> WandBRun:
            tools.begun["wandb"].append(asked)
            return WandBRun()

        class MlflowClient:
            def __init__(self, place: str) -> None:
                self.place = place

            def get_experiment_by_name(self, name: str) -> None:
                pass

            def create_experiment(self, name: str) -> str:
                return "1"

            def create_run(self, experiment: str, run_name: str) -> Any:
                tools.begun["mlflow"].append((self.place, run_name))
                return types.SimpleNamespace(info=types.SimpleNamespace(run_id=f"run{len(tools.begun['mlflow'])}"))

            def update_run(self, run: str, status: str) -> None:
                assert (run, status) == ("run1", "RUNNING")

            def log_batch(self, run: str, metrics: list[Any]) -> None:
                for name, value, _, step in metrics:
                    tools.tell("mlflow", step, {name: value})

            def log_artifact(self, run: str, file: str, folder: str) -> None:
                tools.tell("mlflow", int(Path(file).stem.removeprefix("step-")), {"sheet": Path(file).name})

            def set_terminated(self, run: str, status: str) -> None:
                tools.end("mlflow", status)

        entities = types.SimpleNamespace(Metric=lambda *parts: parts)
        return {
            "torch.utils.tensorboard": types.SimpleNamespace(SummaryWriter=SummaryWriter),
            "wandb": types.SimpleNamespace(
                init=init,
                Settings=dict,
                Image=lambda file: Path(file).name,
                teardown=lambda: tools.end("wandb", "torn down"),
            ),
            "mlflow": types.SimpleNamespace(MlflowClient=MlflowClient, entities=entities),
        }


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Tools:
    made = Tools()
    for name, module in made.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    for variable in ("WANDB_MODE", "WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(variable, raising=False)
    return made


def logged(run: Run) -> list[dict[str, str]]:
    with run.log_file.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("tool", list(TOOLS))
def test_a_tool_is_told_rows_validation_and_sheet(train: Train, tmp_path: Path, tools: Tools, tool: str) -> None:
    request = {"dataset_options": {"slide": r"^\w"}, "validate_every": 2, "validation_share": 0.4}
    run = train(tmp_path, "pix2pix", rhythm={"log_to": (tool,)}, request=request)
    told = {(name, step): value for name, step, value in tools.told[tool]}
    assert len(told) == len(tools.told[tool])
    for row in logged(run):
        assert told["loss/g_l1", int(row["step"])] == float(row["g_l1"])
        assert told["training/lr", int(row["step"])] == float(row["lr"])
        assert told["training/images_per_s", int(row["step"])] == float(row["images_per_s"])
    assert [step for name, step in told if name == "validation/iod_mae"] == [2, 4]
    assert [step for name, step in told if name == "sheet"] == [4]
    assert {name: len(how) for name, how in tools.ended.items() if how} == {tool: 1}
    assert not any(tools.told[other] for other in TOOLS if other != tool)


@pytest.mark.parametrize("tool", list(TOOLS))
def test_a_resumed_training_goes_on_in_the_same_log_and_tells_no_step_twice(
    train: Train, tmp_path: Path, tools: Tools, tool: str
) -> None:
    asked: dict[str, Any] = {"steps": 6, "rhythm": {"log_to": (tool,)}}
    with pytest.raises(StoppedError):
        train(tmp_path, "pix2pix", stop_at=4, **asked)
    assert {step for _, step, _ in tools.told[tool]} == {1, 2, 3}
    first = len(tools.told[tool])
    run = train(tmp_path, "pix2pix", resume=True, **asked)  # from the checkpoint of step 2
    again = {step for _, step, _ in tools.told[tool][first:]}
    begun = tools.begun[tool]
    if tool == "tensorboard":  # which hides what came after the checkpoint
        assert (begun, again) == ([("tensorboard", 1), ("tensorboard", 3)], {3, 4, 5, 6})
        return
    assert again == {4, 5, 6}
    losses = {step: value for name, step, value in tools.told[tool] if name == "loss/g_l1"}
    assert losses == {int(row["step"]): float(row["g_l1"]) for row in logged(run)}
    assert tools.ended[tool] == ([1, 0] if tool == "wandb" else ["KILLED", "FINISHED"])
    if tool == "wandb":
        assert begun[0]["id"] == begun[1]["id"]
        assert [one["resume"] for one in begun] == ["allow", "allow"]
    else:
        assert len(begun) == 1


@pytest.mark.parametrize(
    ("tool", "trouble", "left_out"),
    [("wandb", ConnectionResetError("Connection lost"), set()), ("mlflow", OSError(28, "full"), {1}),
     ("tensorboard", OSError(28, "full"), {1})],
)  # fmt: skip
def test_what_a_log_could_not_take_it_gets_when_the_training_goes_on(
    train: Train, tmp_path: Path, tools: Tools, tool: str, trouble: OSError, left_out: set[int]
) -> None:
    """From log.csv; but for the step at which it failed, of which nobody knows how much it has, if it heard of it."""
    asked: dict[str, Any] = {"steps": 6, "rhythm": {"log_to": (tool,)}}
    tools.full, tools.trouble = tool, trouble
    with pytest.raises(StoppedError):
        train(tmp_path, "pix2pix", stop_at=4, **asked)
    (folder,) = tmp_path.glob("runs/*/*/*")
    Run(folder).samples.mkdir()
    Image.new("RGB", (8, 8)).save(Run(folder).sheet(2))
    tools.full = ""
    rows = {int(row["step"]): row for row in logged(train(tmp_path, "pix2pix", resume=True, **asked))}
    for column, name in (("g_l1", "loss/g_l1"), ("lr", "training/lr")):
        told = [(step, value) for entry, step, value in tools.told[tool] if entry == name]
        assert told == [(step, float(row[column])) for step, row in rows.items() if step not in left_out]
    assert [step for name, step, _ in tools.told[tool] if name == "sheet"] == [2, 6]


def test_nothing_leaves_the_machine_unasked(
    train: Train, tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(tmp_path / "here", "pix2pix", rhythm={"log_to": ("wandb", "mlflow")})
    (wandb,), ((place, name),) = tools.begun["wandb"], tools.begun["mlflow"]
    assert (wandb["mode"], wandb["dir"]) == ("offline", str(run.folder))
    assert place == (run.folder / "mlflow").as_uri()
    assert wandb["name"] == name == "folder-er/pix2pix+cpu/seed-0"
    monkeypatch.setenv("WANDB_MODE", "online")
    train(tmp_path / "there", "pix2pix", rhythm={"log_to": ("wandb",)})
    assert tools.begun["wandb"][1]["mode"] == "online"


@pytest.mark.parametrize("tool", list(TOOLS))
def test_no_trouble_of_a_tool_ends_a_training(
    train: Train, tmp_path: Path, tools: Tools, tool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tools.full = tool
    run = train(tmp_path, "pix2pix", rhythm={"log_to": tuple(TOOLS)})
    assert len(logged(run)) == 4
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert said == [f"warning: --log-to {tool}: No space left on device; nothing more goes there, log.csv goes on"]
    assert all(tools.told[other] for other in TOOLS if other != tool)


def test_nor_does_a_tool_that_would_end_the_program(train: Train, tmp_path: Path, tools: Tools) -> None:
    tools.full, tools.trouble = "wandb", SystemExit(1)
    assert len(logged(train(tmp_path, "pix2pix", rhythm={"log_to": ("wandb",)}))) == 4


def test_a_tool_whose_own_process_was_ended_says_nothing_more(train: Train, tmp_path: Path, tools: Tools) -> None:
    """As by SIGTERM, which SLURM sends to all processes of a job: else W&B would raise at the program's end again."""
    tools.full, tools.trouble = "wandb", ConnectionResetError("Connection lost")
    assert len(logged(train(tmp_path, "pix2pix", rhythm={"log_to": ("wandb",)}))) == 4
    assert tools.ended["wandb"] == ["torn down"]


def test_a_signal_is_heard_though_a_tool_that_begins_takes_it_for_its_own(
    train: Train, tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As W&B does, whose beginning takes seconds: the training would go on for days."""

    def init(**asked: Any) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise SystemExit(128) from None

    monkeypatch.setattr(sys.modules["wandb"], "init", init)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it for what runs in background
    try:
        with pytest.raises(Interrupted):
            train(tmp_path, "pix2pix", rhythm={"log_to": ("wandb",)})
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_tool_whose_package_does_not_load_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise TypeError("Descriptors cannot be created directly.\nIf this call came from a _pb2.py file, …")

    monkeypatch.setattr("vsbench.engine.loggers.importlib.import_module", broken)
    with pytest.raises(
        UsageError, match=r"--log-to wandb: its package does not load \(Descriptors .*; mend it"
    ) as said:
        require_loggers(["wandb"])
    assert "\n" not in str(said.value)


def test_a_damaged_state_begins_a_new_log_and_says_so(
    train: Train, tmp_path: Path, tools: Tools, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {"steps": 6, "rhythm": {"log_to": ("wandb",)}}
    with pytest.raises(StoppedError):
        train(tmp_path, "pix2pix", stop_at=4, **asked)
    (state,) = tmp_path.rglob("loggers/wandb.json")
    state.write_text("{}")
    train(tmp_path, "pix2pix", resume=True, **asked)
    assert "wandb.json: id: " in capsys.readouterr().out
    assert tools.begun["wandb"][0]["id"] != tools.begun["wandb"][1]["id"]


@pytest.mark.parametrize("tool", list(TOOLS))
def test_a_tool_that_is_missing_is_said_before_anything_is_written(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    monkeypatch.setitem(sys.modules, TOOLS[tool].module, None)
    with pytest.raises(UsageError, match=rf'--log-to {tool}: .* pip install "vsbench\[{tool}\]"'):
        train(tmp_path, "pix2pix", rhythm={"log_to": (tool,)})
    with pytest.raises(UsageError, match="--log-to 'csv': one of tensorboard, wandb, mlflow"):
        train(tmp_path, "pix2pix", rhythm={"log_to": ("csv",)})
    assert not list(tmp_path.iterdir())
