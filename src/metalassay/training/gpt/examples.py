"""Read a file of examples for fine-tuning in any order, and make batches of them that can be resumed."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metalassay import files
from metalassay.errors import UserError
from metalassay.fields import Field
from metalassay.training.gpt.dialogues import LONGEST_LINE, TOO_LONG, Faults, raw_lines
from metalassay.workloads.registry import Batch

CACHED = 4096  # examples that are kept as tokens, so that a small file is encoded once


class Row(NamedTuple):
    """A sequence of tokens; ``answer`` tells of each whether the model is to learn to write it."""

    tokens: list[int]
    answer: list[bool]


@dataclass(frozen=True)
class Example:
    """What one line gives: one row, or two to be compared; ``cut`` if the line was longer."""

    rows: tuple[Row, ...]
    cut: bool


Read = Callable[[bytes], Example | str]
"""Reads a line of JSON; what it returns as text is wrong with the line."""


class Examples(Sequence[Example]):
    """The examples of a file, by number: only their offsets, and some of them, are in memory.

    Constructing it reads the file once. Malformed lines are reported to ``faults`` and have no number;
    ``cut`` counts the examples that did not fit. Raises ``UserError`` for a file that cannot be read or
    has no example; it names ``option``, which set the path.
    """

    def __init__(self, path: Path, read: Read, faults: Faults, option: str = "--data") -> None:
        self.path, self.cut = path, 0
        self._read = read
        self._numbers, self._offsets = array("q"), array("q")
        for line in raw_lines(path, option=option):
            found = TOO_LONG if line.raw is None else read(line.raw)
            if isinstance(found, str):
                faults.report(line.number, found)
                continue
            self._numbers.append(line.number)
            self._offsets.append(line.offset)
            self.cut += found.cut
        if not self._offsets:
            raise UserError(f"{path} contains no example", f"choose another {option} FILE")
        self._cached = lru_cache(CACHED)(self._at)

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self._offsets)

    def __getitem__(self, index: Any) -> Any:
        """Return the example with a number. Raises ``UserError`` if the file has changed."""
        return self._cached(index)

    def _at(self, index: int) -> Example:
        try:
            with files.open_regular(self.path) as stream:
                stream.seek(self._offsets[index])
                found = self._read(stream.readline(LONGEST_LINE))
        except OSError as error:
            found = str(error.strerror)
        if isinstance(found, Example):
            return found
        raise UserError(
            f"{self.path} has changed since the start, line {self._numbers[index]}: {found}",
            "restore the file and continue with --resume",
        )


class Shuffled:
    """Batches of ``examples`` in passes without end, each in an order of its own.

    An update of the weights takes ``parts`` batches of B examples. The batch has the tokens, (R, T),
    padded at the end, and whether each is part of an answer, (R, T); R is B times the rows of an
    example, first all first rows. Its target is what to multiply a sum over the answers' tokens by, so
    that the mean over the parts is the mean over all of the update, however long the answers of each are.
    """

    def __init__(self, examples: Examples, batch: int, parts: int, seed: int) -> None:
        self.examples, self.batch, self.parts, self.seed = examples, batch, parts, seed
        self._batches = 0  # that were taken
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def next(self) -> Batch:
        """Return the next batch."""
        update, part = divmod(self._batches, self.parts)
        first = update * self.parts * self.batch
        chosen = [self._example(first + at) for at in range(self.parts * self.batch)]
        count = sum(sum(row.answer) for example in chosen for row in example.rows)
        self._batches += 1
        here = chosen[part * self.batch : (part + 1) * self.batch]
        return Batch(padded(here), torch.tensor(self.parts / count))

    def _example(self, number: int) -> Example:
        done, at = divmod(number, len(self.examples))
        if self._order[0] != done:
            mixed = (self.seed * 1_000_003 + done) % 2**64  # as torch does with a negative seed
            generator = torch.Generator().manual_seed(mixed)
            self._order = done, torch.randperm(len(self.examples), generator=generator)
        found: Example = self.examples[int(self._order[1][at])]
        return found

    def position(self) -> Any:
        """Return the number of batches that were taken."""
        return {"batches": self._batches}

    def seek(self, position: Any) -> None:
        """Go to what ``position`` of an equal source returned. Raises ``ValueError`` for what it cannot be."""
        batches = Field(position, "position").get("batches")
        if type(batches.value) is not int or not 0 <= batches.value < 2**63:
            raise batches.wrong("a whole number of at least 0")
        self._batches = batches.value


def padded(examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Return the tokens of all rows, (R, T), and whether each is part of an answer, (R, T)."""
    rows = [row for same in zip(*(each.rows for each in examples), strict=True) for row in same]
    longest = max(len(row.tokens) for row in rows)
    # Causal: no token sees the padding behind it, and its loss is left out as that of a question is.
    tokens = [[*row.tokens, *[0] * (longest - len(row.tokens))] for row in rows]
    answers = [[*row.answer, *[False] * (longest - len(row.answer))] for row in rows]
    return torch.tensor(tokens), torch.tensor(answers)


def batches(examples: Examples, most: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the first examples of up to ``most`` tokens, in order, in batches of ``size``."""
    taken: list[Example] = []
    count = 0
    for number in range(len(examples)):
        example: Example = examples[number]
        count += sum(len(row.tokens) for row in example.rows)
        if taken and count > most:
            break
        taken.append(example)
        if len(taken) == size:
            yield padded(taken)
            taken = []
    if taken:
        yield padded(taken)
