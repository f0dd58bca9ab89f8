"""The random generators that a checkpoint keeps: those of each device that draws."""

import pytest
import torch

from vsbench.engine.training_state import _random_state, _restore_random_state


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_numbers_that_a_gpu_draws_go_on(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """A generator of the CPU's stands for that of a GPU, which is not here."""
    of = torch.Generator().manual_seed(3)
    tool, backend = getattr(torch, device), torch.cuda if device == "cuda" else torch.backends.mps
    monkeypatch.setattr(backend, "is_available", lambda: True)
    monkeypatch.setattr(tool, "get_rng_state", of.get_state)
    monkeypatch.setattr(tool, "set_rng_state", of.set_state)
    kept = _random_state()
    drawn = torch.rand(3, generator=of)
    _restore_random_state(kept)
    assert torch.equal(torch.rand(3, generator=of), drawn)
