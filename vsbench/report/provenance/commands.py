"""The command that repeats a run, from what its records say. What they don't say is noted, and never made up."""

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from vsbench import registry
from vsbench.config import parse_settings
from vsbench.data.pairs import few
from vsbench.engine.run import row_name
from vsbench.engine.trainer import Rhythm
from vsbench.errors import PluginError, UsageError
from vsbench.evaluation.sizes import options_of
from vsbench.metric import GIVEN_NUCLEI
from vsbench.records.run import EXACT, SLIDES, ExternalRecord, ImportedRecord, RunRecord, TrainedRecord
from vsbench.records.summary import Summary
from vsbench.report.provenance.places import ELSEWHERE, Places

RESULTS = "results"  # where the commands write, if nothing else is said
EXECUTION = {
    "compile": "--compile",
    "channels_last": "--channels-last",
    "checkpoint_activations": "--checkpoint-activations",
    "deterministic": "--deterministic",
}
KEEPING = {"every": "--checkpoint-every", "keep": "--keep", "keep_every": "--keep-every"}


@dataclass(frozen=True)
class Command:
    """``words`` of a command line, none where it isn't recorded. ``notes``: what it does not bring back, and why.

    ``settings`` are those of its options that differ from what the method's preset and variant say, as recorded.
    """

    words: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        return shlex.join(self.words)


def training(record: TrainedRecord, places: Places) -> Command:
    """``vsbench train`` with all that the run was given; data set's stain and seed stand at the end.

    Left out are options that change no number: how many processes load images, what is logged when.
    """
    settings, given, notes = _settings(record)
    variant, preset = record.variant or "", record.preset or "paper"
    words = ["vsbench", "train", record.method]
    words += _option("--preset", preset, "paper") + _option("--variant", variant, "")
    words += [word for setting in settings for word in ("--set", setting)]
    if record.row != row_name(record.method, variant, preset, None):
        words += ["--label", record.row]
    if record.started_from is not None:
        words += ["--from", _weights(record, places)]
        notes.append(f"it started from the weights {words[-1]}, digest {record.started_from[:12]}")
    words += _selection(record, notes)
    execution = record.execution or {}
    words += [flag for key, flag in EXECUTION.items() if execution.get(key)]
    words += _option("--accumulate", execution.get("accumulate"), 1)
    words += _option("--precision", record.precision, "32-true") + _option("--devices", record.world, 1)
    if record.checkpoints is not None:
        usual = Rhythm()
        defaults = {"every": usual.checkpoint, "keep": usual.keep, "keep_every": usual.keep_every}
        kept = record.checkpoints
        words += [word for key, flag in KEEPING.items() for word in _option(flag, getattr(kept, key), defaults[key])]
    if kind := re.match(r"(cpu|mps), ", record.device or ""):
        words += ["--device", kind[1]]
    words += data_words(record, places, notes)
    words += ["--stain", record.stain, "--seed", str(record.seed)]
    for key in ("preset", "execution", "precision", "world"):
        if getattr(record, key) is None:
            notes.append(f"{key} is not recorded: the command takes the default")
    if (record.world or 1) > 1:
        notes.append(f"{record.world} processes; on how many machines is not recorded (--nodes)")
    for more in record.continued:
        notes.append(
            f"it was finished at step {more.step}, and continued from there: up to it, the learning rate was that of "
            f"{', '.join(f'{key} = {value}' for key, value in more.before.items())}"
        )
    for accepted in record.accepted_data:
        which = f" ({few([places.text(file) for file in accepted.files])})" if accepted.files else ""
        notes.append(
            f"from step {accepted.step} on it learnt from training images that had changed{which}, at its user's word: "
            f"digest {accepted.before[:12]} before, {accepted.after[:12]} after"
        )
    if record.repetition not in (None, EXACT):
        notes.append(f"trained again, it repeats {record.repetition}")
    if (record.git or "").endswith("+"):
        notes.append("the source had changes that were not committed")
    return Command(tuple(words), tuple(notes), given)


