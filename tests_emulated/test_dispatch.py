"""Which operators have a kernel, and what the others say."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (as everybody calls it)
from torch import library as operators

FALLS_BACK = "will fall back to run on the CPU"


def test_an_operator_without_a_kernel_is_named_in_the_error_of_a_mac() -> None:
    with pytest.raises(NotImplementedError) as caught:
        torch.mode(torch.ones(3, device="mps"))
    text = str(caught.value)
    assert text.startswith(
        "The operator 'aten::mode' is not currently implemented for the MPS device."
    )
    assert "`PYTORCH_ENABLE_MPS_FALLBACK=1`" in text


def test_the_functional_variant_of_a_structured_operator_asks_for_its_out() -> None:
    with pytest.raises(NotImplementedError, match=r"aten::special_airy_ai\.out"):
        torch.special.airy_ai(torch.ones(3, device="mps"))


def test_an_operator_that_always_falls_back_warns_and_is_right() -> None:
    weight = torch.full((3, 4), 2.0, device="mps")
    torch.set_warn_always(True)
    try:
        with pytest.warns(UserWarning, match=f"aten::embedding_renorm_.*{FALLS_BACK}"):
            found = F.embedding(torch.tensor([1], device="mps"), weight, max_norm=1.0)
    finally:
        torch.set_warn_always(False)
    torch.testing.assert_close(found.cpu(), torch.full((1, 4), 0.5))


def test_a_composite_works_through_the_kernels_of_its_parts() -> None:
    found = F.mse_loss(torch.ones(3, device="mps"), torch.zeros(3, device="mps"))
    assert found.item() == 1


def test_an_operator_of_another_library_is_refused_as_well() -> None:
    library = operators.Library("metalassay_test", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: x * 2, "CPU")
    with pytest.raises(NotImplementedError, match="metalassay_test::twice"):
        torch.ops.metalassay_test.twice(torch.ones(1, device="mps"))


@pytest.mark.parametrize("make", [torch.ones, torch.empty, torch.randn])
def test_float64_is_refused_where_it_is_made(make: object) -> None:
    with pytest.raises(TypeError, match="the MPS framework doesn't support float64"):
        make(2, dtype=torch.float64, device="mps")  # type: ignore[operator]


def test_float64_is_refused_where_it_is_copied_to() -> None:
    with pytest.raises(TypeError, match="doesn't support float64"):
        torch.ones(2, dtype=torch.float64).to("mps")
    with pytest.raises(TypeError, match="doesn't support float64"):
        torch.ones(2, device="mps").double()
    assert torch.ones(2, dtype=torch.float64).to("mps", torch.float32).dtype == torch.float32
    assert torch.ones(2, device="mps").to("cpu", torch.float64).dtype == torch.float64


def test_float64_is_refused_where_a_kernel_would_make_it() -> None:
    with pytest.raises(TypeError, match="doesn't support float64"):
        torch.ones(2, device="mps").sum(dtype=torch.float64)


def test_tensors_on_two_devices_are_refused_and_numbers_are_not() -> None:
    here, there = torch.ones(3, device="mps"), torch.ones(3)
    with pytest.raises(RuntimeError, match="same device, but found at least two devices, mps:0"):
        here + there
    with pytest.raises(RuntimeError, match="Placeholder storage has not been allocated on MPS"):
        F.embedding(torch.tensor([1]), torch.ones(3, 3, device="mps"))
    with pytest.raises(RuntimeError, match=r"slow_conv2d_forward_mps: input\(device='cpu'\)"):
        F.conv2d(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 2, 2, device="mps"))
    with pytest.raises(RuntimeError, match=r"MPSFloatType.*torch\.FloatTensor"):
        F.conv2d(torch.ones(1, 1, 4, 4, device="mps"), torch.ones(1, 1, 2, 2))
    assert (here + torch.tensor(1.0)).tolist() == [2, 2, 2]
    assert here[torch.tensor([0, 1])].shape == (2,)


def test_a_sparse_tensor_is_refused_in_words() -> None:
    with pytest.raises(NotImplementedError, match=r"no sparse tensors|aten::_to_sparse"):
        torch.eye(3, device="mps").to_sparse()


def test_attention_and_rms_norm_are_differentiable() -> None:
    torch.manual_seed(0)
    query = torch.randn(2, 4, 5, 8)
    here = query.to("mps").requires_grad_()
    there = query.clone().requires_grad_()
    F.scaled_dot_product_attention(here, here, here, is_causal=True).sum().backward()
    F.scaled_dot_product_attention(there, there, there, is_causal=True).sum().backward()
    assert here.grad is not None
    torch.testing.assert_close(here.grad.cpu(), there.grad, atol=1e-5, rtol=1e-5)
    weight = torch.rand(8)
    for device in ("cpu", "mps"):
        leaf = query.to(device).detach().requires_grad_()
        F.rms_norm(leaf, (8,), weight.to(device)).square().sum().backward()
        assert leaf.grad is not None
        if device == "cpu":
            right = leaf.grad
        else:
            torch.testing.assert_close(leaf.grad.cpu(), right, atol=1e-5, rtol=1e-5)
