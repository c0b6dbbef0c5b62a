"""Fine-tune a mini GPT: on the answers of dialogues (SFT), and on preferences (DPO).

The losses are TRL's, on the same tokens: tests/training/gpt/test_trl_losses.py compares them. Nothing of
TRL is needed to run.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from metalassay.training.gpt import dialogues
from metalassay.training.gpt.dialogues import END, START, Faults
from metalassay.training.gpt.examples import Example, Examples, Row, Shuffled, batches
from metalassay.training.gpt.task import EVALUATION_BATCH, MOST_WINDOWS, Trained, prompt_text
from metalassay.training.loop import Task
from metalassay.workloads.registry import Batch

PAIRS, TEST_PAIRS = dialogues.DATA / "pairs_train.jsonl", dialogues.DATA / "pairs_test.jsonl"
# Of SFT, a tenth of the training's. With more than 1e-4, DPO makes the rejected answers so improbable
# that it takes the chosen ones with them: see docs/training.md.
PEAK_RATES = {"sft": 1e-3, "dpo": 3e-5}
STEPS = 200
BETA = 0.1  # as in Rafailov et al. 2023 and in TRL
_SYSTEM = f"{START}system\n"
_SHAPE = ("size", "shape")  # what a run says of its model
_FIELDS = ("prompt", "chosen", "rejected")


@dataclass(frozen=True)
class FineTuning:
    """The task, and what was found in the data: malformed lines and examples that were cut."""

    task: Task
    faults: Faults
    cut: int


def sft(
    trained: Trained,
    data: Path,
    test: Path,
    batch_size: int,
    parts: int,
    seed: int,
    strict: bool,
    notify: Callable[[str], None],
) -> FineTuning:
    """Return the task of learning the answers of ``data``; an update takes ``parts`` batches."""
    read = dialogue_reader(trained)
    faults = Faults(data, strict, notify)
    examples = Examples(data, read, faults)
    tests = Examples(test, read, Faults(test, strict, notify), "--test")
    most = MOST_WINDOWS * trained.model.positions.weight.shape[0]
    model = trained.model

    def validate() -> dict[str, float]:
        total, count = 0.0, 0
        for tokens, answers in batches(tests, most, EVALUATION_BATCH):
            here = answers.to(model.tokens.weight.device)
            each = token_losses(model, tokens.to(here.device))
            total += (each * here[:, 1:]).sum().item()
            count += int(here[:, 1:].sum())
        loss = total / count
        return {"validation_loss": loss, "validation_perplexity": _exp(loss)}

    source = Shuffled(examples, batch_size, parts, seed)
    config = _config("gpt-sft", trained, data, batch_size, seed)
    return _fine_tuning(config, trained, source, sft_loss, validate, faults, notify)


def dpo(
    trained: Trained,
    data: Path,
    test: Path,
    batch_size: int,
    parts: int,
    seed: int,
    strict: bool,
    notify: Callable[[str], None],
    beta: float,
    device: torch.device,
) -> FineTuning:
    """Return the task of preferring the chosen answers of ``data`` to the rejected ones.

    The reference is ``trained`` as it is now; it stays on ``device`` beside the model.
    """
    read = pair_reader(trained)
    faults = Faults(data, strict, notify)
    examples = Examples(data, read, faults)
    tests = Examples(test, read, Faults(test, strict, notify), "--test")
    model = trained.model
    most = MOST_WINDOWS * model.positions.weight.shape[0]
    reference = copy.deepcopy(model).requires_grad_(False).to(device)

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        # Not computed once for all: the last bits depend on the padding of the batch, and a run that
        # was resumed would have other ones.
        tokens, answers = batch.inputs
        return preference_losses(rewards(model, reference, tokens, answers, beta)).mean()

    def validate() -> dict[str, float]:
        found = [
            rewards(model, reference, tokens.to(device), answers.to(device), beta).cpu().view(2, -1)
            for tokens, answers in batches(tests, most, EVALUATION_BATCH)
        ]
        both = torch.cat(found, dim=1)
        margin = both[0] - both[1]
        return {
            "validation_loss": preference_losses(both.flatten()).mean().item(),
            "validation_accuracy": (margin > 0).float().mean().item(),
            "validation_margin": margin.mean().item(),
            "validation_chosen_reward": both[0].mean().item(),
        }

    source = Shuffled(examples, batch_size, parts, seed)
    config = {**_config("gpt-dpo", trained, data, batch_size, seed), "beta": beta}
    return _fine_tuning(config, trained, source, loss, validate, faults, notify)


def token_losses(model: nn.Module, tokens: Tensor) -> Tensor:
    """Return the cross-entropy of each token but the first, in nats: (R, T) -> (R, T - 1)."""
    scores = model(tokens[:, :-1]).float()
    losses = functional.cross_entropy(
        scores.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
    )
    return losses.view(tokens.shape[0], -1)


def sft_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return the mean cross-entropy of the answers' tokens, in nats; see ``Shuffled`` for the mean."""
    tokens, answers = batch.inputs
    return (token_losses(model, tokens) * answers[:, 1:]).sum() * batch.target


