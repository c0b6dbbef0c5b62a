"""Compare our training and generation with other implementations of equal shape, in CPU time.

    python tools/training_speed.py --nanogpt FOLDER/model.py

The mini GPT is compared with transformers' GPT2LMHeadModel and with nanoGPT (your copy of its model.py),
each with the optimiser that its own users take: a training step of a batch of 4, and tokens drawn from
the 40 likeliest with whatever cache each has. Every pair is built several times, since each build has
its own heap layout; each build runs in ABBA blocks. A ratio is the median over builds, with the least
and the greatest in brackets; above 1 ours is faster. One thread, pinned to one core.
For each size it also prints which part of the machine's peak our step reaches: its arithmetic per second over that of
a product of two 512 x 512 matrices, both the best of many tries.

`tools/cnn_loops.py` compares the transit CNN with guide 002's loop, which needs separate processes.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import importlib.util
import io
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from metalassay.measure.roofline import probe
from metalassay.statistics import decision
from metalassay.training.gpt import cross_entropy
from metalassay.training.gpt.generation import Sampling, generate
from metalassay.training.gpt.shape import SIZES
from metalassay.training.optimizer import FlatAdamW
from metalassay.workers import cpu_pinning
from metalassay.workloads import flop_counter
from metalassay.workloads.models.tiny_gpt import TinyGPT, TinyGPTConfig

Work = Callable[[], object]
BATCH, PROMPT, NEW = 4, 8, 48


def tokens_of(config: TinyGPTConfig) -> tuple[Tensor, Tensor]:
    """Return a batch of random tokens and those that follow them, (B, T) each."""
    tokens = torch.randint(config.vocabulary, (BATCH, config.context + 1))
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


def our_training(config: TinyGPTConfig) -> Work:
    """Return our training step."""
    from metalassay.workloads.registry import Batch

    inputs, target = tokens_of(config)
    model, batch = TinyGPT(config), Batch((inputs,), target)
    optimizer = FlatAdamW(model, 0.01)
    optimizer.rate = 1e-3

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy.loss(model, batch).backward()  # type: ignore[no-untyped-call]
        optimizer.clip(1.0)
        optimizer.step()

    return step


def gpt2(config: TinyGPTConfig) -> Any:
    """Return transformers' GPT-2 of the same shape, without dropout."""
    from transformers import GPT2Config, GPT2LMHeadModel

    none = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    shape = {
        "vocab_size": config.vocabulary,
        "n_positions": config.context,
        "n_embd": config.channels,
        "n_layer": config.layers,
        "n_head": config.heads,
    }
    settings = GPT2Config(**shape, **none, bos_token_id=0, eos_token_id=1, pad_token_id=0)
    return GPT2LMHeadModel(settings)


def gpt2_training(config: TinyGPTConfig) -> Work:
    """Return a step of GPT2LMHeadModel with torch's AdamW."""
    inputs, target = tokens_of(config)
    model = gpt2(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)

    def step() -> None:
        optimizer.zero_grad()
        scores = model(inputs).logits
        functional.cross_entropy(scores.flatten(0, 1), target.flatten()).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def nano(module: ModuleType, config: TinyGPTConfig) -> Any:
    """Return nanoGPT of the same shape, with biases and without dropout."""
    shape = module.GPTConfig(
        block_size=config.context,
        vocab_size=config.vocabulary,
        n_layer=config.layers,
        n_head=config.heads,
        n_embd=config.channels,
        dropout=0.0,
        bias=True,
    )
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its number of parameters
        return module.GPT(shape)


