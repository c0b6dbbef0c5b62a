"""Pure arithmetic: what a time implies about the machine, and whether a machine can do that.

Work is counted, not measured: FLOP by the operators' shapes, bytes as what goes in and out of every
operator. Caches serve part of those bytes, so GB/s from them are an upper bound on memory traffic. The
lower bound is what no cache can save a machine that starts with empty ones: the compulsory traffic.
"""

from __future__ import annotations

# The peaks of Apple's GPUs are worked out from cores and clock, not published: good to some 15 %.
_ERROR_OF_PEAK = 1.15

# Work that fits into a cache may run past the memory's bandwidth for good. The largest last-level
# caches of the chips we know (an M-series Ultra, a server's processor) stay below this many bytes.
_LARGER_THAN_CACHES = 2**30

# Half types at most double the rate; the GPU families up to M4 do not even do that.
_RATE = {"float32": 1, "bfloat16": 2, "float16": 2}


def gflop_per_second(flop_per_call: int, seconds: float) -> float:
    """Return the arithmetic rate that ``seconds`` a call implies, in GFLOP/s."""
    return flop_per_call / seconds / 1e9


def gb_per_second(bytes_per_call: int, seconds: float) -> float:
    """Return the memory traffic that ``seconds`` a call implies, in GB/s (1e9 bytes); an upper bound."""
    return bytes_per_call / seconds / 1e9


def compulsory_bytes(*, mode: str, parameters: int, input_bytes: int, output_bytes: int) -> int:
    """Return the bytes a call must move if the caches were empty before it; float32 weights.

    Inference reads inputs and weights and writes its output. Training with Adam reads inputs, and
    reads and writes each weight and its two moments; gradients and activations could stay in a cache.
    """
    state = 4 * parameters * (6 if mode == "train" else 1)
    return input_bytes + output_bytes + state


def least_seconds(flop: int, compulsory: int, *, gflop_s: float, gb_s: float) -> float:
    """Return the time a call takes at best by the roofline: its arithmetic or its traffic.

    ``gflop_s`` and ``gb_s`` are what the machine was seen to reach (``roofline``). S. Williams,
    A. Waterman and D. Patterson, Communications of the ACM 52 (2009) 65.
    """
    return max(flop / (gflop_s * 1e9), compulsory / (gb_s * 1e9))


def impossible_traffic(compulsory: int, seconds: float, bandwidth_gb_s: float | None) -> str | None:
    """Return why a call cannot have taken only ``seconds``, by its compulsory traffic, else None.

    Nothing is refused where the bandwidth is not known, or where the data may stay in a cache from
    one call to the next.
    """
    if bandwidth_gb_s is None or compulsory <= _LARGER_THAN_CACHES:
        return None
    gb_s = gb_per_second(compulsory, seconds)
    if gb_s <= bandwidth_gb_s:
        return None
    return (
        f"{gb_s:.0f} GB/s at least, where the memory has {bandwidth_gb_s:g} GB/s; "
        "the clock most likely stopped before the device did"
    )


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
