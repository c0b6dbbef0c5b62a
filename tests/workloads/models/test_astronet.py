"""AstroNet: parameters, shapes and both views."""

from __future__ import annotations

import pytest
import torch

from metalassay.workloads.models.astronet import GLOBAL_CHANNELS, LOCAL_CHANNELS, AstroNet, column


@pytest.fixture(scope="module")
def model() -> AstroNet:
    torch.manual_seed(0)
    return AstroNet().eval()


def test_astronet_has_the_parameters_of_its_docstring(model: AstroNet) -> None:
    assert sum(parameter.numel() for parameter in model.parameters()) == 9_940_193


@pytest.mark.parametrize(
    ("channels", "pool", "bins", "features"),
    [(GLOBAL_CHANNELS, 5, 2001, 256 * 59), (LOCAL_CHANNELS, 7, 201, 32 * 46)],
    ids=["global", "local"],
)
def test_a_column_flattens_a_view_into_its_features(
    channels: tuple[int, ...], pool: int, bins: int, features: int
) -> None:
    assert column(channels, pool)(torch.zeros(2, 1, bins)).shape == (2, features)


@pytest.mark.parametrize("view", [0, 1])
def test_astronet_uses_both_views(model: AstroNet, view: int) -> None:
    views = [torch.randn(2, 1, 2001), torch.randn(2, 1, 201)]
    before = model(*views)
    assert before.shape == (2, 1)
    views[view] = views[view] + 1
    assert not torch.equal(model(*views), before)
