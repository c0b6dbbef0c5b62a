"""PyTorch's own helper for device-generic tests finds the emulated mps."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("expecttest")
common: Any = pytest.importorskip("torch.testing._internal.common_utils")
device_type: Any = pytest.importorskip("torch.testing._internal.common_device_type")
operators = pytest.importorskip("torch.testing._internal.common_methods_invocations")


class TestGeneric(common.TestCase):  # type: ignore[misc]
    """A template from which PyTorch creates a test class per device."""

    def test_sum(self, device: str) -> None:
        self.assertEqual(common.torch.ones(3, device=device).sum().item(), 3)

    @device_type.ops(  # type: ignore[untyped-decorator]
        [info for info in operators.op_db if info.name in ("add", "sin")]
    )
    def test_operator(self, device: str, dtype: Any, op: Any) -> None:
        for sample in op.sample_inputs(device, dtype):
            result = op(sample.input, *sample.args, **sample.kwargs)
            self.assertEqual(result.device.type, common.torch.device(device).type)


device_type.instantiate_device_type_tests(
    TestGeneric, globals(), only_for=("cpu", "mps"), allow_mps=True
)


def test_there_is_a_class_for_mps_without_float64() -> None:
    test_class = globals()["TestGenericMPS"]
    assert any("test_operator_add_mps_float32" in name for name in vars(test_class))
    assert not any("float64" in name for name in vars(test_class))
