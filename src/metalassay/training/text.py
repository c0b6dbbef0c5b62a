"""Dialogues from a JSON-lines file of any size: tokenised, packed, and read from where one stopped.

A line is ``{"text": "<|im_start|>question<|im_end|> <|im_start|>answer<|im_end|>"}``, as in guide 004.
Lines that are not are counted and named by number.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from metalassay.errors import UserError
from metalassay.workloads import Batch

START, END = "<|im_start|>", "<|im_end|>"
LONGEST_LINE = 16 * 2**20  # bytes; a longer line is malformed, or memory would not stay flat
TOKENIZER_READS = 64 * 2**20  # bytes of the file that the tokenizer is trained on
KEEP_TOKENS_OF = 8 * 2**20  # bytes; a smaller file is tokenised once and not in every pass
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


def lines(path: Path, offset: int = 0, number: int = 0) -> Iterator[Line]:
    """Read ``path`` from byte ``offset``, before which there are ``number`` lines; one at a time.

    Raises ``UserError`` for a file that cannot be read.
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
            f"cannot read {path}: {error.strerror}", "name a JSON-lines file with --data FILE"
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
    return text, None


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


def train_tokenizer(path: Path, vocabulary: int) -> Any:
    """Return a byte-level BPE tokenizer of at most ``vocabulary`` tokens, trained on ``path``.

    Reads the first ``TOKENIZER_READS`` bytes. Any text can be encoded: all 256 bytes are tokens.
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
        show_progress=False,
    )
    texts = (
        line.text
        for line in lines(path)
        if line.text is not None and line.next_offset <= TOKENIZER_READS
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


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


class TokenStream:
    """Batches of B windows of T tokens, one dialogue after the other, again and again from the start.

    Memory does not depend on the size of the file: a line and less than a batch of tokens are held.
    """

    def __init__(
        self,
        path: Path,
        encode: Callable[[str], list[int]],
        batch: int,
        context: int,
        faults: Faults,
    ) -> None:
        self.path, self.encode, self.faults = path, encode, faults
        self.batch, self.context = batch, context
        self._offset = self._number = self._passes = self._found = 0
        self._tokens: list[int] = []
        self._lines: Iterator[Line] | None = None
        small = path.exists() and path.stat().st_size <= KEEP_TOKENS_OF
        self._known: dict[int, list[int]] | None = {} if small else None

    def next(self) -> Batch:
        """Return the next batch: tokens (B, T), and the ones that follow each, (B, T)."""
        size = self.batch * self.context
        while len(self._tokens) < size + 1:
            self._read_line()
        taken = torch.tensor(self._tokens[: size + 1])
        del self._tokens[:size]
        shape = (self.batch, self.context)
        return Batch((taken[:-1].view(shape),), taken[1:].view(shape))

    def _read_line(self) -> None:
        if self._lines is None:
            self._lines = lines(self.path, self._offset, self._number)
        line = next(self._lines, None)
        if line is None:
            if not self._found:
                raise UserError(
                    f"{self.path} holds no dialogue",
                    f'lines look like {{"text": "{START}question{END} {START}answer{END}"}}',
                )
            self._lines, self._offset, self._number, self._found = None, 0, 0, 0
            self._passes += 1
            return
        if line.text is None:
            if self._passes == 0:
                self.faults.add(line)
        else:
            self._found += 1
            self._tokens += self._encoded(line)
        self._offset, self._number = line.next_offset, line.number

    def _encoded(self, line: Line) -> list[int]:
        if self._known is None:
            return self.encode(line.text or "")
        if line.number not in self._known:
            self._known[line.number] = self.encode(line.text or "")
        return self._known[line.number]

    def position(self) -> dict[str, Any]:
        """Return the place in the file and the tokens read but not yet given out."""
        return {
            "offset": self._offset,
            "line": self._number,
            "passes": self._passes,
            "found": self._found,
            "tokens": self._tokens,
            "malformed": self.faults.count,
        }

    def seek(self, position: dict[str, Any]) -> None:
        """Go to what ``position`` returned."""
        self._offset, self._number = position["offset"], position["line"]
        self._passes, self._found = position["passes"], position["found"]
        self._tokens = list(position["tokens"])
        self.faults.count = position["malformed"]
        self._lines = None
