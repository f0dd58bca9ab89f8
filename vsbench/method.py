"""The method contract: a card, a configuration, networks, ``training_step`` and ``translate``.

A method knows no device, file, log or optimizer step; the engine (``vsbench.engine.trainer``) does these in one place.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from vsbench.bounds import SEED, STEPS
from vsbench.config import build_config, config_type
from vsbench.data.augment import Changes
from vsbench.data.maps import TileMaps
from vsbench.errors import UsageError
from vsbench.names import brief, said

DecayPhase = Literal["crop", "shrink"]  # shrink: in the decay phase the whole tile is resized to the crop
Loader = Literal["aligned", "unaligned"]  # unaligned: any IHC tile at random, cropped and flipped on its own
Sampling = Literal["permute", "replace"]  # replace: each H&E tile drawn at random, with replacement


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError(f"{size} is even; a window is centred on a pixel")
    return size


# Settings have ends at both sides, far beyond what anyone trains with: what lies outside is a slip of the hand.
Weight = Annotated[float, Field(ge=0, le=1e9)]  # of a loss term; 0 switches it off
Positive = Annotated[float, Field(gt=0, le=1e9)]
Rate = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=10_000)]
Whole = Annotated[int, Field(ge=0, le=10_000)]
SeedSetting = Annotated[int, Field(ge=0, le=SEED)]
Layers = Annotated[int, Field(ge=1, le=100)]
Width = Annotated[int, Field(ge=1, le=4096)]  # channels of a layer
Blur = Annotated[float, Field(ge=0.01, le=1000)]  # σ of a Gaussian, in pixels
OddWindow = Annotated[int, Field(ge=1, le=1001), AfterValidator(_odd)]  # in pixels
Side = Annotated[int, Field(ge=1, le=16_384)]  # of an image, in pixels
Epochs = Annotated[int, Field(ge=1, le=1_000_000)]
DecayEpochs = Annotated[int, Field(ge=0, le=1_000_000)]
LoadSize = Annotated[int, Field(ge=0, le=16_384)]


@dataclass(frozen=True)
class Card:
    """What a reader must know about a method."""

    title: str
    citation: str
    origin: str  # the official code
    licence: str  # of the official code; ours is written anew
    pairing: Literal["paired", "weak", "unpaired"]  # what the training needs of the two images
    losses: tuple[str, ...]  # the names of all loss terms, in the order of the phases
    parameters: dict[str, int]  # trainable parameters of each network with the published defaults
    deviations: tuple[str, ...] = ()  # from the official code, each with its reason
    compute: str = ""  # what the paper says it took
    is_control: bool = False  # a yardstick of this suite, no method of the literature


class MethodConfig(BaseModel):
    """Fields every method has. Each is a ``--set KEY=VALUE`` key; subclasses set the published defaults.

    Training lasts ``epochs`` at constant learning rate, then ``decay_epochs`` in which it falls linearly to zero. With
    ``steps`` it lasts that many steps instead, split between the two phases in the same proportion. Whoever sets the
    length in epochs sets aside the steps of a preset; both at once is an error, but for ``decay_epochs=0``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    variant: str = ""  # which of the method's variants these values started from; "" (or paper): the published method
    batch_size: Count = 1
    epochs: Epochs = 100
    decay_epochs: DecayEpochs = 100
    steps: Annotated[int, Field(ge=1, le=STEPS)] | None = None
    lr: Rate = 2e-4
    betas: tuple[Share, Share] = (0.5, 0.999)
    average: Share = 0.0  # decay of the moving average of the weights that translates; 0: the last
    load_size: LoadSize = 286  # bicubic resize of the whole tile to this square before cropping; 0: as it is
    crop_size: Side = 256
    flip: bool = True  # mirror left-right with probability ½, both images of a pair alike when aligned
    decay_phase: DecayPhase = "crop"
    loader: Loader = "aligned"
    sampling: Sampling = "permute"

    @model_validator(mode="after")
    def _crop_fits(self) -> "MethodConfig":
        if 0 < self.load_size < self.crop_size:
            raise ValueError(f"crop_size {self.crop_size} does not fit into load_size {self.load_size}")
        return self


@dataclass(frozen=True)
class Place:
    """Where a step stands in its training: in unit 1, 2, … of ``constant`` units at the full learning rate and then
    ``decay`` units in which it falls. A unit is an epoch, or one step where the configuration counts steps.
    """

    unit: int = 1
    constant: int = 1
    decay: int = 0

    @property
    def before(self) -> float:
        """The share of all units that is over when this one begins: 0 in the first."""
        return (self.unit - 1) / (self.constant + self.decay)

    @property
    def after(self) -> float:
        """The share that is over when this one ends: 1 in the last."""
        return self.unit / (self.constant + self.decay)

    @property
    def decays_from(self) -> float:
        """The share that is over when the decay begins."""
        return self.constant / (self.constant + self.decay)


