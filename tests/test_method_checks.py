"""The checks of methods can fail: a small sound method passes all of them, and each planted fault is caught by name."""

import socket
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ConfigDict, PositiveInt
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from vsbench.checks.methods import Check, maker, method_checks
from vsbench.losses.adversarial import least_squares
from vsbench.method import Batch, Card, Method, MethodConfig, Phase, Suite, SuiteRow, Weight, Width

CHECKS = {check.__name__: check for check in method_checks()}
Losses = dict[str, Tensor]


class Config(MethodConfig):
    width: Width = 16
    lambda_adversarial: Weight = 1.0
    lambda_structure: Weight = 1.0


class Sound(Method[Config]):
    """A generator of 1 × 1 convolutions, a discriminator of patches, and a term that keeps the structure."""

    card = Card(
        title="Sound",
        citation="none",
        origin="none",
        licence="none",
        pairing="unpaired",
        losses=("d_real", "d_fake", "g_adversarial", "g_structure"),
        parameters={"generator": 115, "discriminator": 1041},
        compute="none",
    )
    variants = {"narrow": {"width": 8}}
    suites = {
        "widths": Suite(
            "Width",
            (
                SuiteRow("as-it-is", {}, "Table I, 16", {"mist-er": {"r_p": 80.0}}),
                SuiteRow("width-8", {"variant": "narrow"}, "Table I, 8"),
            ),
        )
    }
    presets = {"cpu": {"load_size": 0, "crop_size": 64, "steps": 10, "lr": 1e-3}}

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        width = config.width
        self.generator = nn.Sequential(nn.Conv2d(3, width, 1), nn.ReLU(), nn.Conv2d(width, 3, 1), nn.Tanh())
        self.discriminator = nn.Sequential(nn.Conv2d(3, width, 4, 4), nn.LeakyReLU(0.2), nn.Conv2d(width, 1, 4))
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.02)

    @property
    def size_multiple(self) -> int:
        return 4

    def optimizers(self) -> dict[str, Optimizer]:
        c, rate = self.config, 10 * self.config.lr  # so few weights must move further
        return {
            "discriminator": Adam(self.discriminator.parameters(), rate, c.betas),
            "generator": Adam(self.generator.parameters(), rate, c.betas),
        }

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        c = self.config
        fake = self.generator(batch.he)
        if c.lambda_adversarial > 0:
            real, false = self.discriminator(batch.ihc), self.discriminator(fake.detach())
            losses = {"d_real": least_squares(real, real=True), "d_fake": least_squares(false, real=False)}
            yield Phase(("discriminator",), losses)
        losses = {}
        if c.lambda_adversarial > 0:
            losses["g_adversarial"] = c.lambda_adversarial * least_squares(self.discriminator(fake), real=True)
        if c.lambda_structure > 0:
            losses["g_structure"] = c.lambda_structure * (contrast(fake) - contrast(batch.he)).abs().mean()
        yield Phase(("generator",), losses)

    def translate(self, he: Tensor) -> Tensor:
        return self.generator(he)


def contrast(image: Tensor) -> Tensor:
    """What is brighter or darker than the image's mean, whatever its colour."""
    grey = image.mean(dim=1)
    return grey - grey.mean(dim=(1, 2), keepdim=True)


@pytest.mark.parametrize("check", method_checks(), ids=lambda check: check.__name__)
def test_a_sound_method_passes(check: Check) -> None:
    check(maker(Sound))


def with_losses(change: Callable[[Losses, Batch], Losses]) -> type[Sound]:
    class Faulty(Sound):
        def training_step(self, batch: Batch) -> Iterator[Phase]:
            for phase in super().training_step(batch):
                yield Phase(phase.drives, change(phase.losses, batch))

    return Faulty


def with_translation(change: Callable[[Tensor, Tensor], Tensor]) -> type[Sound]:
    class Faulty(Sound):
        def translate(self, he: Tensor) -> Tensor:
            return change(super().translate(he), he)

    return Faulty


