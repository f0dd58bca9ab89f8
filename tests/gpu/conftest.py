"""What a CPU can't show. Where there is no GPU, these tests say so and skip."""

import pytest
import torch


@pytest.fixture
def device() -> str:
    """Where all of it runs."""
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU that CUDA reaches, and there is none here")
    return "cuda"
