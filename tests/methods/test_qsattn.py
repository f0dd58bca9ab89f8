"""QS-Attn's settings and its way of computing; its formulas are held against the oracles elsewhere."""

import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vsbench.registry import load

QSATTN, CUT = (load("vsbench.methods", name) for name in ("qsattn", "cut"))
SMALL = {"width": 4, "blocks": 1, "taps": (0, 4, 8, 12), "patches": 16}
MODES = ("global", "local", "local_global")


def small(**options: Any) -> Any:
    torch.manual_seed(0)
    return QSATTN(QSATTN.configure("cpu", SMALL | options)).double()


def features(height: int = 5, width: int = 6) -> tuple[Tensor, Tensor]:
    """Of two outputs and their sources."""
    generator = torch.Generator().manual_seed(1)
    output, source = (torch.randn(2, 4, height, width, generator=generator).double() for _ in range(2))
    return output.requires_grad_(), source.requires_grad_()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("windows", ["corrected", "released"])
def test_entropies_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch, mode: str, windows: str) -> None:
    ours, (_, source) = small(mode=mode, windows=windows), features()
    whole = ours.entropies(source)
    monkeypatch.setattr(sys.modules[QSATTN.__module__], "CHUNK", 7)
    torch.testing.assert_close(ours.entropies(source), whole, rtol=1e-12, atol=0)


@pytest.mark.parametrize("window", [1, 3, 4, 7])
def test_neighbours_are_the_unfolded_windows(window: int) -> None:
    _, source = features()
    before = window // 2
    padded = F.pad(source, (before, window - 1 - before) * 2)
    unfolded = F.unfold(padded, window).unflatten(1, (4, -1)).permute(0, 3, 2, 1)
    everywhere = torch.arange(30).expand(2, -1)
    assert torch.equal(small(window=window).neighbours(source, everywhere), unfolded)


@pytest.mark.parametrize("mode", MODES)
def test_a_detached_attention_changes_the_gradient_alone(mode: str) -> None:
    """Keys are constants in both; what reaches the source comes through the attention of the queries."""
    reached = []
    for detach in (False, True):
        output, source = features()
        queries, keys = small(mode=mode, detach_attention=detach).routed(output, source)
        assert not keys.requires_grad
        queries.square().sum().backward()
        assert output.grad is not None
        reached.append((queries.detach(), output.grad, source.grad))
    assert torch.equal(reached[0][0], reached[1][0])
    torch.testing.assert_close(reached[0][1], reached[1][1])
    assert reached[0][2].norm() > 0
    assert reached[1][2] is None


def test_without_attention_it_is_cut() -> None:
    """Beyond the last tap nothing is selected."""
    output, source = ([torch.randn(2, c, 8, 8).double() for c in (3, 8, 16, 16)] for _ in range(2))
    ours = small(attention_from=4)
    cut = CUT(CUT.configure("cpu", SMALL)).double()
    cut.load_state_dict(ours.state_dict())
    losses = []
    for method in (ours, cut):
        torch.manual_seed(3)
        losses.append(method.nce(output, source))
    torch.testing.assert_close(*losses, rtol=1e-12, atol=0)
    assert small(attention_from=2).nce(output, source) != losses[0]
