"""The mini GPT of guide 004: its three sizes, what is trained, and how it is judged."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from metalassay.errors import UserError
from metalassay.training import checkpoint
from metalassay.training.divergence import require_finite, require_finite_weights
from metalassay.training.gpt import dialogues as text
from metalassay.training.gpt import tokenizer
from metalassay.training.gpt.dialogues import END, START, Faults
from metalassay.training.gpt.generation import Sampling, distinct, generate, repetition
from metalassay.training.gpt.packing import TokenStream
from metalassay.training.loop import Task
from metalassay.training.run_folder import RunFolder
from metalassay.training.train_state import part
from metalassay.workloads.models import tiny_gpt
from metalassay.workloads.models.tiny_gpt import TinyGPT, TinyGPTConfig
from metalassay.workloads.registry import Batch

SIZES: Mapping[str, TinyGPTConfig] = {
    "tiny": tiny_gpt.TINY,
    "small": tiny_gpt.SMALL,
    "original": tiny_gpt.ORIGINAL,
}
# So that the dialogues that come with the package are learnt by heart; see docs/training.md.
PEAK_RATES = {"tiny": 1e-2, "small": 1e-2, "original": 3e-3}
STEPS = {"tiny": 2000, "small": 3000, "original": 400}
WEIGHT_DECAY = 0.1
MOST_WINDOWS = 512  # of a test file, so that judging takes seconds
JUDGED_AT_ONCE = 16  # pieces of dialogues


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return the mean cross-entropy of the next token, in nats."""
    scores = model(*batch.inputs)
    return functional.cross_entropy(scores.float().flatten(0, 1), batch.target.flatten())


@dataclass(frozen=True)
class Held:
    """Dialogues to judge by, as tokens; ``bytes`` of their text in UTF-8, without the format's marks."""

    dialogues: list[list[int]]
    bytes: int


def held(path: Path, tokenizer: Any, faults: Faults, most: int) -> Held:
    """Return the dialogues of ``path``, up to ``most`` tokens and the end of that line.

    Raises ``UserError`` where there is none.
    """
    dialogues: list[list[int]] = []
    count = size = 0
    for line in text.lines(path, option="--test"):
        if line.text is None:
            faults.add(line)
            continue
        dialogues.append(tokenizer.encode(line.text).ids)
        count += len(dialogues[-1])
        size += len(line.text.replace(START, "").replace(END, "").encode())
        if count > most:
            break
    if not any(len(each) > 1 for each in dialogues):
        raise UserError(f"{path} holds no dialogue", "name another with --test FILE")
    return Held(dialogues, size)


def surprise(model: TinyGPT, dialogues: list[list[int]]) -> tuple[float, int]:
    """Return the loss summed over every token but the first of each dialogue, in nats; and how many.

    Each dialogue stands alone, as a question does; one longer than the context goes on in a new
    window. The model has to be in evaluation mode.
    """
    context, device = model.positions.weight.shape[0], model.positions.weight.device
    pieces = [
        each[start : start + context + 1]
        for each in dialogues
        for start in range(0, len(each) - 1, context)
    ]
    total, count = 0.0, 0
    for start in range(0, len(pieces), JUDGED_AT_ONCE):
        some = pieces[start : start + JUDGED_AT_ONCE]
        longest = max(map(len, some))
        padded = torch.tensor([[*each, *[-1] * (longest - len(each))] for each in some])
        padded = padded.to(device)
        scores = model(padded[:, :-1].clamp(min=0)).float()  # no token sees the ones behind it
        wanted = padded[:, 1:].flatten()
        total += functional.cross_entropy(
            scores.flatten(0, 1), wanted, ignore_index=-1, reduction="sum"
        ).item()
        count += int((wanted >= 0).sum())
    return total, count


def judged(model: TinyGPT, tests: Held) -> dict[str, float]:
    """Return the perplexity of a token, and what does not depend on the tokens: bits a byte of text."""
    total, count = surprise(model, tests.dialogues)
    try:
        perplexity = math.exp(total / count)
    except OverflowError:  # above e^709, which a float cannot say
        perplexity = math.inf
    return {
        "perplexity": perplexity,
        "bits_per_byte": total / math.log(2) / tests.bytes,
    }