def rewards(
    model: nn.Module, reference: nn.Module, tokens: Tensor, answers: Tensor, beta: float
) -> Tensor:
    """Return ``beta`` times how much likelier each answer is to ``model`` than to ``reference``, (R,).

    Likelier in nats. The first half of the rows are chosen answers, the second half the rejected ones
    to the same questions, here and in ``preference_losses``.
    """
    with torch.no_grad():
        before = log_probabilities(reference, tokens, answers)
    return beta * (log_probabilities(model, tokens, answers) - before)


def log_probabilities(model: nn.Module, tokens: Tensor, answers: Tensor) -> Tensor:
    """Return the logarithm of the probability of each row's answer after its question, (R,)."""
    return -(token_losses(model, tokens) * answers[:, 1:]).sum(1)


def preference_losses(rewards: Tensor) -> Tensor:
    """Return the loss of DPO (Rafailov et al. 2023, arXiv:2305.18290) of each pair, (R / 2,)."""
    chosen, rejected = rewards.chunk(2)
    return -functional.logsigmoid(chosen - rejected)


def dialogue_reader(trained: Trained) -> Callable[[bytes], Example | str]:
    """Return a function that reads a dialogue and marks the tokens of its answers.

    Every second message is an answer; a system message at the beginning is not counted.
    """
    tokenizer, size = trained.tokenizer.tokenizer, trained.model.positions.weight.shape[0] + 1
    start, end = tokenizer.token_to_id(START), tokenizer.token_to_id(END)

    def read(raw: bytes) -> Example | str:
        text, fault = dialogues.parse(raw)
        if text is None:
            return str(fault)
        tokens: list[int] = tokenizer.encode(text).ids
        skipped = 1 if text.startswith(_SYSTEM) else 0
        answer = in_answers(tokens, start, end, skipped)
        if not any(answer):
            return "no answer: no second message"
        if not any(answer[:size]):
            return f"no answer within the context of {size - 1} tokens"
        return Example((Row(tokens[:size], answer[:size]),), len(tokens) > size)

    return read


def in_answers(tokens: list[int], start: int, end: int, skipped: int = 0) -> list[bool]:
    """Return of each token whether it belongs to an answer; its end marker does, its start does not.

    Answers are the second, fourth, ... of the complete messages after the first ``skipped``.
    """
    found = [False] * len(tokens)
    messages, begin = -skipped, None
    for at, token in enumerate(tokens):
        if token == start:
            messages, begin = messages + 1, at + 1
        elif token == end and begin is not None:
            if messages > 0 and messages % 2 == 0 and at > begin:
                found[begin : at + 1] = [True] * (at + 1 - begin)
            begin = None
    return found


def pair_reader(trained: Trained) -> Callable[[bytes], Example | str]:
    """Return a function that reads a question with a chosen and a rejected answer."""
    tokenizer, size = trained.tokenizer.tokenizer, trained.model.positions.weight.shape[0] + 1
    end = tokenizer.token_to_id(END)

    def read(raw: bytes) -> Example | str:
        document, fault = dialogues.parse_object(raw)
        if fault:
            return fault
        texts = [document.get(name) for name in _FIELDS]
        for name, text in zip(_FIELDS, texts, strict=True):
            if not isinstance(text, str) or not text.strip():
                return f'no "{name}"'
            if START in text or END in text:
                return f'a marker in its "{name}", which is text alone'
            if not dialogues.is_encodable(text):
                return dialogues.HALF_A_PAIR
        question, chosen, rejected = map(str, texts)
        if chosen == rejected:
            return "chosen and rejected are the same"
        before: list[int] = tokenizer.encode(prompt_text(question)).ids
        rows, longest = [], 0
        for text in (chosen, rejected):
            answer = [*tokenizer.encode(text).ids, end]
            longest = max(longest, len(before) + len(answer))
            marked = [False] * len(before) + [True] * len(answer)
            rows.append(Row((before + answer)[:size], marked[:size]))
        if rows[0].tokens == rows[1].tokens:
            return f"its answers do not differ within the context of {size - 1} tokens"
        return Example(tuple(rows), longest > size)

    return read


def _config(
    workload: str, trained: Trained, data: Path, batch_size: int, seed: int
) -> dict[str, Any]:
    return {
        "workload": workload,
        **{name: trained.config[name] for name in _SHAPE if name in trained.config},
        "batch_size": batch_size,
        "seed": seed,
        "data": dialogues.identity(data),
        "tokenizer": trained.tokenizer.digest,
        "start": {"step": trained.step, "weights": _digest(trained.model)},
    }


def _digest(model: nn.Module) -> str:
    """Return a hash of the weights as 16 hex digits."""
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def _fine_tuning(
    config: Mapping[str, Any],
    trained: Trained,
    source: Shuffled,
    loss: Callable[[nn.Module, Batch], Tensor],
    validate: Callable[[], Mapping[str, float]],
    faults: Faults,
    notify: Callable[[str], None],
) -> FineTuning:
    cut, count = source.examples.cut, len(source.examples)
    if cut:
        context = trained.model.positions.weight.shape[0]
        notify(
            f"{cut} of {count} examples are longer than the context of {context} tokens and were cut"
        )
    made = trained.tokenizer.files()
    task = Task(config, trained.model, source, loss, "examples", source.batch, validate, made)
    return FineTuning(task, faults, cut)


def _exp(loss: float) -> float:
    try:
        return math.exp(loss)
    except OverflowError:  # above e^709
        return math.inf
