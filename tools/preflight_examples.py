"""Programs to run under preflight: GPT-2 and BERT with random weights, and two of our workloads.

    metalassay preflight -- python tools/preflight_examples.py gpt2

Each program takes three optimizer steps; gpt2 also generates. Without a name, all of them run under
preflight, and a table of the results is printed.
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
    """Train a tiny random GPT-2 for three steps, then generate."""
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


def workload(name: str) -> None:
    """Train one of metalassay's workloads for three steps."""
    training = registry.make(
        registry.get(name), "train", torch.device("cpu"), "float32", batch_size=4
    )
    for _ in range(STEPS):
        training.step()


PROGRAMS: dict[str, Callable[[], None]] = {
    "gpt2": gpt2,
    "bert": bert,
    "transit-cnn": lambda: workload("transit-cnn"),
    "gpt-tiny": lambda: workload("gpt-tiny"),
}


def fine_since(preflight: predict.Preflight) -> str:
    """Return the first version without a problem in it or in any later one, or "none"."""
    since = "none"
    for version in reversed(preflight.versions):
        if preflight.bad(version, "missing") or preflight.bad(version, "fallback"):
            break
        since = version
    return since


def main() -> None:
    """Run the named program, or all of them under preflight."""
    if sys.argv[1:]:
        PROGRAMS[sys.argv[1]]()
        return
    rows = []
    for name in PROGRAMS:
        trace, code = run.trace([sys.executable, __file__, name])
        if code:
            sys.exit(f"{name} failed")
        preflight = predict.judge(trace)
        missing = [finding.operator for finding in preflight.bad("2.5.1", "missing")]
        rows.append(
            [
                name,
                preflight.calls,
                preflight.operators,
                fine_since(preflight),
                ", ".join(missing) or "none",
                len(preflight.wide),
            ]
        )
    headers = (
        "program",
        "operator calls",
        "operators",
        "no problem since torch",
        "missing in 2.5.1",
        "lines with float64",
    )
    print(tabulate(rows, headers, tablefmt="pipe"))


if __name__ == "__main__":
    main()
