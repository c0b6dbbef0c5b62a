"""``device.probe`` examines MPS only; what the examination finds is tested in tests/mps/probe."""

from __future__ import annotations

import pytest

from metalassay.measure import device


def test_only_mps_can_be_probed() -> None:
    with pytest.raises(ValueError, match="not 'cuda'"):
        device.probe("cuda")
