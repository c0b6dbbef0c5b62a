"""Calls that some kernel of MPS refuses are marked while they are recorded."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from metalassay.mps.operators import limits
from metalassay.mps.preflight import beyond, predict, tracing


def recorded(function: object, *arguments: object) -> predict.Preflight:
    """Judge what a function calls for torch 2.13."""
    settings = predict.settings()
    recorder = tracing.Recorder(
        settings["kernels"],
        settings["composites"],
        beyond.Watch(settings["dtypes"], settings["limits"]),
    )
    with recorder:
        function(*arguments)  # type: ignore[operator]
    trace = {"torch": "2.13.0", "ended": "", "calls": recorder.trace()}
    return predict.judge(trace, ["2.7.1", "2.13.0"])


def refused(preflight: predict.Preflight) -> list[tuple[str, str]]:
    return [(each.operator, each.what) for each in preflight.refused("2.13.0")]


def not_known(preflight: predict.Preflight, version: str) -> tuple[str, ...]:
    return tuple(preflight.unknown.get(version, ()))


def test_a_dtype_that_pytorch_expects_to_fail_is_refused() -> None:
    x = torch.ones(2, 3, dtype=torch.int64)
    preflight = recorded(nn.functional.linear, x, torch.ones(4, 3, dtype=torch.int64))
    (refusal,) = preflight.refusals
    assert (refusal.operator, refusal.what) == ("linear", "int64")
    assert "expect nn.functional.linear to fail" in refusal.reasons["2.13.0"]
    assert refusal.counts == {"2.13.0": 1}
    (place,) = refusal.places
    assert place.function == "recorded"
    # Before torch 2.8 there are no lists, and nothing is said.
    assert preflight.refused("2.7.1") == ()


def test_another_dtype_is_not_refused() -> None:
    assert refused(recorded(nn.functional.linear, torch.ones(2, 3), torch.ones(4, 3))) == []


def test_a_kernel_inside_a_composite_refuses() -> None:
    x, weight = torch.ones(1, 1, 4, dtype=torch.int64), torch.ones(1, 1, 2, dtype=torch.int64)
    assert refused(recorded(nn.functional.conv1d, x, weight)) == [("_convolution", "int64")]


def test_sizes_that_the_kernel_refuses_are_found_and_others_are_not() -> None:
    x = torch.ones(1, 2, 8, 8)
    found = recorded(nn.functional.adaptive_avg_pool2d, x, (5, 7))
    assert refused(found) == [("_adaptive_avg_pool2d", "these sizes")]
    (refusal,) = found.refusals
    assert "input sizes must be divisible by output sizes" in refusal.reasons["2.13.0"]
    # 2.7 refuses them too, but whether its own composite calls the kernel is not known.
    assert not_known(found, "2.7.1") == ("_adaptive_avg_pool2d",)
    assert refused(recorded(nn.functional.adaptive_avg_pool2d, x, (4, None))) == []


def test_the_backward_pass_asks_too() -> None:
    def both() -> None:
        x = torch.ones(1, 2, 8, 8, requires_grad=True)
        y: Any = nn.functional.adaptive_avg_pool2d(x, (5, 7)).sum()
        y.backward()

    assert ("_adaptive_avg_pool2d_backward", "these sizes") in refused(recorded(both))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(torch.float32, []), (torch.bfloat16, [("_convolution", "these sizes")])],
)
def test_a_transposed_convolution_of_volumes_asks_for_the_dtype(
    dtype: torch.dtype, expected: list[tuple[str, str]]
) -> None:
    x, weight = torch.ones(1, 2, 3, 3, 3, dtype=dtype), torch.ones(2, 2, 2, 2, 2, dtype=dtype)
    assert refused(recorded(nn.functional.conv_transpose3d, x, weight)) == expected
    assert refused(recorded(nn.functional.conv3d, x, weight)) == []


@pytest.mark.parametrize(
    ("limit", "sizes"),
    [
        ("one-direction", ((4, 4), (6, 2))),
        ("divisible-input", ((8, 8), (4, 3))),
        ("divisible-output", ((4, 4), (8, 6))),
    ],
)
def test_each_limit_of_pooling_is_met_by_one_call_only(
    limit: str, sizes: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    (before, after) = sizes
    call = (torch.ones(1, 1, *before), after)
    backward = (torch.ones(1, 1, *after), torch.ones(1, 1, *before))
    for arguments in (call, backward):
        assert beyond.is_beyond(limit, arguments)
    assert not beyond.is_beyond(limit, (torch.ones(1, 1, 8, 8), (4, 2)))
    assert not beyond.is_beyond(limit, (torch.ones(1, 1, 8, 8), (0, 2)))


def test_every_limit_of_the_table_is_known_here() -> None:
    known = {"one-direction", "divisible-input", "divisible-output", "transposed-3d-half"}
    assert {row.id for row in limits.rows()} == known
