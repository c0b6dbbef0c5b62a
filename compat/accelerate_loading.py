"""What the tests of accelerate's loaders load and look at. Imported only where accelerate is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from accelerate.data_loader import DataLoaderDispatcher
from torch.utils.data import IterableDataset

unless_it_loops = pytest.mark.skipif(
    "skip" in DataLoaderDispatcher.__iter__.__code__.co_varnames,
    reason="this accelerate skips batches in an endless loop; nothing can end it but killing it",
)


class Stream(IterableDataset[int]):
    """A stream of so many rows."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rows))


class Texts(IterableDataset[dict[str, Any]]):
    """A stream of so many rows with a column that is no tensor."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter([{"x": float(row), "text": "abcd"[row]} for row in range(self.rows)])


def gradient_state(loader: Any) -> Any:
    """Return the state that says which loader is in use, or skip the test where it does not."""
    state = getattr(loader, "gradient_state", None)
    if not hasattr(state, "active_dataloader"):
        pytest.skip("the gradient state of this accelerate holds no loaders")
    return state
