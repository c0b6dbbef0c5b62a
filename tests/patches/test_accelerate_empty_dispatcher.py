"""The patch for empty dispatchers; that it fixes the bug is tested in compat/, per version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

accelerate = pytest.importorskip("accelerate")
pytest.importorskip("torch")

from metalassay.patches import accelerate_empty_dispatcher as empty_dispatcher  # noqa: E402


def dispatcher() -> Any:
    from accelerate.data_loader import DataLoaderDispatcher

    return DataLoaderDispatcher


def prepared(rows: list[float]) -> Any:
    from torch.utils.data import DataLoader, IterableDataset

    class Stream(IterableDataset):  # type: ignore[type-arg]
        def __iter__(self) -> Iterator[float]:
            return iter(rows)

    return accelerate.Accelerator(cpu=True).prepare(DataLoader(Stream(), batch_size=2))


def test_only_a_generator_with_the_message_of_the_error_is_affected() -> None:
    def affected() -> Iterator[None]:
        yield
        raise ValueError("Batch does not contain any data (`None`).")

    def healthy() -> Iterator[None]:
        yield

    assert empty_dispatcher.is_affected(affected)  # type: ignore[arg-type]
    assert not empty_dispatcher.is_affected(healthy)  # type: ignore[arg-type]


def test_healthy_code_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def healthy(self: Any) -> Iterator[int]:
        yield 1

    monkeypatch.setattr(dispatcher(), "__iter__", healthy)
    with empty_dispatcher.patch() as needed:
        assert not needed
        assert dispatcher().__iter__ is healthy


def test_the_first_fetch_is_restored_once_a_batch_has_come() -> None:
    loader = prepared([1.0, 2.0, 3.0])
    with empty_dispatcher.patch():
        batches = [batch.tolist() for batch in loader]
    assert batches == [[1.0, 2.0], [3.0]]
    assert "_fetch_batches" not in loader.__dict__


def test_an_empty_pass_ends_and_leaves_no_loader_behind() -> None:
    stock = dispatcher().__dict__["__iter__"]
    loader = prepared([])
    with empty_dispatcher.patch():
        assert list(loader) == []
    assert "_fetch_batches" not in loader.__dict__
    assert not accelerate.state.GradientState().in_dataloader
    assert dispatcher().__dict__["__iter__"] is stock
