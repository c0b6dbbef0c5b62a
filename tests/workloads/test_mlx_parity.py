from __future__ import annotations

import pytest
import torch

from metalassay.workloads import cpu_parity, mlx_parity, mlx_registry
from metalassay.workloads.registry import get

WHY = mlx_registry.missing()
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY or "mlx is installed")


@pytest.mark.parametrize("name", [pytest.param("transit-cnn", marks=pytest.mark.slow), "gpt-tiny"])
def test_mlx_agrees_with_pytorch(name: str) -> None:
    mlx_registry.device("cpu")
    assert mlx_parity.disagreement(get(name)) == ""


@pytest.mark.parametrize("what", ["forward", "backward", "training"])
def test_a_difference_in_any_of_the_three_computations_is_reported(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = cpu_parity.COMPUTATIONS[what]
    monkeypatch.setitem(cpu_parity.COMPUTATIONS, what, lambda *arguments: compute(*arguments) + 0.1)
    assert mlx_parity.disagreement(get("gpt-tiny")).startswith(f"{what}: ")


def test_an_error_of_mlx_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(recipe: object) -> torch.Tensor:
        raise RuntimeError("[conv] no kernel\nand more")

    monkeypatch.setattr(mlx_parity, "forward", fails)
    assert mlx_parity.disagreement(get("gpt-tiny")) == "forward fails: [conv] no kernel"
