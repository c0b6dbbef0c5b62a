"""Dialogues as windows of tokens for training, from a place in the file that a checkpoint can keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from metalassay.errors import UserError
from metalassay.training.gpt.dialogues import END, START, Faults, Line, lines
from metalassay.workloads.registry import Batch

SHUFFLED = 2 * 2**20  # bytes; a file up to this size is kept as tokens, and shuffled in every pass


class TokenStream:
    """Batches of B windows of T tokens, again and again from the start of the file.

    A window begins with a dialogue, as a prompt does, and is filled up with the ones that follow. One
    that does not fit whole begins the next window; one too long for any goes on in the next.

    A small file is shuffled anew in every pass, or the model would learn which dialogue follows which.
    A larger one is read in its order, a line at a time: memory does not depend on its size.
    """

    def __init__(
        self,
        path: Path,
        encode: Callable[[str], list[int]],
        batch: int,
        context: int,
        faults: Faults,
        seed: int = 0,
    ) -> None:
        self.path, self.encode, self.faults, self.seed = path, encode, faults, seed
        self.batch, self.context = batch, context
        self._offset = self._number = self._passes = self._found = 0
        self._tokens: list[int] = []  # what the next window begins with
        self._lines: Iterator[Line] | None = None
        self._kept: list[list[int]] = []  # the dialogues of a small file
        self._order: list[int] = []
        self._small = path.exists() and path.stat().st_size <= SHUFFLED

    def next(self) -> Batch:
        """Return the next batch: tokens (B, T), and the ones that follow each, (B, T)."""
        windows = torch.tensor([self._window() for _ in range(self.batch)])
        return Batch((windows[:, :-1].contiguous(),), windows[:, 1:].contiguous())

    def _window(self) -> list[int]:
        size = self.context + 1
        taken, begun, self._tokens = self._tokens, 0, []
        while len(taken) < size:
            begun = len(taken)
            taken = taken + self._dialogue()
        if len(taken) > size:
            # The last dialogue again and whole; if it is alone, what of it was not a target yet.
            self._tokens = taken[begun:] if begun else taken[size - 1 :]
        return taken[:size]

    def _dialogue(self) -> list[int]:
        return self._shuffled() if self._small else self._read()

    def _shuffled(self) -> list[int]:
        if not self._kept:
            self.faults.count = 0  # of a resumed run they are counted once more
            for line in lines(self.path):
                if line.text is None:
                    self.faults.add(line)
                else:
                    self._kept.append(self.encode(line.text))
            if not self._kept:
                raise self._empty()
        if self._number == len(self._kept):
            self._number, self._passes, self._order = 0, self._passes + 1, []
        if not self._order:
            mixed = (self.seed * 1_000_003 + self._passes) % 2**64  # as torch takes a negative one
            generator = torch.Generator().manual_seed(mixed)
            self._order = torch.randperm(len(self._kept), generator=generator).tolist()
        self._number += 1
        return self._kept[self._order[self._number - 1]]

    def _read(self) -> list[int]:
        while True:
            if self._lines is None:
                self._lines = lines(self.path, self._offset, self._number)
            line = next(self._lines, None)
            if line is None:
                if not self._found:
                    raise self._empty()
                self._lines, self._offset, self._number, self._found = None, 0, 0, 0
                self._passes += 1
                continue
            self._offset, self._number = line.next_offset, line.number
            if line.text is not None:
                self._found += 1
                return self.encode(line.text)
            if self._passes == 0:
                self.faults.add(line)

    def _empty(self) -> UserError:
        return UserError(
            f"{self.path} holds no dialogue",
            f'lines look like {{"text": "{START}question{END} {START}answer{END}"}}',
        )

    def position(self) -> dict[str, Any]:
        """Return the place in the file, and the tokens read but not yet given out."""
        return {
            "offset": self._offset,
            "line": self._number,
            "passes": self._passes,
            "found": self._found,
            "tokens": self._tokens,
            "malformed": self.faults.count,
        }

    def seek(self, position: dict[str, Any]) -> None:
        """Go to what ``position`` returned, of an equal stream."""
        self._offset, self._number = position["offset"], position["line"]
        self._passes, self._found = position["passes"], position["found"]
        self._tokens = list(position["tokens"])
        self.faults.count = position["malformed"]
        self._lines, self._order = None, []