def with_side_effect(act: Callable[[], object]) -> type[Sound]:
    class Faulty(Sound):
        def translate(self, he: Tensor) -> Tensor:
            act()
            return super().translate(he)

    return Faulty


def with_class_attributes(**attributes: Any) -> type[Sound]:
    return type("Faulty", (Sound,), attributes)


class StainsSwapped(Sound):
    def training_step(self, batch: Batch) -> Iterator[Phase]:
        return super().training_step(replace(batch, ihc=batch.he))


class LayerLeftOut(Sound):
    def optimizers(self) -> dict[str, Optimizer]:
        optimizers = super().optimizers()
        optimizers["generator"].param_groups[0]["params"].pop()
        return optimizers


class LayerTwice(Sound):
    def optimizers(self) -> dict[str, Optimizer]:
        optimizers = super().optimizers()
        return optimizers | {"generator": Adam(self.parameters())}


class LayerUnused(Sound):
    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.generator.register_parameter("unused", nn.Parameter(torch.zeros(())))


class OptimizerIdle(Sound):
    def optimizers(self) -> dict[str, Optimizer]:
        return super().optimizers() | {"idle": Adam([nn.Parameter(torch.zeros(()))])}


class ChangesItsWeights(Sound):
    def translate(self, he: Tensor) -> Tensor:
        fake = super().translate(he)
        dict(self.named_parameters())["generator.0.bias"].mul_(1.01)
        return fake


class RemembersOutsideTheState(Sound):
    """Leans on the last fake, which no checkpoint holds."""

    last: Tensor | float = 0.0

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        last, self.last = self.last, self.generator(batch.he).detach()
        return super().training_step(replace(batch, he=batch.he + 0.1 * last))


class TranslatesOutsideTheWeights(Sound):
    """Leans on a tensor that is neither parameter nor buffer."""

    tint: Tensor | float = 0.0

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        self.tint = batch.ihc.mean()
        return super().training_step(batch)

    def translate(self, he: Tensor) -> Tensor:
        return super().translate(he) * (1 - 0.1 * self.tint)


class NormalisedByTorch(Sound):
    """In channels-last, and for a batch of one, its norm's gradient is another one."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        width = config.width
        self.generator[1] = nn.Sequential(nn.InstanceNorm2d(width), nn.Conv2d(width, width, 3, padding=1), nn.ReLU())


class NormalisedByTorchInAVariant(Sound):
    """The variant alone has the fault."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.variant:
            self.generator = NormalisedByTorch(config).generator


class LooseConfig(Config):
    model_config = ConfigDict(extra="ignore")


class TakesAnyOption(Sound, Method[LooseConfig]):
    pass


class NegativeConfig(Config):
    lambda_structure: float = 1.0


class TakesNegativeWeights(Sound, Method[NegativeConfig]):
    pass


class EndlessConfig(Config):
    patches: PositiveInt = 64


class TakesAnyNumber(Sound, Method[EndlessConfig]):
    pass


class InfiniteConfig(Config):
    model_config = ConfigDict(allow_inf_nan=True)
    lr: float = 1e-4


class TakesInfinity(Sound, Method[InfiniteConfig]):
    pass


def with_suite(*rows: SuiteRow, name: str = "table1", title: str = "Width") -> type[Sound]:
    return with_class_attributes(suites={name: Suite(title, rows)})


WIDE, AS_IT_IS = SuiteRow("wide", {"width": 32}, "Table I"), SuiteRow("whole", {}, "Table I", {"any-er": {"r_p": 80.0}})


def other_generator(losses: Losses, batch: Batch) -> Losses:
    return {name: loss * np.random.random() for name, loss in losses.items()}  # noqa: NPY002  the fault


def never_off(losses: Losses, batch: Batch) -> Losses:
    """Logs the structure's term even where its weight is 0."""
    if "g_adversarial" not in losses or "g_structure" in losses:
        return losses
    return losses | {"g_structure": 0 * losses["g_adversarial"]}


