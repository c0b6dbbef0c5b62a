"""Datasets and helpers for the tests of accelerate's loaders; importing this needs accelerate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from accelerate.data_loader import DataLoaderDispatcher
from torch.utils.data import IterableDataset

unless_it_loops = pytest.mark.skipif(
    "skip" in DataLoaderDispatcher.__iter__.__code__.co_varnames,
    reason="this accelerate skips batches in an endless loop that only killing the process ends",
)


class Stream(IterableDataset[int]):
    """A stream of ``rows`` whole numbers."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rows))


class Texts(IterableDataset[dict[str, Any]]):
    """A stream of at most four ``rows``, with a column that is not a tensor."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter([{"x": float(row), "text": "abcd"[row]} for row in range(self.rows)])


def gradient_state(loader: Any) -> Any:
    """Return the state that records the active loader, or skip the test if it records none."""
    state = getattr(loader, "gradient_state", None)
    if not hasattr(state, "active_dataloader"):
        pytest.skip("the gradient state of this accelerate does not record loaders")
    return state
