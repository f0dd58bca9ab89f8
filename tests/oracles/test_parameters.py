"""The parameter counts on the cards are those of the networks with published defaults."""

import pytest
import torch

from vsbench.registry import load, names


@pytest.mark.parametrize("name", names("vsbench.methods"))
def test_card_counts_every_parameter(name: str) -> None:
    method_type = load("vsbench.methods", name)
    with torch.device("meta"):
        method = method_type(method_type.configure())
    counts = {part: sum(p.numel() for p in network.parameters()) for part, network in method.named_children()}
    assert method_type.card.parameters == counts
    assert sum(counts.values()) == sum(p.numel() for p in method.parameters())