def on_cpu(losses: Losses, batch: Batch) -> Losses:
    noise = torch.rand(batch.he.shape)
    return {name: loss + (noise * batch.he).mean() for name, loss in losses.items()}


def copied_over(losses: Losses, batch: Batch) -> Losses:
    weights = torch.tensor([0.2, 0.7, 0.1]).to(batch.he.device)
    return {name: loss + (batch.he.mean((0, 2, 3)) * weights).sum() for name, loss in losses.items()}


def new_tensor(losses: Losses, batch: Batch) -> Losses:
    return {name: loss * batch.he.new_tensor([1.0, 0.0]).sum() for name, loss in losses.items()}


def in_memory_order(losses: Losses, batch: Batch) -> Losses:
    """Each image's first values as they lie in memory."""
    first = batch.he.as_strided((len(batch.he), 10), (batch.he.stride(0), 1)).mean()
    return {name: loss * (2 + first) for name, loss in losses.items()}


def reads_value(losses: Losses, batch: Batch) -> Losses:
    return {name: loss / max(1.0, loss.item()) for name, loss in losses.items()}


def renamed(old: str, new: str) -> type[Sound]:
    return with_losses(lambda losses, _: {name.replace(old, new): loss for name, loss in losses.items()})


def scaled(scale: float, term: str) -> type[Sound]:
    return with_losses(
        lambda losses, _: {name: scale * loss if name == term else loss for name, loss in losses.items()}
    )


