"""Programs to run under preflight: two of the hub's families at random, and our two workloads.

    metalassay preflight -- python tools/preflight_examples.py gpt2

Each takes three optimizer steps; gpt2 also generates. Without a name all are judged, in a table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from tabulate import tabulate

from metalassay.mps.preflight import predict, run
from metalassay.workloads import registry

STEPS = 3


def gpt2() -> None:
    """Train a tiny random GPT-2 for three steps, and generate with it."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=64, n_positions=32, n_embd=32, n_layer=2, n_head=2)
    model = GPT2LMHeadModel(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    tokens = torch.randint(0, 64, (2, 16))
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval().generate(
        tokens, max_new_tokens=4, do_sample=True, top_k=8, top_p=0.9, pad_token_id=0
    )


def bert() -> None:
    """Train a tiny random BERT classifier for three steps, with padding."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=64,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    model = BertForSequenceClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    tokens, mask = torch.randint(0, 64, (4, 16)), torch.ones(4, 16, dtype=torch.long)
    mask[:, 12:] = 0
    for _ in range(STEPS):
        optimizer.zero_grad()
        labels = torch.tensor([0, 1, 0, 1])
        loss = model(input_ids=tokens, attention_mask=mask, labels=labels).loss
        loss.backward()
        optimizer.step()


def ours(name: str) -> None:
    """Train one of metalassay's workloads for three steps."""
    workload = registry.make(
        registry.get(name), "train", torch.device("cpu"), "float32", batch_size=4
    )
    for _ in range(STEPS):
        workload.step()


PROGRAMS: dict[str, Callable[[], None]] = {
    "gpt2": gpt2,
    "bert": bert,
    "transit-cnn": lambda: ours("transit-cnn"),
    "gpt-tiny": lambda: ours("gpt-tiny"),
}


def main() -> None:
    """Run the program named, or judge all."""
    if sys.argv[1:]:
        PROGRAMS[sys.argv[1]]()
        return
    rows = []
    for name in PROGRAMS:
        trace, code = run.trace([sys.executable, __file__, name])
        if code:
            sys.exit(f"{name} failed")
        found = predict.judge(trace)
        troubles = {
            version: len(found.bad(version, "missing")) + len(found.bad(version, "fallback"))
            for version in found.versions
        }
        clean = next(
            (
                version
                for i, version in enumerate(found.versions)
                if not any(list(troubles.values())[i:])
            ),
            "none",
        )
        names = [each.operator for each in found.bad("2.5.1", "missing")]
        rows.append(
            [name, found.calls, found.operators, clean, ", ".join(names) or "none", len(found.wide)]
        )
    heads = (
        "program",
        "operator calls",
        "operators",
        "free of trouble from torch",
        "missing in 2.5.1",
        "lines with float64",
    )
    print(tabulate(rows, heads, tablefmt="pipe"))


if __name__ == "__main__":
    main()