def importing(record: ImportedRecord, places: Places) -> Command:
    """``vsbench import`` of the generator's file, which only its name and digest are known of."""
    settings, given, notes = _settings(record)
    if record.bundle is not None:
        words = ["vsbench", "evaluate", f"{ELSEWHERE}/{record.origin}"]
        words += [*data_words(record, places, notes), "--stain", record.stain]
        notes.append(
            f"{words[2]} stands for the bundle {record.bundle.name} {record.bundle.version}, whose weights have the "
            f"digest {record.origin_digest}; its own record of the training is in it"
        )
        return Command(tuple(words), tuple(notes), given)
    words = ["vsbench", "import", record.method, f"{ELSEWHERE}/{record.origin}"]
    words += _option("--variant", record.variant or "", "")
    words += [word for text in settings for word in ("--set", text)]
    if record.row != row_name(record.method, record.variant or "", "imported", None):
        words += ["--label", record.row]
    words += [*data_words(record, places, notes), "--stain", record.stain]
    notes.append(f"{words[3]} stands for your file of the SHA-256 {record.origin_digest}; it was trained elsewhere")
    return Command(tuple(words), tuple(notes), given)


def evaluation(record: RunRecord | None, summary: Summary, folder: str, places: Places) -> Command:
    """``vsbench evaluate`` that translates where images are missing, and measures.

    Reference rows have none of their own: they come with every evaluation of their data.
    """
    notes: list[str] = []
    words = ["vsbench", "evaluate"]
    if summary.dataset == SLIDES:
        return _judging(record, summary, places)
    if summary.kind == "reference":
        words += ["--all"]
    elif summary.kind == "external":
        if not isinstance(record, ExternalRecord) or not record.images:
            return Command(notes=("the folder of images is not recorded",))
        place = places.text(record.images)
        words += ["--images", place, "--name", summary.row]
        words += _option("--suffix", record.suffix, None)
        words += data_words(record, places, notes)
        words += ["--stain", summary.stain]
        if place.startswith(ELSEWHERE):
            notes.append(f"{place} stands for your folder of the same images")
    else:
        words += [f"{RESULTS}/{folder}"]
    words += options_of(summary.protocol)
    words += [word for family in _on_request(summary) for word in ("--also", family)]
    if GIVEN_NUCLEI in (summary.provenance or {}):
        words += ["--nuclei", f"{ELSEWHERE}/nuclei"]
        notes.append(f"{words[-1]} stands for your folder of the nuclei that were outlined elsewhere")
    if seed := re.search(r"random:\d+", " ".join(map(str, (summary.provenance or {}).values()))):
        words += ["--weights", seed[0]]
    if summary.skipped:
        words += ["--on-bad", "skip"]
    return Command(tuple(words), tuple(notes))


def _judging(record: RunRecord | None, summary: Summary, places: Places) -> Command:
    """``vsbench evaluate --slides``; the H&E's own row comes with it."""
    if not isinstance(record, ExternalRecord) or not record.images:
        return Command(notes=("comes with every evaluation of these slides",) if summary.kind == "reference" else ())
    place = places.text(record.images)
    words = ["vsbench", "evaluate", "--slides", place, "--name", summary.row]
    words += _option("--transform-maps", (record.dataset_options or {}).get("transform_maps"), None)
    words += _option("--data-name", record.data_name, None)
    words += ["--on-bad", "skip"] if summary.skipped else []
    notes = [f"{place} stands for your list of the same slides"] if place.startswith(ELSEWHERE) else []
    return Command(tuple(words), tuple(notes))


def _weights(record: TrainedRecord, places: Places) -> str:
    """The file of weights from which a training started, as a command names it."""
    place = places.text(record.started_from_file or f"{ELSEWHERE}/weights")
    return f"{RESULTS}/{place}" if place.startswith("runs/") else place


def data_words(record: RunRecord, places: Places, notes: list[str]) -> list[str]:
    """``--dataset``, its name and its options; paths outside the data roots are only named, with a note."""
    words = ["--dataset", record.dataset, *_option("--data-name", record.data_name, None)]
    if record.dataset_options is None:
        notes.append("options of the data set are not recorded")
    for key, value in (record.dataset_options or {}).items():
        portable = places.option(value)
        if isinstance(portable, str) and portable.startswith(ELSEWHERE):
            notes.append(f"{key}={portable} stands for a path of your own")
        text = setting(key, portable)
        if text is None:
            notes.append(f"the option {key} of the data set can't be written on a command line: {json.dumps(portable)}")
        else:
            words += ["--data", text]
    return words


