"""The patch for empty shards; that it fixes the bug is tested in compat/, per version."""

from __future__ import annotations

import gc
import types
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

accelerate = pytest.importorskip("accelerate")
torch = pytest.importorskip("torch")

from metalassay.patches import accelerate_empty_shard as empty_shard  # noqa: E402


@pytest.fixture
def shard() -> Any:
    from accelerate.data_loader import DataLoaderShard

    if not empty_shard.is_affected(DataLoaderShard.__iter__):
        pytest.skip(f"accelerate {accelerate.__version__} is healthy: nothing to patch")
    return DataLoaderShard


def loader(rows: Any, **options: Any) -> Any:
    from torch.utils.data import DataLoader

    return accelerate.Accelerator(cpu=True).prepare(DataLoader(rows, **options))


def test_the_stock_code_is_back_after_the_last_user(shard: Any) -> None:
    stock = shard.__iter__
    with empty_shard.patch() as first:
        patched = shard.__iter__
        with empty_shard.patch() as second:
            assert shard.__iter__ is patched, "the second user must not wrap the wrapper"
        assert shard.__iter__ is patched, "one user is left"
    assert (first, second) == (True, True)
    assert patched is not stock
    assert shard.__iter__ is stock


def test_users_may_leave_in_any_order(shard: Any) -> None:
    stock = shard.__iter__
    one, two = empty_shard.patch(), empty_shard.patch()
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert shard.__iter__ is not stock
    two.__exit__(None, None, None)
    assert shard.__iter__ is stock


def test_the_code_of_others_is_left_alone_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate.data_loader import DataLoaderShard

    def theirs(self: Any) -> Iterator[int]:
        yield 1

    monkeypatch.setattr(DataLoaderShard, "__iter__", theirs)
    said = r"DataLoaderShard.__iter__ is not accelerate's own, but theirs in .*test_accelerate_empty_shard.py, line"
    patch = empty_shard.patch()
    with pytest.warns(RuntimeWarning, match=said):
        needed = patch.__enter__()
    assert not needed
    assert DataLoaderShard.__iter__ is theirs
    patch.__exit__(None, None, None)


def test_only_a_generator_with_a_bare_yield_is_affected() -> None:
    def bare() -> Iterator[None]:
        yield

    def with_value(value: Any = None) -> Iterator[Any]:
        yield value
        return None

    assert empty_shard.is_affected(bare)  # type: ignore[arg-type]
    assert not empty_shard.is_affected(with_value)  # type: ignore[arg-type]


def test_a_none_batch_that_the_user_made_is_kept(shard: Any) -> None:
    with empty_shard.patch():
        assert list(loader([1, 2], batch_size=1, collate_fn=lambda rows: None)) == [None, None]


def test_leaving_early_closes_the_generator_and_releases_batches(shard: Any) -> None:
    with empty_shard.patch():
        iterator = iter(loader(torch.arange(6.0), batch_size=2))
        batch = weakref.ref(next(iterator))
        next(iterator)
        assert batch() is None, "a batch is released when the next one is requested"
        inner = iterator.gi_yieldfrom
        assert isinstance(inner, types.GeneratorType)
        iterator.close()
        gc.collect()
        assert inner.gi_frame is None
