"""Which operators have a kernel, and the errors of those without one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (as everybody calls it)
from torch import library as operators

FALLS_BACK = "will fall back to run on the CPU"


def test_an_operator_without_a_kernel_raises_the_error_of_a_mac() -> None:
    with pytest.raises(NotImplementedError) as caught:
        torch.mode(torch.ones(3, device="mps"))
    message = str(caught.value)
    assert message.startswith(
        "The operator 'aten::mode' is not currently implemented for the MPS device."
    )
    assert "`PYTORCH_ENABLE_MPS_FALLBACK=1`" in message


def test_the_error_of_a_functional_variant_names_its_out_variant() -> None:
    with pytest.raises(NotImplementedError, match=r"aten::special_airy_ai\.out"):
        torch.special.airy_ai(torch.ones(3, device="mps"))


def test_an_operator_that_always_falls_back_warns_and_is_correct() -> None:
    weight = torch.full((3, 4), 2.0, device="mps")
    torch.set_warn_always(True)
    try:
        with pytest.warns(UserWarning, match=f"aten::embedding_renorm_.*{FALLS_BACK}"):
            result = F.embedding(torch.tensor([1], device="mps"), weight, max_norm=1.0)
    finally:
        torch.set_warn_always(False)
    torch.testing.assert_close(result.cpu(), torch.full((1, 4), 0.5))


def test_a_composite_works_through_the_kernels_of_its_parts() -> None:
    loss = F.mse_loss(torch.ones(3, device="mps"), torch.zeros(3, device="mps"))
    assert loss.item() == 1


def test_a_custom_operator_without_a_kernel_is_rejected() -> None:
    library = operators.Library("metalassay_test", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: x * 2, "CPU")
    with pytest.raises(NotImplementedError, match="metalassay_test::twice"):
        torch.ops.metalassay_test.twice(torch.ones(1, device="mps"))


@pytest.mark.parametrize("create", [torch.ones, torch.empty, torch.randn])
def test_creating_a_float64_tensor_is_rejected(create: object) -> None:
    with pytest.raises(TypeError, match="the MPS framework doesn't support float64"):
        create(2, dtype=torch.float64, device="mps")  # type: ignore[operator]


def test_copying_to_float64_is_rejected_on_mps_only() -> None:
    with pytest.raises(TypeError, match="doesn't support float64"):
        torch.ones(2, dtype=torch.float64).to("mps")
    with pytest.raises(TypeError, match="doesn't support float64"):
        torch.ones(2, device="mps").double()
    assert torch.ones(2, dtype=torch.float64).to("mps", torch.float32).dtype == torch.float32
    assert torch.ones(2, device="mps").to("cpu", torch.float64).dtype == torch.float64


def test_a_float64_result_is_rejected() -> None:
    with pytest.raises(TypeError, match="doesn't support float64"):
        torch.ones(2, device="mps").sum(dtype=torch.float64)


def test_tensors_on_two_devices_are_rejected_but_numbers_are_accepted() -> None:
    on_mps, on_cpu = torch.ones(3, device="mps"), torch.ones(3)
    with pytest.raises(RuntimeError, match="same device, but found at least two devices, mps:0"):
        on_mps + on_cpu
    with pytest.raises(RuntimeError, match="Placeholder storage has not been allocated on MPS"):
        F.embedding(torch.tensor([1]), torch.ones(3, 3, device="mps"))
    with pytest.raises(RuntimeError, match=r"slow_conv2d_forward_mps: input\(device='cpu'\)"):
        F.conv2d(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 2, 2, device="mps"))
    with pytest.raises(RuntimeError, match=r"MPSFloatType.*torch\.FloatTensor"):
        F.conv2d(torch.ones(1, 1, 4, 4, device="mps"), torch.ones(1, 1, 2, 2))
    assert (on_mps + torch.tensor(1.0)).tolist() == [2, 2, 2]
    assert on_mps[torch.tensor([0, 1])].shape == (2,)


def test_a_sparse_tensor_is_an_error() -> None:
    with pytest.raises(NotImplementedError, match=r"no sparse tensors|aten::_to_sparse"):
        torch.eye(3, device="mps").to_sparse()


def test_attention_and_rms_norm_are_differentiable() -> None:
    torch.manual_seed(0)
    query = torch.randn(2, 4, 5, 8)
    on_mps = query.to("mps").requires_grad_()
    on_cpu = query.clone().requires_grad_()
    F.scaled_dot_product_attention(on_mps, on_mps, on_mps, is_causal=True).sum().backward()
    F.scaled_dot_product_attention(on_cpu, on_cpu, on_cpu, is_causal=True).sum().backward()
    assert on_mps.grad is not None
    torch.testing.assert_close(on_mps.grad.cpu(), on_cpu.grad, atol=1e-5, rtol=1e-5)
    weight = torch.rand(8)
    for device in ("cpu", "mps"):
        leaf = query.to(device).detach().requires_grad_()
        F.rms_norm(leaf, (8,), weight.to(device)).square().sum().backward()
        assert leaf.grad is not None
        if device == "cpu":
            expected = leaf.grad
        else:
            torch.testing.assert_close(leaf.grad.cpu(), expected, atol=1e-5, rtol=1e-5)