@dataclass(frozen=True)
class Batch:
    """One training batch: (B, 3, H, W) float in [−1, 1] each, the ids of the H&E tiles, and where its step stands.

    ``ihc[i]`` belongs to ``he[i]`` with the aligned loader, and is a random other tile with the unaligned one. ``maps``
    are those of the IHC tiles, (B, C, H, W) in [0, 1], where the method asks for them (``Method.maps``).
    """

    he: Tensor
    ihc: Tensor
    ids: tuple[str, ...] = ()
    place: Place = Place()
    maps: Tensor | None = None

    @classmethod
    def of(cls, he: Tensor, ihc: Tensor, ids: tuple[str, ...], place: Place) -> "Batch":
        """Of what the loader gives: maps are further channels of the IHC, in [−1, 1]."""
        maps = (ihc[:, 3:] + 1) / 2 if ihc.shape[1] > 3 else None
        return cls(he, ihc[:, :3], ids, place, maps)

    def each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The batch with its images, and maps, changed alike."""
        maps = None if self.maps is None else change(self.maps)
        return replace(self, he=change(self.he), ihc=change(self.ihc), maps=maps)


@dataclass(frozen=True)
class SuiteRow:
    """One configuration of an ablation study, and what the literature printed for it."""

    name: str  # unique in its suite: letters, digits, '.', '_', '+' and '-'
    overrides: dict[str, Any]  # settings in which it differs from the method; {} is the method as it is
    published: str  # where it is printed: "Table VI, L_odc"; else "not in the paper"
    numbers: dict[str, dict[str, float]] = field(default_factory=dict)  # "mist-er" → value name → as printed


@dataclass(frozen=True)
class Suite:
    """An ablation study as data; ``vsbench ablate METHOD --suite NAME`` trains its rows."""

    title: str
    rows: tuple[SuiteRow, ...]
    notes: tuple[str, ...] = ()  # what the literature leaves open, and how it is read here

    @property
    def varies(self) -> tuple[str, ...]:
        """The settings that any of its rows sets; the others are the user's."""
        return tuple(dict.fromkeys(key for row in self.rows for key in row.overrides))


@dataclass(frozen=True)
class Phase:
    """A part of a training step: minimise the sum of ``losses`` (weights applied) with the optimizers in ``drives``."""

    drives: tuple[str, ...]
    losses: dict[str, Tensor] = field(default_factory=dict)


C = TypeVar("C", bound=MethodConfig)


