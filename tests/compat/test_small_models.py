"""The blocks of compat/small_models.py, and that the checks which use them see what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from metalassay.environment import versions

if "torch" not in versions.installed():
    pytest.skip("torch is not installed", allow_module_level=True)

import small_checks
import small_models
import torch
from torch import Tensor, nn

REAL = small_models.results


@pytest.fixture(autouse=True)
def references() -> None:
    """Compute what the checks compare with, which is kept, before a test replaces what computes it."""
    for block in small_models.BLOCKS:
        small_models.exact(block)


@pytest.mark.parametrize("block", small_models.BLOCKS)
def test_every_number_is_one_of_bfloat16(block: str) -> None:
    made, *data = small_models.task(block)
    for value in (*made.parameters(), *data):
        assert torch.equal(value, value.bfloat16().double())


@pytest.mark.parametrize("block", small_models.BLOCKS)
def test_a_block_is_always_the_same(block: str) -> None:
    one, other = small_models.task(block), small_models.task(block)
    assert torch.equal(one[1], other[1])
    assert all(map(torch.equal, one[0].parameters(), other[0].parameters()))


def test_the_max_pooling_is_decided_and_two_equal_neighbours_would_not_be() -> None:
    made, x, _ = small_models.task("convolution")
    assert small_models.is_decided(made, x)
    assert not small_models.is_decided(made, torch.zeros_like(x))


def test_the_checks_try_every_block() -> None:
    assert [*small_models.BLOCKS] == small_checks.BLOCKS


def scaled(what: str, factor: float) -> Callable[..., dict[str, Tensor]]:
    """Return results in which one is wrong."""

    def results(*arguments: Any, **options: Any) -> dict[str, Tensor]:
        found: dict[str, Tensor] = REAL(*arguments, **options)
        found[what] = found[what] * factor
        return found

    return results


@pytest.mark.parametrize("what", ["the output", "the loss", "the gradient of attention.qkv.weight"])
@pytest.mark.parametrize(
    ("dtype", "factor"), [("float32", 1 + 1e-5), ("bfloat16", 1.2), ("float16", 1.02)]
)
def test_a_wrong_result_is_beyond_the_limit(
    monkeypatch: pytest.MonkeyPatch, what: str, dtype: str, factor: float
) -> None:
    monkeypatch.setattr(small_models, "results", scaled(what, factor))
    with pytest.raises(AssertionError, match=f"errors beyond .*{what}"):
        small_checks.accurate("attention", dtype, False, "cpu")


def test_a_number_that_is_none_is_beyond_every_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_models, "results", scaled("the loss", float("nan")))
    with pytest.raises(AssertionError, match="the loss"):
        small_checks.accurate("attention", "bfloat16", False, "cpu")


def test_bfloat16_that_is_float32_in_secret_is_too_accurate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def results(block: str, dtype: torch.dtype, **_: Any) -> dict[str, Tensor]:
        found: dict[str, Tensor] = REAL(block, torch.float32)
        return found

    monkeypatch.setattr(small_models, "results", results)
    with pytest.raises(AssertionError, match=r"too small for torch\.bfloat16"):
        small_checks.accurate("attention", "bfloat16", False, "cpu")


class Compiled(nn.Module):
    """Stands for a model under a torch.compile that multiplies the output, and so the gradients."""

    def __init__(self, model: nn.Module, factor: float) -> None:
        super().__init__()
        self.model, self.factor = model, factor

    def forward(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        output, _ = self.model(x, target)
        output = output * self.factor
        return output, ((output.to(target.dtype) - target) ** 2).sum()


@pytest.mark.parametrize(("factor", "fails"), [(1.0, False), (1.25, True)])
def test_compiled_code_that_computes_something_else_is_seen(
    monkeypatch: pytest.MonkeyPatch, factor: float, fails: bool
) -> None:
    def compiler(model: nn.Module, **_: Any) -> nn.Module:
        torch._dynamo.utils.counters["stats"]["unique_graphs"] += 1
        return Compiled(model, factor)

    monkeypatch.setattr(torch, "compile", compiler)
    if not fails:
        small_checks.same_when_compiled("attention", "bfloat16", False, "cpu")
        return
    with pytest.raises(AssertionError, match="compiled differs from eager by more than"):
        small_checks.same_when_compiled("attention", "bfloat16", False, "cpu")


def test_a_model_that_was_not_compiled_is_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)
    with pytest.raises(AssertionError, match="nothing was compiled"):
        small_checks.same_when_compiled("convolution", "float32", False, "cpu")


def test_what_an_old_torch_refuses_is_skipped_and_another_error_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def raising(text: str) -> Callable[..., dict[str, Tensor]]:
        def results(*_: Any, **__: Any) -> dict[str, Tensor]:
            raise RuntimeError(text)

        return results

    monkeypatch.setattr(small_models, "results", raising("\"x\" not implemented for 'Half'"))
    with pytest.raises(pytest.skip.Exception, match="Half"):
        small_checks.accurate("attention", "float16", False, "cpu")
    monkeypatch.setattr(small_models, "results", raising("another"))
    with pytest.raises(RuntimeError, match="another"):
        small_checks.accurate("attention", "float16", False, "cpu")
