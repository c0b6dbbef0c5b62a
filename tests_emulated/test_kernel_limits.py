"""Kernels that refuse a call for its sizes, in the words of the emulated release."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from metalassay.mps.emulator.session import current
from metalassay.mps.operators import limits
from metalassay.mps.preflight import beyond

SIZES = [(4, 4), (8, 8), (5, 7), (8, 2), (16, 12)]
POOLS = ("one-direction", "divisible-input", "divisible-output")


def release() -> str:
    emulation = current()
    assert emulation is not None
    return emulation.torch


@pytest.mark.parametrize("before", SIZES)
def test_pooling_refuses_the_sizes_that_preflight_foresees(before: tuple[int, int]) -> None:
    texts = limits.texts(release())
    for after in SIZES:
        x = torch.ones(1, 2, *before)
        expected = next((texts[each] for each in POOLS if beyond.is_beyond(each, (x, after))), None)
        if expected is None:
            assert nn.functional.adaptive_avg_pool2d(x.to("mps"), after).shape[-2:] == after
            continue
        with pytest.raises(RuntimeError) as raised:
            nn.functional.adaptive_avg_pool2d(x.to("mps"), after)
        assert str(raised.value) == expected


def test_the_pooling_of_maxima_asks_for_one_direction_only() -> None:
    x = torch.ones(1, 2, 8, 8, device="mps")
    assert nn.functional.adaptive_max_pool2d(x, (5, 7)).shape == (1, 2, 5, 7)
    with pytest.raises(RuntimeError, match="height and width must both be greater"):
        nn.functional.adaptive_max_pool2d(x, (16, 4))


def test_only_transposed_volumes_in_half_precision_are_refused() -> None:
    for dtype, dims in itertools.product((torch.float16, torch.bfloat16, torch.float32), (2, 3)):
        x = torch.ones(1, 2, *[3] * dims, device="mps", dtype=dtype)
        weight = torch.ones(2, 2, *[2] * dims, device="mps", dtype=dtype)
        transposed = getattr(nn.functional, f"conv_transpose{dims}d")
        assert getattr(nn.functional, f"conv{dims}d")(x, weight).dtype == dtype
        if dims == 3 and dtype != torch.float32:
            with pytest.raises(RuntimeError, match="ConvTranspose 3D with BF16 or FP16"):
                transposed(x, weight)
        else:
            assert transposed(x, weight).dtype == dtype


def test_a_kernel_returns_float64_only_if_it_is_asked_to() -> None:
    numbers = torch.tensor([0, 2, 2], device="mps")
    counted = torch.bincount(numbers, numbers)
    assert counted.dtype == torch.float32
    assert counted.tolist() == [0, 0, 4]
    with pytest.raises(TypeError, match="float64"):
        numbers.sum(dtype=torch.float64)
