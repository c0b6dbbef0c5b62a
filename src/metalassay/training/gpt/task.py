"""The mini GPT of guide 004: its training task and its evaluation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from metalassay.errors import UserError
from metalassay.fields import Field, FieldError, first_line
from metalassay.training import checkpoint
from metalassay.training.divergence import require_finite, require_finite_weights
from metalassay.training.gpt import corpus, dialogues, shape, tokenizer
from metalassay.training.gpt.cross_entropy import loss
from metalassay.training.gpt.dialogues import END, START, Faults
from metalassay.training.gpt.generation import Sampling, distinct, generate, repetition
from metalassay.training.gpt.packing import TokenStream
from metalassay.training.gpt.tokenizer import RunTokenizer, decode
from metalassay.training.loop import Task
from metalassay.training.run_folder import RunFolder
from metalassay.training.train_state import trained_weights
from metalassay.workloads.models.tiny_gpt import TinyGPT, TinyGPTConfig

STEPS = {"tiny": 2000, "small": 3000, "original": 400}
WEIGHT_DECAY = 0.1
WORKLOADS = ("gpt", "gpt-sft", "gpt-dpo")  # whose checkpoints have such a model
MOST_WINDOWS = 512  # of a test file, so that an evaluation takes seconds
BEGINNING = 32  # characters of a text
EVALUATION_BATCH = 16  # pieces of dialogues


@dataclass(frozen=True)
class HeldOut:
    """Dialogues for evaluation as tokens; ``bytes`` is the size of their UTF-8 text without markers."""

    dialogues: list[list[int]]
    bytes: int


def read_held_out(
    path: Path, tokenizer: Any, faults: Faults, most: int, part: str = corpus.ALL
) -> HeldOut:
    """Return the dialogues, or pieces of text, of ``path`` until they have more than ``most`` tokens.

    Raises ``UserError`` if there are none.
    """
    encoded: list[list[int]] = []
    count = size = 0
    for line in corpus.documents(path, option="--test", part=part):
        if line.text is None:
            faults.add(line)
            continue
        encoded.append(tokenizer.encode(line.text).ids)
        count += len(encoded[-1])
        size += len(line.text.replace(START, "").replace(END, "").encode())
        if count > most:
            break
    if not any(len(dialogue) > 1 for dialogue in encoded):
        raise UserError(f"{path} contains no dialogue", "choose another --test FILE")
    return HeldOut(encoded, size)


def total_loss(model: TinyGPT, dialogues: list[list[int]]) -> tuple[float, int]:
    """Return the loss in nats summed over all tokens but the first of each dialogue, and their number.

    Each dialogue begins a window of its own, as a question does; one longer than the context
    continues in another window. The model must be in evaluation mode.
    """
    context, device = model.positions.weight.shape[0], model.positions.weight.device
    pieces = [
        dialogue[start : start + context + 1]
        for dialogue in dialogues
        for start in range(0, len(dialogue) - 1, context)
    ]
    total, count = 0.0, 0
    for start in range(0, len(pieces), EVALUATION_BATCH):
        batch = pieces[start : start + EVALUATION_BATCH]
        longest = max(map(len, batch))
        padded = torch.tensor([[*piece, *[-1] * (longest - len(piece))] for piece in batch])
        padded = padded.to(device)
        scores = model(
            padded[:, :-1].clamp(min=0)
        ).float()  # causal: padding at the end has no effect
        target = padded[:, 1:].flatten()
        total += functional.cross_entropy(
            scores.flatten(0, 1), target, ignore_index=-1, reduction="sum"
        ).item()
        count += int((target >= 0).sum())
    return total, count


def perplexity(model: TinyGPT, tests: HeldOut) -> dict[str, float]:
    """Return the perplexity per token and, independent of the tokenizer, the bits per byte of text."""
    total, count = total_loss(model, tests.dialogues)
    try:
        per_token = math.exp(total / count)
    except OverflowError:  # above e^709
        per_token = math.inf
    return {
        "perplexity": per_token,
        "bits_per_byte": total / math.log(2) / tests.bytes,
    }


def task(
    size: str,
    config: TinyGPTConfig,
    run: RunFolder,
    data: Path,
    test: Path | None,
    batch_size: int,
    seed: int,
    strict: bool,
    notify: Callable[[str], None],
) -> tuple[Task, Any, Faults]:
    """Return the task, its tokenizer, and the malformed lines of ``data``, counted while it is read.

    ``config`` is the shape of ``size``, or one with own values. Without ``test`` it is evaluated on the
    package's dialogues, and a task on plain text on every twentieth piece of it, which is held out.

    The weights are initialised from ``seed``. A resumed run reads its tokenizer, a new one trains it.
    """
    data_identity = corpus.identity(data)
    faults = Faults(data, strict, notify)
    if run.resumed and run.resumed.config.get("workload") == "gpt":
        run_tokenizer = tokenizer.read(run.path, run.resumed.config)
    else:
        run_tokenizer = tokenizer.train(data, config.vocabulary, faults)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = TinyGPT(config)

    def encode(line: str) -> list[int]:
        ids: list[int] = run_tokenizer.tokenizer.encode(line).ids
        return ids

    most = MOST_WINDOWS * config.context
    part = corpus.ALL
    if test is None and any(corpus.is_text(path) for path in corpus.paths(data)):
        if any(line.text for line in corpus.documents(data, part=corpus.EVALUATION)):
            part = corpus.TRAINING
        else:
            notify("too little text to hold some out: evaluating on dialogues of the package")
    held_out = corpus.ALL if part == corpus.ALL else corpus.EVALUATION
    test = test or (dialogues.TEST if part == corpus.ALL else data)
    tests = read_held_out(
        test, run_tokenizer.tokenizer, Faults(test, strict, notify), most, held_out
    )

    def validate() -> dict[str, float]:
        figures = perplexity(model, tests)
        figures = {"loss": math.log(figures["perplexity"]), **figures}
        return {f"validation_{name}": value for name, value in figures.items()}

    stored = {
        "workload": "gpt",
        **shape.stored(size, config),
        "batch_size": batch_size,
        "seed": seed,
        "data": data_identity,
        "tokenizer": run_tokenizer.digest,
        **({} if part == corpus.ALL else {"held_out": corpus.EVERY}),
    }
    source = TokenStream(
        data, encode, batch_size, config.context, faults, seed, config.vocabulary, part
    )
    tokens = batch_size * config.context
    files = run_tokenizer.files()
    trained = Task(stored, model, source, loss, "tokens", tokens, validate, files)
    return trained, run_tokenizer.tokenizer, faults


@dataclass(frozen=True)
class Trained:
    """A trained model in evaluation mode on the CPU, its tokenizer, and the checkpoint it is from."""

    model: TinyGPT
    tokenizer: RunTokenizer
    step: int
    config: Mapping[str, Any]


def read(folder: Path, notify: Callable[[str], None]) -> Trained:
    """Return the newest intact model in ``folder``, trained from the start or fine-tuned.

    Raises ``UserError`` if the model or its tokenizer is missing or damaged.
    """
    saved = checkpoint.newest(folder, notify)
    next_step = f"metalassay train gpt -o {folder}"
    if saved is None or saved.config.get("workload") not in WORKLOADS:
        raise UserError(f"{folder} contains no mini GPT", next_step)
    try:
        config = Field(saved.config)
        _, own = shape.of_run(saved.config)
        weights = trained_weights(saved)
        if shape.parameters(own) != sum(tensor.numel() for tensor in weights.values()):
            raise FieldError("the weights are not those of its size")  # before any are allocated
        model = TinyGPT(own)
        rate = config.get("recipe").get("peak_rate").number(0, math.inf)
        model.load_state_dict(weights)
    except (FieldError, RuntimeError) as error:  # torch's, for missing weights and other shapes
        raise UserError(
            f"{folder} contains no mini GPT of ours: {first_line(error)[:200]}", next_step
        ) from error
    require_finite_weights(model, saved.step, rate)
    found = tokenizer.read(folder, saved.config)
    return Trained(model.eval(), found, saved.step, saved.config)


def load(folder: Path, notify: Callable[[str], None]) -> tuple[TinyGPT, Any]:
    """Return the model and the tokenizer that ``read`` finds."""
    trained = read(folder, notify)
    return trained.model, trained.tokenizer.tokenizer


def prompt_text(question: str) -> str:
    """Return ``question`` as a message, and the beginning of the one that answers it."""
    return f"{START}{question}{END} {START}"


def answer(model: TinyGPT, tokenizer: Any, question: str, most: int, sampling: Sampling) -> str:
    """Return the model's answer to ``question``, without the markers of the format."""
    prompt = tokenizer.encode(prompt_text(question)).ids
    stop = tokenizer.token_to_id(END)
    return decode(tokenizer, generate(model, prompt, most, sampling, stop))


