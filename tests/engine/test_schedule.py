"""The learning rate's course against its closed form."""

import pytest

from vsbench.engine.schedule import Schedule
from vsbench.method import MethodConfig


def test_constant_then_linear() -> None:
    schedule = Schedule(constant=3, decay=4, steps_per_unit=1)
    expected = [1, 1, 1, 4 / 5, 3 / 5, 2 / 5, 1 / 5]
    assert [schedule.factor(step) for step in range(schedule.steps)] == pytest.approx(expected)


@pytest.mark.parametrize(("constant", "decay"), [(1, 1), (2, 5), (100, 100), (200, 200), (7, 0)])
def test_last_unit_is_one_over_decay_plus_one(constant: int, decay: int) -> None:
    schedule = Schedule(constant, decay, steps_per_unit=6)
    assert schedule.factor(schedule.steps - 1) == pytest.approx(1 / (decay + 1))


def test_never_rises_and_never_reaches_zero() -> None:
    schedule = Schedule(constant=5, decay=9, steps_per_unit=3)
    factors = [schedule.factor(step) for step in range(schedule.steps)]
    assert factors == sorted(factors, reverse=True)
    assert min(factors) > 0


def test_all_steps_of_an_epoch_have_one_rate() -> None:
    schedule = Schedule.of(MethodConfig(epochs=2, decay_epochs=3), steps_per_epoch=4)
    assert schedule.steps == 20
    factors = [schedule.factor(step) for step in range(20)]
    for epoch in range(5):
        assert len(set(factors[4 * epoch : 4 * epoch + 4])) == 1
    assert len(set(factors)) == 4  # 1, ¾, ½, ¼


def test_decay_begins_where_the_rate_first_falls() -> None:
    for schedule in (Schedule(2, 3, 4), Schedule.of(MethodConfig(steps=700, epochs=200, decay_epochs=200), 13)):
        assert schedule.factor(schedule.decay_from - 1) == 1
        assert schedule.factor(schedule.decay_from) < 1


@pytest.mark.parametrize(
    ("epochs", "decay_epochs", "steps", "constant"),
    [(100, 100, 700, 350), (150, 50, 700, 525), (40, 0, 9, 9), (1, 2, 9, 3), (100, 100, 1, 0)],
)
def test_steps_keep_the_proportion_of_the_phases(epochs: int, decay_epochs: int, steps: int, constant: int) -> None:
    config = MethodConfig(epochs=epochs, decay_epochs=decay_epochs, steps=steps)
    schedule = Schedule.of(config, steps_per_epoch=77)
    assert schedule.steps == steps
    assert schedule.decay_from == constant
    assert schedule.factor(steps - 1) == pytest.approx(1 / (steps - constant + 1))


def test_steps_do_not_depend_on_the_size_of_an_epoch() -> None:
    config = MethodConfig(steps=30)
    assert Schedule.of(config, steps_per_epoch=1) == Schedule.of(config, steps_per_epoch=1000)
