"""On loaders that have batches the patches change nothing: traces, stock against patched.

The trace of each random case with a patch must equal that of the stock library, bit for bit. The last
test uses wrong patches, to show that the comparison detects them.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

from accelerate import Accelerator, data_loader
from loader_cases import Case, cases
from loader_traces import trace

from metalassay.patches import accelerate_empty_dispatcher as dispatcher
from metalassay.patches import accelerate_empty_epoch as epoch
from metalassay.patches import accelerate_empty_shard as shard
from metalassay.patches.layers import layer
from metalassay.testing import accelerate_state

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # torchdata's own
]

CASES, STATEFUL_CASES = 1000, 150


@pytest.fixture(scope="module", autouse=True)
def _one_process() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        # accelerate reads torchdata's metadata again for every loader, most of a trace's time.
        for name in ("metadata", "version"):
            patch.setattr(
                importlib.metadata, name, functools.cache(getattr(importlib.metadata, name))
            )
        Accelerator(cpu=True)
        yield
    accelerate_state.reset()


@pytest.fixture(scope="module")
def stock() -> dict[Case, list[Any]]:
    return {case: trace(case) for case in cases(CASES, stateful=False)}


@pytest.fixture(scope="module")
def stock_stateful() -> dict[Case, list[Any]]:
    pytest.importorskip("torchdata.stateful_dataloader")
    if not hasattr(data_loader, "DataLoaderAdapter"):
        pytest.skip("this accelerate has no stateful loaders")
    return {case: trace(case) for case in cases(STATEFUL_CASES, stateful=True)}


def differences(expected: dict[Case, list[Any]]) -> list[Case]:
    """Return the cases whose trace differs from the expected one."""
    return [case for case, events in expected.items() if trace(case) != events]


def all_of_them() -> AbstractContextManager[Any]:
    """Activate all patches, the outermost first, since the order must not matter."""
    stack = ExitStack()
    for module in (epoch, dispatcher, shard):
        stack.enter_context(module.patch())
    return stack


PATCHES = pytest.mark.parametrize(
    "patch",
    [shard.patch, dispatcher.patch, epoch.patch, all_of_them],
    ids=["shard", "dispatcher", "epoch", "all"],
)


@PATCHES
def test_a_patch_changes_no_trace(
    patch: Callable[[], AbstractContextManager[Any]], stock: dict[Case, list[Any]]
) -> None:
    with patch():
        assert differences(stock) == []


@PATCHES
def test_a_patch_changes_no_trace_of_a_stateful_loader(
    patch: Callable[[], AbstractContextManager[Any]], stock_stateful: dict[Case, list[Any]]
) -> None:
    with patch():
        assert differences(stock_stateful) == []


def test_the_cases_cover_every_value_many_times(stock: dict[Case, list[Any]]) -> None:
    assert len(stock) == CASES
    for field in dataclasses.fields(Case):
        seen = Counter(getattr(case, field.name) for case in stock)
        assert field.name == "stateful" or len(seen) > 1
        assert min(seen.values()) >= 25, f"{field.name}: {seen}"
    assert sum(len(events) > 4 for events in stock.values()) >= 0.95 * CASES, (
        "most loaders must run"
    )


def none_ends_the_loop(below: Any) -> Any:
    def __iter__(self: Any) -> Iterator[Any]:  # noqa: N807
        iterator = below(self)
        first = next(iterator, None)
        if first is not None:
            yield first
            del first
            yield from iterator

    return __iter__


def first_one_twice(below: Any) -> Any:
    def __iter__(self: Any) -> Iterator[Any]:  # noqa: N807
        for index, batch in enumerate(below(self)):
            yield from [batch] * (2 if index == 0 else 1)

    return __iter__


def first_one_held(below: Any) -> Any:
    def __iter__(self: Any) -> Iterator[Any]:  # noqa: N807
        iterator = below(self)
        for first in iterator:
            yield first
            yield from iterator

    return __iter__


def all_read_at_once(below: Any) -> Any:
    def __iter__(self: Any) -> Iterator[Any]:  # noqa: N807
        yield from list(below(self))

    return __iter__


@pytest.mark.parametrize(
    ("wrong", "owner"),
    [
        (none_ends_the_loop, "DataLoaderShard"),  # a dispatcher never yields None
        *itertools.product(
            (first_one_twice, first_one_held, all_read_at_once),
            ("DataLoaderShard", "DataLoaderDispatcher"),
        ),
    ],
)
def test_the_comparison_detects_a_wrong_patch(
    wrong: Callable[[Any], Any], owner: str, stock: dict[Case, list[Any]]
) -> None:
    some = dict(list(stock.items())[:150])
    with layer(getattr(data_loader, owner), "__iter__", wrong, level=0):
        found = differences(some)
    assert found
    assert all(case.dispatch == (owner == "DataLoaderDispatcher") for case in found)
