"""The arithmetic that decides some claims of the guides: pure functions of the guides' own numbers.

Operations and bytes are those of our two-branch CNN, since guide 002 does not define its own: float32,
batch 64. Bytes are an upper bound on memory traffic: every tensor in and out of every operator.
"""

from __future__ import annotations

import math

TRAIN_BYTES, INFER_BYTES = (7.64e6, 8.27e6), (3.12e6, 3.40e6)
"""Bytes that a sample moves: the least and the most of two counts, the latter ``counting.count``."""
TRAIN_FLOP, INFER_FLOP = 67.15e6, 22.70e6
"""Operations of a sample."""
SAVED_BYTES = 1.63e6
"""Bytes that a sample keeps for the backward pass."""


def share_of_bandwidth(samples_s: float, bytes_per_sample: float, bandwidth_gb_s: float) -> float:
    """Return the part of the memory bandwidth (10**9 bytes a second) that a speed uses; 1 is all."""
    return samples_s * bytes_per_sample / (bandwidth_gb_s * 1e9)


def implied_gflop_s(samples_s: float, flop_per_sample: float) -> float:
    """Return the arithmetic that a speed implies, in 10**9 operations a second."""
    return samples_s * flop_per_sample / 1e9


def bytes_per_sample(share: float, bandwidth_gb_s: float, samples_s: float) -> float:
    """Return the bytes that a sample must move for this share of the bandwidth at this speed."""
    return share * bandwidth_gb_s * 1e9 / samples_s


def bus_bandwidth(bits: int, mega_transfers_s: float) -> float:
    """Return what a memory bus carries, in GB/s (10**9 bytes)."""
    return bits / 8 * mega_transfers_s / 1e3


def speedup(before: float, after: float) -> float:
    """Return how many times ``before`` goes into ``after``."""
    return after / before


def samples_per_joule(samples_s: float, watts: float) -> float:
    """Return samples a second and watt."""
    return samples_s / watts


def activation_megabytes(batch: int) -> float:
    """Return what a batch keeps for the backward pass, in 10**6 bytes: it grows with the batch."""
    return batch * SAVED_BYTES / 1e6


def largest_batch(memory_gb: float) -> int:
    """Return how many samples' activations fit into ``memory_gb`` (10**9 bytes)."""
    return int(memory_gb * 1e9 / SAVED_BYTES)


def memory_beside_batch(memory: tuple[float, float], batch: tuple[int, int]) -> float:
    """Return what two machines must hold besides the batch, so that both batches just fit.

    Solves fixed + batch * each = memory for both machines, in the unit of ``memory``.
    """
    each = (memory[1] - memory[0]) / (batch[1] - batch[0])
    return memory[0] - batch[0] * each


def found_by_search(tried: tuple[int, ...], wanted: int) -> bool:
    """Say whether a search that tries these batch sizes can return the wanted one."""
    return wanted in tried


def accumulated_steps(batches: int, every: int) -> tuple[int, int]:
    """Return the optimizer's steps in a pass, and the batches whose gradients no step used in it."""
    return divmod(batches, every)


def gpt_parameters(vocabulary: int, context: int, layers: int, channels: int) -> int:
    """Count the parameters of a GPT-2 with biases, learned positions and a shared embedding."""
    block = 12 * channels**2 + 13 * channels
    return (vocabulary + context) * channels + layers * block + 2 * channels


def most_channels(parameters: int, vocabulary: int) -> int:
    """Return how many channels an embedding of the vocabulary leaves room for, and nothing else."""
    return parameters // vocabulary


def mebibytes(parameters: int, bytes_each: int) -> float:
    """Return memory in MiB. AdamW in float32 takes 16 bytes: weight, gradient and two moments."""
    return parameters * bytes_each / 2**20


def loss_of_guessing(vocabulary: int) -> float:
    """Return the cross-entropy in nats of giving every token the same probability."""
    return math.log(vocabulary)


def tokens_to_choose_from(loss: float) -> float:
    """Return the perplexity: among how many equally likely tokens a loss in nats leaves the choice."""
    return math.exp(loss)


def batches_of(rows: int, batch: int) -> int:
    """Return the batches in a pass over the rows, the last one incomplete."""
    return math.ceil(rows / batch)


def passes(steps: int, rows: int, batch: int) -> float:
    """Return how often training for ``steps`` batches sees every row."""
    return steps / batches_of(rows, batch)


def minutes_for(steps: int, steps_s: float) -> float:
    """Return the minutes that steps take at ``steps_s`` a second."""
    return steps / steps_s / 60


def busy_share(step_s: float, steps: int, pause_s: float) -> float:
    """Return the part of the time a program works that rests ``pause_s`` after every few steps."""
    work = step_s * steps
    return work / (work + pause_s)


def macos_of_darwin(release: str) -> str:
    """Return the macOS that Darwin 20 to 24 belongs to: major minus 9, as 23.5.0 is macOS 14.5."""
    major, minor, *_ = map(int, release.split("."))
    if not 20 <= major <= 24:
        raise ValueError(f"Darwin {release}: the rule holds for 20 to 24")
    return f"{major - 9}.{minor}"


def third_word(line: str) -> str:
    """Return what ``awk '{print $3}' | cut -d'%' -f1`` leaves of a line."""
    return line.split()[2].split("%")[0]
