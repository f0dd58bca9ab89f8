"""How long a training lasts and how its learning rate falls."""

from dataclasses import dataclass

from vsbench.bounds import STEPS, require_whole
from vsbench.method import MethodConfig, Place


@dataclass(frozen=True)
class Schedule:
    """``constant`` units at the full learning rate, then ``decay`` units in which it falls linearly towards 0.

    A unit is ``steps_per_unit`` steps: an epoch, or one step where the configuration counts steps.
    """

    constant: int
    decay: int
    steps_per_unit: int

    @classmethod
    def of(cls, config: MethodConfig, steps_per_epoch: int) -> "Schedule":
        """The schedule of a configuration. Raises UsageError where its epochs come to more steps than can be meant."""
        if config.steps is None:
            schedule = cls(config.epochs, config.decay_epochs, steps_per_epoch)
            epochs = f"epochs={config.epochs} and decay_epochs={config.decay_epochs}"
            require_whole(f"{epochs} of {steps_per_epoch:,} steps come to", schedule.steps, 1, STEPS)
            return schedule
        constant = round(config.steps * config.epochs / (config.epochs + config.decay_epochs))
        return cls(constant, config.steps - constant, 1)

    @property
    def steps(self) -> int:
        """All steps."""
        return (self.constant + self.decay) * self.steps_per_unit

    @property
    def decay_from(self) -> int:
        """The first step of the decay."""
        return self.constant * self.steps_per_unit

    def place(self, step: int) -> Place:
        """Where a step counted from 0 stands."""
        return Place(step // self.steps_per_unit + 1, self.constant, self.decay)

    def factor(self, step: int) -> float:
        """The learning rate's factor in a step counted from 0.

        In unit e = 1, 2, …: 1 − max(0, e − constant)/(decay + 1), which never reaches 0.
        """
        return 1 - max(0, self.place(step).unit - self.constant) / (self.decay + 1)
