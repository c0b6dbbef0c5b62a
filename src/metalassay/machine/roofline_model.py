"""Pure arithmetic: the rates that a time implies, and whether the machine can reach them.

Work is counted, not measured: FLOP from the operators' shapes, bytes as the inputs and outputs of
every operator. Caches serve part of those bytes, so the GB/s computed from them are an upper bound on
the memory traffic. The lower bound is the compulsory traffic, which even perfect caches cannot avoid
if they start empty.
"""

from __future__ import annotations

# The peaks of Apple's GPUs are estimated from cores and clock, not published: good to about 15 %.
_ERROR_OF_PEAK = 1.15

# Work that fits into a cache may exceed the memory's bandwidth. The largest last-level caches of the
# chips we know (an M-series Ultra, a server's processor) are smaller than this.
_LARGER_THAN_CACHES = 2**30

# 16-bit types at most double the rate; the GPU families up to M4 do not even reach that.
_RATE = {"float32": 1, "bfloat16": 2, "float16": 2}


def gflop_per_second(flop_per_call: int, seconds: float) -> float:
    """Return the arithmetic rate in GFLOP/s that ``seconds`` per call imply."""
    return flop_per_call / seconds / 1e9


def gb_per_second(bytes_per_call: int, seconds: float) -> float:
    """Return the memory traffic in GB/s (1e9 bytes) that ``seconds`` per call imply; an upper bound."""
    return bytes_per_call / seconds / 1e9


def compulsory_bytes(*, mode: str, parameters: int, input_bytes: int, output_bytes: int) -> int:
    """Return the bytes that a call must move if the caches are empty before it; float32 weights.

    Inference reads inputs and weights and writes its output. Training with Adam reads inputs, and
    reads and writes each weight and its two moments; gradients and activations could stay in a cache.
    """
    state = 4 * parameters * (6 if mode == "train" else 1)
    return input_bytes + output_bytes + state


def least_seconds(flop: int, compulsory: int, *, gflop_s: float, gb_s: float) -> float:
    """Return the least time in seconds that a call can take by the roofline model.

    ``gflop_s`` and ``gb_s`` are the machine's measured peaks (``measure.roofline``). S. Williams,
    A. Waterman and D. Patterson, Communications of the ACM 52 (2009) 65.
    """
    return max(flop / (gflop_s * 1e9), compulsory / (gb_s * 1e9))


def impossible_traffic(compulsory: int, seconds: float, bandwidth_gb_s: float | None) -> str | None:
    """Return why its compulsory traffic rules out that a call took only ``seconds``, else None.

    Returns None if the bandwidth is unknown, or if the data may stay in a cache from one call to the
    next.
    """
    if bandwidth_gb_s is None or compulsory <= _LARGER_THAN_CACHES:
        return None
    gb_s = gb_per_second(compulsory, seconds)
    if gb_s <= bandwidth_gb_s:
        return None
    return (
        f"needs at least {gb_s:.0f} GB/s, but the memory has {bandwidth_gb_s:g} GB/s; "
        "the clock most likely stopped before the device did"
    )


def bandwidth_share(gb_s: float, bandwidth_gb_s: float | None) -> float | None:
    """Return an upper bound on the fraction of the chip's published bandwidth that was used.

    None if the chip's bandwidth is unknown, or if the bound exceeds 1 and so says nothing.
    """
    if bandwidth_gb_s is None or gb_s > bandwidth_gb_s:
        return None
    return gb_s / bandwidth_gb_s


def impossible(
    gflop_s: float, *, device: str, dtype: str, peak_tflop_s: float | None
) -> str | None:
    """Return why a rate cannot be true, else None.

    ``peak_tflop_s`` is the float32 peak of the chip's GPU in TFLOP/s. If it is None, no rate is
    refused: an unknown peak is never guessed. Rates of the CPU are not judged by it.
    """
    if peak_tflop_s is None or device == "cpu":
        return None
    if gflop_s / 1e3 <= peak_tflop_s * _RATE[dtype] * _ERROR_OF_PEAK:
        return None
    return (
        f"faster than the chip's arithmetic ({peak_tflop_s:g} TFLOP/s in float32) allows; "
        "the clock most likely stopped before the device did"
    )
