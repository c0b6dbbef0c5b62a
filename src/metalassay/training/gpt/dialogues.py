"""Dialogues from a JSON-lines file of any size, line by line, and a tokenizer trained on them.

A line is ``{"text": "<|im_start|>question<|im_end|> <|im_start|>answer<|im_end|>"}``, as in guide 004.
Lines that are not, or hold no whole message between its two marks, are counted and named by number.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalassay.errors import UserError

START, END = "<|im_start|>", "<|im_end|>"
LONGEST_LINE = 16 * 2**20  # bytes; a longer line is malformed, or memory would not stay flat
TOKENIZER_READS = 64 * 2**20  # bytes of the file that the tokenizer is trained on
NAMED = 5  # malformed lines named one by one; the others are counted
DATA = Path(__file__).parent / "data"
TRAINING, TEST = DATA / "dialogues_train.jsonl", DATA / "dialogues_test.jsonl"


@dataclass(frozen=True)
class Line:
    """A line of the file: its number from 1, where the next one starts, and the text or the fault."""

    number: int
    next_offset: int
    text: str | None
    fault: str | None


def lines(path: Path, offset: int = 0, number: int = 0, option: str = "--data") -> Iterator[Line]:
    """Read ``path`` from byte ``offset``, before which there are ``number`` lines; one at a time.

    Raises ``UserError`` for a file that cannot be read; it names ``option``, which the path came by.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            while raw := stream.readline(LONGEST_LINE):
                number += 1
                if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
                    while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                        pass
                    yield Line(number, stream.tell(), None, "longer than 16 MB")
                elif raw.strip():
                    yield Line(number, stream.tell(), *_parse(raw))
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}", f"name a JSON-lines file with {option} FILE"
        ) from error


def _parse(raw: bytes) -> tuple[str | None, str | None]:
    try:
        document = json.loads(raw)
    except UnicodeDecodeError:
        return None, "not UTF-8"
    except (ValueError, RecursionError):
        return None, "not JSON"
    text = document.get("text") if isinstance(document, dict) else None
    if not isinstance(text, str) or not text.strip():
        return None, 'no "text"'
    if not has_message(text):
        return None, f"no {START}...{END}"
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can write half of a pair, which no tokenizer takes
        return None, "half a surrogate pair in its text"
    return text, None


def has_message(text: str) -> bool:
    """Say whether there is a whole message in ``text``: words between a start mark and an end mark."""
    for piece in text.split(START)[1:]:
        message, mark, _ = piece.partition(END)
        if mark and message.strip():
            return True
    return False


class Faults:
    """Counts malformed lines and names the first few to ``say``; with ``strict`` one is an error."""

    def __init__(self, path: Path, strict: bool, say: Callable[[str], None]) -> None:
        self.path, self.strict, self.say = path, strict, say
        self.count = 0

    def add(self, line: Line) -> None:
        """Take note of ``line``, which has a fault."""
        said = f"{self.path}, line {line.number}: {line.fault}"
        if self.strict:
            raise UserError(said, "mend the line, or leave out --strict to pass over it")
        self.count += 1
        if self.count <= NAMED:
            self.say(f"passed over {said}")
        elif self.count == NAMED + 1:
            self.say("passed over more lines; they are counted")


def train_tokenizer(path: Path, vocabulary: int, faults: Faults) -> Any:
    """Return a byte-level BPE tokenizer of at most ``vocabulary`` tokens, trained on ``path``.

    Reads the first ``TOKENIZER_READS`` bytes. Any text can be encoded: all 256 bytes are tokens.
    Malformed lines are left to who trains on them, unless ``faults`` is strict: then one is an error.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,  # a token that is there once is learnt by heart, and for nothing
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(path, faults), trainer)
    return tokenizer


def _texts(path: Path, faults: Faults) -> Iterator[str]:
    for line in lines(path):
        if line.next_offset > TOKENIZER_READS:
            return
        if line.text is not None:
            yield line.text
        elif faults.strict:
            faults.add(line)


def identity(path: Path) -> dict[str, Any]:
    """Return what tells a file from another without reading all of it: size, hash of the first MB."""
    try:
        with path.open("rb") as stream:
            first = stream.read(2**20)
        return {
            "bytes": path.stat().st_size,
            "sha256_of_first_mb": hashlib.sha256(first).hexdigest(),
        }
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}", "name a JSON-lines file with --data FILE"
        ) from error
