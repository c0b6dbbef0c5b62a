"""Pack dialogues into windows of tokens for training, from a position that a checkpoint can store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from metalassay.errors import UserError
from metalassay.fields import Field
from metalassay.training.gpt.dialogues import END, START, Faults, Line, lines
from metalassay.workloads.registry import Batch

SHUFFLED = 2 * 2**20  # bytes; a file up to this size is kept in memory and shuffled in every pass


class TokenStream:
    """Batches of B windows of T tokens, in passes over the file without end.

    A window begins with a dialogue, as a prompt does, and is filled with those that follow. A
    dialogue that does not fit begins the next window again; one longer than a window continues there.

    A small file is shuffled in every pass, or the model would learn which dialogue follows which. A
    larger one is read in order, one line at a time, so memory does not depend on its size.
    """

    def __init__(
        self,
        path: Path,
        encode: Callable[[str], list[int]],
        batch: int,
        context: int,
        faults: Faults,
        seed: int = 0,
        vocabulary: int = 2**31,
    ) -> None:
        self.path, self.encode, self.faults, self.seed = path, encode, faults, seed
        self.batch, self.context, self.vocabulary = batch, context, vocabulary
        self._offset = self._number = self._passes = self._valid = 0
        self._tokens: list[int] = []  # the beginning of the next window
        self._lines: Iterator[Line] | None = None
        self._dialogues: list[list[int]] = []  # of a small file
        self._order: list[int] = []
        self._small = path.exists() and path.stat().st_size <= SHUFFLED

    def next(self) -> Batch:
        """Return the next batch: tokens (B, T), and the token that follows each, (B, T)."""
        windows = torch.tensor([self._window() for _ in range(self.batch)])
        return Batch((windows[:, :-1].contiguous(),), windows[:, 1:].contiguous())

    def _window(self) -> list[int]:
        size = self.context + 1
        taken, start, self._tokens = self._tokens, 0, []
        while len(taken) < size:
            start = len(taken)
            taken = taken + self._next_dialogue()
        if len(taken) > size:
            # All of the last dialogue; if it fills the window alone, what was not a target yet.
            self._tokens = taken[start:] if start else taken[size - 1 :]
        return taken[:size]

    def _next_dialogue(self) -> list[int]:
        return self._shuffled() if self._small else self._read()

    def _shuffled(self) -> list[int]:
        if not self._dialogues:
            self.faults.count = 0  # a resumed run counts them again
            for line in lines(self.path):
                if line.text is None:
                    self.faults.add(line)
                else:
                    self._dialogues.append(self.encode(line.text))
            if not self._dialogues:
                raise self._empty()
        if self._number >= len(self._dialogues):
            self._number, self._passes, self._order = 0, self._passes + 1, []
        if not self._order:
            mixed = (
                self.seed * 1_000_003 + self._passes
            ) % 2**64  # as torch does with a negative seed
            generator = torch.Generator().manual_seed(mixed)
            self._order = torch.randperm(len(self._dialogues), generator=generator).tolist()
        self._number += 1
        return self._dialogues[self._order[self._number - 1]]

    def _read(self) -> list[int]:
        while True:
            if self._lines is None:
                self._lines = lines(self.path, self._offset, self._number)
            line = next(self._lines, None)
            if line is None:
                if not self._valid:
                    raise self._empty()
                self._lines, self._offset, self._number, self._valid = None, 0, 0, 0
                self._passes += 1
                continue
            self._offset, self._number = line.next_offset, line.number
            if line.text is not None:
                self._valid += 1
                return self.encode(line.text)
            if self._passes == 0:
                self.faults.add(line)

    def _empty(self) -> UserError:
        return UserError(
            f"{self.path} contains no dialogue",
            f'lines look like {{"text": "{START}question{END} {START}answer{END}"}}',
        )

    def position(self) -> dict[str, Any]:
        """Return the position in the file, and the tokens that were read but not used yet."""
        return {
            "offset": self._offset,
            "line": self._number,
            "passes": self._passes,
            "found": self._valid,
            "tokens": self._tokens,
            "malformed": self.faults.count,
        }

    def seek(self, position: dict[str, Any]) -> None:
        """Go to what ``position`` of an equal stream returned. Raises ``ValueError`` for what it cannot be."""
        place = Field(position, "position")
        tokens = place.get("tokens")
        counts = [place.get(name) for name in ("offset", "line", "passes", "found", "malformed")]
        for each in (*counts, *tokens.each()):
            if type(each.value) is not int or not 0 <= each.value < 2**63:
                raise each.wrong("a whole number of at least 0")
        if self.path.exists() and position["offset"] > self.path.stat().st_size:
            raise ValueError(f"the position is beyond the end of {self.path}")
        if any(token >= self.vocabulary for token in position["tokens"]):
            raise tokens.wrong("tokens of the run's tokenizer")
        self._offset, self._number = position["offset"], position["line"]
        self._passes, self._valid = position["passes"], position["found"]
        self._tokens = list(position["tokens"])
        self.faults.count = position["malformed"]
        self._lines, self._order = None, []
