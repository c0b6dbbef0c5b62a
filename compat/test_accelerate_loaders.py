"""accelerate's loaders with data, in one process: preparing, skipping, and leaving a loop early."""

from __future__ import annotations

import gc
import inspect
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from metalassay.environment import versions

if not {"accelerate", "torch"} <= versions.installed().keys():
    pytest.skip("accelerate or torch is not installed", allow_module_level=True)

# An installed package that cannot be imported is an error, not a skip.
import accelerate
from accelerate import data_loader
from accelerate_loading import Texts, gradient_state
from torch.utils.data import DataLoader

BREAK = "accelerate-break-keeps-loader"
BY_LENGTH = "accelerate-batch-sampler-without-batch-size"
DISPATCH = "accelerate-dispatch-non-tensor"


def prepared(rows: Any, **options: Any) -> Any:
    return accelerate.Accelerator(cpu=True).prepare(DataLoader(rows, **options))


@pytest.mark.slow
@pytest.mark.bug("accelerate-n-shard-typo", symptom="attribute")
def test_a_sharded_stream_of_datasets_is_prepared_for_two_processes(upstream: str) -> None:
    if "datasets" not in versions.installed():
        pytest.skip("datasets is not installed")
    import datasets

    rows = datasets.Dataset.from_dict({"x": [1, 2, 3, 4]}).to_iterable_dataset(num_shards=4)
    accelerate.Accelerator(cpu=True)
    # This is what rank 0 of two does; it needs no second process.
    loader = data_loader.prepare_data_loader(
        DataLoader(rows.with_format("torch")),
        num_processes=2,
        process_index=0,
        dispatch_batches=False,
    )
    assert len(list(loader)) == 2


@pytest.mark.bug("accelerate-skip-past-end-negative-len", symptom="negative")
def test_a_loader_skipped_past_its_end_has_length_zero(upstream: str) -> None:
    if not hasattr(data_loader, "skip_first_batches"):
        pytest.skip("this accelerate has no skip_first_batches")
    assert len(data_loader.skip_first_batches(prepared([1, 2, 3, 4], batch_size=2), 3)) == 0


def left_by_a_break() -> Any:
    """Return a loader whose loop was left by a break, and to which only the caller has a reference."""
    rows: Any = [1, 2, 3, 4]
    accelerator = accelerate.Accelerator(cpu=True)
    loader = accelerator.prepare(DataLoader(rows, batch_size=2))
    for _batch in loader:
        break
    getattr(accelerator, "_dataloaders", []).clear()
    return loader


@pytest.mark.bug(BREAK, symptom="kept")
def test_a_loader_left_by_a_break_is_freed(upstream: str) -> None:
    loader = weakref.ref(left_by_a_break())
    gc.collect()
    assert loader() is None, "the loader is still alive"


@pytest.mark.bug(BREAK, symptom="inside")
def test_the_gradient_state_releases_a_loader_left_by_a_break(upstream: str) -> None:
    state = gradient_state(left_by_a_break())
    gc.collect()
    assert not state.in_dataloader, "GradientState is still inside the loader"


@pytest.mark.bug(DISPATCH, symptom="one-process")
def test_a_stream_with_a_text_column_is_dispatched(upstream: str) -> None:
    texts = [batch["text"] for batch in prepared(Texts(2), batch_size=2)]
    if texts == [[]]:
        pytest.skip("the text is lost silently, which has its own test")
    assert texts == [["a", "b"]]


@pytest.mark.bug(DISPATCH, symptom="emptied")
def test_a_text_column_is_not_emptied(upstream: str) -> None:
    with suppress(TypeError):  # has its own test
        for batch in prepared(Texts(2), batch_size=2):
            assert batch["text"], "the text column came out empty"


class ByLength:
    """A batch sampler whose batches differ in size, so that it has no batch size."""

    sampler = range(6)
    drop_last = False

    def __iter__(self) -> Iterator[list[int]]:
        return iter([[0], [1, 2], [3, 4, 5]])

    def __len__(self) -> int:
        return 3


@pytest.mark.bug(BY_LENGTH, symptom="refused")
def test_batches_of_different_sizes_are_shared_by_two_processes(upstream: str) -> None:
    if "even_batches" not in inspect.signature(data_loader.BatchSamplerShard).parameters:
        pytest.skip("this accelerate always fills the batches, so it needs their size")
    accelerate.Accelerator(cpu=True)
    rows: Any = range(6)
    shares = [
        data_loader.prepare_data_loader(
            DataLoader(rows, batch_sampler=ByLength()), num_processes=2, process_index=rank
        )
        for rank in range(2)
    ]
    assert [len(list(share)) for share in shares] == [2, 2]
