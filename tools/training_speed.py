"""Our training loop and generation against their rivals of equal shape, interleaved, in CPU time.

    python tools/training_speed.py --rounds 7

Mini GPT against transformers' GPT2LMHeadModel with torch's AdamW: training tokens, and tokens
generated with a KV cache, for each size. Transit CNN against guide 002's literal loop in float32 at
batch 64, which draws its batches from a DataLoader. Ratios of medians: above 1 ours is faster. CPU
time, one thread: what the neighbours do then matters less.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from metalassay.models.tiny_gpt import TinyGPT, TinyGPTConfig
from metalassay.models.two_branch_cnn import TwoBranchCNN
from metalassay.training import gpt, transit
from metalassay.training.allocator import keep_freed_memory
from metalassay.training.generation import Sampling, generate
from metalassay.training.optimizer import FlatAdamW
from metalassay.workloads import Batch


def compare(name: str, ours: Callable[[], None], theirs: Callable[[], None], rounds: int) -> None:
    """Run both in turns and print the ratio of their median CPU times."""
    both = [ours, theirs]
    for each in both * 2:
        each()
    times: list[list[float]] = [[], []]
    for number in range(rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            began = time.process_time()
            both[which]()
            times[which].append(time.process_time() - began)
    mine, other = (statistics.median(each) for each in times)
    pairs = sorted(b / a for a, b in zip(*times, strict=True))
    print(f"{name}: {other / mine:.2f} x [{pairs[0]:.2f}, {pairs[-1]:.2f}]", flush=True)


def hugging_face(config: TinyGPTConfig) -> torch.nn.Module:
    """Return GPT-2 of the same shape, without dropout."""
    from transformers import GPT2Config, GPT2LMHeadModel

    none = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    shape = {
        "vocab_size": config.vocabulary,
        "n_positions": config.context,
        "n_embd": config.channels,
        "n_layer": config.layers,
        "n_head": config.heads,
    }
    model: torch.nn.Module = GPT2LMHeadModel(
        GPT2Config(**shape, **none, bos_token_id=0, eos_token_id=1, pad_token_id=0)
    )
    return model


def gpt_training(size: str, rounds: int) -> None:
    """Compare steps of a batch of 4."""
    config = gpt.SIZES[size]
    tokens = torch.randint(config.vocabulary, (4, config.context + 1))
    batch = Batch((tokens[:, :-1].contiguous(),), tokens[:, 1:].contiguous())
    mine, other = TinyGPT(config), hugging_face(config)
    flat = FlatAdamW(mine, 0.01)
    theirs = torch.optim.AdamW(other.parameters(), lr=1e-3, weight_decay=0.01)
    steps = 2 if size == "original" else 10

    def our_steps() -> None:
        for _ in range(steps):
            flat.zero_grad()
            gpt.loss(mine, batch).backward()  # type: ignore[no-untyped-call]
            flat.clip(1.0)
            flat.rate = 1e-3
            flat.step()

    def their_steps() -> None:
        for _ in range(steps):
            theirs.zero_grad()
            scores = other(batch.inputs[0]).logits
            loss = functional.cross_entropy(scores.flatten(0, 1), batch.target.flatten())
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(other.parameters(), 1.0)
            theirs.step()

    compare(f"GPT {size}, training against GPT2LMHeadModel", our_steps, their_steps, rounds)


def gpt_generation(size: str, rounds: int) -> None:
    """Compare 48 tokens after a prompt of 8, drawn from the 40 likeliest."""
    config = gpt.SIZES[size]
    mine, other = TinyGPT(config).eval(), hugging_face(config).eval()
    prompt = list(range(2, 10))

    def ours() -> None:
        list(generate(mine, prompt, 48, Sampling(0.8, 40)))

    def theirs() -> None:
        with torch.inference_mode():
            other.generate(  # type: ignore[operator]
                torch.tensor([prompt]),
                max_new_tokens=48,
                min_new_tokens=48,
                do_sample=True,
                top_k=40,
                temperature=0.8,
                attention_mask=torch.ones(1, 8, dtype=torch.long),
            )

    compare(f"GPT {size}, generation against GPT2LMHeadModel", ours, theirs, rounds)


def cnn(rounds: int) -> None:
    """Compare two steps at batch 64; the allocator's setting is ours alone, so theirs goes first."""
    curves = transit.Curves(torch.randn(256, 1, 2001), torch.randn(256, 1, 201), torch.ones(256))
    loader = DataLoader(
        TensorDataset(curves.whole, curves.near, curves.planet), batch_size=64, shuffle=True
    )
    literal, mine = TwoBranchCNN(), TwoBranchCNN()
    theirs = torch.optim.AdamW(literal.parameters(), lr=1e-3, weight_decay=1e-4)
    flat, source = FlatAdamW(mine, 1e-4), transit.Shuffled(curves, 64, 0)

    def their_steps() -> None:
        for number, (whole, near, planet) in enumerate(loader):
            theirs.zero_grad(set_to_none=True)
            out = literal(whole, near).squeeze()
            loss = functional.binary_cross_entropy_with_logits(out, planet)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(literal.parameters(), max_norm=1.0)
            theirs.step()
            if number == 1:
                break

    def our_steps() -> None:
        for _ in range(2):
            flat.zero_grad()
            transit.loss(mine, source.next()).backward()  # type: ignore[no-untyped-call]
            flat.clip(1.0)
            flat.rate = 1e-3
            flat.step()

    def timed(steps: Callable[[], None]) -> float:
        steps()
        times = []
        for _ in range(rounds):
            began = time.process_time()
            steps()
            times.append(time.process_time() - began)
        return statistics.median(times)

    other = timed(their_steps)
    if not keep_freed_memory():
        print("no glibc here: the allocator stays as it is")
    mine_seconds = timed(our_steps)
    print(
        f"CNN, batch 64, against the guide's literal loop: {other / mine_seconds:.2f} x (in sequence)"
    )


def main() -> None:
    """Print a line a comparison."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", nargs="+", default=list(gpt.SIZES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cnn(options.rounds)
    for size in options.sizes:
        try:
            hugging_face(gpt.SIZES[size])
        except ImportError as error:
            print(f"GPT not compared: {error}")
            break
        gpt_training(size, options.rounds)
        gpt_generation(size, options.rounds)


if __name__ == "__main__":
    main()