def continuation(model: TinyGPT, tokenizer: Any, prompt: str, most: int, sampling: Sampling) -> str:
    """Return what the model writes after ``prompt``, as it is. Raises ``UserError`` for an empty one."""
    tokens = tokenizer.encode(prompt).ids
    if not tokens:
        raise UserError("the prompt is empty", 'metalassay generate RUN "How are tides made?"')
    return decode(tokenizer, generate(model, tokens, most, sampling))


def evaluate(
    model: TinyGPT, tokenizer: Any, test: Path, samples: int, sampling: Sampling, faults: Faults
) -> dict[str, float]:
    """Return the ``perplexity`` on ``test``, and how varied answers to its first questions are."""
    context = model.positions.weight.shape[0]
    tests = read_held_out(test, tokenizer, faults, MOST_WINDOWS * context)
    stop, answers = tokenizer.token_to_id(END), []
    texts = itertools.islice(
        (line.text for line in corpus.documents(test, option="--test") if line.text), samples
    )
    with torch.inference_mode():
        figures = perplexity(model, tests)
        require_finite(figures, f"on {test}", "train again with a lower --learning-rate")
        for number, text in enumerate(texts):
            question, mark, _ = text.partition(END)
            # Of a piece of text the beginning is the prompt.
            beginning = f"{question}{END} {START}" if mark else text.strip()[:BEGINNING]
            prompt = tokenizer.encode(beginning).ids
            seeded = Sampling(
                sampling.temperature, sampling.top_k, sampling.top_p, sampling.seed + number
            )
            answers.append(list(generate(model, prompt, context, seeded, stop)))
    return {
        **figures,
        "distinct_1": distinct(answers, 1),
        "distinct_2": distinct(answers, 2),
        "repetition_4": repetition(answers),
        "samples": float(len(answers)),
    }
