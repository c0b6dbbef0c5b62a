"""The mini GPT of guide 004: its three sizes, what is trained, and how it is judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from metalassay.errors import UserError
from metalassay.files import write_atomically
from metalassay.models import tiny_gpt
from metalassay.models.tiny_gpt import TinyGPT, TinyGPTConfig
from metalassay.training import checkpoint, text
from metalassay.training.generation import Sampling, distinct, generate, repetition
from metalassay.training.loop import Task
from metalassay.training.running import part
from metalassay.training.text import END, START, Faults, TokenStream
from metalassay.workloads import Batch

SIZES: Mapping[str, TinyGPTConfig] = {
    "tiny": tiny_gpt.TINY,
    "small": tiny_gpt.SMALL,
    "original": tiny_gpt.ORIGINAL,
}
PEAK_RATES = {"tiny": 1e-2, "small": 3e-3, "original": 5e-4}
STEPS = {"tiny": 1000, "small": 400, "original": 150}
TOKENIZER = "tokenizer.json"
MOST_WINDOWS = 512  # of a test file, so that judging takes seconds


def tokenizer_of(folder: Path, data: Path, vocabulary: int) -> Any:
    """Return the run's tokenizer; train it on ``data`` and keep it as JSON if there is none."""
    from tokenizers import Tokenizer

    path = folder / TOKENIZER
    if not path.exists():
        write_atomically(path, text.train_tokenizer(data, vocabulary).to_str(pretty=True))
    return Tokenizer.from_file(str(path))


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return the mean cross-entropy of the next token, in nats."""
    scores = model(*batch.inputs)
    return functional.cross_entropy(scores.float().flatten(0, 1), batch.target.flatten())


def perplexity(model: TinyGPT, tokens: list[int]) -> float:
    """Return exp of the mean loss over ``tokens``, in windows that do not overlap.

    The model has to be in evaluation mode. Raises ``UserError`` for fewer than two tokens.
    """
    if len(tokens) < 2:
        raise UserError("the test file holds no dialogue", "name another with --test FILE")
    context, device = model.positions.weight.shape[0], model.positions.weight.device
    total = count = 0.0
    for start in range(0, min(len(tokens) - 1, MOST_WINDOWS * context), context):
        window = torch.tensor([tokens[start : start + context + 1]], device=device)
        scores = model(window[:, :-1]).float().flatten(0, 1)
        total += functional.cross_entropy(scores, window[0, 1:], reduction="sum").item()
        count += window.shape[1] - 1
    return math.exp(total / count)


def encoded(path: Path, tokenizer: Any, faults: Faults, most: int) -> list[int]:
    """Return the tokens of ``path``, up to ``most`` of them and the end of that line."""
    tokens: list[int] = []
    for line in text.lines(path):
        if line.text is None:
            faults.add(line)
        else:
            tokens += tokenizer.encode(line.text).ids
        if len(tokens) > most:
            break
    return tokens


def task(
    size: str,
    folder: Path,
    data: Path,
    test: Path,
    batch_size: int,
    seed: int,
    strict: bool,
    say: Callable[[str], None],
) -> tuple[Task, Any]:
    """Return what to train, and the tokenizer; the weights follow from ``seed``."""
    shape = SIZES[size]
    data_identity = text.identity(data)
    tokenizer = tokenizer_of(folder, data, shape.vocabulary)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = TinyGPT(shape)

    def encode(line: str) -> list[int]:
        ids: list[int] = tokenizer.encode(line).ids
        return ids

    tokens = encoded(test, tokenizer, Faults(test, strict, say), MOST_WINDOWS * shape.context)

    def evaluate() -> dict[str, float]:
        found = perplexity(model, tokens)
        return {"validation_loss": math.log(found), "validation_perplexity": found}

    config = {
        "workload": "gpt",
        "size": size,
        "batch_size": batch_size,
        "seed": seed,
        "data": data_identity,
        "tokenizer": checkpoint.config_hash({"json": tokenizer.to_str()}),
    }
    source = TokenStream(data, encode, batch_size, shape.context, Faults(data, strict, say))
    made = Task(config, model, source, loss, "tokens", batch_size * shape.context, evaluate)
    return made, tokenizer


def load(folder: Path, say: Callable[[str], None]) -> tuple[TinyGPT, Any]:
    """Return the newest whole model in ``folder``, in evaluation mode on the CPU, and its tokenizer.

    Raises ``UserError`` where there is none.
    """
    found = checkpoint.newest(folder, say=say)
    if found is None or found.config.get("workload") != "gpt":
        raise UserError(f"{folder} holds no mini GPT", f"metalassay train gpt -o {folder}")
    model = TinyGPT(SIZES[found.config["size"]])
    model.load_state_dict(part(found.tensors, "model."))
    from tokenizers import Tokenizer

    return model.eval(), Tokenizer.from_file(str(folder / TOKENIZER))


def answer(model: TinyGPT, tokenizer: Any, question: str, most: int, sampling: Sampling) -> str:
    """Return what the model says to ``question``, without the marks of the format."""
    prompt = tokenizer.encode(f"{START}{question}{END} {START}").ids
    stop = tokenizer.token_to_id(END)
    said: str = tokenizer.decode(list(generate(model, prompt, most, sampling, stop)))
    return said


def judge(
    model: TinyGPT, tokenizer: Any, test: Path, samples: int, sampling: Sampling, faults: Faults
) -> dict[str, float]:
    """Return perplexity on ``test``, and how varied the answers to its first questions are."""
    context = model.positions.weight.shape[0]
    tokens = encoded(test, tokenizer, faults, MOST_WINDOWS * context)
    stop, answers = tokenizer.token_to_id(END), []
    questions = [line.text.partition(END)[0] for line in text.lines(test) if line.text]
    with torch.inference_mode():
        found = perplexity(model, tokens)
        for number, question in enumerate(questions[:samples]):
            prompt = tokenizer.encode(f"{question}{END} {START}").ids
            each = Sampling(
                sampling.temperature, sampling.top_k, sampling.top_p, sampling.seed + number
            )
            answers.append(list(generate(model, prompt, context, each, stop)))
    return {
        "perplexity": found,
        "distinct_1": distinct(answers, 1),
        "distinct_2": distinct(answers, 2),
        "repetition_4": repetition(answers),
        "samples": float(len(answers)),
    }
