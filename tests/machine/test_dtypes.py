"""The names of the dtypes agree with torch, with the workloads and with the peaks of chips."""

from __future__ import annotations

import pytest

from metalassay.machine import dtypes, roofline_model


def test_every_dtype_has_a_peak_relative_to_float32() -> None:
    for name in dtypes.NAMES:
        reason = roofline_model.impossible(1e9, device="mps", dtype=name, peak_tflop_s=1.0)
        assert reason is not None


def test_the_workloads_run_in_exactly_these_dtypes() -> None:
    torch = pytest.importorskip("torch")
    from metalassay.workloads import registry

    assert tuple(registry.DTYPES) == dtypes.NAMES
    assert [registry.DTYPES[name] for name in dtypes.NAMES] == [
        getattr(torch, name) for name in dtypes.NAMES
    ]
