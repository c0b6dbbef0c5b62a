"""The rates that a time implies, calculated by hand, and times that no machine can reach."""

from __future__ import annotations

import pytest

from metalassay.machine import roofline_model


def test_rates_are_counts_per_second() -> None:
    assert roofline_model.gflop_per_second(3_000_000_000, 1.5) == 2.0
    assert roofline_model.gb_per_second(500_000_000, 0.25) == 2.0


@pytest.mark.parametrize(
    ("gb_s", "bandwidth", "share"),
    [
        (30.0, 120.0, 0.25),
        (120.0, 120.0, 1.0),
        (120.1, 120.0, None),  # an upper bound above 1 says nothing
        (30.0, None, None),
    ],
)
def test_the_bandwidth_share_is_an_upper_bound_or_none(
    gb_s: float, bandwidth: float | None, share: float | None
) -> None:
    assert roofline_model.bandwidth_share(gb_s, bandwidth) == share


@pytest.mark.parametrize(
    ("gflop_s", "device", "dtype", "peak", "refused"),
    [
        # float32: up to the peak and the 15 % by which an estimated peak may be off
        (4_000.0, "mps", "float32", 4.0, False),
        (4_599.0, "mps", "float32", 4.0, False),
        (4_601.0, "mps", "float32", 4.0, True),
        # 16-bit types: up to twice that
        (9_199.0, "mps", "float16", 4.0, False),
        (9_201.0, "mps", "float16", 4.0, True),
        (9_201.0, "mps", "bfloat16", 4.0, True),
        # an unknown peak is not guessed, and the GPU's peak does not limit the CPU
        (1e9, "mps", "float32", None, False),
        (1e9, "cpu", "float32", 4.0, False),
    ],
)
def test_a_rate_above_the_peak_of_the_chip_is_refused(
    gflop_s: float, device: str, dtype: str, peak: float | None, *, refused: bool
) -> None:
    reason = roofline_model.impossible(gflop_s, device=device, dtype=dtype, peak_tflop_s=peak)
    assert (reason is not None) == refused


def test_a_refusal_gives_the_reason_but_not_the_impossible_rate() -> None:
    reason = roofline_model.impossible(123_456.0, device="mps", dtype="float32", peak_tflop_s=4.0)
    assert reason == (
        "faster than the chip's arithmetic (4 TFLOP/s in float32) allows; "
        "the clock most likely stopped before the device did"
    )


def test_compulsory_traffic_counts_weights_inputs_and_outputs() -> None:
    # 100 weights of 4 bytes; training also writes them, and reads and writes two moments of each
    infer = roofline_model.compulsory_bytes(
        mode="infer", parameters=100, input_bytes=7, output_bytes=3
    )
    train = roofline_model.compulsory_bytes(
        mode="train", parameters=100, input_bytes=7, output_bytes=3
    )
    assert (infer, train) == (410, 2410)


def test_the_least_time_is_the_longer_of_arithmetic_and_memory() -> None:
    assert roofline_model.least_seconds(2 * 10**9, 10**9, gflop_s=1.0, gb_s=1.0) == 2.0
    assert roofline_model.least_seconds(10**9, 3 * 10**9, gflop_s=1.0, gb_s=1.0) == 3.0


@pytest.mark.parametrize(
    ("moved", "seconds", "bandwidth", "refused"),
    [
        (12 * 10**9, 0.11, 100.0, True),  # 109 GB/s
        (12 * 10**9, 0.12, 100.0, False),  # exactly all of it
        (12 * 10**9, 0.01, None, False),  # not known
        (10**6, 1e-6, 100.0, False),  # may stay in a cache
    ],
)
def test_traffic_above_the_bandwidth_of_the_memory_is_refused(
    moved: int, seconds: float, bandwidth: float | None, *, refused: bool
) -> None:
    assert (roofline_model.impossible_traffic(moved, seconds, bandwidth) is not None) is refused