def nano_training(module: ModuleType, config: TinyGPTConfig) -> Work:
    """Return a step as nanoGPT's train.py does it."""
    inputs, target = tokens_of(config)
    model = nano(module, config).train()
    with contextlib.redirect_stdout(io.StringIO()):
        optimizer = model.configure_optimizers(0.01, 1e-3, (0.9, 0.999), "cpu")

    def step() -> None:
        _, loss = model(inputs, target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def our_generation(config: TinyGPTConfig) -> Work:
    """Return a function that generates ``NEW`` tokens with our cache."""
    model = TinyGPT(config).eval()
    return lambda: list(generate(model, list(range(2, 2 + PROMPT)), NEW, Sampling(0.8, 40)))


def gpt2_generation(config: TinyGPTConfig) -> Work:
    """Return a function that generates as many with transformers' `generate` and its cache."""
    model = gpt2(config).eval()
    prompt = torch.arange(2, 2 + PROMPT).unsqueeze(0)

    @torch.inference_mode()
    def work() -> Any:
        return model.generate(
            prompt,
            max_new_tokens=NEW,
            min_new_tokens=NEW,
            do_sample=True,
            top_k=40,
            temperature=0.8,
            attention_mask=torch.ones_like(prompt),
        )

    return work


def nano_generation(module: ModuleType, config: TinyGPTConfig) -> Work:
    """Return a function that generates as many with nanoGPT, which has no cache."""
    model = nano(module, config).eval()
    prompt = torch.arange(2, 2 + PROMPT).unsqueeze(0)
    return lambda: model.generate(prompt, NEW, temperature=0.8, top_k=40)


def build(ours: Callable[[], Work], theirs: Callable[[], Work], rounds: int) -> float:
    """Build both, warm them up and time them in turns; return the log of theirs over ours."""
    pair = (ours(), theirs())
    for work in pair * 3:
        work()

    def seconds(which: int, times: int) -> float:
        began = time.process_time()
        for _ in range(times):
            pair[which]()
        return time.process_time() - began

    once = max(seconds(0, 1), seconds(1, 1))
    times = max(1, round(0.01 / once))
    gc.collect()
    gc.disable()
    logs = []
    for number in range(rounds):
        first = number % 2
        turns = [seconds(which, times) for which in (first, 1 - first, 1 - first, first)]
        mine, other = (
            min(
                turn
                for turn, which in zip(turns, (first, 1 - first, 1 - first, first), strict=True)
                if which == wanted
            )
            for wanted in (0, 1)
        )
        logs.append(math.log(other / mine))
    gc.enable()
    return decision.midmean(logs)


def compare(
    name: str, ours: Callable[[], Work], theirs: Callable[[], Work], builds: int, rounds: int
) -> None:
    """Print the median ratio over builds."""
    ratios = sorted(math.exp(build(ours, theirs, rounds)) for _ in range(builds))
    print(
        f"{name}: {statistics.median(ratios):.2f} x [{ratios[0]:.2f}, {ratios[-1]:.2f}]", flush=True
    )


def share_of_peak(step: Work) -> float:
    """Return the arithmetic rate of ``step`` over that of a matrix product."""
    for _ in range(3):
        step()
    times = []
    for _ in range(20):
        began = time.process_time()
        step()
        times.append(time.process_time() - began)
    return flop_counter.count(step).flop / min(times) / 1e9 / probe(torch.device("cpu")).gflop_s


def load(path: Path) -> ModuleType:
    """Import nanoGPT's model.py."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Print one line per comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nanogpt", type=Path, metavar="FILE", help="nanoGPT's model.py")
    parser.add_argument("--builds", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=12, help="ABBA blocks per build")
    parser.add_argument("--sizes", nargs="+", default=list(SIZES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    if len(cores := cpu_pinning.allowed()) > 1:
        os.sched_setaffinity(0, {cpu_pinning.choose(cores)})
    others: dict[str, tuple[Callable[[TinyGPTConfig], Work], Callable[[TinyGPTConfig], Work]]] = {}
    try:
        import transformers

        others[f"GPT2LMHeadModel, transformers {transformers.__version__}"] = (
            *(gpt2_training, gpt2_generation),
        )
    except ImportError as error:
        print(f"not compared with GPT2LMHeadModel: {error}")
    if options.nanogpt:
        module = load(options.nanogpt)
        others["nanoGPT"] = (
            lambda config: nano_training(module, config),
            lambda config: nano_generation(module, config),
        )
    print(
        f"torch {torch.__version__}, one thread, {options.builds} builds of {options.rounds} ABBA blocks"
    )
    for size in options.sizes:
        config = SIZES[size]
        print(
            f"GPT {size}, training: {share_of_peak(our_training(config)):.0%} of the peak",
            flush=True,
        )
        for other, makers in others.items():
            for what, ours, theirs in zip(
                ("training", "generation"), (our_training, our_generation), makers, strict=True
            ):
                compare(
                    f"GPT {size}, {what}, against {other}",
                    functools.partial(ours, config),
                    functools.partial(theirs, config),
                    options.builds,
                    options.rounds,
                )


if __name__ == "__main__":
    main()
