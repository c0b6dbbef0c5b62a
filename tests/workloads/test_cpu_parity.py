"""The check that a device computes the same as the CPU on a workload."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from metalassay.workloads import cpu_parity
from metalassay.workloads.registry import Recipe, get


def test_the_cpu_agrees_with_itself() -> None:
    assert cpu_parity.disagreement(get("gpt-tiny"), "cpu") == ""


@pytest.mark.parametrize("what", ["forward", "backward", "training"])
def test_a_difference_in_any_of_the_three_computations_is_reported(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute: Callable[[Recipe, str], torch.Tensor] = getattr(cpu_parity, what)
    results = []

    def wrong_at_the_second(recipe: Recipe, device: str) -> torch.Tensor:
        results.append(compute(recipe, device))
        if len(results) == 2:
            results[1].view(-1)[:3] += 0.1
        return results[-1]

    monkeypatch.setitem(cpu_parity.COMPUTATIONS, what, wrong_at_the_second)
    said = cpu_parity.disagreement(get("gpt-tiny"), "cpu")
    assert said == f"{what}: 3 of {results[0].numel()} values differ from the CPU's"


def test_an_error_on_the_device_is_reported() -> None:
    # The meta device computes nothing, so no answer comes back from it.
    assert cpu_parity.disagreement(get("gpt-tiny"), "meta").startswith("forward fails: ")


def test_gradients_and_parameter_changes_are_relative_to_the_largest() -> None:
    for compute in (cpu_parity.backward, cpu_parity.training):
        assert compute(get("gpt-tiny"), "cpu").abs().max().item() == pytest.approx(1)
