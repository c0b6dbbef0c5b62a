"""The task that the models learn, made from a seed: say three words again, and then stop.

It is small, has a rule that tells how right an answer is, and leaves something to learn to each kind of
training: SFT sees right answers, a reward model and DPO pairs of a right and a wrong one, and PPO and GRPO
only the reward.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

END, PAD, UNKNOWN = "<end>", "<pad>", "<unknown>"
ORDER, COLON = "repeat", ":"
WORDS = (
    "apple",
    "bird",
    "cloud",
    "door",
    "earth",
    "fish",
    "grass",
    "hill",
    "island",
    "jar",
    "key",
    "lamp",
    "moon",
    "night",
    "ocean",
    "paper",
    "queen",
    "rain",
    "stone",
    "tree",
    "umbrella",
    "voice",
    "wind",
    "yarn",
)
ANSWER = 3  # words
PROMPT = ANSWER + 2  # tokens: the order, the words, the colon
HELD_OUT = 64  # prompts to evaluate on


@dataclass(frozen=True)
class Example:
    """A prompt, its right answer, and a wrong one, as text."""

    prompt: str
    chosen: str
    rejected: str


def examples(seed: int, count: int) -> tuple[list[Example], list[Example]]:
    """Return ``count`` examples to train on, each with a prompt of its own, and others to evaluate on."""
    most = len(WORDS) ** ANSWER - HELD_OUT
    if not 1 <= count <= most:
        raise ValueError(f"{count} prompts: there are 1 to {most}")
    draw = random.Random(seed)  # noqa: S311  (no secret)
    numbers = draw.sample(range(most + HELD_OUT), HELD_OUT + count)
    made = [_example(number, draw) for number in numbers]
    return made[HELD_OUT:], made[:HELD_OUT]


def _example(number: int, draw: random.Random) -> Example:
    right = []
    for _ in range(ANSWER):
        number, which = divmod(number, len(WORDS))
        right.append(WORDS[which])
    wrong = list(right)
    place = draw.randrange(ANSWER)
    wrong[place] = draw.choice([word for word in WORDS if word != right[place]])
    return Example(f"{ORDER} {' '.join(right)} {COLON}", " ".join(right), " ".join(wrong))


def reward(prompt: str, answer: str) -> float:
    """Return the share of the answer's words that are right: 1 for the right answer and nothing more."""
    right = prompt.split(COLON)[0].split()[1:]
    said = answer.split()
    same = sum(a == b for a, b in zip(said, right, strict=False))
    return same / max(len(right), len(said))


def tokenizer() -> Any:
    """Return a tokenizer with a token for each word; it pads at the left, where a prompt begins."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    tokens = (PAD, END, UNKNOWN, ORDER, COLON, *WORDS)
    model = Tokenizer(WordLevel({token: at for at, token in enumerate(tokens)}, UNKNOWN))
    model.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=model,
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],  # Llama has no token types
        eos_token=END,
        pad_token=PAD,
        unk_token=UNKNOWN,
    )


def sft_rows(made: list[Example]) -> dict[str, list[Any]]:
    """Return the columns for SFT: texts that end with the token that ends an answer."""
    return {"text": [f"{each.prompt} {each.chosen} {END}" for each in made]}


def pair_rows(made: list[Example]) -> dict[str, list[Any]]:
    """Return the columns for DPO. The space belongs to the answer, as TRL puts both together."""
    return {
        "prompt": [each.prompt for each in made],
        "chosen": [f" {each.chosen}" for each in made],
        "rejected": [f" {each.rejected}" for each in made],
    }


def reward_rows(made: list[Example], words: Any) -> dict[str, list[Any]]:
    """Return the columns for a reward model: TRL up to 0.11 wants tokens, and later releases text."""
    columns: dict[str, list[Any]] = {}
    for kind in ("chosen", "rejected"):
        texts = [f"{each.prompt} {getattr(each, kind)} {END}" for each in made]
        encoded = words(texts)
        columns[kind] = texts
        columns[f"input_ids_{kind}"] = encoded["input_ids"]
        columns[f"attention_mask_{kind}"] = encoded["attention_mask"]
    return columns


def prompt_rows(made: list[Example]) -> dict[str, list[Any]]:
    """Return the column for GRPO."""
    return {"prompt": [each.prompt for each in made]}


def query_rows(made: list[Example], words: Any) -> dict[str, list[Any]]:
    """Return the column for PPO, which takes tokens."""
    return {"input_ids": [words(each.prompt)["input_ids"] for each in made]}
