"""accelerate's DataLoaderShard, for which each process reads its own data, without a single batch."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from metalassay.environment import versions

if not {"accelerate", "torch"} <= versions.installed().keys():
    pytest.skip("accelerate or torch is not installed", allow_module_level=True)

# An installed package that cannot be imported is an error, not a skip.
import accelerate
from accelerate import data_loader
from accelerate_loading import Stream, gradient_state
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

EMPTY = "accelerate-empty-shard"


class NoBatches(BatchSampler):
    """A batch sampler that yields no batches."""

    def __iter__(self) -> Iterator[list[int]]:
        return iter(())

    def __len__(self) -> int:
        return 0


def sharded(rows: Any, prepare: dict[str, Any] | None = None, **options: Any) -> Any:
    """Return a prepared DataLoader over ``rows``; ``options`` are PyTorch's."""
    device = accelerate.Accelerator(cpu=True).device
    loader = DataLoader(rows, **options)
    return data_loader.prepare_data_loader(
        loader, device, put_on_device=True, dispatch_batches=False, **(prepare or {})
    )


def by_accelerator(rows: Any) -> Any:
    return accelerate.Accelerator(cpu=True).prepare(DataLoader(rows))


def filtered() -> Any:
    if "datasets" not in versions.installed():
        pytest.skip("datasets is not installed")
    import datasets

    rows = datasets.Dataset.from_dict({"x": [1, 2, 3]}).with_format("torch")
    return sharded(rows.filter(lambda row: row["x"] > 9), batch_size=2)


def skipped(batches: int) -> Any:
    if not hasattr(data_loader, "skip_first_batches"):
        pytest.skip("this accelerate has no skip_first_batches")
    return data_loader.skip_first_batches(sharded(list(range(4)), batch_size=2), batches)


def stateful(rows: Any) -> Any:
    parameters = inspect.signature(data_loader.prepare_data_loader).parameters
    if "use_stateful_dataloader" not in parameters or "torchdata" not in versions.installed():
        pytest.skip("this accelerate has no stateful loaders, or torchdata is not installed")
    return sharded(rows, prepare={"use_stateful_dataloader": True}, batch_size=2)


WAYS: dict[str, Callable[[], Any]] = {
    "no rows": lambda: sharded([], batch_size=2),
    "by Accelerator.prepare": lambda: by_accelerator([]),
    "drop_last and too few rows": lambda: sharded([1, 2, 3], batch_size=4, drop_last=True),
    "a stream of nothing": lambda: sharded(Stream(0), batch_size=2),
    "a stream of nothing, unbatched": lambda: sharded(Stream(0), batch_size=None),
    "a sampler without batches": lambda: sharded(
        [1, 2], batch_sampler=NoBatches(SequentialSampler([1, 2]), 2, drop_last=False)
    ),
    "split_batches": lambda: sharded([], prepare={"split_batches": True}, batch_size=2),
    "skipped to the end": lambda: skipped(2),
    "skipped past the end": lambda: skipped(3),
    "stateful": lambda: stateful([]),
    "a stateful stream of nothing": lambda: stateful(Stream(0)),
}
SLOW_WAYS: dict[str, Callable[[], Any]] = {
    "a filter that keeps nothing": filtered,
    "with a worker": lambda: sharded(Stream(0), batch_size=2, num_workers=1),
}

every_way = pytest.mark.parametrize(
    "empty",
    [
        *(pytest.param(make, id=way) for way, make in WAYS.items()),
        *(pytest.param(make, id=way, marks=pytest.mark.slow) for way, make in SLOW_WAYS.items()),
    ],
)


@every_way
@pytest.mark.bug(EMPTY, symptom="spurious-none")
def test_an_empty_loader_yields_no_batch(upstream: str, empty: Callable[[], Any]) -> None:
    end = object()
    first = next(iter(empty()), end)
    assert first is end, f"an empty loader yielded {first!r}"


@every_way
@pytest.mark.bug(EMPTY, symptom="unbound-local")
def test_iterating_an_empty_loader_ends(upstream: str, empty: Callable[[], Any]) -> None:
    deque(empty(), maxlen=0)


@pytest.mark.bug("accelerate-empty-shard-0-12", symptom="attribute")
def test_iterating_an_empty_loader_raises_no_attribute_error(upstream: str) -> None:
    # The crash of other releases has its own test; for those releases this test passes.
    with suppress(UnboundLocalError):
        deque(sharded([]), maxlen=0)


@pytest.mark.parametrize("rows", [[], Stream(0)], ids=["no rows", "a stream of nothing"])
@pytest.mark.bug(EMPTY, symptom="leaked-state")
def test_an_empty_loader_leaves_the_gradient_state_clean(upstream: str, rows: Any) -> None:
    loader = sharded(rows)
    with suppress(UnboundLocalError):  # has its own test; this one checks the state afterwards
        deque(loader, maxlen=0)
    state = gradient_state(loader)
    assert not state.in_dataloader, "GradientState still holds the empty loader"
    assert state.active_dataloader is None, "GradientState still holds the empty loader"


@pytest.mark.bug(EMPTY)
def test_a_loader_with_data_yields_every_batch(upstream: str) -> None:
    loader = sharded(list(range(5)), batch_size=2)
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4]]
