"""The arithmetic that decides some claims: pure functions of the guides' own numbers.

Operations and bytes are those of our two-branch CNN in float32 with batch 64, because guide 002 does
not define its own. Bytes are an upper bound on memory traffic: all inputs and outputs of all operators.
"""

from __future__ import annotations

import math

TRAIN_BYTES, INFER_BYTES = (7.64e6, 8.27e6), (3.12e6, 3.40e6)
"""Bytes moved per sample: the smaller and the larger of two counts; the larger is ``flop_counter.count``."""
TRAIN_FLOP, INFER_FLOP = 67.15e6, 22.70e6
"""Floating-point operations per sample."""
SAVED_BYTES = 1.63e6
"""Bytes kept per sample for the backward pass."""


def share_of_bandwidth(samples_s: float, bytes_per_sample: float, bandwidth_gb_s: float) -> float:
    """Return the share of the memory bandwidth, in 10**9 bytes per second, that a speed uses."""
    return samples_s * bytes_per_sample / (bandwidth_gb_s * 1e9)


def implied_gflop_s(samples_s: float, flop_per_sample: float) -> float:
    """Return the arithmetic rate that a speed implies, in 10**9 operations per second."""
    return samples_s * flop_per_sample / 1e9


def bytes_per_sample(share: float, bandwidth_gb_s: float, samples_s: float) -> float:
    """Return the bytes per sample for this share of the bandwidth at this speed."""
    return share * bandwidth_gb_s * 1e9 / samples_s


def bus_bandwidth(bits: int, mega_transfers_s: float) -> float:
    """Return the bandwidth of a memory bus in GB/s (10**9 bytes)."""
    return bits / 8 * mega_transfers_s / 1e3


def speedup(before: float, after: float) -> float:
    """Return ``after`` / ``before``."""
    return after / before


def samples_per_joule(samples_s: float, watts: float) -> float:
    """Return samples per joule from samples per second and watts."""
    return samples_s / watts


def activation_megabytes(batch: int) -> float:
    """Return the memory that a batch keeps for the backward pass, in 10**6 bytes."""
    return batch * SAVED_BYTES / 1e6


def largest_batch(memory_gb: float) -> int:
    """Return the number of samples whose activations fit into ``memory_gb`` (10**9 bytes)."""
    return int(memory_gb * 1e9 / SAVED_BYTES)


def memory_beside_batch(memory: tuple[float, float], batch: tuple[int, int]) -> float:
    """Return the memory besides the batch with which both batches just fill two machines.

    Solves fixed + batch * per_sample = memory for both machines, in the unit of ``memory``.
    """
    per_sample = (memory[1] - memory[0]) / (batch[1] - batch[0])
    return memory[0] - batch[0] * per_sample


def found_by_search(tried: tuple[int, ...], wanted: int) -> bool:
    """Whether a search that tries these batch sizes can return the wanted one."""
    return wanted in tried


def accumulated_steps(batches: int, every: int) -> tuple[int, int]:
    """Return the optimizer steps in a pass, and the batches whose gradients no step of it used."""
    return divmod(batches, every)


def gpt_parameters(vocabulary: int, context: int, layers: int, channels: int) -> int:
    """Return the parameters of a GPT-2 with biases, learned positions and a shared embedding."""
    block = 12 * channels**2 + 13 * channels
    return (vocabulary + context) * channels + layers * block + 2 * channels


def most_channels(parameters: int, vocabulary: int) -> int:
    """Return the most channels if all parameters are in the embedding of the vocabulary."""
    return parameters // vocabulary


def mebibytes(parameters: int, bytes_each: int) -> float:
    """Return memory in MiB. AdamW in float32 needs 16 bytes: weight, gradient and two moments."""
    return parameters * bytes_each / 2**20


def loss_of_guessing(vocabulary: int) -> float:
    """Return the cross-entropy in nats if every token has the same probability."""
    return math.log(vocabulary)


def tokens_to_choose_from(loss: float) -> float:
    """Return the perplexity: the number of equally likely tokens with this loss in nats."""
    return math.exp(loss)


def batches_of(rows: int, batch: int) -> int:
    """Return the number of batches in a pass over the rows; the last one may be incomplete."""
    return math.ceil(rows / batch)


def passes(steps: int, rows: int, batch: int) -> float:
    """Return the number of passes over the rows in ``steps`` batches."""
    return steps / batches_of(rows, batch)


def minutes_for(steps: int, steps_s: float) -> float:
    """Return the minutes that ``steps`` take at ``steps_s`` steps per second."""
    return steps / steps_s / 60


def polled_share(own: float, others: float, limit: float) -> float:
    """Return the share of time that a loop works which a thread pauses as guide 004's program does.

    The thread looks at the whole machine for a second, then for another, which decides, and rests for
    five; the loop looks at the flag before each step, and sleeps a second while it is set. ``own`` and
    ``others`` are what the loop, while it works, and all else take of the machine; ``limit`` is above 0.
    """
    seconds, worked, paused = 7 * 1000, 0.0, False
    for second in range(seconds):
        worked += not paused
        if second % 7 == 1:  # the end of the second look, in which the loop worked or did not
            paused = others + own * (not paused) > limit
    return worked / seconds


def macos_of_darwin(release: str) -> str:
    """Return the macOS version of Darwin 20 to 24: major minus 9, so 23.5.0 is macOS 14.5."""
    major, minor, *_ = map(int, release.split("."))
    if not 20 <= major <= 24:
        raise ValueError(f"Darwin {release}: the rule applies to 20 to 24 only")
    return f"{major - 9}.{minor}"


def third_word(line: str) -> str:
    """Return the result of ``awk '{print $3}' | cut -d'%' -f1`` for a line."""
    return line.split()[2].split("%")[0]