def task(
    size: str,
    run: RunFolder,
    data: Path,
    test: Path,
    batch_size: int,
    seed: int,
    strict: bool,
    say: Callable[[str], None],
) -> tuple[Task, Any, Faults]:
    """Return what to train, the tokenizer, and the count of malformed lines of ``data`` so far.

    The weights follow from ``seed``. A run that goes on keeps its tokenizer, a new one makes its own.
    """
    shape = SIZES[size]
    data_identity = text.identity(data)
    faults = Faults(data, strict, say)
    if run.found and run.found.config.get("workload") == "gpt":
        kept = tokenizer.read(run.path, run.found.config)
    else:
        kept = tokenizer.train(data, shape.vocabulary, faults)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = TinyGPT(shape)

    def encode(line: str) -> list[int]:
        ids: list[int] = kept.tokenizer.encode(line).ids
        return ids

    tests = held(test, kept.tokenizer, Faults(test, strict, say), MOST_WINDOWS * shape.context)

    def evaluate() -> dict[str, float]:
        found = judged(model, tests)
        figures = {"loss": math.log(found["perplexity"]), **found}
        return {f"validation_{name}": value for name, value in figures.items()}

    config = {
        "workload": "gpt",
        "size": size,
        "batch_size": batch_size,
        "seed": seed,
        "data": data_identity,
        "tokenizer": kept.digest,
    }
    source = TokenStream(data, encode, batch_size, shape.context, faults, seed)
    tokens = batch_size * shape.context
    made = Task(config, model, source, loss, "tokens", tokens, evaluate, kept.files())
    return made, kept.tokenizer, faults


def load(folder: Path, say: Callable[[str], None]) -> tuple[TinyGPT, Any]:
    """Return the newest whole model in ``folder``, in evaluation mode on the CPU, and its tokenizer.

    Raises ``UserError`` where either is missing or broken.
    """
    found = checkpoint.newest(folder, say=say)
    if found is None or found.config.get("workload") != "gpt":
        raise UserError(f"{folder} holds no mini GPT", f"metalassay train gpt -o {folder}")
    model = TinyGPT(SIZES[found.config["size"]])
    model.load_state_dict(part(found.tensors, "model."))
    require_finite_weights(model, found.step, found.config["recipe"]["peak_rate"])
    return model.eval(), tokenizer.read(folder, found.config).tokenizer


def answer(model: TinyGPT, tokenizer: Any, question: str, most: int, sampling: Sampling) -> str:
    """Return what the model says to ``question``, without the marks of the format."""
    prompt = tokenizer.encode(f"{START}{question}{END} {START}").ids
    stop = tokenizer.token_to_id(END)
    said: str = tokenizer.decode(list(generate(model, prompt, most, sampling, stop)))
    return said


def judge(
    model: TinyGPT, tokenizer: Any, test: Path, samples: int, sampling: Sampling, faults: Faults
) -> dict[str, float]:
    """Return what ``judged`` does of ``test``, and how varied answers to its first questions are."""
    context = model.positions.weight.shape[0]
    tests = held(test, tokenizer, faults, MOST_WINDOWS * context)
    stop, answers = tokenizer.token_to_id(END), []
    some = itertools.islice(
        (line.text for line in text.lines(test, option="--test") if line.text), samples
    )
    with torch.inference_mode():
        found = judged(model, tests)
        require_finite(found, f"on {test}", "train anew with a lower --learning-rate")
        for number, question in enumerate(each.partition(END)[0] for each in some):
            prompt = tokenizer.encode(f"{question}{END} {START}").ids
            each = Sampling(
                sampling.temperature, sampling.top_k, sampling.top_p, sampling.seed + number
            )
            answers.append(list(generate(model, prompt, context, each, stop)))
    return {
        **found,
        "distinct_1": distinct(answers, 1),
        "distinct_2": distinct(answers, 2),
        "repetition_4": repetition(answers),
        "samples": float(len(answers)),
    }