class Method(nn.Module, ABC, Generic[C]):
    """A virtual staining method. Weights are its ``state_dict``."""

    card: ClassVar[Card]
    variants: ClassVar[dict[str, dict[str, Any]]] = {}  # name → values that differ from the published defaults
    presets: ClassVar[dict[str, dict[str, Any]]] = {}  # "cpu" at least; "paper" is the defaults themselves
    translator: ClassVar[str] = "generator"  # the network that translates, which official codes save
    official_order: ClassVar[tuple[str, ...]] = ()  # patterns of its tensors' names there, in the order of ours
    official_unused: ClassVar[tuple[str, ...]] = ()  # patterns of those that change no image
    suites: ClassVar[dict[str, Suite]] = {}  # name → ablation study; the name can be part of a file's

    def __init__(self, config: C) -> None:
        super().__init__()
        self.config: C = config
        self.frozen: dict[str, nn.Module] = {}  # no modules of ours to torch: no weights, parameters or averages

    @classmethod
    def configure(cls, preset: str = "paper", options: dict[str, Any] | None = None) -> Any:
        """The configuration of this method: defaults, then the variant's values, then the preset's, then ``options``.

        Raises UsageError naming an unknown preset, variant or option, a value that cannot be, or two that contradict
        each other.
        """
        given = options or {}
        if given.get("variant") == "paper":  # the published method's own name, for those who want to say it
            given = given | {"variant": ""}
        presets = {"paper": {}, **cls.presets}
        if preset not in presets:
            raise UsageError(f"unknown preset {brief(preset)}: {cls.card.title} has {', '.join(presets)}")
        variant = given.get("variant", "")
        if variant != "" and (not isinstance(variant, str) or variant not in cls.variants):
            known = ", ".join(("paper", *cls.variants))
            raise UsageError(f"unknown variant {brief(variant)}: {cls.card.title} has {known}")
        usual = {**cls.variants.get(variant, {}), **presets[preset]}
        if in_epochs := [key for key in ("epochs", "decay_epochs") if given.get(key) not in (None, 0)]:
            if given.get("steps") is not None:
                raise UsageError(f"steps and {in_epochs[0]}: both say how long the training lasts; leave one out")
            usual.pop("steps", None)
        return build_config(config_type(cls), {**usual, **given})

    @classmethod
    def restored(cls, values: dict[str, Any]) -> Any:
        """The configuration whose values are all given, as in a record. Raises UsageError where one cannot be."""
        return build_config(config_type(cls), values)

    @property
    @abstractmethod
    def size_multiple(self) -> int:
        """Height and width of the images must be multiples of this; the engine pads and crops where they are not."""

    @abstractmethod
    def optimizers(self) -> dict[str, Optimizer]:
        """The optimizers by the names that phases drive; each parameter belongs to exactly one.

        A parameter group with ``scheduled=False`` keeps its learning rate whatever the schedule says, one with
        ``rate_share=s`` has s times the others'; one with ``cleared=False`` keeps its gradients, to which those of the
        next step are added.
        """

    @abstractmethod
    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """Yield the phases of one step in order; the optimizers of a phase have stepped before the next is asked for.

        Randomness comes from torch's global generators, which the engine seeds, stores and restores.
        """

    @abstractmethod
    def translate(self, he: Tensor) -> Tensor:
        """(B, 3, H, W) float in [−1, 1] → the same; one by one as in a batch; nothing random."""

    def draws(self, he: Tensor) -> tuple[Tensor, ...]:
        """What ``translate`` draws for images of this size, the same each time: none, where it draws nothing.

        Of four dimensions where it has the size of the images, of another number where it is the same for all sizes.
        """
        return ()

    def translate_drawn(self, he: Tensor, *drawn: Tensor) -> Tensor:
        """``translate`` with given draws, like those of ``draws``: a graph can't draw as we do."""
        return self.translate(he)

    def maps(self) -> TileMaps | None:
        """Pictures of each IHC tile that a training step needs (``Batch.maps``): what makes them of a tile."""
        return None

    def changes(self) -> Changes:
        """What is done to training tiles besides crop and left-right mirroring: nothing, as a rule."""
        return Changes()

    def rate_factor(self, place: Place) -> float:
        """What multiplies the learning rate at a place of the schedule, besides the linear decay: 1, as a rule."""
        return 1.0

    def pretrained(self) -> dict[str, nn.Module]:
        """The frozen networks that a training step needs, by the names of their weights (``vsbench.weights``).

        Built anew at each call, by the names of their tensors as torchvision has them, whatever their values.
        """
        return {}

    def started(self) -> dict[str, nn.Module]:
        """The parts of the method that begin with pretrained weights and learn on, by the names of these weights.

        The names of a part's tensors are those in the file.
        """
        return {}

    def weights_needed(self) -> dict[str, nn.Module]:
        """What a training needs by name: ``pretrained``, as shapes alone on the device ``meta``, and ``started``."""
        with torch.device("meta"):
            return self.pretrained() | self.started()

    def equip(self, load: Callable[[str], dict[str, Tensor]] | None) -> None:
        """Make ready for training: have ``frozen`` networks, all that ``pretrained`` names, and begin where ``started``
        says, with the tensors that ``load`` gives.

        Without ``load`` frozen networks have shapes alone, on the device ``meta``. They are no part of weights,
        parameters, optimizers and averages, and go where the method goes. A method may add others that need no file.
        Raises ValueError where a tensor is missing or of another shape.
        """
        parts = self.started()
        for name, network in self.weights_needed().items():
            if load is not None:
                own, given = network.state_dict(), load(name)
                try:
                    # a part keeps its parameters, which become like the file's; a network of mere shapes gets tensors
                    tensors = {key: given[key] for key in own if key in given}
                    network.load_state_dict(tensors, assign=name not in parts)
                except RuntimeError as error:
                    raise ValueError(f"{name}: {said(error)}") from None
            if name not in parts:
                self.frozen[name] = network.eval().requires_grad_(False)

    def _apply(self, change: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        for network in self.frozen.values():
            network._apply(change, recurse)
        return super()._apply(change, recurse)

    def training_state(self) -> dict[str, Any]:
        """What a resumed training needs besides weights and optimizers (image pools): tensors, lists, dicts."""
        return {}

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Take back what ``training_state`` gave."""
        if state:
            raise ValueError(f"{type(self).__name__} keeps no training state but was given {sorted(state)}")
