"""Relu and pooling fused, compared with torch's: values must be equal, not only close."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from metalassay.training.transit import task
from metalassay.training.transit.relu_pool import ReluMaxPool, fuse
from metalassay.workloads.models.astronet import AstroNet
from metalassay.workloads.models.two_branch_cnn import TwoBranchCNN
from metalassay.workloads.registry import Batch


def both(x: Tensor, gradient: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return value and gradient at ``x`` of ours and of torch's."""
    found = []
    for layer in (ReluMaxPool(), nn.Sequential(nn.ReLU(), nn.MaxPool1d(2))):
        at = x.detach().clone().requires_grad_()
        value = layer(at)
        value.backward(gradient)
        assert at.grad is not None
        found.append((value.detach(), at.grad))
    return found[0], found[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 1, 2), (1, 1, 3), (3, 4, 7), (2, 32, 200), (2, 3, 2001)])
def test_values_and_gradients_equal_torchs(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    # Whole numbers from -2 to 2: equal pairs, zeros and pairs that relu stops, all of them often.
    generator = torch.Generator().manual_seed(0)
    half = (*shape[:-1], shape[-1] // 2)
    for x in (
        torch.randint(-2, 3, shape, generator=generator).to(dtype),
        torch.randn(shape, generator=generator).to(dtype),
    ):
        ours, torchs = both(x, torch.randn(half, generator=generator).to(dtype))
        assert ours[0].dtype == dtype
        assert torch.equal(ours[0], torchs[0])
        assert torch.equal(ours[1], torchs[1])


def test_the_first_of_two_equal_values_gets_the_gradient() -> None:
    ours, torchs = both(torch.tensor([[[3.0, 3.0, 1.0, 2.0]]]), torch.tensor([[[5.0, 7.0]]]))
    assert ours[1].tolist() == torchs[1].tolist() == [[[5.0, 0.0, 0.0, 7.0]]]


def test_an_expanded_gradient_works() -> None:
    # The mean over the last axis hands back one number a channel, expanded.
    x = torch.randn(2, 3, 9, generator=torch.Generator().manual_seed(1))
    ours, torchs = both(x, torch.ones(2, 3, 1).expand(2, 3, 4))
    assert torch.equal(ours[1], torchs[1])


def test_nan_is_passed_on() -> None:
    value = ReluMaxPool()(torch.tensor([[[1.0, torch.nan, torch.nan, 1.0]]], requires_grad=True))
    assert value.isnan().tolist() == [[[True, True]]]


@pytest.mark.parametrize("grad", [True, False])
def test_without_a_gradient_torchs_own_operations_run(
    grad: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def relu(x: Tensor) -> Tensor:
        asked.append("relu")
        return torch.relu(x)

    pool = functional.max_pool1d
    monkeypatch.setattr(functional, "relu", relu)
    x = torch.randn(2, 3, 8, requires_grad=grad)
    with torch.inference_mode(not grad):
        value = ReluMaxPool()(x)
    assert torch.equal(value, pool(torch.relu(x), 2))
    assert asked == ([] if grad else ["relu"])


def test_a_second_derivative_is_refused() -> None:
    x = torch.randn(1, 1, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(ReluMaxPool()(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="twice"):
        gradient.sum().backward()  # type: ignore[no-untyped-call]


def test_all_six_pools_of_the_guides_model_are_fused_and_the_weights_keep_their_names() -> None:
    plain = TwoBranchCNN()
    names = list(plain.state_dict())
    fused = fuse(plain)
    assert fused is plain
    assert list(fused.state_dict()) == names
    layers = [type(each) for each in fused.modules()]
    assert layers.count(ReluMaxPool) == 6
    assert nn.MaxPool1d not in layers
    assert nn.ReLU not in layers


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool1d(3),
        nn.MaxPool1d(2, stride=1),
        nn.MaxPool1d(2, padding=1),
        nn.MaxPool1d(2, dilation=2),
        nn.MaxPool1d(2, ceil_mode=True),
        nn.MaxPool1d(2, return_indices=True),
        nn.AvgPool1d(2),
    ],
)
def test_other_pools_are_left_alone(pool: nn.Module) -> None:
    model = nn.Sequential(nn.ReLU(), pool)
    before = list(model)
    fuse(model)
    assert list(model) == before


def test_a_pool_without_a_relu_is_left_alone() -> None:
    model = nn.Sequential(nn.Tanh(), nn.MaxPool1d(2))
    fuse(model)
    assert [type(each) for each in model] == [nn.Tanh, nn.MaxPool1d]


def test_astronets_wider_pools_are_left_alone() -> None:
    assert not any(isinstance(each, ReluMaxPool) for each in fuse(AstroNet()).modules())


def test_the_guides_model_has_the_same_loss_and_gradients_fused() -> None:
    generator = torch.Generator().manual_seed(3)
    whole, near = (torch.randn(3, 1, bins, generator=generator) for bins in (2001, 201))
    batch = Batch((whole, near), torch.tensor([1.0, 0.0, 1.0]))
    torch.manual_seed(4)
    plain, fused = TwoBranchCNN().eval(), fuse(TwoBranchCNN()).eval()  # eval: dropout is random
    fused.load_state_dict(plain.state_dict())
    losses = [task.loss(model, batch) for model in (plain, fused)]
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
    assert torch.equal(losses[0], losses[1])
    for (name, one), other in zip(plain.named_parameters(), fused.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad), name


def test_the_task_uses_the_fused_model() -> None:
    curves = task.Curves(torch.zeros(8, 1, 2001), torch.zeros(8, 1, 201), torch.zeros(8))
    model = task.task("guide", {"train": curves}, 8, 4, 0, 1).model
    assert sum(isinstance(each, ReluMaxPool) for each in model.modules()) == 6
