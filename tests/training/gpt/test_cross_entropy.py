"""The loss of the next token in blocks: torch's own to rounding, with its gradients, and torch's own elsewhere."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from metalassay.training.gpt import cross_entropy
from metalassay.training.gpt.cross_entropy import final_states, loss
from metalassay.workloads.models.tiny_gpt import TinyGPT, TinyGPTConfig
from metalassay.workloads.registry import Batch

CONFIG = TinyGPTConfig(vocabulary=50, context=12, layers=2, heads=2, channels=8)


def made(config: TinyGPTConfig = CONFIG, batch: int = 3) -> tuple[TinyGPT, Batch]:
    torch.manual_seed(3)
    model = TinyGPT(config)
    tokens = torch.randint(config.vocabulary, (batch, config.context + 1))
    return model, Batch((tokens[:, :-1].contiguous(),), tokens[:, 1:].contiguous())


def torchs(model: TinyGPT, batch: Batch) -> Tensor:
    return functional.cross_entropy(model(*batch.inputs).flatten(0, 1), batch.target.flatten())


@pytest.mark.parametrize("rows", [1, 5, 36, 1000])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_the_loss_and_its_gradients_are_torchs_to_rounding(
    rows: int, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_entropy, "BLOCK", rows * CONFIG.vocabulary * 4)
    ours, batch = made()
    exact = copy.deepcopy(ours).double()
    mine, truth = loss(ours, batch) * scale, torchs(exact, batch) * scale
    torch.testing.assert_close(mine.double(), truth, rtol=1e-6, atol=0)
    mine.backward()  # type: ignore[no-untyped-call]
    truth.backward()  # type: ignore[no-untyped-call]
    for (name, one), other in zip(ours.named_parameters(), exact.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(one.grad.double(), other.grad, rtol=1e-4, atol=1e-6, msg=name)


def test_extreme_logits_overflow_nowhere() -> None:
    model, batch = made()
    with torch.no_grad():
        model.tokens.weight.mul_(1e4)
    mine, theirs = loss(model, batch), torchs(model, batch)
    assert torch.isfinite(mine)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=0)


def test_nan_is_passed_on() -> None:
    model, batch = made()
    with torch.no_grad():
        model.tokens.weight[0] = float("nan")
    assert torch.isnan(loss(model, batch))


def test_the_states_are_those_of_the_models_own_forward() -> None:
    model, batch = made()
    logits = functional.linear(final_states(model, *batch.inputs), model.tokens.weight)
    assert torch.equal(logits, model(*batch.inputs))


@pytest.mark.parametrize("case", ["no gradient", "autocast", "double"])
def test_torchs_own_is_used_elsewhere(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "final_states", lambda *_: pytest.fail("in blocks"))
    model, batch = made()
    with torch.set_grad_enabled(case != "no gradient"):
        if case == "autocast":
            with torch.autocast("cpu", dtype=torch.bfloat16):
                assert loss(model, batch).dtype == torch.float32
        elif case == "double":
            assert torch.equal(loss(model.double(), batch), torchs(model, batch).float())
        else:
            assert torch.equal(loss(model, batch), torchs(model, batch))
