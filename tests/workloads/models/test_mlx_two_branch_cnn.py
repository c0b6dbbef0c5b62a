from __future__ import annotations

import pytest

from metalassay.workloads import mlx_registry
from metalassay.workloads.models.two_branch_cnn import TwoBranchCNNConfig

WHY = mlx_registry.missing()
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY or "mlx is installed")


@pytest.mark.parametrize("view", [0, 1])
def test_the_cnn_uses_both_views(view: int) -> None:
    import mlx.core as mx

    from metalassay.workloads.models.mlx_two_branch_cnn import TwoBranchCNN

    model = TwoBranchCNN(TwoBranchCNNConfig()).eval()
    views = [mx.random.normal((2, 2001, 1)), mx.random.normal((2, 201, 1))]
    before = model(*views)
    assert before.shape == (2, 1)
    views[view] = views[view] + 1
    assert not mx.allclose(before, model(*views)).item()