FAULTS: list[tuple[str, str, type[Sound]]] = [
    ("check_card", "licence is empty", with_class_attributes(card=replace(Sound.card, licence=" "))),
    (
        "check_card",
        "trainable parameters",
        with_class_attributes(card=replace(Sound.card, parameters={"generator": 1})),
    ),
    ("check_card", "names a loss twice", with_class_attributes(card=replace(Sound.card, losses=("a", "a")))),
    ("check_card", "column lr of its own", with_class_attributes(card=replace(Sound.card, losses=("lr",)))),
    ("check_presets_and_variants", "misspelt", with_class_attributes(variants={"narrow": {"misspelt": 1}})),
    ("check_presets_and_variants", "changes nothing", with_class_attributes(variants={"narrow": {"width": 16}})),
    ("check_presets_and_variants", "not as the card", renamed("g_structure", "g_form")),
    ("check_presets_and_variants", "no multiple of 4", with_class_attributes(presets={"cpu": {"crop_size": 50}})),
    ("check_suites", "no title", with_suite(WIDE, AS_IT_IS, title=" ")),
    ("check_suites", "names a row twice", with_suite(WIDE, WIDE)),
    ("check_suites", "'table 1' can't be", with_suite(WIDE, AS_IT_IS, name="table 1")),
    ("check_suites", "'as/is' can't be", with_suite(WIDE, replace(AS_IT_IS, name="as/is"))),
    ("check_suites", "where is it published", with_suite(WIDE, replace(AS_IT_IS, published=""))),
    ("check_suites", "no metric measures .'iodine'", with_suite(replace(WIDE, numbers={"any-er": {"iodine": 1.0}}))),
    ("check_suites", "did you mean 'width'", with_suite(AS_IT_IS, replace(WIDE, overrides={"widht": 32}))),
    (
        "check_suites",
        "preset 'cpu': .*crop_size 260",
        with_class_attributes(
            suites={"table1": Suite("Size", (replace(WIDE, overrides={"load_size": 256}),))},
            presets={"cpu": {"crop_size": 260, "load_size": 0}},
        ),
    ),
    ("check_suites", "same configuration as row 'whole'", with_suite(AS_IT_IS, replace(WIDE, overrides={"width": 16}))),
    ("check_options", "passes in silence", TakesAnyOption),
    ("check_options", "lambda_structure", TakesNegativeWeights),
    ("check_options", "patches", TakesAnyNumber),
    ("check_options", "lr", TakesInfinity),
    ("check_losses", "d_real is nan", scaled(float("nan"), "d_real")),
    ("check_losses", "not that of a scalar", with_losses(lambda losses, _: {n: x[None] for n, x in losses.items()})),
    ("check_losses", "named twice", renamed("g_adversarial", "d_real")),
    ("check_losses", "the card lists", renamed("g_structure", "g_form")),
    ("check_losses", "no phase drives", OptimizerIdle),
    ("check_weights_switch_off", "lambda_structure = 0 removes nothing", with_losses(never_off)),
    ("check_parameters", "belongs to 0 optimizers", LayerLeftOut),
    ("check_parameters", "belongs to 2 optimizers", LayerTwice),
    ("check_parameters", "not the method's", OptimizerIdle),
    ("check_parameters", "unused gets no gradient", LayerUnused),
    ("check_translate", "becomes", with_translation(lambda fake, _: fake[..., :-1])),
    ("check_translate", "leaves", with_translation(lambda fake, _: 1000 * fake)),
    (
        "check_translate",
        "gives another output",
        with_translation(lambda fake, _: fake * np.random.default_rng().random()),
    ),
    ("check_translate", "global generator", with_translation(lambda fake, _: fake + 0 * torch.rand(()))),
    ("check_translate", "in place", with_translation(lambda fake, he: fake + 0 * he.clamp_(-0.1, 0.1))),
    ("check_translate", "changes generator.0.bias", ChangesItsWeights),
    ("check_translate", "depends on the batch", with_translation(lambda fake, he: fake + 0.1 * he.mean())),
    ("check_repeats", "gives another training", with_losses(other_generator)),
    ("check_weights_file", "does not hold all", TranslatesOutsideTheWeights),
    ("check_resume", "in step 3 differs", RemembersOutsideTheState),
    ("check_device", "made on the CPU", with_losses(on_cpu)),
    ("check_device", "made on the CPU", with_losses(reads_value)),
    ("check_device", "copies tensors between the CPU and its device, of shapes \\(3,\\)", with_losses(copied_over)),
    ("check_device", "copies tensors between the CPU and its device, of shapes \\(2,\\)", with_losses(new_tensor)),
    ("check_memory_formats", "gradient of generator off by .*batch of 1, all terms", NormalisedByTorch),
    ("check_memory_formats", "batch of 1, variant 'narrow'", NormalisedByTorchInAVariant),
    ("check_memory_formats", "losses off by", with_losses(in_memory_order)),
    ("check_leaves_no_trace", "prints 'done'", with_side_effect(lambda: print("done"))),
    ("check_leaves_no_trace", "writes log.txt", with_side_effect(lambda: Path("log.txt").write_text("done"))),
    ("check_leaves_no_trace", "warnings filters", with_side_effect(lambda: warnings.simplefilter("ignore"))),
    ("check_leaves_no_trace", "network", with_side_effect(lambda: socket.create_connection(("localhost", 9)))),
    ("check_learns_the_stain", "d_fake is nan", scaled(float("nan"), "d_fake")),
    ("check_learns_the_stain", "does not learn", StainsSwapped),
    ("check_learns_the_stain", "does not learn", scaled(-1, "g_adversarial")),
]


@pytest.mark.parametrize(("check", "words", "faulty"), FAULTS, ids=[f"{check}-{words}" for check, words, _ in FAULTS])
def test_a_planted_fault_is_caught(check: str, words: str, faulty: type[Sound]) -> None:
    with pytest.raises(AssertionError, match=words):
        CHECKS[check](maker(faulty))


def test_a_method_without_a_preset_for_the_cpu_is_caught() -> None:
    paper_only = with_class_attributes(presets={})
    with pytest.raises(AssertionError, match="no preset 'cpu'"):
        CHECKS["check_presets_and_variants"](lambda **options: paper_only(paper_only.configure("paper", options)))


def test_every_check_has_been_seen_to_fail() -> None:
    assert {check for check, _, _ in FAULTS} == set(CHECKS)
