"""Pure arithmetic: what a time implies about the machine, and whether a machine can do that.

Work is counted, not measured: FLOP by the operators' shapes, bytes as what goes in and out of every
operator. Caches serve part of those bytes, so GB/s from them are an upper bound on memory traffic.
"""

from __future__ import annotations

# The peaks of Apple's GPUs are worked out from cores and clock, not published: good to some 15 %.
_ERROR_OF_PEAK = 1.15

# Half types at most double the rate; the GPU families up to M4 do not even do that.
_RATE = {"float32": 1, "bfloat16": 2, "float16": 2}


def gflop_per_second(flop_per_call: int, seconds: float) -> float:
    """Return the arithmetic rate that ``seconds`` a call implies, in GFLOP/s."""
    return flop_per_call / seconds / 1e9


def gb_per_second(bytes_per_call: int, seconds: float) -> float:
    """Return the memory traffic that ``seconds`` a call implies, in GB/s (1e9 bytes); an upper bound."""
    return bytes_per_call / seconds / 1e9


def bandwidth_share(gb_s: float, bandwidth_gb_s: float | None) -> float | None:
    """Return the part of the chip's published bandwidth, as an upper bound; 1 is all of it.

    None when the chip's bandwidth is not known, and when the bound is above 1 and so bounds nothing.
    """
    if bandwidth_gb_s is None or gb_s > bandwidth_gb_s:
        return None
    return gb_s / bandwidth_gb_s


def impossible(
    gflop_s: float, *, device: str, dtype: str, peak_tflop_s: float | None
) -> str | None:
    """Return why a rate cannot be true, else None.

    ``peak_tflop_s`` is the float32 peak of the chip's GPU in TFLOP/s, or None where it is not known:
    an unknown peak is never guessed, so nothing is refused then. It says nothing about the CPU.
    """
    if peak_tflop_s is None or device == "cpu":
        return None
    if gflop_s / 1e3 <= peak_tflop_s * _RATE[dtype] * _ERROR_OF_PEAK:
        return None
    return (
        f"faster than the chip's arithmetic ({peak_tflop_s:g} TFLOP/s in float32) allows; "
        "the clock most likely stopped before the device did"
    )
