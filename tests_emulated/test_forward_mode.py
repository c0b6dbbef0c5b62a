"""Forward-mode differentiation, whose tangents may be zeros without memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch


def cubes(x: torch.Tensor) -> torch.Tensor:
    """Return a sum with the second derivatives ``6 x`` on the diagonal."""
    return (x**3).sum()


def by_functional(x: torch.Tensor) -> torch.Tensor:
    """Return the Hessian by ``torch.autograd.functional``, forward over reverse."""
    result: torch.Tensor = torch.autograd.functional.hessian(
        cubes, x, vectorize=True, outer_jacobian_strategy="forward-mode"
    )
    return result


@pytest.mark.parametrize(
    "hessian",
    [
        torch.func.hessian(cubes),
        torch.func.jacfwd(torch.func.jacfwd(cubes)),
        torch.func.jacfwd(torch.func.grad(cubes)),
        torch.func.jacrev(torch.func.jacfwd(cubes)),
        by_functional,
    ],
    ids=["hessian", "jacfwd(jacfwd)", "jacfwd(grad)", "jacrev(jacfwd)", "functional"],
)
def test_second_derivatives_are_those_of_the_cpu(
    hessian: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    x = torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(hessian(x.to("mps")).cpu(), torch.diag(6 * x))


def test_a_jvp_of_a_gradient_is_a_product_with_the_hessian() -> None:
    x, v = torch.tensor([1.0, 2.0], device="mps"), torch.tensor([1.0, -1.0], device="mps")
    product = torch.func.jvp(torch.func.grad(cubes), (x,), (v,))[1]
    assert product.tolist() == [6.0, -12.0]


def test_a_zero_tensor_has_no_memory_and_acts_as_zeros() -> None:
    before = torch.mps.current_allocated_memory()
    zero = torch._efficientzerotensor((4, 2), device="mps")
    assert torch.mps.current_allocated_memory() == before
    ones = torch.ones(4, 2, device="mps")
    assert torch.equal(zero + ones, ones)
    assert torch.equal(zero.clone(), torch.zeros(4, 2, device="mps"))
    assert torch.equal(ones.clone().copy_(zero), torch.zeros(4, 2, device="mps"))
    assert torch.equal(zero.mT[1].cpu(), torch.zeros(4))
    assert (zero * ones)._is_zerotensor()


def test_a_kernel_that_returns_zeros_without_memory_does_so_on_the_device() -> None:
    ones = torch.ones(3, device="mps")
    zero = torch._efficientzerotensor((3,), device="mps")
    product = torch.dot(zero, ones)
    assert (product.device.type, product._is_zerotensor()) == ("mps", True)
    assert (product + ones[0]).item() == 1
    assert zero[1:]._is_zerotensor()
    assert (zero[1:] + 1).tolist() == [1.0, 1.0]
