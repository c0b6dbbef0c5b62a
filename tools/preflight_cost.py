"""Measure what preflight's recording adds to a training step of nanoGPT.

    python tools/preflight_cost.py FOLDER/model.py

The file is nanoGPT's model.py, from wherever you have it. Steps with and without the recorder take turns; the
CPU time of this process is compared, which other programs disturb less than the clock. Prints the ratio of the
medians and, as a range, that of each half of the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from metalassay.mps import ported_watch
from metalassay.mps.preflight import as_mac, beyond, predict, recording, tracing

# What nanoGPT's README gives for a computer without a GPU.
SIZE = {"n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 64}
BATCH = 12


def training_step(file: Path) -> Callable[[], None]:
    """Return a function that takes a step: forward, backward, clip, update."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", file)
    if spec is None or spec.loader is None:
        sys.exit(f"{file} is no Python file")
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules["nanogpt_model"] = module
    spec.loader.exec_module(module)
    torch.manual_seed(0)
    config = module.GPTConfig(vocab_size=65, dropout=0.0, bias=False, **SIZE)
    model = module.GPT(config)
    optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.95), "cpu")
    tokens = torch.randint(0, 65, (BATCH, SIZE["block_size"]))

    def step() -> None:
        _, loss = model(tokens, tokens)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, help="nanoGPT's model.py")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = recording.Recording(predict.settings(), tracing, ported_watch, as_mac, beyond)
    step = training_step(options.model)

    def seconds(recorded: bool) -> float:
        with record.running() if recorded else contextlib.nullcontext():
            began = time.process_time()
            step()
            return time.process_time() - began

    for recorded in (False, True) * 3:
        seconds(recorded)
    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(options.rounds):
        for recorded, measured in times.items():
            measured.append(seconds(recorded))
    half = options.rounds // 2
    parts = (slice(None), slice(None, half), slice(half, None))
    ratios = [
        statistics.median(times[True][part]) / statistics.median(times[False][part])
        for part in parts
    ]
    plain = statistics.median(times[False]) * 1000
    print(
        f"{plain:.1f} ms of CPU time for a step, {ratios[0]:.2f} times that when recorded", end=""
    )
    print(f" ({min(ratios[1:]):.2f} to {max(ratios[1:]):.2f})")


if __name__ == "__main__":
    main()
