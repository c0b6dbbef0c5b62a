"""accelerate's DataLoaderDispatcher, for which process 0 reads the data, without a single batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from metalassay.environment import versions

if not {"accelerate", "torch"} <= versions.installed().keys():
    pytest.skip("accelerate or torch is not installed", allow_module_level=True)

# An installed package that cannot be imported is an error, not a skip.
import accelerate
import accelerate_loading
from accelerate.data_loader import prepare_data_loader
from accelerate_loading import Stream
from torch.utils.data import DataLoader

EMPTY = "accelerate-empty-dispatcher"

# Assigned again to give it a type: mypy does not resolve modules beside a test.
unless_it_loops: pytest.MarkDecorator = accelerate_loading.unless_it_loops


def by_default(rows: Any) -> Any:
    """Return a loader prepared with default settings, with which a stream is dispatched."""
    return accelerate.Accelerator(cpu=True).prepare(DataLoader(rows, batch_size=2))


def dispatched(rows: Any, **options: Any) -> Any:
    accelerate.Accelerator(cpu=True)
    loader = DataLoader(rows, batch_size=2, **options)
    return prepare_data_loader(loader, dispatch_batches=True, put_on_device=True)


def filtered() -> Any:
    if "datasets" not in versions.installed():
        pytest.skip("datasets is not installed")
    import datasets

    rows = datasets.Dataset.from_dict({"x": [1, 2, 3]}).to_iterable_dataset()
    return by_default(rows.filter(lambda row: row["x"] > 9).with_format("torch"))


@pytest.mark.parametrize(
    "empty",
    [
        pytest.param(lambda: by_default(Stream(0)), id="a stream of nothing, by default"),
        pytest.param(lambda: dispatched([]), id="no rows"),
        pytest.param(lambda: dispatched([1], drop_last=True), id="drop_last and too few rows"),
        pytest.param(filtered, id="a filter that keeps nothing", marks=pytest.mark.slow),
    ],
)
@unless_it_loops
@pytest.mark.bug(EMPTY, symptom="one-process")
def test_dispatching_nothing_ends_after_zero_batches(
    upstream: str, empty: Callable[[], Any]
) -> None:
    assert list(empty()) == []


@unless_it_loops
@pytest.mark.bug("accelerate-empty-dispatcher-0-13", symptom="batch-size")
def test_dispatching_nothing_does_not_look_for_its_batch_size(upstream: str) -> None:
    # The error of other releases has its own test; for those releases this test passes.
    with suppress(ValueError):
        deque(by_default(Stream(0)), maxlen=0)


@unless_it_loops
@pytest.mark.bug(EMPTY, symptom="leaked-state")
def test_dispatching_nothing_leaves_the_gradient_state_clean(upstream: str) -> None:
    loader = by_default(Stream(0))
    with suppress(ValueError):  # has its own test; this one checks the state afterwards
        deque(loader, maxlen=0)
    state = accelerate_loading.gradient_state(loader)
    assert not state.in_dataloader, "GradientState still holds the empty loader"
    assert state.active_dataloader is None, "GradientState still holds the empty loader"


@pytest.mark.bug(EMPTY)
def test_dispatching_a_stream_yields_every_batch(upstream: str) -> None:
    assert [batch.tolist() for batch in by_default(Stream(5))] == [[0, 1], [2, 3], [4]]