def loops(trainings: Iterable[str]) -> list[str]:
    """Training commands as few lines of shell: a loop where only stain and seed, which end them, differ."""
    templates: dict[str, dict[str, list[str]]] = {}  # what comes before the stain → stain → seeds
    for command in trainings:
        words = shlex.split(command)
        templates.setdefault(shlex.join(words[:-4]), {}).setdefault(words[-3], []).append(words[-1])
    lines = []
    for start, stains in templates.items():
        for seeds in dict.fromkeys(map(tuple, stains.values())):
            alike = tuple(stain for stain, own in stains.items() if tuple(own) == seeds)
            choices, line = {"stain": alike, "seed": seeds}, start
            for variable, values in choices.items():
                line += f" --{variable} " + (f'"${variable}"' if len(values) > 1 else shlex.quote(values[0]))
            for variable, values in reversed(choices.items()):  # the inner loop first
                if len(values) > 1:
                    line = f"for {variable} in {shlex.join(values)}; do {line}; done"
            lines.append(line)
    return lines


def setting(key: str, value: Any) -> str | None:
    """``key=value`` as the command line reads it back to an equal value of the same type; None where there is none."""
    flow = yaml.safe_dump(value, default_flow_style=True, width=1 << 30, allow_unicode=True, sort_keys=False)
    for text in (flow.removesuffix("...\n").strip(), json.dumps(value, ensure_ascii=False)):
        try:
            read = parse_settings([f"{key}={text}"]).get(key)
        except UsageError:
            continue
        if json.dumps(read, default=str) == json.dumps(value, default=str):  # == takes 1 for True
            return f"{key}={text}"
    return None


def _settings(record: TrainedRecord | ImportedRecord) -> tuple[list[str], dict[str, Any], list[str]]:
    """The settings to give (as text, and by name), and notes; checked by what the method makes of them."""
    recorded = {key: value for key, value in record.config.items() if key != "variant"}
    notes: list[str] = []
    variant = {"variant": record.variant} if record.variant else {}
    try:
        method = registry.load("vsbench.methods", record.method)
        usual = _plain(method.configure(record.preset or "paper", variant))
    except (UsageError, PluginError) as error:
        notes.append(f"all settings are given, since their defaults are not known here ({error})")
        method, usual = None, {}
    given = {key: value for key, value in recorded.items() if usual.get(key, ...) != value}
    if method is not None:
        if unknown := [key for key in given if key not in usual]:
            notes.append(f"this version has no setting {', '.join(unknown)}; recorded: " + "; ".join(
                f"{key} = {json.dumps(recorded[key])}" for key in unknown))  # fmt: skip
            given = {key: value for key, value in given.items() if key in usual}
        if newer := {key: usual[key] for key in usual if key not in recorded and key != "variant"}:
            parts = "; ".join(f"{key} = {json.dumps(value)}" for key, value in newer.items())
            notes.append(f"not recorded, and so as this version has it: {parts}")
    texts = {key: setting(key, value) for key, value in given.items()}
    settings = [text for text in texts.values() if text is not None]
    if method is not None:
        try:
            made = _plain(method.configure(record.preset or "paper", variant | parse_settings(settings)))
            wrong = [key for key, value in recorded.items() if key in made and made[key] != value]
        except UsageError as error:
            wrong = [str(error)]
        if wrong:
            notes.append(f"the command does not bring back {', '.join(wrong)}")
    elif lost := [key for key, text in texts.items() if text is None]:
        notes.append(f"the command does not bring back {', '.join(lost)}")
    return settings, given, notes


def _plain(config: Any) -> dict[str, Any]:
    return json.loads(config.model_dump_json())


def _selection(record: TrainedRecord, notes: list[str]) -> list[str]:
    words = _option("--select", record.select, "last")
    held_out = record.validation
    if held_out is not None:
        words += ["--validate-every", str(held_out.every), "--validation-share", str(held_out.share)]
    elif record.select is None:
        notes.append("whether slides were held out is not recorded")
    return words


def _option(flag: str, value: Any, usual: Any) -> list[str]:
    return [] if value is None or value == usual else [flag, str(value)]


def _on_request(summary: Summary) -> list[str]:
    """Families that are measured only where they are asked for, and were: with what was chosen, as FAMILY=CHOICE."""
    families = registry.load_all("vsbench.metrics")[0]
    return [
        next((key for key in summary.provenance or {} if key.startswith(f"{name}=")), name)
        for name, metric in families.items()
        if metric.on_request
        and any(v.name in summary.values for v in metric.values)
        and not (metric.takes_nuclei and GIVEN_NUCLEI in (summary.provenance or {}))
    ]
