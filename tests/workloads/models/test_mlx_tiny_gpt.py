from __future__ import annotations

import pytest

from metalassay.workloads import mlx_registry
from metalassay.workloads.models import tiny_gpt

WHY = mlx_registry.missing()
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY or "mlx is installed")


def test_a_gpt_attends_only_to_earlier_positions() -> None:
    import mlx.core as mx

    from metalassay.workloads.models.mlx_tiny_gpt import TinyGPT

    model = TinyGPT(tiny_gpt.TINY)
    tokens = mx.random.randint(0, 372, (1, 64))
    later = mx.concatenate([tokens[:, :32], (tokens[:, 32:] + 1) % 372], axis=1)
    before, after = model(tokens), model(later)
    assert before.shape == (1, 64, 372)
    assert mx.allclose(before[:, :32], after[:, :32], atol=1e-5).item()
    assert not mx.allclose(before[:, 32:], after[:, 32:], atol=1e-5).item()
