"""Calls that probe the CPU fallback of MPS, one per operator.

Each expression returns one real tensor. In it, ``d`` is the device, ``x`` a 4 x 4 matrix and ``F``
torch.nn.functional. The oracle knows which of the operators the installed torch lacks on MPS, and
which always fall back.
"""

from __future__ import annotations

import pytest

from metalassay.environment import versions
from metalassay.errors import UserError
from metalassay.mps.operators import oracle

PROBES = {
    "mode": "torch.mode(x).values",
    "_pdist_forward": "F.pdist(x)",
    "_adaptive_avg_pool3d": "F.adaptive_avg_pool3d(x.view(1, 1, 2, 2, 4), 2)",
    "multi_margin_loss": "F.multi_margin_loss(x, torch.arange(4, device=d))",
    "rrelu_with_noise": "F.rrelu(x, training=False)",
    "segment_reduce": "torch.segment_reduce(x, 'sum', lengths=torch.tensor([1, 3], device=d))",
    "linalg_eig": "torch.linalg.eig(x)[0].abs()",
    "linalg_qr": "torch.linalg.qr(x)[1]",
    "linalg_svd": "torch.linalg.svd(x)[1]",
    "linalg_cholesky_ex": "torch.linalg.cholesky(x @ x.T + torch.eye(4, device=d))",
    "angle": "x.angle()",
    "sinc": "torch.sinc(x)",
    "im2col": "F.unfold(x.view(1, 1, 4, 4), 2)",
    "col2im": "F.fold(x.view(1, 4, 4), (3, 3), 2)",
    "embedding_renorm_": "F.embedding(torch.tensor([1, 2], device=d), x, max_norm=1.0)",
    "upsample_nearest3d.vec": "F.interpolate(x.view(1, 1, 2, 2, 4), scale_factor=2.0)",
}
"""Every torch from 2.0 to 2.15 lacks the first ones, which is why they come first."""

PREPARE = """
import torch, torch.nn.functional as F
torch.manual_seed(0)
x = torch.rand(4, 4) - 0.5
"""
ON_MPS = "d = 'mps'; x = x.to(d)\n"

# Evaluates the expressions on both devices and prints the largest difference and the warnings.
COMPARE = (
    PREPARE
    + """
import json, warnings
d = "cpu"
expected = [{expressions}]
"""
    + ON_MPS
    + """
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    results = [{expressions}]
assert all(result.device.type == "mps" for result in results)
print(json.dumps({{
    "difference": max((a - b.cpu()).abs().max().item() for a, b in zip(expected, results)),
    "warnings": [str(warning.message) for warning in caught],
}}))
"""
)


def operators() -> oracle.Operators:
    """Return the oracle's record of the installed torch, or skip the test if it has none."""
    try:
        return oracle.load(versions.installed()["torch"])
    except UserError as error:
        pytest.skip(str(error))


def missing() -> list[str]:
    """Return the probed operators without an MPS kernel, at least two; see ``PROBES`` for the order."""
    known = operators()
    names = [name for name in PROBES if known.asks(name) in known.cpu_only]
    assert len(names) > 1, "this torch lacks none of the probed operators: add others to PROBES"
    return names


def always_on_the_cpu() -> list[str]:
    """Return the probed operators that fall back regardless of the environment variable."""
    fallbacks = operators().fallbacks
    return [name for name in PROBES if name in fallbacks]
